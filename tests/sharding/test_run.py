"""Shards by any executor: the same bytes, whatever dies in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from concurrent.futures import BrokenExecutor, Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import datumaro_segmask
from datumaro_segmask import read_table
from datumaro_segmask.archive import Reader
from datumaro_segmask.errors import ArchiveError, OptionError, SegmaskError, SegmaskExportError
from datumaro_segmask.plugin.base import SegmaskBase
from datumaro_segmask.sharding.manifest import MANIFEST, WORK, ShardSink
from datumaro_segmask.sharding.parts import Part, Reading, make_plan
from datumaro_segmask.sharding.run import Found, Job, do_part, run, run_in_processes
from datumaro_segmask.sharding.shards import ParquetShards, ZipShards

from ..archives import archive, as_folder, as_zip, rgb
from ..processes import command, processes
from .makes import digest, random_files

datumaro_segmask.register()
COUNT = 60
SHARDS = 12


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(as_zip(random_files(COUNT), tmp_path_factory.mktemp("in") / "x"))


@pytest.fixture(scope="module")
def plain(path: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a plain loop makes of it."""
    out = tmp_path_factory.mktemp("plain")
    run(make_plan(path, COUNT // SHARDS), ParquetShards(), str(out))
    return digest(out)


def plan_of(path: str) -> Any:
    return make_plan(path, COUNT // SHARDS)


def test_plan(path: str) -> None:
    plan = plan_of(path)
    parts = list(plan.parts())
    assert len(parts) == len(plan) == SHARDS
    assert [part.number for part in parts] == list(range(SHARDS))
    assert [part.first for part in parts] == list(range(0, COUNT, COUNT // SHARDS))
    listed = [(item.id, item.subset) for item in SegmaskBase(path)]
    assert [entry for part in parts for entry in part.entries] == listed
    assert list(plan_of(path).parts()) == parts
    assert len({part.digest() for part in parts}) == SHARDS


@pytest.mark.parametrize("size", [0, -1, 1 << 21])
def test_shards_of_no_size(size: int, path: str) -> None:
    with pytest.raises(OptionError, match=f"shard_items is {size}.*from 1 to 1,048,576"):
        make_plan(path, size)


def test_pattern_that_fits_nothing(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="no path fits"):
        make_plan(str(tmp_path / "*.zip"))


def test_manifest(path: str, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    manifest = run(
        plan_of(path), ParquetShards(), str(tmp_path), progress=lambda *done: seen.append(done)
    )
    assert seen == [(i + 1, SHARDS) for i in range(SHARDS)]
    assert json.loads((tmp_path / MANIFEST).read_text("utf-8")) == manifest
    assert manifest["items"] == COUNT
    names = {name for part in manifest["parts"] for name in part["files"]}
    assert {p.name for p in tmp_path.iterdir()} == {*names, MANIFEST}
    counts = read_table(str(tmp_path)).counts()
    for name in ("car", "road"):
        found = manifest["labels"][name]
        assert (found["instances"], found["pixels"]) == counts[name]


@pytest.mark.parametrize("make", [ThreadPoolExecutor, processes], ids=["threads", "processes"])
def test_executors_give_the_same_bytes(
    make: Any, path: str, plain: dict[str, str], tmp_path: Path
) -> None:
    pool: Executor
    with make() as pool:
        run(plan_of(path), ParquetShards(), str(tmp_path), pool)
    assert digest(tmp_path) == plain


def test_again_does_nothing(path: str, plain: dict[str, str], tmp_path: Path) -> None:
    first = run(plan_of(path), ParquetShards(), str(tmp_path))
    times = {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    assert run(plan_of(path), ParquetShards(), str(tmp_path)) == first
    assert {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == times


def test_zip_that_has_changed_is_another_run(tmp_path: Path) -> None:
    path = as_zip(archive({"a": rgb("012")}), tmp_path / "a")
    run(make_plan(str(path)), ParquetShards(), str(tmp_path / "out"))
    as_zip(archive({"a": rgb("0122")}), tmp_path / "a")
    with pytest.raises(SegmaskExportError, match="another run"):
        run(make_plan(str(path)), ParquetShards(), str(tmp_path / "out"))


def test_other_shards_are_in_the_way(path: str, plain: dict[str, str], tmp_path: Path) -> None:
    first = run(make_plan(path, 1), ParquetShards(), str(tmp_path))
    assert first["rows"] == pq.read_table(tmp_path).num_rows
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SegmaskExportError, match=r"another run.*--overwrite"):
        run(plan_of(path), ParquetShards(), str(tmp_path))
    run(plan_of(path), ParquetShards(), str(tmp_path), overwrite=True)
    (tmp_path / "notes.txt").unlink()
    assert digest(tmp_path) == plain


def test_files_of_others_with_such_names_stay(path: str, tmp_path: Path) -> None:
    for name in ("part-000099.parquet", "shard-000000.zip", "instances_train-000000.json"):
        out = tmp_path / name
        out.mkdir()
        (out / name).write_text("mine")
        with pytest.raises(SegmaskExportError, match="files of such names"):
            run(plan_of(path), ParquetShards(), str(out))
        assert [(p.name, p.read_text()) for p in out.iterdir()] == [(name, "mine")]


# Deaths


@dataclass(frozen=True)
class Dying:
    """Kills the process that does a part, once: ``before`` or after a file has its name."""

    mark: str = ""
    before: bool = True

    def write(self, part: Part, reader: Reader, job: Job, target: ShardSink, found: Found) -> None:
        dies = part.number == 5 and not os.path.exists(self.mark)
        if dies:
            Path(self.mark).touch()
        if dies and self.before:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(os, "replace", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
                super().write(part, reader, job, target, found)  # type: ignore[misc]
        super().write(part, reader, job, target, found)  # type: ignore[misc]
        if dies:
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Deadly(Dying, ParquetShards):
    """Parquet shards whose process dies once."""


deadly = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
when = pytest.mark.parametrize("before", [True, False], ids=["before-rename", "after-rename"])


@deadly
@when
def test_worker_dies(before: bool, path: str, plain: dict[str, str], tmp_path: Path) -> None:
    """The pool breaks, another one goes on, and nothing shows of it."""
    kind = Deadly(mark=str(tmp_path / "mark"), before=before)
    run_in_processes(plan_of(path), kind, str(tmp_path / "out"), 2)
    assert (tmp_path / "mark").exists()
    assert digest(tmp_path / "out") == plain


@dataclass(frozen=True)
class Telling(ParquetShards):
    """Notes which process makes a shard."""

    folder: str = ""

    def write(self, part: Part, reader: Reader, job: Job, target: ShardSink, found: Found) -> None:
        Path(self.folder, f"{os.getpid()}-{part.number}").touch()
        super().write(part, reader, job, target, found)


def test_processes_start_only_if_they_pay(path: str, tmp_path: Path, patience: None) -> None:
    makers = tmp_path / "makers"
    makers.mkdir()
    run_in_processes(plan_of(path), Telling(folder=str(makers)), str(tmp_path / "out"), 2)
    assert {file.name.partition("-")[0] for file in makers.iterdir()} == {str(os.getpid())}


def test_processes_start_at_once_for_what_takes_long(path: str, tmp_path: Path) -> None:
    makers = tmp_path / "makers"
    makers.mkdir()
    run_in_processes(plan_of(path), Telling(folder=str(makers)), str(tmp_path / "out"), 2)
    assert str(os.getpid()) not in {file.name.partition("-")[0] for file in makers.iterdir()}


@deadly
def test_broken_pool_is_told_and_what_is_done_is_kept(
    path: str, plain: dict[str, str], tmp_path: Path
) -> None:
    kind = Deadly(mark=str(tmp_path / "mark"))
    with processes() as pool, pytest.raises(BrokenExecutor):
        run(plan_of(path), kind, str(tmp_path / "out"), pool)
    assert not (tmp_path / "out" / MANIFEST).exists()
    run(plan_of(path), ParquetShards(), str(tmp_path / "out"))
    assert digest(tmp_path / "out") == plain


@deadly
def test_driver_dies_and_starts_again(path: str, plain: dict[str, str], tmp_path: Path) -> None:
    script = (
        "from datumaro_segmask.sharding.parts import make_plan\n"
        "from datumaro_segmask.sharding.run import run\n"
        "from datumaro_segmask.sharding.shards import ParquetShards\n"
        "import os, signal\n"
        f"run(make_plan({path!r}, {COUNT // SHARDS}), ParquetShards(), {str(tmp_path)!r},\n"
        "    progress=lambda done, _: os.kill(os.getpid(), signal.SIGKILL) if done == 4 else None)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    kept = {p: p.stat().st_mtime_ns for p in tmp_path.glob("*.parquet")}
    assert len(kept) == 4
    assert not (tmp_path / MANIFEST).exists()
    (tmp_path / ".part-000004.parquet.0123456789abcdef").write_bytes(b"left by a dead worker")
    run(plan_of(path), ParquetShards(), str(tmp_path))
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    assert digest(tmp_path) == plain


def test_full_disk(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(OSError, match="No space"):
            run(plan_of(path), ParquetShards(), str(tmp_path))
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_changed_list_is_done_again(tmp_path: Path) -> None:
    files = archive({i: rgb("012") for i in "abcdef"}, lists={"default": "a\nb\nc\nd"})
    path = as_folder(files, tmp_path / "in")
    plan = make_plan(str(path), 2)
    job = run(plan, ParquetShards(), str(tmp_path / "out"))
    (tmp_path / "out" / MANIFEST).unlink()
    target = ShardSink(str(tmp_path / "out"))
    target.put_json(f"{WORK}/job.json", job["job"])
    for number, part in enumerate(job["parts"]):
        target.note(number, part)
    (path / "ImageSets/Segmentation/default.txt").write_text("a\nb\ne\nf")
    run(make_plan(str(path), 2), ParquetShards(), str(tmp_path / "out"))
    ids = [entry[0] for entry, _ in read_table(str(tmp_path / "out"))]
    assert ids == ["a", "b", "e", "f"]


def test_broken_items_are_reported_and_end_nothing(tmp_path: Path) -> None:
    files = archive({**{i: rgb("012") for i in "abcd"}, "broken": b"x"})
    manifest = run(
        make_plan(str(as_zip(files, tmp_path / "a")), 2), ZipShards(), str(tmp_path / "o")
    )
    assert (manifest["items"], manifest["broken"]) == (5, 1)
    (error,) = [error for part in manifest["parts"] for error in part["errors"]]
    assert error["item"] == "broken"
    assert "not a PNG" in error["error"]


def test_archive_that_vanishes_ends_the_run(path: str, tmp_path: Path) -> None:
    zipped = as_zip(random_files(10), tmp_path / "a")
    plan = make_plan(str(zipped), 3)
    zipped.unlink()
    with pytest.raises(SegmaskError):
        run(plan, ParquetShards(), str(tmp_path / "out"))
    assert not (tmp_path / "out" / MANIFEST).exists()


@dataclass(frozen=True)
class Waiting(ParquetShards):
    """Says that it has begun, and waits to be killed."""

    def write(self, part: Part, reader: Reader, job: Job, target: ShardSink, found: Found) -> None:
        print("begun", flush=True)
        time.sleep(3600)


@deadly
def test_processes_end_with_their_driver(path: str, tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from datumaro_segmask.sharding import make_plan, run_in_processes\n"
        "from tests.sharding.test_run import Waiting\n"
        "sys.modules['datumaro_segmask.sharding.run']._PATIENCE = 0.0\n"
        "if __name__ == '__main__':\n"
        "    run_in_processes(make_plan(sys.argv[1], 5), Waiting(), sys.argv[2], 2)\n"
    )
    (tmp_path / "driver.py").write_text(script)
    command = [sys.executable, str(tmp_path / "driver.py"), path, str(tmp_path / "out")]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "begun\n"
        driver.kill()
        driver.communicate(timeout=120)  # until nobody has its stdout any more


# Others at work in the same place


@pytest.mark.parametrize("overwrite", [False, True], ids=["goes-on", "overwrites"])
def test_another_driver_begins_meanwhile(
    overwrite: bool, path: str, plain: dict[str, str], tmp_path: Path
) -> None:
    """The first one stops; what is there in the end is what the second has made."""
    size = 7 if overwrite else COUNT // SHARDS
    others = []

    def begin_another(done: int, _: int) -> None:
        if done == 4:
            plan = make_plan(path, COUNT // SHARDS)
            others.append(run(plan, ParquetShards(), str(tmp_path), overwrite=overwrite))

    with pytest.raises(SegmaskExportError, match="another run has begun here, or has ended"):
        run(make_plan(path, size), ParquetShards(), str(tmp_path), progress=begin_another)
    assert others[0]["items"] == COUNT
    assert digest(tmp_path) == plain


def test_worker_that_outlives_its_driver(path: str, plain: dict[str, str], tmp_path: Path) -> None:
    plan = make_plan(path, 7)
    target = ShardSink(str(tmp_path))
    target.begin({"of": "a driver that is dead"}, overwrite=False)
    job = Job(ParquetShards(), str(tmp_path), plan.label_map, Reading(), target.run)
    part = next(plan.parts())
    do_part(job, part)
    for _ in range(2):  # while the next run goes on, and when it has ended
        ShardSink(str(tmp_path)).begin({"of": "another driver"}, overwrite=True)
        with pytest.raises(SegmaskExportError, match="another run has begun"):
            do_part(job, part)
        run(plan_of(path), ParquetShards(), str(tmp_path), overwrite=True)
        with pytest.raises(SegmaskExportError, match="or has ended"):
            do_part(job, part)
        assert digest(tmp_path) == plain


def test_shard_that_is_gone_is_made_again(path: str, plain: dict[str, str], tmp_path: Path) -> None:
    manifest = run(plan_of(path), ParquetShards(), str(tmp_path))
    for name in ("part-000003.parquet", "part-000011.parquet"):
        (tmp_path / name).unlink()
    kept = {p: p.stat().st_mtime_ns for p in tmp_path.glob("part-*")}
    assert len(kept) == SHARDS - 2
    assert run(plan_of(path), ParquetShards(), str(tmp_path)) == manifest
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    assert digest(tmp_path) == plain


def test_shard_that_is_gone_when_a_run_goes_on(
    path: str, plain: dict[str, str], tmp_path: Path
) -> None:
    def stop(done: int, _: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(plan_of(path), ParquetShards(), str(tmp_path), progress=stop)
    (tmp_path / "part-000002.parquet").unlink()
    run(plan_of(path), ParquetShards(), str(tmp_path))
    assert digest(tmp_path) == plain


def test_archive_that_changes_meanwhile_ends_the_run(tmp_path: Path) -> None:
    path = as_zip(random_files(10), tmp_path / "a")

    def change(done: int, _: int) -> None:
        if done == 2:
            as_zip(random_files(10, seed=1), tmp_path / "a")

    plan = make_plan(str(path), 3)
    with pytest.raises(SegmaskExportError, match=r"changed while it was read.*--overwrite"):
        run(plan, ParquetShards(), str(tmp_path / "out"), progress=change)
    assert not (tmp_path / "out" / MANIFEST).exists()
    with pytest.raises(SegmaskExportError, match="another run"):
        run(make_plan(str(path), 3), ParquetShards(), str(tmp_path / "out"))
    run(make_plan(str(path), 3), ParquetShards(), str(tmp_path / "out"), overwrite=True)


@pytest.mark.parametrize("text", ["mine", "[1]", '{"a": 1}', '{"job": 1}'])
@pytest.mark.parametrize("name", [MANIFEST, f"{WORK}/job.json"])
def test_such_files_of_others_are_in_the_way(
    name: str, text: str, path: str, tmp_path: Path
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    with pytest.raises(SegmaskExportError, match="another run"):
        run(plan_of(path), ParquetShards(), str(tmp_path))
    assert (tmp_path / name).read_text() == text


# Zips


def content(source: Any) -> list[Any]:
    return [
        (i.id, i.subset, [(m.label, m.group, m.rle["counts"]) for m in i.annotations],
         i.media.bytes if i.media and i.media.has_data else None)
        for i in source
    ]  # fmt: skip


def test_zips_hold_what_the_archive_holds(path: str, tmp_path: Path) -> None:
    run(make_plan(path, 7), ZipShards(), str(tmp_path / "one"))
    run_in_processes(make_plan(path, 7), ZipShards(), str(tmp_path / "two"), 2)
    assert digest(tmp_path / "one") == digest(tmp_path / "two")
    shards = sorted((tmp_path / "one").glob("*.zip"))
    assert [shard.name for shard in shards] == [f"shard-{i:06}.zip" for i in range(9)]
    assert [c for s in shards for c in content(SegmaskBase(str(s)))] == content(SegmaskBase(path))
    with zipfile.ZipFile(shards[0]) as first, zipfile.ZipFile(path) as whole:
        masks = [name for name in first.namelist() if name.endswith((".png", ".jpg"))]
        assert all(first.read(name) == whole.read(name) for name in masks)
        assert first.read("labelmap.txt").startswith(b"# label:color_rgb:parts:actions")


# Command


shard = partial(command, "shard")


def test_command(path: str, plain: dict[str, str], tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    done = shard(path, "-o", out, "--shard-items", str(COUNT // SHARDS), "--jobs", "2")
    assert done.returncode == 0, done.stderr
    assert f"{COUNT} items in {SHARDS} shards" in done.stdout
    assert digest(tmp_path / "out") == plain
    assert shard(path, "-o", out, "--to", "segmask").returncode == 2


def test_command_tells_broken_items(tmp_path: Path) -> None:
    path = str(as_zip(archive({"a": rgb("012"), "broken": b"x"}), tmp_path / "a"))
    done = shard(path, "-o", str(tmp_path / "out"))
    assert done.returncode == 1
    assert "broken.png: the file is not a PNG" in done.stderr


def test_command_without_a_scheduler(path: str, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    begin = time.monotonic()
    done = shard(path, "-o", str(tmp_path / "out"), "--dask", "nonsense")
    assert done.returncode == 2
    assert "scheduler" in done.stderr
    assert time.monotonic() - begin < 60
