"""The chunks, the header and the compressed stream of a PNG."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datumaro_segmask.errors import PngError
from datumaro_segmask.png.container import (
    MAX_PIXELS,
    Header,
    Inflater,
    parse_container,
    parse_header,
)

from ..archives import (
    DEPTHS,
    GRAY,
    PALETTE,
    RGB,
    RGBA,
    SIGNATURE,
    chunk,
    header,
    png_of,
    raw_png,
)

WHERE = "SegmentationClass/a.png"
PIXELS = np.arange(12).reshape(3, 4, 1)
STREAM = zlib.compress(b"".join(b"\0" + bytes(row) for row in PIXELS[..., 0].tolist()))
DATA, END = chunk(b"IDAT", STREAM), chunk(b"IEND")
HEADER = header(4, 3)
RED = chunk(b"PLTE", bytes([255, 0, 0]) * 12)


def parse(data: bytes) -> tuple[Header, bytes]:
    found = parse_container(data, WHERE, MAX_PIXELS)
    return found.header, b"".join(found.pieces)


def broken(chunk_bytes: bytes) -> bytes:
    """Change the last byte of a chunk's body."""
    return chunk_bytes[:-5] + bytes([chunk_bytes[-5] ^ 1]) + chunk_bytes[-4:]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(png_of(HEADER, DATA, END), id="plain"),
        pytest.param(png_of(HEADER, DATA, END) + b"PK\3\4 and more", id="data-after-the-end"),
        pytest.param(png_of(HEADER, chunk(b"tEXt", b"a\0b"), DATA, END), id="text-before"),
        pytest.param(png_of(HEADER, DATA, chunk(b"tIME", bytes(7)), END), id="time-behind"),
        pytest.param(png_of(HEADER, broken(chunk(b"tEXt", b"ab")), DATA, END), id="text-damaged"),
        pytest.param(
            png_of(HEADER, chunk(b"IDAT", STREAM[:5]), chunk(b"IDAT", STREAM[5:]), END),
            id="pixels-in-two-pieces",
        ),
        pytest.param(png_of(HEADER, chunk(b"IDAT"), DATA, chunk(b"IDAT"), END), id="empty-pieces"),
    ],
)
def test_sound(data: bytes) -> None:
    assert parse(data) == (Header(4, 3, 8, GRAY, interlaced=False), STREAM)


def test_palette() -> None:
    data = raw_png(PIXELS, color_type=PALETTE, palette=bytes(range(36)))
    palette = parse_container(data, WHERE, MAX_PIXELS).palette
    assert palette is not None
    assert palette.tolist() == np.arange(36).reshape(12, 3).tolist()


@pytest.mark.parametrize("color_type", [GRAY, RGB, RGBA])
def test_palettes_of_other_kinds_are_hints(color_type: int) -> None:
    data = png_of(header(4, 3, 8, color_type), RED, DATA, END)
    assert parse_container(data, WHERE, MAX_PIXELS).palette is None


BAD = {
    # what is special: bytes, what the message says
    "empty": (b"", "the file is empty"),
    "noise": (bytes(range(40)), "the file is not a PNG"),
    "jpeg": (b"\xff\xd8\xff\xe0" + bytes(40), "a JPEG image, not a PNG"),
    "bmp": (b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0", "a BMP image, not a PNG"),
    "tiff": (b"II*\0\x08\0\0\0", "a TIFF image, not a PNG"),
    "tiff-of-motorola": (b"MM\0*\0\0\0\x08", "a TIFF image, not a PNG"),
    "gif": (b"GIF89a", "a GIF image, not a PNG"),
    "heic": (b"\0\0\0\x18ftypheic", "a HEIF or AVIF image, not a PNG"),
    "jpeg-2000": (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 image, not a PNG"),
    "array": (b"\x93NUMPY\1\0", "a NumPy array, not a PNG"),
    "page": (b"<html>", "an HTML page, not a PNG"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS"),
    "line-ends-made-longer": (SIGNATURE.replace(b"\n", b"\r\n"), "copied as text"),
    "line-ends-made-shorter": (SIGNATURE.replace(b"\r\n", b"\n"), "copied as text"),
    "read-as-utf-8": (SIGNATURE.replace(b"\x89", b"\xef\xbf\xbd"), "copied as text"),
    "signature-only": (SIGNATURE, "does not begin with a PNG header"),
    "header-cut": ((SIGNATURE + HEADER)[:32], "does not begin with a PNG header"),
    "header-is-not-first": (png_of(DATA, HEADER, END), "does not begin with a PNG header"),
    "header-checksum": (png_of(broken(HEADER), DATA, END), "checksum of its header"),
    "no-width": (png_of(header(0, 3), DATA, END), "its size is 0 x 3"),
    "no-height": (png_of(header(4, 0), DATA, END), "its size is 4 x 0"),
    "width-of-32-bits": (png_of(header(1 << 31, 3), DATA, END), "2,147,483,648 x 3 pixels"),
    "too-many-pixels": (png_of(header(65536, 65536), DATA, END), "65,536 x 65,536 pixels"),
    "odd-depth": (png_of(header(4, 3, 3), DATA, END), "depth 3"),
    "odd-kind": (png_of(header(4, 3, 8, 5), DATA, END), "colour type 5"),
    "rgb-of-4-bits": (png_of(header(4, 3, 4, RGB), DATA, END), "colour type 2, depth 4"),
    "palette-of-16-bits": (png_of(header(4, 3, 16, PALETTE), RED, DATA, END), "depth 16"),
    "odd-compression": (png_of(header(4, 3, 8, 0, 1), DATA, END), "compression 1"),
    "odd-filtering": (png_of(header(4, 3, 8, 0, 0, 1), DATA, END), "filter method 1"),
    "odd-interlacing": (png_of(header(4, 3, 8, 0, 0, 0, 2), DATA, END), "interlace method 2"),
    "header-only": (png_of(HEADER), "ends after 33 bytes"),
    "no-end": (png_of(HEADER, DATA), "in the middle of the image"),
    "no-pixels": (png_of(HEADER, END), "no pixels"),
    "no-palette": (png_of(header(4, 3, 8, PALETTE), DATA, END), "no palette"),
    "pixels-checksum": (png_of(HEADER, broken(DATA), END), "'IDAT' chunk at byte 33"),
    "palette-checksum": (png_of(HEADER, broken(RED), DATA, END), "'PLTE' chunk at byte 33"),
    "palette-behind": (png_of(HEADER, DATA, RED, END), f"chunk at byte {33 + len(DATA)} stands"),
    "palette-twice": (png_of(HEADER, RED, RED, DATA, END), "'PLTE' chunk at byte 81"),
    "palette-too-long": (png_of(HEADER, chunk(b"PLTE", bytes(771)), DATA, END), "wrong length"),
    "palette-empty": (png_of(HEADER, chunk(b"PLTE"), DATA, END), "wrong length"),
    "pixels-parted": (
        png_of(HEADER, DATA, chunk(b"tEXt"), DATA, END), f"'IDAT' chunk at byte {45 + len(DATA)}",
    ),
    "header-twice": (png_of(HEADER, HEADER, DATA, END), "'IHDR' chunk at byte 33"),
    "unknown-critical": (png_of(HEADER, chunk(b"CgBI"), DATA, END), "'CgBI' chunk at byte 33"),
    "length-past-the-end": (
        png_of(HEADER, b"\x7f\xff\xff\xff" + DATA[4:], END), "in the middle of the image",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("data", "says"), BAD.values(), ids=BAD)
def test_bad(data: bytes, says: str) -> None:
    with pytest.raises(PngError) as caught:
        parse(data)
    assert says in str(caught.value)
    assert caught.value.where == WHERE
    assert "Expected " in str(caught.value)
    assert "To fix it: " in str(caught.value)


def test_max_pixels() -> None:
    start = (SIGNATURE + header(100, 50))[:33]
    assert parse_header(start, WHERE, 5000) == Header(100, 50, 8, GRAY, interlaced=False)
    with pytest.raises(PngError, match=r"100 x 50 pixels.*at most 4,999.*option max_pixels"):
        parse_header(start, WHERE, 4999)


def test_most_pixels_by_default() -> None:
    parse_header((SIGNATURE + header(1 << 15, 1 << 15))[:33], WHERE)
    with pytest.raises(PngError, match="at most 1,073,741,824"):
        parse_header((SIGNATURE + header(1 << 15, (1 << 15) + 1))[:33], WHERE)


@pytest.mark.parametrize(
    ("color_type", "depth"), [(kind, depth) for kind in DEPTHS for depth in DEPTHS[kind]]
)
def test_row_bytes(color_type: int, depth: int) -> None:
    """What OpenCV and libpng call the stride."""
    found = parse_header(SIGNATURE + header(13, 1, depth, color_type), WHERE)
    bits = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color_type] * depth * 13
    assert found.row_bytes(13) == -(-bits // 8)
    assert found.is_color == (color_type in (RGB, RGBA))


@given(st.binary(max_size=3000), st.integers(1, 9), st.lists(st.integers(1, 400)), st.booleans())
def test_inflater(data: bytes, pieces: int, sizes: list[int], highly: bool) -> None:
    stream = memoryview(zlib.compress(data, 9 if highly else 0))
    step = -(-len(stream) // pieces)
    source = Inflater([stream[i : i + step] for i in range(0, len(stream), step)], WHERE)
    at = 0
    for size in sizes:
        if at + size > len(data):
            with pytest.raises(PngError, match="end too early"):
                source.read(size)
            return
        assert source.read(size) == data[at : at + size]
        at += size
    assert source.read(len(data) - at) == data[at:]
    source.close()


def inflater(stream: bytes) -> Inflater:
    return Inflater([memoryview(stream)], WHERE)


def test_stream_without_checksum() -> None:
    source = inflater(zlib.compress(bytes(100))[:-4])
    assert source.read(100) == bytes(100)
    with pytest.raises(PngError, match="have no end"):
        source.close()


def test_stream_with_wrong_checksum() -> None:
    source = inflater(zlib.compress(bytes(100))[:-1] + b"x")
    with pytest.raises(PngError, match="pixels are broken"):  # noqa: PT012, now or then
        source.read(100)
        source.close()


def test_stream_longer_than_the_image() -> None:
    """libpng takes no offence."""
    source = inflater(zlib.compress(bytes(100)))
    assert source.read(60) == bytes(60)
    source.close()


def test_bomb_is_inflated_no_further_than_asked() -> None:
    source = inflater(zlib.compress(bytes(1 << 24)))
    assert len(source.read(1000)) == 1000
    assert len(source._rest) > 1000  # all but the beginning waits
