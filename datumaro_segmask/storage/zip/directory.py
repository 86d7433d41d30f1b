"""The central directory of a zip, read record by record: memory does not grow with its names.

Python's ``zipfile`` keeps 0.7 kB for every file. Source: the ZIP specification (APPNOTE.TXT),
sections 4.3 and 4.5; what is lenient here is what ``zipfile`` is lenient about.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ...errors import ArchiveError
from ...signatures import HEAD
from .. import layout
from ..ids import Index
from ..read import Entry
from ..strangers import no_zip, not_a_zip

MAX_ZIP_ENTRIES = 1 << 25  # three times what ten million items with two masks have

_RECORD = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_MOST_COMMENT = (1 << 16) - 1
_CHUNK = 1 << 20  # bytes of the directory that are read at once
MOST_RECORD = _RECORD.size + 3 * ((1 << 16) - 1)

_ENCRYPTED, _UTF_8 = 1, 1 << 11  # flags
_IN_EXTRA = 0xFFFFFFFF


class Source(Protocol):
    """Bytes that any part can be read of: a file on the disk, or one far away."""

    place: str
    size: int

    def read(self, start: int, size: int) -> bytes:
        """Return exactly these bytes. Raises MissingFileError or ArchiveError."""

    def keep(self, start: int, end: int) -> None:
        """Make ready a part that will be read again and again, record by record."""

    def ahead(
        self, entries: Iterable[Entry], ranges_of: Callable[[str], list[tuple[int, int]]]
    ) -> Iterator[Entry]:
        """Yield entries, while the ranges of the next of them are fetched if they are far away."""


@dataclass(frozen=True, slots=True)
class Record:
    """What the directory says of one file; ``offset`` is where its local header begins."""

    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int


@dataclass(frozen=True, slots=True)
class _Span:
    """Where the directory lies in the zip, how many records it is said to have, and by how many
    bytes all places are to be raised, as something stands before the zip."""

    start: int
    end: int
    count: int
    shift: int


class ZipDirectory:
    """The files of a zip. Of each, 24 bytes are kept: a hash, a place in the directory, an offset.

    Making it reads the directory once and checks names and flags. ``roots`` is where the layout
    of an archive begins, see `layout.roots_of`. Raises ArchiveError or UnsafePathError.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._span = _find_directory(source)
        self._check_count(self._span.count)
        source.keep(self._span.start, self._span.end)
        self._index = Index()
        self._lists: list[str] = []
        self._offsets = np.empty(0, np.uint64)
        self.roots = layout.roots_of(self._fill())
        self._check_names()

    def _check_count(self, count: int) -> None:
        if count > MAX_ZIP_ENTRIES:
            raise ArchiveError(
                f"the zip has {count:,} entries",
                self._source.place,
                f"at most {MAX_ZIP_ENTRIES:,}",
                "unpack it and import the folder",
            )

    def _fill(self) -> Iterator[str]:
        offsets = io.BytesIO()
        lists, images = f"{layout.SUBSETS}/", f"{layout.IMAGES}/"
        for count, (place, record) in enumerate(_read_records(self._source, self._span), 1):
            self._check_count(count)
            offsets.write(record.offset.to_bytes(8, "little"))
            _check_journal(record.name, self._source.place)
            name = _file_name(record)
            if name is None:
                continue
            layout.check_name(name, self._source.place)
            if record.flags & _ENCRYPTED:
                raise ArchiveError(
                    f"{name!r} in the zip is encrypted",
                    self._source.place,
                    "files that can be read without a password",
                    "unpack it with the password and import the folder",
                )
            self._index.add(name, place)
            if images in name:
                stem, suffix = layout.split_suffix(name)
                if suffix.lower() in layout.IMAGE_SUFFIXES:
                    self._index.add(stem, place)
            elif lists in name:
                self._lists.append(name)
            yield name
        self._index.sort()
        self._offsets = np.unique(np.frombuffer(offsets.getbuffer(), "<u8"))

    def _check_names(self) -> None:
        for places in self._index.repeated():
            names: set[str] = set()
            for place in dict.fromkeys(places):
                name = self._name_at(place)
                if name in names:
                    raise ArchiveError(
                        f"the zip holds {name!r} twice",
                        self._source.place,
                        "each file once",
                        "pack the archive again",
                    )
                names.add(name)

    def _name_at(self, place: int) -> str:
        return _file_name(_read_record(self._source, self._span, place)) or ""

    def find(self, name: str) -> Record | None:
        """Return the record of a file, None where there is none of this name."""
        places = self._index.places(name)
        records = (_read_record(self._source, self._span, place) for place in places)
        return next((record for record in records if _file_name(record) == name), None)

    def images(self, stem: str) -> list[str]:
        """Return the suffixes of the images that have a name without suffix."""
        found = [layout.split_suffix(self._name_at(place)) for place in self._index.places(stem)]
        return [suffix for name, suffix in found if name == stem and suffix]

    def names(self, folder: str) -> Iterator[str]:
        """Yield the names that begin with ``folder/``, in the order of the zip; all for ""."""
        if folder.endswith(layout.SUBSETS):
            yield from (name for name in self._lists if name.startswith(f"{folder}/"))
            return
        for _, record in _read_records(self._source, self._span):
            name = _file_name(record)
            if name is not None and (not folder or name.startswith(f"{folder}/")):
                yield name

    def end_of(self, record: Record) -> int:
        """Return where a file must end: where another begins, or the directory."""
        after = int(self._offsets.searchsorted(np.uint64(record.offset), "right"))
        following = int(self._offsets[after]) if after < len(self._offsets) else self._span.start
        return min(following, self._span.start)


def _check_journal(name: str, place: str) -> None:
    if layout.is_journal(name.replace("\\", "/")):
        raise ArchiveError(
            "the zip was made of a folder in which an export was cut short",
            f"{place}: {name}",
            "the zip of a finished export",
            "unpack it, run 'datumaro-segmask recover' on the folder, and pack that",
        )


def _file_name(record: Record) -> str | None:
    """Return the name of a file, None for a folder or what systems leave behind."""
    name = record.name.replace("\\", "/").removeprefix("./")  # which some tools write
    return None if name.endswith("/") or layout.is_litter(name) else name


def _find_directory(source: Source) -> _Span:
    """Find the directory by its end record, which stands at the end of the file.

    Raises ArchiveError.
    """
    tail_start = max(0, source.size - _END.size - _MOST_COMMENT - _LOCATOR.size - _END_64.size)
    tail = source.read(tail_start, source.size - tail_start)
    at = len(tail) - _END.size
    if at < 0 or not tail.startswith(b"PK\5\6", at) or tail[-2:] != b"\0\0":
        at = tail.rfind(b"PK\5\6", max(0, len(tail) - _END.size - _MOST_COMMENT))
    if at < 0 or at + _END.size > len(tail):
        raise not_a_zip(source.read(0, min(HEAD, source.size)), source.place)
    *_, count, size, start, _ = _END.unpack_from(tail, at)
    end = tail_start + at
    at -= _LOCATOR.size
    if at >= 0 and tail.startswith(b"PK\6\7", at):
        at -= _END_64.size
        if at < 0 or not tail.startswith(b"PK\6\6", at):
            raise no_zip("its zip64 end record is not where it should be", source.place)
        *_, count, size, start = _END_64.unpack_from(tail, at)
        end = tail_start + at
    shift = end - size - start
    if shift < 0 or end - size < 0:
        raise no_zip("Bad offset for central directory", source.place)
    return _Span(end - size, end, count, shift)


def _read_records(source: Source, span: _Span) -> Iterator[tuple[int, Record]]:
    """Yield each record behind its place. Raises ArchiveError for what is no sound directory."""
    at, data, base = span.start, b"", span.start
    while at < span.end:
        if at + MOST_RECORD > base + len(data) and base + len(data) < span.end:
            base, data = at, source.read(at, min(_CHUNK, span.end - at))
        record, size = _parse(data, at - base, span.shift, source.place)
        yield at, record
        at += size


def _read_record(source: Source, span: _Span, place: int) -> Record:
    """Return the record at a place that `_read_records` gave."""
    data = source.read(place, min(_RECORD.size + 512, span.end - place))
    if _RECORD.size + sum(struct.unpack_from("<3H", data, 28)) > len(data):
        data = source.read(place, min(MOST_RECORD, span.end - place))
    return _parse(data, 0, span.shift, source.place)[0]


def _parse(data: bytes, at: int, shift: int, place: str) -> tuple[Record, int]:
    """Return the record at ``at``, and how many bytes it has."""
    if at + _RECORD.size > len(data) or not data.startswith(b"PK\1\2", at):
        raise no_zip("Bad magic number for central directory", place)
    fields = _RECORD.unpack_from(data, at)
    _, _, _, flags, method, _, _, crc, packed, size = fields[:10]
    name_size, extra_size, comment_size, _, _, _, offset = fields[10:]
    name_at = at + _RECORD.size
    extra_at = name_at + name_size
    total = extra_at + extra_size + comment_size - at
    if at + total > len(data):
        raise no_zip("Truncated central directory", place)
    if _IN_EXTRA in (size, packed, offset):
        extra = data[extra_at : extra_at + extra_size]
        size, packed, offset = _long_fields(extra, size, packed, offset, place)
    name = decode_name(data[name_at:extra_at], flags, place)
    return Record(name, flags, method, crc, packed, size, offset + shift), total


def decode_name(raw: bytes, flags: int, place: str) -> str:
    """Return a name as text, up to a NUL; without the flag for UTF-8 it is cp437, or still UTF-8.

    Linux and macOS write UTF-8 and often do not say so.
    """
    raw = raw.partition(b"\0")[0]
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        if flags & _UTF_8:
            raise no_zip("a name is no UTF-8", place) from None
        return raw.decode("cp437")


def _long_fields(
    extra: bytes, size: int, packed: int, offset: int, place: str
) -> tuple[int, int, int]:
    """Return the fields of 32 bits, those that do not fit from the extra field of zip64."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            body = extra[at + 4 : at + 4 + length]
            found = list(struct.unpack_from(f"<{min(3, len(body) // 8)}Q", body))
            fields = [size, packed, offset]
            for i, field in enumerate(fields):
                if field == _IN_EXTRA:
                    if not found:
                        raise no_zip("Corrupt zip64 extra field", place)
                    fields[i] = found.pop(0)
            return fields[0], fields[1], fields[2]
        at += 4 + length
    return size, packed, offset
