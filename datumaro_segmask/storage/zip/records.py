"""The records of a zip's central directory: where they stand, and what each says of its file.

The code page of names that say nothing of theirs is the one that the lists speak for. Source: the
ZIP specification (APPNOTE.TXT), sections 4.3 and 4.5; what is lenient here is what ``zipfile`` is
lenient about.
"""

from __future__ import annotations

import struct
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from ...signatures import HEAD
from .. import layout
from ..no_archive import no_zip, not_a_zip
from ..read import Entry

LOCAL = struct.Struct("<4s5H3L2H")
RECORD = struct.Struct("<4s6H3L5H2L")
_SIZES, _SIZES_AT = struct.Struct("<3H"), 28  # of name, extra field and comment, in a record
END = struct.Struct("<4s4H2LH")
LOCATOR = struct.Struct("<4sLQL")
END_64 = struct.Struct("<4sQ2H2L4Q")
_MOST_COMMENT = (1 << 16) - 1
_CHUNK = 1 << 20  # bytes of the directory that are read at once
MOST_RECORD = RECORD.size + 3 * ((1 << 16) - 1)

_UTF_8 = 1 << 11  # a flag
UNICODE_PATH = 0x7075
_UNICODE_PATH = struct.pack("<H", UNICODE_PATH)
IN_EXTRA = 0xFFFFFFFF
UNMARKED = "cp437"
"""The encoding of names without the flag for UTF-8 (APPNOTE.TXT, appendix D)."""


class ByteSource(Protocol):
    """Bytes that any part can be read of: a file on the disk, or one far away."""

    place: str
    size: int

    def read(self, start: int, size: int) -> bytes:
        """Return exactly these bytes. Raises MissingFileError or ArchiveError."""

    def cache(self, start: int, end: int) -> None:
        """Make ready a part that will be read again and again, record by record."""

    def prefetch(
        self, entries: Iterable[Entry], ranges_of: Callable[[str], list[tuple[int, int]]]
    ) -> Iterator[Entry]:
        """Yield entries, while the ranges of the next of them are fetched if they are far away."""


@dataclass(frozen=True, slots=True)
class Record:
    """What the directory says of one file; ``offset`` is where its local header begins.

    ``unmarked`` is the name as Python's ``zipfile`` has it, and CVAT with it: without the flag for
    UTF-8 every name is cp437. ``own`` is the name that stands before the file, too.
    """

    name: str
    own: str
    unmarked: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int

    @property
    def is_unclear(self) -> bool:
        """Whether nothing says in which encoding the name is."""
        name = self.name
        return not (name.isascii() or self.flags & _UTF_8) and name == self.own == self.unmarked


@dataclass(frozen=True, slots=True)
class Span:
    """Where the directory lies in the zip, how many records it is said to have, and by how many
    bytes all places are to be raised, as something stands before the zip.

    ``encoding`` is that of names which are neither marked as UTF-8 nor UTF-8.
    """

    start: int
    end: int
    count: int
    shift: int
    encoding: str = UNMARKED


def find_directory(source: ByteSource) -> Span:
    """Find the directory by its end record, which stands at the end of the file.

    Raises ArchiveError.
    """
    tail_start = max(0, source.size - END.size - _MOST_COMMENT - LOCATOR.size - END_64.size)
    tail = source.read(tail_start, source.size - tail_start)
    at = len(tail) - END.size
    if at < 0 or not tail.startswith(b"PK\5\6", at) or tail[-2:] != b"\0\0":
        at = tail.rfind(b"PK\5\6", max(0, len(tail) - END.size - _MOST_COMMENT))
    if at < 0 or at + END.size > len(tail):
        raise not_a_zip(source.read(0, min(HEAD, source.size)), source.place)
    *_, count, size, start, _ = END.unpack_from(tail, at)
    end = tail_start + at
    at -= LOCATOR.size
    if at >= 0 and tail.startswith(b"PK\6\7", at):
        at -= END_64.size
        if at < 0 or not tail.startswith(b"PK\6\6", at):
            raise no_zip("its zip64 end record is not where it should be", source.place)
        *_, count, size, start = END_64.unpack_from(tail, at)
        end = tail_start + at
    shift = end - size - start
    if shift < 0:
        raise no_zip("Bad offset for central directory", source.place)
    return Span(end - size, end, count, shift)


def read_records(source: ByteSource, span: Span) -> Iterator[tuple[int, Record]]:
    """Yield the place and content of each record. Raises ArchiveError for a damaged directory."""
    at, data, base = span.start, b"", span.start
    while at < span.end:
        if at + MOST_RECORD > base + len(data) and base + len(data) < span.end:
            base, data = at, source.read(at, min(_CHUNK, span.end - at))
        record, size = _parse(data, at - base, span, source.place)
        yield at, record
        at += size


def read_names(source: ByteSource, span: Span) -> Iterator[list[str]]:
    """Yield the names of the records, as `read_records` has them, many at a time and quickly.

    Of records that stand alike, one byte behind the other, only the lengths are looked at.
    """
    at = span.start
    while at < span.end:
        data = source.read(at, min(_CHUNK, span.end - at))
        places, names, here, is_plain = [], [], 0, True
        while here + RECORD.size <= len(data):
            name_size, extra_size, comment_size = _SIZES.unpack_from(data, here + _SIZES_AT)
            name_at = here + RECORD.size
            extra_at = name_at + name_size
            end = extra_at + extra_size + comment_size
            if end > len(data):
                break
            places.append(here)
            names.append(data[name_at:extra_at])
            if extra_size and data.find(_UNICODE_PATH, extra_at, extra_at + extra_size) >= 0:
                is_plain = False
            here = end
        text = b"\n".join(names)
        is_plain = is_plain and text.isascii() and b"\0" not in text
        if is_plain and text.count(b"\n") == len(names) - 1:
            yield text.decode().split("\n")
        else:
            found = (_parse(data, place, span, source.place)[0] for place in places or [0])
            yield [record.name for record in found]
        at += here


def read_raw_records(source: ByteSource, span: Span) -> Iterator[tuple[Record, bytes]]:
    """Yield each record, and all its bytes. Raises ArchiveError for what is no sound directory."""
    places = (place for place, _ in read_records(source, span))
    start = next(places, span.end)
    while start < span.end:
        end = next(places, span.end)
        raw = source.read(start, end - start)
        yield _parse(raw, 0, span, source.place)[0], raw
        start = end


def read_record(source: ByteSource, span: Span, place: int) -> Record:
    """Return the record at a place that `read_records` gave."""
    data = source.read(place, min(RECORD.size + 512, span.end - place))
    if RECORD.size + sum(_SIZES.unpack_from(data, _SIZES_AT)) > len(data):
        data = source.read(place, min(MOST_RECORD, span.end - place))
    return _parse(data, 0, span, source.place)[0]


def _parse(data: bytes, at: int, span: Span, place: str) -> tuple[Record, int]:
    """Return the record at ``at``, and how many bytes it has."""
    if at + RECORD.size > len(data) or not data.startswith(b"PK\1\2", at):
        raise no_zip("Bad magic number for central directory", place)
    fields = RECORD.unpack_from(data, at)
    _, _, _, flags, method, _, _, crc, packed, size = fields[:10]
    name_size, extra_size, comment_size, _, _, _, offset = fields[10:]
    name_at = at + RECORD.size
    extra_at = name_at + name_size
    total = extra_at + extra_size + comment_size - at
    if at + total > len(data):
        raise no_zip("Truncated central directory", place)
    if IN_EXTRA in (size, packed, offset):
        extra = data[extra_at : extra_at + extra_size]
        size, packed, offset = _long_fields(extra, size, packed, offset, place)
    raw = data[name_at:extra_at]
    name = _unicode_path(data[extra_at : extra_at + extra_size], raw) if extra_size else None
    own = decode_name(raw, flags, place, span.encoding)
    name = own if name is None else name
    marked = raw.isascii() or flags & _UTF_8
    unmarked = name if marked else raw.partition(b"\0")[0].decode(UNMARKED)
    offset += span.shift
    return Record(name, own, unmarked, flags, method, crc, packed, size, offset), total


def _unicode_path(extra: bytes, raw: bytes) -> str | None:
    """Return the name in the extra field of WinRAR and Info-ZIP for it, None where there is none.

    It holds only for the name that it was made for, whose checksum it has (APPNOTE.TXT, 4.6.9).
    """
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        body = extra[at + 4 : at + 4 + length]
        if kind == UNICODE_PATH and len(body) > 5 and body[0] == 1:
            if struct.unpack_from("<L", body, 1)[0] != zlib.crc32(raw):
                return None
            try:
                return body[5:].decode("utf-8")
            except UnicodeDecodeError:
                return None
        at += 4 + length
    return None


def decode_name(raw: bytes, flags: int, place: str, encoding: str) -> str:
    """Return a name as text, up to a NUL; without the flag for UTF-8 in ``encoding``.

    Or still in UTF-8: Linux and macOS write UTF-8 and often do not say so. A name that the
    encoding does not have is cp437, which has every byte.
    """
    raw = raw.partition(b"\0")[0]
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        if flags & _UTF_8:
            raise no_zip("a name is not UTF-8", place) from None
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        return raw.decode(UNMARKED)


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
                if field == IN_EXTRA:
                    if not found:
                        raise no_zip("Corrupt zip64 extra field", place)
                    fields[i] = found.pop(0)
            return fields[0], fields[1], fields[2]
        at += 4 + length
    return size, packed, offset


# Windows' Explorer and old archivers write names in the code page of the country. Some letters of
# East Asian ones have the byte 0x5C, which is a backslash elsewhere, so names are decoded before
# they are taken apart.
CODE_PAGES = ("cp437", "cp932", "cp936", "cp949", "cp950", "cp866", "cp1251", "cp1252")
"""Those that are tried; of several that fit equally well, the first."""

_MOST_LIST = 1 << 24  # bytes of lists that are read to find the code page
_STORED, _DEFLATED = 0, 8
_MASKS = (f"{layout.CLASS_MASKS}/", f"{layout.INSTANCE_MASKS}/")


def find_encoding(source: ByteSource, span: Span) -> str:
    """Return the code page in which most masks have the names that the lists have.

    cp437, as the ZIP specification says, if the lists speak for none.
    """
    lists, names = [], set()
    for _, record in read_records(source, span):
        if f"{layout.SUBSETS}/" in record.name and record.name.endswith(layout.LIST_SUFFIX):
            lists.append(record)
        elif record.is_unclear:
            names.add(record.own.encode(UNMARKED))
    ids = {_usual(line) for record in lists for line in _lines(source, record)}
    hits = {page: sum(_id_of(name, page) in ids for name in names) for page in CODE_PAGES}
    return max(CODE_PAGES, key=lambda page: hits[page])


def _id_of(raw: bytes, page: str) -> str | None:
    """Return the id of a mask whose name is in a code page, None if it is no such name."""
    try:
        name = raw.decode(page).replace("\\", "/")
    except UnicodeDecodeError:
        return None
    for folder in _MASKS:
        _, found, rest = name.partition(folder)
        if found:
            return _usual(layout.split_suffix(rest)[0])
    return None


def _usual(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _lines(source: ByteSource, record: Record) -> Iterator[str]:
    """Yield the lines of a list; none of one that cannot be read, which is said when it is."""
    if record.packed > _MOST_LIST or record.method not in (_STORED, _DEFLATED):
        return
    if record.offset + LOCAL.size > source.size:
        return
    head = LOCAL.unpack(source.read(record.offset, LOCAL.size))
    start = record.offset + LOCAL.size + head[-2] + head[-1]
    if start + record.packed > source.size:
        return
    data = source.read(start, record.packed)
    try:
        if record.method == _DEFLATED:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, _MOST_LIST)
        text = data.decode("utf-8-sig")
    except (zlib.error, UnicodeDecodeError):
        return
    for line in text.splitlines():
        yield line.strip().replace("\\", "/").removeprefix("./")
