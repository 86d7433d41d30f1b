"""One file far away, read in parts: a zip, a table, the head of a picture."""

from __future__ import annotations

import io
import os
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import IO, Any

from ...errors import ArchiveError, MissingFileError, StoreError
from ..no_archive import unreadable
from ..read import Entry, read_at
from .store import Store

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


def info_of(path: str, system: Any) -> dict[str, Any]:
    """Return what a file system of fsspec knows of a path: its ``name``, ``type`` and ``size``."""
    info: dict[str, Any] = system.info(path)
    return info


def list_of(path: str, system: Any) -> list[dict[str, Any]]:
    """Return what it knows of all that is right in a folder."""
    infos: list[dict[str, Any]] = system.ls(path, detail=True)
    return infos


def find_file(store: Store, path: str) -> RemoteFile:
    """Return the file at a path of a store. Raises SegmaskImportError where there is none."""
    info = store.ask("learn its size", path, partial(info_of, path))
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
    entries = () if is_named else store.ask("list it", path, partial(list_of, path))
    found = [e["name"] for e in entries or () if e["type"] == "file"]
    found = [p for p in found if p.endswith(suffix) and p.rpartition("/")[2][0] not in "._"]
    if not found:
        info = store.ask("look for it", path, partial(info_of, path))
        found = [path] if info is not None and info["type"] == "file" else []
    return [find_file(store, path) for path in sorted(found)]
