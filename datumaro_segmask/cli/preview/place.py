"""Where a sheet goes: what may be replaced there, and the folder beside a large page.

A page is made in a folder of its own in there, and takes the old one's place in one step when it is
whole; only then the old one's folder goes. A folder without the mark is what a killed run has left.
"""

from __future__ import annotations

import os
import re
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from ...storage import WriteLock, layout, open_plain
from .. import already_there, claim_output

MADE_BY = "datumaro-segmask preview"
"""What every sheet says at its beginning, and no other file is replaced."""

_MARK = "whole"  # a file in the folder of a page that is whole
_PART = re.compile(r"page-[1-9][0-9]*")
_IN_PART = re.compile(rf"{_MARK}|masks-\d+\.js(\.[0-9a-f]+\.part)?|\d{{3,}}(/\d+\.jpg)?")
_SHEET = "sheet of masks"


def claim(path: str, overwrite: bool) -> None:
    """Say before the work whether a sheet can be written; raises UsageError or OSError if not."""
    _check(path, overwrite)
    claim_output(path)


def _check(path: str, overwrite: bool) -> None:
    if os.path.lexists(path):
        is_sheet = _is_sheet(path)
        if not (overwrite and is_sheet):
            raise already_there(path, _SHEET, is_sheet)


@contextmanager
def page_folder(page: str, is_large: bool, overwrite: bool) -> Iterator[Path | None]:
    """Give the folder for the images and masks of a page, None where the page holds them itself.

    Keeps other writers of the page out. At the end the page is whole, and what was made for an
    earlier one goes, if ``overwrite``; after an error what was made for this one does. Raises
    UsageError where the folder beside the page is another's, or that of an earlier page and
    ``overwrite`` is False, and SegmaskExportError where another run makes this page.
    """
    folder, name = os.path.split(os.path.realpath(page))
    own = f"{layout.STAGING}{zlib.crc32(os.fsencode(name)):08x}.lock"
    lock = WriteLock(os.path.join(folder, own), page)
    try:
        _check(page, overwrite)  # again: another run may have made it meanwhile
        yield from _page_folder(page, is_large, overwrite)
    finally:
        lock.release()


def _page_folder(page: str, is_large: bool, overwrite: bool) -> Iterator[Path | None]:
    beside = Path(f"{os.path.splitext(page)[0]}_files")
    before = _parts(beside)
    part = None
    if is_large:
        if os.path.lexists(beside):
            is_ours = beside.is_dir() and len(before) == len(os.listdir(beside))
            if not is_ours or (any(map(_is_whole, before)) and not overwrite):
                raise already_there(str(beside), _SHEET, is_ours)
        part = next(p for n in count(1) if not os.path.lexists(p := beside / f"page-{n}"))
    try:
        if part:
            part.mkdir(parents=True)
        yield part
    except BaseException:
        if part:
            shutil.rmtree(part, ignore_errors=True)
        raise
    else:
        if part:
            (part / _MARK).touch()
        for other in before:
            if overwrite or not _is_whole(other):
                shutil.rmtree(other)
    finally:
        with suppress(OSError):  # it is not there, or something is in it
            beside.rmdir()


def _parts(beside: Path) -> list[Path]:
    """Return the folders in the one beside a page that were surely made for a page."""
    if beside.is_symlink() or not beside.is_dir():
        return []
    return [path for path in beside.iterdir() if _PART.fullmatch(path.name) and _is_ours(path)]


def _is_ours(part: Path) -> bool:
    """Return whether a folder is that of a page, or holds nothing but what a page begins with."""
    if part.is_symlink() or not part.is_dir():
        return False
    if _is_whole(part):
        return True
    names = (path.relative_to(part).as_posix() for path in part.rglob("*"))
    return all(map(_IN_PART.fullmatch, names))


def _is_whole(part: Path) -> bool:
    return (part / _MARK).is_file()


def _is_sheet(path: str) -> bool:
    if not os.path.isfile(path):
        return False
    with open_plain(path) as file:
        return MADE_BY.encode() in file.read(1000)
