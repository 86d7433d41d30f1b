"""Archives of millions of files without content, made in a memory that does not grow."""

from __future__ import annotations

import shutil
import struct
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

LABELS = "background:0,0,0::\n"


def _ids(count: int) -> Iterator[str]:
    return (f"folder_{i % 100:02}/item_{i:08}" for i in range(count))


def write_list(path: Path, count: int) -> None:
    """Write an archive in a folder that is nothing but a list of so many lines."""
    (path / "ImageSets/Segmentation").mkdir(parents=True)
    (path / "labelmap.txt").write_text(LABELS)
    with open(path / "ImageSets/Segmentation/train.txt", "w", encoding="utf-8") as file:
        file.writelines(f"{item_id}\n" for item_id in _ids(count))


def write_zip(path: Path, count: int) -> None:
    """Write a zip of so many files, two masks of no bytes an item."""

    def files() -> Iterator[tuple[str, bytes]]:
        yield "labelmap.txt", LABELS.encode()
        ids = "".join(f"{item_id}\n" for item_id in _ids(count // 2))
        yield "ImageSets/Segmentation/train.txt", ids.encode()
        for item_id in _ids(count // 2):
            for kind in ("SegmentationClass", "SegmentationObject"):
                yield f"{kind}/{item_id}.png", b""

    _write(path, files())


def _write(path: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write a zip whose directory waits on the disk: Python's ``zipfile`` keeps it in memory."""
    local, central = struct.Struct("<4s5H3L2H"), struct.Struct("<4s6H3L5H2L")
    count, at = 0, 0
    with open(path, "wb") as target, tempfile.TemporaryFile() as directory:
        for name, data in files:
            head = 0, 0, 0, 33, zlib.crc32(data), len(data), len(data), len(name), 0
            entry = local.pack(b"PK\3\4", 20, *head) + name.encode() + data
            directory.write(central.pack(b"PK\1\2", 20, 20, *head, 0, 0, 0, 0, at))
            directory.write(name.encode())
            target.write(entry)
            count, at = count + 1, at + len(entry)
        size = directory.tell()
        directory.seek(0)
        shutil.copyfileobj(directory, target)
        end64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, at)
        place = struct.pack("<4sLQL", b"PK\6\7", 0, at + size, 1)
        many, large = 0xFFFF, 0xFFFFFFFF
        end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, many, many, large, large, 0)
        target.write(end64 + place + end)
