"""The journal of an export: which files of a folder move, and how far they have got.

Lines of a journal are ``["remove", name]`` (a file or folder of the target goes to ``old``) and
``["put", name]`` (what is there goes to ``old``, and what waits in ``new`` takes its place). Each
step looks at what it finds, so a journal can be carried out, or undone, from wherever it stopped.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress

from ..errors import ArchiveError, SegmaskExportError
from . import layout
from .lock import WriteLock

JOURNAL = "journal"
NEW, OLD = "new", "old"
PUT, REMOVE = "put", "remove"


def recover(root: str, *, back: bool = False) -> int:
    """End every export into ``root`` that was cut short, or undo it; return how many there were.

    Raises SegmaskExportError where an export is at work there, ArchiveError where files that the
    journal names are gone, and OSError.
    """
    root = os.path.realpath(root)
    lock = lock_folder(root)
    try:
        found = journaled(root)
        for staging in found:
            end(staging, back=back)
        for staging in stagings(root):
            shutil.rmtree(staging)
        return len(found)
    finally:
        lock.release()


def journaled(root: str) -> list[str]:
    """Return the folders in ``root`` whose journal says that files are being moved."""
    return [s for s in stagings(root) if os.path.lexists(os.path.join(s, JOURNAL))]


def stagings(root: str) -> list[str]:
    """Return the folders in ``root`` where exports keep, or have left, what they write."""
    try:
        found = [entry for entry in entries(root) if entry.name.startswith(layout.STAGING)]
    except (OSError, ValueError):  # ValueError: no system takes such a path
        return []
    return [entry.path for entry in found if entry.is_dir(follow_symlinks=False)]


def lock_folder(root: str) -> WriteLock:
    """Keep other writers out of a folder; raises as `WriteLock`."""
    return WriteLock(os.path.join(root, f"{layout.STAGING}folder.lock"), root)


def end(staging: str, *, back: bool) -> None:
    """Do what the journal says that has not been done, or undo what has been; then clear up."""
    root = os.path.dirname(staging)
    touched: set[str] = set()
    with open(os.path.join(staging, JOURNAL), encoding="utf-8") as file:
        lines = reversed(file.readlines()) if back else file
        for line in lines:
            step, name = json.loads(line)
            place = at(root, name)
            _check_name(name, root, staging, touched)
            (_undo if back else _do)(step, place, at(staging, NEW, name), at(staging, OLD, name))
            touched.add(os.path.dirname(place))
    for folder in touched:
        with suppress(FileNotFoundError):  # of a folder that moved itself
            flush_folder(folder)
    os.unlink(os.path.join(staging, JOURNAL))
    flush_folder(staging)
    shutil.rmtree(staging, ignore_errors=True)


def _check_name(name: str, root: str, staging: str, known: set[str]) -> None:
    """Refuse a journal that somebody else has made, which could name files anywhere.

    ``known``: folders that have been found inside ``root``.
    """
    folder = os.path.dirname(at(root, name))
    if layout.problem_of_name(name) or not (
        folder in known or is_inside(os.path.realpath(folder), root)
    ):
        raise ArchiveError(
            f"the journal names {name!r}, which lies outside of the folder",
            staging,
            "a journal as an export writes it",
            "look at the folder named here, and remove it",
        )


def _do(step: str, place: str, new: str, old: str) -> None:
    if step == REMOVE:
        if os.path.lexists(place) and not os.path.lexists(old):
            _move(place, old)
    elif os.path.lexists(new):
        if os.path.lexists(place):
            if os.path.lexists(old):
                raise in_the_way("a file that the export did not write", place)
            _move(place, old)
        os.rename(new, place)
    elif not os.path.lexists(place):
        raise ArchiveError(
            "the export cannot be finished: a file that it was to put there is gone",
            place,
            f"the file, here or at {new}",
            "undo the export: 'datumaro-segmask recover FOLDER --back'",
        )


def _undo(step: str, place: str, new: str, old: str) -> None:
    if step == PUT and os.path.lexists(place) and not os.path.lexists(new):
        os.rename(place, new)
    if os.path.lexists(old):
        os.rename(old, place)


def _move(source: str, target: str) -> None:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    os.rename(source, target)


def in_the_way(what: str, path: str) -> SegmaskExportError:
    """Make the error for a place where something else is that no export may touch."""
    return SegmaskExportError(
        f"{what} is in the way of a file of the export",
        path,
        "a plain file, or nothing",
        "move it away, or export into another folder",
    )


def at(*parts: str) -> str:
    """Join paths, the last of which is a place in an archive."""
    return os.path.join(*parts[:-1], *parts[-1].split("/"))


def is_inside(path: str, root: str) -> bool:
    """Tell whether a real path is ``root``, a real path too, or lies below it."""
    return path == root or path.startswith(os.path.join(root, ""))


def entries(folder: str) -> Iterator[os.DirEntry[str]]:
    """Yield what a folder holds, one by one: there may be a million."""
    with os.scandir(folder) as found:
        yield from found


def flush_folder(path: str) -> None:
    """Wait until the names in a folder are on the disk."""
    if os.name == "nt":  # which cannot open a folder, and keeps the order of its changes
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
