"""Files far away: which a folder has, or a pattern fits, and one that is read in parts."""

from __future__ import annotations

import glob
import io
import os
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from functools import partial
from typing import IO, Any
from urllib.parse import unquote

from ...errors import ArchiveError, MissingFileError, StoreError
from ..no_archive import unreadable
from ..read import Entry, read_at
from .store import Store, without_query

_CACHED_AT_ONCE = 1 << 23


def _is_all(error: MissingFileError) -> None:
    raise StoreError(*error.args) from error


class RemoteFile:
    """A file far away, as a source of bytes (`zip.records.ByteSource`).

    ``gone`` is called if it is there no more; a file that is all there is ends whatever reads.
    """

    def __init__(
        self,
        store: Store,
        path: str,
        size: int,
        gone: Callable[[MissingFileError], None] = _is_all,
    ) -> None:
        self._store = store
        self._gone = gone
        self._path = path
        self.place = store.place_of(path)
        self.size = size
        self._cached = 0, 0
        self._copy: IO[bytes] | None = None

    def cache(self, start: int, end: int) -> None:
        """Fetch a part that will be read again and again, into a temporary file."""
        copy = tempfile.TemporaryFile()  # noqa: SIM115  # as long as this lives
        weakref.finalize(self, copy.close)
        for at in range(start, end, _CACHED_AT_ONCE):
            copy.write(self._fetch(at, min(end, at + _CACHED_AT_ONCE)))
        copy.flush()
        self._cached, self._copy = (start, end), copy

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_copy": None}

    def read(self, start: int, size: int) -> bytes:
        first, last = self._cached
        if first <= start and start + size <= last:
            if self._copy is None:  # in another process
                self.cache(first, last)
            assert self._copy is not None
            return read_at(self._copy, start - first, size)
        return self._fetch(start, start + size) if size else b""

    def _fetch(self, start: int, end: int) -> bytes:
        try:
            return self._store.read(self._path, start, end)
        except StoreError:
            raise
        except MissingFileError as error:
            self._gone(error)
            raise

    def prefetch(
        self, entries: Iterable[Entry], ranges_of: Callable[[str], list[tuple[int, int]]]
    ) -> Iterator[Entry]:
        return self._store.prefetch(
            entries, lambda i: [(self._path, start, end) for start, end in ranges_of(i)]
        )

    def stream(self, at_once: int) -> io.BufferedReader:
        """Return the file as Python has files, which fetches so many bytes at least."""
        return io.BufferedReader(_Stream(self), at_once)


class _Stream(io.RawIOBase):
    def __init__(self, file: RemoteFile) -> None:
        self._file = file
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._file.size}[whence]
        self._at = max(0, begin + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        size = max(0, min(len(buffer), self._file.size - self._at))
        buffer[:size] = self._file.read(self._at, size)
        self._at += size
        return size


def find_file(store: Store, path: str) -> RemoteFile:
    """Return the file at a path of a store. Raises SegmaskImportError where there is none."""
    info = store.info(path, "learn its size")
    if info is None:
        raise unreadable("there is no such file", store.place_of(path))
    if info.get("size") is None:
        raise ArchiveError(
            "the server does not say how long the file is, perhaps because it compresses "
            "it (Content-Encoding: gzip)",
            store.place_of(path),
            "a server that sends zips as they are, and answers range requests",
            "download the file, and give its path",
        )
    return RemoteFile(store, path, info["size"])


def files_at(url: str, suffix: str) -> list[RemoteFile]:
    """Return the file at a URL, or the files of this suffix in the folder there, by name.

    Hidden ones, whose names begin with ``.`` or ``_``, are left out. Raises SegmaskImportError.
    """
    store = Store(url)
    path = store.root.rstrip("/")
    is_named = path.partition("?")[0].endswith(suffix)
    entries = [] if is_named else store.entries(path, "list it")
    found = [e["name"] for e in entries if e["type"] == "file"]
    found = [p for p in found if p.endswith(suffix) and p.rpartition("/")[2][0] not in "._"]
    if not found:
        info = store.info(path)
        found = [path] if info is not None and info["type"] == "file" else []
    return [find_file(store, path) for path in sorted(found)]


def has_pattern(url: str) -> bool:
    """Return whether a URL is a pattern: with ``*``, ``?``, ``[…]``, ``**`` as `glob` has them.

    The question mark of a query is none.
    """
    return glob.has_magic(without_query(url).partition("://")[2])


def matching(url: str) -> list[str]:
    """Return the URLs of what a pattern fits. Raises SegmaskImportError.

    fsspec's own ``glob`` leaves out what it cannot list, so folders are listed one by one here.
    """
    store = Store(url)
    is_web = store.root.startswith(("http://", "https://"))
    begin, *parts = store.root.split("/")
    level = [begin]
    for number, part in enumerate(parts, 1):
        if not glob.has_magic(part):
            level = [f"{path}/{part}" for path in level]
        elif part == "**":
            level = _with_all_below(store, level)
        else:
            names = [entry["name"].rstrip("/") for path in level for entry in store.entries(path)]
            level = [name for name in names if _fits(name, part, is_web)]
        if number == len(parts):
            level = [p for p in level if store.info(p)]
    return store.ask("name it", store.root, partial(_urls, level)) or []


def _fits(path: str, part: str, is_web: bool) -> bool:
    name = path.rpartition("/")[2]
    name = unquote(name) if is_web else name
    return fnmatchcase(name, part) and (part.startswith(".") or not name.startswith("."))


def _with_all_below(store: Store, level: list[str]) -> list[str]:
    found: list[str] = []
    while level:
        found += level
        entries = [entry for path in level for entry in store.entries(path)]
        level = [e["name"].rstrip("/") for e in entries if e["type"] == "directory"]
    return found


def _urls(paths: list[str], system: Any) -> list[str]:
    return [system.unstrip_protocol(path) for path in paths]
