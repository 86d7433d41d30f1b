"""A folder or a zip to read from: what is there, what is damaged, what leads out."""

from __future__ import annotations

import builtins
import io
import os
import pickle
import random
import struct
import sys
import time
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from datumaro_segmask.errors import ArchiveError, MissingFileError, UnsafePathError
from datumaro_segmask.storage import read as read_module
from datumaro_segmask.storage.journal import JOURNAL, NOTE, first_line
from datumaro_segmask.storage.layout import STAGING
from datumaro_segmask.storage.open import folder_roots, holds_archive, open_storage
from datumaro_segmask.storage.read import FolderStorage
from datumaro_segmask.storage.zip import records as zip_records

from ..archives import CONTAINERS, archive, as_folder, as_zip, gray

MASK = "SegmentationClass/a.png"
FILES = archive({"a": gray("01"), "b/c": gray("10")})

containers = pytest.mark.parametrize("write", CONTAINERS.values(), ids=CONTAINERS)
links = pytest.mark.skipif(sys.platform == "win32", reason="needs rights to make links")


@containers
@pytest.mark.parametrize("root", ["", "my task/", "x/y/"], ids=["top", "one-down", "two-down"])
def test_reads(write, root: str, tmp_path: Path) -> None:
    files = {root + name: data for name, data in FILES.items()}
    storage = open_storage(str(write(files, tmp_path / "task")))
    assert storage.exists(MASK)
    assert not storage.exists("SegmentationClass/b.png")
    assert storage.read(MASK) == gray("01")
    with storage.open(MASK) as file:
        assert file.read(8) == gray("01")[:8]
    assert sorted(storage.files("SegmentationClass")) == [MASK, "SegmentationClass/b/c.png"]
    assert list(storage.files("JPEGImages")) == []
    assert MASK.rpartition("/")[2] in storage.place(MASK)
    assert str(tmp_path) in storage.place()


@containers
def test_strangers_are_passed_over(write, tmp_path: Path) -> None:
    files = FILES | {
        "SegmentationClass/.DS_Store": b"x",
        "SegmentationClass/._a.png": b"x",
        "ImageSets/Segmentation/._default.txt": b"x",
        "ImageSets/Segmentation/Thumbs.db": b"x",
        "__MACOSX/SegmentationClass/._a.png": b"x",
        "readme.md": b"x",
    }
    storage = open_storage(str(write(files, tmp_path / "task")))
    assert sorted(storage.files("SegmentationClass")) == [MASK, "SegmentationClass/b/c.png"]
    assert list(storage.files("ImageSets/Segmentation")) == ["ImageSets/Segmentation/default.txt"]


# What cannot be opened

NOTHING_HERE = "there is no archive of segmentation masks here"


def failure(path: Path) -> str:
    with pytest.raises(ArchiveError) as caught:
        open_storage(str(path))
    assert caught.value.expected
    assert caught.value.remedy
    return str(caught.value)


def test_no_such_path(tmp_path: Path) -> None:
    assert "there is no such file or folder" in failure(tmp_path / "gone")


def test_empty_folder(tmp_path: Path) -> None:
    text = failure(tmp_path)
    assert text.startswith(f"{tmp_path}: {NOTHING_HERE}")
    assert "check the path" in text


def test_folder_of_something_else(tmp_path: Path) -> None:
    assert NOTHING_HERE in failure(as_folder({"a.jpg": b"x", "b/c.png": b"x"}, tmp_path))


def test_zip_of_something_else(tmp_path: Path) -> None:
    assert NOTHING_HERE in failure(as_zip({"a.jpg": b"x"}, tmp_path / "a"))


@containers
def test_archives_side_by_side(write, tmp_path: Path) -> None:
    files = {f"{n}/{name}": data for n in ("one", "two") for name, data in FILES.items()}
    text = failure(write(files, tmp_path / "tasks"))
    for part in ("2 archives are side by side", "one", "two", "datum merge"):
        assert part in text


def test_folder_with_one_zip(tmp_path: Path) -> None:
    as_zip(FILES, tmp_path / "task")
    (tmp_path / "._task.zip").write_bytes(b"what macOS leaves")
    assert open_storage(str(tmp_path)).read(MASK) == gray("01")


def test_folder_with_two_zips(tmp_path: Path) -> None:
    as_zip(FILES, tmp_path / "a")
    as_zip(FILES, tmp_path / "b")
    assert NOTHING_HERE in failure(tmp_path)


def test_unfinished_export(tmp_path: Path) -> None:
    as_folder({**FILES, f"{STAGING}x/{NOTE}": b""}, tmp_path)
    staging = tmp_path / f"{STAGING}x"
    (staging / JOURNAL).write_text(first_line((staging / NOTE).stat()), encoding="utf-8")
    text = failure(tmp_path)
    for part in (STAGING, "has not ended", "datumaro-segmask recover", str(tmp_path)):
        assert part in text


def test_roots(tmp_path: Path) -> None:
    inner = as_folder(FILES, tmp_path / "x" / "task")
    as_folder(FILES, tmp_path / "__MACOSX" / "task")
    assert folder_roots(str(tmp_path)) == [str(inner)]
    assert folder_roots(str(tmp_path / "gone")) == []


def test_holds_archive(tmp_path: Path) -> None:
    zipped = as_zip({f"x/{name}": data for name, data in FILES.items()}, tmp_path / "zips" / "a")
    other = as_zip({"a.jpg": b"x"}, tmp_path / "other" / "a")
    there = [as_folder(FILES, tmp_path / "task"), zipped, zipped.parent]
    assert all(holds_archive(str(path)) for path in there)
    missing = [other, other.parent, tmp_path / "gone", tmp_path / "gone.zip"]
    assert not any(holds_archive(str(path)) for path in missing)


# Links


@links
@pytest.mark.parametrize("what", ["file", "folder"])
def test_link_that_leads_out(what: str, tmp_path: Path) -> None:
    inside = as_folder(FILES, tmp_path / "task")
    outside = as_folder({"secret/secret.png": b"secret"}, tmp_path / "other")
    name = "SegmentationClass/secret.png" if what == "file" else "SegmentationClass/d/secret.png"
    if what == "file":
        (inside / name).symlink_to(outside / "secret/secret.png")
    else:
        (inside / name).parent.symlink_to(outside / "secret")
    storage = open_storage(str(inside))
    assert storage.exists(name)
    for _ in range(2):
        with pytest.raises(UnsafePathError) as caught:
            storage.read(name)
        for part in ("leads out of the dataset", "secret.png", "replace the link by a copy"):
            assert part in str(caught.value)


@links
def test_links_that_stay_inside(tmp_path: Path) -> None:
    task = as_folder(FILES, tmp_path / "task")
    (task / "SegmentationClass/link.png").symlink_to(task / MASK)
    (task / "SegmentationClass/d").symlink_to(task / "SegmentationClass/b")
    (tmp_path / "dataset").symlink_to(task)
    storage = open_storage(str(tmp_path / "dataset"))
    assert storage.read("SegmentationClass/link.png") == gray("01")
    assert storage.read("SegmentationClass/d/c.png") == gray("10")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything"
)
def test_file_without_permission(tmp_path: Path) -> None:
    task = as_folder(FILES, tmp_path / "task")
    (task / MASK).chmod(0)
    with pytest.raises(MissingFileError, match="Permission denied"):
        FolderStorage(str(task)).read(MASK)


# Zips


def test_truncated_zip(tmp_path: Path) -> None:
    path = as_zip(FILES, tmp_path / "a")
    path.write_bytes(path.read_bytes()[:-30])
    text = failure(path)
    assert "the zip has no end: it was cut short" in text
    assert "copy or export it again" in text


def test_every_truncation_is_an_error_of_ours(tmp_path: Path) -> None:
    path = as_zip(FILES, tmp_path / "a")
    data = path.read_bytes()
    for size in range(0, len(data), 7):
        path.write_bytes(data[:size])
        failure(path)


def test_every_wrong_byte_is_an_error_or_no_matter(tmp_path: Path) -> None:
    path = as_zip(archive({"a": gray("01")}), tmp_path / "a")
    data = path.read_bytes()
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
        try:
            storage = open_storage(str(path))
            names = [
                n for folder in ("SegmentationClass", "ImageSets") for n in storage.files(folder)
            ]
            for name in names:
                assert storage.read(name) in (gray("01"), b"a\n")
        except (ArchiveError, UnsafePathError, MissingFileError):
            continue


def test_data_behind_the_zip(tmp_path: Path) -> None:
    """The comment of an archive, or what a server appended, is no matter."""
    path = as_zip(FILES, tmp_path / "a")
    with path.open("ab") as file:
        file.write(b"\n")
    assert open_storage(str(path)).read(MASK) == gray("01")


@pytest.mark.parametrize(
    "name", ["../evil.png", "a/../../evil.png", "/etc/evil", "C:/evil", "a//b", "a/./b"]
)
def test_names_that_lead_out_of_the_zip(name: str, tmp_path: Path) -> None:
    path = as_zip({**FILES, name: b"x"}, tmp_path / "a")
    with pytest.raises(UnsafePathError) as caught:
        open_storage(str(path))
    assert repr(name) in str(caught.value)
    assert str(path) in str(caught.value)
    assert not holds_archive(str(path))


def test_backslashes_in_a_zip_are_separators(tmp_path: Path) -> None:
    """Old Windows tools write them."""
    path = as_zip({name.replace("/", "\\"): data for name, data in FILES.items()}, tmp_path / "a")
    storage = open_storage(str(path))
    assert storage.read("SegmentationClass/b/c.png") == gray("10")
    assert sorted(storage.files("SegmentationClass")) == [MASK, "SegmentationClass/b/c.png"]


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_name_twice_in_a_zip(tmp_path: Path) -> None:
    path = as_zip([*FILES.items(), (MASK, b"other")], tmp_path / "a")
    assert f"has '{MASK}' twice" in failure(path)


def test_encrypted_zip(tmp_path: Path) -> None:
    path = as_zip(FILES, tmp_path / "a")
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2")
    data[at + 8] |= 1
    path.write_bytes(data)
    text = failure(path)
    assert "is encrypted" in text
    assert "with the password" in text


@pytest.mark.parametrize(
    "compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_damaged_file_in_a_zip(compression: int, tmp_path: Path) -> None:
    noise = random.Random(0).randbytes(5000)
    path = as_zip(FILES | {MASK: noise}, tmp_path / "a", compression)
    storage = open_storage(str(path))
    assert storage.read(MASK) == noise
    data = bytearray(path.read_bytes())
    at = data.index(MASK.encode()) + len(MASK) + 40
    data[at : at + 400] = bytes(400)
    path.write_bytes(data)
    with pytest.raises(ArchiveError) as caught:
        open_storage(str(path)).read(MASK)
    for part in (str(path), MASK, "damaged inside the zip", "copy or export"):
        assert part in str(caught.value)


def test_file_larger_than_the_zip_says(tmp_path: Path) -> None:
    """The size that counts is the one that comes out."""
    path = as_zip(FILES | {MASK: bytes(100_000)}, tmp_path / "a")
    data = bytearray(path.read_bytes())
    entry = data.rindex(MASK.encode()) - 46
    assert struct.unpack_from("<I", data, entry + 24) == (100_000,)
    struct.pack_into("<I", data, entry + 24, 10)
    path.write_bytes(data)
    with pytest.raises(ArchiveError):
        open_storage(str(path)).read(MASK)


def test_zip_that_vanished(tmp_path: Path) -> None:
    path = as_zip(FILES, tmp_path / "a")
    copy = pickle.loads(pickle.dumps(open_storage(str(path))))
    path.unlink()
    with pytest.raises(MissingFileError, match=r"a\.zip: the zip was there when"):
        copy.read(MASK)


def test_zip_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = as_zip(FILES, tmp_path / "x")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(builtins, "open", refuse)
    with pytest.raises(MissingFileError, match=r"Permission denied.*permissions"):
        open_storage(str(path))


def test_path_that_no_system_takes(tmp_path: Path) -> None:
    for path in ("a\0b", f"{tmp_path}/\0.zip", "\ud800"):
        with pytest.raises(ArchiveError, match=r"no (archive|such file).*check the path"):
            open_storage(path)
        assert not holds_archive(path)


# Zips with a directory of their own kind


def test_directory_of_many_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_records, "_CHUNK", 1 << 18)
    names = [f"SegmentationClass/{'x' * (i % 199 + 1)}/{i}.png" for i in range(5000)]
    path = as_zip({**FILES, **{name: name.encode() for name in names}}, tmp_path / "a")
    storage = open_storage(str(path))
    assert [*storage.files("SegmentationClass")][2:] == names
    assert all(storage.read(name) == name.encode() for name in names)


@pytest.mark.parametrize("count", [65_535, 65_536])
def test_zip64_by_the_number_of_files(count: int, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as target:
        for i in range(count - 1):
            target.writestr(zipfile.ZipInfo(f"SegmentationClass/{i}.png"), b"")
        target.writestr("ImageSets/Segmentation/default.txt", "1\n")
    storage = open_storage(str(path))
    assert sum(1 for _ in storage.files("SegmentationClass")) == count - 1
    assert storage.exists(f"SegmentationClass/{count - 2}.png")


def test_file_of_more_than_four_gigabytes_in_front(tmp_path: Path) -> None:
    """Places past 4 GiB stand in the extra field of the directory; the file has a hole there."""
    path = tmp_path / "a.zip"
    hole = zipfile.ZipInfo("hole")
    with zipfile.ZipFile(path, "w", allowZip64=True) as target:
        target.writestr("ImageSets/Segmentation/default.txt", "a\n")
        with target.open(hole, "w", force_zip64=True):
            pass
        assert target.fp is not None
        target.start_dir += 5 << 30
        target.fp.seek(target.start_dir)
        target.writestr(MASK, gray("01"))
    storage = open_storage(str(path))
    assert storage.read(MASK) == gray("01")


def test_names_without_the_flag_of_utf8(tmp_path: Path) -> None:
    """They are UTF-8 where they can be, else cp437, whatever their tool was."""
    path = as_zip({**FILES, "SegmentationClass/\u00e9x.png": gray("1")}, tmp_path / "a")
    data = path.read_bytes()
    for raw, name in ((b"\xc3\xa9x", "\u00e9x"), (b"\x82\x82x", "\u00e9\u00e9x")):
        without = bytearray(data.replace("\u00e9x".encode(), raw))
        for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
            place = without.rindex(mark)
            assert without[place + at + 1] & 8
            without[place + at + 1] &= ~8
        path.write_bytes(without)
        assert open_storage(str(path)).read(f"SegmentationClass/{name}.png") == gray("1")


def test_file_inside_another_file_of_a_zip(tmp_path: Path) -> None:
    """A sound header within the bytes of a stored file, as the better zip bombs have it."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as target:
        target.writestr(MASK, gray("01"))
    outer = inner.getvalue()[: inner.getvalue().index(b"PK\1\2")]
    path = as_zip({"SegmentationClass/z.png": outer + bytes(50), **FILES}, tmp_path / "a", 0)
    data = bytearray(path.read_bytes())
    entry = data.rindex(MASK.encode()) - 46
    start = data.index(outer)
    struct.pack_into("<I", data, entry + 42, start)
    struct.pack_into("<2I", data, entry + 20, len(gray("01")), len(gray("01")))
    path.write_bytes(data)
    storage = open_storage(str(path))
    assert storage.read(MASK) == gray("01")
    with pytest.raises(ArchiveError, match="overlaps"):
        storage.read("SegmentationClass/z.png")


def test_memory_of_a_zip_does_not_hold_its_names(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("ImageSets/Segmentation/default.txt", "")
        for i in range(30_000):
            target.writestr(f"SegmentationClass/a name of some length/{i}.png", b"")
    del target
    tracemalloc.start()
    storage = open_storage(str(path))
    kept, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert storage.exists("SegmentationClass/a name of some length/29999.png")
    assert kept < 40 * 30_000
    assert most < 100 * 30_000 + (2 << 20)


# Images of a folder


def test_images_that_come_and_go(tmp_path: Path) -> None:
    path = as_folder(archive({"a": gray("1"), "b": gray("1")}, images={"b.png": b"x"}), tmp_path)
    storage = FolderStorage(str(path))
    assert storage.image("a") is None
    for name, found in (("a.tif", "JPEGImages/a.tif"), ("a.png", "JPEGImages/a.png")):
        time.sleep(0.02)  # the clock of a file system ticks
        (path / "JPEGImages" / name).write_bytes(b"x")
        assert storage.image("a") == found
    time.sleep(0.02)
    (path / "JPEGImages/a.png").unlink()
    assert storage.image("a") == "JPEGImages/a.tif"
    assert storage.image("b") == "JPEGImages/b.png"


def test_item_without_image_asks_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = archive({str(i): gray("1") for i in range(100)}, images={"x.jpg": b"x"})
    storage = FolderStorage(str(as_folder(files, tmp_path)))
    storage.image("0")
    asked: list[object] = []

    def counted(true):
        def ask(*args):
            asked.append(args)
            return true(*args)

        return ask

    for module, name in ((os, "stat"), (os, "lstat"), (os, "scandir"), (os.path, "isfile")):
        monkeypatch.setattr(module, name, counted(getattr(module, name)))
    assert [storage.image(str(i)) for i in range(1, 100)] == [None] * 99
    monkeypatch.undo()
    assert len(asked) == 99


def test_listings_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_module, "_MOST_LISTED", 10)
    names = [f"{folder}/{i}" for folder in range(20) for i in range(4)]
    files = archive({}, lists={"default": ""}, images={f"{name}.png": b"x" for name in names})
    storage = FolderStorage(str(as_folder(files, tmp_path)))
    assert all(storage.image(name) == f"JPEGImages/{name}.png" for name in names * 2)
    assert sum(map(len, storage._listings.values())) <= 10


@links
def test_image_that_is_a_dangling_link(tmp_path: Path) -> None:
    """It is there and cannot be read, which is not the same as none."""
    path = as_folder(archive({"a": gray("1")}, images={"b.jpg": b"x"}), tmp_path)
    (path / "JPEGImages/a.jpg").symlink_to("gone")
    storage = FolderStorage(str(path))
    assert storage.image("a") == "JPEGImages/a.jpg"
    with pytest.raises(MissingFileError), storage.open("JPEGImages/a.jpg"):
        pass


def test_names_in_a_zip_that_begin_with_a_dot(tmp_path: Path) -> None:
    files = {f"./{name}": data for name, data in FILES.items()}
    storage = open_storage(str(as_zip(files, tmp_path / "a")))
    assert storage.read(MASK) == FILES[MASK]
    assert MASK in list(storage.files("SegmentationClass"))


@pytest.mark.parametrize("name", ["SegmentationObject", "JPEGImages", "ImageSets/Segmentation"])
def test_what_is_no_folder_is_not_missing(name: str, tmp_path: Path) -> None:
    """Git on Windows, and zips, make files of links to folders."""
    files = {place: data for place, data in FILES.items() if not place.startswith(f"{name}/")}
    for write in (as_folder, as_zip):
        path = write(files | {name: b"../masks"}, tmp_path / "task")
        with pytest.raises(ArchiveError, match=f"{name}: this is not a folder.*copy the folder"):
            open_storage(str(path))


@links
def test_folder_that_is_a_link_to_nowhere(tmp_path: Path) -> None:
    path = as_folder(archive({"a": gray("1")}), tmp_path / "task")
    (path / "SegmentationObject").symlink_to("gone")
    with pytest.raises(ArchiveError, match="SegmentationObject: this is not a folder, or a link"):
        open_storage(str(path))


def test_folder_of_masks_that_may_not_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = as_folder(FILES, tmp_path / "task")
    monkeypatch.setattr(os, "access", lambda p, _: not str(p).endswith("Class"))
    with pytest.raises(ArchiveError, match=r"SegmentationClass: the folder may not be read"):
        open_storage(str(path))
