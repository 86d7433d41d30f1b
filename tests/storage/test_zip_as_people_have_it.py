"""Names and methods of packing as other programs write them into zips."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from datumaro_segmask.cli.check.survey import check
from datumaro_segmask.rules import severity_of

from ..archives import Files, archive, as_zip, rgb

CAR = rgb("111 111 111")


def with_unicode_paths(files: Files, path: Path, *, sound: bool = True) -> Path:
    """As WinRAR does: names in a code page, and in UTF-8 in the extra field 0x7075."""
    made = {}
    with zipfile.ZipFile(path, "w") as target:
        for name, data in files.items():
            raw = name.encode("cp866")
            plain = "".join(chr(byte) if byte < 128 else "@" for byte in raw)
            made[plain.encode()] = raw
            body = struct.pack("<BL", 1, zlib.crc32(raw) ^ (not sound))
            body += name.encode() if sound else b"another name"
            info = zipfile.ZipInfo(plain)
            info.extra = struct.pack("<2H", 0x7075, len(body)) + body
            target.writestr(info, data)
    packed = path.read_bytes()
    for plain_name, raw in made.items():
        packed = packed.replace(plain_name, raw)
    path.write_bytes(packed)
    return path


def test_unicode_path_is_the_name(tmp_path: Path) -> None:
    files = archive({"\u044f": CAR}, {"\u044f": CAR})
    found = check(str(with_unicode_paths(files, tmp_path / "task.zip")))
    assert found.findings == []
    assert found.subsets["default"].labels["car"].instances == 1
    judged = check(str(tmp_path / "task.zip"), for_cvat=True)
    assert {f.kind for f in judged.findings} == {"mask-name"}


def test_unicode_path_of_another_name_does_not_count(tmp_path: Path) -> None:
    files = archive({"\u044f": CAR}, {"\u044f": CAR})
    found = check(str(with_unicode_paths(files, tmp_path / "task.zip", sound=False)))
    assert found.findings == []  # the lists tell the code page


@pytest.mark.parametrize(("method", "name"), [(9, "Deflate64"), (98, "PPMd"), (77, "number 77")])
def test_method_of_packing_that_python_lacks_is_named(
    method: int, name: str, tmp_path: Path
) -> None:
    """The file is not called damaged: it is not."""
    path = as_zip(archive({"a": CAR}, {"a": CAR}), tmp_path / "task")
    data = bytearray(path.read_bytes())
    for mark, at_method, at_name in ((b"PK\3\4", 8, 30), (b"PK\1\2", 10, 46)):
        at = -1
        while (at := data.find(mark, at + 1)) >= 0:
            if data[at + at_name :].startswith(b"SegmentationClass/"):
                data[at + at_method] = method
    path.write_bytes(data)
    (found,) = [f for f in check(str(path)).findings if severity_of(f, False) == "error"]
    assert (found.kind, found.file) == ("unreadable-file", "SegmentationClass/a.png")
    assert f"packed by {name}" in found.what or f"packed by the method {name}" in found.what
    assert "damaged" not in found.what + found.fix
    assert "give the folder" in found.fix


def in_code_page(files: Files, path: Path, page: str) -> Path:
    """As Explorer does: names in a code page, without a word of it."""
    made = {}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for number, (name, data) in enumerate(files.items()):
            raw = name.encode(page)
            plain = f"{number:02}".ljust(len(raw), "@") if not name.isascii() else name
            made[plain.encode()] = raw
            target.writestr(plain, data)
    packed = path.read_bytes()
    for plain_name, raw in made.items():
        packed = packed.replace(plain_name, raw)
    path.write_bytes(packed)
    return path


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("cp437", "\u00fcber"),
        ("cp932", "\u5199\u771f"),
        ("cp932", "\u8868\u793a"),  # the first has the byte 0x5C
        ("cp932", "\u8868"),
        ("cp932", "\u4e88/\u30bd\u30fc\u30b9"),  # 0x5C in a folder's file
        ("cp936", "\u7167\u7247"),
        ("cp949", "\uc0ac\uc9c4"),
        ("cp950", "\u529f\u8a31"),  # both have the byte 0x5C
        ("cp866", "\u0444\u043e\u0442\u043e"),
        ("cp1251", "\u0444\u043e\u0442\u043e"),
        ("cp1252", "\u00e9t\u00e9"),
    ],
)
def test_names_in_code_pages_are_found_by_the_lists(page: str, name: str, tmp_path: Path) -> None:
    files = archive({name: CAR, "a": CAR}, {name: CAR, "a": CAR})
    path = str(in_code_page(files, tmp_path / "task.zip", page))
    found = check(path)
    assert found.findings == []
    assert found.subsets["default"].labels["car"].instances == 2
    judged = check(path, for_cvat=True)
    assert {f.kind for f in judged.findings} <= {"mask-name", "zip-backslash"}


def test_names_that_no_list_speaks_for_are_cp437(tmp_path: Path) -> None:
    files = archive({"\u00fc": CAR}, {"\u00fc": CAR}, lists={"default": "b\n"})
    found = check(str(in_code_page(files, tmp_path / "task.zip", "cp437")))
    assert any("\u00fc" in f.file for f in found.findings if f.kind == "unlisted-masks")
