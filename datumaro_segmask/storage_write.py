"""A folder or a zip to write to: files appear whole, and what is unfinished says so.

A mask is written under another name beside its place and then renamed, which no reader can catch
half way. A folder carries a marker from the first file to the last, and the reader refuses a
folder with that marker; a zip has its name only when it is whole.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from . import layout
from .errors import SegmaskExportError

_MARKER_TEXT = (
    "An export into this folder has begun and not finished, so its masks, lists and label map may "
    "not belong together.\nExport again. This file goes away when an export finishes.\n"
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
        """Leave what is written as it is, unfinished; of a zip, leave nothing."""


class FolderSink:
    """Writes an archive into a folder, which is made if it is not there."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._real_root = os.path.realpath(root)
        self._safe_folders: set[str] = set()
        self._write(layout.UNFINISHED, [_MARKER_TEXT.encode()])

    def put(self, name: str, data: bytes) -> None:
        self._write(name, [data])

    def discard(self, name: str) -> None:
        Path(self._path(name)).unlink(missing_ok=True)

    def finish(self, texts: dict[str, Iterable[str]]) -> None:
        for name in self._old_lists():
            if name not in texts:
                self.discard(name)
        for name, lines in texts.items():
            self._write(name, (f"{line}\n".encode() for line in lines))
        self.discard(layout.UNFINISHED)

    def abandon(self) -> None:
        """Do nothing: the marker stays and says what the folder is."""

    def _old_lists(self) -> list[str]:
        folder = Path(self._path(layout.SUBSETS))
        return [f"{layout.SUBSETS}/{path.name}" for path in folder.glob(f"*{layout.LIST_SUFFIX}")]

    def _path(self, name: str) -> str:
        return os.path.join(self._root, *name.split("/"))

    def _write(self, name: str, parts: Iterable[bytes]) -> None:
        path = self._path(name)
        folder = os.path.dirname(path)
        if folder not in self._safe_folders:
            os.makedirs(folder, exist_ok=True)
            self._check_inside(folder)
            self._safe_folders.add(folder)
        # A name of its own for each process, and short: the place may use up the 255 bytes.
        part = os.path.join(folder, f".segmask-{os.getpid()}.part")
        try:
            with Path(part).open("wb") as file:
                for data in parts:
                    file.write(data)
            os.replace(part, path)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise

    def _check_inside(self, folder: str) -> None:
        real = os.path.realpath(folder)
        if real != self._real_root and not real.startswith(os.path.join(self._real_root, "")):
            raise SegmaskExportError(
                f"the folder is a link that leads out of the dataset, to {real}",
                folder,
                "folders below the folder of the export",
                "remove the link, or export into another folder",
            )


class ZipSink:
    """Writes an archive into a zip, which gets its name when it is finished."""

    def __init__(self, path: str) -> None:
        self._path = path
        folder, name = os.path.split(os.path.abspath(path))
        os.makedirs(folder, exist_ok=True)
        self._part = os.path.join(folder, f".{name}.{os.getpid()}.part")
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
        os.replace(self._part, self._path)

    def abandon(self) -> None:
        self._archive.close()
        Path(self._part).unlink(missing_ok=True)
