"""An archive inside a zip: what a zip must be like to be read, and how it is read in place."""

from __future__ import annotations

import io
import os
import struct
import weakref
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import AbstractContextManager
from typing import IO, Any

from ...errors import ArchiveError
from .. import layout
from ..no_archive import COPY, gone, no_folder, no_zip, too_large, unreadable
from ..read import MAX_FILE_BYTES, Entry, GuardedFile, Storage, image_rank, read_at
from .directory import ZipDirectory
from .records import LOCAL, MOST_RECORD, ByteSource, Record, decode_name

try:
    from lzma import LZMAError
except ImportError:  # a Python may be built without it
    LZMAError = zlib.error  # type: ignore[misc, assignment]

_EXTRA = 1 << 10  # bytes of extra fields, at most, in nearly all local headers
_AT_FIRST = 1 << 14  # bytes read of a file that is not read as a whole
_SHOWN = 200  # characters of what others say

_METHODS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ", 98: "PPMd"}
"""Methods of packing that a Python may lack (APPNOTE.TXT, 4.4.5); Explorer uses Deflate64."""

_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    LZMAError,
    NotImplementedError,  # see `_METHODS`
    RuntimeError,
    struct.error,
    ValueError,
    EOFError,
    OSError,  # of bzip2
)
"""What ``zipfile`` raises for a damaged file."""


class FileSource:
    """A file on the disk; threads and forked processes may read it at the same time."""

    def __init__(self, path: str) -> None:
        self.place = path
        self._file: IO[bytes] | None = None
        try:
            file = self._open()
        except OSError as error:
            raise unreadable(error.strerror or str(error), path) from error
        status = os.fstat(file.fileno())
        self.size, self.identity = status.st_size, (status.st_dev, status.st_ino)
        self._changed = status.st_mtime_ns

    def _open(self) -> IO[bytes]:
        if self._file is None:
            file = open(self.place, "rb", 0)  # noqa: SIM115  # as long as this lives
            weakref.finalize(self, file.close)
            self._file = file
        return self._file

    def _again(self) -> IO[bytes]:
        """Return the file; in another process it is opened again, and must be the same."""
        if self._file is None:
            try:
                status = os.fstat(self._open().fileno())
            except OSError as error:
                what = "the zip was there when the archive was opened, and cannot be opened now"
                raise gone(f"{what} ({error.strerror})", self.place) from error
            if (status.st_size, status.st_mtime_ns) != (self.size, self._changed):
                self._file = None
                raise gone("the zip has changed since the archive was opened", self.place)
        return self._open()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None}

    def read(self, start: int, size: int) -> bytes:
        file = self._again()
        try:
            data = read_at(file, start, size)
            while len(data) < size and (more := read_at(file, start + len(data), size - len(data))):
                data += more
        except OSError as error:
            raise unreadable(error.strerror or str(error), self.place) from error
        if len(data) < size:
            raise no_zip("it ends too early", self.place)
        return data

    def cache(self, start: int, end: int) -> None:
        """Do nothing: it is near."""

    def prefetch(
        self, entries: Iterable[Entry], ranges_of: Callable[[str], list[tuple[int, int]]]
    ) -> Iterator[Entry]:
        return iter(entries)


class ZipStorage(Storage):
    """An archive inside a zip, read in place: nothing is unpacked to the disk.

    ``directory`` is that of ``source``, and ``root`` the folder in which the layout begins, with a
    slash at its end; empty for the top.
    """

    def __init__(self, source: ByteSource, directory: ZipDirectory, root: str) -> None:
        self.source = source
        self.directory = directory
        self.root = root
        for folder in layout.FOLDERS:
            if self.exists(folder):
                raise no_folder(self.place(folder))

    @property
    def doubled(self) -> list[str]:
        """The files of the archive that the zip has twice, with the same content."""
        names = self.directory.doubled
        return [n.removeprefix(self.root) for n in names if n.startswith(self.root)]

    def beside_root(self) -> Iterator[str]:
        """Yield what lies beside the root, or beside a folder that it lies in: from the top."""
        way = self.root.rstrip("/").split("/") if self.root else []
        for name in self.directory.every_name():
            parts = name.rstrip("/").split("/")
            depth = next(
                (i for i, (a, b) in enumerate(zip(way, parts, strict=False)) if a != b), None
            )
            if depth is not None:
                yield "/".join(parts[: depth + 1])
            elif len(parts) < len(way) and not name.endswith("/"):
                yield name

    def place(self, name: str = "") -> str:
        return f"{self.source.place}: {self.root}{name}" if name else self.source.place

    def exists(self, name: str) -> bool:
        return self.directory.find(self.root + name) is not None

    def image(self, item_id: str) -> str | None:
        stem = f"{layout.IMAGES}/{item_id}"
        suffixes = self.directory.images(self.root + stem)
        return stem + min(suffixes, key=image_rank) if suffixes else None

    def prefetch(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        return self.source.prefetch(entries, self._ranges_of)

    def _ranges_of(self, item_id: str) -> list[tuple[int, int]]:
        """Return where the files of an item lie, from start to end; of its image the head."""
        ranges = []
        for name in (layout.class_mask(item_id), layout.instance_mask(item_id)):
            record = self.directory.find(self.root + name)
            if record is not None:
                ranges.append((record.offset, self._whole_end(record)))
        image = self.image(item_id)
        record = self.directory.find(self.root + image) if image else None
        if record is not None:
            head = record.offset + LOCAL.size + len(record.name) + _EXTRA + _AT_FIRST
            ranges.append((record.offset, min(head, self._whole_end(record))))
        return ranges

    def _whole_end(self, record: Record) -> int:
        """Return up to where to read to have a whole file, most likely."""
        most = record.offset + LOCAL.size + len(record.name.encode()) + _EXTRA + record.packed
        return max(record.offset, min(most, self.directory.end_of(record)))

    def read(self, name: str, limit: int = MAX_FILE_BYTES) -> bytes:
        record = self._find(name, limit)
        start = record.offset
        data = self.source.read(start, self._whole_end(record) - start)
        begin = self._begin(record, data, name)
        if begin + record.packed > len(data):
            data = self.source.read(start, begin + record.packed)
        packed = data[begin : begin + record.packed]
        try:
            with self._unpacked(io.BytesIO(packed), record) as file:
                return file.read()
        except _DAMAGE as error:
            raise self._fail(error, name) from error

    def open(self, name: str, limit: int | None = None) -> AbstractContextManager[IO[bytes]]:
        record = self._find(name, limit)
        head = self.source.read(
            record.offset,
            min(self._whole_end(record) - record.offset, MOST_RECORD + _AT_FIRST),
        )
        start = record.offset + self._begin(record, head, name)
        packed = io.BufferedReader(_Part(self.source, start, record.packed), _AT_FIRST)

        def fail(error: Exception) -> Exception:
            return self._fail(error, name)

        try:
            return io.BufferedReader(GuardedFile(self._unpacked(packed, record), fail))
        except _DAMAGE as error:
            raise fail(error) from error

    def _find(self, name: str, limit: int | None) -> Record:
        record = self.directory.find(self.root + name)
        if record is None:
            raise unreadable("no such file", self.place(name))
        if limit is not None and record.size > limit:  # need not be inflated to be refused
            raise too_large(limit, self.place(name))
        return record

    def _begin(self, record: Record, data: bytes, name: str) -> int:
        """Return where the content begins after the local header that ``data`` begins with."""
        if len(data) < LOCAL.size or not data.startswith(b"PK\3\4"):
            raise self._damaged("Bad magic number for file header", name)
        *_, name_size, extra_size = LOCAL.unpack_from(data)
        _, _, flags, *_ = LOCAL.unpack_from(data)
        raw = data[LOCAL.size : LOCAL.size + name_size]
        own = decode_name(raw, flags, self.place(name), self.directory.encoding)
        if own != record.own:
            raise self._damaged(f"its own name is {own[:_SHOWN]!r}", name)
        begin = LOCAL.size + name_size + extra_size
        if record.offset + begin + record.packed > self.directory.end_of(record):
            raise self._damaged("it overlaps what comes behind it", name)
        return int(begin)

    def _unpacked(self, packed: IO[bytes], record: Record) -> io.BufferedIOBase:
        info = zipfile.ZipInfo("x")
        info.compress_type, info.CRC = record.method, record.crc
        info.compress_size, info.file_size = record.packed, record.size
        return zipfile.ZipExtFile(packed, "r", info)  # stops at the size that the zip declares

    def _fail(self, error: Exception, name: str) -> Exception:
        record = self.directory.find(self.root + name)
        if isinstance(error, NotImplementedError) and record is not None:
            method = _METHODS.get(record.method, f"the method number {record.method}")
            return ArchiveError(
                f"it is packed by {method}, which this Python cannot unpack",
                self.place(name),
                "a file that is packed by Deflate, or not packed",
                "unpack the zip and give the folder, or pack that again with Deflate",
            )
        return self._damaged(str(error), name) if isinstance(error, _DAMAGE) else error

    def _damaged(self, why: str, name: str) -> ArchiveError:
        return ArchiveError(
            f"the file is damaged inside the zip ({why[:_SHOWN]})",
            self.place(name),
            "a sound zip",
            COPY,
        )

    def files(self, folder: str) -> Iterator[str]:
        for name in self.directory.names(self.root + folder):
            yield name.removeprefix(self.root)

    def suffixes(self, folder: str) -> Set[str]:
        """Return the suffixes of the files of a folder of masks that look like masks."""
        return self.directory.suffixes.get(self.root + folder, frozenset())

    def unmarked(self) -> Iterator[tuple[str, str]]:
        """Yield each file whose name Python's ``zipfile`` has otherwise on Linux, and as what."""
        for name, theirs in self.directory.unmarked():
            if name.startswith(self.root):
                yield name.removeprefix(self.root), theirs

    def folders(self) -> list[str]:
        parts = (name.partition("/") for name in self.other_files())
        return sorted({folder for folder, slash, _ in parts if slash})

    def place_above(self, name: str) -> str | None:
        if self.root:
            place = f"{self.root.rstrip('/').rpartition('/')[0]}/{name}".lstrip("/")
            found = self.directory.find(place)
            return None if found is None else f"{self.source.place}: {place}"
        path = os.path.join(os.path.dirname(self.source.place), name)
        return path if os.path.isfile(path) else None  # which no URL is

    def other_files(self) -> Iterator[str]:
        return self.directory.other_files(self.root)

    @property
    def identity(self) -> tuple[int, int] | None:
        """What no other zip of this disk has, not even one that takes its path; None far away."""
        return self.source.identity if isinstance(self.source, FileSource) else None


class _Part(io.RawIOBase):
    """A part of a source, read from its beginning to its end."""

    def __init__(self, source: ByteSource, start: int, size: int) -> None:
        self.source = source
        self._at = start
        self._end = start + size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.source.read(self._at, min(len(buffer), self._end - self._at))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
