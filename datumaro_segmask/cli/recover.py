"""Finish an export that was cut short while it moved its files into a folder, or undo it. Nothing
is lost either way, because the old files are kept until all new ones are in place."""

from __future__ import annotations

import argparse
import os

from ..errors import ArchiveError, printable
from ..storage import folder_roots, is_inside, recover, stagings
from . import OK

EPILOG = """\
exit status:
  0  the folder is complete
  2  it is not: an export is still running, or files are missing; the message names them

examples:
  datumaro-segmask recover dataset
  datumaro-segmask recover dataset --back
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help="Folder that an export went to")
    parser.add_argument(
        "--back",
        action="store_true",
        help="Undo the export, so that the old dataset is there again (default: finish it)",
    )


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    if not os.path.isdir(options.path):
        raise ArchiveError("there is no such folder", options.path, "a folder", "check the path")
    top = os.path.realpath(options.path)
    found = (os.path.realpath(root) for root in (top, *folder_roots(top)))
    roots = dict.fromkeys(root for root in found if is_inside(root, top) and stagings(root))
    exports = sum(recover(root, back=options.back) for root in roots)
    done = "undone" if options.back else "finished"
    if exports:
        print(f"{printable(options.path)}: the export is {done}.")
    else:
        print(f"{printable(options.path)}: nothing to do, no export was cut short here.")
    return OK
