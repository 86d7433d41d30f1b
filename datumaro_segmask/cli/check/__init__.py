"""Read whole archives (folders or zips), and say what is wrong with them, where, how many pixels
are concerned, and how to fix it. Then count items, instances and pixels by subset and label."""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import BrokenExecutor, Executor
from contextlib import AbstractContextManager, nullcontext

from ...errors import SegmaskImportError, UsageError
from ...options import Numbers, add_to
from ...rules import ERROR, WARNING
from ...storage import fitting, shown
from .. import FAULTS, OK, UNREADABLE, add_archives, add_dask
from .report import FIRST, FORMATS, Outcome
from .survey import Survey, check

EPILOG = """\
severities:
  error    it cannot be read as it is
  warning  it can be read, but is probably a mistake
  note     good to know
with --for cvat:
  error    CVAT refuses the archive
  warning  CVAT silently leaves it out, or reads something else
  note     good to know

exit status:
  0  nothing was found, or only notes
  1  there are errors or warnings
  2  no archive could be read
For several archives it is the highest of all.

examples:
  datumaro-segmask check task.zip --for cvat
  datumaro-segmask check tasks/*.zip
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    add_archives(parser)
    parser.add_argument(
        "--for",
        dest="judge",
        choices=["segmask", "cvat"],
        default="segmask",
        help="Who will read it: this package, or CVAT (default: %(default)s)",
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="text",
        help="Print a report for people, one JSON object, or annotations for a GitHub workflow "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--json",
        dest="format",
        action="store_const",
        const="json",
        help="The same as --format json",
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help="Show every finding (default: the first 10 of a kind; no notes for several archives, "
        "and for GitHub)",
    )
    add_dask(parser)
    add_to(parser, Numbers, but=("shard_items",))


def _cluster(address: str | None) -> AbstractContextManager[Executor | None]:
    if address is None:
        return nullcontext()
    from ...sharding import dask_cluster  # and with it pyarrow, for which nobody else waits

    return dask_cluster(address)


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status, of several archives the highest."""
    paths, status = fitting(options.path), OK
    output = FORMATS[options.format](len(paths), sys.maxsize if options.all else FIRST)
    with _cluster(options.dask) as executor:
        for path in paths:
            outcome: Outcome
            try:
                outcome = _survey(path, options, executor)
            except SegmaskImportError as error:
                outcome, of_archive = error, UNREADABLE
            else:
                totals = outcome.totals()
                of_archive = FAULTS if totals[ERROR] or totals[WARNING] else OK
            output.add(shown(path), of_archive, outcome)
            status = max(status, of_archive)
    output.end(status)
    return status


def _survey(path: str, options: argparse.Namespace, executor: Executor | None) -> Survey:
    try:
        return check(
            path,
            for_cvat=options.judge == "cvat",
            ignore_index=options.ignore_index,
            max_pixels=options.max_pixels,
            jobs=options.jobs,
            executor=executor,
        )
    except BrokenExecutor as error:
        raise UsageError(
            "a process that checks masks died",
            shown(path),
            "enough memory for each of them",
            "give fewer --jobs",
        ) from error
