"""Members of a zip that go into another as they lie: headers and packed bytes, nothing unpacked.

``zipfile`` can only write a member anew: it would get another packing, another date or no extra
fields, and what it cannot unpack could not be kept at all. Source: the ZIP specification
(APPNOTE.TXT), sections 4.3.7 (local header), 4.3.9 (data descriptor), 4.3.12 and 4.5.3 (zip64).
"""

from __future__ import annotations

import shutil
import struct
import tempfile
from collections.abc import Collection, Iterator
from typing import IO

from ...errors import SegmaskExportError
from .archive import FileSource, ZipStorage
from .directory import ZipDirectory
from .records import END, END_64, IN_EXTRA, LOCAL, LOCATOR, RECORD, ByteSource, Record

_CHUNK = 1 << 20
_DESCRIBED = 1 << 3  # a flag: CRC and sizes stand behind the data
_DESCRIPTORS = (
    struct.Struct("<4sLQQ"),
    struct.Struct("<4sLLL"),
    struct.Struct("<LQQ"),
    struct.Struct("<LLL"),
)
_OFFSET_AT = 42  # in a record
_VERSION_64 = 45  # of the specification, the first with zip64
_MOST = (1 << 16) - 1  # records of a zip without zip64
_FAR = IN_EXTRA  # the first place that only zip64 can say


def carry_over(old: ZipStorage, part: IO[bytes], dropped: Collection[str]) -> None:
    """Complete a zip by all members of ``old`` that are neither in it nor ``dropped``.

    ``part``: a file that a whole zip was written to, with the path as its name. The directory
    lists the members as that of ``old`` does, a new one where the old one of its name stood, and
    after these what is new; what stands behind the directory stays, such as a comment. Raises
    SegmaskExportError for a member that does not lie where the directory says.
    """
    part.flush()
    written = ZipDirectory(FileSource(part.name))
    new = {name: raw for name, _, raw in written.members() if name is not None}
    part.seek(written.start)
    part.truncate()
    count = 0
    with tempfile.TemporaryFile() as records:  # there may be millions
        for name, record, raw in old.directory.members():
            if name in new:
                raw = new.pop(name)
            elif name is None or name not in dropped:
                offset = part.tell()
                part.writelines(_member(old.source, record, old.directory.end_of(record)))
                raw = _moved(raw, record, offset)
            else:
                continue
            records.write(raw)
            count += 1
        records.writelines(new.values())
        count += len(new)
        start, size = part.tell(), records.tell()
        records.seek(0)
        shutil.copyfileobj(records, part)
    part.write(_end(start, size, count))
    part.write(old.directory.rest())


def stub(old: ZipStorage) -> Iterator[bytes]:
    """Yield what stands before the first member, such as the program of a zip that runs."""
    yield from _read(old.source, 0, old.directory.first)


def _member(source: ByteSource, record: Record, limit: int) -> Iterator[bytes]:
    head = source.read(record.offset, min(LOCAL.size, limit - record.offset))
    if len(head) < LOCAL.size or not head.startswith(b"PK\3\4"):
        raise _not_to_be_kept(record, source, "it is not where the directory says")
    _, _, flags, *_, name_size, extra_size = LOCAL.unpack(head)
    end = record.offset + LOCAL.size + name_size + extra_size + record.packed
    if end > limit:
        raise _not_to_be_kept(record, source, "it overlaps what comes after it")
    if flags & _DESCRIBED:
        end += _descriptor_size(source.read(end, min(_DESCRIPTORS[0].size, limit - end)), record)
    yield from _read(source, record.offset, end)


def _descriptor_size(data: bytes, record: Record) -> int:
    """Return how many bytes of ``data`` are the descriptor; all, of one that is none."""
    expected = record.crc, record.packed, record.size
    for form in _DESCRIPTORS:
        if len(data) >= form.size and form.unpack_from(data)[-3:] == expected:
            return form.size
    return len(data)


def _read(source: ByteSource, start: int, end: int) -> Iterator[bytes]:
    for at in range(start, end, _CHUNK):
        yield source.read(at, min(_CHUNK, end - at))


def _moved(raw: bytes, record: Record, offset: int) -> bytes:
    """Return a record of a directory for its member at another place."""
    fields = list(RECORD.unpack_from(raw))
    if fields[-1] != IN_EXTRA and offset < _FAR:
        return raw[:_OFFSET_AT] + struct.pack("<L", offset) + raw[RECORD.size :]
    name_size, extra_size = fields[10:12]
    extra_at = RECORD.size + name_size
    extra, rest = raw[extra_at : extra_at + extra_size], raw[extra_at + extra_size :]
    longs = [record.size] * (fields[9] == IN_EXTRA) + [record.packed] * (fields[8] == IN_EXTRA)
    disk = _disk_in(extra, len(longs) + (fields[-1] == IN_EXTRA))
    fields[-1] = offset if offset < _FAR else IN_EXTRA
    longs += [offset] * (fields[-1] == IN_EXTRA)
    body = struct.pack(f"<{len(longs)}Q", *longs) + disk
    extra = (struct.pack("<2H", 1, len(body)) + body if body else b"") + _without_long(extra)
    fields[2] = max(fields[2], _VERSION_64) if body else fields[2]
    fields[11] = len(extra)
    return RECORD.pack(*fields) + raw[RECORD.size : extra_at] + extra + rest


def _blocks(extra: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the kind of each extra field, and all its bytes; what is no field has the kind -1."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        yield kind, extra[at : at + 4 + length]
        at += 4 + length
    if at < len(extra):
        yield -1, extra[at:]


def _disk_in(extra: bytes, longs: int) -> bytes:
    """Return what the field of zip64 has after its ``longs``: the number of a disk, if any."""
    return next((block[4 + 8 * longs :] for kind, block in _blocks(extra) if kind == 1), b"")


def _without_long(extra: bytes) -> bytes:
    return b"".join(block for kind, block in _blocks(extra) if kind != 1)


def _end(start: int, size: int, count: int) -> bytes:
    """Return the end of a zip up to the length of its comment; zip64 where that is needed."""
    long = b""
    if count > _MOST or start + size >= _FAR:
        long = END_64.pack(
            b"PK\6\6", END_64.size - 12, _VERSION_64, _VERSION_64, 0, 0, count, count, size, start
        ) + LOCATOR.pack(b"PK\6\7", 0, start + size, 1)
    few = min(count, _MOST)
    sizes = (IN_EXTRA, IN_EXTRA) if start + size >= _FAR else (size, start)
    return long + END.pack(b"PK\5\6", 0, 0, few, few, *sizes, 0)[:-2]


def _not_to_be_kept(record: Record, source: ByteSource, why: str) -> SegmaskExportError:
    return SegmaskExportError(
        f"a file in the zip cannot be kept: {why}",
        f"{source.place}: {record.name}",
        "a zip whose files are whole, as those that are not the dataset's stay in it",
        "repair the zip ('zip -FF' does), or export to another folder",
    )
