"""The commands of our own beside those of ``datum``, such as check and preview."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from ..errors import SegmaskError

COMMANDS = {
    "convert": "convert a dataset, as 'datum convert' does, with the options of an import",
    "check": "say what is wrong with an archive, where, and how to mend it",
    "preview": "draw a contact sheet of an archive: an HTML page or a PNG",
    "from-masks": "make an archive that CVAT imports of a folder of masks",
    "recover": "finish or undo an export into a folder that was cut short",
    "selfcheck": "say whether Datumaro finds the format, and with which versions",
}
"""What each command does; it lives in the module of its name, with ``_`` for ``-``."""

OK, FAULTS, UNREADABLE = 0, 1, 2
"""The exit statuses of all commands; argparse also ends with 2 where the options are wrong."""


def main(args: Sequence[str], prog: str = "datumaro-segmask") -> int:
    """Run the command ``args[0]`` with the options behind it; return its exit status."""
    command = importlib.import_module(f"{__name__}.{args[0].replace('-', '_')}")
    parser = argparse.ArgumentParser(
        prog=f"{prog} {args[0]}",
        description=command.__doc__,
        epilog=command.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_options(parser)
    cut = args.index("--") if "--" in args else len(args)
    options, unknown = parser.parse_known_args(args[1:cut])
    options.rest = [*unknown, *args[cut:]]
    if options.rest and not getattr(command, "PASSES_ON", False):
        parser.error(f"unrecognized arguments: {' '.join(options.rest)}")
    try:
        status: int = command.run(options)
        sys.stdout.flush()
    except SegmaskError as error:
        print(f"error: {error}", file=sys.stderr)
        return UNREADABLE
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    return status


def overview(prog: str = "datumaro-segmask") -> str:
    """Return the help of the program as a whole."""
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:{width}}  {does}" for name, does in COMMANDS.items())
    return (
        f"usage: {prog} COMMAND ...\n"
        "\n"
        "Commands for CVAT's 'Segmentation mask 1.1' archives:\n"
        f"{commands}\n"
        "\n"
        f"'{prog} COMMAND --help' says more of each.\n"
        f"Everything else is a command of Datumaro: '{prog} stats ...' is 'datum stats ...',\n"
        "and knows the format 'segmask'. 'datum --help' lists those commands.\n"
    )
