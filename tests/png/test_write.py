"""What is encoded comes back from every reader, and is no larger than a plain PNG."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from datumaro_segmask.arrays import IntArray, Size
from datumaro_segmask.colors import number_to_color, pack
from datumaro_segmask.png import (
    Changes,
    Plane,
    encode_gray,
    encode_palette,
    encode_rgb,
)
from datumaro_segmask.png import write as png_write
from datumaro_segmask.png.container import deflate

from ..archives import chunk, filtered, header, packed, png_of

Pixels = NDArray[Any]
PALETTE = np.random.default_rng(1).integers(0, 256, (256, 3), np.uint8)
PACKED = pack(PALETTE)
MANY_COLORS = np.random.default_rng(2).integers(0, 1 << 24, 1 << 16)


def plane_of(shapes: Pixels, values: IntArray | None = None) -> Plane:
    """Return the plane of the topmost shapes (height, width), whose values are their numbers."""
    height, width = shapes.shape
    changed = np.ones(shapes.shape, bool)
    changed[1:] = shapes[1:] != shapes[:-1]
    above = np.zeros_like(shapes)
    above[1:] = shapes[:-1]
    row, column = np.nonzero(changed)
    tops = shapes[changed].astype(np.int32), above[changed].astype(np.int32)
    if values is None:
        values = np.arange(int(shapes.max()) + 1)
    return Plane(Changes(Size(height, width), row, column, *tops), values)


def read_by_opencv(png: bytes) -> Pixels:
    """Return gray values or red, green, blue."""
    found = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert found is not None
    return found if found.ndim == 2 else found[..., ::-1]


def read_by_pillow(png: bytes) -> Pixels:
    """Return gray values or red, green, blue."""
    with Image.open(io.BytesIO(png)) as image:
        return np.array(image.convert("RGB") if image.mode == "P" else image)


def chunks(png: bytes) -> dict[bytes, bytes]:
    """Split a PNG whose chunks have different names, checking each sum."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at, found = 8, {}
    while at < len(png):
        size = int.from_bytes(png[at : at + 4], "big")
        name, body = png[at + 4 : at + 8], png[at + 8 : at + 8 + size]
        assert zlib.crc32(name + body) == int.from_bytes(png[at + 8 + size : at + 12 + size], "big")
        found[name] = body
        at += 12 + size
    assert [*found] in (
        [b"IHDR", b"IDAT", b"IEND"],
        [b"IHDR", b"PLTE", b"IDAT", b"IEND"],
    )
    return found


def filters(png: bytes) -> list[int]:
    """Return the filter type of each row."""
    found = chunks(png)
    rows = zlib.decompress(found[b"IDAT"])
    height = int.from_bytes(found[b"IHDR"][4:8], "big")
    return list(rows[:: len(rows) // height])


@pytest.fixture(params=["zlib-ng, if installed", "zlib"])
def _codec(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "zlib":
        monkeypatch.setattr(deflate, "compressobj", zlib.compressobj)
        monkeypatch.setattr(deflate, "crc32", zlib.crc32)


@pytest.fixture(params=[1, 100, png_write._BLOCK], ids=["one row", "some rows", "as it is"])
def _block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png_write, "_BLOCK", request.param)


@st.composite
def drawn(draw: st.DrawFn, last: int) -> Pixels:
    """Draw a plane: blank, sparse, dense, or of flat rows, with values from 0 to ``last``."""
    height, width = draw(st.tuples(st.integers(1, 50), st.integers(1, 50)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    top = draw(st.sampled_from([1, 2, 5, last]))
    shapes = rng.integers(0, top + 1, (height, width))
    grain = draw(st.sampled_from(["dense", "sparse", "rows", "columns", "blocks", "blank"]))
    if grain == "sparse":
        shapes[rng.random(shapes.shape) < 0.95] = top
    elif grain == "rows":
        shapes = np.broadcast_to(shapes[:, :1], shapes.shape).copy()
    elif grain == "columns":
        shapes = np.broadcast_to(shapes[:1], shapes.shape).copy()
    elif grain == "blocks":
        shapes = np.kron(shapes[:5, :5], np.ones((10, 10), np.int64))[:height, :width]
    elif grain == "blank":
        shapes[:] = top
    return shapes


# The fixtures only choose module constants, which hold for all examples of one test.
fixed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
everywhere = pytest.mark.usefixtures("_codec", "_block")


@everywhere
@fixed
@given(shapes=drawn(65535))
def test_rgb_comes_back(shapes: Pixels) -> None:
    png = encode_rgb(plane_of(shapes), MANY_COLORS.__getitem__)
    packed = MANY_COLORS[shapes]
    expected = np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=-1)
    assert np.array_equal(read_by_opencv(png), expected)
    assert np.array_equal(read_by_pillow(png), expected)
    chunks(png)


@everywhere
@fixed
@given(shapes=drawn(255))
def test_palette_comes_back(shapes: Pixels) -> None:
    png = encode_palette(plane_of(shapes), PALETTE)
    assert np.array_equal(read_by_opencv(png), PALETTE[shapes])
    assert np.array_equal(read_by_pillow(png), PALETTE[shapes])
    with Image.open(io.BytesIO(png)) as image:
        assert image.mode == "P"
        assert np.array_equal(np.array(image), shapes)
    chunks(png)


@everywhere
@pytest.mark.parametrize("bits", [8, 16])
@fixed
@given(data=st.data())
def test_gray_comes_back(bits: int, data: st.DataObject) -> None:
    shapes = data.draw(drawn((1 << bits) - 1))
    png = encode_gray(plane_of(shapes), bits)
    found = read_by_opencv(png)
    assert found.dtype == f"u{bits // 8}"
    assert np.array_equal(found, shapes)
    assert np.array_equal(read_by_pillow(png), shapes)
    chunks(png)


@pytest.mark.parametrize("spare", [-1, 0, 1], ids=["a byte less", "exactly", "a byte more"])
@pytest.mark.parametrize("rows", [1, 2])
def test_rows_at_the_limit_of_a_block(rows: int, spare: int) -> None:
    width = png_write._BLOCK // rows - 1 + spare
    shapes = np.random.default_rng(rows).integers(0, 2, (5, width)) * (np.arange(width) % 50 == 0)
    assert np.array_equal(read_by_opencv(encode_gray(plane_of(shapes), 8)), shapes)


def test_values_of_two_shapes_may_be_the_same() -> None:
    shapes = np.array([[0, 1, 2], [1, 2, 0], [2, 1, 1]])
    values = np.array([3, 9, 9])
    assert np.array_equal(read_by_opencv(encode_gray(plane_of(shapes, values), 8)), values[shapes])


def test_numbers_past_the_usual_palette_keep_their_colors() -> None:
    values = np.array([0, 255, 256, 65_536, (1 << 24) - 1])
    png = encode_rgb(plane_of(np.arange(5)[np.newaxis], values), number_to_color)
    assert pack(read_by_opencv(png)).tolist() == [number_to_color(values).tolist()]


def test_the_palette_ends_with_the_last_value() -> None:
    png = encode_palette(plane_of(np.array([[0, 2]])), PALETTE)
    assert chunks(png)[b"PLTE"] == PALETTE[:3].tobytes()


@pytest.mark.parametrize(
    ("encode", "values"),
    [
        pytest.param(lambda p: encode_gray(p, 8), [0, 256], id="8 bits"),
        pytest.param(lambda p: encode_gray(p, 16), [0, 65_536], id="16 bits"),
        pytest.param(lambda p: encode_gray(p, 16), [-1, 0], id="below 0"),
        pytest.param(lambda p: encode_palette(p, PALETTE[:5]), [0, 5], id="palette"),
        pytest.param(lambda p: encode_rgb(p, number_to_color), [0, 1 << 24], id="color"),
    ],
)
def test_a_value_that_does_not_fit_never_wraps(
    encode: Callable[[Plane], bytes], values: list[int]
) -> None:
    with pytest.raises(ValueError, match="from 0 to"):
        encode(plane_of(np.array([[0, 1]]), np.array(values)))


def test_a_palette_of_too_many_colors() -> None:
    with pytest.raises(ValueError, match="at most 256 colours, got 257"):
        encode_palette(plane_of(np.array([[0, 1]])), np.zeros((257, 3), np.uint8))


def test_flat_edges_are_filtered_along_the_row() -> None:
    shapes = np.zeros((8, 40), np.int64)
    shapes[3:6, 5:35] = 1
    # Rows 3 and 6 change in 30 pixels from above, but only in 2 and 0 from the left.
    assert filters(encode_gray(plane_of(shapes), 8)) == [2, 2, 2, 1, 2, 2, 1, 2]


def street() -> Pixels:
    """Return sky, road and some boxes and discs."""
    scene = np.zeros((240, 320), np.uint8)
    scene[150:] = 1
    for i in range(12):
        x, y = 25 * i + 10, 40 + (i * 53) % 140
        cv2.rectangle(scene, (x, y), (x + 18 + i, y + 12), 2 + i, -1)
        cv2.circle(scene, (300 - x, y), 4 + 2 * i, 20 + i, -1)
    return scene


def ragged() -> Pixels:
    """Return blobs with noisy outlines."""
    noise = np.random.default_rng(3).standard_normal((256, 300)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), 9) * 40 + cv2.GaussianBlur(noise, (0, 0), 1)
    blobs: Pixels = np.digitize(blurred, [-1.5, -0.5, 0.5, 1.5])
    return blobs


STRUCTURED: dict[str, Callable[[], Pixels]] = {
    "blank": lambda: np.zeros((200, 300), np.int64),
    "blank, but not black": lambda: np.full((200, 300), 3),
    "street": street,
    "ragged blobs": ragged,
    "bands": lambda: np.repeat(np.arange(200) // 20, 300).reshape(200, 300),
    "thin bands": lambda: np.repeat(np.arange(200) % 7, 300).reshape(200, 300),
    "stripes": lambda: np.tile(np.arange(300) // 20, (200, 1)),
    "diagonal": lambda: np.add.outer(np.arange(200), np.arange(300)) // 64,
    "tiles": lambda: np.kron(np.arange(60).reshape(6, 10), np.ones((30, 30), np.int64)),
    "wide boxes": lambda: np.kron(np.arange(60).reshape(30, 2), np.ones((8, 150), np.int64)),
    "one row": lambda: (np.arange(500) // 50)[np.newaxis],
    "one column": lambda: (np.arange(500) // 50)[:, np.newaxis],
    "one pixel": lambda: np.array([[1]]),
}


@pytest.mark.parametrize("image", STRUCTURED)
@pytest.mark.usefixtures("_codec")
def test_no_larger_than_plain_pngs(image: str) -> None:
    shapes = STRUCTURED[image]().astype(np.int64)
    plane = plane_of(shapes)
    color = size_of_plain(PALETTE[shapes])
    gray = size_of_plain(shapes.astype(np.uint8))
    palette_chunk = 12 + 3 * (int(shapes.max()) + 1)
    # Of some images nothing is left but the types of the filters, whose codes differ by a byte.
    assert len(encode_rgb(plane, PACKED.__getitem__)) <= color + 1
    assert len(encode_palette(plane, PALETTE)) <= max(color, gray + palette_chunk) + 1
    assert len(encode_gray(plane, 8)) <= gray + 1
    assert len(encode_gray(plane, 16)) <= size_of_plain(shapes.astype(np.uint16)) + 1


def size_of_plain(image: Pixels) -> int:
    """Return the size of a plain PNG of gray values or of red, green, blue.

    Every row is filtered Sub and deflated by runs, which is what OpenCV does by default.
    """
    depth = 8 * image.itemsize
    rows = packed(image.reshape(*image.shape[:2], -1).astype(np.int64), depth)
    step = rows.shape[1] // image.shape[1]
    compressor = zlib.compressobj(1, zlib.DEFLATED, 15, 8, zlib.Z_RLE)
    data = compressor.compress(filtered(rows, step, [1])) + compressor.flush()
    return len(png_of(header(*image.shape[1::-1], depth), chunk(b"IDAT", data), chunk(b"IEND")))
