"""Datumaro's items from and to arrays, and archives of them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import Any

import numpy as np
from datumaro.components.annotation import Annotation, AnnotationType, LabelCategories, Mask
from datumaro.components.dataset_base import CategoriesInfo, DatasetBase, DatasetItem
from datumaro.components.media import Image
from numpy.typing import NDArray

from ...archive import COLOR, read_label_map_file
from ...regions import Shape, paint
from ...storage import layout
from ...training import dense, instances_of
from ..annotations import (
    geometry_of,
    make_mask,
    place_of_annotation,
)
from ..export.exporter import SegmaskExporter
from ..export.in_place import Place, Target
from ..export.item_files import in_paint_order, place_of, size_of
from ..host import border, without_policy
from ..items import is_stuff
from ..labels import make_categories

NOTHING = -1
"""The class of pixels that no annotation covers, unless told otherwise."""


@border()
def to_arrays(
    item: DatasetItem, background: int = NOTHING
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the class indices and the instance numbers of an item, both (height, width).

    Whatever the annotations are: masks, polygons, boxes and ellipses are painted as an export does
    (docs/format.md, section 5). A class index is a position among the labels of the dataset, and
    ``background`` where nothing is. An instance number is the group of an annotation, or one that
    no group has; 0 where there is no instance. Raises
    UnpaintableError, and SegmaskExportError for an item whose size is not known.
    """
    size = size_of(item)
    placed = in_paint_order(item.annotations, Counter())
    groups = {annotation.group for _, annotation in placed}
    free = (number for number in count(1) if number not in groups)
    where = place_of(item)
    shapes = [
        Shape(
            geometry_of(annotation, place_of_annotation(where, i, annotation)),
            background if annotation.label is None else annotation.label,
            0
            if annotation.label == background or is_stuff(annotation)
            else annotation.group or next(free),
            place_of_annotation(where, i, annotation),
        )
        for i, annotation in placed
    ]
    planes = paint(shapes, *size, background)
    return dense(planes.labels), dense(planes.numbers)


@border()
def to_segments(
    item: DatasetItem, background: int = NOTHING
) -> tuple[NDArray[np.int32], dict[int, tuple[int, int]]]:
    """Return the ids of an item's pixels, (height, width) int32, and what each id is.

    One id, from 1 on, for each pair of label and instance, and 0 where nothing is. The dict has the
    label and the instance number of each, which is 0 for pixels without an instance. Labels,
    numbers and ``background`` are those of `to_arrays`. Raises as `to_arrays`.
    """
    classes, numbers = to_arrays(item, background)
    pairs, which = np.unique((classes.astype(np.int64) << 32) + numbers, return_inverse=True)
    found = [(int(pair >> 32), int(pair & 0xFFFFFFFF)) for pair in pairs.tolist()]
    segments = [i for i, (label, _) in enumerate(found) if label not in (background, NOTHING)]
    ids = np.zeros(len(found), np.int32)
    ids[segments] = np.arange(1, len(segments) + 1)
    names = {number: found[i] for number, i in enumerate(segments, 1)}
    return ids[which.reshape(classes.shape)], names


@border()
def from_arrays(
    item_id: str,
    classes: NDArray[Any],
    numbers: NDArray[Any] | None = None,
    *,
    subset: str = layout.DEFAULT_SUBSET,
    image: NDArray[Any] | str | os.PathLike[str] | None = None,
    ignore_index: int | None = None,
) -> DatasetItem:
    """Return an item of what a model has predicted.

    Either ``classes`` (height, width) and, if there are instances, ``numbers`` (height, width), 0
    for none; without them each connected component is an instance. Or ``classes`` (n,) and for
    ``numbers`` their masks, (n, height, width) of 0 and 1; later ones lie on top. A class is a
    position among the labels; negative ones, and ``ignore_index``, are no annotation. ``image`` is
    the path of a file, or (height, width, 3) of red, green, blue. Raises ValueError for arrays
    that do not fit together.
    """
    classes = np.asarray(classes)
    numbers = None if numbers is None else np.asarray(numbers)
    annotations: list[Annotation]
    if classes.ndim == 1 and numbers is not None and numbers.shape[:-2] == classes.shape:
        size = numbers.shape[1], numbers.shape[2]
        annotations = [
            Mask(mask, label=int(label), group=number, z_order=number)
            for number, (label, mask) in enumerate(zip(classes, numbers != 0, strict=True), 1)
            if label >= 0 and label != ignore_index
        ]
    elif classes.ndim == 2 and (numbers is None or numbers.shape == classes.shape):
        size = classes.shape[0], classes.shape[1]
        found = instances_of(classes, numbers, ignore_index)
        annotations = [make_mask(instance, *size) for instance in found]
    else:
        shapes = [classes.shape, *([] if numbers is None else [numbers.shape])]
        raise ValueError(
            f"arrays of the shapes {' and '.join(map(str, shapes))}: expected two planes (height, "
            "width), or (n,) classes and (n, height, width) masks"
        )
    return DatasetItem(item_id, subset=subset, media=_media(image, size), annotations=annotations)


def _media(image: NDArray[Any] | str | os.PathLike[str] | None, size: tuple[int, int]) -> Image:
    if isinstance(image, (str, os.PathLike)):
        return Image.from_file(os.fspath(image), size=size)
    # Datumaro's pictures are blue, green, red.
    return Image.from_numpy(None if image is None else np.asarray(image)[..., ::-1], size=size)


@border()
def write_archive(
    path: str | os.PathLike[str],
    labels: Sequence[str] | str | os.PathLike[str],
    items: Iterable[DatasetItem],
    *,
    mask_mode: str = COLOR,
    save_media: bool = False,
) -> None:
    """Write items, one after the other as they come, to an archive that CVAT imports.

    ``path``: a zip if it ends in ``.zip``, else a folder. ``labels``: their names, or the path of
    a label map; one that is named ``background`` is no object. ``items``: such as `from_arrays`
    makes. ``mask_mode`` is that of the format ``segmask``; ``save_media`` writes the images too.
    Raises SegmaskExportError.
    """
    path = os.fspath(path)
    if isinstance(labels, (str, os.PathLike)):
        categories = make_categories(read_label_map_file(os.fspath(labels)))
    else:
        categories = {AnnotationType.label: LabelCategories.from_iterable(labels)}
    real = os.path.realpath(path)
    is_zip = path.lower().endswith(".zip")
    folder = os.path.dirname(real) if is_zip else real
    source = _Once(items, categories)
    exporter = SegmaskExporter(source, folder, mask_mode=mask_mode, save_media=save_media)
    with without_policy():
        exporter.write_to(Target(Place(real, is_zip), in_place=False))


class _Once(DatasetBase):
    """Items that are iterated once."""

    def __init__(self, items: Iterable[DatasetItem], categories: CategoriesInfo) -> None:
        super().__init__(media_type=Image, ann_types={AnnotationType.mask})
        self._items = items
        self._categories = categories

    def __iter__(self) -> Iterator[DatasetItem]:
        yield from self._items

    def categories(self) -> CategoriesInfo:
        return self._categories

    @property
    def is_stream(self) -> bool:
        return True
