"""Items that are read together are those that are read alone, whatever is beside them."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datumaro_segmask.archive import Item, Reader, Scan, open_archive
from datumaro_segmask.errors import SegmaskImportError, StoreError
from datumaro_segmask.png import read_together
from datumaro_segmask.regions import Runs

from ..archives import (
    COLORS,
    GRAY,
    PALETTE,
    RGB,
    RGBA,
    Files,
    Plane,
    archive,
    as_folder,
    chunk,
    header,
    jpeg,
    png_of,
    raw_png,
)

SIZES = [(4, 6), (4, 6), (4, 6), (6, 4)]


def drawn(rng: random.Random, size: tuple[int, int], values: int) -> Plane:
    """Return a plane of few runs, some of which go over the sides."""
    plane = np.zeros(size[0] * size[1], np.uint8)
    for _ in range(rng.randrange(4)):
        begin = rng.randrange(plane.size)
        plane[begin : begin + rng.randrange(1, 9)] = rng.randrange(values)
    return plane.reshape(size)


def mask(rng: random.Random, kind: str, size: tuple[int, int], values: int) -> bytes:
    plane = drawn(rng, size, values)
    filters = rng.choice([(1,), (1,), (1,), (0,), (2, 1), (4, 3)])
    if kind == "gray":
        return raw_png(plane[..., None], 8, GRAY, filters=filters)
    if kind == "palette":
        colors = COLORS[: rng.choice([values, 10])]
        return raw_png(plane[..., None], 8, PALETTE, filters=filters, palette=colors.tobytes())
    if kind == "deep":
        return raw_png(COLORS[plane].astype(np.uint16), 16, RGB, filters=filters)
    if kind == "interlaced":
        return raw_png(COLORS[plane], 8, RGB, filters=filters, interlaced=True)
    if kind == "alpha":
        pixels = np.dstack([COLORS[plane], np.full(size, 255, np.uint8)])
        return raw_png(pixels, 8, RGBA, filters=filters)
    return raw_png(COLORS[plane], 8, RGB, filters=filters)


def broken(rng: random.Random, kind: str, size: tuple[int, int], values: int) -> bytes:
    """Return a mask that cannot be read, or that says what the label map does not know."""
    fault = rng.choice(["end", "filter", "stream", "checksum", "size", "value", "index"])
    if fault == "end":
        return mask(rng, kind, size, values)[:-20]
    if fault in ("filter", "stream", "checksum"):
        rows = (bytes([7 if fault == "filter" else 1]) + bytes(3 * size[1])) * size[0]
        stream = zlib.compress(rows[:-9] if fault == "stream" else rows)
        stream = stream[:-1] + b"?" if fault == "checksum" else stream
        return png_of(header(size[1], size[0], 8, RGB), chunk(b"IDAT", stream), chunk(b"IEND"))
    if fault == "size":
        return mask(rng, kind, (size[0], size[1] + 1), values)
    if fault == "index":
        samples = np.full((*size, 1), 9, np.uint8)
        return raw_png(samples, 8, PALETTE, filters=(1,), palette=bytes(6))
    return mask(rng, kind, size, 10)


def files_of(seed: int) -> Files:
    rng = random.Random(seed)
    masks: tuple[dict[str, bytes], dict[str, bytes]] = ({}, {})
    images: dict[str, bytes] = {}
    main = rng.choice(["rgb", "rgb", "gray", "palette", "alpha"])
    for number in range(40):
        item_id, size = f"item {number}", rng.choice(SIZES)
        kind = rng.choice([main] * 9 + ["rgb", "gray", "palette", "deep", "interlaced", "alpha"])
        for of, values in zip(masks, (3, 6), strict=True):
            make = broken if rng.random() < 0.1 else mask
            if rng.random() < 0.9:
                of[item_id] = make(rng, kind, size, values)
        if rng.random() < 0.5:
            images[f"{item_id}.jpg"] = jpeg(*size)
    lists = {"train": "".join(f"item {number}\n" for number in range(40))}
    return archive(*masks, images=images, lists=lists)


def told(value: Any) -> Any:
    """Return what there is to know of a value, so that it can be compared."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Runs):
        return value.size, *map(told, (value.begin, value.end, *value.values))
    if isinstance(value, SegmaskImportError):
        return type(value), value.kind, str(value)
    if isinstance(value, list):
        return [*map(told, value)]
    return value


def facts(scan: Scan) -> dict[str, Any]:
    names = {f.name for f in fields(Scan)} - {"class_reader", "instance_reader"}
    return {name: told(getattr(scan, name)) for name in names}


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("keep", [False, True])
def test_items_of_a_batch_are_items_alone(
    seed: int, keep: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether their rows are copied together or looked at one after the other."""
    monkeypatch.setattr("datumaro_segmask.png.read._JOINED", 200 if seed % 2 else 1 << 18)
    opened = open_archive(as_folder(files_of(seed), tmp_path / "task"))
    reader = opened.reader(keep_background=keep, keep_unknown=keep, ignore_index=2)
    entries = [(item_id, "train") for item_id in opened.subsets["train"]]
    together = [(entry, told(item)) for entry, item in reader.entries(entries)]
    assert together == [(entry, told(reader.scan(entry[0]).item())) for entry in entries]
    scans = [facts(scan) for _, scan in reader.scans(entries)]
    assert scans == [facts(reader.scan(item_id)) for item_id, _ in entries]
    assert any(isinstance(item, Item) and item.instances for _, item in together)
    assert any(scan["errors"] for scan in scans)


def test_the_fault_that_is_met_first_is_told_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datumaro_segmask.png.read.BLOCK_BYTES", 1)  # row by row
    late, early = (raw_with([1, 1, 1, 7]), raw_with([1, 7, 1, 1]))
    files = archive({"a": late}, {"a": early})
    scan = open_archive(as_folder(files, tmp_path / "task")).reader().scan("a")
    assert [error.where.split("/")[-2] for error in scan.errors] == [
        "SegmentationObject",
        "SegmentationClass",
    ]


def raw_with(filters: list[int]) -> bytes:
    """Return a black mask, four pixels wide, whose rows have these filters, known or not."""
    stream = zlib.compress(b"".join(bytes([kind, *bytes(12)]) for kind in filters))
    return png_of(header(4, len(filters), 8, RGB), chunk(b"IDAT", stream), chunk(b"IEND"))


@pytest.fixture
def sound(tmp_path: Path) -> Reader:
    rng = random.Random(0)
    masks = {f"{number:03}": mask(rng, "rgb", (40, 60), 3) for number in range(200)}
    return open_archive(as_folder(archive(masks, masks), tmp_path / "task")).reader()


def noted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the list that will have how many masks are read together, each time."""
    counts: list[int] = []

    def noting(planes: Any, rows: int) -> Any:
        counts.append(len(planes[0]))
        return read_together(planes, rows)

    monkeypatch.setattr("datumaro_segmask.archive.item.read_together", noting)
    return counts


ENTRIES = [(f"{number:03}", "train") for number in range(200)]


def test_the_first_item_waits_for_no_other(sound: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = noted(monkeypatch)
    items = sound.entries(ENTRIES)
    next(items)
    assert counts == [1]
    assert sum(1 for _ in items) == 199
    assert counts == [1, 2, 4, 8, *[16] * 11, 9]


def test_no_more_pixels_are_read_together_than_fit(
    sound: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = noted(monkeypatch)
    monkeypatch.setattr("datumaro_segmask.archive.item._TOGETHER", 3 * 2400)
    assert sum(1 for _ in sound.entries(ENTRIES)) == 200
    assert max(counts) == 3


def test_no_more_of_files_is_held_than_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small mask may be a large file."""
    filled = raw_png(COLORS[np.zeros((4, 6), int)], 8, RGB, extra=chunk(b"teXt", bytes(1 << 18)))
    masks = dict.fromkeys([f"{number:03}" for number in range(8)], filled)
    counts = noted(monkeypatch)
    reader = open_archive(as_folder(archive(masks, masks), tmp_path / "task")).reader()
    assert sum(1 for _ in reader.entries(ENTRIES[:8])) == 8
    assert max(counts) == 1


def test_items_before_a_store_that_is_gone_are_given(
    sound: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = sound.storage.read

    def failing(name: str, *limit: int) -> bytes:
        if "/006." in name:
            raise StoreError("it does not answer", "the store", "an answer", "ask again")
        return read(name, *limit)

    monkeypatch.setattr(sound.storage, "read", failing)

    def until_it_fails() -> Iterator[str]:
        for (item_id, _), _item in sound.entries(ENTRIES):
            yield item_id

    items = until_it_fails()
    assert [next(items) for _ in range(6)] == ["000", "001", "002", "003", "004", "005"]
    with pytest.raises(StoreError):
        next(items)
