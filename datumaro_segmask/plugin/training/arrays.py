"""Datumaro's items from and to arrays, and archives of them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from io import FileIO
from itertools import count
from typing import Any

import numpy as np
from datumaro.components.annotation import Annotation, AnnotationType, LabelCategories, Mask
from datumaro.components.dataset_base import CategoriesInfo, DatasetBase, DatasetItem
from datumaro.components.media import Image
from numpy.typing import NDArray

from ...archive import ImageHead, image_head, read_label_map_file
from ...arrays import Size
from ...errors import ArraysError
from ...options import COLOR
from ...regions import NOTHING, Shape, paint
from ...storage import layout
from ...training import (
    SHAPES,
    as_array,
    as_masks,
    as_whole,
    check_size,
    dense,
    instances_of,
    planes_of_segments,
    z_orders,
)
from ..annotations import (
    geometry_of,
    in_paint_order,
    is_stuff,
    is_unknown,
    make_mask,
    place_of_annotation,
)
from ..export.exporter import SegmaskExporter
from ..export.in_place import ArchivePlace, ExportTarget
from ..host import datumaro_errors, without_policy
from ..labels import make_categories
from ..media import image_in_file, place_of, size_of


@datumaro_errors()
def to_arrays(
    item: DatasetItem, background: int = NOTHING
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the class indices and the instance numbers of an item, both (height, width).

    Both are int32. Masks, polygons, boxes and ellipses are painted as an export does
    (docs/format.md, section 5). A class index is a position among the labels of the dataset;
    ``background`` means no object, and -1 unknown. An instance number is the group of an
    annotation, or a free number if it has none; 0 means no instance. Raises UnpaintableError, and
    SegmaskExportError for an item whose size is not known.
    """
    size = size_of(item)
    placed = in_paint_order(item.annotations, Counter())
    groups = {annotation.group for _, annotation in placed}
    free = (number for number in count(1) if number not in groups)
    where = place_of(item)
    shapes = []
    for i, annotation in placed:
        place = place_of_annotation(where, i, annotation)
        value = background if annotation.label is None else annotation.label
        number = 0
        if is_unknown(annotation):
            value = NOTHING
        elif annotation.label != background and not is_stuff(annotation):
            number = annotation.group or next(free)
        shapes.append(Shape(geometry_of(annotation, place), value, number, place))
    planes = paint(shapes, *size, background)
    return dense(planes.labels), dense(planes.numbers)


@datumaro_errors()
def to_segments(
    item: DatasetItem, background: int = NOTHING
) -> tuple[NDArray[np.int32], dict[int, tuple[int, int]]]:
    """Return the ids of an item's pixels, (height, width) int32, and what each id is.

    Each pair of label and instance has an id, from 1; 0 means no object. The dict gives the label
    and the instance number of each id; the number is 0 for pixels without an instance. Labels,
    numbers and ``background`` are those of `to_arrays`. Raises like `to_arrays`.
    """
    classes, numbers = to_arrays(item, background)
    pairs, which = np.unique((classes.astype(np.int64) << 32) + numbers, return_inverse=True)
    found = [(int(pair >> 32), int(pair & 0xFFFFFFFF)) for pair in pairs.tolist()]
    segments = [i for i, (label, _) in enumerate(found) if label not in (background, NOTHING)]
    ids = np.zeros(len(found), np.int32)
    ids[segments] = np.arange(1, len(segments) + 1)
    names = {number: found[i] for number, i in enumerate(segments, 1)}
    return ids[which.reshape(classes.shape)], names


@datumaro_errors()
def from_arrays(
    item_id: str,
    classes: Any,
    numbers: Any = None,
    *,
    scores: Any = None,
    threshold: float | None = None,
    subset: str = layout.DEFAULT_SUBSET,
    image: NDArray[Any] | str | os.PathLike[str] | None = None,
    size: tuple[int, int] | None = None,
    ignore_index: int | None = None,
) -> DatasetItem:
    """Return an item from what a model has predicted: arrays, tensors, or lists of them.

    Planes: ``classes`` (height, width) and ``numbers`` (height, width), where 0 is no instance;
    without ``numbers`` each connected component is an instance.

    Objects: ``classes`` (n,), and ``numbers`` has their masks: (n, height, width) or (n, 1, height,
    width) of 0 and 1, floats with a ``threshold`` (higher values belong to the object), or a list
    of n rings (k, 2), x and y in pixels. The object with the highest of the ``scores`` (n,) is on
    top, and without scores the smallest mask. A score becomes the attribute ``score``. If nothing
    was found, ``classes`` may be None or empty.

    A class is a position among the labels. Negative classes, and ``ignore_index``, are no
    annotation. ``image``: the path of a file, or (height, width, 3) red, green, blue. ``size``:
    height and width if there is no image. Raises ArraysError, a ValueError, for arrays that do not
    fit together or are not masks yet, and for masks of another size than the image.
    """
    where = f"item {item_id!r}"
    labels = as_whole([] if classes is None else classes, "classes", where)
    given = None if size is None else Size(*size)
    if labels.ndim == 2:
        if scores is not None or threshold is not None:
            raise ArraysError(
                "scores and threshold belong to masks, and the classes are a plane",
                where,
                SHAPES,
            )
        return _of_planes(item_id, labels, numbers, subset, image, given, ignore_index)
    if labels.ndim != 1:
        raise ArraysError(f"arrays of the shapes {_shapes(labels, numbers)}", where, SHAPES)
    known = given or _size_shown(image, given)
    masks, own = as_masks(numbers, len(labels), known, threshold, where)
    media = _media(image, own, given, where)
    if not len(labels):
        return DatasetItem(item_id, subset=subset, media=media)
    ranks = z_orders(masks, scores, where).tolist()
    marks = [{} for _ in ranks] if scores is None else [{"score": s} for s in _floats(scores)]
    annotations: list[Annotation] = [
        Mask(mask, label=label, group=number, z_order=rank, attributes=mark)
        for number, (label, mask, rank, mark) in enumerate(
            zip(labels.tolist(), masks, ranks, marks, strict=True), 1
        )
        if label >= 0 and label != ignore_index
    ]
    return DatasetItem(item_id, subset=subset, media=media, annotations=annotations)


@datumaro_errors()
def from_segments(
    item_id: str,
    ids: Any,
    segments_info: Sequence[Mapping[str, Any]] | Mapping[int, tuple[int, int]],
    *,
    subset: str = layout.DEFAULT_SUBSET,
    image: NDArray[Any] | str | os.PathLike[str] | None = None,
    ignore_index: int | None = None,
) -> DatasetItem:
    """Return an item from a plane of ids, as transformers, detectron2 and COCO panoptic have it.

    ``ids``: (height, width). ``segments_info``: for each id a dict with ``id``, and ``label_id``
    (transformers) or ``category_id``, a position among the labels; or both as `to_segments` returns
    them. An id without an entry, such as -1, is nothing; 0 is an id like any other. Segments with
    ``was_fused``, or without ``isthing``, are stuff. The other arguments are those of
    `from_arrays`. Raises ArraysError, a ValueError.
    """
    classes, numbers = planes_of_segments(ids, segments_info, f"item {item_id!r}")
    return _of_planes(item_id, classes, numbers, subset, image, None, ignore_index)


def _of_planes(
    item_id: str,
    classes: NDArray[Any],
    numbers: Any,
    subset: str,
    image: NDArray[Any] | str | os.PathLike[str] | None,
    given: Size | None,
    ignore_index: int | None,
) -> DatasetItem:
    where = f"item {item_id!r}"
    plane = None if numbers is None else as_whole(numbers, "instance numbers", where)
    if plane is not None and plane.shape != classes.shape:
        raise ArraysError(f"arrays of the shapes {_shapes(classes, plane)}", where, SHAPES)
    size = Size(*classes.shape)
    media = _media(image, size, given, where)
    annotations = [make_mask(i, *size) for i in instances_of(classes, plane, ignore_index)]
    return DatasetItem(item_id, subset=subset, media=media, annotations=annotations)


def _shapes(classes: NDArray[Any], numbers: Any) -> str:
    shapes = [classes.shape, *([] if numbers is None else [as_array(numbers).shape])]
    return " and ".join(map(str, shapes))


def _floats(scores: Any) -> list[float]:
    return [float(score) for score in as_array(scores)]


def _media(
    image: NDArray[Any] | str | os.PathLike[str] | None,
    own: Size | None,
    given: Size | None,
    where: str,
) -> Image | None:
    """Return the picture of masks of their ``own`` size; None if no size is known."""
    size = check_size(own, given, where)
    size = check_size(size, _size_shown(image, size), where)
    if isinstance(image, (str, os.PathLike)):
        head = _head(image)
        return image_in_file(
            os.fspath(image), size, None if head is None else head.turn_to_fit(size)
        )
    if image is None:
        return None if size is None else Image.from_numpy(None, size=size)
    # Datumaro's pictures are blue, green, red.
    return Image.from_numpy(as_array(image)[..., ::-1], size=size)


def _size_shown(
    image: NDArray[Any] | str | os.PathLike[str] | None, size: Size | None
) -> Size | None:
    """Return the size of a picture as masks of this ``size`` lie; None if it is not known."""
    if image is None:
        return None
    if not isinstance(image, (str, os.PathLike)):
        return Size(*as_array(image).shape[:2])
    head = _head(image)
    return head and (head.size if head.turn_to_fit(size) == 1 else head.shown)


def _head(path: str | os.PathLike[str]) -> ImageHead | None:
    with suppress(OSError):  # what is wrong with it is said when it is read
        return image_head(partial(FileIO, os.fspath(path)))
    return None


@datumaro_errors()
def write_archive(
    path: str | os.PathLike[str],
    labels: Sequence[str] | str | os.PathLike[str],
    items: Iterable[DatasetItem],
    *,
    mask_mode: str = COLOR,
    save_media: bool = False,
) -> None:
    """Write items to an archive that CVAT imports, one after the other.

    ``path``: a zip if it ends in ``.zip``, else a folder. ``labels``: their names, or the path of a
    label map; the label ``background`` is no object. ``items``: for example from `from_arrays`; a
    generator will do. ``mask_mode``: as in the format ``segmask``. ``save_media``: write the
    images, too. Raises SegmaskExportError.
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
        exporter.write_to(ExportTarget(ArchivePlace(real, is_zip), in_place=False))


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
