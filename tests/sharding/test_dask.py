"""A cluster of Dask on this machine gives the bytes of the plain loop, whoever dies."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from datumaro_segmask.__main__ import main
from datumaro_segmask.cli.check import survey
from datumaro_segmask.sharding.parts import make_plan
from datumaro_segmask.sharding.run import run
from datumaro_segmask.sharding.shards import ParquetShards

from ..archives import as_folder, as_zip
from ..cli.test_convert_parts import FORMATS, convert, task
from ..processes import command
from ..whole.test_second_time import AFTER, BEFORE
from .makes import digest
from .test_run import COUNT, SHARDS, Deadly, deadly, path, plain, plan_of, when

__all__ = ["path", "plain"]  # fixtures

distributed = pytest.importorskip("distributed", reason="the extra 'dask' is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # its own, of ports, processes and sockets


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address=None,
        silence_logs=logging.CRITICAL,
    ) as made:
        yield made


def test_same_bytes(cluster: Any, path: str, plain: dict[str, str], tmp_path: Path) -> None:
    with distributed.Client(cluster) as client:
        run(plan_of(path), ParquetShards(), str(tmp_path), client.get_executor(pure=False))
    assert digest(tmp_path) == plain


@deadly
@when
def test_worker_dies(
    before: bool, cluster: Any, path: str, plain: dict[str, str], tmp_path: Path
) -> None:
    kind = Deadly(mark=str(tmp_path / "mark"), before=before)
    with distributed.Client(cluster) as client:
        run(plan_of(path), kind, str(tmp_path / "out"), client.get_executor(pure=False, retries=2))
    assert (tmp_path / "mark").exists()
    assert digest(tmp_path / "out") == plain


def test_check(cluster: Any, path: str, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    status = main(["check", path, "--json"])
    whole = capsys.readouterr().out
    monkeypatch.setattr(survey, "_PART", 7)
    assert main(["check", path, "--json", "--dask", cluster.scheduler_address]) == status
    assert capsys.readouterr().out == whole


@pytest.mark.parametrize("make", [as_folder, as_zip])
def test_archive_that_was_mended(make: Any, cluster: Any, tmp_path: Path) -> None:
    """The workers have seen it before, broken and with other labels."""
    for files, status in ((BEFORE, 1), (AFTER, 0)):
        shutil.rmtree(tmp_path / "task", ignore_errors=True)
        path, out = str(make(files, tmp_path / "task")), tmp_path / "out"
        dask = ["--dask", cluster.scheduler_address]
        assert main(["check", path, *dask]) == status
        made = {}
        for kind in ("parquet", "coco", "segmask"):
            shard = ["shard", path, "--to", kind, "--overwrite"]
            for place, where in ((out, dask), (tmp_path / "expected", [])):
                assert main([*shard, "-o", str(place), *where]) == status
            made[kind] = digest(out)
            assert made[kind] == digest(tmp_path / "expected")


@pytest.mark.parametrize("name", ["yolo", "zip"])
def test_convert(name: str, cluster: Any, tmp_path: Path) -> None:
    source, options = as_zip(task(), tmp_path / "x"), FORMATS[name].split()
    alone = convert(source, tmp_path / "out", *options, "--jobs", "1")
    dask = ["--dask", cluster.scheduler_address]
    assert convert(source, tmp_path / "out", *options, *dask) == alone


def test_command(cluster: Any, path: str, plain: dict[str, str], tmp_path: Path) -> None:
    done = command("shard", path, "-o", tmp_path, "--shard-items", COUNT // SHARDS,
                   "--dask", cluster.scheduler_address)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert digest(tmp_path) == plain
    assert len(make_plan(path, COUNT // SHARDS)) == SHARDS
