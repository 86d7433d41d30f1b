"""What an archive is read from, and the folder as one; the zip is in `storage_zip`.

Both give out the files of one archive by their places relative to its root, with ``/`` between
folders (see `layout`), and both can be pickled: a worker process opens its own.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import IO, Protocol

from ..errors import ArchiveError, MissingFileError, UnsafePathError
from . import layout

MAX_FILE_BYTES = 1 << 28
"""The largest file read at once: 256 MiB; a mask of a billion pixels takes a few."""


class Storage(Protocol):
    """What an archive is read from."""

    def place(self, name: str = "") -> str:
        """Return how to call a file in a message: its path, or the zip's and the name in it."""

    def exists(self, name: str) -> bool:
        """Tell whether there is a file of this name."""

    def read(self, name: str, limit: int = MAX_FILE_BYTES) -> bytes:
        """Return the content of a file of at most ``limit`` bytes.

        Raises MissingFileError, UnsafePathError or ArchiveError.
        """

    def open(self, name: str, limit: int | None = None) -> AbstractContextManager[IO[bytes]]:
        """Open a file of at most ``limit`` bytes; what goes wrong is raised as `read` does."""

    def files(self, folder: str) -> Iterator[str]:
        """Yield the files below a folder, relative to the root, but for the litter of systems."""

    def path(self, name: str) -> str | None:
        """Return the path of a file on the disk, None inside a zip."""


class FolderStorage:
    """An archive that lies in a folder."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._start = os.path.join(root, "")
        self._real_root = os.path.realpath(root)
        self._inside: dict[str, bool] = {}  # folder -> whether it really lies below the root
        # An archive without images is asked for thirty names an item; this answers them all.
        try:
            self._top = {entry.casefold() for entry in os.listdir(root)}
        except OSError as error:
            raise unreadable(error.strerror or str(error), root) from error

    def place(self, name: str = "") -> str:
        return self._start + name if name else self._root

    def path(self, name: str) -> str:
        return self._start + name.replace("/", os.sep)

    def exists(self, name: str) -> bool:
        if name.partition("/")[0].casefold() not in self._top:
            return False
        return os.path.isfile(self.path(name))

    def read(self, name: str, limit: int = MAX_FILE_BYTES) -> bytes:
        try:
            with self._open(name, limit, buffering=0) as file:
                return file.read()
        except OSError as error:
            raise unreadable(error.strerror or str(error), self.place(name)) from error

    @contextmanager
    def open(self, name: str, limit: int | None = None) -> Iterator[IO[bytes]]:
        try:
            with self._open(name, limit) as file:
                yield file
        except OSError as error:
            raise unreadable(error.strerror or str(error), self.place(name)) from error

    def _open(self, name: str, limit: int | None, buffering: int = -1) -> IO[bytes]:
        path = self.path(name)
        status = os.lstat(path)
        is_link = stat.S_ISLNK(status.st_mode)
        self._check_links(path, is_link)
        if is_link:
            status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # to open a pipe is to wait for it
            raise unreadable("it is no file", self.place(name))
        if limit is not None and status.st_size > limit:
            raise too_large(limit, self.place(name))
        return open(path, "rb", buffering)

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
        real = os.path.realpath(path)
        return real == self._real_root or real.startswith(os.path.join(self._real_root, ""))


def too_large(limit: int, place: str) -> ArchiveError:
    """Make the error for a file that is not read because of its size."""
    return ArchiveError(
        f"the file has more than {limit:,} bytes",
        place,
        f"at most {limit:,}",
        "check that it is what its name says",
    )


def unreadable(why: str, place: str) -> MissingFileError:
    """Make the error for a file that is not there, or may not be read."""
    return MissingFileError(
        f"the file cannot be read ({why})",
        place,
        "a file that this user may read",
        "check the path and the permissions",
    )
