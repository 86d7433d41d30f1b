"""Write an example archive, like those that CVAT exports, to try the other commands. It has six
street scenes with class masks, instance masks and images, in two subsets."""

from __future__ import annotations

import argparse
import os

from ..errors import UsageError
from . import OK, claim_output, write_whole
from .explain import shipped

EPILOG = """\
example:
  datumaro-segmask example
  datumaro-segmask preview street.zip -o street.html
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o", "--output", metavar="OUT", default="street.zip", help="Zip to write (%(default)s)"
    )


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    if os.path.lexists(options.output):
        expected = "a new path"
        raise UsageError("it already exists", options.output, expected, "choose another with -o")
    claim_output(options.output)
    write_whole(options.output, shipped("examples/street.zip").read_bytes())
    print(f"{options.output}\nnext: datumaro-segmask preview {options.output} -o street.html")
    return OK
