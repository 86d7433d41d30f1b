"""Archives that lie far away: ``s3://``, ``gs://``, ``https://``, ``memory://``, read in place.

One listing of each folder answers all questions for names; neighbours in a zip are fetched
together, and what is read next is fetched in the meantime (`store`).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from operator import itemgetter
from typing import IO, Any, TypeAlias
from urllib.parse import quote, unquote

from ...errors import ArchiveError, MissingFileError, StoreError
from .. import layout
from ..ids import Index
from ..no_archive import too_large, unreadable
from ..read import MAX_FILE_BYTES, Entry, Storage, image_rank
from ..zip.archive import ZipStorage
from ..zip.directory import ZipDirectory
from .file import RemoteFile, find_file
from .store import Range, Store

_HEAD = 1 << 14  # bytes of an image that most likely hold its size
_MOST_FOLDERS = 100  # that are looked into for an archive


class RemoteFolder(Storage):
    """An archive in a folder far away. Its names are listed once, and kept in 16 bytes and text."""

    def __init__(self, store: Store, root: str) -> None:
        self._store = store
        self._root = root.rstrip("/")
        self._quotes = self._root.startswith(("http://", "https://"))
        self._names = bytearray()
        self._index = Index()
        self._list()

    def _list(self) -> None:
        top = self._store.entries(self._root)
        folders = {self._name(path) for path in _folders_of(top)}
        self._folders = sorted(folders)
        for info in top:
            if info["type"] == "file":
                self._add(info)
        self._check_finished()
        near = [name for name in self._folders if layout.nearest_mask_folder(name)]
        for folder in dict.fromkeys([*layout.FOLDERS, *near]):
            if folder.partition("/")[0] not in folders:
                continue
            for info in _files_below(self._store, self._path(folder)):
                self._add(info)
        self._index.sort()

    def _check_finished(self) -> None:
        for folder in self._folders:
            if folder.startswith(layout.STAGING):
                path = self._path(folder)
                for info in self._store.entries(path):
                    if layout.is_journal(self._name(info["name"])):
                        raise ArchiveError(
                            "the folder was copied when an export into it had been cut short",
                            self._store.place_of(path),
                            "the copy of a finished export",
                            "ask whoever made it to finish the export in the folder that it was "
                            "copied from, and to copy that again",
                        )

    def _name(self, path: str) -> str:
        name = path.rstrip("/")[len(self._root) + 1 :]
        return unquote(name) if self._quotes else name

    def _path(self, name: str) -> str:
        return f"{self._root}/{quote(name) if self._quotes else name}"

    def _add(self, info: dict[str, Any]) -> None:
        name, size = self._name(info["name"]), info.get("size")
        if not name or info["name"].endswith("/") or layout.is_litter(name):
            return
        layout.check_name(name, self._store.place_of(self._root))
        place = len(self._names)
        self._names += f"{-1 if size is None else size} {name}\n".encode()
        self._index.add(name, place)
        stem, suffix = layout.split_suffix(name)
        if name.startswith(f"{layout.IMAGES}/") and suffix.lower() in layout.IMAGE_SUFFIXES:
            self._index.add(stem, place)

    def _entry(self, place: int) -> tuple[str, int]:
        size, _, name = self._names[place : self._names.index(b"\n", place)].partition(b" ")
        return name.decode(), int(size)

    def _size(self, name: str) -> int | None:
        """Return the bytes of a file, -1 where that is not known, None where there is none."""
        found = (self._entry(place) for place in self._index.places(name))
        return next((size for known, size in found if known == name), None)

    def place(self, name: str = "") -> str:
        return self._store.place_of(f"{self._root}/{name}" if name else self._root)

    def exists(self, name: str) -> bool:
        return self._size(name) is not None

    def image(self, item_id: str) -> str | None:
        stem = f"{layout.IMAGES}/{item_id}"
        found = [layout.split_suffix(self._entry(p)[0]) for p in self._index.places(stem)]
        suffixes = [suffix for known, suffix in found if known == stem and suffix]
        return stem + min(suffixes, key=image_rank) if suffixes else None

    def _checked_size(self, name: str, limit: int | None) -> int:
        size = self._size(name)
        if size is None:
            raise unreadable("no such file", self.place(name))
        if limit is not None and size > limit:
            raise too_large(limit, self.place(name))
        return size

    def read(self, name: str, limit: int = MAX_FILE_BYTES) -> bytes:
        size = self._checked_size(name, limit)
        if not size:
            return b""
        try:
            data = self._store.read(self._path(name), 0, size)
        except StoreError:
            raise
        except MissingFileError as error:
            self._check_there(name, error)
            raise
        if len(data) > limit:
            raise too_large(limit, self.place(name))
        return data

    def _check_there(self, name: str, error: MissingFileError) -> None:
        """Raise StoreError if not only this file is gone, but the folder of the layout, too."""
        top = self._path(name.partition("/")[0])
        if self._store.info(top) is None:
            raise StoreError(*error.args) from error

    def open(self, name: str, limit: int | None = None) -> AbstractContextManager[IO[bytes]]:
        size = self._checked_size(name, limit)
        if size < 0:
            return io.BytesIO(self.read(name, limit or MAX_FILE_BYTES))
        file = RemoteFile(self._store, self._path(name), size, partial(self._check_there, name))
        return file.stream(_HEAD)

    def files(self, folder: str) -> Iterator[str]:
        return (name for name in self._all_names() if name.startswith(f"{folder}/"))

    def _all_names(self) -> Iterator[str]:
        at = 0
        while at < len(self._names):
            end = self._names.index(b"\n", at)
            yield self._names[at:end].partition(b" ")[2].decode()
            at = end + 1

    def folders(self) -> list[str]:
        return self._folders

    def place_above(self, name: str) -> str | None:
        if self._root == self._store.root.rstrip("/"):  # what is above was not given to us
            return None
        path = f"{self._root.rpartition('/')[0]}/{name}"
        found = self._store.info(path)
        return None if found is None else self._store.place_of(path)

    def other_files(self) -> Iterator[str]:
        return (name for name in self._all_names() if not layout.is_inside_folder(name))

    def prefetch(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        return self._store.prefetch(entries, self._ranges_of)

    def _ranges_of(self, item_id: str) -> list[Range]:
        masks = [(layout.class_mask(item_id), MAX_FILE_BYTES)]
        masks.append((layout.instance_mask(item_id), MAX_FILE_BYTES))
        image = self.image(item_id)
        ranges = []
        for name, most in [*masks, *([(image, _HEAD)] if image else [])]:
            size = self._size(name)
            if size:
                ranges.append((self._path(name), 0, min(size, most)))
        return ranges


def _files_below(store: Store, path: str) -> Iterator[dict[str, Any]]:
    """Yield what is known of each file below a folder, by name; nothing if it is not there.

    fsspec's own ``find`` leaves out what it cannot list, so folders are listed one by one here,
    but for stores that list all of it at once.
    """
    found = store.ask("list", path, partial(_find_at_once, path))
    if isinstance(found, dict):
        infos = [info for info in found.values() if info.get("type") == "file"]
    else:
        infos, folders, seen = [], [path], set[str]()
        while folders:
            folder = folders.pop()
            entries = store.entries(folder, must_be_there=folder != path)
            infos += [info for info in entries if info["type"] == "file"]
            seen.add(folder)
            folders += [below for below in _folders_of(entries) if below not in seen]
    yield from sorted(infos, key=itemgetter("name"))


def _find_at_once(path: str, system: Any) -> Any:
    from fsspec.asyn import AsyncFileSystem
    from fsspec.spec import AbstractFileSystem

    own = getattr(type(system), "_find" if system.async_impl else "find")
    if own in (AsyncFileSystem._find, AbstractFileSystem.find):
        return None
    return system.find(path, detail=True)


OnlyRoot: TypeAlias = Callable[[list[str], str, Iterable[str], bool], str]
"""Chooses the root of those that are found at a place, or raises by the names of the files there,
and whether they are in a zip."""


def open_remote(url: str, only_root: OnlyRoot) -> Storage:
    """Open the archive at a URL: a folder, a zip, or a folder that holds nothing but a zip.

    Raises SegmaskImportError.
    """
    store = Store(url)
    path = store.root.rstrip("/")
    if path.partition("?")[0].lower().endswith(".zip"):
        return _open_zip(store, path, only_root)
    roots, names = _look_around(store, path)
    zips = [name for name in names if name.lower().endswith(".zip") and "/" not in name]
    if not roots and len(zips) == 1:
        return _open_zip(store, f"{path}/{zips[0]}", only_root)
    found = None if roots else store.info(path)
    if found is not None and found["type"] == "file":
        return _open_zip(store, path, only_root)
    return RemoteFolder(store, only_root(roots, store.place, names, False))


def _open_zip(store: Store, path: str, only_root: OnlyRoot) -> Storage:
    file = find_file(store, path)
    directory = ZipDirectory(file)
    names = directory.names("")
    return ZipStorage(file, directory, only_root(directory.roots, file.place, names, True))


def _folders_of(entries: Iterable[dict[str, Any]]) -> list[str]:
    return [entry["name"].rstrip("/") for entry in entries if entry["type"] == "directory"]


def _has(store: Store, folders: Iterable[str], mark: str) -> bool:
    """Return whether a mark of a root is one of these folders, or below one of them."""
    head, _, rest = mark.partition("/")
    for folder in folders:
        if folder.rpartition("/")[2] == head:
            return not rest or _has(store, _folders_of(store.entries(folder)), rest)
    return False


def _look_around(store: Store, path: str) -> tuple[list[str], list[str]]:
    """Return the folders where a layout begins, the highest there are.

    Also returns the files that were seen, relative to ``path``.
    """
    level, names = [path], []
    for _ in range(layout.MAX_DEPTH + 1):
        found, below = [], []
        for folder in level[:_MOST_FOLDERS]:
            entries = store.entries(folder)
            folders = _folders_of(entries)
            if any(_has(store, folders, mark) for mark in layout.MARKS):
                found.append(folder)
            below += [name for name in folders if not layout.is_litter(name.rpartition("/")[2])]
            files = [entry["name"] for entry in entries if entry["type"] == "file"]
            names += [name.removeprefix(path).lstrip("/") for name in files]
        if found:
            return found, []
        level = sorted(below)
    return [], names
