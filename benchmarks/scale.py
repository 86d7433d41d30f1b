"""Archives in stores, and archives in parts: the tables of docs/scale.md, printed as Markdown.

    python -m benchmarks.scale                          # all of them: about ten minutes
    python -m benchmarks.scale --only remote --items 100

Needs the package with its extra `test`. The S3 server runs in a process of its own, on the
loopback address, and answers each request 30 ms later than it could. So does each case.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from .growth import SMALL, repeat
from .large import write_list, write_zip
from .measure import ROOT
from .workloads import RGB, WORKLOADS, Workload, build, write_lists

DELAY = 0.03  # seconds
REMOTE = Workload("remote", 640, 480, 50, 8, (6, 6), (20, 70))
MANY = 100_000
MILLION = 1_000_000
KEYS = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}


def drawn(workload: Workload, folder: Path, items: int) -> Path:
    """Return an archive of so many items, a few drawn ones again and again."""
    root = folder / f"{workload.name}-{items}"
    if not root.exists():
        if not (folder / f"{workload.name}-{RGB}").exists():
            build(workload, folder, (RGB,))
        repeat(folder / f"{workload.name}-{RGB}", root, items)
        write_lists(root, [f"item_{index:06d}" for index in range(items)], workload.labels)
    return root


def zipped(root: Path) -> Path:
    path = root.with_suffix(".zip")
    if not path.exists():
        with zipfile.ZipFile(path, "w") as target:
            for file in sorted(root.rglob("*")):
                if file.is_file() and file.suffix != ".json":
                    target.write(file, file.relative_to(root).as_posix())
    return path


# Stores


def serve() -> None:
    """Run the server; each line that comes in is answered by the requests since the last."""
    from tests.storage.stores import s3_server

    with s3_server() as (endpoint, behaviour):
        print(endpoint, flush=True)
        for line in sys.stdin:
            behaviour.delay = float(line)
            print(json.dumps(sum(behaviour.counts.values())), flush=True)
            behaviour.counts.clear()


@contextmanager
def server() -> Iterator[Callable[[float], int]]:
    """Yield a call that sets the delay and returns the number of requests since the last call."""
    command = [sys.executable, "-m", "benchmarks.scale", "--serve"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        os.environ.update(KEYS, AWS_ENDPOINT_URL=process.stdout.readline().strip())
        try:
            yield partial(_tell, process.stdin, process.stdout)
        finally:
            process.stdin.close()


def _tell(stdin: Any, stdout: Any, delay: float) -> int:
    print(delay, file=stdin, flush=True)
    return int(stdout.readline())


def remote(folder: Path, items: int) -> list[dict[str, Any]]:
    """Read an archive in a store as a folder and as a zip, with and without threads."""
    import fsspec

    from datumaro_segmask.plugin.base import SegmaskBase
    from tests.storage.stores import put

    root = drawn(REMOTE, folder, items)
    photo = next((folder / f"{REMOTE.name}-{RGB}" / "JPEGImages").iterdir()).read_bytes()
    names = [f for f in root.rglob("*") if f.is_file() and f.suffix != ".json"]
    files = {file.relative_to(root).as_posix(): file.read_bytes() for file in names}
    files |= {f"JPEGImages/item_{i:06d}.jpg": photo for i in range(items)}
    with zipfile.ZipFile(folder / "remote.zip", "w") as target:
        for name, data in files.items():
            target.writestr(name, data)
    rows = []
    with server() as tell:
        tell(0)
        put("s3://bucket/task", files)
        put("s3://bucket", {"task.zip": (folder / "remote.zip").read_bytes()})
        put("s3://bucket", {"whole.zip": (folder / "remote.zip").read_bytes()})
        for name, url, workers in (
            ("folder", "s3://bucket/task", 0),
            ("folder", "s3://bucket/task", 4),
            ("folder", "s3://bucket/task", 16),
            ("zip", "s3://bucket/task.zip", 0),
            ("zip", "s3://bucket/task.zip", 4),
        ):
            tell(DELAY)
            begin = time.perf_counter()
            base = SegmaskBase(url, num_workers=workers)
            opened, opening = time.perf_counter() - begin, tell(DELAY)
            cpu, begin = time.process_time(), time.perf_counter()
            count = sum(1 for item in base if item.annotations)
            seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
            assert count == items
            rows.append(
                {
                    "case": f"{name}, {workers} threads",
                    "opening, s": round(opened, 2),
                    "requests to open": opening,
                    "ms an item": round(1000 * seconds / items, 1),
                    "CPU ms an item": round(1000 * cpu / items, 1),
                    "requests an item": round(tell(DELAY) / items, 3),
                }
            )
        begin = time.perf_counter()
        system, path = fsspec.core.url_to_fs("s3://bucket/whole.zip")
        system.get_file(path, str(folder / "whole.zip"))
        count = sum(1 for _ in SegmaskBase(str(folder / "whole.zip")))
        seconds = time.perf_counter() - begin
        rows.append(
            {
                "case": "zip, downloaded whole",
                "ms an item": round(1000 * seconds / items, 1),
                "requests an item": round(tell(DELAY) / items, 3),
            }
        )
    return rows


# Parts


def _used() -> tuple[float, float]:
    return time.perf_counter(), sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def _status(name: str) -> int:
    status = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in status if line.startswith(name))


def _peak() -> int:
    """Return the most bytes that this process had; what ``getrusage`` tells is its parent's."""
    return _status("VmHWM")


def _resident() -> int:
    return _status("VmRSS")


def _row(case: str, items: int, begin: tuple[float, float]) -> dict[str, Any]:
    wall, cpu = (now - before for now, before in zip(_used(), begin, strict=True))
    worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {
        "case": case,
        "s": round(wall, 1),
        "CPU ms an item": round(1000 * cpu / items, 4),
        "driver MB": round(_peak() / 1e6),
        "worker MB": round(worker) if worker > 1 else "",
    }


def shards(path: str, out: Path, items: int, how: str, part: int, case: str) -> dict[str, Any]:
    """Write a table in one process (plain), in two (pool), or by two workers of Dask."""
    from datumaro_segmask.sharding.parts import make_plan
    from datumaro_segmask.sharding.run import run
    from datumaro_segmask.sharding.shards import ParquetShards

    begin = _used()
    plan = make_plan(path, part)
    go = partial(run, plan, ParquetShards(), str(out))
    if how == "plain":
        go()
    elif how == "pool":
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            go(pool)
    else:
        from distributed import Client, LocalCluster

        with (
            LocalCluster(
                n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
            ) as cluster,
            Client(cluster) as client,
        ):
            go(client.get_executor(pure=False))
    return _row(case, items, begin)


def _in_child(function: str, *arguments: Any) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.scale", "--child", function]
    done = subprocess.run(
        [*command, json.dumps(arguments)], stdout=subprocess.PIPE, text=True, cwd=ROOT, check=True
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def engines(folder: Path, items: int) -> list[dict[str, Any]]:
    path = str(zipped(drawn(SMALL, folder, items)))
    return [
        _in_child("shards", path, str(folder / f"{how}-{items}"), items, how, 2000, how)
        for how in ("plain", "pool", "dask")
    ]


def processes(folder: Path, _: int) -> list[dict[str, Any]]:
    """One and two processes on this machine: large masks, very large ones, a slow store."""
    from tests.storage.stores import put

    rows = []
    for name, items, part in (("city", 800, 50), ("aerial", 80, 5)):
        path = str(zipped(drawn(WORKLOADS[name], folder, items)))
        for how in ("plain", "pool"):
            out = str(folder / f"{name}-{how}")
            rows.append(_in_child("shards", path, out, items, how, part, f"{name}, {how}"))
    items = 2000
    data = zipped(drawn(REMOTE, folder, items)).read_bytes()
    with server() as tell:
        put("s3://bucket", {"task.zip": data})
        tell(DELAY)
        for how in ("plain", "pool"):
            out = str(folder / f"store-{how}")
            case = f"zip in a store, {how}"
            rows.append(_in_child("shards", "s3://bucket/task.zip", out, items, how, 250, case))
    return rows


def opening(path: str, items: int, count: int, of: str) -> dict[str, Any]:
    """Open an archive of so many files or lines as a stream, and go through its ids."""
    from datumaro_segmask.archive.lists import open_archive

    before, now = _peak(), _resident()
    begin = _used()
    archive = open_archive(path, stream=True)
    row = _row(f"{count:,} {of}s", count, begin)
    assert sum(1 for ids in archive.subsets.values() for _ in ids) == items
    peak = _peak() - before
    gc.collect()
    kept = _resident() - now
    return {**row, f"bytes a {of}": round(kept / count), "at the peak": round(peak / count)}


def entries(folder: Path, count: int) -> list[dict[str, Any]]:
    path = folder / f"entries-{count}.zip"
    if not path.exists():
        write_zip(path, count)
    return [_in_child("opening", str(path), count // 2, count, "file")]


def lines(folder: Path, count: int) -> list[dict[str, Any]]:
    path = folder / f"lines-{count}"
    if not path.exists():
        write_list(path, count)
    return [_in_child("opening", str(path), count, count, "line")]


def opening_zip(folder: Path, items: int) -> float:
    """Return the µs of the processor an item that opening a zip takes, as an import does."""
    from datumaro_segmask.rules import open_archive

    path = folder / f"files-{items}.zip"
    ids = [f"batch_{i // 1000:03}/image_{i:07}" for i in range(items)]
    with zipfile.ZipFile(path, "w") as target:
        for item_id in ids:
            for place in ("SegmentationClass/{}.png", "SegmentationObject/{}.png"):
                target.writestr(place.format(item_id), b"x")
            target.writestr(f"JPEGImages/{item_id}.jpg", b"x")
        target.writestr("labelmap.txt", "background:0,0,0::\ncar:128,0,0::\n")
        target.writestr("ImageSets/Segmentation/train.txt", "".join(f"{i}\n" for i in ids))
    taken = []
    for _ in range(5):
        begin = time.process_time()
        open_archive(str(path), stream=True)
        taken.append(time.process_time() - begin)
    return 1e6 * min(taken) / items


TABLES = {
    "remote": (remote, 400),
    "engines": (engines, MANY),
    "processes": (processes, 0),
    "entries": (entries, MILLION),
    "lines": (lines, MILLION),
}
CHILDREN = {"shards": shards, "opening": opening}


def table(rows: list[dict[str, Any]]) -> str:
    heads = list(dict.fromkeys(key for row in rows for key in row))
    lines = [heads, ["---"] * len(heads), *([row.get(head, "") for head in heads] for row in rows)]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", choices=TABLES, help="one table")
    parser.add_argument(
        "--items", type=int, help="of the tables remote and engines; files or lines"
    )
    parser.add_argument("--folder", type=Path, help="keep what is drawn here")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
    elif options.child:
        name, arguments = options.child
        print(json.dumps(CHILDREN[name](*json.loads(arguments))))
    else:
        with tempfile.TemporaryDirectory(prefix="segmask-scale-") as made:
            folder = options.folder or Path(made)
            folder.mkdir(parents=True, exist_ok=True)
            for name in [options.only] if options.only else TABLES:
                measured, items = TABLES[name]
                print(f"\n## {name}\n\n{table(measured(folder, options.items or items))}")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
