"""The journal of an export: which files of a folder move, and how far they have got.

The first line of a journal says where it was written (`first_line`). The others are
``["remove", name]`` (a file or folder of the target goes to ``old``) and ``["put", name]`` (what is
there goes to ``old``, and what waits in ``new`` takes its place). Each step looks at what it finds,
so a journal can be carried out, or undone, from wherever it stopped.

A journal that lies there may be anybody's. `check` reads all of it, and looks at all that it would
move, before the first step; and no step goes through a link (`disk`).
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial

from ..errors import ArchiveError, SegmaskExportError
from . import layout
from .disk import Tree, at, entries, is_link
from .ids import Hashes
from .lock import WriteLock

JOURNAL = "journal"
NOTE = "README.txt"
NEW, OLD = "new", "old"
PUT, REMOVE = "put", "remove"

_MAX_LINE = 1 << 16  # characters; a path has 4,096, and JSON writes six for one at most


def recover(root: str, *, back: bool = False) -> int:
    """End every export into ``root`` that was cut short, or undo it; return how many there were.

    Raises SegmaskExportError where an export is at work there, ArchiveError where files that the
    journal names are gone or this program cannot have written it, and OSError. After a refusal
    all is as it was.
    """
    root = os.path.realpath(root)
    lock = lock_folder(root)
    try:
        return clear_up(root, back=back)
    finally:
        lock.release()


def clear_up(root: str, *, back: bool) -> int:
    """Do the work of `recover` in a folder that is locked."""
    found = journaled(root)
    if found:
        with tempfile.TemporaryFile(dir=root) as file:
            user = os.fstat(file.fileno()).st_uid  # as this file system has it
        for staging in found:
            check(staging, back=back, user=user)
    for staging in found:
        end(staging, back=back)
    for staging in stagings(root):  # a killed export had not begun to move its files
        shutil.rmtree(staging)
    return len(found)


def journaled(root: str) -> list[str]:
    """Return the folders in ``root`` whose journal says that files are being moved."""
    return [s for s in stagings(root) if os.path.lexists(os.path.join(s, JOURNAL))]


def stagings(root: str) -> list[str]:
    """Return the folders in ``root`` where exports keep, or have left, what they write."""
    try:
        found = [entry for entry in entries(root) if entry.name.startswith(layout.STAGING)]
    except (OSError, ValueError):  # ValueError: no system takes such a path
        return []
    return [e.path for e in found if e.is_dir(follow_symlinks=False) and not is_link(os.lstat(e))]


def lock_folder(root: str) -> WriteLock:
    """Keep other writers out of a folder; raises as `WriteLock`."""
    return WriteLock(os.path.join(root, f"{layout.STAGING}folder.lock"), root)


def first_line(note: os.stat_result) -> str:
    """Return the first line of a journal: what the system says of the `NOTE` beside it.

    Its number is another one in a copy, and in what was unpacked. Not all file systems keep the
    number when they are mounted again, so the time of its last change counts as well, which nobody
    can set; on Windows that is the time when it was made, which programs that unpack set.
    """
    return json.dumps([note.st_ino, None if os.name == "nt" else note.st_ctime_ns]) + "\n"


def check(staging: str, *, back: bool, user: int | None = None) -> None:
    """Raise ArchiveError for a journal that cannot be carried out, or that no export has written.

    ``user``: whose the folder must be, with all that is in it; None where that does not matter.
    """
    root, own = os.path.split(staging)
    try:
        with Tree(root) as tree:
            _check_owned(tree, own, user)
            note = tree.status(f"{own}/{NOTE}")  # first: an export that ends removes it last
            with tree.open(f"{own}/{JOURNAL}") as file:
                lines = iter(partial(file.readline, _MAX_LINE), "")
                _check_place(next(lines, ""), note, staging)
                for step, name in _each_once(_steps(lines, staging), staging):
                    _check_step(tree, own, step, name, back)
    except (NotADirectoryError, UnicodeError) as error:
        raise _foreign(f"{JOURNAL!r} is no plain text ({error})", staging) from error


def _check_place(line: str, note: os.stat_result | None, staging: str) -> None:
    """See that a journal with this first line was written where it lies."""
    try:
        said = json.loads(line)
        here = [] if note is None else json.loads(first_line(note))
        if any(a == b is not None for a, b in zip(said, here, strict=True)):
            return
    except (ValueError, TypeError, RecursionError):
        pass
    raise _foreign("it was not written here, but copied, unpacked, or made by hand", staging)


def _each_once(steps: Iterable[tuple[str, str]], staging: str) -> Iterator[tuple[str, str]]:
    """See that no step moves what another one moves, or has moved along with its folder."""
    names, folders = Hashes(), Hashes()
    for step, name in steps:
        above = [hash(name[:at]) for at, letter in enumerate(name) if letter == "/"]
        if hash(name) in folders or any(one in names for one in (hash(name), *above)):
            raise _foreign(f"it moves {name[:200]!r} twice", staging)
        names.add(hash(name))
        for one in above:
            folders.add(one)
        yield step, name


def _check_owned(tree: Tree, own: str, user: int | None) -> None:
    """See that a folder of an export and all that is in it are real, and this user's."""
    status = tree.status(own)
    found = [] if status is None else [(own, status), *tree.below(own)]
    for name, status in found:
        if user is not None and status.st_uid != user:
            raise _foreign(f"{name!r} belongs to another user", os.path.join(tree.root, own))
        # A link in `old` is one that the export took the place of: it is moved, never followed.
        may_be_link = name.startswith(f"{own}/{OLD}/")
        is_plain = stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)
        if not (may_be_link if is_link(status) else is_plain):
            what = f"{name!r} in it is a link, or no plain file"
            raise _foreign(what, os.path.join(tree.root, own))


def _steps(lines: Iterable[str], staging: str) -> Iterator[tuple[str, str]]:
    """Yield step and name of each line. Raises ArchiveError where no export has written it."""
    for line in lines:
        try:
            step, name = json.loads(line)
            if step not in (PUT, REMOVE) or not isinstance(name, str):
                raise ValueError(step)
        except (ValueError, TypeError, RecursionError):
            raise _foreign("a line of it is no step of an export", staging) from None
        if layout.problem_of_name(name) or name.startswith(layout.STAGING):
            raise _outside(name, staging)
        yield step, name


def _check_step(tree: Tree, own: str, step: str, name: str, back: bool) -> None:
    """See that a step can be taken, or undone, without a loss."""
    staging = os.path.join(tree.root, own)
    try:
        there, old = tree.exists(name), tree.exists(f"{own}/{OLD}/{name}")
        new = step == PUT and tree.exists(f"{own}/{NEW}/{name}")
    except NotADirectoryError:
        raise _outside(name, staging) from None
    if step == PUT and not new and not there:
        there = tree.exists(name)  # it was moved while we looked
        if not there and not back:
            raise _gone(at(tree.root, name), at(staging, NEW, name))
    if there and old and (new or (back and step == REMOVE)):
        raise not_replaceable("a file that the export did not write", at(tree.root, name))


def end(staging: str, *, back: bool) -> None:
    """Do what the journal says that has not been done, or undo what has been; then clear up.

    The journal is one that `check` has passed, or that this process has just written.
    """
    root, own = os.path.split(staging)
    touched: set[str] = set()
    with Tree(root) as tree:
        with tree.open(f"{own}/{JOURNAL}") as file:
            file.readline()
            lines: Iterable[str] = reversed(file.readlines()) if back else file
            for step, name in _steps(lines, staging):
                (_undo if back else _do)(tree, own, step, name)
                touched.add(name.rpartition("/")[0])
        for folder in touched:
            # Of a folder that moved itself, or had never been there.
            with suppress(FileNotFoundError, NotADirectoryError):
                tree.flush(folder)
        tree.remove(f"{own}/{JOURNAL}")
        tree.flush(own)
    shutil.rmtree(staging, ignore_errors=True)


def _do(tree: Tree, own: str, step: str, name: str) -> None:
    new, old = f"{own}/{NEW}/{name}", f"{own}/{OLD}/{name}"
    if step == REMOVE:
        if tree.exists(name) and not tree.exists(old):
            _set_aside(tree, name, old)
    elif tree.exists(new):
        if tree.exists(name):
            if tree.exists(old):
                raise not_replaceable("a file that the export did not write", at(tree.root, name))
            _set_aside(tree, name, old)
        tree.move(new, name)
    elif not tree.exists(name):
        raise _gone(at(tree.root, name), at(tree.root, new))


def _undo(tree: Tree, own: str, step: str, name: str) -> None:
    new, old = f"{own}/{NEW}/{name}", f"{own}/{OLD}/{name}"
    if step == PUT and tree.exists(name) and not tree.exists(new):
        tree.move(name, new)
    if tree.exists(old):
        tree.move(old, name)


def _set_aside(tree: Tree, name: str, old: str) -> None:
    tree.make(old.rpartition("/")[0])
    tree.move(name, old)


def _outside(name: str, staging: str) -> ArchiveError:
    return _foreign(f"it names {name[:200]!r}, which is outside of the folder", staging)


def _foreign(problem: str, staging: str) -> ArchiveError:
    return ArchiveError(
        f"the journal of an export cannot be carried out: {problem}. No export wrote it here, and "
        "nothing was moved",
        staging,
        "the journal of an export that was cut short here",
        "if the dataset came from somebody else, ask them for one without this folder; if you "
        "copied it, recover the original and copy it again, or take your files out of 'old' and "
        "'new' in there and remove it",
    )


def _gone(place: str, new: str) -> ArchiveError:
    return ArchiveError(
        "the export cannot be finished: a file that it was to put there is gone",
        place,
        f"the file, here or at {new}",
        "undo the export: 'datumaro-segmask recover FOLDER --back'",
    )


def not_replaceable(what: str, path: str) -> SegmaskExportError:
    """Make the error for a place where something else is that no export may touch."""
    return SegmaskExportError(
        f"{what} is in the way of a file of the export",
        path,
        "a plain file, or nothing",
        "move it away, or export into another folder",
    )
