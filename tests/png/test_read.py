"""The pixels of every kind of PNG, against the samples and against Pillow and OpenCV."""

from __future__ import annotations

import io
import zlib
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image

from datumaro_segmask.colors import color_to_number
from datumaro_segmask.errors import PngError
from datumaro_segmask.png import read as read_module
from datumaro_segmask.png.read import MaskReader

from ..archives import (
    CHANNELS,
    GRAY,
    GRAY_ALPHA,
    KINDS,
    PALETTE,
    RGB,
    RGBA,
    Plane,
    chunk,
    header,
    png,
    png_of,
    raw_png,
)

WHERE = "SegmentationClass/a.png"
FILTERS = {
    "none": (0,), "sub": (1,), "up": (2,), "average": (3,), "paeth": (4,),
    "sub-none": (1, 0), "up-sub": (2, 1), "up-up-none": (2, 2, 0), "all": (0, 1, 2, 3, 4),
    "all-backwards": (4, 3, 2, 1, 0),
}  # fmt: skip


def same(packed: Plane) -> Plane:
    return packed


def read(data: bytes, rows: int = 7) -> NDArray[Any]:
    """Read all values, colours packed, some rows at a time."""
    return np.vstack(list(MaskReader(data, WHERE, same).blocks(rows)))


def expected(samples: Plane, depth: int, color_type: int) -> Plane:
    if color_type not in (RGB, RGBA):
        return samples[..., 0]
    high = samples >> (depth - 8)
    return high[..., 0] << 16 | high[..., 1] << 8 | high[..., 2]


def random_samples(seed: int, height: int, width: int, channels: int, depth: int) -> Plane:
    """Either noise or, as masks are, runs of three values."""
    rng = np.random.default_rng(seed)
    if seed % 2:
        return rng.integers(0, 1 << depth, (height, width, channels))
    values = rng.integers(0, 1 << depth, (3, channels))
    chosen = rng.integers(0, 3, (height, (width + 6) // 7))
    return values[np.repeat(chosen, 7, axis=1)[:, :width]]


@pytest.mark.parametrize("interlaced", [False, True], ids=["plain", "interlaced"])
@pytest.mark.parametrize("filters", FILTERS.values(), ids=FILTERS)
@pytest.mark.parametrize(("color_type", "depth"), KINDS)
def test_every_kind(
    color_type: int, depth: int, filters: tuple[int, ...], interlaced: bool
) -> None:
    sizes = [(1, 1), (1, 9), (9, 1), (3, 5), (17, 23), (40, 33)]
    for seed, (height, width) in enumerate(sizes * 2):
        samples = random_samples(seed // 2, height, width, CHANNELS[color_type], depth)
        data = raw_png(
            samples,
            depth,
            color_type,
            filters=filters,
            interlaced=interlaced,
            palette=bytes(3 << depth) if color_type == PALETTE else b"",
            pieces=1 + seed % 3,
        )
        assert (read(data, rows=1 + seed) == expected(samples, depth, color_type)).all()


@st.composite
def pngs(draw: st.DrawFn) -> tuple[bytes, Plane, int, int]:
    """A PNG, its samples, their depth and its kind."""
    color_type, depth = draw(st.sampled_from(KINDS))
    shape = (draw(st.integers(1, 20)), draw(st.integers(1, 20)), CHANNELS[color_type])
    few = st.sampled_from([0, 1, (1 << depth) - 1]) | st.integers(0, (1 << depth) - 1)
    samples = draw(arrays.arrays(np.int64, shape, elements=few, fill=st.just(0)))
    data = raw_png(
        samples,
        depth,
        color_type,
        filters=draw(st.lists(st.integers(0, 4), min_size=1, max_size=5)),
        interlaced=draw(st.booleans()),
        palette=bytes(range(256)) * 3 if color_type == PALETTE else b"",
        pieces=draw(st.integers(1, 4)),
        extra=draw(st.sampled_from([b"", chunk(b"tEXt", b"a\0b"), chunk(b"gAMA", bytes(4))])),
    )
    return data, samples, depth, color_type


@given(pngs(), st.integers(1, 21))
def test_pixels_are_the_samples(made: tuple[bytes, Plane, int, int], rows: int) -> None:
    data, samples, depth, color_type = made
    assert (read(data, rows) == expected(samples, depth, color_type)).all()


@pytest.mark.parametrize("block", [1, 20, 60])
@pytest.mark.parametrize(("color_type", "depth"), KINDS)
def test_passes_of_many_blocks(
    color_type: int, depth: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass of an interlaced image is read in blocks as well."""
    monkeypatch.setattr("datumaro_segmask.png.read.BLOCK_BYTES", block)
    samples = random_samples(1, 43, 29, CHANNELS[color_type], depth)
    palette = bytes(3 << depth) if color_type == PALETTE else b""
    data = raw_png(samples, depth, color_type, filters=(1, 2, 4), interlaced=True, palette=palette)
    assert (read(data) == expected(samples, depth, color_type)).all()


@given(pngs())
def test_pixels_are_those_of_others(made: tuple[bytes, Plane, int, int]) -> None:
    data, _, depth, color_type = made
    ours = read(data)
    if color_type == PALETTE or (color_type == GRAY and depth in (1, 8, 16)):
        theirs = np.array(Image.open(io.BytesIO(data)), np.int64)
    elif color_type == GRAY_ALPHA:
        theirs = np.array(Image.open(io.BytesIO(data)))[..., 0] if depth == 8 else ours
    elif color_type == GRAY:  # which both of them stretch to 0 .. 255
        theirs = np.array(Image.open(io.BytesIO(data)).convert("L")) // (255 // ((1 << depth) - 1))
    else:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        assert image is not None
        bgr = image.astype(np.int64) >> (depth - 8)
        theirs = bgr[..., 2] << 16 | bgr[..., 1] << 8 | bgr[..., 0]
    assert (ours == theirs).all()


@given(pngs(), st.data())
def test_truncation_is_an_error(made: tuple[bytes, Plane, int, int], draw: st.DataObject) -> None:
    data = made[0]
    with pytest.raises(PngError):
        read(data[: draw.draw(st.integers(0, len(data) - 1))])


@given(pngs(), st.data())
def test_one_wrong_byte_is_an_error_or_no_matter(
    made: tuple[bytes, Plane, int, int], draw: st.DataObject
) -> None:
    data, samples, depth, color_type = made
    at = draw.draw(st.integers(0, len(data) - 1))
    wrong = bytearray(data)
    wrong[at] ^= draw.draw(st.integers(1, 255))
    try:
        values = read(bytes(wrong))
    except PngError:
        return
    assert (values == expected(samples, depth, color_type)).all()


def test_every_single_wrong_bit() -> None:
    """Of one small file, all of them."""
    samples = random_samples(2, 5, 6, 1, 8)
    data = raw_png(samples, 8, PALETTE, palette=bytes(768), pieces=2, filters=(1, 2))
    for at in range(len(data)):
        for bit in range(8):
            wrong = bytearray(data)
            wrong[at] ^= 1 << bit
            try:
                values = read(bytes(wrong))
            except PngError:
                continue
            assert (values == samples[..., 0]).all(), (at, bit)


@given(st.binary(max_size=200), st.sampled_from(KINDS), st.booleans())
def test_any_stream_is_an_error_or_an_image(
    raw: bytes, kind: tuple[int, int], interlaced: bool
) -> None:
    """Sound chunks around anything."""
    color_type, depth = kind
    data = png_of(
        header(3, 2, depth, color_type, 0, 0, int(interlaced)),
        chunk(b"PLTE", bytes(6)) if color_type == PALETTE else b"",
        chunk(b"IDAT", raw),
        chunk(b"IEND"),
    )
    with pytest.raises(PngError, match="compressed pixels"):
        read(data)


def test_filters_past_4_are_an_error() -> None:
    stream = zlib.compress(b"\0\0\0\0\5\0\0\0")
    data = png_of(header(3, 2), chunk(b"IDAT", stream), chunk(b"IEND"))
    with pytest.raises(PngError, match=r"a row has the filter 5.*a filter from 0 to 4"):
        read(data)


@pytest.mark.parametrize("filters", [(0,), (1,), (4,)], ids=["none", "sub", "paeth"])
def test_index_past_the_palette(filters: tuple[int, ...]) -> None:
    samples = np.array([[0, 1], [2, 3]])[..., None]
    data = raw_png(samples, 8, PALETTE, palette=bytes(9), filters=filters)
    with pytest.raises(PngError, match=r"index 3\. Expected an index below 3.*3 colours"):
        read(data)


@pytest.mark.parametrize("color_type", [RGB, RGBA])
def test_colors_are_looked_up_once_a_run(color_type: int) -> None:
    asked = []

    def number_of(packed: Plane) -> Plane:
        asked.append(packed.size)
        return color_to_number(packed)

    samples = np.zeros((50, 60, CHANNELS[color_type]), np.int64)
    samples[10:20, 10:20, 0] = 128
    reader = MaskReader(raw_png(samples, 8, color_type, filters=(1,)), WHERE, number_of)
    values = reader.read(50)
    assert (values == (samples[..., 0] > 0)).all()
    assert values.dtype == np.uint8
    assert sum(asked) < 100


def test_alpha_is_ignored() -> None:
    samples = np.random.default_rng(0).integers(0, 256, (9, 9, 4))
    opaque = samples.copy()
    opaque[..., 3] = 255
    assert (read(raw_png(samples, 8, RGBA)) == read(raw_png(opaque, 8, RGBA))).all()


def test_16_bit_gray_keeps_all_bits() -> None:
    values = np.arange(1 << 16).reshape(256, 256)
    assert (read(png(values.astype(np.uint16))) == values).all()


def test_16_bit_colors_are_their_high_bytes() -> None:
    assert read(png(np.array([[(0x80FF, 0x0001, 0xFFFF)]], np.uint16))).tolist() == [[0x8000FF]]


@pytest.mark.parametrize("write", [png, None], ids=["opencv", "pillow"])
def test_masks_as_others_write_them(write: Any) -> None:
    """Both choose filters of their own."""
    rng = np.random.default_rng(3)
    small = rng.integers(0, 9, (30, 40)).astype(np.uint8)
    pixels = np.repeat(np.repeat(small, 20, axis=0), 20, axis=1)
    if write is None:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        data = file.getvalue()
    else:
        data = write(pixels)
    assert (read(data, rows=50) == pixels).all()


@pytest.mark.parametrize("filters", [2, 4])
def test_widest_row(filters: int) -> None:
    """It is as wide as OpenCV, which undoes some of the filters, can read."""
    wide = np.zeros((1, 1_000_000, 1), np.uint8)
    assert read(raw_png(wide, filters=(filters,))).shape == (1, 1_000_000)
    wider = np.zeros((1, 1_000_001, 1), np.uint8)
    with pytest.raises(PngError, match=r"1,000,001 x 1 pixels.*at most 1,000,000 columns"):
        read(raw_png(wider, filters=(filters,)))


def test_max_pixels() -> None:
    data = png(np.zeros((5, 4), np.uint8))
    MaskReader(data, WHERE, same, max_pixels=20)
    with pytest.raises(PngError, match="at most 19 pixels"):
        MaskReader(data, WHERE, same, max_pixels=19)


@pytest.mark.parametrize("color_type", [GRAY, GRAY_ALPHA, RGB, RGBA])
@pytest.mark.parametrize("width", [8_224, 8_225, 70_000])
def test_wide_rows_of_few_changes(color_type: int, width: int) -> None:
    """However far apart the changes of a row are, and however much they add up to."""
    rng = np.random.default_rng(width)
    samples = np.zeros((4, width, CHANNELS[color_type]), np.int64)
    for row in samples:
        for start in rng.integers(0, width, 60).tolist():
            row[start:] = rng.integers(0, 256, CHANNELS[color_type])
    samples[2, ::1000] = 255
    data = raw_png(samples, 8, color_type, filters=(1,))
    assert (read(data, rows=3) == expected(samples, 8, color_type)).all()


@pytest.mark.parametrize("color_type", [GRAY, GRAY_ALPHA, RGB, RGBA])
@pytest.mark.parametrize("width", [257, 258, 8_224, 8_225, 9_000])
def test_wide_rows_that_change_in_every_pixel(color_type: int, width: int) -> None:
    """Each by as much as a byte can, so that sums of all changes are as large as they get."""
    falling = -np.arange(1, width + 1) % 256
    samples = np.repeat(falling[None, :, None], CHANNELS[color_type], axis=2)
    samples = np.concatenate([samples, np.zeros_like(samples), samples])
    for filters in ((1,), (1, 1, 2)):
        data = raw_png(samples, 8, color_type, filters=filters)
        assert (read(data, rows=1) == expected(samples, 8, color_type)).all()
        assert (read(data, rows=3) == expected(samples, 8, color_type)).all()


def test_a_large_interlaced_mask_is_refused_before_it_is_read(monkeypatch):
    data = raw_png(np.zeros((20, 30, 1), int), 1, GRAY, interlaced=True)
    monkeypatch.setattr(read_module, "_MOST_INTERLACED", 600)
    assert read(data).shape == (20, 30)
    monkeypatch.setattr(read_module, "_MOST_INTERLACED", 599)
    with pytest.raises(PngError, match=r"interlaced and has 600 pixels.*at most 599.*without"):
        MaskReader(data, WHERE, same)
