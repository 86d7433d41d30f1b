"""Large pictures are drawn a few rows at a time, and the same as when they are drawn as a whole."""

import io
import logging
import subprocess
import sys
import zlib
from functools import partial

import cv2
import numpy as np
import PIL.Image
import pytest

from datumaro_segmask.archive import Item, image_head
from datumaro_segmask.arrays import Size
from datumaro_segmask.arrays import turn as to_lie
from datumaro_segmask.cli.preview import drawing
from datumaro_segmask.regions import Scanner, group_runs

from ..archives import (
    ADAM7,
    CHANNELS,
    GRAY,
    RGB,
    RGBA,
    archive,
    as_folder,
    chunk,
    header,
    jpeg,
    png_of,
    rgb,
)

SIZE = Size(300, 220)


def photo():
    corners = np.random.default_rng(0).integers(0, 255, (5, 4, 3), np.uint8)
    return cv2.resize(corners, (SIZE.width, SIZE.height), interpolation=cv2.INTER_CUBIC)


def png(pixels):
    return cv2.imencode(".png", pixels)[1].tobytes()


def by_pillow(mode, **options):
    file = io.BytesIO()
    PIL.Image.fromarray(photo()).convert(mode).save(file, "PNG", **options)
    return file.getvalue()


PICTURES = {
    "rgb": png(photo()),
    "rgba": by_pillow("RGBA"),
    "rgb16": png(photo().astype(np.uint16) * 257),
    "gray": by_pillow("L"),
    "gray16": png(photo()[..., 0].astype(np.uint16) * 257),
    "gray alpha": by_pillow("LA"),
    "palette": by_pillow("P"),
    "1 bit": by_pillow("1"),
}


def decoded(data, side, turn=None):
    size = SIZE if turn is None else SIZE.on_its_side
    return drawing.decode_photo(data, Item("a", size, "a.png", [], turn=turn), side)


@pytest.mark.parametrize("turn", [None, 6])
@pytest.mark.parametrize("side", [75, 150])
@pytest.mark.parametrize("name", PICTURES)
def test_in_strips_as_at_once(name, side, turn, monkeypatch):
    whole = decoded(PICTURES[name], side, turn)
    monkeypatch.setattr(drawing, "_MANY", 100)
    found = decoded(PICTURES[name], side, turn)
    assert found.shape == whole.shape
    data = np.frombuffer(PICTURES[name], np.uint8)
    pixels = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1]
    size = found.shape[1::-1]
    expected = cv2.resize(to_lie(pixels, turn), size, interpolation=cv2.INTER_AREA)
    assert np.abs(found.astype(int) - expected).mean() < 2.5


def test_what_can_only_be_decoded_as_a_whole_is_not_drawn_and_said(monkeypatch, caplog):
    file = io.BytesIO()
    PIL.Image.fromarray(photo()).save(file, "TIFF")
    monkeypatch.setattr(drawing, "_MANY", 100)
    assert decoded(file.getvalue(), 75) is not None
    monkeypatch.setattr(drawing, "_MOST_AT_ONCE", 60_000)
    with caplog.at_level(logging.WARNING):
        assert decoded(file.getvalue(), 75) is None
    assert caplog.messages == [
        "a: its image has 66,000 pixels, and is not drawn. Expected at most 60,000, a JPEG that "
        "is not progressive, or a PNG that is not interlaced."
    ]


@pytest.mark.parametrize("side", [10, 100, 960])
def test_masks_are_drawn_by_the_pixels_that_show(side):
    rng = np.random.default_rng(1)
    small = rng.integers(0, 5, (7, 9), np.uint8)
    numbers = cv2.resize(small, (220, 300), interpolation=0).astype(np.uint8)
    scanner = Scanner(*SIZE)
    scanner.add(np.ones(SIZE, np.uint8), numbers)
    runs = scanner.runs()
    instances = group_runs(runs, runs.values[1], runs.values[0])
    drawn = drawing.draw_item(Item("a", SIZE, None, instances), "default", None, side)
    height, width = drawn.plane.shape
    rows = ((np.arange(height) + 0.5) * 300 / height).astype(int)
    columns = ((np.arange(width) + 0.5) * 220 / width).astype(int)
    position = {one.number: i for i, one in enumerate(instances, 1)}
    expected = np.vectorize(position.__getitem__)(numbers)[rows][:, columns]
    assert (drawn.plane == expected).mean() > (0.9 if side == 10 else 0.9999)
    assert {*np.unique(drawn.plane).tolist()} == {*position.values()}


# Memory

SIDE = 7000  # of a square that takes 147 MB in colour
ROOM = 35_000  # kB


def zeros(depth, color_type, value=0, *, interlaced=False):
    """A PNG of `SIDE` by `SIDE` pixels, all alike, in a few kB."""
    compressor, parts = zlib.compressobj(1), []
    for x, y, dx, dy in ADAM7 if interlaced else [(0, 0, 1, 1)]:
        columns, rows = len(range(x, SIDE, dx)), len(range(y, SIDE, dy))
        size = -(-columns * CHANNELS[color_type] * depth // 8)
        parts += [compressor.compress(b"\0" + bytes([value]) * size) for _ in range(rows)]
    pixels = b"".join([*parts, compressor.flush()])
    head = header(SIDE, SIDE, depth, color_type, 0, 0, int(interlaced))
    return png_of(head, chunk(b"IDAT", pixels), chunk(b"IEND"))


def by_pillow_large(kind, mode, **options):
    file = io.BytesIO()
    PIL.Image.new(mode, (SIDE, SIDE)).save(file, kind, **options)
    return file.getvalue()


def with_picture(name, make):
    masks = {"a": zeros(1, GRAY)}
    return archive(masks, masks, images={name: make()})


LARGE = {
    "colour": lambda: with_picture("a.png", partial(zeros, 16, RGB)),
    "interlaced": lambda: with_picture("a.png", partial(zeros, 8, RGB, interlaced=True)),
    "jpeg": lambda: with_picture("a.jpg", partial(by_pillow_large, "JPEG", "RGB")),
    "progressive": lambda: with_picture(
        "a.jpg", partial(by_pillow_large, "JPEG", "RGB", progressive=True)
    ),
    "directory at the end": lambda: with_picture(
        "a.tif", partial(by_pillow_large, "TIFF", "RGB", compression="tiff_deflate")
    ),
    "larger than its mask": lambda: archive(
        {"a": rgb("0110")},
        images={"a.tif": by_pillow_large("TIFF", "RGB", compression="tiff_deflate")},
    ),
    "mask with alpha": lambda: archive({"a": zeros(8, RGBA)}, {"a": zeros(1, GRAY, 255)}),
    "large object": lambda: archive({"a": zeros(8, GRAY, 1)}, {"a": zeros(1, GRAY, 255)}),
    "interlaced mask": lambda: archive({"a": zeros(1, GRAY, interlaced=True)}),
}
COMMANDS = """
import re, sys
from datumaro_segmask.cli import main
from datumaro_segmask.cli.preview import drawing
from datumaro_segmask.png import read
from datumaro_segmask.rules import cvat, masks
drawing._MANY = drawing._MOST_AT_ONCE = 1 << 22
masks.MOST_DECODED = cvat.MOST_DECODED = 1 << 22
read._MOST_INTERLACED = 1 << 22
for root in sys.argv[1:]:
    open("/proc/self/clear_refs", "w").write("5")  # forgets the peak
    for suffix in ("html", "png"):
        main(["preview", root, "-o", f"{root}/page.{suffix}", "--workers", "1", "--quiet"])
    for judge in ("segmask", "cvat"):
        main(["check", root, "--for", judge])
    peak = re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())
    print("kB:", peak[1], flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process")
def test_memory_does_not_grow_with_pictures_and_masks(tmp_path):
    """What a process held at most after a small archive, and after each of the large ones."""
    masks = {"a": rgb("0110")}
    small = as_folder(archive(masks, masks, images={"a.jpg": jpeg(1, 4)}), tmp_path / "small")
    roots = [as_folder(make(), tmp_path / name) for name, make in LARGE.items()]
    command = [sys.executable, "-c", COMMANDS, str(small), *map(str, roots)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    first, *others = [int(line.split()[1]) for line in lines if line.startswith("kB:")]
    grown = {name: most - first for name, most in zip(LARGE, others, strict=True)}
    assert {name: more for name, more in grown.items() if more > ROOM} == {}


@pytest.mark.parametrize(
    ("options", "is_drawn"),
    [({}, True), ({"progressive": True}, False), ({"progressive": True, "quality": 10}, False)],
)
def test_large_jpegs_are_drawn_unless_they_are_progressive(options, is_drawn, monkeypatch):
    monkeypatch.setattr(drawing, "_MANY", 100)
    monkeypatch.setattr(drawing, "_MOST_AT_ONCE", 100)
    file = io.BytesIO()
    PIL.Image.fromarray(photo()).save(file, "JPEG", **options)
    assert (decoded(file.getvalue(), 75) is not None) == is_drawn
    assert decoded(file.getvalue()[:200], 75) is None


def test_directory_of_a_tiff_is_found_at_its_end():
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (500, 600), np.uint8)
    PIL.Image.fromarray(noise).save(file, "TIFF", compression="tiff_deflate")
    data = file.getvalue()
    assert int.from_bytes(data[4:8], "little") > 1 << 18
    head = image_head(partial(io.BytesIO, data))
    assert head is not None
    assert head.size == Size(500, 600)
    assert image_head(partial(io.BytesIO, data[:-100])) is None
