"""Arrays of pixels, for a training loop and from a model.

They are NumPy arrays; ``torch.as_tensor`` takes them as they are.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Sequence
from typing import Any, TypedDict, overload

import cv2
import numpy as np
from numpy.typing import NDArray

from ..archive import BACKGROUND, Item
from ..arrays import Size, turn
from ..errors import MaskSizeError, MissingFileError, check_options, counted
from ..options import MAX_PIXELS, Numbers
from ..png import Plane
from ..regions import Instance, Scanner, decode_box, group_runs, split_components
from ..rules import open_archive
from ..storage import layout
from .splits import subsets_called

Image = NDArray[np.uint8]


class Target(TypedDict):
    """The objects of one image, n of them, by the names that torchvision gives them.

    ``boxes``: (n, 4) float32, x and y of the left top corner and of the right bottom one, in
    pixels; ``labels``: (n,) int64, positions in `Masks.names`; ``masks``: (n, height, width) bool;
    ``area``: (n,) float32, in pixels; ``iscrowd``: (n,) int64, all 0; ``numbers``: (n,) int64, the
    instance numbers; ``image_id``: the index of the item.
    """

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    masks: NDArray[np.bool_]
    area: NDArray[np.float32]
    iscrowd: NDArray[np.int64]
    numbers: NDArray[np.int64]
    image_id: int


class Masks:
    """The items of an archive as a map-style dataset for PyTorch: ``image, target = masks[0]``.

    ``path``: a folder or a zip. ``subset``: the name of a subset, or of a split (docs/training.md,
    section 1), so that ``train`` also finds ``Train`` and ``default``; None means all.
    ``ignore_index`` and ``max_pixels``: as in an import. The image is (height, width, 3) uint8,
    red, green, blue, turned like the masks. `names` has the classes, with the background at 0.
    ``masks[:10]`` has only the first ten items. The workers of a DataLoader can use it.

    Raises SegmaskImportError for an archive, OptionError for a number that is out of range, and
    SubsetError, a KeyError, for a subset that is not there. ``masks[i]`` raises SegmaskImportError
    for an item.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        subset: str | None = None,
        *,
        ignore_index: int | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        numbers = {"ignore_index": ignore_index, "max_pixels": max_pixels}
        check_options(Numbers, numbers, "Masks")
        archive = open_archive(os.fspath(path))
        subsets = archive.subsets
        chosen = subsets if subset is None else subsets_called(subset, subsets)
        self.ids = [*dict.fromkeys(item_id for name in chosen for item_id in subsets[name])]
        self._name = os.fspath(path) + (f", {subset}" if subset else "")
        labels = archive.label_map.labels
        self._background = archive.label_map.background
        kept = [i for i in range(len(labels)) if i != self._background]
        self._classes = {label: number for number, label in enumerate(kept, 1)}
        self.names = [BACKGROUND, *(labels[i].name for i in kept)]
        self._reader = archive.reader(ignore_index=ignore_index, max_pixels=max_pixels)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        images, labels = counted(len(self), "image"), counted(len(self.names) - 1, "label")
        return f"<Masks of {self._name}: {images}, {labels}>"

    def __iter__(self) -> Iterator[tuple[Image, Target]]:
        return map(self.__getitem__, range(len(self)))

    @overload
    def __getitem__(self, index: int) -> tuple[Image, Target]: ...

    @overload
    def __getitem__(self, index: slice) -> Masks: ...

    def __getitem__(self, index: int | slice) -> tuple[Image, Target] | Masks:
        if isinstance(index, slice):
            part = copy.copy(self)
            part.ids = self.ids[index]
            return part
        item = self._reader.read(self.ids[index])
        image = self._image(item)
        return image, self._target(item, image.shape[:2], range(len(self))[index])

    def _image(self, item: Item) -> Image:
        stored = self._reader.image(item)
        if item.image is None or stored is None:
            raise MissingFileError(
                f"the item {item.item_id!r} has no image",
                self._reader.storage.place(layout.image(item.item_id, ".jpg")),
                "an image for every item that is trained on",
                "export the task with images, or put them there",
            )
        image = decode(stored)
        if image is not None:
            image = turn(image, item.turn)
            if item.size in (None, image.shape[:2]):
                return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
        raise MaskSizeError(
            "it is not an image" if image is None else "its size is not that of the masks",
            self._reader.storage.place(item.image),
            "an image of the size of its masks",
            "export the item again",
        )

    def _target(self, item: Item, size: tuple[int, ...], index: int) -> Target:
        instances = item.instances
        boxes = np.array([i.bbox for i in instances], np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        # An item without a class mask has objects without a class.
        labels = [-1 if i.label is None else self._classes[i.label] for i in instances]
        return Target(
            boxes=boxes,
            labels=np.array(labels, np.int64),
            masks=stack_of(instances, Size(*size[:2])),
            area=np.array([i.area for i in instances], np.float32),
            iscrowd=np.zeros(len(instances), np.int64),
            numbers=np.array([i.number for i in instances], np.int64),
            image_id=index,
        )


def decode(data: bytes, flags: int = cv2.IMREAD_COLOR) -> NDArray[np.uint8] | None:
    """Return the pixels of a picture as they are stored: (height, width, 3), blue, green, red.

    None for what OpenCV does not decode: no picture, an empty file, more pixels than it takes.
    """
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None
    return None if image is None else image.astype(np.uint8, copy=False)


def stack_of(instances: Sequence[Instance], size: Size) -> NDArray[np.bool_]:
    """Return the masks of instances: (instances, height, width)."""
    masks = np.zeros((len(instances), *size), bool)
    for mask, instance in zip(masks, instances, strict=True):
        if instance.area:
            x, y, width, height = instance.bbox
            box = decode_box(instance.counts, instance.bbox, size.height)
            mask[y : y + height, x : x + width] = box
    return masks


def dense(plane: Plane) -> NDArray[np.int32]:
    """Return the pixels of a plane that is known by its changes: (height, width)."""
    changes, values = plane.changes, plane.values
    pixels = np.zeros(changes.size, np.int32)
    # Down the columns, each pixel is the one above and what changes.
    above = np.where(changes.row == 0, 0, values[changes.above])
    pixels[changes.row, changes.column] = values[changes.shape] - above
    return np.cumsum(pixels, axis=0, dtype=np.int32, out=pixels)


def instances_of(
    classes: NDArray[Any], numbers: NDArray[Any] | None, ignore_index: int | None
) -> list[Instance]:
    """Return the instances of two planes of one size: a class and a number for each pixel.

    Negative classes, and ``ignore_index``, are no annotation. Without ``numbers``, each connected
    component of a class is an instance.
    """
    height, width = classes.shape
    scanner = Scanner(height, width)
    # Unsigned and up by one, so that nothing is 0.
    shifted = np.maximum(classes.astype(np.int64) + 1, 0)
    if ignore_index is not None:
        shifted[classes == ignore_index] = 0
    plane = np.zeros_like(shifted) if numbers is None else numbers
    scanner.add(shifted.astype(np.uint32), plane.astype(np.uint32))
    runs = scanner.runs()
    found = group_runs(runs, runs.values[1], runs.values[0] - 1)
    return split_components(found, height, width) if numbers is None else found
