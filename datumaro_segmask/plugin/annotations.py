"""Datumaro's annotations from and to our instances, and painted into masks.

Masks leave the importer as Datumaro's ``RleMask``, with what is known of them. Measured: Datumaro's
``ExtractedMask`` costs 5 to 100 times more downstream than an ``RleMask``, and half of what an
``RleMask`` still costs is decoding it, which this one does faster. What is painted of a dataset's
annotations: docs/format.md, section 5.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from attr import attrs, field
from datumaro.components.annotation import (
    Annotation,
    Bbox,
    Ellipse,
    Mask,
    Polygon,
    RleMask,
    RotatedBbox,
)
from numpy.typing import NDArray
from pycocotools import mask as mask_utils

from .. import regions
from ..errors import UnpaintableError
from ..formats import Member, instance_numbers, unknown_value
from ..regions import Instance, decode_box, overlap_of_boxes
from ..rules import is_thin
from .labels import ExportLabels, label_error

PAINTED = (Mask, Polygon, Bbox, RotatedBbox, Ellipse)
OUTLINES = (Mask, Polygon, Ellipse)
_DECIMALS = 2  # of the coordinates that Datumaro keeps
_SAME_EXTENT = 0.9  # of the overlap of two extents over their union

Placed: TypeAlias = tuple[int, Annotation]
"""The position of an annotation among those of its item, and the annotation."""

OF_OTHER_LABELS = "annotations whose label the label map does not have"
WITHOUT_LABEL = "annotations without a label, beside others that have one"
HIDDEN = "annotations that others cover entirely"
WITHOUT_PIXELS = "annotations without a pixel"
OWN_BOXES = "boxes taken for those of other annotations"

_UNKNOWN = "is_unknown"  # the attribute of such a region, which Datumaro's own formats keep


class Known(NamedTuple):
    """What is known of an RLE of these ``counts``, in an image of this size in pixels.

    ``area`` is in pixels, ``bbox`` is x, y, width, height in pixels.
    """

    counts: bytes
    height: int
    width: int
    area: int
    bbox: tuple[int, int, int, int]


@attrs(slots=True, eq=False, order=False, repr=False)
class SegmaskMask(RleMask):
    """An ``RleMask`` that knows its area and box and decodes only the columns of its box.

    Equal to a plain ``RleMask`` of the same pixels in all of Datumaro's eyes. Its ``rle`` is a
    plain dict. If you change the dict, you change the mask: area and box are those of what it then
    holds, be ``counts`` bytes, a str or a list of numbers.
    """

    _known: Known | None = field(default=None, kw_only=True)

    @property
    def image(self) -> NDArray[np.uint8]:
        """The mask: (height, width) uint8 of 0 and 1, columns contiguous as pycocotools has it.

        As an index it would pick rows 0 and 1: write ``mask.image.astype(bool)``. It is uint8 in
        every ``RleMask``, and a bool array here breaks Datumaro's own ``resize`` and whatever
        hands masks to OpenCV or pycocotools.
        """
        known = self.known
        return mask_utils.decode(compressed(self.rle)) if known is None else decode(known)

    def __repr__(self) -> str:
        x, y, width, height = map(int, self.get_bbox())
        return (
            f"{type(self).__name__}(label={self.label}, group={self.group}, "
            f"area={self.get_area()}, bbox=({x}, {y}, {width}, {height}))"
        )

    def __eq__(self, other: object) -> bool:
        if isinstance(other, RleMask):
            return compressed(self.rle) == compressed(other.rle)
        return bool(super().__eq__(other))

    def get_area(self) -> int:
        return to_instance(self)[0].area

    def get_bbox(self) -> Any:
        return np.array(to_instance(self)[0].bbox, float)

    @property
    def known(self) -> Known | None:
        """What is known of the RLE; None if the dict no longer holds the one that was read."""
        known, rle = self._known, self.rle
        if known is None or [*rle["size"]] != [known.height, known.width]:
            return None
        counts = rle["counts"]
        if isinstance(counts, str):
            counts = counts.encode()
        return known if isinstance(counts, bytes) and counts == known.counts else None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields that an ``RleMask`` has."""
        fields = super().as_dict()
        return {name: value for name, value in fields.items() if name != "_known"}

    def wrap(self, **kwargs: Any) -> SegmaskMask:
        """Return a copy with other fields; ``image``, the pixels, stands for their RLE."""
        if "image" in kwargs:
            kwargs["rle"] = encode(kwargs.pop("image"))
        wrapped: SegmaskMask = super().wrap(**kwargs)
        return wrapped


def compressed(rle: dict[str, Any]) -> dict[str, Any]:
    """Return an RLE with ``counts`` as bytes and ``size`` as a list, as pycocotools writes it.

    ``counts`` may be what pycocotools takes: bytes, a str, or the lengths of the runs.
    """
    counts, size = rle["counts"], [int(length) for length in rle["size"]]
    if isinstance(counts, str):
        counts = counts.encode()
    elif not isinstance(counts, bytes):
        counts = mask_utils.frPyObjects({"size": size, "counts": [*counts]}, *size)["counts"]
    return {"size": size, "counts": counts}


def encode(image: NDArray[Any]) -> dict[str, Any]:
    """Return pixels, (height, width), as a compressed RLE of those that are not zero."""
    pixels = np.asfortranarray(np.asarray(image) != 0)
    rle: dict[str, Any] = mask_utils.encode(pixels.view(np.uint8))
    return rle


def decode(known: Known) -> NDArray[np.uint8]:
    """Return the pixels of an RLE: (height, width) uint8 of 0 and 1, in Fortran order.

    Datumaro's COCO exporter walks the columns, so the order of memory is worth a factor of four.
    """
    x, y, columns, rows = known.bbox
    image: NDArray[np.uint8] = np.zeros((known.height, known.width), np.uint8, order="F")
    image[y : y + rows, x : x + columns] = decode_box(known.counts, known.bbox, known.height)
    return image


def make_mask(instance: Instance, height: int, width: int, **fields: Any) -> SegmaskMask:
    """Return an instance of an image of this size, in pixels, as a mask annotation.

    ``fields`` are those of Datumaro's annotations, such as ``z_order``.
    """
    if instance.is_unknown:
        fields["attributes"] = {_UNKNOWN: True, **fields.get("attributes", {})}
    return SegmaskMask(  # type: ignore[call-arg]  # attrs' fields of an untyped base
        rle={"size": [height, width], "counts": instance.counts},
        label=instance.label,
        group=instance.number,
        known=Known(instance.counts, height, width, instance.area, instance.bbox),
        **fields,
    )


def to_instance(mask: Mask) -> tuple[Instance, int, int]:
    """Return any mask annotation as an instance, and the height and width of its image."""
    known = mask.known if isinstance(mask, SegmaskMask) else None
    if known is None:
        known = _measured(compressed(mask.rle) if isinstance(mask, RleMask) else encode(mask.image))
    instance = Instance(
        mask.label,
        mask.group,
        known.counts,
        known.area,
        known.bbox,
        is_unknown=is_unknown(mask),
    )
    return instance, known.height, known.width


def _measured(rle: dict[str, Any]) -> Known:
    """Return what pycocotools finds of a compressed RLE."""
    height, width = rle["size"]
    x, y, columns, rows = (int(value) for value in mask_utils.toBbox(rle))
    return Known(rle["counts"], height, width, int(mask_utils.area(rle)), (x, y, columns, rows))


def size_of_mask(mask: Mask, where: str) -> tuple[int, int]:
    """Return height and width, in pixels, of the image of a mask. Raises as `image_of`."""
    is_rle = isinstance(mask, RleMask)
    height, width = mask.rle["size"] if is_rle else image_of(mask, where).shape
    return int(height), int(width)


@dataclass(frozen=True)
class Painted:
    """The masks of an item. ``has_labels`` is False where no shape has a label.

    ``shown`` are the shapes of which pixels are to be seen, with their annotations.
    """

    planes: regions.Planes
    has_labels: bool
    shown: Sequence[tuple[regions.Shape, Annotation]]


def is_stuff(annotation: Annotation) -> bool:
    """Return whether an annotation was read of class pixels without an instance."""
    return (
        isinstance(annotation, SegmaskMask)
        and not annotation.group
        and annotation.label is not None
    )


def is_unknown(annotation: Annotation) -> bool:
    """Return whether an annotation is a region of unknown pixels."""
    has_label = getattr(annotation, "label", 0) is not None  # some kinds never have one
    return not has_label and bool(annotation.attributes.get(_UNKNOWN))


def is_thin_object(annotation: Annotation, geometry: regions.Geometry) -> bool:
    """Return whether CVAT may lose an object. Masks of others count as none: it takes decoding."""
    if isinstance(annotation, SegmaskMask):
        return annotation.known is not None and is_thin(*annotation.known.bbox[2:])
    if not isinstance(annotation, Polygon) or not isinstance(geometry, regions.Polygon):
        return False
    return is_thin(*np.ptp(np.reshape(geometry.points, (-1, 2)), axis=0).tolist())


def in_paint_order(annotations: Sequence[Annotation], left_out: Counter[str]) -> list[Placed]:
    """Return the annotations to paint, the lowest first: by z-order, ties by id or position.

    Ids decide if every object has one of its own and none is 0: Datumaro's readers of COCO give the
    annotations in the reverse of the file. Each comes with its position, by which messages call it.
    A box in a group that also has an outline is that object's box and is not painted; nor is one
    without a common group that has the label and the extent of an outline. The types of annotation
    that no mask can show are counted in ``left_out``, and boxes of the second kind.
    """
    outlined = {a.group for a in annotations if isinstance(a, OUTLINES) and a.group}
    painted = []
    for i, annotation in enumerate(annotations):
        if not isinstance(annotation, PAINTED):
            left_out[f"annotations of type {annotation.type.name}"] += 1
        elif not isinstance(annotation, Bbox):
            painted.append((i, annotation))
        elif annotation.group not in outlined:
            if _is_box_of_another(annotation, annotations):
                left_out[OWN_BOXES] += 1
            else:
                painted.append((i, annotation))
    ids = {annotation.id for _, annotation in painted}
    objects = {(annotation.id, annotation.group or -1 - i) for i, annotation in painted}
    by_ids = 0 not in ids and len(ids) == len(objects)  # the parts of an object share its id
    return sorted(painted, key=lambda it: (it[1].z_order, it[1].id if by_ids else 0))


def _is_box_of_another(box: Bbox, annotations: Sequence[Annotation]) -> bool:
    """Return whether a box has the label and the extent of a mask, polygon or ellipse.

    Datumaro's importers of COCO (annotation id 0) and of VOC give such boxes no group.
    """
    for other in annotations:
        if isinstance(other, OUTLINES) and other.label == box.label:
            with suppress(Exception):  # what is broken about it is said when it is painted
                # Datumaro 1.11 has the box of a mask one pixel too small.
                extent = to_instance(other)[0].bbox if isinstance(other, Mask) else other.get_bbox()
                if overlap_of_boxes(box.get_bbox(), extent) >= _SAME_EXTENT:
                    return True
    return False


def paint_annotations(
    annotations: Sequence[Placed],
    size: tuple[int, int],
    labels: ExportLabels,
    background: int,
    where: str,
    report: Callable[[UnpaintableError], None],
    left_out: Counter[str],
    number_stuff: bool = False,
) -> Painted | None:
    """Paint annotations, given as `in_paint_order` has them, into the two masks of an item.

    ``size`` is height and width in pixels, ``background`` the value of unpainted pixels in the
    class mask, where what is unknown has `formats.unknown_value`. ``where`` names the item in
    messages. An annotation that cannot be painted goes
    to ``report`` and, if that returns, is left out. What else does not show is counted in
    ``left_out``. With ``number_stuff`` every shape is an instance. Returns None where
    nothing is left to paint.
    """
    shapes = _shapes(annotations, labels, where, report, left_out, number_stuff)
    while shapes:
        try:
            planes = regions.paint([shape for shape, _ in shapes], *size, background)
        except UnpaintableError as error:
            report(error)
            shapes = [it for it in shapes if it[0].where != error.where]
            continue
        left_out[HIDDEN] += planes.hidden.size
        left_out[WITHOUT_PIXELS] += planes.empty.size
        unknown = unknown_value(labels.label_map)
        has_labels = any(
            annotation.label is not None or shape.label_value == unknown
            for shape, annotation in shapes
        )
        unseen = {*planes.hidden.tolist(), *planes.empty.tolist()}
        shown = [it for i, it in enumerate(shapes) if i not in unseen]
        return Painted(planes, has_labels, shown)
    return None


def _shapes(
    annotations: Sequence[Placed],
    labels: ExportLabels,
    where: str,
    report: Callable[[UnpaintableError], None],
    left_out: Counter[str],
    number_stuff: bool,
) -> list[tuple[regions.Shape, Annotation]]:
    """Give each annotation its geometry, its value and its number."""
    kept: list[tuple[str, Annotation, int | None, regions.Geometry]] = []
    has_labels = any(annotation.label is not None for _, annotation in annotations)
    for i, annotation in annotations:
        place = place_of_annotation(where, i, annotation)
        try:
            position = labels.position(annotation.label)
        except IndexError:
            report(label_error(f"its label is {annotation.label}", place))
            continue
        if annotation.label is None and has_labels and not is_unknown(annotation):
            left_out[WITHOUT_LABEL] += 1
        elif annotation.label is not None and position is None:
            left_out[OF_OTHER_LABELS] += 1
        else:
            try:
                kept.append((place, annotation, position, geometry_of(annotation, place)))
            except UnpaintableError as error:
                report(error)
    background = labels.label_map.background
    members = [
        Member(annotation.group, not number_stuff and is_stuff(annotation))
        for _, annotation, position, _ in kept
        if not is_unknown(annotation) and (position is None or position != background)
    ]
    numbers = iter(instance_numbers(members))
    shapes = []
    for place, annotation, position, geometry in kept:
        if is_unknown(annotation):
            value, number = unknown_value(labels.label_map), 0
        else:
            # Shapes of the background label cut holes in both masks.
            is_hole = position is not None and position == background
            value, number = position or 0, 0 if is_hole else next(numbers)
        shapes.append((regions.Shape(geometry, value, number, place), annotation))
    return shapes


def geometry_of(annotation: Annotation, where: str) -> regions.Geometry:
    """Return the shape that an annotation of one of the types `PAINTED` is painted as.

    ``where`` names it in messages. Raises UnpaintableError for a mask that cannot be read.
    """
    if isinstance(annotation, RleMask):
        rle = annotation.rle
        return regions.Rle(rle["size"], rle["counts"])
    if isinstance(annotation, Mask):
        return regions.Bitmap(image_of(annotation, where))
    # Datumaro keeps two decimals, as float32: in double precision these are the source's numbers,
    # and pycocotools' outlines turn on as little.
    rounded = np.round(np.asarray(annotation.points, np.float64), _DECIMALS)
    if isinstance(annotation, Polygon):
        return regions.Polygon(rounded)
    points = rounded.tolist()
    if isinstance(annotation, Bbox):
        x, y, x2, y2 = points
        return regions.box(x, y, round(x2 - x, _DECIMALS), round(y2 - y, _DECIMALS))
    if isinstance(annotation, RotatedBbox):
        exact = copy(annotation)
        exact.points = points
        return regions.Polygon(exact.as_polygon())
    return regions.Ellipse(*points)


def image_of(mask: Mask, where: str) -> NDArray[Any]:
    """Return the pixels of a mask, which many formats read no sooner: (height, width).

    Raises UnpaintableError for whatever its source raises then.
    """
    try:
        return np.asarray(mask.image)
    except MemoryError:
        raise
    except Exception as error:
        raise UnpaintableError(
            f"its mask cannot be read ({type(error).__name__}: {error})",
            where,
            "a mask whose file is there, and is an image",
            "fix the file, or remove the item from the source",
        ) from error


def place_of_annotation(where: str, index: int, annotation: Annotation) -> str:
    """Return how to call an annotation of the item ``where`` in a message."""
    return f"{where}, annotations[{index}] ({annotation.type.name}, id {annotation.id})"
