"""The central directory of a zip, read record by record: memory does not grow with its names.

Python's ``zipfile`` keeps 0.7 kB for every file.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ...arrays import starts_of_runs
from ...errors import ArchiveError
from .. import layout
from ..ids import Index
from .records import (
    END,
    END_64,
    LOCATOR,
    ByteSource,
    Record,
    find_directory,
    find_encoding,
    read_names,
    read_raw_records,
    read_record,
    read_records,
)

MAX_ZIP_ENTRIES = 1 << 25  # three times what ten million items with two masks have
_ENCRYPTED = 1  # a flag
_MASKS = f"{layout.CLASS_MASKS}/", f"{layout.INSTANCE_MASKS}/"


class _UnclearError(Exception):
    """A name is in a code page, which is not known yet."""


class ZipDirectory:
    """The files of a zip. Of each, 24 bytes are kept: a hash, a place in the directory, an offset.

    Making it reads the directory once and checks names and flags. ``roots`` is where the layout
    of an archive begins, see `layout.roots_of`. Raises ArchiveError or UnsafePathError.
    """

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._span = find_directory(source)
        self._check_count(self._span.count)
        source.cache(self._span.start, self._span.end)
        self.doubled: dict[str, None] = {}  # the files that are there twice, alike
        self.suffixes: dict[str, set[str]] = {}  # below each folder of masks, wherever it lies
        try:
            self.roots = layout.roots_of(self._fill(is_clear=False))
        except _UnclearError:
            encoding = find_encoding(source, self._span)
            self._span = replace(self._span, encoding=encoding)
            self.roots = layout.roots_of(self._fill(is_clear=True))
        self._check_names()

    def _check_count(self, count: int) -> None:
        if count > MAX_ZIP_ENTRIES:
            raise ArchiveError(
                f"the zip has {count:,} entries",
                self._source.place,
                f"at most {MAX_ZIP_ENTRIES:,}",
                "unpack it and import the folder",
            )

    def _fill(self, *, is_clear: bool) -> Iterator[str]:
        """Index all names, and yield them. Raises _UnclearError unless the encoding is clear."""
        self._index, self._lists = Index(), list[str]()
        self.suffixes.clear()
        self._offsets = np.empty(0, np.uint64)
        offsets = io.BytesIO()
        lists, images = f"{layout.SUBSETS}/", f"{layout.IMAGES}/"
        for count, (place, record) in enumerate(read_records(self._source, self._span), 1):
            self._check_count(count)
            if not is_clear and record.is_unclear:
                raise _UnclearError
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
            else:
                for mark in _MASKS:
                    head, found, inner = name.partition(mark)
                    suffix = layout.split_suffix(inner)[1]
                    if found and suffix.lower() in layout.LIKE_MASKS:
                        self.suffixes.setdefault((head + mark)[:-1], set()).add(suffix)
            yield name
        self._index.sort()
        ordered = np.sort(np.frombuffer(offsets.getbuffer(), "<u8"))
        self._offsets = ordered[starts_of_runs(ordered)]

    def _check_names(self) -> None:
        for places in self._index.repeated():
            seen: dict[str, Record] = {}
            for place in dict.fromkeys(places):
                record = read_record(self._source, self._span, place)
                name = _file_name(record) or ""
                first = seen.setdefault(name, record)
                if first is record:
                    continue
                if (first.crc, first.size) != (record.crc, record.size):
                    raise ArchiveError(
                        f"the zip has {name!r} twice, and the two differ",
                        self._source.place,
                        "each file once",
                        "pack the archive again",
                    )
                self.doubled[name] = None

    def _name_at(self, place: int) -> str:
        return _file_name(read_record(self._source, self._span, place)) or ""

    def find(self, name: str) -> Record | None:
        """Return the record of a file, None where there is none of this name."""
        places = self._index.places(name)
        records = (read_record(self._source, self._span, place) for place in places)
        return next((record for record in records if _file_name(record) == name), None)

    def images(self, stem: str) -> list[str]:
        """Return the suffixes of the images that have a name without suffix."""
        found = [layout.split_suffix(self._name_at(place)) for place in self._index.places(stem)]
        return [suffix for name, suffix in found if name == stem and suffix]

    def every_name(self) -> Iterator[str]:
        """Yield the names of all files and folders, also of those that systems leave behind."""
        for names in read_names(self._source, self._span):
            yield from map(_with_slashes, names)

    def names(self, folder: str) -> Iterator[str]:
        """Yield the names that begin with ``folder/``, in the order of the zip; all for "".

        Each once.
        """
        names = self._names(folder)
        if not self.doubled:
            yield from names
            return
        seen: set[str] = set()
        for name in names:
            if name not in seen:
                yield name
            if name in self.doubled:
                seen.add(name)

    def _names(self, folder: str) -> Iterator[str]:
        begin = f"{folder}/" if folder else ""
        if folder.endswith(layout.SUBSETS):
            yield from (name for name in self._lists if name.startswith(begin))
            return
        for names in read_names(self._source, self._span):
            yield from (name for name in _file_names(names) if name.startswith(begin))

    def other_files(self, root: str) -> Iterator[str]:
        """Yield the names below ``root`` that lie in no folder of the layout, relative to it."""
        inside = tuple(f"{root}{folder}/" for folder in layout.FOLDERS)
        for names in read_names(self._source, self._span):
            others = (name for name in names if not name.startswith(inside))
            yield from (
                name.removeprefix(root)
                for name in _file_names([*others])
                if name.startswith(root) and not name.startswith(inside)
            )

    def unmarked(self) -> Iterator[tuple[str, str]]:
        """Yield each name that Python's ``zipfile`` has otherwise on Linux, and as what."""
        for _, record in read_records(self._source, self._span):
            name = _file_name(record)
            if name is not None and record.unmarked.removeprefix("./") != name:
                yield name, record.unmarked

    @property
    def encoding(self) -> str:
        """The encoding of names that say nothing of theirs."""
        return self._span.encoding

    @property
    def first(self) -> int:
        """Where the first member begins."""
        return int(self._offsets[0]) if len(self._offsets) else self._span.start

    @property
    def start(self) -> int:
        """Where the directory begins."""
        return self._span.start

    def members(self) -> Iterator[tuple[str | None, Record, bytes]]:
        """Yield all members in the order of the zip, each with the bytes of its record.

        The name is None of a folder, and of what systems leave behind.
        """
        for record, raw in read_raw_records(self._source, self._span):
            yield _file_name(record), record, raw

    def rest(self) -> bytes:
        """Return what comes after the directory from the length of the zip's comment on."""
        end = self._span.end
        if self._source.read(end, 4) == b"PK\6\6":
            end += END_64.size + LOCATOR.size
        start = end + END.size - 2
        return self._source.read(start, self._source.size - start)

    def end_of(self, record: Record) -> int:
        """Return where a file must end: where another begins, or the directory."""
        after = int(self._offsets.searchsorted(np.uint64(record.offset), "right"))
        following = int(self._offsets[after]) if after < len(self._offsets) else self._span.start
        return min(following, self._span.start)


def _check_journal(name: str, place: str) -> None:
    if layout.is_journal(name.replace("\\", "/")):
        raise ArchiveError(
            "the zip has the journal of an export that was cut short, so it may mix old and new "
            "masks",
            f"{place}: {name}",
            "the zip of a finished export",
            "ask whoever made it to finish the export there and to pack the folder again; do not "
            "unpack it and go on with what is in it",
        )


def _file_name(record: Record) -> str | None:
    """Return the name of a file, None for a folder or what systems leave behind."""
    name = _with_slashes(record.name)
    return None if name.endswith("/") or layout.is_litter(name) else name


def _file_names(names: Sequence[str]) -> list[str]:
    """Return the same of many records, without those that have none."""
    text = "\n".join(names)
    if "\\" in text or "./" in text:
        names = [*map(_with_slashes, names)]
    if layout.may_have_litter(text):
        names = [name for name in names if not layout.is_litter(name)]
    return [name for name in names if not name.endswith("/")]


def _with_slashes(name: str) -> str:
    return name.replace("\\", "/").removeprefix("./")  # which some tools write
