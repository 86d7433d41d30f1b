"""Datumaro's mask and polygon annotations, from and to our instances.

Masks leave the importer as Datumaro's ``RleMask``, with what is known of them.

Measured: Datumaro's ``ExtractedMask`` costs 5 to 100 times more downstream than an ``RleMask``,
and half of what an ``RleMask`` still costs is decoding it, which this one does faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from attr import attrs
from datumaro.components.annotation import Mask, Polygon, RleMask
from numpy.typing import NDArray
from pycocotools import mask as mask_utils

from ..regions.polygons import Ring, rle_to_polygons
from ..regions.rle import decode_box
from ..regions.scan import Instance


class KnownRle(dict[str, Any]):
    """A COCO RLE (``size``: height and width, ``counts``) whose area and box are known.

    ``area`` is in pixels, ``bbox`` is x, y, width, height in pixels. They belong to the RLE and
    not to the annotation, so that an annotation that is given another RLE cannot keep wrong ones.
    """

    __slots__ = ("area", "bbox")

    def __init__(
        self, counts: bytes, height: int, width: int, area: int, bbox: tuple[int, int, int, int]
    ) -> None:
        super().__init__(size=[height, width], counts=counts)
        self.area = area
        self.bbox = bbox

    def __reduce__(self) -> tuple[Any, ...]:
        height, width = self["size"]
        return KnownRle, (self["counts"], height, width, self.area, self.bbox)


@attrs(slots=True, eq=False, order=False)
class SegmaskMask(RleMask):
    """An ``RleMask`` that knows its area and box and decodes only the columns of its box.

    Equal to a plain ``RleMask`` of the same pixels in all of Datumaro's eyes.
    """

    @property
    def image(self) -> NDArray[np.uint8]:
        """The mask: (height, width) uint8 of 0 and 1, columns contiguous as pycocotools has it."""
        rle = self.rle
        return decode(rle) if isinstance(rle, KnownRle) else mask_utils.decode(rle)

    def get_area(self) -> int:
        rle = self.rle
        return rle.area if isinstance(rle, KnownRle) else super().get_area()

    def get_bbox(self) -> Any:
        rle = self.rle
        return np.array(rle.bbox, float) if isinstance(rle, KnownRle) else super().get_bbox()


def decode(rle: KnownRle) -> NDArray[np.uint8]:
    """Return the pixels of an RLE: (height, width) uint8 of 0 and 1, in Fortran order.

    Datumaro's COCO exporter walks the columns, so the order of memory is worth a factor of four.
    """
    height, width = rle["size"]
    x, y, columns, rows = rle.bbox
    image: NDArray[np.uint8] = np.zeros((height, width), np.uint8, order="F")
    image[y : y + rows, x : x + columns] = decode_box(rle["counts"], rle.bbox, height)
    return image


def make_mask(instance: Instance, height: int, width: int, **fields: Any) -> SegmaskMask:
    """Return an instance of an image of this size, in pixels, as a mask annotation.

    ``fields`` are those of Datumaro's annotations, such as ``z_order``.
    """
    rle = KnownRle(instance.counts, height, width, instance.area, instance.bbox)
    return SegmaskMask(  # type: ignore[call-arg]  # attrs' fields of an untyped base
        rle=rle, label=instance.label, group=instance.number, **fields
    )


def to_instance(mask: Mask) -> tuple[Instance, int, int]:
    """Return any mask annotation as an instance, and the height and width of its image."""
    rle = mask.rle if isinstance(mask, RleMask) else None
    if isinstance(rle, KnownRle):
        height, width = rle["size"]
        known = Instance(mask.label, mask.group, rle["counts"], rle.area, rle.bbox)
        return known, height, width
    if rle is None:
        rle = mask_utils.encode(np.asfortranarray(mask.image, np.uint8))
    elif isinstance(rle["counts"], list):
        rle = mask_utils.frPyObjects(rle, *rle["size"])
    counts, (height, width) = rle["counts"], rle["size"]
    x, y, columns, rows = (int(value) for value in mask_utils.toBbox(rle))
    found = Instance(
        mask.label,
        mask.group,
        counts.encode() if isinstance(counts, str) else counts,
        int(mask_utils.area(rle)),
        (x, y, columns, rows),
    )
    return found, int(height), int(width)


def to_rings(mask: Mask) -> list[Ring]:
    """Return the exact polygons of a mask annotation (docs/format.md, section 6)."""
    instance, height, width = to_instance(mask)
    if not instance.area:
        return []
    return rle_to_polygons({"size": [height, width], "counts": instance.counts}, instance.bbox)


def make_polygons(rings: Sequence[Ring], mask: Mask, group: int) -> list[Polygon]:
    """Return rings as polygon annotations that stand for ``mask``.

    They get the group of the mask, or ``group`` where it has none and there are several: a group
    is what holds them together.
    """
    return [
        Polygon(
            ring.ravel().tolist(),
            label=mask.label,
            z_order=mask.z_order,
            group=mask.group or (group if len(rings) > 1 else 0),
            id=mask.id,
            attributes=mask.attributes,
        )
        for ring in rings
    ]


def size_of_mask(mask: Mask) -> tuple[int, int]:
    """Return height and width, in pixels, of the image that a mask annotation belongs to."""
    height, width = mask.rle["size"] if isinstance(mask, RleMask) else mask.image.shape
    return int(height), int(width)
