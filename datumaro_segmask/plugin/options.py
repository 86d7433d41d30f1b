"""Options that several parsers of the command line share, so that they read alike everywhere."""

from __future__ import annotations

import argparse

from ..png.container import MAX_PIXELS
from ..regions.components import CONNECTIVITIES


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--ignore-index`` and ``--max-pixels``, for what reads masks."""
    parser.add_argument(
        "--ignore-index",
        type=int,
        help="Value of gray class masks that means 'no annotation', such as 255 "
        "(default: every value must be a line of the label map)",
    )
    parser.add_argument(
        "--max-pixels",
        type=int,
        default=MAX_PIXELS,
        help="Refuse masks with more pixels (default: %(default)s)",
    )


def add_component_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--connectivity`` and ``--min-area``, for what finds connected components."""
    parser.add_argument(
        "--connectivity",
        type=int,
        choices=CONNECTIVITIES,
        default=CONNECTIVITIES[0],
        help="Whether pixels that touch at a corner are one component (8) or not (4) "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--min-area",
        type=int,
        default=0,
        help="Leave out components of fewer pixels (default: %(default)s)",
    )
