"""One case for each rule of docs/format.md, section 5: annotations, and the masks they become.

`test_50_exporter` runs the table through Datumaro.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from datumaro.components.annotation import (
    Annotation,
    AnnotationType,
    Bbox,
    Caption,
    Ellipse,
    LabelCategories,
    Mask,
    MaskCategories,
    Points,
    Polygon,
    PolyLine,
    RleMask,
    RotatedBbox,
)
from datumaro.components.annotation import Label as LabelAnnotation
from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.media import Image
from numpy.typing import NDArray
from pycocotools import mask as mask_utils

from datumaro_segmask.errors import (
    LabelMapError,
    SegmaskError,
    SegmaskExportError,
    UnpaintableError,
)

from .archives import COLORS, picture, plane

BACKGROUND, CAR, ROAD = 0, 1, 2
LABELS = ("background", "car", "road")
SIZE = (2, 4)  # height and width of the images, unless a case says otherwise

Masks = tuple[str | None, str | None]
"""Class mask and instance mask as pictures of digits, None where there is no file.

A digit is the position of a label in the label map that was written, or an instance number.
"""


@dataclass(frozen=True)
class Export:
    """A dataset that is written. ``masks``: what is found, by item.

    ``modes``: those of Pillow that the two files have. ``lists``: the lines of each subset.
    """

    items: Sequence[DatasetItem]
    masks: Mapping[str, Masks]
    labels: Sequence[str] = LABELS
    colors: Mapping[int, tuple[int, int, int]] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    label_map: Sequence[str] = ("background:0,0,0::", "car:128,0,0::", "road:0,128,0::")
    lists: Mapping[str, Sequence[str]] = field(default_factory=lambda: {"default": ["a"]})
    modes: tuple[str, str] = ("RGB", "RGB")
    logs: Sequence[str] = ()  # one part of each warning, in any order


@dataclass(frozen=True)
class Refusal:
    """An item, or one annotation of it, that is not written.

    ``bad``: the item; ``says``: parts of the message. ``left``: the masks of the item under a
    lenient policy, None where it is left out itself.
    """

    bad: DatasetItem
    error: type[SegmaskExportError]
    says: Sequence[str]
    left: Masks | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def dataset(
    items: Sequence[DatasetItem],
    labels: Sequence[str] = LABELS,
    colors: Mapping[int, tuple[int, int, int]] | None = None,
) -> Dataset:
    categories: dict[AnnotationType, Any] = {
        AnnotationType.label: LabelCategories.from_iterable(labels)
    }
    if colors is not None:
        categories[AnnotationType.mask] = MaskCategories(dict(colors))
    return Dataset.from_iterable(items, categories=categories, media_type=Image)


def item(
    *annotations: Annotation,
    id: str = "a",
    subset: str = "default",
    size: tuple[int, int] | None = SIZE,
) -> DatasetItem:
    image = Image.from_numpy(np.full((*size, 3), 90, np.uint8)) if size else None
    return DatasetItem(id, subset=subset, media=image, annotations=list(annotations))


def mask(pixels: str, label: int | None = CAR, group: int = 0, **fields: Any) -> Mask:
    return Mask(plane(pixels).astype(bool), label=label, group=group, **fields)


def rle(pixels: str, label: int | None = CAR, group: int = 0, **fields: Any) -> RleMask:
    encoded = mask_utils.encode(np.asfortranarray(plane(pixels)))
    return RleMask(encoded, label=label, group=group, **fields)


def box(x: float, y: float, w: float, h: float, label: int = CAR, **fields: Any) -> Bbox:
    return Bbox(x, y, w, h, label=label, **fields)


# What is written


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the files of an archive by their places, out of a lone zip, too."""
    zipped = list(folder.glob("*.zip"))
    if zipped:
        assert [path.name for path in folder.iterdir()] == ["segmask.zip"]
        with zipfile.ZipFile(zipped[0]) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


# What the references give

FRAME = (9, 12)


def by_pycocotools(points: Sequence[float]) -> str:
    """Draw a polygon in `FRAME`."""
    return picture(mask_utils.decode(mask_utils.frPyObjects([np.ravel(points)], *FRAME))[..., 0])


def by_opencv(x1: int, y1: int, x2: int, y2: int) -> str:
    """Draw an ellipse in `FRAME`."""
    frame: NDArray[np.uint8] = np.zeros(FRAME, np.uint8)
    axes = ((x2 - x1) // 2, (y2 - y1) // 2)
    cv2.ellipse(frame, ((x1 + x2) // 2, (y1 + y2) // 2), axes, 0, 0, 360, 1, thickness=-1)
    return picture(frame)


# Their points are not always those given: Datumaro 1.13 keeps them in 32 bits.
TRIANGLE = Polygon([1.3, 0.2, 10.9, 3.7, 4.1, 8.6], label=CAR, group=1)
BOX = [1.6, 2.5, 5.2, 3.3]
BOX_CORNERS = [1.6, 2.5, 1.6, 5.8, 6.8, 5.8, 6.8, 2.5]
TURNED = RotatedBbox(6, 4, 6, 3, 30, label=CAR, group=1)
OVAL = (2, 1, 10, 7)


def drawn(annotation: Annotation, pixels: str) -> Export:
    return Export([item(annotation, size=FRAME)], {"a": (pixels, pixels)})


SHAPES = {
    "mask": Export([item(mask("0110 0100", group=1))], {"a": ("0110 0100", "0110 0100")}),
    "mask-of-255": Export(
        [item(Mask(plane("0110 0100") * 255, label=CAR, group=1))],
        {"a": ("0110 0100", "0110 0100")},
    ),
    "mask-of-several-values": Export(
        [item(Mask(plane("0120 0300"), label=CAR, group=1))], {"a": ("0110 0100", "0110 0100")}
    ),
    "rle-mask": Export([item(rle("0110 0100", group=1))], {"a": ("0110 0100", "0110 0100")}),
    "rle-mask-of-a-list": Export(
        [item(RleMask({"size": [2, 4], "counts": [2, 3, 3]}, label=CAR, group=1))],
        {"a": ("0110 0100", "0110 0100")},
    ),
    "polygon": drawn(TRIANGLE, by_pycocotools([round(float(p), 2) for p in TRIANGLE.points])),
    "box": Export([item(box(1, 0, 2, 2))], {"a": ("0110 0110", "0110 0110")}),
    "box-between-pixels": drawn(Bbox(*BOX, label=CAR, group=1), by_pycocotools(BOX_CORNERS)),
    "rotated-box": drawn(TURNED, by_pycocotools(TURNED.as_polygon())),
    "ellipse": drawn(Ellipse(*OVAL, label=CAR, group=1), by_opencv(*OVAL)),
    "shape-that-reaches-out-of-the-image": Export(
        [item(box(-5, 1, 7, 20))], {"a": ("0000 1100", "0000 1100")}
    ),
    "one-pixel-image": Export([item(box(0, 0, 1, 1), size=(1, 1))], {"a": ("1", "1")}),
    "annotations-that-no-mask-can-show": Export(
        [
            item(
                box(0, 0, 1, 1),
                Points([1, 1], label=CAR),
                Points([2, 1], label=CAR),
                PolyLine([0, 0, 3, 1], label=CAR),
                LabelAnnotation(CAR),
                Caption("a car"),
            )
        ],
        {"a": ("1000 0000", "1000 0000")},
        logs=[
            "Left out of the export: 2 annotations of type points",
            "Left out of the export: 1 annotation of type polyline",
            "Left out of the export: 1 annotation of type label",
            "Left out of the export: 1 annotation of type caption",
        ],
    ),
}

ORDER = {
    "later-covers-earlier": Export(
        [item(box(0, 0, 3, 2), box(1, 0, 3, 2, ROAD))], {"a": ("1222 1222", "1222 1222")}
    ),
    "z-order-beats-position": Export(
        [item(box(0, 0, 3, 2, z_order=1), box(1, 0, 3, 2, ROAD))],
        {"a": ("1112 1112", "2221 2221")},
    ),
    "z-order-below-zero": Export(
        [item(box(0, 0, 3, 2), box(1, 0, 3, 2, ROAD, z_order=-1))],
        {"a": ("1112 1112", "2221 2221")},
    ),
    "same-z-order-by-position": Export(
        [item(*(box(x, 0, 2, 2, label, z_order=5) for x, label in enumerate((CAR, ROAD, CAR))))],
        {"a": ("1211 1211", "1233 1233")},
    ),
    "masks-and-outlines-in-one-order": Export(
        [item(mask("1111 1111", group=1), box(1, 0, 2, 2, ROAD), mask("0100 0100", group=3))],
        {"a": ("1121 1121", "1321 1321")},
    ),
    "without-a-pixel": Export(
        [item(mask("0000 0000"), box(9, 9, 2, 2), mask("1111 1111"))],
        {"a": ("1111 1111", "3333 3333")},
        logs=["Left out of the export: 2 annotations without a pixel"],
    ),
    "covered-entirely": Export(
        [item(box(1, 0, 1, 1), box(0, 0, 4, 2, ROAD))],
        {"a": ("2222 2222", "2222 2222")},
        logs=["Left out of the export: 1 annotation that others cover entirely"],
    ),
}

INSTANCES = {
    "group-is-one-instance": Export(
        [item(mask("1000 0000", group=4), box(3, 0, 1, 2, group=9), box(2, 1, 1, 1, group=9))],
        {"a": ("1001 0011", "4009 0099")},
    ),
    "group-over-two-labels": Export(
        [item(mask("1100 1100", CAR, 5), mask("0011 0011", ROAD, 5))],
        {"a": ("1122 1122", "5555 5555")},
    ),
    "groups-are-the-numbers": Export(
        [item(rle("1000 0000", group=7), rle("0001 0000", group=3))],
        {"a": ("1001 0000", "7003 0000")},
    ),
    "without-group-takes-what-is-left": Export(
        [item(box(0, 0, 1, 2), box(1, 0, 1, 2, group=1), box(3, 0, 1, 2, ROAD))],
        {"a": ("1102 1102", "2103 2103")},
    ),
    "group-past-255-counts-from-1": Export(
        [
            item(
                rle("1000 0000", group=1000),
                rle("0001 0000", group=7),
                rle("0010 0000", group=1000),
            )
        ],
        {"a": ("1011 0000", "1012 0000")},
    ),
    "lone-mask-without-group": Export(
        [item(mask("1111 1111", ROAD), mask("0110 0000", CAR, 6))],
        {"a": ("2112 2222", "1661 1111")},
    ),
    "lone-masks-of-their-labels": Export(
        [item(mask("1100 1100", ROAD), mask("0011 0011", CAR))],
        {"a": ("2211 2211", "1122 1122")},
    ),
    "no-label-beside-labels": Export(
        [item(mask("0001 0001", None), mask("0110 0110"))],
        {"a": ("0110 0110", "0110 0110")},
        logs=("1 annotation without a label, beside others that have one",),
    ),
    "own-box-without-group": Export(
        [item(mask("0110 0110"), box(1, 0, 2, 2))],
        {"a": ("0110 0110", "0110 0110")},
        logs=("1 box taken for those of other annotations",),
    ),
    "own-box-behind-a-group": Export(
        [item(box(0, 0, 4, 2), mask("1111 1110", group=3))],
        {"a": ("1111 1110", "3333 3330")},
        logs=("1 box taken for those of other annotations",),
    ),
    "box-of-another-label": Export(
        [item(box(1, 0, 2, 2, ROAD), mask("0110 0100"))],
        {"a": ("0110 0120", "0220 0210")},
    ),
    "box-of-another-extent": Export(
        [item(box(1, 0, 3, 2), mask("0110 0110"))], {"a": ("0111 0111", "0221 0221")}
    ),
    "two-masks-of-a-label-without-group": Export(
        [item(mask("1000 1000"), mask("0011 0011"))], {"a": ("1011 1011", "1022 1022")}
    ),
    "no-labels": Export(
        [item(mask("1000 1000", None, 2), mask("0011 0011", None, 1))], {"a": (None, "2011 2011")}
    ),
    "box-of-a-mask": Export(
        [item(box(0, 0, 4, 2, group=1), mask("0110 0100", group=1))],
        {"a": ("0110 0100", "0110 0100")},
    ),
    "box-of-a-polygon": Export(
        [item(box(0, 0, 4, 2, group=1), Polygon([1, 0, 3, 0, 3, 2, 1, 2], label=CAR, group=1))],
        {"a": ("0110 0110", "0110 0110")},
    ),
    "box-of-an-ellipse": Export(
        [item(box(0, 0, 4, 2, group=1), Ellipse(1, 1, 1, 1, label=CAR, group=1))],
        {"a": ("0000 0100", "0000 0100")},
    ),
    "box-alone-in-its-group": Export(
        [item(box(0, 0, 1, 2, group=1), mask("0001 0001", group=2))],
        {"a": ("1001 1001", "1002 1002")},
    ),
    "box-without-group-beside-a-mask": Export(
        [item(box(0, 0, 1, 2), mask("0001 0001", group=1))], {"a": ("1001 1001", "2001 2001")}
    ),
    "rotated-box-in-the-group-of-a-mask": Export(
        [item(RotatedBbox(1, 1, 2, 2, 0, label=CAR, group=1), mask("0001 0001", group=1))],
        {"a": ("1101 1101", "1101 1101")},
    ),
}

HOLES = {
    "background-cuts-holes-into-both": Export(
        [item(mask("1111 1111", group=1), box(1, 0, 2, 1, BACKGROUND))],
        {"a": ("1001 1111", "1001 1111")},
    ),
    "background-below-cuts-nothing": Export(
        [item(mask("1111 1111", group=1), box(1, 0, 2, 1, BACKGROUND, z_order=-1))],
        {"a": ("1111 1111", "1111 1111")},
        logs=["Left out of the export: 1 annotation that others cover entirely"],
    ),
    "background-takes-no-number": Export(
        [item(box(0, 0, 1, 1, BACKGROUND, group=3), box(2, 0, 2, 1), box(0, 1, 1, 1, ROAD))],
        {"a": ("0011 2000", "0011 2000")},
    ),
    "background-alone": Export([item(box(0, 0, 1, 1, BACKGROUND))], {"a": ("0000 0000", None)}),
}

LABEL_MAPS = {
    "background-last": Export(
        [item(box(1, 0, 2, 1, 0))],
        {"a": ("2002 2222", "0110 0000")},
        labels=["car", "road", "background"],
        label_map=["car:128,0,0::", "road:0,128,0::", "background:0,0,0::"],
    ),
    "background-of-another-colour": Export(
        [item(box(1, 0, 2, 1, 0))],
        {"a": ("1001 1111", "0110 0000")},
        labels=["car", "background"],
        colors={1: (1, 2, 3)},
        label_map=["car:128,0,0::", "background:1,2,3::"],
    ),
    "background-in-capitals": Export(
        [item(box(1, 0, 2, 1, 0))],
        {"a": ("1001 1111", "0110 0000")},
        labels=["car", "BACKGROUND"],
        label_map=["car:128,0,0::", "BACKGROUND:0,0,0::"],
    ),
    "black-label": Export(
        [item(box(1, 0, 2, 1, 0), box(1, 0, 1, 1, 1))],
        {"a": ("1101 1111", "0010 0000")},
        labels=["car", "void"],
        colors={0: (9, 9, 9), 1: (0, 0, 0)},
        label_map=["car:9,9,9::", "void:0,0,0::"],
    ),
    "no-background": Export(
        [item(box(1, 0, 2, 1, 0))],
        {"a": ("0110 0000", "0110 0000")},
        labels=["car", "road"],
    ),
    "label-without-colour": Export(
        [item(box(1, 0, 2, 1, 1))],
        {"a": ("0110 0000", "0110 0000")},
        colors={0: (0, 0, 0), 2: (128, 0, 0)},
        label_map=["background:0,0,0::", "car:0,128,0::", "road:128,0,0::"],
    ),
    "two-labels-of-one-colour": Export(
        [item(box(0, 0, 1, 1, CAR), box(3, 0, 1, 1, ROAD))],
        {"a": ("1002 0000", "1002 0000")},
        colors={0: (0, 0, 0), 1: (5, 5, 5), 2: (5, 5, 5)},
        label_map=["background:0,0,0::", "car:5,5,5::", "road:128,0,0::"],
        logs=["1 label had the colour of an earlier label"],
    ),
    "names-of-any-letters": Export(
        [item(box(0, 0, 1, 1, 1), box(3, 0, 1, 1, 2))],
        {"a": ("1002 0000", "1002 0000")},
        labels=["background", "a: b, c", "дом #5"],
        label_map=["background:0,0,0::", "a: b, c:128,0,0::", "дом #5:0,128,0::"],
    ),
}

PLACES = {
    "items-without-shapes-are-listed": Export(
        [item(), item(box(0, 0, 4, 2), id="b"), item(size=None, id="c")],
        {"b": ("1111 1111", "1111 1111")},
        lists={"default": ["a", "b", "c"]},
    ),
    "only-other-annotations": Export(
        [item(Points([1, 1], label=CAR))],
        {},
        logs=["Left out of the export: 1 annotation of type points"],
    ),
    "empty-masks": Export(
        [item(), item(Points([1, 1], label=CAR), id="b"), item(mask("1111 1111"), id="c")],
        {"a": ("0000 0000",) * 2, "b": ("0000 0000",) * 2, "c": ("1111 1111", "1111 1111")},
        options={"empty_masks": True},
        lists={"default": ["a", "b", "c"]},
        logs=["Left out of the export: 1 annotation of type points"],
    ),
    "size-from-a-mask": Export(
        [item(box(3, 0, 1, 2, ROAD), mask("1100 1100", group=2), size=None)],
        {"a": ("1102 1102", "2201 2201")},
    ),
    "ids-with-folders-dots-spaces": Export(
        [item(box(0, 0, 4, 2), id="a/b.c/img 0.0_0"), item(box(0, 0, 4, 2), id="a/b.c")],
        {"a/b.c/img 0.0_0": ("1111 1111",) * 2, "a/b.c": ("1111 1111",) * 2},
        lists={"default": ["a/b.c/img 0.0_0", "a/b.c"]},
    ),
    "ids-of-any-letters": Export(
        [item(box(0, 0, 4, 2), id="猫/Straße")],
        {"猫/Straße": ("1111 1111",) * 2},
        lists={"default": ["猫/Straße"]},
    ),
    "ids-that-look-like-something-else": Export(
        [
            item(box(0, 0, 4, 2), id="a.jpg"),
            item(id="b.jpg"),
            item(box(0, 0, 4, 2), id="#c"),
            item(box(0, 0, 4, 2), id="de:f"),
        ],
        dict.fromkeys(["a.jpg", "#c", "de:f"], ("1111 1111", "1111 1111")),
        lists={"default": ["a.jpg", "b.jpg.png", "#c", "de:f"]},
        logs=["Windows cannot have a file of this name"],
    ),
    "subsets": Export(
        [item(id="a", subset="train_v2"), item(id="b", subset="тест 1.0"), item(id="c")],
        {},
        lists={"train_v2": ["a"], "тест 1.0": ["b"], "default": ["c"]},
    ),
    "same-id-in-two-subsets": Export(
        [
            item(box(0, 0, 2, 2), subset="train"),
            item(mask("1100 1100", group=1), subset="val"),
            item(id="b", subset="train"),
            item(id="b", subset="val"),
        ],
        {"a": ("1100 1100", "1100 1100")},
        lists={"train": ["a", "b"], "val": ["a", "b"]},
    ),
    "zip": Export(
        [item(box(0, 0, 2, 2), id="猫/a"), item(id="b", subset="val")],
        {"猫/a": ("1100 1100", "1100 1100")},
        options={"zip": True},
        lists={"default": ["猫/a"], "val": ["b"]},
    ),
}

THINGS = [item(mask("1110 1110", ROAD), rle("0100 0100", CAR, 7))]
THINGS_MASKS = {"a": ("2120 2120", "1710 1710")}
MODES = {
    "color": Export(THINGS, THINGS_MASKS, options={"mask_mode": "color"}),
    "palette": Export(
        THINGS, THINGS_MASKS, options={"mask_mode": "palette"}, modes=("P", "P")
    ),
    "index": Export(THINGS, THINGS_MASKS, options={"mask_mode": "index"}, modes=("L", "L")),
    "index-with-background-last": Export(
        [item(box(1, 0, 2, 1, 0))],
        {"a": ("1001 1111", "0110 0000")},
        labels=["car", "background"],
        options={"mask_mode": "index"},
        label_map=["car:128,0,0::", "background:0,0,0::"],
        modes=("L", "L"),
    ),
    "palette-with-background-last": Export(
        [item(box(1, 0, 2, 1, 0))],
        {"a": ("1001 1111", "0110 0000")},
        labels=["car", "background"],
        options={"mask_mode": "palette"},
        label_map=["car:128,0,0::", "background:0,0,0::"],
        modes=("P", "P"),
    ),
}  # fmt: skip

GOOD: dict[str, Export] = {
    **SHAPES, **ORDER, **INSTANCES, **HOLES, **LABEL_MAPS, **PLACES, **MODES,
}  # fmt: skip

# Refusals

FINE = mask("1100 1100", group=1)
FINE_MASKS: Masks = ("1100 1100", "1100 1100")


def refused(bad: Annotation, says: str, *more: str) -> Refusal:
    """An item whose second annotation is bad."""
    found = item(FINE, bad, id="b")
    name = f"item 'b' of subset 'default', annotations[1] ({bad.type.name}, id {bad.id})"
    return Refusal(found, UnpaintableError, [name, says, *more], FINE_MASKS)


def cut(polygon: Polygon) -> Polygon:
    """Return a polygon that lost its last point after Datumaro had looked at it."""
    polygon.points = polygon.points[:-2]
    return polygon


ANNOTATIONS = {
    "mask-of-another-size": refused(
        mask("11 11 11", id=17), "a mask of 2 x 3 pixels",
        "the size of the image, 4 x 2 (width x height)", "resize the mask",
    ),
    "rle-mask-of-another-size": refused(rle("111"), "a mask of 3 x 1 pixels", "resize the mask"),
    "rle-that-is-too-short": refused(
        RleMask({"size": [2, 4], "counts": [2, 3]}, label=CAR), "its RLE covers 5 pixels",
        "runs that cover 8 pixels", "encode the mask again",
    ),
    "rle-with-negative-runs": refused(
        RleMask({"size": [2, 4], "counts": [2, -3, 9]}, label=CAR),
        "runs of negative length", "encode the mask again",
    ),
    "rle-text-that-is-none": refused(
        RleMask({"size": [2, 4], "counts": b"~~"}, label=CAR), "its RLE text b'~~' is broken",
    ),
    "polygon-of-two-points": refused(
        cut(Polygon([0, 0, 3, 1, 3, 0], label=CAR)), "a polygon of 4 coordinates",
        "at least three points", "remove the polygon or complete it",
    ),
    "box-that-is-no-number": refused(
        box(float("nan"), 0, 1, 1), "the coordinate nan is outside of every image",
        "correct or remove",
    ),
    "polygon-far-away": refused(
        Polygon([0, 0, 1e9, 0, 0, 1], label=CAR), "the coordinate 1000000000.0",
    ),
    "infinite-ellipse": refused(Ellipse(0, 0, float("inf"), 1, label=CAR), "the coordinate inf"),
    "label-past-the-last": refused(
        box(0, 0, 1, 1, 3), "its label is 3", "the index of one of the dataset's labels",
        "give the annotation a label",
    ),
    "label-below-zero": refused(box(0, 0, 1, 1, -1), "its label is -1"),
    "position-counts-in-the-list-not-in-paint-order": Refusal(
        item(Points([0, 0], label=CAR), box(0, 0, 1, 1, 9, z_order=5, id=4), FINE, id="b"),
        UnpaintableError, ["annotations[1] (bbox, id 4)"], FINE_MASKS,
    ),
    "only-annotation-of-its-item": Refusal(
        item(cut(Polygon([0, 0, 3, 1, 3, 0], label=CAR)), id="b"), UnpaintableError,
        ["item 'b' of subset 'default', annotations[0]"], (None, None),
    ),
}  # fmt: skip


def named(item_id: str, subset: str) -> DatasetItem:
    """Return an item with names that Datumaro's newer versions do not let in."""
    made = item(FINE)
    object.__setattr__(made, "id", item_id)
    object.__setattr__(made, "subset", subset)
    return made


RENAME = "datum transform -t rename"
NAMES = {
    "id-with-a-line-break": ("a\nb", "default", "its id cannot be written"),
    "id-with-a-tab": ("a\tb", "default", "its id cannot be written"),
    "id-that-leads-out": ("../b", "default", "a part of the path is empty, '.' or '..'"),
    "id-that-is-absolute": ("/b", "default", "absolute path"),
    "id-with-a-drive": ("c:b", "default", "absolute path"),
    "id-that-ends-with-a-space": ("b ", "default", "cannot begin or end with white space"),
    "id-that-is-too-long": ("b" * 300, "default", "longer than 250 bytes"),
    "id-with-half-a-letter": ("b\ud800", "default", "not valid Unicode"),
    "id-of-what-macos-leaves-behind": ("x/._b", "default", "ignored"),
    "id-in-a-folder-of-macos": ("__MACOSX/b", "default", "ignored"),
    "subset-of-what-macos-leaves-behind": ("b", "._x", "its subset cannot be written: files of"),
    "subset-with-a-folder": ("b", "x/y", "its subset cannot be written: a list is directly"),
    "subset-that-leads-out": ("b", "..", "its subset cannot be written"),
}

ITEMS = {
    "size-unknown": Refusal(
        item(box(0, 0, 1, 1), id="b", size=None), SegmaskExportError,
        ["item 'b' of subset 'default'", "the size of its image is not known", "give the dataset"],
    ),
    "size-unknown-of-an-empty-mask": Refusal(
        item(id="b", size=None), SegmaskExportError, ["the size of its image is not known"],
        options={"empty_masks": True},
    ),
    "comment-without-masks": Refusal(
        item(id="#b"), SegmaskExportError, ["'#b'", "is a comment", RENAME],
    ),
    **{
        name: Refusal(
            named(item_id, subset), SegmaskExportError,
            [f"item {item_id!r} of subset {subset!r}", says, RENAME],
        )
        for name, (item_id, subset, says) in NAMES.items()
    },
    "id-of-another-subset-with-other-masks": Refusal(
        item(mask("0001 0001", group=1), id="a", subset="val"), SegmaskExportError,
        ["item 'a' of subset 'val'", "another subset has an item of this id", RENAME],
    ),
    "id-of-another-subset-with-no-masks": Refusal(
        item(id="a", subset="val"), SegmaskExportError, ["another subset has an item of this id"],
    ),
    "image-that-is-none": Refusal(
        DatasetItem("b", media=Image.from_bytes(b"no image", size=SIZE), annotations=[FINE]),
        SegmaskExportError, ["item 'b' of subset 'default'", "its image cannot be saved"],
        options={"save_media": True, "image_ext": ".png"},
    ),
}  # fmt: skip

BAD: dict[str, Refusal] = {**ANNOTATIONS, **ITEMS}

# What is special: the options, the error, parts of the message, and the text of labels.txt.
OPTIONS: dict[str, tuple[dict[str, Any], type[SegmaskError], Sequence[str], str]] = {
    "unknown-mask-mode": (
        {"mask_mode": "rgb"}, SegmaskExportError,
        ["the option mask_mode is 'rgb'", "one of 'color', 'palette', 'index'", "choose one"], "",
    ),
    "unknown-ignore-label": (
        {"mask_mode": "index", "ignore_label": "sky"}, SegmaskExportError,
        ["the option ignore_label is 'sky'", "the labels of the dataset", "check the name"], "",
    ),
    "ignore-label-of-coloured-masks": (
        {"ignore_label": "car"}, SegmaskExportError,
        ["the option ignore_label is 'car' but the masks hold colours", "mask mode 'index'"], "",
    ),
    "label-map-that-is-gone": (
        {"label_map": "gone.txt"}, SegmaskExportError,
        ["the option label_map is 'gone.txt', which is not a file", "check the path"], "",
    ),
    "label-map-with-a-colour-twice": (
        {"label_map": "labels.txt"}, LabelMapError,
        ["labels.txt:2", "1,2,3", "'b'", "'a'", "another colour"], "a:1,2,3::\nb:1,2,3::\n",
    ),
    "index-masks-without-background": (
        {"mask_mode": "index", "label_map": "labels.txt"}, SegmaskExportError,
        ["labels.txt", "no label is the background", "add the line 'background:0,0,0::'"],
        "car:1,2,3::\n",
    ),
}  # fmt: skip

# Which digit of a picture stands for a colour of an instance mask.
DIGIT_OF = {tuple(color): digit for digit, color in enumerate(COLORS.tolist())}
