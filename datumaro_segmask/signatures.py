"""What a file is by its first bytes, whatever its name says."""

from __future__ import annotations

import re

HEAD = 512
"""Bytes of a file that `kind_of` looks at; the mark of a tar stands at byte 257."""

JPEG, BMP, TIFF, GIF, PNG = (
    "a JPEG image", "a BMP image", "a TIFF image", "a GIF image", "a PNG image",
)  # fmt: skip
WEBP, JPEG_2000, HEIF = "a WebP image", "a JPEG 2000 image", "a HEIF or AVIF image"
PNM = "a PNM image"
ZIP, GZIP, TAR, SEVEN_ZIP, RAR = (
    "a zip", "a gzip archive", "a tar archive", "a 7z archive", "a RAR archive",
)  # fmt: skip
BZIP2, XZ, ZSTD = "a bzip2 archive", "an xz archive", "a Zstandard archive"
HTML, XML, JSON, PDF, ARRAY = (
    "an HTML page", "an XML file", "a JSON file", "a PDF file", "a NumPy array",
)  # fmt: skip
POINTER, TEXT_PNG = "a pointer of Git LFS", "a PNG image that was copied as text"
EMPTY = "empty"

PNG_HEAD, TIFF_HEADS = b"\x89PNG", (b"II*\0", b"MM\0*")

LOSSLESS = {BMP, TIFF, GIF, PNM}
"""Pictures that keep the values of a mask, most likely."""
LOSSY = {JPEG, WEBP, JPEG_2000, HEIF}
"""Pictures that may have changed the values of a mask."""
PACKED = {ZIP, GZIP, BZIP2, XZ, ZSTD, SEVEN_ZIP, RAR, TAR}
"""What holds other files."""

_SIGNATURES: list[tuple[str, bytes]] = [
    (PNG, rb"\x89PNG\r\n\x1a\n"),
    (TEXT_PNG, rb"\x89PNG(\n\x1a|\r\r\n)|(\xef\xbf\xbd|\xc2\x89)PNG"),
    (JPEG, rb"\xff\xd8\xff"),
    (BMP, rb"BM.{4}\x00{4}"),
    (TIFF, rb"II[*+]\x00|MM\x00[*+]"),
    (GIF, rb"GIF8[79]a"),
    (PNM, rb"P[1-6]\s"),
    (WEBP, rb"RIFF.{4}WEBP"),
    (JPEG_2000, rb"\x00{3}\x0cjP  |\xff\x4f\xff\x51"),
    (HEIF, rb".{4}ftyp(heic|heix|mif1|msf1|avif)"),
    (ZIP, rb"PK(\x03\x04|\x05\x06|\x07\x08)"),
    (GZIP, rb"\x1f\x8b"),
    (BZIP2, rb"BZh[1-9]1AY"),
    (XZ, rb"\xfd7zXZ\x00"),
    (ZSTD, rb"\x28\xb5\x2f\xfd"),
    (SEVEN_ZIP, rb"7z\xbc\xaf\x27\x1c"),
    (RAR, rb"Rar!\x1a\x07"),
    (TAR, rb".{257}ustar"),
    (PDF, rb"%PDF-"),
    (ARRAY, rb"\x93NUMPY"),
    (POINTER, rb"version https://git-lfs"),
    (HTML, rb"(\xef\xbb\xbf)?\s*(?i:<(!doctype\s+html|html|head|body)\b)"),
    (XML, rb"(\xef\xbb\xbf)?\s*<(\?xml|\w+[\s>/])"),
    (JSON, rb"(\xef\xbb\xbf)?\s*(\{\s*[\"}]|\[\s*[\"{\[\]\d-])"),
    (EMPTY, rb"\Z"),
]
_MARKS = [(name, re.compile(mark, re.DOTALL)) for name, mark in _SIGNATURES]


def kind_of(head: bytes) -> str | None:
    """Return what a file is by its first bytes (up to `HEAD` of them), None where that is unknown.

    Sources: the specifications of the formats; of tar, POSIX ustar.
    """
    return next((name for name, mark in _MARKS if mark.match(head[:HEAD])), None)
