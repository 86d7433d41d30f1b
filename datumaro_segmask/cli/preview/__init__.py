"""Draw a contact sheet of an archive: of each item the image, the class mask, and the instances
with their outlines and numbers; and a legend with the labels' colours and counts."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from datumaro.components.progress_reporting import NullProgressReporter

from ...archive.lists import Archive, open_archive
from ...archive.meaning import ClassLookup
from ...errors import SegmaskExportError
from ...plugin.base import read_ahead
from ...plugin.host import add_reading_options, track
from .. import FAULTS, OK
from ..check.report import printable
from .drawing import Drawing, draw
from .page import FIRST_OUTLINES, write_page
from .sheet import write_sheet

_INLINE = 200
_ON_SHEET = 60

EPILOG = """\
A page of few items is one file, to be sent by mail. Beside a page of more than --inline items
stands a folder, OUT without .html and with _files, which belongs to it.

keys:
  arrows   from item to item, in the sheet and in the large view
  Enter    open the large view, Escape: close it
  1 2 3    image, classes, instances
  /        find an id

exit status:
  0  the sheet is drawn
  1  it is drawn, but for items that cannot be read; 'check' says why
  2  there is no archive that could be read, or the output is there already

example:
  datumaro-segmask preview task.zip -o task.html
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help="Archive: a folder or a zip")
    parser.add_argument(
        "-o", "--output", required=True, metavar="OUT", help="Sheet to write: .html or .png"
    )
    parser.add_argument(
        "--inline",
        type=int,
        default=_INLINE,
        metavar="N",
        help="Items up to which a page is one file (default: %(default)s)",
    )
    parser.add_argument(
        "--max-items",
        type=int,
        metavar="N",
        help=f"Draw the first N items only (default: all on a page, {_ON_SHEET} in a PNG)",
    )
    parser.add_argument(
        "--side",
        type=int,
        default=960,
        metavar="N",
        help="Pixels of the longer side of large pictures (default: %(default)s)",
    )
    add_reading_options(parser)
    parser.add_argument(
        "--overwrite", action="store_true", help="Replace OUT (default: stop if it is there)"
    )


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    stem, suffix = os.path.splitext(options.output)
    if suffix.lower() not in (".html", ".htm", ".png"):
        raise SegmaskExportError(
            f"a sheet cannot be drawn as {suffix!r}",
            options.output,
            "a name that ends in .html or .png",
            "choose one of them",
        )
    as_page = suffix.lower() != ".png"
    folder = f"{stem}_files"
    archive = open_archive(options.path)
    _make_room(options.output, folder if as_page else None, options.overwrite)
    entries = [(i, subset) for subset, ids in archive.subsets.items() for i in ids]
    limit = options.max_items or (len(entries) if as_page else _ON_SHEET)
    left_out = max(0, len(entries) - limit)
    faults: list[str] = []
    side = options.side if as_page else 480
    drawings = _noting_faults(_draw_all(archive, entries[:limit], side, options), faults)
    os.makedirs(os.path.dirname(os.path.abspath(options.output)), exist_ok=True)
    title = os.path.basename(os.path.abspath(options.path))
    label_map = archive.label_map
    if as_page:
        inline = len(entries) - left_out <= options.inline
        write_page(
            options.output,
            title,
            label_map.labels,
            label_map.background,
            drawings,
            None if inline else folder,
        )
    else:
        write_sheet(options.output, title, label_map.labels, label_map.background, drawings)
    rest = f", {left_out:,} more are left out (option --max-items)" if left_out else ""
    print(f"{printable(options.output)}: {len(entries) - left_out:,} items{rest}")
    for fault in faults[:10]:
        print(f"error: {printable(fault)}", file=sys.stderr)
    if len(faults) > 10:
        print(f"... and {len(faults) - 10:,} more; 'check' tells of all", file=sys.stderr)
    return FAULTS if faults else OK


def _make_room(path: str, folder: str | None, overwrite: bool) -> None:
    """Remove an earlier page, and the folder beside it; but no folder that is not of a page."""
    if folder is not None and os.path.lexists(folder):
        if not overwrite or not os.path.isfile(os.path.join(folder, FIRST_OUTLINES)):
            raise _in_the_way(folder)
        shutil.rmtree(folder)
    if os.path.lexists(path):
        if not overwrite or os.path.isdir(path):
            raise _in_the_way(path)
        os.unlink(path)


def _in_the_way(path: str) -> SegmaskExportError:
    return SegmaskExportError(
        "it is there already",
        path,
        "a path where nothing is, or an earlier sheet and the option --overwrite",
        "choose another one, or give the option --overwrite",
    )


def _draw_all(
    archive: Archive, entries: list[tuple[str, str]], side: int, options: argparse.Namespace
) -> Iterator[Drawing]:
    lookup = ClassLookup(archive.label_map, False, options.ignore_index)
    calls: Iterable[tuple[None, Callable[[], Drawing]]] = (
        (
            None,
            partial(draw, archive.storage, lookup, item_id, subset, side, options.max_pixels),
        )
        for item_id, subset in entries
    )
    # Most of the time goes into OpenCV and zlib, which let other threads run.
    drawn = read_ahead(calls, min(8, os.cpu_count() or 1))
    for _, drawing in track(drawn, NullProgressReporter(), "Drawing masks", len(entries)):
        yield drawing()


def _noting_faults(drawings: Iterable[Drawing], faults: list[str]) -> Iterator[Drawing]:
    for drawing in drawings:
        if drawing.fault:
            faults.append(drawing.fault)
        yield drawing
