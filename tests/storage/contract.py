"""What holds for every kind of storage. A test class of each kind derives from `StorageContract`.

What is asked of a storage stands in `datumaro_segmask.storage.read.Storage`.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from datumaro_segmask.errors import ArchiveError, MissingFileError
from datumaro_segmask.storage.read import Storage

from ..archives import archive, gray, jpeg

MASK = "SegmentationClass/a.png"
FILES = archive(
    {"a": gray("01"), "b/c": gray("10")},
    {"a": gray("01")},
    images={"a.JpG": jpeg(1, 2), "b/c.webp": b"webp"},
)


class StorageContract:
    """``has_files``: whether `files` also gives lists, and ``root`` has any effect."""

    forks = True

    def make(self, files: Mapping[str, bytes], path: Path) -> Storage:
        """Return a storage of an archive of these files, made at ``path``."""
        raise NotImplementedError

    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        return self.make(FILES, tmp_path / "task")

    def test_exists(self, storage: Storage) -> None:
        assert storage.exists(MASK)
        assert not storage.exists("SegmentationClass/b.png")
        assert not storage.exists("")

    def test_reads(self, storage: Storage) -> None:
        assert storage.read(MASK) == gray("01")
        assert storage.read("SegmentationClass/b/c.png") == gray("10")

    def test_opens(self, storage: Storage) -> None:
        with storage.open(MASK) as file:
            assert file.read(8) == gray("01")[:8]
            assert file.read() == gray("01")[8:]
            assert file.read() == b""

    @pytest.mark.parametrize("name", [MASK, "JPEGImages/a.JpG", "JPEGImages/b/c.webp"])
    def test_reads_what_it_opens(self, name: str, storage: Storage) -> None:
        with storage.open(name) as file:
            assert file.read() == storage.read(name)

    def test_lists_files(self, storage: Storage) -> None:
        assert sorted(storage.files("SegmentationClass")) == [MASK, "SegmentationClass/b/c.png"]
        assert list(storage.files("Segmentation")) == []
        assert list(storage.files("gone")) == []

    def test_strangers_are_passed_over(self, tmp_path: Path) -> None:
        litter = {"SegmentationClass/.DS_Store": b"x", "SegmentationClass/._a.png": b"x"}
        storage = self.make(FILES | litter, tmp_path / "task")
        assert sorted(storage.files("SegmentationClass")) == [MASK, "SegmentationClass/b/c.png"]

    def test_names_the_place(self, storage: Storage) -> None:
        assert "a.png" in storage.place(MASK)
        assert storage.place() in storage.place(MASK)

    def test_missing_file(self, storage: Storage) -> None:
        for read in (storage.read, storage.open):
            with pytest.raises(MissingFileError, match=r"gone.*cannot be read.*permissions"):
                read("SegmentationClass/gone.png")

    def test_limit(self, tmp_path: Path) -> None:
        storage = self.make(FILES | {MASK: bytes(1000)}, tmp_path / "task")
        assert len(storage.read(MASK, 1000)) == 1000
        for read in (storage.read, storage.open):
            with pytest.raises(ArchiveError, match=r"a\.png: the file has more than 999 bytes"):
                read(MASK, 999)

    def test_large_file(self, tmp_path: Path) -> None:
        """It goes through several blocks and chunks."""
        data = b"".join(i.to_bytes(4, "big") for i in range(500_000))
        storage = self.make(FILES | {MASK: data}, tmp_path / "task")
        assert storage.read(MASK) == data
        with storage.open(MASK) as file:
            assert b"".join(iter(lambda: file.read(77_777), b"")) == data

    @pytest.mark.parametrize(
        ("images", "found"),
        [
            ([], None),
            (["a.jpg"], "a.jpg"),
            (["a.jpeg", "a.png"], "a.png"),
            (["a.TIFF"], "a.TIFF"),
            (["a.Png"], "a.Png"),
            (["a.JPG", "a.webp"], "a.webp"),
            (["b.jpg", "aa.jpg", "a.jpg.txt", "a"], None),
            (["a.jpg.png"], None),
            (["a/b.jpg"], None),
        ],
        ids=str,
    )
    def test_image(self, images: list[str], found: str | None, tmp_path: Path) -> None:
        files = archive({i: gray("01") for i in ("a", "x/a", "b", "aa")}) | {
            f"JPEGImages/{folder}{name}": b"x" for name in images for folder in ("x/", "")
        }
        storage = self.make(files, tmp_path / "task")
        for _ in range(2):
            assert storage.image("a") == (found and f"JPEGImages/{found}")
            assert storage.image("x/a") == (found and f"JPEGImages/x/{found}")

    def test_image_of_an_id_with_a_suffix(self, tmp_path: Path) -> None:
        files = archive({"a": gray("0"), "a.jpg": gray("0")}, images={"a.jpg.png": b"x"})
        storage = self.make(files, tmp_path / "task")
        assert storage.image("a.jpg") == "JPEGImages/a.jpg.png"
        assert storage.image("a") is None

    def test_errors_of_the_reader_pass(self, storage: Storage) -> None:
        """What whoever reads a file does wrong is no damage of the file."""
        for error in (MemoryError(), TypeError("x"), OSError("disk full"), KeyError("x")):
            with pytest.raises(type(error)) as caught:
                self._fail_while_reading(storage, error)
            assert caught.value is error

    @staticmethod
    def _fail_while_reading(storage: Storage, error: Exception) -> None:
        with storage.open(MASK) as file:
            file.read(1)
            raise error

    def test_goes_ahead_in_order(self, storage: Storage) -> None:
        entries = [("a", "train"), ("gone", "train"), ("b/c", "val"), ("a", "val")] * 100
        assert list(storage.prefetch(iter(entries))) == entries
        for item_id, _ in storage.prefetch(entries):
            if item_id != "gone":
                assert storage.read(f"SegmentationClass/{item_id}.png")

    def test_goes_ahead_and_stops(self, storage: Storage) -> None:
        ahead = iter(storage.prefetch([("a", "train")] * 1000))
        assert next(ahead) == ("a", "train")
        del ahead
        assert storage.read(MASK) == gray("01")

    def test_pickles(self, storage: Storage) -> None:
        storage.read(MASK)
        storage.image("b/c")
        again = pickle.loads(pickle.dumps(storage))
        assert again.read(MASK) == gray("01")
        assert again.image("b/c") == "JPEGImages/b/c.webp"
        assert again.place(MASK) == storage.place(MASK)

    def test_threads(self, tmp_path: Path) -> None:
        files = FILES | {f"SegmentationClass/{n}.png": bytes([n]) * 50_000 for n in range(50)}
        storage = self.make(files, tmp_path / "task")
        with ThreadPoolExecutor(4) as pool:
            read = list(
                pool.map(storage.read, [f"SegmentationClass/{n}.png" for n in range(50)] * 4)
            )
        assert read == [bytes([n]) * 50_000 for n in range(50)] * 4

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
    @pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
    def test_forked_processes(self, tmp_path: Path) -> None:
        """Parent and children read the same storage at the same time."""
        if not self.forks:
            pytest.skip("its library does not fork")
        files = FILES | {f"SegmentationClass/{n}.png": bytes([n]) * 50_000 for n in range(50)}
        storage = self.make(files, tmp_path / "task")
        storage.read(MASK)
        children = []
        for _ in range(2):
            child = os.fork()
            if not child:
                code = 1
                try:
                    code = 0 if _all_right(storage) else 2
                finally:
                    os._exit(code)
            children.append(child)
        assert _all_right(storage)
        assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]


def _all_right(storage: Storage) -> bool:
    return all(storage.read(f"SegmentationClass/{n}.png") == bytes([n]) * 50_000 for n in range(50))
