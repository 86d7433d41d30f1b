"""An archive inside a zip: what a zip must be like to be read, and how it is read in place."""

from __future__ import annotations

import os
import weakref
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from ..errors import ArchiveError, SegmaskImportError
from . import layout
from .read import MAX_FILE_BYTES, too_large, unreadable

MAX_ZIP_ENTRIES = 1 << 23  # twice what a million items with images have

_SHOWN = 200  # characters of what others say

_COPY = "copy or export the archive again, it is damaged"


def open_zip(path: str) -> zipfile.ZipFile:
    """Open a zip, which reads its directory; raises ArchiveError or MissingFileError."""
    try:
        return zipfile.ZipFile(path)
    except OSError as error:
        raise unreadable(error.strerror or str(error), path) from error
    except (zipfile.BadZipFile, ValueError, NotImplementedError, UnicodeDecodeError) as error:
        raise ArchiveError(
            f"the zip cannot be read ({_short(error)})", path, "a sound zip", _COPY
        ) from error


def read_directory(archive: zipfile.ZipFile, path: str) -> dict[str, zipfile.ZipInfo]:
    """Return the files of a zip by their names, after checking the names and the flags."""
    entries = archive.infolist()
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
        if layout.is_journal(name):
            raise ArchiveError(
                "the zip was made of a folder in which an export was cut short",
                f"{path}: {name}",
                "the zip of a finished export",
                "unpack it, run 'datumaro-segmask recover' on the folder, and pack that",
            )
        if name.endswith("/") or layout.is_litter(name):
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
    """An archive inside a zip, read in place: nothing is unpacked to the disk.

    ``directory`` is that of ``archive``, the zip at ``path``, and ``root`` where the layout begins.
    """

    def __init__(
        self,
        path: str,
        root: str,
        directory: dict[str, zipfile.ZipInfo],
        archive: zipfile.ZipFile,
    ) -> None:
        self._path = path
        self._root = root
        self._directory = directory
        self._keep(archive)

    def _keep(self, archive: zipfile.ZipFile) -> zipfile.ZipFile:
        self._archive: zipfile.ZipFile | None = archive
        self._process = os.getpid()  # that opened it
        weakref.finalize(self, archive.close)
        return archive

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_archive": None}

    def place(self, name: str = "") -> str:
        return f"{self._path}: {self._root}{name}" if name else self._path

    def path(self, name: str) -> None:
        return None

    def exists(self, name: str) -> bool:
        return self._root + name in self._directory

    def read(self, name: str, limit: int = MAX_FILE_BYTES) -> bytes:
        with self.open(name, limit) as file:
            return file.read()  # zipfile stops at the size that the zip declares

    @contextmanager
    def open(self, name: str, limit: int | None = None) -> Iterator[IO[bytes]]:
        entry = self._directory.get(self._root + name)
        if entry is None:
            raise unreadable("no such file", self.place(name))
        if limit is not None and entry.file_size > limit:  # need not be inflated to be refused
            raise too_large(limit, self.place(name))
        archive = self._open()
        try:
            with archive.open(entry) as file:
                yield file
        except SegmaskImportError:  # of who reads it
            raise
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
            return self._keep(open_zip(self._path))
        return self._archive

    def files(self, folder: str) -> Iterator[str]:
        begin = f"{self._root}{folder}/"
        for name in self._directory:
            if name.startswith(begin):
                yield name.removeprefix(self._root)


def _short(error: Exception) -> str:
    """Return the text of an error, which may quote a name of 65,535 bytes."""
    return str(error)[:_SHOWN]
