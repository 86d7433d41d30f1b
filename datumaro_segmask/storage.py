"""A folder or a zip to read from. With `storage_write`, all that touches the disk.

Both kinds give out the files of one archive by their places relative to its root, with ``/``
between folders (see `layout`), and both can be pickled: a worker process opens its own.
"""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, Protocol

from . import layout
from .errors import ArchiveError, MissingFileError, SegmaskImportError, UnsafePathError

MAX_FILE_BYTES = 1 << 28
"""The largest file read at once: 256 MiB; a mask of a billion pixels takes a few."""
MAX_ZIP_ENTRIES = 1 << 23  # twice what a million items with images have
MAX_DEPTH = 2  # folders between the given path and the root of the archive

_SHOWN = 200  # characters of what others say

_COPY = "copy or export the archive again, it is damaged"


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

    def head(self, name: str, size: int) -> bytes:
        """Return the first ``size`` bytes of a file, or all if it has fewer; raises as `read`."""

    def files(self, folder: str) -> Iterator[str]:
        """Yield the files below a folder, relative to the root, but for the litter of systems."""

    def path(self, name: str) -> str | None:
        """Return the path of a file on the disk, None inside a zip."""


def open_storage(path: str) -> Storage:
    """Open the archive at ``path``: a folder, or a zip, or a folder that holds nothing but a zip.

    The root may lie up to two folders down. Raises ArchiveError where there is none, or more
    than one, or where an export was cut short.
    """
    if os.path.isfile(path):
        return _open_zip(path)
    roots = folder_roots(path)
    lone = None if roots else lone_zip(path)
    if lone is not None:
        return _open_zip(lone)
    if not roots and os.path.isdir(os.path.join(path, layout.STAGING)):
        raise _unfinished(os.path.join(path, layout.STAGING))
    root = _only_root(roots, path)
    if os.path.exists(os.path.join(root, layout.UNFINISHED)):
        raise _unfinished(os.path.join(root, layout.UNFINISHED))
    return FolderStorage(root)


def _unfinished(place: str) -> ArchiveError:
    return ArchiveError(
        "an export into this folder was cut short, so it may mix old and new masks",
        place,
        "a finished export",
        "export again; if the folder is what you want all the same, remove this entry",
    )


def folder_roots(path: str) -> list[str]:
    """Return the folders, up to two down from ``path``, where an archive's layout begins."""
    marks = [layout.SUBSETS, layout.CLASS_MASKS, layout.INSTANCE_MASKS]
    level = [path]
    for _ in range(MAX_DEPTH + 1):
        found = [f for f in level if any(os.path.isdir(os.path.join(f, mark)) for mark in marks)]
        if found:
            return found
        level = [sub for folder in level for sub in _folders_in(folder)]
    return []


def _folders_in(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            folders = [entry.path for entry in entries if entry.is_dir()]
    except OSError:  # one that may not be read has no archive to offer
        return []
    return sorted(f for f in folders if not layout.is_stranger(os.path.basename(f)))


def lone_zip(folder: str) -> str | None:
    """Return the path of the only zip in a folder, None where there is none or more than one."""
    try:
        with os.scandir(folder) as entries:
            zips = [e for e in entries if e.name.lower().endswith(".zip") and e.is_file()]
    except OSError:
        return None
    paths = [entry.path for entry in zips if not layout.is_stranger(entry.name)]
    return paths[0] if len(paths) == 1 else None


def _only_root(roots: list[str], where: str) -> str:
    if not roots:
        raise ArchiveError(
            "no archive of segmentation masks is here",
            where,
            f"the folders {layout.CLASS_MASKS} and {layout.SUBSETS}, here or up to {MAX_DEPTH} "
            "folders down",
            "check the path, and that CVAT exported 'Segmentation mask 1.1'",
        )
    if len(roots) > 1:
        shown = ", ".join(repr(root.rstrip("/")) for root in roots[:5])
        raise ArchiveError(
            f"{len(roots)} archives lie side by side ({shown})",
            where,
            "one archive",
            "import them one by one and join them with 'datum merge'",
        )
    return roots[0]


class FolderStorage:
    """An archive that lies in a folder."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._real_root = os.path.realpath(root)
        self._inside: dict[str, bool] = {}  # folder -> whether it really lies below the root
        # An archive without images is asked for thirty names an item; this answers them all.
        self._top = {entry.casefold() for entry in os.listdir(root)}

    def place(self, name: str = "") -> str:
        return os.path.join(self._root, name) if name else self._root

    def path(self, name: str) -> str:
        return os.path.join(self._root, *name.split("/"))

    def exists(self, name: str) -> bool:
        if name.partition("/")[0].casefold() not in self._top:
            return False
        try:
            return os.path.isfile(self.path(name))
        except ValueError:  # a NUL in the name
            return False

    def read(self, name: str, limit: int = MAX_FILE_BYTES) -> bytes:
        with self._open(name) as file:
            if os.fstat(file.fileno()).st_size > limit:
                raise _too_large(limit, self.place(name))
            return file.read()

    def head(self, name: str, size: int) -> bytes:
        with self._open(name) as file:
            return file.read(size)

    @contextmanager
    def _open(self, name: str) -> Iterator[IO[bytes]]:
        path = self.path(name)
        try:
            mode = os.lstat(path).st_mode
            self._check_links(path, stat.S_ISLNK(mode))
            if not (stat.S_ISREG(mode) or os.path.isfile(path)):  # to open a pipe is to wait for it
                raise _unreadable("it is no file", self.place(name))
            with open(path, "rb") as file:
                yield file
        except OSError as error:
            raise _unreadable(error.strerror or str(error), self.place(name)) from error

    def files(self, folder: str) -> Iterator[str]:
        top = self.path(folder)
        for directory, _, names in os.walk(top):
            below = os.path.relpath(directory, self._root).replace(os.sep, "/")
            for name in names:
                if not layout.is_stranger(f"{below}/{name}"):
                    yield f"{below}/{name}"

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


def _open_zip(path: str) -> ZipStorage:
    directory = _read_directory(path)
    return ZipStorage(path, _only_root(layout.roots_of(directory), path), directory)


def holds_archive(path: str) -> bool:
    """Tell whether an archive is at ``path``, wherever `open_storage` looks; never raises."""
    if not os.path.isfile(path):
        if folder_roots(path):
            return True
        lone = lone_zip(path)
        if lone is None:
            return False
        path = lone
    try:
        return bool(layout.roots_of(_read_directory(path)))
    except SegmaskImportError:
        return False


def _read_directory(path: str) -> dict[str, zipfile.ZipInfo]:
    """Return the files of a zip by their names, after checking the names and the flags."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except OSError as error:
        raise _unreadable(error.strerror or str(error), path) from error
    except (zipfile.BadZipFile, ValueError, NotImplementedError, UnicodeDecodeError) as error:
        raise ArchiveError(
            f"the zip cannot be read ({_short(error)})", path, "a sound zip", _COPY
        ) from error
    if len(entries) > MAX_ZIP_ENTRIES:
        raise ArchiveError(
            f"the zip has {len(entries):,} entries",
            path,
            f"at most {MAX_ZIP_ENTRIES:,}",
            "unpack it and import the folder",
        )
    directory: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        # Old Windows tools write backslashes; zipfile turns them into '/' on Windows only.
        name = entry.filename.replace("\\", "/")
        if name.endswith("/") or layout.is_stranger(name):
            continue
        layout.check_name(name, path)
        if name in directory:
            raise ArchiveError(
                f"the zip holds {name!r} twice", path, "each file once", "pack the archive again"
            )
        if entry.flag_bits & 1:
            raise ArchiveError(
                f"{name!r} in the zip is encrypted",
                path,
                "files that can be read without a password",
                "unpack it with the password and import the folder",
            )
        directory[name] = entry
    return directory


class ZipStorage:
    """An archive inside a zip, read in place: nothing is unpacked to the disk."""

    def __init__(self, path: str, root: str, directory: dict[str, zipfile.ZipInfo]) -> None:
        self._path = path
        self._root = root
        self._directory = directory
        self._archive: zipfile.ZipFile | None = None
        self._process = 0  # that opened it

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_archive": None}

    def place(self, name: str = "") -> str:
        return f"{self._path}: {self._root}{name}" if name else self._path

    def path(self, name: str) -> None:
        return None

    def exists(self, name: str) -> bool:
        return self._root + name in self._directory

    def read(self, name: str, limit: int = MAX_FILE_BYTES) -> bytes:
        entry = self._directory.get(self._root + name)
        if entry is not None and entry.file_size > limit:  # need not be inflated to be refused
            raise _too_large(limit, self.place(name))
        return self.head(name, limit)  # zipfile stops at the size that the zip declares

    def head(self, name: str, size: int) -> bytes:
        entry = self._directory.get(self._root + name)
        if entry is None:
            raise _unreadable("no such file", self.place(name))
        archive = self._open()
        try:
            with archive.open(entry) as file:
                return file.read(size)
        except Exception as error:  # zlib.error, LZMAError, OSError of bzip2, BadZipFile, EOFError
            raise ArchiveError(
                f"the file is damaged inside the zip ({_short(error)})",
                self.place(name),
                "a sound zip",
                _COPY,
            ) from error

    def _open(self) -> zipfile.ZipFile:
        # A forked process shares the place that its parent reads at, so it opens the zip anew.
        if self._archive is None or self._process != os.getpid():
            try:
                self._archive, self._process = zipfile.ZipFile(self._path), os.getpid()
            except (OSError, zipfile.BadZipFile) as error:  # it was sound when it was listed
                raise _unreadable(str(error), self._path) from error
        return self._archive

    def files(self, folder: str) -> Iterator[str]:
        begin = f"{self._root}{folder}/"
        for name in self._directory:
            if name.startswith(begin):
                yield name.removeprefix(self._root)


def _short(error: Exception) -> str:
    """Return the text of an error, which may quote a name of 65,535 bytes."""
    return str(error)[:_SHOWN]


def _too_large(limit: int, place: str) -> ArchiveError:
    return ArchiveError(
        f"the file has more than {limit:,} bytes",
        place,
        f"at most {limit:,}",
        "check that it is what its name says",
    )


def _unreadable(why: str, place: str) -> MissingFileError:
    return MissingFileError(
        f"the file cannot be read ({why})",
        place,
        "a file that this user may read",
        "check the path and the permissions",
    )
