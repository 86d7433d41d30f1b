"""Where a sheet goes: what may be replaced there, and the folder beside a large page.

A new page is made in a numbered part of that folder, and takes the old one's place in one step when
it is whole; only then the old one's part goes. What was interrupted goes on in the part it has.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import datumaro_segmask

from .. import claim_output, in_the_way

MADE_BY = "datumaro-segmask preview"
"""What every sheet says at its beginning, and no other file is replaced."""

FIRST_MASKS = "masks-0.js"
"""A file that every whole part has."""

_MARK = "unfinished.json"  # what a part is being made of; gone when the page is whole
_SHEET = "sheet of masks"


def claim(path: str, overwrite: bool) -> None:
    """Say before the work whether a sheet can be written; raises UsageError or OSError if not."""
    if os.path.lexists(path):
        is_sheet = _is_sheet(path)
        if not (overwrite and is_sheet):
            raise in_the_way(path, _SHEET, is_sheet)
    claim_output(path)


def begin(page: str, work: dict[str, Any], overwrite: bool) -> tuple[Path, bool]:
    """Return the part that a page gets, and whether there is something of the page in it already.

    ``work``: all that decides what will be there. Raises UsageError where the folder is another's,
    or has an earlier page or other work that was interrupted, and ``overwrite`` is False.
    """
    folder, parts = _beside(page), _parts(page)
    mark = json.dumps({**work, "version": datumaro_segmask.__version__}, indent=1)
    for part in parts:
        if _mark_in(part) == mark:
            return part, True
    if os.path.lexists(folder):
        is_ours = folder.is_dir() and len(parts) == len(os.listdir(folder))
        if not is_ours or (parts and not overwrite):
            raise in_the_way(str(folder), _SHEET, is_ours)
    numbered = (folder / str(number) for number in count(1))
    part = next(part for part in numbered if not os.path.lexists(part))
    part.mkdir(parents=True)
    (part / _MARK).write_text(mark, "utf-8")
    return part, False


def end(page: str, part: Path | None, overwrite: bool) -> None:
    """Note that a page is whole, with or without a part; remove those of the page before it."""
    if part:
        (part / _MARK).unlink(missing_ok=True)
    if overwrite:
        for other in _parts(page):
            if other != part:
                shutil.rmtree(other)
        with suppress(OSError):  # it is not there, or something else is in it
            _beside(page).rmdir()


def _beside(page: str) -> Path:
    return Path(f"{os.path.splitext(page)[0]}_files")


def _parts(page: str) -> list[Path]:
    """Return what is in the folder beside a page and surely was made for a page."""
    folder = _beside(page)
    if not folder.is_dir():
        return []
    return [part for part in folder.iterdir() if part.name.isdecimal() and _is_part(part)]


def _is_part(part: Path) -> bool:
    if part.is_symlink() or not part.is_dir():
        return False
    return bool(_mark_in(part)) or (part / FIRST_MASKS).is_file() or not os.listdir(part)


def _mark_in(part: Path) -> str:
    try:
        return (part / _MARK).read_text("utf-8")
    except OSError:
        return ""


def _is_sheet(path: str) -> bool:
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return MADE_BY.encode() in file.read(1000)
