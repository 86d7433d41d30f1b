"""Shards and tables in stores: what a store refuses is one error of ours, never the library's."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from datumaro_segmask import read_table, to_table, write_table
from datumaro_segmask.errors import (
    ArchiveError,
    MissingFileError,
    SegmaskError,
    SegmaskExportError,
    StoreError,
)
from datumaro_segmask.sharding.manifest import MANIFEST
from datumaro_segmask.sharding.parts import make_plan
from datumaro_segmask.sharding.run import run
from datumaro_segmask.sharding.shards import ParquetShards
from datumaro_segmask.storage.remote import store as store_module
from datumaro_segmask.storage.remote.faults import StoreWriteError

from ..archives import as_zip
from ..processes import processes
from ..storage.stores import Behaviour, put
from .makes import digest, random_files

pytestmark = pytest.mark.skipif(
    find_spec("fsspec") is None, reason="the extra 'remote' is not installed"
)
COUNT = 12


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_PAUSE", 0.001)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(as_zip(random_files(COUNT), tmp_path_factory.mktemp("in") / "x"))


@pytest.fixture(scope="module")
def plain(path: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What comes of it on the disk."""
    out = tmp_path_factory.mktemp("plain")
    run(make_plan(path, 5), ParquetShards(), str(out))
    return digest(out)


def fetched(url: str, folder: Path) -> dict[str, str]:
    """Return the hash of every file below a URL, by its name."""
    import fsspec

    system, root = fsspec.core.url_to_fs(url)
    system.invalidate_cache()
    for name in system.find(root):
        place = folder / name.removeprefix(f"{root}/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(system.cat_file(name))
    return digest(folder)


def rows_of(table: Any) -> list[Any]:
    return [
        (entry, item.size, [(i.label, i.number, i.counts) for i in item.instances])
        for entry, item in table
    ]


def message(error: SegmaskError, url: str) -> str:
    """All four parts are there, and no key is."""
    assert error.where.startswith(url)
    assert error.expected
    assert error.remedy
    assert "nobody-shows" not in "".join(traceback.format_exception(error))
    return str(error)


# A store that fails in one of its calls

RAISED: dict[str, tuple[Exception, str]] = {
    "denied": (PermissionError("a-key-that-nobody-shows"), "denies access"),
    "no-bucket": (FileNotFoundError("a-key-that-nobody-shows"), "no such place"),
    "read-only": (NotImplementedError("a-key-that-nobody-shows"), "can only be read"),
    "cut": (ConnectionResetError("a-key-that-nobody-shows"), "connection was cut"),
    "slow": (TimeoutError("a-key-that-nobody-shows"), "does not answer in time"),
    "strange": (OSError("a-key-that-nobody-shows"), "OSError, again and again"),
}


@pytest.mark.parametrize("raised", RAISED)
def test_write_that_fails(raised: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    error, says = RAISED[raised]

    def fail(*_: object, **__: object) -> None:
        raise error

    url = f"memory://fails/{raised}"
    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "put_file", fail)
        with pytest.raises(StoreWriteError, match=f"{says}.*asked to write it") as caught:
            write_table(path, url, shard_items=5)
    told = message(caught.value, url)
    assert ("keys that may write it" in told) == (raised == "denied")
    assert write_table(path, url, shard_items=5)["items"] == COUNT  # goes on


@pytest.mark.parametrize(
    ("call", "asked"), [("cat_file", "read it"), ("ls", "list it"), ("rm", "remove it")]
)
def test_other_calls_that_fail(
    call: str, asked: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    def fail(*_: object, **__: object) -> None:
        raise PermissionError("a-key-that-nobody-shows")

    url = f"memory://fails/calls-{call}"
    run(make_plan(path, 5), ParquetShards(), url)
    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, call, fail)
        with pytest.raises(StoreWriteError, match=f"asked to {asked}") as caught:
            run(make_plan(path, 6), ParquetShards(), url, overwrite=True)
        message(caught.value, url)


def test_failure_that_passes(
    path: str, plain: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    real, calls = MemoryFileSystem.put_file, []

    def often(*args: Any, **options: Any) -> None:
        calls.append(args[2])
        if len(calls) % 2:
            raise ConnectionResetError
        real(*args, **options)

    monkeypatch.setattr(MemoryFileSystem, "put_file", often)
    run(make_plan(path, 5), ParquetShards(), "memory://passes/table")
    assert len(calls) == 2 * len(set(calls))
    assert fetched("memory://passes/table", tmp_path) == plain


@pytest.mark.parametrize(
    ("url", "says"),
    [("unheardof://a/b", "not a URL of a file"), ("gs://bucket/out", "pip install")],
)
def test_no_such_store(url: str, says: str, path: str) -> None:
    if url.startswith("gs") and find_spec("gcsfs"):
        pytest.skip("gcsfs is here")
    with pytest.raises(SegmaskExportError, match=says):
        write_table(path, url)
    with pytest.raises(ArchiveError if "gs" in url else SegmaskError, match=says):
        read_table(url)
    with pytest.raises(SegmaskError, match=says):
        make_plan(f"{url}/*.zip")


def test_read_that_fails(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no unsound table."""
    from fsspec.implementations.memory import MemoryFileSystem

    url = "memory://reads/table"
    write_table(path, url, shard_items=5)
    table = read_table(url)
    assert rows_of(table) == rows_of(read_table(to_table(path)))
    assert rows_of(read_table(f"{url}/part-000001.parquet")) == rows_of(table)[5:10]

    def fail(*_: object, **__: object) -> None:
        raise PermissionError("a-key-that-nobody-shows")

    monkeypatch.setattr(MemoryFileSystem, "cat_file", fail)
    calls: tuple[Callable[[], object], ...] = (
        partial(list, table),
        table.counts,
        partial(read_table, url),
    )
    for call in calls:
        with pytest.raises(StoreError, match=r"denies access.*may read") as caught:
            call()
        message(caught.value, f"{url}/part-000000.parquet")


def test_nothing_to_read() -> None:
    put("memory://nothing/here", {"a.txt": b"x", "_b.parquet": b"x"})
    for url in ("memory://nothing/there", "memory://nothing/here", "memory://nothing/a.parquet"):
        with pytest.raises(ArchiveError, match="there is no Parquet file here"):
            read_table(url)
    put("memory://nothing/else", {"a.parquet": b"x"})
    with pytest.raises(ArchiveError, match="damaged, or not Parquet"):
        read_table("memory://nothing/else")


def test_archives_and_coco_stay_on_the_disk(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No folder called ``s3:`` is made."""
    monkeypatch.chdir(tmp_path)
    table = read_table(to_table(path))
    for write in (table.write_coco, table.write_archive):
        for url in ("s3://bucket/out", "s3://k:a-key-that-nobody-shows@bucket/out.zip"):
            with pytest.raises(SegmaskExportError, match="written into a store") as caught:
                write(url)
            message(caught.value, "s3://bucket/out")
    assert list(tmp_path.iterdir()) == []


# S3


@pytest.fixture(scope="module")
def s3(s3: tuple[str, Behaviour]) -> tuple[str, Behaviour]:
    put("s3://bucket", {"x": b"x"})
    return s3


def test_s3_table_is_that_of_the_disk(
    behaviour: Behaviour, path: str, plain: dict[str, str], tmp_path: Path
) -> None:
    url = "s3://bucket/good"
    with processes() as pool:
        run(make_plan(path, 5), ParquetShards(), url, pool)
    assert fetched(url, tmp_path) == plain
    assert rows_of(read_table(url)) == rows_of(read_table(to_table(path)))
    assert read_table(url).counts() == read_table(to_table(path)).counts()


FAULTS = {403: "denies access", 404: "no such place", 500: "status 500", 503: "status 503"}


@pytest.mark.parametrize("status", FAULTS)
@pytest.mark.parametrize("name", ["part-000001.parquet", MANIFEST, "_segmask/000001.json"])
def test_s3_fault_that_stays(
    status: int, name: str, behaviour: Behaviour, path: str, plain: dict[str, str], tmp_path: Path
) -> None:
    """One error, and the next run goes on."""
    url = f"s3://bucket/{status}-{name.partition('.')[0]}"
    written: set[str] = set()

    def fault(path: str) -> int | None:
        written.add(path.rpartition("/")[2])
        begun = "job.json" in written  # before that, only what may be there is asked for
        return status if path.endswith(name) and begun else None

    behaviour.fault = fault
    with pytest.raises(StoreWriteError, match=FAULTS[status]) as caught:
        run(make_plan(path, 5), ParquetShards(), url)
    message(caught.value, f"{url}/{name}")
    behaviour.calm()
    run(make_plan(path, 5), ParquetShards(), url)
    assert fetched(url, tmp_path) == plain


@pytest.mark.parametrize("status", FAULTS)
def test_s3_table_that_cannot_be_read(status: int, behaviour: Behaviour, path: str) -> None:
    url = f"s3://bucket/read-{status}"
    write_table(path, url, shard_items=5)
    table = read_table(url)
    behaviour.fault = lambda path: status if "part-000001" in path else None
    with pytest.raises((MissingFileError, ArchiveError)) as caught:
        list(table)
    message(caught.value, f"{url}/part-000001.parquet")


def test_s3_without_a_bucket(s3: object, path: str) -> None:
    with pytest.raises(StoreWriteError, match=r"no such place.*a bucket that is there"):
        write_table(path, "s3://nobody-has-this/table")


def test_s3_worker_tells_it(behaviour: Behaviour, path: str) -> None:
    """The error comes from another process whole."""
    url = "s3://bucket/worker"
    behaviour.fault = lambda path: 403 if "part-000001" in path else None
    with (
        processes(1) as pool,
        pytest.raises(StoreWriteError, match="denies access") as caught,
    ):
        run(make_plan(path, 5), ParquetShards(), url, pool)
    message(caught.value, f"{url}/part-000001.parquet")
