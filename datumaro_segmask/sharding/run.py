"""Parts done by any executor: processes of this machine, or the workers of a cluster.

A part writes its files under names that follow from its number, each completely or not at all. So
running a part twice changes nothing, and a run that was cut short continues where it stopped. The
extra ``dask`` installs what a cluster takes.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ..archive import Item, LabelMap, Reader
from ..errors import ArchiveError, SegmaskExportError, SegmaskImportError
from ..processes import begin_worker, uninterrupted
from ..storage import Entry, shown, version
from .manifest import ShardSink
from .parts import Part, Plan, Reading, open_reader

_WAITING = 256  # parts that are given to an executor ahead; each is some 100 kB of ids
_SHOWN_ERRORS = 100  # of a part, in the manifest; the table has them all
_PATIENCE = 2.0  # seconds: what takes no longer is not worth the start of processes
_MOST_BREAKS = 3  # pools in a row that break without having done a part


class Kind(Protocol):
    """What is made of a part: a value that can be pickled."""

    @property
    def name(self) -> str:
        """What the command line and the manifest call it."""

    def write(self, part: Part, reader: Reader, job: Job, target: ShardSink, found: Found) -> None:
        """Read the items of a part, and write its files; tell ``found`` of each of both."""

    def options(self) -> dict[str, Any]:
        """Return what decides about the bytes of the files."""


@dataclass(frozen=True)
class Job:
    """What every worker has to know, for any part."""

    kind: Kind
    out: str
    label_map: LabelMap
    reading: Reading
    run: str = ""
    """Of `ShardSink`: what outlives its driver must not write among the shards of the next one."""


class Found:
    """The results of a part.

    ``positions``: the positions of the archive's labels among the labels of the job.
    """

    def __init__(self, label_map: LabelMap, positions: Sequence[int | None]) -> None:
        self._labels = [label.name for label in label_map.labels]
        self.positions = positions
        self.items = 0
        self.rows = 0
        self.bytes = 0
        self.files: list[str] = []
        self.left_out: Counter[str] = Counter()
        self.errors: list[dict[str, str]] = []
        self.broken = 0
        self._instances: Counter[str] = Counter()
        self._pixels: Counter[str] = Counter()

    def add(self, entry: Entry, item: Item | SegmaskImportError) -> Item | SegmaskImportError:
        """Count an item, or note why it cannot be read; return it with the labels of the job."""
        self.items += 1
        if isinstance(item, SegmaskImportError):
            self.broken += 1
            if len(self.errors) < _SHOWN_ERRORS:
                item_id, subset = entry
                self.errors.append({"item": item_id, "subset": subset, "error": str(item)})
            return item
        item = item.relabelled(self.positions)
        for instance in item.instances:
            name = "" if instance.label is None else self._labels[instance.label]
            self._instances[name] += 1
            self._pixels[name] += instance.area
        return item

    def wrote(self, name: str, size: int) -> None:
        """Note a file that was written, and its bytes."""
        self.files.append(name)
        self.bytes += size

    def result(self) -> dict[str, Any]:
        labels = {
            n: {"instances": c, "pixels": self._pixels[n]} for n, c in self._instances.items()
        }
        return {
            "files": self.files,
            "items": self.items,
            "rows": self.rows,
            "bytes": self.bytes,
            "broken": self.broken,
            "left_out": dict(self.left_out),
            "errors": self.errors,
            "labels": labels,
        }


def do_part(job: Job, part: Part) -> dict[str, Any]:
    """Do one part and note that it is done; return its results.

    Raises SegmaskImportError if the archive, not just an item, cannot be read, and OSError if the
    file cannot be written.
    """
    reader = open_reader(part.path, job.reading, job.run)
    positions = [job.label_map.position(label.name) for label in reader.label_map.labels]
    target = ShardSink(job.out, job.run)
    found = Found(job.label_map, positions)
    job.kind.write(part, reader, job, target, found)
    result = {"ids": part.digest(), **found.result()}
    target.note(part.number, result)
    return result


def run(
    plan: Plan,
    kind: Kind,
    out: str | os.PathLike[str],
    executor: Executor | None = None,
    *,
    reading: Reading | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Do all parts that are not done yet, here or by ``executor``; return the manifest.

    ``progress`` gets the number of parts that are done, and of all. Raises SegmaskExportError if
    other shards are in ``out``, another run begins there, or an archive changes meanwhile;
    SegmaskImportError if an archive cannot be read; OSError if a shard cannot be written; and
    BrokenExecutor if a worker died. What was done is kept, and the next run continues.
    """
    out, reading = os.fspath(out), reading or Reading()
    job = Job(kind, out, plan.label_map, reading)
    target = ShardSink(out)
    description = _describe(plan, job)
    manifest = target.begin(description, overwrite)
    if manifest is not None and not target.lacks(manifest):
        return manifest
    job = replace(job, run=target.run)
    noted, results, total = target.noted(), {}, len(plan)
    waiting: dict[Future[dict[str, Any]], int] = {}

    def done(number: int, result: dict[str, Any]) -> None:
        results[number] = result
        if progress is not None:
            progress(len(results), total)

    def collect(most: int) -> None:
        while len(waiting) > most:
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                done(waiting.pop(future), future.result())

    try:
        for part in plan.parts():
            known = noted.get(part.number)
            if known is not None and known.get("ids") == part.digest():
                done(part.number, known)
            elif executor is None:
                done(part.number, do_part(job, part))
            else:
                waiting[executor.submit(do_part, job, part)] = part.number
                collect(_WAITING)
        collect(0)
    except BaseException:
        for future in waiting:
            future.cancel()
        raise
    if _describe(plan, job) != description:
        raise SegmaskExportError(
            "an archive was changed while it was read, so the shards may mix old and new masks",
            shown(out),
            "archives that stay as they are",
            "repeat the command with the option --overwrite (overwrite=True)",
        )
    manifest = make_manifest(description, [results[number] for number in sorted(results)])
    target.finish(manifest)
    return manifest


def run_in_processes(plan: Plan, kind: Kind, out: str, jobs: int, **options: Any) -> dict[str, Any]:
    """`run` in this many processes of this machine, if there is enough to do.

    A process that dies is replaced. Raises BrokenExecutor if they keep dying, for example because
    memory is full.
    """
    if jobs <= 1:
        return run(plan, kind, out, **options)
    breaks, before = 0, -1
    patience = _PATIENCE
    while True:
        try:
            with _Processes(min(jobs, len(plan)), len(plan), patience) as pool:
                return run(plan, kind, out, pool, **options)
        except BrokenExecutor:
            finished = len(ShardSink(out).noted())
            breaks = breaks + 1 if finished == before else 0
            before = finished
            options["overwrite"] = False  # it has begun
            patience = 0.0  # what a process has died of must not happen here
            if breaks == _MOST_BREAKS:
                raise


class _Processes(Executor):
    """Processes that start when what is left takes longer than they take; until then works here."""

    def __init__(self, jobs: int, parts: int, patience: float) -> None:
        self._jobs, self._left, self._patience = jobs, parts, patience
        self._each = 0.0  # seconds
        self._pool: ProcessPoolExecutor | None = None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self._pool is None and self._left * self._each >= self._patience:
            # Forked ones would share the threads and locks of whatever has been imported.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._jobs, context, begin_worker)
        self._left -= 1
        if self._pool is not None:
            with uninterrupted():
                return self._pool.submit(fn, *args, **kwargs)
        future: Future[Any] = Future()
        start = time.perf_counter()
        future.set_result(fn(*args, **kwargs))
        self._each = time.perf_counter() - start
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait, cancel_futures=cancel_futures)


def _describe(plan: Plan, job: Job) -> dict[str, Any]:
    """Return what makes one run the continuation of another."""
    return {
        "version": 1,
        "kind": job.kind.name,
        "options": {
            **job.kind.options(),
            "ignore_index": job.reading.ignore_index,
            "max_pixels": job.reading.max_pixels,
        },
        "shard_items": plan.part_items,
        "archives": [
            {"path": shown(path), "items": items, "version": version(path)}
            for (path, _), items in zip(plan.archives, plan.items(), strict=True)
        ],
        "labels": [label.name for label in plan.label_map.labels],
    }


def make_manifest(description: dict[str, Any], results: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the results of all parts, and their sums."""
    labels: dict[str, dict[str, int]] = {}
    for result in results:
        for name, counts in result["labels"].items():
            total = labels.setdefault(name, {"instances": 0, "pixels": 0})
            for key, value in counts.items():
                total[key] += value
    left_out: Counter[str] = Counter()
    for result in results:
        left_out.update(result["left_out"])
    sums = {key: sum(r[key] for r in results) for key in ("items", "rows", "bytes", "broken")}
    return {
        "job": description,
        **sums,
        "left_out": dict(left_out),
        "labels": labels,
        "parts": results,
    }


_CONNECT = 30  # seconds
_RETRIES = 2  # of a part


@contextmanager
def dask_cluster(address: str) -> Iterator[Executor]:
    """Connect to the scheduler of a cluster. Raises ArchiveError where there is none."""
    try:
        from distributed import Client
    except ImportError as error:
        raise ArchiveError(
            "the option --dask needs a package that is not installed (distributed)",
            "the command line",
            "Dask",
            "type \"pip install 'datumaro-segmask[dask]'\", here and on the workers",
        ) from error
    try:
        client = Client(address, timeout=_CONNECT)
    except (OSError, ValueError) as error:
        raise ArchiveError(
            f"no scheduler answers ({type(error).__name__})",
            address,
            "the address of a Dask scheduler, such as tcp://host:8786",
            "check the address, and that the cluster is up",
        ) from error
    with client:
        yield client.get_executor(pure=False, retries=_RETRIES)
