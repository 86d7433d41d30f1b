"""Two runs in one place, manifests of others, and what a fault at the end of a run leaves."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from datumaro_segmask.errors import SegmaskExportError
from datumaro_segmask.sharding import ParquetShards, make_plan, run
from datumaro_segmask.sharding.manifest import MANIFEST, WORK, ShardSink
from tests.archives import archive, as_zip, rgb
from tests.interrupts import start


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def shard(tmp_path: Path, name: str, ids: str, out: Path, **options: Any) -> dict[str, Any]:
    path = tmp_path / f"{name}.zip"
    if not path.exists():
        as_zip(archive({i: rgb("0110") for i in ids}), path)
    return run(make_plan([str(path)], 1), ParquetShards(), str(out), **options)


def files_of(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir()}


@pytest.mark.parametrize("at", range(1, 7))
def test_shard_of_an_earlier_run_does_not_get_among_those_of_the_later(
    at: int, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The later run begins wherever the earlier one is about to give a file its name."""
    expected = tmp_path / "expected"
    shard(tmp_path, "later", "cd", expected)
    later = threading.Thread(
        target=shard, args=(tmp_path, "later", "cd", out), kwargs={"overwrite": True}
    )
    checks = iter(range(1, at + 1))
    check = ShardSink._check_run

    def check_when_another_begins(self: ShardSink) -> None:
        if next(checks, None) == at:
            check(self)
            later.start()
            later.join(0.3)
        else:
            check(self)

    monkeypatch.setattr(ShardSink, "_check_run", check_when_another_begins)
    with suppress(SegmaskExportError):
        shard(tmp_path, "earlier", "ab", out, overwrite=True)
    later.join(60)
    assert files_of(out) == files_of(expected)


def test_next_run_waits_until_a_shard_is_in_its_place(tmp_path: Path, out: Path) -> None:
    target = ShardSink(str(out))
    target.begin({"version": 1}, True)
    done: list[bool] = []

    def begin() -> None:
        ShardSink(str(out)).begin({"version": 2}, True)
        done.append(True)

    with target._alone():
        other = threading.Thread(target=begin)
        other.start()
        other.join(0.3)
        assert not done
    other.join(30)
    assert done
    with pytest.raises(SegmaskExportError, match="another run has begun"):
        target.put("part-000000.parquet", lambda file: file.write(b"old"))
    with pytest.raises(SegmaskExportError, match="another run has begun"):
        target.finish({"parts": []})
    assert sorted(path.name for path in out.iterdir()) == [WORK]


def test_fault_while_the_notes_are_cleared(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as during:
        during.setattr("datumaro_segmask.sharding.manifest.shutil.rmtree", fail)
        with pytest.raises(OSError, match="Input"):
            shard(tmp_path, "a", "ab", out)
    assert (out / WORK).exists()
    shard(tmp_path, "a", "ab", out)
    assert not (out / WORK).exists()
    assert (out / MANIFEST).exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_notes_that_stay_for_whatever_reason_go_with_the_next_run(
    overwrite: bool, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also half of them, as a kill leaves them."""
    shard(tmp_path, "a", "ab", out)
    expected = files_of(out)
    rmtree = shutil.rmtree

    def killed(path: str, *_: Any) -> None:
        if os.path.basename(path) == WORK:
            os.unlink(os.path.join(path, "job.json"))
            raise KeyboardInterrupt
        rmtree(path)

    with monkeypatch.context() as during:
        during.setattr("datumaro_segmask.sharding.manifest.shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            shard(tmp_path, "b", "cd", out, overwrite=True)
    assert (out / WORK).is_dir()
    shard(
        tmp_path, "a" if overwrite else "b", "ab" if overwrite else "cd", out, overwrite=overwrite
    )
    assert not (out / WORK).exists()
    if overwrite:
        assert files_of(out) == expected


@pytest.mark.parametrize("overwrite", [False, True])
def test_manifest_that_a_kill_has_left_unfinished_goes(
    overwrite: bool, tmp_path: Path, out: Path
) -> None:
    out.mkdir()
    left, mine = out / f".{MANIFEST}.{'0f' * 8}", out / f".{MANIFEST}.mine"
    for path in (left, mine):
        path.write_text("{")
    shard(tmp_path, "a", "ab", out, overwrite=overwrite)
    assert not left.exists()
    assert mine.exists()


@pytest.mark.skipif(os.name == "nt", reason="links")
@pytest.mark.parametrize("overwrite", [False, True])
def test_notes_in_a_folder_that_is_a_link(overwrite: bool, tmp_path: Path, out: Path) -> None:
    """The link goes, and what it leads to stays."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text("mine")
    out.mkdir()
    (out / WORK).symlink_to(mine)
    shard(tmp_path, "a", "ab", out, overwrite=overwrite)
    assert not os.path.lexists(out / WORK)
    assert (mine / "letter.txt").read_text() == "mine"


_TWO_RUNS = """
import sys, time
from datumaro_segmask.cli import main
print("ready", flush=True)
sys.stdin.readline()
time.sleep(float(sys.argv[2]))
sys.exit(main(["shard", sys.argv[1], "-o", sys.argv[3], "--shard-items", "1", "--overwrite"]))
"""


def test_two_processes_that_overwrite_at_once(tmp_path: Path, out: Path) -> None:
    """The shards and the manifest are those of one of them, whole, however they meet."""
    expected = []
    for name, ids in (("a", "abcdefgh"), ("b", "ijklmnop")):
        shard(tmp_path, name, ids, tmp_path / f"expected-{name}")
        expected.append(files_of(tmp_path / f"expected-{name}"))
    for wait in ("0", "0.01", "0.03"):
        runs = [
            start(
                [sys.executable, "-c", _TWO_RUNS, str(tmp_path / f"{name}.zip"), late, str(out)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            for name, late in (("a", "0"), ("b", wait))
        ]
        for run_ in runs:
            assert run_.stdout is not None
            assert run_.stdout.readline() == "ready\n"
        for run_ in runs:
            assert run_.stdin is not None
            run_.stdin.write("\n")
            run_.stdin.flush()
        errors = [run_.communicate(timeout=120)[1] for run_ in runs]
        ends = [run_.returncode for run_ in runs]
        assert 0 in ends, errors
        assert all("another run" in error for end, error in zip(ends, errors, strict=True) if end)
        assert {n: d for n, d in files_of(out).items() if n != MANIFEST} in [
            {n: d for n, d in one.items() if n != MANIFEST} for one in expected
        ]
        names = {name for part in json.loads((out / MANIFEST).read_text())["parts"]
                 for name in part["files"]}  # fmt: skip
        assert names == files_of(out).keys() - {MANIFEST}


def _without(key: str) -> Any:
    def change(manifest: dict[str, Any]) -> None:
        del manifest[key]

    return change


def _with_file(name: str) -> Any:
    def change(manifest: dict[str, Any]) -> None:
        manifest["parts"][0]["files"] = [name]

    return change


STRANGE = {
    **{f"no {key}": _without(key) for key in ("parts", "job", "items", "labels", "left_out")},
    "way out": _with_file("../../evil"),
    "way out by a name": _with_file("instances_/../../evil-000000.json"),
    "number": lambda m: m["parts"][0].update(files=3),
    "no dict": lambda m: m["parts"].append("x"),
    "text for a count": lambda m: m.update(items="many"),
    "label": lambda m: m["labels"].update(car={"instances": 1}),
    "error": lambda m: m["parts"][0].update(errors=["x"]),
}


@pytest.mark.parametrize("how", STRANGE)
def test_manifest_of_a_stranger_is_checked_whole(how: str, tmp_path: Path, out: Path) -> None:
    shard(tmp_path, "a", "ab", out)
    manifest = json.loads((out / MANIFEST).read_text())
    STRANGE[how](manifest)
    (out / MANIFEST).write_text(json.dumps(manifest))
    before = files_of(out)
    with pytest.raises(SegmaskExportError, match="shards of another run"):
        shard(tmp_path, "a", "ab", out)
    assert files_of(out) == before
    shard(tmp_path, "a", "ab", out, overwrite=True)


def test_note_of_a_stranger_is_not_believed(tmp_path: Path, out: Path) -> None:
    manifest = shard(tmp_path, "a", "ab", out)
    (tmp_path / "evil").write_text("mine")
    target = ShardSink(str(out))
    part = manifest["parts"][0]
    for files in (["../evil"], "x", None):
        target.put_json(f"{WORK}/000000.json", {**part, "files": files})
        assert target.noted() == {}
    target.put_json(f"{WORK}/000000.json", part)
    assert target.noted() == {0: part}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes there")
def test_pipe_for_a_manifest_is_not_waited_for(tmp_path: Path, out: Path) -> None:
    out.mkdir()
    os.mkfifo(out / MANIFEST)
    with pytest.raises(SegmaskExportError):
        shard(tmp_path, "a", "ab", out)
