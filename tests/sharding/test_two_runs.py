"""Two runs in one place, manifests of others, and what a fault at the end of a run leaves."""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from datumaro_segmask.errors import SegmaskExportError
from datumaro_segmask.sharding import ParquetShards, make_plan, run
from datumaro_segmask.sharding.manifest import MANIFEST, WORK, ShardSink
from tests.archives import archive, as_zip, rgb


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
