"""What holds for both kinds of sink. A test class of each derives from `SinkContract`.

What is asked of a sink stands in `datumaro_segmask.storage.write.Sink`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from datumaro_segmask.errors import SegmaskExportError
from datumaro_segmask.storage.open import open_storage
from datumaro_segmask.storage.write import FolderSink, Sink, ZipSink

LIST = "ImageSets/Segmentation/default.txt"
MASK = "SegmentationClass/a/b.png"


class SinkContract:
    def make(self, path: Path) -> Sink:
        """Return a sink that writes to ``path``."""
        raise NotImplementedError

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "target"

    def write(self, path: Path, mask: bytes) -> None:
        sink = self.make(path)
        sink.put(MASK, mask)
        sink.put_lines(LIST, ["a/b"])
        sink.finish()

    def test_is_read_back(self, path: Path) -> None:
        self.write(path, b"mask")
        storage = open_storage(str(path))
        assert storage.read(MASK) == b"mask"
        assert storage.read(LIST) == b"a/b\n"
        assert list(storage.files("SegmentationClass")) == [MASK]

    def test_lines_are_utf_8_and_end_alike(self, path: Path) -> None:
        sink = self.make(path)
        sink.put_lines(LIST, iter(["b\u00e4r", "", "x"]))
        sink.finish()
        assert open_storage(str(path)).read(LIST) == b"b\xc3\xa4r\n\nx\n"

    def test_nothing_is_there_before_the_end(self, path: Path) -> None:
        sink = self.make(path)
        sink.put(MASK, b"mask")
        assert not path.is_file()
        assert not (path / MASK).exists()
        sink.abandon()

    def test_what_is_abandoned_leaves_nothing(self, path: Path) -> None:
        sink = self.make(path)
        sink.put(MASK, b"mask")
        sink.abandon()
        assert list(path.parent.iterdir()) == []

    def test_what_is_abandoned_leaves_the_old(self, path: Path) -> None:
        self.write(path, b"old")
        before = everything(path)
        sink = self.make(path)
        sink.put(MASK, b"new")
        sink.discard(LIST)
        sink.abandon()
        assert everything(path) == before

    def test_lines_that_end_in_an_error(self, path: Path) -> None:
        def lines() -> Iterator[str]:
            yield "a"
            raise KeyboardInterrupt

        self.write(path, b"old")
        before = everything(path)
        sink = self.make(path)
        with pytest.raises(KeyboardInterrupt):
            sink.put_lines(LIST, lines())
        sink.abandon()
        assert everything(path) == before

    def test_new_takes_the_place_of_old(self, path: Path) -> None:
        self.write(path, b"old")
        self.write(path, b"new")
        assert open_storage(str(path)).read(MASK) == b"new"

    def test_discarded_goes_unless_it_is_put(self, path: Path) -> None:
        self.write(path, b"old")
        sink = self.make(path)
        sink.discard(MASK)
        sink.discard(LIST)
        sink.discard("JPEGImages/never.jpg")
        sink.put(MASK, b"new")
        sink.put("SegmentationObject/a/b.png", b"objects")
        sink.finish()
        storage = open_storage(str(path))
        assert storage.read(MASK) == b"new"
        assert not storage.exists(LIST)

    def test_one_writer_at_a_time(self, path: Path) -> None:
        first = self.make(path)
        with pytest.raises(SegmaskExportError, match="another export"):
            self.make(path)
        first.put(MASK, b"first")
        first.put_lines(LIST, [])
        first.finish()
        assert open_storage(str(path)).read(MASK) == b"first"
        self.make(path).abandon()  # once it has ended, the next one may

    def test_abandoned_after_the_end_it_stays(self, path: Path) -> None:
        sink = self.make(path)
        sink.put(MASK, b"mask")
        sink.put_lines(LIST, ["a/b"])
        sink.finish()
        sink.abandon()
        assert open_storage(str(path)).read(MASK) == b"mask"

    def test_makes_the_folders_above(self, tmp_path: Path) -> None:
        self.write(tmp_path / "x" / "y" / "target", b"mask")
        assert open_storage(str(tmp_path / "x" / "y" / "target")).read(MASK) == b"mask"

    def test_nothing_of_its_own_is_left(self, path: Path) -> None:
        self.write(path, b"old")
        self.write(path, b"new")
        assert not [name for name in everything(path.parent) if ".segmask-export-" in name]


def everything(path: Path) -> dict[str, bytes]:
    """Return the content of all files below a path, or of the file that it is."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {str(file.relative_to(path.parent)): file.read_bytes() for file in files}


class TestFolder(SinkContract):
    def make(self, path: Path) -> Sink:
        return FolderSink(str(path))


class TestFolderThatReplaces(SinkContract):
    """A whole new archive in the place of another; what is no archive's stays."""

    def make(self, path: Path) -> Sink:
        return FolderSink(str(path), replace=True)

    def test_leaves_what_is_no_archive(self, path: Path) -> None:
        self.write(path, b"old")
        (path / "notes.txt").write_text("mine")
        (path / "JPEGImages").mkdir()
        (path / "JPEGImages" / "old.jpg").write_bytes(b"jpeg")
        self.write(path, b"new")
        assert (path / "notes.txt").read_text() == "mine"
        assert not (path / "JPEGImages").exists()


class TestZip(SinkContract):
    def make(self, path: Path) -> Sink:
        return ZipSink(str(path))


@pytest.mark.parametrize("count", [1, 8, 9, 200])
def test_every_file_is_flushed_and_few_without_threads(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed, threads, fsync = set(), set(), os.fsync

    def seen(descriptor: int) -> None:
        flushed.add(os.fstat(descriptor).st_ino)
        threads.add(threading.current_thread())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", seen)
    sink = FolderSink(str(tmp_path / "target"))
    for number in range(count):
        sink.put(f"SegmentationClass/{number % 3}/{number}.png", b"mask")
    sink.finish()
    files = [*(tmp_path / "target").rglob("*.png")]
    assert len(files) == count
    assert {path.stat().st_ino for path in files} <= flushed
    assert (threads == {threading.current_thread()}) == (count <= 8)


def test_nothing_here_adds_an_audit_hook() -> None:
    """Python up to 3.11 calls it while it sets a trace function: threads of coverage die of it."""
    root = Path(__file__).parents[2]
    files = [*root.glob("tests/**/*.py"), *root.glob("datumaro_segmask/**/*.py")]
    name = "sys." + "addaudithook"
    assert [path for path in files if name in path.read_text("utf-8")] == []
