"""A folder of masks, such as a model's predictions, seen as an archive (docs/cli.md, "from-masks").

The masks stay where they are: the archive is a table of places.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import IO

from ..archive import Archive, LabelMap
from ..errors import ArchiveError, MissingFileError
from ..storage import MAX_FILE_BYTES, Entry, FolderStorage, image_rank, layout, unreadable


class ScatteredStorage:
    """An archive whose files lie in several folders: each has a folder, and a name in it."""

    def __init__(self, root: str, files: dict[str, tuple[FolderStorage, str]]) -> None:
        self._root = root
        self._files = files
        names = [layout.split_suffix(name) for name in files if name.startswith(layout.IMAGES)]
        images = [name for name in names if name[1].lower() in layout.IMAGE_SUFFIXES]
        images.sort(key=lambda name: image_rank(name[1]), reverse=True)
        self._images = {stem: stem + suffix for stem, suffix in images}

    def place(self, name: str = "") -> str:
        if name not in self._files:
            return self._root
        folder, inner = self._files[name]
        return folder.place(inner)

    def exists(self, name: str) -> bool:
        return name in self._files

    def read(self, name: str, limit: int = MAX_FILE_BYTES) -> bytes:
        folder, inner = self._find(name)
        return folder.read(inner, limit)

    def open(self, name: str, limit: int | None = None) -> AbstractContextManager[IO[bytes]]:
        folder, inner = self._find(name)
        return folder.open(inner, limit)

    def _find(self, name: str) -> tuple[FolderStorage, str]:
        if name not in self._files:
            raise unreadable("no such file", f"{self._root}: {name}")
        return self._files[name]

    def files(self, folder: str) -> Iterator[str]:
        return (name for name in self._files if name.startswith(f"{folder}/"))

    def image(self, item_id: str) -> str | None:
        return self._images.get(f"{layout.IMAGES}/{item_id}")

    def ahead(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        return iter(entries)

    def top(self) -> Iterator[str]:
        return iter(())

    def path(self, name: str) -> str | None:
        folder, inner = self._find(name)
        return folder.path(inner)


def open_mask_folder(
    masks: str,
    label_map: LabelMap,
    *,
    instances: str | None = None,
    images: str | None = None,
    subset: str | None = layout.DEFAULT_SUBSET,
) -> Archive:
    """Return the class masks below the folder ``masks`` as an archive.

    The instance masks and images of the other folders belong to the class masks of the same path,
    whatever their extension. With ``subset`` None, the folders directly below ``masks`` are the
    subsets, and their names are no part of the ids; images may then lie with or without them.
    Raises ArchiveError where there are no masks, or where no file of another folder fits any.
    """
    stems = _stems(masks, frozenset([layout.MASK_SUFFIX]))
    if not stems:
        raise ArchiveError(
            "no masks are here", masks, "PNG files, here or in folders", "check the path"
        )
    keys = {stem: _split(stem, subset, masks) for stem in sorted(stems)}
    folder = FolderStorage(masks)
    files = {}
    for stem, (_, item_id) in keys.items():
        place = layout.class_mask(item_id)
        if place in files:
            raise ArchiveError(
                f"the item {item_id!r} has masks in two subsets",
                folder.place(stems[stem]),
                "an id of its own for every image",
                "rename the masks, or keep the folders as a part of the ids (option --subset)",
            )
        files[place] = folder, stems[stem]
    if instances is not None:
        found = _matching(instances, frozenset([layout.MASK_SUFFIX]), keys, "instance mask")
        files |= {layout.instance_mask(item_id): entry for item_id, entry in found.items()}
    if images is not None:
        found = _matching(images, layout.IMAGE_SUFFIXES, keys, "image")
        for item_id, entry in found.items():
            suffix = layout.split_suffix(entry[1])[1]
            files[layout.image(item_id, suffix)] = entry
    subsets: dict[str, dict[str, None]] = {}
    for name, item_id in keys.values():
        subsets.setdefault(name, {})[item_id] = None
    return Archive(ScatteredStorage(masks, files), label_map, {**subsets})


def _stems(folder: str, suffixes: Collection[str]) -> dict[str, str]:
    """Return the files below a folder by their paths without suffix, with ``/`` in both."""
    if not os.path.isdir(folder):
        raise MissingFileError("there is no such folder", folder, "a folder", "check the path")
    stems = {}
    for name in FolderStorage(folder).files("."):
        stem, suffix = layout.split_suffix(name.removeprefix("./"))
        if suffix.lower() in suffixes:
            stems[layout.check_name(stem, folder)] = stem + suffix
    return stems


def _split(stem: str, subset: str | None, masks: str) -> tuple[str, str]:
    """Return the subset and the id of a mask."""
    if subset is not None:
        return subset, stem
    name, slash, item_id = stem.partition("/")
    if not slash:
        raise ArchiveError(
            f"the mask {stem + layout.MASK_SUFFIX!r} is in no folder, so it has no subset",
            masks,
            "a folder for each subset",
            "move it, or leave the option --subset-folders out",
        )
    return name, item_id


def _matching(
    folder: str, suffixes: Collection[str], keys: dict[str, tuple[str, str]], what: str
) -> dict[str, tuple[FolderStorage, str]]:
    """Return the files that belong to masks, by the ids of these."""
    stems = _stems(folder, suffixes)
    storage = FolderStorage(folder)
    found = {
        item_id: (storage, stems[key])
        for stem, (_, item_id) in keys.items()
        for key in (stem, item_id)
        if key in stems
    }
    if not found:
        example = f" such as {min(stems)!r}" if stems else ""
        raise ArchiveError(
            f"none of the {len(stems):,} {what}s{example} belongs to a mask",
            folder,
            f"an {what} of the same name as its mask, such as {min(keys)!r}",
            "check the path, or rename the files",
        )
    return found
