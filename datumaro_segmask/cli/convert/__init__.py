"""Convert an archive for training, or any dataset to any format. The options of the import, of the
split and of the export are given in one line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import datumaro_segmask

from ...options import COMPONENTS, EXPORTS, IMPORTS, POLYGON, add_to, number_type, options_of
from ...processes import cores
from .. import add_dask

EPILOG = """\
The format that -f names has more options: 'datumaro-segmask convert -f FORMAT --help' lists them.
--tolerance implies '--annotation polygon'; --connectivity and --min-area imply '--instances
components'; '-f semantic_masks' implies '--unknown keep'.

exit status:
  0  everything is converted
  1  something could not be converted

examples:
  datumaro-segmask convert task.zip -f yolo_segments -o yolo --random-split train:.7,val:.3
  datumaro-segmask convert task.zip --ignore-index 255 -f coco_segments -o coco
  datumaro-segmask convert runs/segment/predict --images photos --names data.yaml \\
      --min-score 0.5 -f segmask -o upload --zip
"""

TAKES_ARGUMENTS = True
"""Its options depend on the format that is named among its arguments."""


def add_options(parser: argparse.ArgumentParser, args: Sequence[str] = ()) -> None:
    """Add the options of the command, and those of the format that ``args`` name with ``-f``."""
    parser.add_argument("path", nargs="?", metavar="PATH", help="Dataset to read, such as a zip")
    parser.add_argument("-i", "--input-path", dest="input", metavar="PATH", help="The same")
    parser.add_argument(
        "-if", "--input-format", metavar="FORMAT", help="Its format (default: detected)"
    )
    parser.add_argument(
        "-f", "--output-format", metavar="FORMAT", help="Format to write, such as yolo_segments"
    )
    parser.add_argument(
        "-o", "--output-dir", metavar="OUT", help="Folder to write to; for segmask also a zip"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="Write into OUT even if it is not empty"
    )
    parser.add_argument("-e", "--filter", metavar="XPATH", help="See 'datum filter --help'")
    parser.add_argument("--filter-mode", metavar="MODE", help="See 'datum filter --help'")
    parser.add_argument(
        "--random-split",
        type=parse_ratios,
        metavar="SPLITS",
        help="Make a new split, as in 'train:.7,val:.3'; the same ids and seed give the same split",
    )
    parser.add_argument(
        "--seed",
        type=number_type(),
        default=0,
        help="Another number gives another split (default: 0)",
    )
    parser.add_argument(
        "--save-media",
        action=argparse.BooleanOptionalAction,
        help="Write the images, too (default: only for training formats)",
    )
    parser.add_argument(
        "--skip-broken",
        action="store_true",
        help="Leave out broken items, list them, and end with status 1",
    )
    parser.add_argument(
        "--jobs",
        type=number_type(least=1),
        default=cores(),
        metavar="N",
        help="Processes that convert an archive, if there is enough to do; the files are the same "
        "(default: one per core, here %(default)s)",
    )
    add_dask(parser)
    _add_import_options(parser)
    parser.set_defaults(unknown=None)  # which the format decides
    name = _format_in(args)
    if name in EXPORTS:
        group = parser.add_argument_group(f"options of the format {name}")
        add_to(group, EXPORTS[name], but={action.dest for action in parser._actions})
    elif name is not None:
        from .conversion import exporter_of

        exporter_of(name)  # which says what may be meant by a format that there is not


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    datumaro_segmask.register()
    from .conversion import convert  # and with it Datumaro

    return convert(options, _chosen(options))


def parse_ratios(text: str) -> dict[str, Fraction]:
    """Return the share of each split of a text such as ``train:.7,val:.3``.

    Raises argparse.ArgumentTypeError for what is none, and for shares that are not 1 together.
    """
    shares: dict[str, Fraction] = {}
    for pair in filter(str.strip, text.split(",")):
        name, _, share = (part.strip() for part in pair.rpartition(":"))
        try:
            shares[name] = Fraction(share)
        except (ValueError, ZeroDivisionError):
            shares[name] = Fraction(-1)
    if not shares or "" in shares or min(shares.values()) <= 0 or sum(shares.values()) != 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a split: give names, and shares that add up to 1, as in "
            "'train:.7,val:.3'"
        )
    return shares


def _format_in(args: Sequence[str]) -> str | None:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-f", "--output-format")
    found: str | None = parser.parse_known_args([*args])[0].output_format
    return found


def _chosen(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options of the import that were given, and those that they imply."""
    known = (option for declared in IMPORTS.values() for option in options_of(declared))
    given = ((option, getattr(options, option.name)) for option in known)
    chosen = {o.name: value for o, value in given if value not in (o.default, None)}
    if "tolerance" in chosen:
        chosen.setdefault("annotation", POLYGON)
    if chosen.keys() & {"connectivity", "min_area"}:
        chosen.setdefault("instances", COMPONENTS)
    return chosen


def _add_import_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the imports, each once."""
    for declared in IMPORTS.values():
        add_to(parser, declared, but={action.dest for action in parser._actions})
