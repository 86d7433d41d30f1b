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
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from typing import Any, NoReturn

import datumaro_segmask

from ..errors import SegmaskError, UsageError
from ..options import nearest_option

COMMANDS = {
    "convert": "convert an archive for training, or any dataset to any format",
    "check": "say what is wrong with archives, where, and how to fix it",
    "preview": "draw a contact sheet of archives: an HTML page or a PNG",
    "from-masks": "make an archive for CVAT from a folder of masks",
    "recover": "finish or undo an export that was cut short",
    "shard": "split archives into tables, COCO files or smaller zips, in parallel",
    "selfcheck": "say whether Datumaro finds the format, and which versions are installed",
    "example": "write an example archive, to try the other commands",
    "explain": "explain a kind of finding, or print the rules of the format",
    "completion": "print a script that completes the commands in bash or zsh",
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

Commands of Datumaro, which also know the formats of this package:
{theirs}
They need {install}.

'{prog} COMMAND --help' explains a command. All commands take these options:
  --quiet    show no progress and no warnings
  --verbose  show all that is logged
  --debug    show the traceback of an error
'{prog} --version' prints the versions.
"""

_REMEDIES = {
    errno.ENOENT: "check the path",
    errno.EEXIST: "choose another path: it is a file, and must be a folder",
    errno.ENOTDIR: "check the path: part of it is a file, and must be a folder",
    errno.EISDIR: "check the path: it is a folder, and must be a file",
    errno.EACCES: "change the permissions, or choose another path",
    errno.EPERM: "change the permissions, or choose another path",
    errno.EROFS: "choose a place that you can write to",
    errno.ENOSPC: "make room on the disk, or choose an output on another one",
    errno.EDQUOT: "make room within your quota, or choose an output on another disk",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "allow more open files ('ulimit -n 4096')",
}


_FLAGS = {
    "--quiet": "Show no progress and no warnings",
    "--verbose": "Show all that is logged",
    "--debug": "Show the traceback of an error",
}
"""The options of all commands, which stand before the command or after it."""


def main(args: Sequence[str], prog: str = "datumaro-segmask") -> int:
    """Run a command, ours or one of Datumaro's; return its exit status.

    Every mistake of the user ends here: one message on stderr, no traceback without ``--debug``.
    """
    own = list(args[: args.index("--")] if "--" in args else args)
    flags = [text for text in own if text in _FLAGS]
    own = [text for text in own if text not in _FLAGS]
    rest = args[len(own) + len(flags) :]
    try:
        try:
            return _run(own, flags, rest, prog)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        _give_up_output()
        return OK
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        _give_up_output()
        if "--debug" in flags:
            traceback.print_exc()
        print(f"error: {_message(error)}", file=sys.stderr)
        is_ours = not own or own[0].startswith("-") or own[0] in {*COMMANDS} - {_OF_BOTH}
        return UNREADABLE if is_ours or isinstance(error, UsageError) else _FAILED


def _give_up_output() -> None:
    """Have what waits to be printed thrown away if it cannot be, so that Python's end is silent."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(own: list[str], flags: Sequence[str], rest: Sequence[str], prog: str) -> int:
    """Run a command. ``own`` are the arguments before ``--`` without the flags."""
    if not own or own[0] in ("-h", "--help"):
        print(_overview(prog), end="")
        return OK
    if own[0] == "--version":
        print(_versions())
        return OK
    name = own[0]
    if name not in COMMANDS:
        return run_datum([*own, *rest], prog, "--quiet" in flags, "--verbose" in flags)
    if "numpy" not in sys.modules:  # whose threads do nothing here, but processes cannot be copied
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    command = _module(name)
    parser = parser_of(name, own[1:], prog)
    known = {text for action in parser._actions for text in action.option_strings}
    typed = (text for text in own[1:] if text.startswith("--"))
    unknown = [text for text in typed if text.partition("=")[0] not in known]
    if not unknown:  # of which argparse would say that others are missing
        options, unknown = parser.parse_known_intermixed_args([*own[1:], *flags])
        options.rest = list(rest[1:])
        if options.rest and not hasattr(command, "TAKES_ARGUMENTS"):
            unknown += options.rest
    if unknown:
        raise unknown_option(parser, unknown, f"{prog} {name}")
    with _loudness(options.quiet, options.verbose):
        status: int = command.run(options)
    return status


class _Parser(argparse.ArgumentParser):
    """A parser whose mistakes are one line, and which raises an error if it cannot print help."""

    def print_help(self, file: Any = None) -> None:
        print(self.format_help(), end="", file=file)

    def error(self, message: str) -> NoReturn:
        remedy = f"'{self.prog} --help' lists the options"
        self.exit(UNREADABLE, f"error: {message}. To fix it: {remedy}.\n")


def parser_of(
    name: str, args: Sequence[str] = (), prog: str = "datumaro-segmask"
) -> argparse.ArgumentParser:
    """Return the parser of one of our commands, whose options may depend on its arguments."""
    command = _module(name)
    parser = _Parser(
        prog=f"{prog} {name}",
        description=command.__doc__,
        epilog=command.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_options(*([parser, args] if hasattr(command, "TAKES_ARGUMENTS") else [parser]))
    for flag, text in _FLAGS.items():
        parser.add_argument(flag, action="store_true", help=text)
    return parser


def _module(name: str) -> Any:
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")


def unknown_option(parser: argparse.ArgumentParser, unknown: list[str], command: str) -> UsageError:
    """Make the error for arguments that a command does not have; names what may be meant."""
    first = next((text for text in unknown if text.startswith("-")), unknown[0])
    if not first.startswith("-"):
        return UsageError("this is one argument too many", first, remedy="leave it out")
    meant = nearest_option(parser, first)
    remedy = f"type '{meant}'" if meant else f"'{command} --help' lists them"
    return UsageError("there is no such option", first.partition("=")[0], remedy=remedy)


def run_datum(
    args: list[str], prog: str = "datum", quiet: bool = False, verbose: bool = False
) -> int:
    """Run a command of Datumaro, which then knows the format; return its exit status.

    Raises UsageError for one that there is not, and what Datumaro raises.
    """
    if args[0].startswith("-") and args[0].partition("=")[0] != "--loglevel":
        near = get_close_matches(args[0].replace("_", "-"), ["--help", "--version", *_FLAGS], 1)
        remedy = f"type '{near[0]}'" if near else f"'{prog} --help' lists them"
        raise UsageError("there is no such option", args[0], remedy=remedy)
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

    level = "error" if quiet else "debug" if verbose else "info"
    with _said_once(), _loudness(quiet, verbose):
        status: int = datum(["--loglevel", level, *args])
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
def _loudness(quiet: bool, verbose: bool) -> Iterator[None]:
    """Show no progress and no warnings, here and in worker processes; or all that is logged."""
    log = logging.getLogger("datumaro_segmask")
    level, disabled = log.level, os.environ.get(_NO_BARS)
    # Else Datumaro, which logs while it is loaded, has the name of a module before each message.
    logging.basicConfig(format="%(levelname)s: %(message)s")
    if verbose:
        log.setLevel(logging.DEBUG)
    if quiet:
        log.setLevel(logging.ERROR)
        os.environ[_NO_BARS] = "1"
    try:
        yield
    finally:
        log.setLevel(level)
        if disabled is None:
            os.environ.pop(_NO_BARS, None)
        else:
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
        return str(
            UsageError("there is not enough memory", "this computer", remedy="close other programs")
        )
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


def add_archives(parser: argparse.ArgumentParser) -> None:
    """Add the archives that a command reads."""
    parser.add_argument(
        "path", metavar="PATH", nargs="+", help="Archives: folders, zips, URLs, or patterns of such"
    )


def add_dask(parser: argparse.ArgumentParser) -> None:
    """Add the cluster that may work in the place of processes."""
    parser.add_argument(
        "--dask", metavar="ADDRESS", help="Scheduler of a Dask cluster, such as tcp://host:8786"
    )


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


def already_there(path: str, kind: str, is_of_kind: bool) -> UsageError:
    """Make the error for an output where something is that stays; ``kind`` could be replaced."""
    return UsageError(
        "it already exists" + ("" if is_of_kind else f", and is no {kind}"),
        path,
        f"a new path, or an earlier {kind} and the option --overwrite",
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
