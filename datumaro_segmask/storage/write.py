"""A folder or a zip to write to: what is there stays whole until what is new is whole.

Everything goes to a place of its own first, a folder inside the target or a file beside the zip,
and is moved to its names when all is written. Only while a folder's files are being moved it
holds old and new ones; a marker stands in it then, and the reader refuses a folder with it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import IO, Protocol

from ..errors import SegmaskExportError
from . import layout

_MARKER_TEXT = (
    "An export was interrupted while it moved its files into this folder, so masks, lists and "
    "label map may not belong together.\n"
    "Export again. This file goes away when an export finishes.\n"
)
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the same dataset gives the same bytes, whenever


class Sink(Protocol):
    """What an archive is written to. Names are places in the archive, see `layout`."""

    def put(self, name: str, data: bytes) -> None:
        """Write one file, whole, over one of the same name."""

    def discard(self, name: str) -> None:
        """Remove a file that an earlier export may have left."""

    def finish(self, texts: dict[str, Iterable[str]]) -> None:
        """Write the lists and the label map, given as lines, and declare the archive finished."""

    def abandon(self) -> None:
        """Leave everything as it was before."""


class FolderSink:
    """Writes an archive into a folder, which is made if it is not there.

    Files of the folder that are neither written nor discarded stay, but for old subset lists.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._real_root = os.path.realpath(root)
        self._staging = os.path.join(root, layout.STAGING)
        self._made: set[str] = set()
        self._discarded: list[str] = []
        # One that is there is left from an export that was killed.
        shutil.rmtree(self._staging, ignore_errors=True)
        os.makedirs(self._staging)

    def put(self, name: str, data: bytes) -> None:
        with self._open(name) as file:
            file.write(data)

    def discard(self, name: str) -> None:
        if os.path.lexists(self._path(name)):
            self._discarded.append(name)

    def finish(self, texts: dict[str, Iterable[str]]) -> None:
        for name, lines in texts.items():
            with self._open(name) as file:
                file.writelines(f"{line}\n".encode() for line in lines)
        # Else a power cut could leave the names of files whose bytes never reached the disk.
        if hasattr(os, "sync"):  # all but Windows
            os.sync()
        marker = Path(self._path(layout.UNFINISHED))
        marker.write_text(_MARKER_TEXT, encoding="utf-8")
        for name in (*self._discarded, *self._old_lists()):
            Path(self._path(name)).unlink(missing_ok=True)
        # The label map and the lists are what makes an archive of the masks: they come last.
        for entry in sorted(os.listdir(self._staging), key=_rank):
            self._move(entry)
        shutil.rmtree(self._staging)
        marker.unlink()

    def abandon(self) -> None:
        shutil.rmtree(self._staging, ignore_errors=True)

    def _old_lists(self) -> list[str]:
        folder = Path(self._path(layout.SUBSETS))
        return [f"{layout.SUBSETS}/{path.name}" for path in folder.glob(f"*{layout.LIST_SUFFIX}")]

    def _path(self, name: str) -> str:
        return os.path.join(self._root, *name.split("/"))

    def _open(self, name: str) -> IO[bytes]:
        path = os.path.join(self._staging, *name.split("/"))
        folder = os.path.dirname(path)
        try:
            if folder not in self._made:
                self._check_inside(os.path.dirname(self._path(name)))
                os.makedirs(folder, exist_ok=True)
                self._made.add(folder)
            # Not by pathlib, which keeps room for the name of every file in a table of Python's.
            return open(path, "wb")
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise SegmaskExportError(
                "it needs a file where another item needs a folder, or the other way round",
                self._path(name),
                "ids such as 'a' and 'b/c', not 'a' beside 'a.png/c'",
                "rename one of the items",
            ) from error

    def _move(self, name: str) -> None:
        """Move a staged file or folder to its place; into a folder that is there, one by one."""
        source, target = os.path.join(self._staging, name), os.path.join(self._root, name)
        if not os.path.isdir(source) or not os.path.lexists(target):
            os.replace(source, target)
            return
        while entries := _some_of(source):
            for entry in entries:
                self._move(os.path.join(name, entry))
        os.rmdir(source)

    def _check_inside(self, folder: str) -> None:
        real = os.path.realpath(folder)
        if real != self._real_root and not real.startswith(os.path.join(self._real_root, "")):
            raise SegmaskExportError(
                f"the folder is a link that leads out of the dataset, to {real}",
                folder,
                "folders below the folder of the export",
                "remove the link, or export into another folder",
            )


def _some_of(folder: str) -> list[str]:
    """Return names of a folder, as many as are to be had at once: there may be millions."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in islice(entries, 1000)]


def _rank(entry: str) -> int:
    return (entry == layout.SUBSETS.split("/")[0]) + 2 * (entry == layout.LABEL_MAP)


class ZipSink:
    """Writes an archive into a zip, which gets its name when it is finished and on the disk."""

    def __init__(self, path: str) -> None:
        self._path = path
        folder, name = os.path.split(os.path.abspath(path))
        os.makedirs(folder, exist_ok=True)
        self._part = os.path.join(folder, f".{name}.part")
        self._archive = zipfile.ZipFile(self._part, "w")

    def put(self, name: str, data: bytes) -> None:
        # PNG and JPEG are compressed already.
        self._archive.writestr(zipfile.ZipInfo(name, _ZIP_DATE), data)

    def discard(self, name: str) -> None:
        """Do nothing: a zip begins empty."""

    def finish(self, texts: dict[str, Iterable[str]]) -> None:
        for name, lines in texts.items():
            entry = zipfile.ZipInfo(name, _ZIP_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            with self._archive.open(entry, "w") as file:
                for line in lines:
                    file.write(f"{line}\n".encode())
        self._archive.close()
        with open(self._part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(self._part, self._path)

    def abandon(self) -> None:
        self._archive.close()
        Path(self._part).unlink(missing_ok=True)


class SubsetLists:
    """The ids of each subset, kept on the disk while the export goes on: there may be millions."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._files: dict[str, IO[str]] = {}

    def __enter__(self) -> SubsetLists:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def add(self, subset: str, line: str) -> None:
        """Append a line to the list of a subset."""
        if subset not in self._files:
            self._files[subset] = self._open.enter_context(
                tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n")  # noqa: SIM115
            )
        self._files[subset].write(line + "\n")

    def texts(self) -> dict[str, Iterable[str]]:
        """Return the lines of each list by its place in the archive; at least one list."""
        if not self._files:
            return {layout.subset_list(layout.DEFAULT_SUBSET): []}  # what makes it an archive
        return {layout.subset_list(subset): _lines(file) for subset, file in self._files.items()}


def _lines(file: IO[str]) -> Iterator[str]:
    file.seek(0)
    return (line.removesuffix("\n") for line in file)
