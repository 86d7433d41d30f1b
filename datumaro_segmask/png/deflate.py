"""Deflate by zlib-ng where it can be imported, else by zlib: the same bytes back, but slower."""

from __future__ import annotations

try:
    from zlib_ng import zlib_ng as zlib

    NAME = "zlib-ng"
except ImportError:
    import zlib  # type: ignore[no-redef]

    NAME = "zlib"

compressobj = zlib.compressobj
crc32 = zlib.crc32
decompressobj = zlib.decompressobj
error: type[Exception] = zlib.error  # type: ignore[assignment]

__all__ = ["NAME", "compressobj", "crc32", "decompressobj", "error"]
