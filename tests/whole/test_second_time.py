"""What was read once is no answer the next time: another archive may lie at a path by then."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import datumaro_segmask
from datumaro_segmask.cli.check.survey import check
from datumaro_segmask.sharding import CocoShards, ParquetShards, ZipShards, make_plan, run

from ..archives import archive, as_folder, as_zip, jpeg, rgb
from ..processes import processes
from ..storage.stores import put, zipped

pytest.importorskip("pyarrow", reason="tables")
pytestmark = pytest.mark.usefixtures("registered")

BEFORE = archive(
    {"a": rgb("0330"), "b": rgb("0110")},
    {"a": rgb("0110"), "b": rgb("0110")},
    images={"a.jpg": jpeg(1, 4)},
)
"""The colour of ``a`` is not declared."""
AFTER = archive(
    {"a": rgb("0110"), "b": rgb("0220"), "c": rgb("2222")},
    {"a": rgb("0110"), "b": rgb("0011"), "c": rgb("1111")},
    labels="background:0,0,0::\nroad:0,128,0::\ncar:128,0,0::\n",
    images={"a.png": rgb("0000"), "c.jpg": jpeg(1, 4)},
)
"""It is mended, an item is new, and the labels stand in another order."""


def folder(files: dict[str, bytes], place: Path) -> str:
    shutil.rmtree(place, ignore_errors=True)
    return str(as_folder(files, place))


def a_zip(files: dict[str, bytes], place: Path) -> str:
    return str(as_zip(files, place))


def far_folder(files: dict[str, bytes], place: Path) -> str:
    import fsspec

    url = f"memory://second{place.as_posix()}"
    system, root = fsspec.core.url_to_fs(url)
    if system.exists(root):
        system.rm(root, recursive=True)
    return put(url, files)


def far_zip(files: dict[str, bytes], place: Path) -> str:
    return put(f"memory://second{place.as_posix()}", {"t.zip": zipped(files, place)}) + "/t.zip"


PLACES = [folder, a_zip]
if find_spec("fsspec") is not None:
    PLACES += [far_folder, far_zip]


def content(out: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in out.iterdir() if not p.name.startswith("_")}


def a_table(path: str, out: Path, executor: Executor | None) -> Any:
    table = datumaro_segmask.to_table(path)
    return table.to_pydict(), table.schema.metadata


def shards(kind: Any, path: str, out: Path, executor: Executor | None) -> Any:
    found = run(make_plan(path, 1), kind, str(out), executor, overwrite=True)
    return content(out), found["labels"], found["broken"]


def report(path: str, out: Path, executor: Executor | None) -> Any:
    found = asdict(
        check(path, for_cvat=False, ignore_index=None, max_pixels=100, executor=executor)
    )
    found.pop("root", None)
    return found


def parquet(path: str, out: Path, executor: Executor | None) -> Any:
    return shards(ParquetShards(), path, out, executor)


def coco(path: str, out: Path, executor: Executor | None) -> Any:
    return shards(CocoShards(), path, out, executor)


def zips(path: str, out: Path, executor: Executor | None) -> Any:
    return shards(ZipShards(), path, out, executor)


def second_time(make: Any, read: Any, executor: Executor | None, tmp_path: Path) -> None:
    path = make(BEFORE, tmp_path / "task")
    before = read(path, tmp_path / "out", executor)
    assert make(AFTER, tmp_path / "task") == path
    after = read(path, tmp_path / "out", executor)
    elsewhere = make(AFTER, tmp_path / "elsewhere")
    expected = read(elsewhere, tmp_path / "expected", executor)
    assert after == expected != before


@pytest.mark.parametrize("with_worker", [False, True], ids=["here", "worker"])
@pytest.mark.parametrize("read", [a_table, parquet, coco, zips, report])
@pytest.mark.parametrize("make", PLACES)
def test_second_time(
    make: Callable[..., str], read: Callable[..., Any], with_worker: bool, tmp_path: Path
) -> None:
    """A worker that stays, as those of a cluster do; here a thread."""
    with ThreadPoolExecutor(1) as executor:
        second_time(make, read, executor if with_worker else None, tmp_path)


@pytest.mark.parametrize("make", [folder, a_zip])
def test_second_time_by_the_same_process(make: Callable[..., str], tmp_path: Path) -> None:
    with processes(1) as executor:
        for number, read in enumerate((parquet, report)):
            (tmp_path / str(number)).mkdir()
            second_time(make, read, executor, tmp_path / str(number))


def test_streams_and_plans_after_chdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are made absolute when an archive is opened."""
    from datumaro.components.dataset import StreamDataset

    from datumaro_segmask.cli import main

    for name, make in (("task", folder), ("task.zip", a_zip)):
        make(AFTER, tmp_path / "here/task")
        (tmp_path / "there").mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / "here")
        stream, plan = StreamDataset.import_from(name, "segmask"), make_plan(name, 1)
        masks = datumaro_segmask.Masks(name)
        monkeypatch.chdir(tmp_path / "there")
        assert [len(item.annotations) for item in stream] == [1, 2, 1]
        with processes(1) as executor:
            made = run(plan, ParquetShards(), str(tmp_path / "out"), executor, overwrite=True)
        assert made["rows"] == 4
        assert len(masks[0][1]["labels"]) == 1
        stream.export(str(tmp_path / "again"), "segmask")
        assert main(["check", str(tmp_path / "again")]) == 0
        shutil.rmtree(tmp_path / "again")
