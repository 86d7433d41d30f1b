"""What an export wrote into a folder, so that the next one tells its files from those of others.

A record is a file in the folder, ``.segmask-files.FORMAT``, a line a file: name, bytes, time of
change and CRC-32. What lies there with these bytes and this time is unchanged; only where the time
is another one, as in a copy of the tree, the file is read. So 100,000 files cost a question each.

An export replaces and removes what the record names and is unchanged. It refuses all else that is
in its way, before anything has moved, but for files that hold the very bytes that it would write.
"""

from __future__ import annotations

import filecmp
import io
import json
import logging
import os
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, NamedTuple

from ..errors import SegmaskExportError, counted
from . import layout
from .disk import at, is_link, open_plain
from .ids import Hashes

log = logging.getLogger(__name__)

_PREFIX = ".segmask-files."
_AT_ONCE = 1 << 20
_MAX_LINE = 1 << 16  # characters, of a name of 4,096
_SHOWN = 5  # files that are named


class Written(NamedTuple):
    """A file as it was written."""

    name: str
    size: int
    time: int
    crc: int

    @classmethod
    def by_writing(cls, name: str, file: IO[bytes], parts: Iterable[bytes]) -> Written:
        """Write a file that is open."""
        crc = 0
        for part in parts:
            crc = zlib.crc32(part, crc)
            file.write(part)
        file.flush()
        status = os.fstat(file.fileno())
        return cls(name, status.st_size, status.st_mtime_ns, crc)

    def is_at(self, path: str, status: os.stat_result) -> bool:
        """Return whether a file, of which the system says this, is as it was written."""
        if not stat.S_ISREG(status.st_mode) or status.st_size != self.size:
            return False
        return status.st_mtime_ns == self.time or _crc_of(path) == self.crc


class Aside(NamedTuple):
    """A file that a process has written for the export of another one, which gives it its place."""

    path: str
    size: int
    time: int
    crc: int

    @classmethod
    def of(cls, path: str, data: bytes) -> Aside:
        """Write a file with this content."""
        with open(path, "wb") as file:
            written = Written.by_writing(path, file, [data])
        return cls(*written)

    @property
    def content(self) -> tuple[int, int]:
        """What another file with the same bytes has, too."""
        return self.size, self.crc

    def fetch(self) -> bytes:
        """Return what was written, and remove the file."""
        with open(self.path, "rb") as file:
            data = file.read()
        os.unlink(self.path)
        return data


def never(name: str) -> bool:
    """Return False: no older version has written a file."""
    return False


@dataclass(frozen=True)
class Record:
    """How the exports of a format into a folder know what they wrote.

    ``was_ours`` tells it where no record is: of a file in the way whether an older version of this
    program may have written it. ``alone``: the folder in which no two pictures may differ in their
    suffix only, if there is one.
    """

    format: str
    was_ours: Callable[[str], bool] = never
    alone: str = ""


def is_recorded(root: str, format: str) -> bool:
    """Return whether an export of a format has left its record in a folder."""
    return os.path.isfile(os.path.join(root, _PREFIX + format))


class Recording:
    """The record of one export into ``root``, while it goes on; its files wait in ``new``."""

    def __init__(self, record: Record, root: str, new: str) -> None:
        self._record, self._root, self._new = record, root, new
        self._name = _PREFIX + record.format
        self._file = open(os.path.join(new, self._name), "w", encoding="utf-8")  # noqa: SIM115
        self._kept, self._ours, self._stems = Hashes(), Hashes(), Hashes()
        self._foreign: list[str] = []
        self._count = 0

    def add(self, written: Written) -> None:
        """Note a file that was written."""
        self._write(written)
        if self._record.alone and written.name.startswith(f"{self._record.alone}/"):
            self._stems.add(hash(layout.split_suffix(written.name)[0]))

    def keep(self, name: str) -> None:
        """Note a file that stays, if an earlier export wrote it."""
        self._kept.add(hash(name))

    def end(self) -> Iterator[str]:
        """End the record; yield what an earlier export wrote, and this one does not have."""
        others = Hashes()
        for name in os.listdir(self._root):
            if name.startswith(_PREFIX) and name != self._name:
                for written in _read(os.path.join(self._root, name)):
                    others.add(hash(written.name))
        gone = 0
        for written in _read(os.path.join(self._root, self._name)):
            path = at(self._root, written.name)
            try:
                status = os.lstat(path)
            except (FileNotFoundError, NotADirectoryError):
                continue
            is_new = os.path.lexists(at(self._new, written.name))
            is_kept = not is_new and hash(written.name) in self._kept
            if not written.is_at(path, status):
                if not is_kept and not is_new:  # of what is new, `meet` sees to it
                    self._note(written.name)
                continue
            self._ours.add(hash(written.name))
            if is_kept:
                self._write(written)
            elif not is_new and hash(written.name) not in others:
                yield written.name
                gone += 1
        if gone:
            log.info("%s: removed %s of an earlier export.", self._root, counted(gone, "file"))
        self._look_for_twins()
        self.close()

    def meet(self, name: str) -> None:
        """Note that a new file finds one of its name in the folder."""
        if hash(name) in self._ours or name == self._name:
            return
        new, there = at(self._new, name), at(self._root, name)
        if not is_recorded(self._root, self._record.format) and self._record.was_ours(name):
            return
        if os.path.islink(there) or not filecmp.cmp(new, there, shallow=False):
            self._note(name)

    def check(self) -> None:
        """Raise SegmaskExportError where files of others are in the way."""
        if self._count:
            more = self._count - len(self._foreign)
            named = ", ".join(self._foreign) + (f" and {more:,} more" if more else "")
            raise SegmaskExportError(
                "files are in the way that no earlier export wrote, or that were changed since: "
                f"{named}",
                self._root,
                "an empty folder, or an earlier export as it was written; --overwrite of Datumaro "
                "replaces what an export wrote, and nothing else",
                "export into another folder, or move these files away",
            )

    def close(self) -> None:
        """Write nothing more."""
        self._file.close()

    def _look_for_twins(self) -> None:
        """Note pictures of others that differ from new ones in their suffix only."""
        if not self._record.alone or not os.path.isdir(at(self._new, self._record.alone)):
            return
        for folder, _, files in os.walk(at(self._root, self._record.alone)):
            inner = os.path.relpath(folder, self._root).replace(os.sep, "/")
            for name in (f"{inner}/{file}" for file in files):
                stem, suffix = layout.split_suffix(name)
                if suffix.lower() in layout.IMAGE_SUFFIXES and hash(stem) in self._stems:
                    is_new = os.path.lexists(at(self._new, name))
                    if not is_new and hash(name) not in self._ours:
                        self._note(name)

    def _note(self, name: str) -> None:
        self._count += 1
        if len(self._foreign) < _SHOWN:
            self._foreign.append(name)

    def _write(self, written: Written) -> None:
        self._file.write(json.dumps(written) + "\n")


def _read(path: str) -> Iterator[Written]:
    """Yield what a record says; what no export can have written into it counts for nothing."""
    with suppress(OSError, ValueError):
        if is_link(os.lstat(path)):
            return
        with io.TextIOWrapper(open_plain(path), "utf-8") as file:
            while line := file.readline(_MAX_LINE):
                written = _parse(line)
                if written is not None:
                    yield written


def _parse(line: str) -> Written | None:
    try:
        name, size, time, crc = json.loads(line)
    except (ValueError, TypeError, RecursionError):
        return None
    numbers = all(type(number) is int for number in (size, time, crc))
    if not numbers or not isinstance(name, str):
        return None
    if layout.problem_of_name(name) or name.startswith((layout.STAGING, _PREFIX)):
        return None
    return Written(name, size, time, crc)


def _crc_of(path: str) -> int:
    crc = 0
    with open_plain(path) as file:
        while part := file.read(_AT_ONCE):
            crc = zlib.crc32(part, crc)
    return crc
