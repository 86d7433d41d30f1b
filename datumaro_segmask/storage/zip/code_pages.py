"""The code page of names in a zip that say nothing of theirs: the one that the lists speak for.

Windows' Explorer and old archivers write names in the code page of the country. Some letters of
East Asian ones have the byte 0x5C, which is a backslash elsewhere, so names are decoded before they
are taken apart.
"""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Iterator

from .. import layout
from .records import LOCAL, UNMARKED, ByteSource, Record, Span, read_records

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
