"""An archive inside a zip: what a zip must be like to be read, and how it is read in place."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from typing import Any

from . import layout
from .errors import ArchiveError
from .storage import MAX_FILE_BYTES, too_large, unreadable

MAX_ZIP_ENTRIES = 1 << 23  # twice what a million items with images have

_SHOWN = 200  # characters of what others say

_COPY = "copy or export the archive again, it is damaged"


def read_directory(path: str) -> dict[str, zipfile.ZipInfo]:
    """Return the files of a zip by their names, after checking the names and the flags."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except OSError as error:
        raise unreadable(error.strerror or str(error), path) from error
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
            raise too_large(limit, self.place(name))
        return self.head(name, limit)  # zipfile stops at the size that the zip declares

    def head(self, name: str, size: int) -> bytes:
        entry = self._directory.get(self._root + name)
        if entry is None:
            raise unreadable("no such file", self.place(name))
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
                raise unreadable(str(error), self._path) from error
        return self._archive

    def files(self, folder: str) -> Iterator[str]:
        begin = f"{self._root}{folder}/"
        for name in self._directory:
            if name.startswith(begin):
                yield name.removeprefix(self._root)


def _short(error: Exception) -> str:
    """Return the text of an error, which may quote a name of 65,535 bytes."""
    return str(error)[:_SHOWN]
