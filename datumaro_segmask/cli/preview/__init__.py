"""Draw a contact sheet of archives. For each item it shows the image, the class mask, and the
instances with their outlines and numbers. A legend has the colours and the counts of the labels."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

from ...archive import Archive
from ...errors import UsageError, counted, printable
from ...options import READING, ImportOptions, add_to, number_type
from ...processes import cores
from ...rules import open_archive
from ...storage import fitting, is_url, shown
from .. import FAULTS, OK, add_archives
from ..parallel import in_chunks
from .choice import add_choice_options, choose
from .drawing import Drawing, Entry, Settings, draw_all, settings_of
from .page import PageItem, make_items, write_page
from .place import claim, page_folder

_INLINE = 200
_ON_SHEET = 60
_SHEET_SIDE = 480
_WORK = "Drawing masks"

T = TypeVar("T", Drawing, PageItem)

EPILOG = """\
A page with few items is one file, which you can send by mail. A page with more than --inline items
also needs the folder beside it, whose name is OUT with _files instead of .html.

keys:
  arrows   from item to item, in the sheet and in the large view
  Enter    open the large view; Escape, or Back of the browser, closes it
  1 2 3    image, classes, instances
  + - 0    zoom; so do the wheel and two fingers. Drag to move
  /        find an id

exit status:
  0  the sheet is drawn
  1  it is drawn without the items that cannot be read; 'check' says why
  2  no archive could be read, or the output already exists

examples:
  datumaro-segmask preview task.zip -o task.html
  datumaro-segmask preview tasks/*.zip -o tasks.html --open
  datumaro-segmask preview task.zip -o cars.png --subset val --label car --max-items 20
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    add_archives(parser)
    parser.add_argument(
        "-o", "--output", required=True, metavar="OUT", help="Sheet to write: .html or .png"
    )
    parser.add_argument(
        "--inline",
        type=number_type(least=0),
        default=_INLINE,
        metavar="N",
        help="Write a page of up to N items as one file (default: %(default)s)",
    )
    parser.add_argument(
        "--side",
        type=number_type(least=1),
        default=960,
        metavar="N",
        help="Pixels of the longer side of images on a page (default: %(default)s)",
    )
    parser.add_argument(
        "--workers",
        type=number_type(least=1),
        default=cores(),
        metavar="N",
        help="Processes that draw (default: one per core, here %(default)s)",
    )
    add_choice_options(parser, _ON_SHEET)
    add_to(parser, ImportOptions, READING)
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="Replace OUT when the new sheet is complete, if it is a sheet (default: stop)",
    )
    parser.add_argument(
        "--open", action="store_true", help="Show the sheet in a browser when it is drawn"
    )


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    suffix = os.path.splitext(options.output)[1].lower()
    if suffix not in (".html", ".png"):
        raise UsageError(
            f"a sheet cannot be drawn as {suffix!r}",
            options.output,
            "a name that ends in .html or .png",
            "choose one of them",
        )
    as_page = suffix != ".png"
    archives = _named({path: open_archive(path) for path in fitting(options.path)})
    claim(options.output, options.overwrite)  # before items are looked for
    side = options.side if as_page else _SHEET_SIDE
    settings = settings_of(archives, side, options.ignore_index, options.max_pixels)
    limit = options.max_items or (None if as_page else _ON_SHEET)
    entries, left_out = choose([*archives.values()], settings, options, limit)
    title = next(iter(archives)) if len(archives) == 1 else f"{len(archives):,} archives"
    draw = _draw_page if as_page else _draw_sheet
    faults = draw(title, settings, entries, options)
    rest = f", {left_out:,} more are left out (option --max-items)" if left_out else ""
    print(f"{printable(options.output)}: {counted(len(entries), 'item')}{rest}")
    for fault in faults[:10]:
        print(f"error: {printable(fault)}", file=sys.stderr)
    if len(faults) > 10:
        print(f"... and {len(faults) - 10:,} more; 'check' lists all", file=sys.stderr)
    if options.open and not _opened(options.output):
        print("no browser was found; open the file yourself", file=sys.stderr)
    return FAULTS if faults else OK


def _named(archives: dict[str, Archive]) -> dict[str, Archive]:
    """Return archives by their names: those of their files, or the paths if two share one."""
    names = [os.path.basename(shown(p) if is_url(p) else os.path.abspath(p)) for p in archives]
    if len(set(names)) < len(names):
        names = [shown(path) for path in archives]
    return dict(zip(names, archives.values(), strict=True))


def _opened(path: str) -> bool:
    import webbrowser

    return webbrowser.open(Path(path).absolute().as_uri())


def _draw_page(
    title: str, settings: Settings, entries: list[Entry], options: argparse.Namespace
) -> list[str]:
    faults: list[str] = []
    is_large = len(entries) > options.inline
    with page_folder(options.output, is_large, options.overwrite) as folder:
        items = in_chunks(partial(make_items, settings, folder), entries, _WORK, options.workers)
        label_map, noted = settings.label_map, _noting_faults(items, faults.append)
        write_page(options.output, title, label_map.labels, label_map.background, noted, folder)
    return faults


def _draw_sheet(
    title: str, settings: Settings, entries: list[Entry], options: argparse.Namespace
) -> list[str]:
    from .sheet import write_sheet

    faults: list[str] = []
    drawings = in_chunks(partial(draw_all, settings), entries, _WORK, options.workers)
    label_map, noted = settings.label_map, _noting_faults(drawings, faults.append)
    write_sheet(options.output, title, label_map.labels, label_map.background, noted)
    return faults


def _noting_faults(made: Iterable[T], note: Callable[[str], None]) -> Iterator[T]:
    for one in made:
        if one.fault:
            note(one.fault)
        yield one
