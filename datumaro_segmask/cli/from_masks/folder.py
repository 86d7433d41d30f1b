"""A folder of masks, such as a model's predictions, seen as an archive (docs/cli.md, "from-masks").

The masks stay where they are: the archive is a table of places. Those of other types without loss
are read as PNGs.
"""

from __future__ import annotations

import io
import logging
import os
import warnings
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from typing import IO

import numpy as np
from PIL import Image

from ... import signatures
from ...archive import Archive, LabelMap, usual_masks
from ...errors import ArchiveError, MissingFileError, PngError, counted, printable
from ...png import MAX_PIXELS
from ...storage import MAX_FILE_BYTES, FolderStorage, Storage, image_rank, layout, unreadable

log = logging.getLogger(__name__)

_LOSSLESS = frozenset([".bmp", ".dib", ".tif", ".tiff", ".gif", ".pgm", ".ppm", ".pbm", ".pnm"])

_MODES = {"1", "L", "P", "LA", "RGB", "RGBA", "I;16", "I;16B"}  # which a PNG has, too
_COMPRESSIONS = {
    None, "raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "tiff_ccitt",
    "group3", "group4", "lzma", "zstd",
}  # fmt: skip
_SAVE = "save it as PNG, with the values that it has"

_MASKS = frozenset([layout.MASK_SUFFIX, *_LOSSLESS])


class ScatteredStorage(Storage):
    """An archive whose files lie in several folders: each has a folder, and a name in it."""

    def __init__(
        self,
        root: str,
        files: dict[str, tuple[FolderStorage, str]],
        label_map: LabelMap,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self._root = root
        self._label_map = label_map
        self._max_pixels = max_pixels
        self._files = files

    def place(self, name: str = "") -> str:
        if name not in self._files:
            return self._root
        folder, inner = self._files[name]
        return folder.place(inner)

    def path(self, name: str) -> str | None:
        folder, inner = self._find(name)
        return folder.path(inner)

    def exists(self, name: str) -> bool:
        return name in self._files

    def read(self, name: str, limit: int = MAX_FILE_BYTES) -> bytes:
        folder, inner = self._find(name)
        data = folder.read(inner, limit)
        if _is_image(name):
            return data
        return as_png(data, folder.place(inner), self._max_pixels, self._label_map)

    def open(self, name: str, limit: int | None = None) -> AbstractContextManager[IO[bytes]]:
        if not _is_image(name):
            return super().open(name, limit)
        folder, inner = self._find(name)
        return folder.open(inner, limit)

    def files(self, folder: str) -> Iterator[str]:
        return (name for name in self._files if name.startswith(f"{folder}/"))

    def _find(self, name: str) -> tuple[FolderStorage, str]:
        if name not in self._files:
            raise unreadable("no such file", f"{self._root}: {name}")
        return self._files[name]


def _is_image(name: str) -> bool:
    return name.startswith(f"{layout.IMAGES}/")


def open_mask_folder(
    masks: str,
    label_map: LabelMap,
    *,
    instances: str | None = None,
    images: str | None = None,
    subset: str | None = layout.DEFAULT_SUBSET,
    max_pixels: int = MAX_PIXELS,
) -> Archive:
    """Return the class masks below the folder ``masks`` as an archive.

    The instance masks and images of the other folders belong to the class masks of the same path,
    whatever their extension. With ``subset`` None, the folders directly below ``masks`` are the
    subsets, and their names are no part of the ids; images may then lie with or without them.
    Pictures may lie beside the masks: a mask is the PNG of a name, where there is one. Raises
    ArchiveError where there are no masks, or where no file of another folder fits any.
    """
    stems = _masks_in(masks)
    keys = {stem: _split(stem, subset, masks) for stem in sorted(stems)}
    folder = FolderStorage(masks)
    files = {}
    for stem, (_, item_id) in keys.items():
        place = usual_masks(item_id)[0]
        if place in files:
            raise ArchiveError(
                f"the item {item_id!r} has masks in two subsets",
                folder.place(stems[stem]),
                "a different id for every image",
                "rename the masks, or keep the folders as a part of the ids (option --subset)",
            )
        files[place] = folder, stems[stem]
    if instances is not None:
        found = _matching(instances, _files(instances, _MASKS), keys, "instance mask")
        files |= {usual_masks(item_id)[1]: entry for item_id, entry in found.items()}
    if images is not None:
        pictures = _files(images, layout.IMAGE_SUFFIXES)
        if os.path.samefile(images, masks):
            pictures = {stem: names - {stems.get(stem)} for stem, names in pictures.items()}
        found = _matching(images, pictures, keys, "image")
        for item_id, entry in found.items():
            suffix = layout.split_suffix(entry[1])[1]
            files[layout.image(item_id, suffix)] = entry
    subsets: dict[str, dict[str, None]] = {}
    for name, item_id in keys.values():
        subsets.setdefault(name, {})[item_id] = None
    return Archive(ScatteredStorage(masks, files, label_map, max_pixels), label_map, {**subsets})


def _files(folder: str, suffixes: Collection[str]) -> dict[str, set[str]]:
    """Return the files below a folder by their paths without suffix, with ``/`` in both."""
    if not os.path.isdir(folder):
        raise MissingFileError("there is no such folder", folder, "a folder", "check the path")
    stems: dict[str, set[str]] = {}
    for place in FolderStorage(folder).files("."):
        name = place.removeprefix("./")
        stem, suffix = layout.split_suffix(name)
        if suffix.lower() in suffixes:
            stems.setdefault(layout.check_name(stem, folder), set()).add(name)
    return stems


def _masks_in(folder: str) -> dict[str, str]:
    """Return the masks by their paths without suffix; what else lies there is said once.

    Raises ArchiveError where there are none, two of one name, or JPEGs that must be masks.
    """
    masks: dict[str, str] = {}
    pictures: list[str] = []
    beside = False
    for stem, names in _files(folder, {*_MASKS, *layout.OTHER_MASK_SUFFIXES}).items():
        of_type = {
            name for name in names if layout.split_suffix(name)[1].lower() == layout.MASK_SUFFIX
        } or {name for name in names if layout.split_suffix(name)[1].lower() in _MASKS}
        if len(of_type) > 1:
            raise ArchiveError(
                f"two masks have the name {stem!r}: {', '.join(sorted(of_type))}",
                folder,
                "one mask per image",
                "remove the one that is not meant",
            )
        if of_type:
            masks[stem] = of_type.pop()
        pictures += sorted(names - {masks.get(stem)})
        beside = beside or (stem in masks and len(names) > 1)
    if not masks or (pictures and not beside):
        raise _no_masks(folder, pictures)
    if pictures:
        log.warning(
            "%s",
            printable(
                f"{folder}: {counted(len(pictures), 'file')} such as {min(pictures)} are no "
                "masks and are left out. The option --images writes images."
            ),
        )
    return masks


def _no_masks(folder: str, others: list[str]) -> ArchiveError:
    what, remedy = "there are no masks here", "check the path"
    if others:
        what = f"{counted(len(others), 'file')} such as {min(others)} cannot be masks: their type "
        what += "changes the values of pixels, or is not known"
        remedy = "save the masks as PNG when they are drawn, and move other files elsewhere"
    return ArchiveError(what, folder, "PNG, BMP or TIFF files, here or in folders", remedy)


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
    folder: str, files: dict[str, set[str]], keys: dict[str, tuple[str, str]], what: str
) -> dict[str, tuple[FolderStorage, str]]:
    """Return the files that belong to masks, by the ids of these; of several, the likeliest."""
    storage = FolderStorage(folder)
    stems = {
        stem: min(names, key=lambda name: image_rank(layout.split_suffix(name)[1]))
        for stem, names in files.items()
        if names
    }
    found = {
        item_id: (storage, stems[key])
        for stem, (_, item_id) in keys.items()
        for key in (stem, item_id)
        if key in stems
    }
    if not found:
        example = f" such as {min(stems.values())!r}" if stems else ""
        raise ArchiveError(
            f"none of the {len(stems):,} {what}s{example} belongs to a mask"
            if stems
            else f"there are no {what}s here",
            folder,
            f"an {what} of the same name as its mask, such as {min(keys)!r}",
            "check the path, or rename the files",
        )
    return found


def as_png(data: bytes, where: str, max_pixels: int, label_map: LabelMap) -> bytes:
    """Return a mask as PNG; one that is no picture of these types comes back as it is.

    ``label_map`` tells the gray values of a palette from its indices.
    Raises PngError for one that cannot be read, has several pages or was compressed with losses.
    """
    kind = signatures.kind_of(data)
    if kind not in signatures.LOSSLESS:
        return data
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow has to say is an error, or of no account
            with Image.open(io.BytesIO(data)) as image:
                _check(image, kind, where, max_pixels)
                target = io.BytesIO()
                picture = image.convert("L") if _is_gray(image, label_map) else image
                picture.save(target, "PNG", compress_level=1)
    except PngError:
        raise
    except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError, struct.error ...
        what = f"{kind} that cannot be read ({error})"
        raise PngError(what, where, "a sound file", "save it again, as PNG") from error
    return target.getvalue()


def _is_gray(image: Image.Image, label_map: LabelMap) -> bool:
    """Return whether a palette has the gray values of labels, and 255, and not labels' colours.

    GIF has no gray, and Pillow leaves values out that no pixel has: the indices are not the values.
    """
    if image.mode != "P":
        return False
    palette, labels = image.getpalette() or [], label_map.labels
    colors = {tuple(palette[3 * i : 3 * i + 3]) for i in np.unique(np.asarray(image)).tolist()}
    values = (*range(len(labels)), 255)
    are_gray = all(len({*color}) == 1 and color[0] in values for color in colors)
    return are_gray and not colors <= {label.color for label in labels}


def _check(image: Image.Image, kind: str, where: str, max_pixels: int) -> None:
    what = None
    compression = image.info.get("compression")
    frames = getattr(image, "n_frames", 1)
    if image.width * image.height > max_pixels:
        what = f"{kind} of {image.width:,} x {image.height:,} pixels"
        expected = f"at most {max_pixels:,} pixels"
        raise PngError(what, where, expected, "raise the option max_pixels if it can be trusted")
    if kind == signatures.TIFF and compression not in _COMPRESSIONS:
        what = f"{kind} compressed as {compression!r}, which may change the values"
    elif frames > 1:
        what = f"{kind} of {frames} pages"
    elif image.mode not in _MODES:
        what = f"{kind} with pixels of the kind {image.mode!r}"
    if what:
        raise PngError(what, where, "one image of gray values, indices or colours", _SAVE)
