"""Options that several commands have."""

from __future__ import annotations

import argparse

from .png import MAX_PIXELS


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
