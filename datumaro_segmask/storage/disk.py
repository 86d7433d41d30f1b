"""Files and folders on the disk: what is touched there is neither a link nor a pipe.

Of a `Tree`, each folder is entered from the one above it. Where the system has directory
descriptors, a folder that was found real is the one that files are moved in, whatever somebody
puts in its place meanwhile. Windows has none: there each folder on the way is looked at first.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import IO

_BY_DESCRIPTOR = os.name != "nt"
_FOLDER = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | os.O_RDONLY
_FILE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | os.O_RDONLY
_MOST_OPEN = 16  # folders; a step of a journal is in four


class Tree:
    """The files below ``root``, a real path; names are relative to it, with ``/``.

    Every method raises NotADirectoryError where a folder on the way is a link or no folder.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self._open: dict[str, int] = {}

    def __enter__(self) -> Tree:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._close()

    def status(self, name: str) -> os.stat_result | None:
        """Return what the system says of a file, folder or link itself, None where is none."""
        self._make_room()
        try:
            path, folder = self._reach(name)
            return os.stat(path, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def exists(self, name: str) -> bool:
        """Return whether anything has this name."""
        return self.status(name) is not None

    def open(self, name: str) -> IO[str]:
        """Open a plain file to read text in UTF-8; a link or a pipe raises NotADirectoryError."""
        status = self.status(name)
        if status is not None and (is_link(status) or not stat.S_ISREG(status.st_mode)):
            raise _not_real(name)
        path, folder = self._reach(name)
        descriptor = os.open(path, _FILE, dir_fd=folder)  # waits for no pipe that came since
        return open(descriptor, encoding="utf-8")

    def move(self, source: str, target: str) -> None:
        """Give a file or folder another name; there is nothing of that name yet."""
        self._make_room()
        is_folder = stat.S_ISDIR(getattr(self.status(source), "st_mode", 0))
        old, old_folder = self._reach(source)
        new, new_folder = self._reach(target)
        os.rename(old, new, src_dir_fd=old_folder, dst_dir_fd=new_folder)
        if is_folder:
            self._close()  # what is open below it has another name now

    def make(self, folder: str) -> None:
        """Make a folder, and those above it, where they are not there yet."""
        self._make_room()
        parts = folder.split("/")
        for end in range(1, len(parts) + 1):
            path, above = self._reach("/".join(parts[:end]))
            with suppress(FileExistsError):
                os.mkdir(path, dir_fd=above)

    def remove(self, name: str) -> None:
        """Remove a file."""
        self._make_room()
        path, folder = self._reach(name)
        os.unlink(path, dir_fd=folder)

    def flush(self, folder: str) -> None:
        """Wait until the names in a folder are on the disk."""
        if _BY_DESCRIPTOR:  # Windows cannot open a folder, and keeps the order of its changes
            self._make_room()
            os.fsync(self._descriptor(folder))

    def below(self, folder: str) -> Iterator[tuple[str, os.stat_result]]:
        """Yield all that is below a folder, and what the system says of it; follow no link."""
        waiting = [folder]
        while waiting:
            folder = waiting.pop()
            self._make_room()
            where = self._descriptor(folder) if _BY_DESCRIPTOR else self._checked(folder)
            with os.scandir(where) as found:
                entries = [(entry.name, entry.stat(follow_symlinks=False)) for entry in found]
            for entry, status in entries:
                name = f"{folder}/{entry}"
                yield name, status
                if stat.S_ISDIR(status.st_mode) and not is_link(status):
                    waiting.append(name)

    def _reach(self, name: str) -> tuple[str, int | None]:
        """Return how a system call reaches a name: a path, and the folder that it begins in."""
        folder, _, last = name.rpartition("/")
        if _BY_DESCRIPTOR:
            return last, self._descriptor(folder)
        return os.path.join(self._checked(folder), last), None

    def _descriptor(self, folder: str) -> int:
        if folder in self._open:
            return self._open[folder]
        at = os.open(self.root, _FOLDER)
        for part in folder.split("/") if folder else ():
            above = at
            try:
                at = os.open(part, _FOLDER, dir_fd=above)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.EMLINK):  # not all systems say ENOTDIR
                    raise _not_real(folder) from error
                raise
            finally:
                os.close(above)
        self._open[folder] = at
        return at

    def _checked(self, folder: str) -> str:
        path = self.root
        for part in folder.split("/") if folder else ():
            path = os.path.join(path, part)
            status = os.lstat(path)
            if is_link(status) or not stat.S_ISDIR(status.st_mode):
                raise _not_real(folder)
        return path

    def _make_room(self) -> None:
        if len(self._open) > _MOST_OPEN:
            self._close()

    def _close(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()


def _not_real(name: str) -> NotADirectoryError:
    return NotADirectoryError(errno.ENOTDIR, "a link, or of another kind", name)


def is_link(status: os.stat_result) -> bool:
    """Return whether what the system says is of a link, or of what Windows has for one."""
    tags = (getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", 0xA0000003), 0xA000000C)
    return stat.S_ISLNK(status.st_mode) or getattr(status, "st_reparse_tag", 0) in tags


_PLAIN = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def open_plain(path: str) -> IO[bytes]:
    """Open a plain file, or a link to one, to read it; raises OSError for all else."""
    descriptor = os.open(path, _PLAIN)  # waits for no pipe
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a file", path)
    return open(descriptor, "rb")


def at(*parts: str) -> str:
    """Join paths, the last of which is a place in an archive."""
    return os.path.join(*parts[:-1], *parts[-1].split("/"))


def is_inside(path: str, root: str) -> bool:
    """Return whether a real path is ``root``, a real path too, or lies below it."""
    return path == root or path.startswith(os.path.join(root, ""))


def entries(folder: str) -> Iterator[os.DirEntry[str]]:
    """Yield what a folder holds, one by one: there may be a million."""
    with os.scandir(folder) as found:
        yield from found


def flush_folder(path: str) -> None:
    """Wait until the names in a folder are on the disk."""
    if os.name == "nt":  # which cannot open a folder, and keeps the order of its changes
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
