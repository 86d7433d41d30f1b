"""The commands of our own beside those of ``datum``, and how a mistake in any of them ends."""

from __future__ import annotations

import argparse
import errno
import importlib
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from difflib import get_close_matches
from typing import Any

import datumaro_segmask

from ..errors import SegmaskError, UsageError
from ..options import option_meant

COMMANDS = {
    "convert": "convert an archive for training, or any dataset to any format",
    "check": "say what is wrong with archives, where, and how to fix it",
    "preview": "draw a contact sheet of archives: an HTML page or a PNG",
    "from-masks": "make an archive for CVAT from a folder of masks",
    "recover": "finish or undo an export that was cut short",
    "shard": "cut archives into tables, COCO files or smaller zips, in parallel",
    "selfcheck": "say whether Datumaro finds the format, and which versions are installed",
    "example": "write an example archive, to try the other commands",
    "explain": "explain a kind of finding, or print the rules of the format",
}
"""What each command does; it lives in the module of its name, with ``_`` for ``-``."""

DATUM_COMMANDS = {
    "detect": "detect the format of a dataset",
    "format": "list the formats that can be imported and exported",
    "dinfo": "print what is in a dataset",
    "stats": "compute statistics of a dataset",
    "filter": "filter the items of a dataset",
    "transform": "modify the items of a dataset",
    "merge": "merge datasets",
    "patch": "update a dataset from another one",
    "compare": "compare datasets",
    "validate": "validate a dataset",
    "download": "download a dataset that is public",
    "util": "auxiliary tools",
}
"""What the commands do that every version of Datumaro has; a test holds them."""

OK, FAULTS, UNREADABLE, INTERRUPTED = 0, 1, 2, 130
"""The exit statuses of all commands; argparse also ends with 2 where the options are wrong."""

_HELP = """\
usage: {prog} COMMAND ...

Commands for CVAT's 'Segmentation mask 1.1' archives:
{ours}

Commands of Datumaro, which here know the formats of this package:
{theirs}
They need {install}.

'{prog} COMMAND --help' says more of each. With all of them
  --debug    shows the traceback of an error
and with those for archives
  --quiet    shows no progress and no warnings
'{prog} --version' says which versions are at work.
"""

_REMEDIES = {
    errno.ENOENT: "check the path",
    errno.EEXIST: "choose another path: there is a file where a folder is meant",
    errno.ENOTDIR: "check the path: a part of it is a file where a folder is meant",
    errno.EISDIR: "check the path: it is a folder where a file is meant",
    errno.EACCES: "change the permissions, or choose another path",
    errno.EPERM: "change the permissions, or choose another path",
    errno.EROFS: "choose a place that can be written to",
    errno.ENOSPC: "make room on the disk, or choose an output on another one",
    errno.EDQUOT: "make room within your quota, or choose an output on another disk",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "allow more open files ('ulimit -n 4096')",
}


def main(args: Sequence[str], prog: str = "datumaro-segmask") -> int:
    """Run a command, ours or one of Datumaro's; return its exit status.

    Every mistake of the user ends here: one message on stderr, no traceback without ``--debug``.
    """
    if not args or args[0] in ("-h", "--help"):
        print(_overview(prog), end="")
        return OK
    if args[0] == "--version":
        print(_versions())
        return OK
    own = list(args[: args.index("--")] if "--" in args else args)
    debug = "--debug" in own
    if debug:
        own.remove("--debug")
    try:
        status = _run([*own, *args[len(own) + debug :]], prog)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if debug:
            traceback.print_exc()
        print(f"error: {_message(error)}", file=sys.stderr)
        is_ours = (own[0] in COMMANDS and own[0] != _OF_BOTH) or isinstance(error, UsageError)
        return UNREADABLE if is_ours else _FAILED
    return status


def _run(args: list[str], prog: str) -> int:
    if args[0] not in COMMANDS:
        return run_datum(args, prog)
    command = _module(args[0])
    cut = args.index("--") if "--" in args else len(args)
    parser = parser_of(args[0], args[1:cut], prog)
    options, unknown = parser.parse_known_intermixed_args(args[1:cut])
    options.rest = args[cut + 1 :]
    if unknown or (options.rest and not hasattr(command, "TAKES_ARGUMENTS")):
        raise unknown_option(parser, unknown or options.rest, f"{prog} {args[0]}")
    with _silence() if options.quiet else nullcontext():
        status: int = command.run(options)
    return status


def parser_of(
    name: str, args: Sequence[str] = (), prog: str = "datumaro-segmask"
) -> argparse.ArgumentParser:
    """Return the parser of one of our commands, whose options may depend on its arguments."""
    command = _module(name)
    parser = argparse.ArgumentParser(
        prog=f"{prog} {name}",
        description=command.__doc__,
        epilog=command.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_options(*([parser, args] if hasattr(command, "TAKES_ARGUMENTS") else [parser]))
    parser.add_argument("--quiet", action="store_true", help="Show no progress and no warnings")
    parser.add_argument("--debug", action="store_true", help="Show the traceback of an error")
    return parser


def _module(name: str) -> Any:
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")


def unknown_option(parser: argparse.ArgumentParser, unknown: list[str], command: str) -> UsageError:
    """Make the error for arguments that a command does not have; names what may be meant."""
    first = next((text for text in unknown if text.startswith("-")), unknown[0])
    if not first.startswith("-"):
        return UsageError("this is one argument too many", first, remedy="leave it out")
    meant = option_meant(parser, first)
    remedy = f"type '{meant}'" if meant else f"'{command} --help' lists them"
    return UsageError("there is no such option", first.partition("=")[0], remedy=remedy)


def run_datum(args: list[str], prog: str = "datum") -> int:
    """Run a command of Datumaro, which then knows the format; return its exit status.

    Raises UsageError for one that there is not, and what Datumaro raises.
    """
    datumaro_segmask.register()
    theirs = _datum_commands()
    if not theirs:
        what = "packages that Datumaro's commands need are missing"
        raise UsageError(what, "this environment", remedy=f'type "{_INSTALL}"')
    if not args[0].startswith("-") and args[0] not in theirs:
        meant = get_close_matches(args[0], [*COMMANDS, *theirs], 1)
        raise UsageError(
            "there is no such command",
            args[0],
            remedy=f"type '{prog} {meant[0]}'" if meant else f"'{prog} --help' lists them",
        )
    from datumaro.cli.__main__ import main as datum

    with _said_once():
        status: int = datum(args)
    return status


def _datum_commands() -> list[str]:
    """Return the commands of Datumaro; none where it lacks what they need."""
    from datumaro.cli.__main__ import make_parser

    try:
        parser = make_parser()
    except (ImportError, AttributeError):  # the latter of what Datumaro imports lazily
        return []
    return next([*a.choices] for a in parser._actions if isinstance(a, argparse._SubParsersAction))


@contextmanager
def _said_once() -> Iterator[None]:
    """Keep back what Datumaro logs of an exception that it raises next: `main` says it."""

    def is_not_raised_next(record: logging.LogRecord) -> bool:
        from datumaro.cli.util.errors import CliException

        return isinstance(record.msg, CliException) or not isinstance(record.msg, Exception)

    logging.root.addFilter(is_not_raised_next)
    try:
        yield
    finally:
        logging.root.removeFilter(is_not_raised_next)


@contextmanager
def _silence() -> Iterator[None]:
    """Show no progress, here and in worker processes, and no warnings."""
    log = logging.getLogger("datumaro_segmask")
    level, disabled = log.level, os.environ.get(_NO_BARS)
    log.setLevel(logging.ERROR)
    os.environ[_NO_BARS] = "1"
    try:
        yield
    finally:
        log.setLevel(level)
        os.environ.pop(_NO_BARS)
        if disabled is not None:
            os.environ[_NO_BARS] = disabled


def _message(error: BaseException) -> str:
    """Return what the user should know of an error: our own words where there are any."""
    # An error of Datumaro's comes from this module, so it is loaded; nobody else waits for it.
    theirs = sys.modules.get("datumaro.components.errors")
    not_found = getattr(theirs, "DatasetNotFoundError", FileNotFoundError)
    chain = [error]
    while (below := chain[-1].__cause__) is not None and below not in chain:
        chain.append(below)
    for link in chain:
        if isinstance(link, SegmaskError):
            return str(link)
    for link in chain:
        if isinstance(link, OSError) and link.errno is not None:
            return _os_message(link)
        if isinstance(link, ModuleNotFoundError) and link.name is None:
            return str(link)  # Datumaro's own, which says what to install
        if isinstance(link, ModuleNotFoundError):
            what = f"the package {link.name!r} is missing"
            return str(UsageError(what, "this environment", remedy=f'type "{_INSTALL}"'))
    if isinstance(error, MemoryError):
        return str(UsageError("the memory is full", "this computer", remedy="close other programs"))
    said = dict.fromkeys(str(link) or type(link).__name__ for link in chain)
    text = " ".join(f"{text.rstrip('.')}." for text in said)
    if isinstance(error, (not_found, FileNotFoundError)):
        return f"{text} To fix it: check the path."
    if isinstance(error, getattr(theirs, "DatumaroError", ())):
        return text
    return f"{type(error).__name__}: {text} To see where, type it again with the option --debug."


def _os_message(error: OSError) -> str:
    what = os.strerror(error.errno or 0)
    remedy = _REMEDIES.get(error.errno or 0, "check the path and the disk")
    where = error.filename or "the output"
    return str(UsageError(what[:1].lower() + what[1:], os.fsdecode(where), remedy=remedy))


def claim_output(path: str) -> None:
    """Say before the work whether a file or folder can be written; makes the folders above it.

    Raises OSError where it cannot, and SegmaskExportError for a URL.
    """
    import tempfile

    from ..storage import check_on_disk

    check_on_disk(path)
    path = os.path.abspath(path)
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def write_whole(path: str, data: bytes) -> None:
    """Write a file so that it is there as a whole or not at all."""
    import secrets

    unfinished = f"{path}.{secrets.token_hex(8)}.part"
    try:
        with open(unfinished, "xb") as file:
            file.write(data)
        os.replace(unfinished, path)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(unfinished)
        if isinstance(error, OSError) and error.filename in (None, unfinished):
            error.filename, error.filename2 = path, None
        raise


def in_the_way(path: str, kind: str, is_of_kind: bool) -> UsageError:
    """Make the error for an output where something is that stays; ``kind`` could be replaced."""
    return UsageError(
        "it is there already" + ("" if is_of_kind else f", and is no {kind}"),
        path,
        f"a path where nothing is, or an earlier {kind} and the option --overwrite",
        "choose another one" + (", or give the option --overwrite" if is_of_kind else ""),
    )


def _overview(prog: str) -> str:
    return _HELP.format(
        prog=prog, ours=_lines(COMMANDS), theirs=_lines(DATUM_COMMANDS), install=_INSTALL
    )


def _lines(commands: dict[str, str]) -> str:
    width = max(map(len, [*COMMANDS, *commands]))
    return "\n".join(f"  {name:{width}}  {does}" for name, does in commands.items())


def _versions() -> str:
    from importlib.metadata import version

    return (
        f"datumaro-segmask {datumaro_segmask.__version__} "
        f"(Datumaro {version('datumaro')}, Python {sys.version.split()[0]})"
    )


_INSTALL = "pip install 'datumaro-segmask[cli]'"
_FAILED = 1  # with which `datum` ends
_OF_BOTH = "convert"  # our command, but Datumaro's exit status

_NO_BARS = "TQDM_DISABLE"  # tqdm's own switch, which `plugin.host` heeds too
