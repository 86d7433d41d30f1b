"""What stays in a zip lies there as it did: headers, packed bytes, dates, flags, extra fields."""

from __future__ import annotations

import io
import os
import shutil
import struct
import subprocess
import zipfile
from pathlib import Path

import pytest

from datumaro_segmask.errors import ArchiveError, SegmaskExportError
from datumaro_segmask.storage.open import open_storage
from datumaro_segmask.storage.write import ZipSink
from datumaro_segmask.storage.zip import carry
from datumaro_segmask.storage.zip.records import Record

from ..archives import archive, rgb

FILES = archive({"a": rgb("01"), "b": rgb("10")}, lists={"train": "a\nb\n"})
DATE = (2021, 3, 4, 5, 6, 8)


class _NoSeek(io.RawIOBase):
    """A stream: ``zipfile`` writes data descriptors into it."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        return self._file.write(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def odd(kind: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(f"strangers/{kind}.bin", DATE)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = 3
    info.external_attr = 0o100640 << 16
    return info


def make(path: Path, kind: str) -> Path:
    """Write a zip of the archive and a file that is packed in an odd way."""
    target = _NoSeek(path) if kind == "descriptor" else path.open("wb")
    info = odd(kind)
    with target as file:
        if kind == "stub":
            file.write(b"#!/bin/sh\nexit 0\n")
        with zipfile.ZipFile(file, "w") as written:
            if kind == "extra":
                info.extra = struct.pack("<2H4s", 0x7855, 4, b"abcd")
                info.comment = b"mine"
            if kind == "bzip2":
                info.compress_type = zipfile.ZIP_BZIP2
            if kind == "umlaut":
                info.filename = "strangers/\u00fc.bin"
            if kind == "comment":
                written.comment = b"of the zip"
            with written.open(info, "w", force_zip64=kind == "zip64") as member:
                member.write(b"stranger " * 99)
            written.writestr(zipfile.ZipInfo("empty folder/", DATE), b"")
            for name, data in FILES.items():
                written.writestr(zipfile.ZipInfo(name, DATE), data)
    return path


def patched(path: Path, name: bytes, at_local: int, at_record: int, value: int) -> None:
    """Write a number of 16 bits into both headers of a member."""
    data = bytearray(path.read_bytes())
    local, record = data.index(name) - 30, data.rindex(name) - 46
    struct.pack_into("<H", data, local + at_local, value)
    struct.pack_into("<H", data, record + at_record, value)
    path.write_bytes(data)


def save(path: Path) -> None:
    sink = ZipSink(str(path), update=True)
    sink.discard("SegmentationClass/b.png")
    sink.put("SegmentationClass/a.png", b"new")
    sink.put("JPEGImages/a.jpg", b"picture")
    sink.finish()


def members(path: Path) -> dict[str, tuple[object, ...]]:
    """Return of each member all that the directory says but for its place, and its packed bytes."""
    found: dict[str, tuple[object, ...]] = {}
    with zipfile.ZipFile(path) as read, path.open("rb") as file:
        for info in read.infolist():
            file.seek(info.header_offset + 26)
            sizes = struct.unpack("<2H", file.read(4))
            file.seek(info.header_offset)
            whole = file.read(30 + sum(sizes) + info.compress_size)
            facts = info.date_time, info.flag_bits, info.extra, info.comment, info.external_attr
            found[info.orig_filename] = (*facts, info.compress_type, info.CRC, whole)
    return found


KINDS = ["plain", "stub", "descriptor", "extra", "bzip2", "umlaut", "comment", "zip64"]


@pytest.mark.parametrize("kind", KINDS)
def test_member_that_stays_is_copied_as_it_lies(kind: str, tmp_path: Path) -> None:
    path = make(tmp_path / "task.zip", kind)
    before = members(path)
    save(path)
    after = members(path)
    changed = "SegmentationClass/a.png", "JPEGImages/a.jpg"
    assert list(after) == [n for n in before if n != "SegmentationClass/b.png"] + [changed[1]]
    assert {n: after[n] for n in after if n not in changed} == {
        n: before[n] for n in before if n not in (*changed, "SegmentationClass/b.png")
    }
    with zipfile.ZipFile(path) as read:
        assert read.testzip() is None
        assert read.read(changed[0]) == b"new"
        assert read.comment == (b"of the zip" if kind == "comment" else b"")
    assert path.read_bytes().startswith(b"#!/bin/sh\nexit 0\nPK") is (kind == "stub")
    save(path)  # and once more
    assert members(path)["empty folder/"] == before["empty folder/"]


@pytest.mark.skipif(not shutil.which("unzip"), reason="asks Info-ZIP")
@pytest.mark.parametrize("kind", KINDS)
def test_unzip_finds_nothing_wrong(kind: str, tmp_path: Path) -> None:
    path = make(tmp_path / "task.zip", kind)
    save(path)
    done = subprocess.run(["unzip", "-tq", str(path)], capture_output=True, text=True, check=False)
    # The only thing that it says of a program in front is how long that is.
    assert done.returncode == (1 if kind == "stub" else 0) or "No errors" in done.stdout


@pytest.mark.skipif(not shutil.which("zip"), reason="asks Info-ZIP")
def test_zip_of_info_zip(tmp_path: Path) -> None:
    for name, data in {**FILES, "README.md": b"mine " * 50}.items():
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_bytes(data)
    path = tmp_path / "task.zip"
    subprocess.run(["zip", "-qr", str(path), "."], cwd=tmp_path / "tree", check=True)
    before = members(path)
    save(path)
    after = members(path)
    for name in ("README.md", "ImageSets/", "ImageSets/Segmentation/train.txt", "labelmap.txt"):
        assert after[name] == before[name]
    assert subprocess.run(["unzip", "-tqq", str(path)], check=False).returncode == 0


def test_unknown_method_is_copied_as_it_lies(tmp_path: Path) -> None:
    path = make(tmp_path / "task.zip", "plain")
    patched(path, b"strangers/plain.bin", 8, 10, 97)
    before = members(path)
    save(path)
    assert members(path)["strangers/plain.bin"] == before["strangers/plain.bin"]


def test_encrypted_member_is_refused_before_anything_changes(tmp_path: Path) -> None:
    path = make(tmp_path / "task.zip", "plain")
    patched(path, b"strangers/plain.bin", 6, 8, 1)
    before = path.read_bytes()
    with pytest.raises(ArchiveError, match="is encrypted"):
        ZipSink(str(path), update=True)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["task.zip"]


@pytest.mark.parametrize("separator", ["./", "\\"], ids=["dot", "backslash"])
def test_names_in_other_spellings_are_replaced(separator: str, tmp_path: Path) -> None:
    path = tmp_path / "task.zip"
    with zipfile.ZipFile(path, "w") as written:
        for name, data in FILES.items():
            spelled = f"./{name}" if separator == "./" else name.replace("/", "\\")
            info = zipfile.ZipInfo("x", DATE)
            info.filename = spelled
            written.writestr(info, data)
    save(path)
    storage = open_storage(str(path))
    assert storage.read("SegmentationClass/a.png") == b"new"
    assert not storage.exists("SegmentationClass/b.png")
    assert storage.exists("ImageSets/Segmentation/train.txt")
    with zipfile.ZipFile(path) as read:
        assert len(read.namelist()) == 4


@pytest.mark.parametrize("version", [0, 1], ids=["signed", "CRC that lies"])
def test_odd_descriptors_are_copied(version: int, tmp_path: Path) -> None:
    path = make(tmp_path / "task.zip", "descriptor")
    data = path.read_bytes()
    at = data.index(b"PK\x07\x08")
    if version:
        data = data[: at + 8] + b"\xff" + data[at + 9 :]
        path.write_bytes(data)
    save(path)
    new = path.read_bytes()
    start = new.index(b"strangers/descriptor.bin") - 30
    assert new[start : start + at + 16] == data[: at + 16]


@pytest.mark.parametrize("signature", [b"", b"PK\x07\x08"], ids=["bare", "signed"])
@pytest.mark.parametrize("sizes", ["2L", "2Q"])
def test_descriptor_is_found_by_what_it_says(signature: bytes, sizes: str) -> None:
    record = Record("a", "a", "a", 8, 8, 7, 5, 9, 0)
    data = signature + struct.pack(f"<L{sizes}", 7, 5, 9)
    assert carry._descriptor_size(data + b"PK\3\4", record) == len(data)


def test_damaged_member_is_refused_before_anything_changes(tmp_path: Path) -> None:
    path = make(tmp_path / "task.zip", "plain")
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x03\x04")] = 0
    path.write_bytes(data)
    sink = ZipSink(str(path), update=True)
    sink.put("SegmentationClass/a.png", b"new")
    with pytest.raises(SegmaskExportError, match="it is not where the directory says"):
        sink.finish()
    sink.abandon()
    assert path.read_bytes() == data
    assert os.listdir(tmp_path) == ["task.zip"]


@pytest.mark.parametrize("most", [3, 100], ids=["many members", "far away"])
def test_zip64_is_written_where_it_is_needed(
    most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With smaller numbers for what a zip can hold without it."""
    path = make(tmp_path / "task.zip", "zip64")
    before = {name: facts[-1] for name, facts in members(path).items()}
    with monkeypatch.context() as patch:
        if most == 3:
            patch.setattr(carry, "_MOST", most)
        else:
            patch.setattr(carry, "_FAR", most)
        save(path)
    assert b"PK\6\6" in path.read_bytes()
    after = members(path)
    assert after["strangers/zip64.bin"][-1] == before["strangers/zip64.bin"]
    with zipfile.ZipFile(path) as read:
        assert read.testzip() is None
    assert open_storage(str(path)).read("SegmentationClass/a.png") == b"new"
    save(path)
    assert members(path)["strangers/zip64.bin"][-1] == before["strangers/zip64.bin"]


def test_archive_in_a_folder_of_the_zip_stays_there(tmp_path: Path) -> None:
    path = tmp_path / "task.zip"
    with zipfile.ZipFile(path, "w") as written:
        for name, data in {**FILES, "notes.txt": b"beside"}.items():
            written.writestr(f"my task/{name}" if name != "notes.txt" else name, data)
    save(path)
    with zipfile.ZipFile(path) as read:
        names = set(read.namelist())
        assert read.read("notes.txt") == b"beside"
    assert names == {
        "notes.txt", "my task/SegmentationClass/a.png", "my task/JPEGImages/a.jpg",
        "my task/ImageSets/Segmentation/train.txt", "my task/labelmap.txt",
    }  # fmt: skip


def test_file_that_is_put_twice_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "task.zip"
    sink = ZipSink(str(path))
    sink.put("SegmentationClass/a.png", b"mask")
    sink.put("SegmentationClass/a.png", b"mask")
    with pytest.raises(ValueError, match="with other content"):
        sink.put("SegmentationClass/a.png", b"another")
    sink.finish()
    with zipfile.ZipFile(path) as read:
        assert read.namelist() == ["SegmentationClass/a.png"]
