"""What an archive is read from, and the folder as one; `zip` and `remote` have the others.

All give out the files of one archive by their places relative to its root, with ``/`` between
folders (see `layout`), and all can be pickled: a worker process opens its own.
"""

from __future__ import annotations

import io
import os
import stat
import threading
from abc import ABC, abstractmethod
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from functools import cached_property
from typing import IO, Any, Literal, TypeAlias

import numpy as np

from ..errors import UnsafePathError
from . import layout
from .disk import is_inside
from .no_archive import gone, too_large, unreadable

MAX_FILE_BYTES = 1 << 28
"""The largest file read at once: 256 MiB; a mask of a billion pixels takes a few."""

_FIRST = ".jpg"
_MOST_LISTED = 1 << 20  # images whose listings are kept; those of one folder always are


Entry: TypeAlias = tuple[str, str]
"""The id of an item, and the subset that lists it."""


def image_rank(suffix: str) -> tuple[bool, int, str]:
    """Return what the suffixes of images are ordered by: of several images, the first counts."""
    small = suffix.lower()
    return suffix != small, _COMMON.get(small, len(_COMMON)), small


_COMMON = {".jpg": 0, ".png": 1, ".jpeg": 2}


class Storage(ABC):
    """What an archive is read from; a kind of storage is these four methods, and what it betters.

    ``tests/storage/contract.py`` asks of each what is said here.
    """

    @abstractmethod
    def place(self, name: str = "") -> str:
        """Return how to call a file in a message: its path, or the zip's and the name in it."""

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Return whether there is a file of this name, or what should be one: a link, a folder."""

    @abstractmethod
    def read(self, name: str, limit: int = MAX_FILE_BYTES) -> bytes:
        """Return the content of a file of at most ``limit`` bytes.

        Raises MissingFileError, UnsafePathError or ArchiveError.
        """

    @abstractmethod
    def files(self, folder: str) -> Iterator[str]:
        """Yield the files below a folder, relative to the root, but for the litter of systems."""

    def open(self, name: str, limit: int | None = None) -> AbstractContextManager[IO[bytes]]:
        """Open a file of at most ``limit`` bytes: what `read` gives, and what it raises."""
        return io.BytesIO(self.read(name, MAX_FILE_BYTES if limit is None else limit))

    def image(self, item_id: str) -> str | None:
        """Return the name of an item's image, whatever its suffix, or None."""
        return self._images.get(f"{layout.IMAGES}/{item_id}")

    @cached_property
    def _images(self) -> dict[str, str]:
        names = [layout.split_suffix(name) for name in self.files(layout.IMAGES)]
        images = [name for name in names if name[1].lower() in layout.IMAGE_SUFFIXES]
        images.sort(key=lambda name: image_rank(name[1]), reverse=True)
        return {stem: stem + suffix for stem, suffix in images}

    def other_files(self) -> Iterator[str]:
        """Yield the files that lie in none of the folders for lists, masks and images."""
        return iter(())

    def folders(self) -> list[str]:
        """Return the names of the folders at the root; those of the layout may be missing."""
        return []

    def place_above(self, name: str) -> str | None:
        """Return how to call a file one folder above the root, None where there is none."""
        return None

    def path(self, name: str) -> str | None:
        """Return the path of a file on the disk, None where it has none."""
        return None

    def prefetch(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Yield entries, whose items are read next, and fetch what is far away in the meantime."""
        return iter(entries)


class FolderStorage(Storage):
    """An archive that lies in a folder."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._start = os.path.join(root, "")
        self._real_root = os.path.realpath(root)
        self._inside: dict[str, bool] = {}  # folder -> whether it really lies below the root
        self._listings: dict[str, _Listing] = {}
        try:
            self._names = frozenset(os.listdir(root))
            self._top = set(map(str.casefold, self._names))
        except OSError as error:
            raise unreadable(error.strerror or str(error), root) from error

    def place(self, name: str = "") -> str:
        return self._start + name if name else self._root

    def path(self, name: str) -> str:
        return self._start + name.replace("/", os.sep)

    def exists(self, name: str) -> bool:
        if name.partition("/")[0].casefold() not in self._top:
            return False
        # What is there but cannot be read, such as a link to nowhere, is an error, not missing.
        return os.path.lexists(self.path(name)) or self._lacks(name)

    def image(self, item_id: str) -> str | None:
        if layout.IMAGES.casefold() not in self._top:
            return None
        stem = f"{layout.IMAGES}/{item_id}"
        folder, _, name = stem.rpartition("/")
        listing = self._listings.get(folder)
        if listing is None and os.path.isfile(self.path(stem + _FIRST)):
            return stem + _FIRST  # nearly all are; one question is quicker than a listing
        # Else one question tells that the listing still holds, and the listing all the rest.
        try:
            changed = os.stat(self.path(folder)).st_mtime_ns
        except OSError:
            self._lacks(folder)
            return None
        if listing is None or listing.changed != changed:
            self._listings[folder] = listing = _Listing(self.path(folder), changed)
            self._forget_listings()
        suffix = listing.suffix(name)
        return None if suffix is None else stem + suffix

    def _lacks(self, name: str) -> Literal[False]:
        """Return False; raises StoreError if the folder of the layout is gone, too.

        Else an archive that was moved, or whose disk is gone, would have items without masks.
        """
        top = name.partition("/")[0]
        if top in self._names and not os.path.lexists(self.path(top)):
            what = "the folder was there when the archive was opened, and is gone now"
            raise gone(what, self.place(top))
        return False

    def _forget_listings(self) -> None:
        known = list(self._listings.items())  # at once, as other threads add theirs
        total = sum(len(listing) for _, listing in known)
        for folder, listing in known[:-1]:
            if total > _MOST_LISTED:
                self._listings.pop(folder, None)
                total -= len(listing)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_listings": {}}  # hashes differ from process to process

    def read(self, name: str, limit: int = MAX_FILE_BYTES) -> bytes:
        with self._open(name, limit) as file:
            try:
                return file.read()
            except OSError as error:
                raise unreadable(error.strerror or str(error), self.place(name)) from error

    def open(self, name: str, limit: int | None = None) -> AbstractContextManager[IO[bytes]]:
        place = self.place(name)

        def fail(error: Exception) -> Exception:
            return unreadable(str(error), place) if isinstance(error, OSError) else error

        return io.BufferedReader(GuardedFile(self._open(name, limit), fail))

    def _open(self, name: str, limit: int | None) -> io.FileIO:
        path = self.path(name)
        try:
            status = os.lstat(path)
            is_link = stat.S_ISLNK(status.st_mode)
            self._check_links(path, is_link)
            if is_link:
                status = os.stat(path)
            if not stat.S_ISREG(status.st_mode):  # to open a pipe is to wait for it
                raise unreadable("it is not a file", self.place(name))
            if limit is not None and status.st_size > limit:
                raise too_large(limit, self.place(name))
            return open(path, "rb", 0)
        except OSError as error:
            self._lacks(name)
            raise unreadable(error.strerror or str(error), self.place(name)) from error

    def files(self, folder: str) -> Iterator[str]:
        folders = [folder]
        while folders:
            below = folders.pop()
            try:
                entries = os.scandir(self.path(below))
            except OSError:  # not there, or not to be read
                continue
            with entries:
                for entry in entries:  # one by one: there may be a million
                    name = f"{below}/{entry.name}"
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(name)
                    elif layout.is_litter(name) or (
                        entry.is_symlink() and os.path.isdir(entry.path)  # may lead in circles
                    ):
                        continue
                    else:
                        yield name

    def folders(self) -> list[str]:
        return [name for name in sorted(self._names) if os.path.isdir(self.path(name))]

    def place_above(self, name: str) -> str | None:
        path = os.path.join(os.path.dirname(os.path.abspath(self._root)), name)
        return path if os.path.isfile(path) else None

    def other_files(self) -> Iterator[str]:
        folders = self.folders()
        yield from sorted(n for n in {*self._names} - {*folders} if not layout.is_litter(n))
        for name in folders:
            if name not in layout.FOLDERS:
                yield from (file for file in self.files(name) if not layout.is_inside_folder(file))

    def _check_links(self, path: str, is_link: bool) -> None:
        folder = os.path.dirname(path)
        inside = self._inside.get(folder)
        if inside is None:
            inside = self._inside[folder] = self._is_inside(folder)
        if not inside or (is_link and not self._is_inside(path)):
            raise UnsafePathError(
                f"the link leads out of the dataset, to {os.path.realpath(path)}",
                path,
                "files below the root of the archive",
                "replace the link by a copy of the file",
            )

    def _is_inside(self, path: str) -> bool:
        return is_inside(os.path.realpath(path), self._real_root)


class _Listing:
    """The images of one folder, without those below it: 9 bytes each."""

    def __init__(self, path: str, changed: int) -> None:
        self.changed = changed
        suffixes: dict[str, int] = {}
        hashes, codes = array("q"), bytearray()
        with os.scandir(path) as entries:
            for entry in entries:
                stem, suffix = layout.split_suffix(entry.name)
                # What cannot be read, such as a link to nowhere or a folder, is not missing.
                if suffix.lower() in layout.IMAGE_SUFFIXES:
                    hashes.append(hash(stem))
                    codes.append(suffixes.setdefault(suffix, len(suffixes)))
        ranked = sorted(suffixes, key=image_rank)
        rank_of_code = np.array([ranked.index(suffix) for suffix in suffixes], np.uint8)
        ranks = rank_of_code[np.frombuffer(codes, np.uint8)]
        order = np.lexsort((ranks, np.frombuffer(hashes, np.int64)))
        self._suffixes = ranked
        self._hashes = np.frombuffer(hashes, np.int64)[order].data
        self._ranks = ranks[order].tobytes()

    def __len__(self) -> int:
        return len(self._hashes)

    def suffix(self, stem: str) -> str | None:
        at = bisect_left(self._hashes, hash(stem))
        found = at < len(self._hashes) and self._hashes[at] == hash(stem)
        return self._suffixes[self._ranks[at]] if found else None


class GuardedFile(io.RawIOBase):
    """A file whose own errors are told as ours; those of whoever reads it pass as they are.

    ``fail`` turns an error of the file into one to raise.
    """

    def __init__(
        self, file: io.RawIOBase | io.BufferedIOBase, fail: Callable[[Exception], Exception]
    ) -> None:
        self._file = file
        self._fail = fail

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._file.read(len(buffer)) or b""
        except Exception as error:
            raise self._fail(error) from error
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


if hasattr(os, "pread"):

    def read_at(file: IO[bytes], start: int, size: int) -> bytes:
        """Read up to ``size`` bytes; threads and forked processes may do so at the same time."""
        return os.pread(file.fileno(), size, start)

else:  # Windows, which has no fork either
    _seeking = threading.Lock()

    def read_at(file: IO[bytes], start: int, size: int) -> bytes:
        """Read up to ``size`` bytes; threads may do so at the same time."""
        with _seeking:
            file.seek(start)
            return file.read(size)
