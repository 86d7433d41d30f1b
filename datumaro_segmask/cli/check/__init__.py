"""Read an archive (a folder or a zip) to its end, and say what is wrong with it, where, how many
pixels are concerned, and how to mend it; then count what is in it, by subset and label."""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import BrokenExecutor, Executor
from contextlib import AbstractContextManager, nullcontext

from ...errors import SegmaskImportError, UsageError
from ...options import add_reading_options
from ...storage import shown
from .. import FAULTS, OK, UNREADABLE
from .report import as_json, print_report
from .survey import survey

EPILOG = """\
severities:
  error    it cannot be read as it stands
  warning  it is read, but can hardly be meant
  note     good to know
with --for cvat:
  error    CVAT refuses the archive
  warning  CVAT silently leaves it out, or reads something else
  note     good to know

exit status:
  0  nothing was found but notes
  1  there are errors or warnings
  2  there is no archive that could be read

example:
  datumaro-segmask check task.zip --for cvat
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help="Archive: a folder or a zip")
    parser.add_argument(
        "--for",
        dest="judge",
        choices=["segmask", "cvat"],
        default="segmask",
        help="Who is to read it: this package, or CVAT itself (default: %(default)s)",
    )
    parser.add_argument(
        "--json", action="store_true", help="Print one JSON object (default: a report to read)"
    )
    parser.add_argument(
        "--all", action="store_true", help="Show every finding (default: the first 10 of a kind)"
    )
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="Processes (default: %(default)s)"
    )
    parser.add_argument(
        "--dask", metavar="ADDRESS", help="Scheduler of a Dask cluster, such as tcp://host:8786"
    )
    add_reading_options(parser)


def _cluster(address: str | None) -> AbstractContextManager[Executor | None]:
    if address is None:
        return nullcontext()
    from ...sharding import dask_cluster  # and with it pyarrow, for which nobody else waits

    return dask_cluster(address)


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    for_cvat = options.judge == "cvat"
    try:
        with _cluster(options.dask) as executor:
            found = survey(
                options.path,
                for_cvat=for_cvat,
                ignore_index=options.ignore_index,
                max_pixels=options.max_pixels,
                jobs=options.jobs,
                executor=executor,
            )
    except BrokenExecutor as error:
        raise UsageError(
            "a process that checks masks has died",
            shown(options.path),
            "enough memory for each of them",
            "give fewer --jobs",
        ) from error
    except SegmaskImportError as error:
        if not options.json:
            raise
        report = {"file": error.where, "what": error.what, "fix": error.remedy}
        json.dump({"path": shown(options.path), "status": UNREADABLE, "error": report}, sys.stdout)
        print()
        return UNREADABLE
    totals = found.totals()
    status = FAULTS if totals["error"] or totals["warning"] else OK
    if options.json:
        json.dump(as_json(shown(options.path), status, found), sys.stdout, indent=1)
        print()
    else:
        print_report(shown(options.path), found, shown=sys.maxsize if options.all else 10)
    return status
