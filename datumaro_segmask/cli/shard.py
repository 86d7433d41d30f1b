"""Split archives into shards of N items each: tables (Parquet), COCO files or archives (zips), by
several processes or a Dask cluster. A run that was cut short continues where it stopped."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from typing import Any

from tqdm import tqdm

from ..errors import SegmaskExportError, UsageError, counted, numbered, printable
from ..options import SEGMENTATIONS, Numbers, add_to
from ..progress import is_watched
from ..sharding import (
    CocoShards,
    Kind,
    ParquetShards,
    Reading,
    ZipShards,
    dask_cluster,
    make_plan,
    run_in_processes,
)
from ..sharding import run as run_parts
from ..storage import shown
from . import FAULTS, OK, add_archives, add_dask

SHARD_KINDS: dict[str, Callable[[], Kind]] = {
    "parquet": ParquetShards,
    "coco": CocoShards,
    "segmask": ZipShards,
}

_SHOWN = 10  # errors of items

EPILOG = """\
The file _segmask.json is written last. It names the shards, counts items, instances and pixels by
label, and lists the errors of items that could not be read.

Upload each shard of --to segmask to its own CVAT job or task, because an upload replaces all
annotations that are there.

exit status:
  0  all shards are there
  1  they are there, but without the items that cannot be read
  2  an archive cannot be read, or other shards are in the way

examples:
  datumaro-segmask shard task.zip -o table --to parquet --jobs 4
  datumaro-segmask shard 'tasks/*.zip' -o shards --to segmask --shard-items 1000
  datumaro-segmask shard task.zip -o coco --to coco --segmentation rle
  datumaro-segmask shard s3://bucket/tasks/*.zip -o s3://bucket/table --dask tcp://scheduler:8786
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    add_archives(parser)
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help="Folder or URL")
    parser.add_argument(
        "--to",
        choices=SHARD_KINDS,
        default="parquet",
        help="Kind of the shards (default: %(default)s)",
    )
    parser.add_argument(
        "--segmentation",
        choices=SEGMENTATIONS,
        help="With --to coco: 'polygons', or 'rle', compressed (default: polygons)",
    )
    add_to(parser, Numbers)
    add_dask(parser)
    parser.add_argument(
        "--overwrite", action="store_true", help="Replace the shards of another run (default: stop)"
    )


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    kind = SHARD_KINDS[options.to]()
    if options.segmentation is not None:
        if options.to != "coco":
            raise UsageError(
                f"it has nothing to do with shards of the kind {options.to!r}",
                "--segmentation",
                remedy="give --to coco, or leave it out",
            )
        kind = CocoShards(options.segmentation)
    plan = make_plan(options.path, options.shard_items)
    with tqdm(
        total=len(plan), unit=" shards", delay=1, leave=False, disable=not is_watched()
    ) as bar:
        more: dict[str, Any] = {
            "reading": Reading(options.ignore_index, options.max_pixels),
            "overwrite": options.overwrite,
            "progress": lambda done, _: bar.update(done - bar.n),
        }
        try:
            if options.dask:
                with dask_cluster(options.dask) as executor:
                    manifest = run_parts(plan, kind, options.output, executor, **more)
            else:
                manifest = run_in_processes(plan, kind, options.output, options.jobs, **more)
        except BrokenExecutor as error:
            raise SegmaskExportError(
                "the processes that make the shards keep dying",
                shown(options.output),
                "enough memory for each of them",
                "give fewer --jobs; the same command continues from what is done",
            ) from error
    return _report(manifest)


def _report(manifest: dict[str, Any]) -> int:
    shards = len(manifest["parts"])
    items, size = counted(manifest["items"], "item"), counted(manifest["bytes"], "byte")
    print(f"{items} in {counted(shards, 'shard')}, {size}")
    for name, counts in manifest["labels"].items():
        shown = printable(name) or "(no label)"
        instances = counted(counts["instances"], "instance")
        print(f"  {shown}: {instances}, {counted(counts['pixels'], 'pixel')}")
    for what, number in manifest["left_out"].items():
        print(f"left out: {numbered(number, what)}")
    errors = [error for part in manifest["parts"] for error in part["errors"]]
    for error in errors[:_SHOWN]:
        print(f"error: {printable(error['error'])}", file=sys.stderr)
    broken = manifest["broken"]
    if broken > _SHOWN:
        more = counted(broken - _SHOWN, "more item")
        print(f"and {more} that cannot be read", file=sys.stderr)
    return FAULTS if broken else OK
