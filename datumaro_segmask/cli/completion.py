"""Print a script with which a shell completes commands, options and paths at the tab key. It needs
the package shtab, which comes with the extra 'cli'."""

from __future__ import annotations

import argparse

from ..options import EXPORTS
from . import COMMANDS, DATUM_COMMANDS, OK, parser_of

EPILOG = """\
examples:
  datumaro-segmask completion bash > ~/.local/share/bash-completion/completions/datumaro-segmask
  datumaro-segmask completion zsh > ~/.zfunc/_datumaro-segmask
"""

_PATHS = {"DIR", "FILE", "OUT", "PATH"}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=["bash", "zsh"], help="The shell")


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    import shtab

    whole = argparse.ArgumentParser("datumaro-segmask")
    commands = whole.add_subparsers()
    for name, does in {**DATUM_COMMANDS, **COMMANDS}.items():
        own = [parser_of(name)] if name in COMMANDS else []
        parser = commands.add_parser(name, parents=own, add_help=not own, help=does)
        for action in parser._actions:
            if action.metavar in _PATHS:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
            elif action.dest == "output_format":
                action.choices = [*EXPORTS]
    print(shtab.complete(whole, options.shell))
    return OK
