"""Print a section of the format's rules (docs/format.md), which messages cite by its number; or all
of them, or the list of the sections."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from ..errors import UsageError
from . import OK

EPILOG = """\
examples:
  datumaro-segmask explain
  datumaro-segmask explain 2
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "section",
        nargs="?",
        metavar="SECTION",
        help="Number of the section, or 'all' (default: list the sections)",
    )


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    text = shipped("docs/format.md").read_text("utf-8")
    found = sections(text)
    if options.section is None:
        print("\n".join(f"{number}  {body.splitlines()[0]}" for number, body in found.items()))
        print("\n'datumaro-segmask explain NUMBER' prints one of them.")
    elif options.section == "all":
        print(text.strip())
    elif options.section in found:
        print(f"{options.section}. {found[options.section]}")
    else:
        raise UsageError(
            "there is no such section",
            options.section,
            f"a number from 1 to {len(found)}, or 'all'",
            "'datumaro-segmask explain' lists them",
        )
    return OK


def sections(text: str) -> dict[str, str]:
    """Return the sections of docs/format.md by their numbers, each from its title on."""
    parts = re.split(r"^## (\d+)\. ", text, flags=re.MULTILINE)
    return {number: body.strip() for number, body in zip(parts[1::2], parts[2::2], strict=True)}


def shipped(place: str) -> Path:
    """Return a file that an installed package has beside its code, a checkout in its own place."""
    installed = Path(__file__).parent / "shipped" / Path(place).name
    return installed if installed.is_file() else Path(__file__).parents[2] / place
