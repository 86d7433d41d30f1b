"""What an export leaves behind that ends in the middle: the old dataset, the new, or an error."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from datumaro.components.dataset import Dataset

import datumaro_segmask
from datumaro_segmask.errors import ArchiveError
from datumaro_segmask.storage.write import FolderSink, ZipSink

from ..archives import archive, as_folder, rgb

OLD = archive(
    {"one": rgb("0110 0220"), "two": rgb("2200 2200")},
    {"one": rgb("0110 0220"), "two": rgb("1100 2200")},
    lists={"train": "one\n", "val": "two\n"},
)
NEW = archive(
    {"one": rgb("1111 0000"), "three": rgb("2222 1111")},
    {"one": rgb("1111 0000"), "three": rgb("1111 2222")},
    lists={"train": "one\n", "test": "three\n"},
)

Content = dict[tuple[str, str], list[tuple[int | None, int, bytes]]]


@pytest.fixture(autouse=True)
def _registered() -> None:
    datumaro_segmask.register()


def content(path: Path) -> Content:
    return {
        (item.id, item.subset): [(a.label, a.group, a.rle["counts"]) for a in item.annotations]
        for item in Dataset.import_from(str(path), "segmask")
    }


class Killed(BaseException):
    """The process is gone: nothing of it runs any more."""


class _Disk:
    """Counts what changes below a folder, by Python's audit events, and fails at one of them."""

    EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree")

    def __init__(self) -> None:
        self.root: str | None = None
        self.left = 0
        self.error: BaseException = Killed()
        sys.addaudithook(self)

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if self.root is None or event not in self.EVENTS:
            return
        path, flags = str(args[0]), args[2] if event == "open" else None
        if self.root not in path or (event == "open" and not int(flags or 0) & os.O_WRONLY):
            return
        self.left -= 1
        if self.left == 0:
            self.root = None
            raise self.error


@pytest.fixture(scope="module")
def disk() -> _Disk:
    return _Disk()


@contextmanager
def failing(disk: _Disk, root: Path, at: int, error: BaseException) -> Iterator[None]:
    disk.left, disk.error, disk.root = at, error, str(root)
    try:
        yield
    finally:
        disk.root = None


def new_dataset(path: Path) -> Dataset:
    dataset = Dataset.import_from(str(as_folder(NEW, path)), "segmask")
    dataset.init_cache()
    return dataset


def _let_go(sink: Any) -> None:
    sink._archive._didModify = False  # or closing would still write the directory
    sink._archive.close()


@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("target", ["over an old dataset", "into an empty folder"])
def test_killed_at_every_step(
    zipped: bool, target: str, tmp_path: Path, disk: _Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A killed process cleans nothing up.
    monkeypatch.setattr(FolderSink, "abandon", lambda self: None)
    monkeypatch.setattr(ZipSink, "abandon", _let_go)
    dataset = new_dataset(tmp_path / "source")
    new = content(tmp_path / "source")
    outcomes = set()
    for step in range(1, 200):
        out = tmp_path / f"out{step}"
        out.mkdir()
        old: Content = {}
        if target == "over an old dataset":
            if zipped:
                Dataset.import_from(str(as_folder(OLD, tmp_path / f"old{step}")), "segmask").export(
                    str(out), "segmask", zip=True
                )
            else:
                as_folder(OLD, out)
            old = content(out)
        try:
            with failing(disk, out, step, Killed()):
                dataset.export(str(out), "segmask", zip=zipped)
        except Killed:
            try:
                found = content(out)
            except ArchiveError as error:
                outcomes.add("refused")
                assert "cut short" in str(error) or not old
            else:
                outcomes.add("old" if found == old else "new")
                assert found in (old, new)
        else:
            assert content(out) == new
            break
    else:
        pytest.fail("the export never ends")
    assert step > 3
    assert outcomes & {"old", "refused"}


def test_more_files_than_are_moved_at_once(tmp_path: Path) -> None:
    """Into folders that are there, beside what stays."""
    old = as_folder({"a/old": b"old", "a/1": b"old", "keep": b"old"}, tmp_path / "x")
    names = [f"{folder}/{number}" for folder in ("a", "a/b") for number in range(1100)]
    sink = FolderSink(str(old))
    for name in names:
        sink.put(name, name.encode())
    sink.finish({})
    files = {p.relative_to(old).as_posix(): p.read_bytes() for p in old.rglob("*") if p.is_file()}
    assert files == {name: name.encode() for name in names} | {"a/old": b"old", "keep": b"old"}


@pytest.mark.parametrize("step", [4, 6, 8])
def test_full_disk_leaves_the_old_dataset(step: int, tmp_path: Path, disk: _Disk) -> None:
    dataset = new_dataset(tmp_path / "source")
    out = as_folder(OLD, tmp_path / "out")
    old = content(out)
    error = OSError(errno.ENOSPC, "No space left on device")
    with failing(disk, out, step, error), pytest.raises(OSError, match="No space left"):
        dataset.export(str(out), "segmask")
    assert content(out) == old
    assert not (out / ".segmask-export").exists()


def test_ctrl_c_leaves_the_old_dataset(tmp_path: Path, disk: _Disk) -> None:
    dataset = new_dataset(tmp_path / "source")
    out = as_folder(OLD, tmp_path / "out")
    old = content(out)
    with failing(disk, out, 6, KeyboardInterrupt()), pytest.raises(KeyboardInterrupt):
        dataset.export(str(out), "segmask")
    assert content(out) == old


def test_next_export_clears_what_a_killed_one_left(tmp_path: Path) -> None:
    dataset = new_dataset(tmp_path / "source")
    out = tmp_path / "out"
    (out / ".segmask-export/SegmentationClass").mkdir(parents=True)
    (out / ".segmask-export/SegmentationClass/stale.png").write_bytes(b"")
    (out / "segmask-export-unfinished.txt").write_text("…", encoding="utf-8")
    with pytest.raises(ArchiveError, match="cut short"):
        content(out)
    dataset.export(str(out), "segmask")
    assert content(out) == content(tmp_path / "source")
    assert sorted(path.name for path in out.iterdir()) == [
        "ImageSets",
        "SegmentationClass",
        "SegmentationObject",
        "labelmap.txt",
    ]


_KILL_DRIVER = """
import os, random, shutil, signal, sys, time, warnings
warnings.simplefilter("ignore")
import datumaro_segmask; datumaro_segmask.register()
from datumaro.components.dataset import Dataset
from datumaro_segmask.errors import ArchiveError
folder, times = sys.argv[1], int(sys.argv[2])
def content(path):
    return {(i.id, i.subset): [(a.label, a.group, a.rle["counts"]) for a in i.annotations]
            for i in Dataset.import_from(path, "segmask")}
new = Dataset.import_from(f"{folder}/new", "segmask"); new.init_cache()
old_content, new_content = content(f"{folder}/old"), content(f"{folder}/new")
start = time.perf_counter()
new.export(f"{folder}/trial", "segmask")
length = time.perf_counter() - start
counts = {"old": 0, "new": 0, "refused": 0}
random.seed(7)
for i in range(times):
    out = f"{folder}/out"
    shutil.rmtree(out, ignore_errors=True); shutil.copytree(f"{folder}/old", out)
    child = os.fork()
    if not child:
        new.export(out, "segmask"); os._exit(0)
    time.sleep(random.uniform(0, length * 1.2))
    os.kill(child, signal.SIGKILL); os.waitpid(child, 0)
    try:
        found = content(out)
    except ArchiveError:
        counts["refused"] += 1
    else:
        assert found in (old_content, new_content), "a mixture"
        counts["old" if found == old_content else "new"] += 1
print(counts)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
def test_kill_9_at_random_moments(tmp_path: Path) -> None:
    as_folder(OLD, tmp_path / "old")
    as_folder(NEW, tmp_path / "new")
    done = subprocess.run(
        [sys.executable, "-c", _KILL_DRIVER, str(tmp_path), "50"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 0, done.stderr
    print(done.stdout)
