"""The names of a zip, many at a time, are those of its records one by one."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from datumaro_segmask.rules import open_archive
from datumaro_segmask.storage.zip import directory, records
from datumaro_segmask.storage.zip.archive import FileSource
from datumaro_segmask.storage.zip.directory import ZipDirectory
from datumaro_segmask.storage.zip.records import find_directory, read_names, read_records

from ..archives import archive, as_zip, gray

NAMES = ["a.png", "b/c.png", "folder/", "back\\slash.png", "./d.png", ".DS_Store", "x/._y", "ü.png"]


def field(kind: int, body: bytes) -> bytes:
    return kind.to_bytes(2, "little") + len(body).to_bytes(2, "little") + body


def zip_of(names: list[str], path: Path, extra: bytes = b"") -> FileSource:
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            info = zipfile.ZipInfo("x")
            info.filename = name  # which ZipInfo would turn into another
            info.extra, info.comment = extra, b"PK\1\2" * (len(name) % 3)
            file.writestr(info, name)
    return FileSource(str(path))


@pytest.mark.parametrize("chunk", [1 << 20, 200_000], ids=["at-once", "in-parts"])
@pytest.mark.parametrize(
    "names",
    [NAMES, ["a.png"], [], ["a\0b.png", "c.png"], ["a\nb.png", "c.png"], ["", "c.png"]],
    ids=["all-kinds", "alike", "none", "nul", "end-of-line", "empty"],
)
@pytest.mark.parametrize("extra", [b"", field(0x5455, b"\1upup"), field(0x7075, b"\1up")])
def test_names_are_those_of_the_records(
    extra: bytes, names: list[str], chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "_CHUNK", chunk)
    many = [f"{name[:-1]}{i}{name[-1:]}" for i in range(800 if names else 0) for name in names]
    for some in (names, many):
        source = zip_of(some, tmp_path / f"{len(some)}.zip", extra)
        span = find_directory(source)
        found = [name for part in read_names(source, span) for name in part]
        assert found == [record.name for _, record in read_records(source, span)]
        assert len(found) == len(some)


def test_files_of_a_zip(tmp_path: Path) -> None:
    found = ZipDirectory(zip_of(NAMES, tmp_path / "a.zip"))
    assert [*found.names("")] == ["a.png", "b/c.png", "back/slash.png", "d.png", "ü.png"]
    assert [*found.names("b")] == ["b/c.png"]
    assert len([*found.every_name()]) == len(NAMES)


def test_opening_looks_at_each_record_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All else goes by names alone, or by what is known of the suffixes."""
    ids = [f"{i:03}" for i in range(300)]
    masks = {item_id: gray("01") for item_id in ids}
    path = as_zip(archive(masks, masks), tmp_path / "task")
    parse, count, walks = records._parse, [0], [0]

    def counted(*args: object) -> object:
        count[0] += 1
        return parse(*args)  # type: ignore[arg-type]

    def walked(*args: object) -> object:
        walks[0] += 1
        return read_names(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(records, "_parse", counted)
    monkeypatch.setattr(directory, "read_names", walked)
    assert len(open_archive(str(path)).subsets["default"]) == 300
    assert count[0] < 2 * len(ids) + 20
    assert walks[0] <= 12
