"""The container of a PNG: its chunks, its header, its compressed stream.

Source: the PNG specification (third edition). Every length and every checksum is looked at before
it is believed, and nothing is allocated for a size that the header merely claims.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from .. import signatures
from ..arrays import Bytes, Size
from ..errors import PngError, counted
from ..options import MAX_PIXELS as MAX_PIXELS

try:
    from zlib_ng import zlib_ng as zlib

    DEFLATE = "zlib-ng"
except ImportError:  # the same bytes back, but slower
    import zlib  # type: ignore[no-redef]

    DEFLATE = "zlib"
deflate = zlib
_DeflateError: type[Exception] = deflate.error  # type: ignore[assignment]

MAX_SIDE = 1_000_000
"""Most columns, and most rows: those of libpng, and so of OpenCV. A row is read at once."""

_INPUT_PIECE = 1 << 16  # compressed bytes handed to zlib at once

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER = struct.Struct(">IIBBBBB")
GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6
NONE, SUB, UP, PAETH = 0, 1, 2, 4  # filters
CHANNELS = {GRAY: 1, RGB: 3, PALETTE: 1, GRAY_ALPHA: 2, RGBA: 4}
_DEPTHS = {
    GRAY: (1, 2, 4, 8, 16),
    RGB: (8, 16),
    PALETTE: (1, 2, 4, 8),
    GRAY_ALPHA: (8, 16),
    RGBA: (8, 16),
}

REDRAW = "export or draw this mask again"
_RENEW = "copy or export the file again, it is damaged"
_ANSWER = "fetch it again, because a server sent this instead of the file"
_REMEDIES: dict[str | None, str] = {
    **dict.fromkeys(
        signatures.LOSSY, "draw it again and save it as PNG, because this type changes the values"
    ),
    **dict.fromkeys(signatures.LOSSLESS, "save it as PNG, with the values that it has"),
    **dict.fromkeys(signatures.PACKED, "unpack it"),
    **dict.fromkeys((signatures.HTML, signatures.XML, signatures.JSON), _ANSWER),
    signatures.ARRAY: "save it as PNG, see docs/recipes.md, 'Predictions to CVAT'",
    signatures.POINTER: "type 'git lfs pull', which fetches the file",
    signatures.TEXT_PNG: "copy it again as it is, as bytes, because its line ends were changed",
}


@dataclass(frozen=True)
class Header:
    """What a PNG says of itself before its pixels; sizes in pixels, ``depth`` in bits."""

    width: int
    height: int
    depth: int
    color_type: int
    interlaced: bool = False

    @property
    def size(self) -> Size:
        """The size in pixels."""
        return Size(self.height, self.width)

    @property
    def is_color(self) -> bool:
        """Whether pixels hold colours, and not indices or gray values."""
        return self.color_type in (RGB, RGBA)

    @property
    def is_gray(self) -> bool:
        """Whether pixels hold gray values."""
        return self.color_type in (GRAY, GRAY_ALPHA)

    @property
    def has_alpha(self) -> bool:
        """Whether the last channel says how opaque a pixel is."""
        return self.color_type in (GRAY_ALPHA, RGBA)

    @property
    def pixel_bits(self) -> int:
        """Bits a pixel takes in the file."""
        return CHANNELS[self.color_type] * self.depth

    def row_bytes(self, width: int) -> int:
        """Bytes that a row of ``width`` pixels takes, without the byte of its filter."""
        return (width * self.pixel_bits + 7) // 8


def parse_header(data: bytes, where: str, max_pixels: int = MAX_PIXELS) -> Header:
    """Return the header of a PNG; the first 33 bytes are enough.

    Raises PngError for what is no PNG, has more than ``max_pixels`` pixels, or a side of more than
    `MAX_SIDE`.
    """

    if data[:8] != _SIGNATURE:
        raise _no_png(data, where)
    if len(data) < 33 or data[8:16] != b"\0\0\0\rIHDR":
        raise PngError("the file does not begin with a PNG header", where, "a PNG image", REDRAW)
    if deflate.crc32(data[12:29]) != int.from_bytes(data[29:33], "big"):
        raise PngError("the checksum of its header is wrong", where, "a sound file", REDRAW)
    width, height, depth, color_type, compression, filtering, interlace = _HEADER.unpack_from(
        data, 16
    )
    if not width or not height:
        raise PngError(f"its size is {width} x {height}", where, "at least 1 x 1", REDRAW)
    if depth not in _DEPTHS.get(color_type, ()) or compression or filtering or interlace > 1:
        raise PngError(
            f"its header has colour type {color_type}, depth {depth}, compression {compression}, "
            f"filter method {filtering}, interlace method {interlace}",
            where,
            "a combination that the PNG specification knows",
            REDRAW,
        )
    if max(width, height) > MAX_SIDE or width * height > max_pixels:
        expected = f"at most {counted(max_pixels, 'pixel')}"
        remedy = "raise the option max_pixels if this file can be trusted"
        if max(width, height) > MAX_SIDE:
            expected = f"at most {MAX_SIDE:,} columns and as many rows"
            remedy = "cut the image into tiles"
        raise PngError(f"the mask has {width:,} x {height:,} pixels", where, expected, remedy)
    return Header(width, height, depth, color_type, interlace == 1)


@dataclass(frozen=True)
class Container:
    header: Header
    palette: Bytes | None  # (n, 3), red, green, blue
    pieces: list[memoryview]  # of the compressed pixels


def parse_container(data: bytes, where: str, max_pixels: int) -> Container:
    header = parse_header(data, where, max_pixels)
    palette = None
    pieces: list[memoryview] = []
    view = memoryview(data)
    at, previous = 33, b"IHDR"
    while previous != b"IEND":
        length = int.from_bytes(data[at : at + 4], "big")
        kind, end = data[at + 4 : at + 8], at + 12 + length
        if end > len(data) or len(kind) < 4:
            raise PngError(
                f"the file ends after {counted(len(data), 'byte')}, in the middle of the image",
                where,
                "an end mark (IEND)",
                "copy or export the file again, it was cut short",
            )
        if not kind[0] & 32:  # critical: the pixels cannot be had without it
            if deflate.crc32(view[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
                what = f"the checksum of its {_name(kind, at)} is wrong"
                raise PngError(what, where, "a sound file", _RENEW)
            if kind == b"IDAT" and (not pieces or previous == b"IDAT"):
                pieces.append(view[at + 8 : end - 4])
            elif kind == b"PLTE" and palette is None and not pieces and 0 < length <= 768:
                palette = np.frombuffer(data, np.uint8, length, at + 8)[: length // 3 * 3]
                palette = palette.reshape(-1, 3)
            elif kind != b"IEND":
                name = _name(kind, at)
                what = f"its {name} stands in a wrong place, has a wrong length or is unknown"
                expected = "header, palette, pixels and end, in this order"
                raise PngError(what, where, expected, REDRAW)
        at, previous = end, kind
    if not pieces or (header.color_type == PALETTE and palette is None):
        missing = "pixels" if not pieces else "palette"
        raise PngError(f"the file has no {missing}", where, "a whole image", REDRAW)
    # Gray masks have no palette, and that of a coloured one is a mere hint.
    return Container(header, palette if header.color_type == PALETTE else None, pieces)


def _name(kind: bytes, at: int) -> str:
    return f"{kind.decode('latin-1')!r} chunk at byte {at:,}"


def _no_png(data: bytes, where: str) -> PngError:
    """Make the error for a mask that is something else, and say what, and what to do about it."""
    kind = signatures.kind_of(data)
    what = "the file is not a PNG"
    if kind is not None:
        what = f"the file is {kind}" + (
            "" if kind in (signatures.EMPTY, signatures.TEXT_PNG) else ", not a PNG"
        )
    return PngError(what, where, "a PNG image", _REMEDIES.get(kind, REDRAW))


class Inflater:
    """Inflates the pieces of one stream, so many bytes at a time."""

    def __init__(self, pieces: list[memoryview], where: str) -> None:
        self._pieces = (
            piece[at : at + _INPUT_PIECE]
            for piece in pieces
            for at in range(0, len(piece), _INPUT_PIECE)
        )
        self._inflate = deflate.decompressobj()
        self._rest: bytes | memoryview = b""
        self._where = where

    def read(self, size: int) -> bytes:
        """Return exactly ``size`` bytes; raise PngError where the stream is broken or ends."""
        parts = []
        missing = size
        while missing:
            if not self._rest:
                self._rest = next(self._pieces, b"")
            at_end = not self._rest
            try:
                part = self._inflate.decompress(self._rest, missing)
            except _DeflateError as error:
                raise self._broken(f"its compressed pixels are broken ({error})") from error
            self._rest = self._inflate.unconsumed_tail
            if not part and (at_end or self._inflate.eof):
                raise self._broken("its compressed pixels end too early")
            parts.append(part)
            missing -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Check that the stream ends here; zlib then compares its checksum."""
        try:
            while not self._inflate.eof:
                piece = self._rest or next(self._pieces, b"")
                if self._inflate.decompress(piece, 1):
                    return  # more than the image needs: libpng takes no offence either
                self._rest = self._inflate.unconsumed_tail
                if not piece:
                    raise self._broken("its compressed pixels have no end")
        except _DeflateError as error:
            raise self._broken(f"its compressed pixels are broken ({error})") from error

    def _broken(self, what: str) -> PngError:
        return PngError(what, self._where, "a sound file", _RENEW)


def write_png(header: Header, pieces: list[bytes], palette: bytes = b"") -> bytes:
    """Return a PNG; ``pieces``: of the compressed rows, ``palette``: red, green, blue, red, ...."""
    ihdr = _HEADER.pack(header.width, header.height, header.depth, header.color_type, 0, 0, 0)
    chunks = [(b"IHDR", ihdr), (b"PLTE", palette), (b"IDAT", b"".join(pieces)), (b"IEND", b"")]
    parts = [_SIGNATURE]
    for kind, body in chunks:
        if body or kind != b"PLTE":
            crc = deflate.crc32(body, deflate.crc32(kind))
            parts += [len(body).to_bytes(4, "big"), kind, body, crc.to_bytes(4, "big")]
    return b"".join(parts)
