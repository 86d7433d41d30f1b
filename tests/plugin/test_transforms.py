"""Exact polygons and components as Datumaro transforms, and on into other formats."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datumaro.components.annotation import (
    Annotation,
    AnnotationType,
    Bbox,
    Caption,
    Mask,
    Points,
    Polygon,
    RleMask,
)
from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.media import Image
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from pycocotools import mask as mask_utils

from datumaro_segmask.plugin.transforms import MasksToExactPolygons

from ..archives import archive, as_folder, jpeg, picture, plane, rgb
from ..export_cases import CAR, ROAD, dataset, item, mask, rle

pytestmark = pytest.mark.usefixtures("registered")

Pixels = NDArray[Any]
RING = "0000000 0111110 0100010 0101010 0100010 0111110 0000000"
EXAMPLE = Path(__file__).parents[2] / "examples/street.zip"


def transformed(name: str, *annotations: Annotation, **options: Any) -> list[Annotation]:
    size = (7, 7)
    image = Image.from_numpy(np.zeros((*size, 3), np.uint8))
    made = Dataset.from_iterable(
        [DatasetItem("a", media=image, annotations=list(annotations))],
        categories=["background", "car", "road"],
        media_type=Image,
    )
    made.transform(name, **options)
    (found,) = made
    return list(found.annotations)


def exact(*annotations: Annotation) -> list[Annotation]:
    return transformed("masks_to_exact_polygons", *annotations)


def split(*annotations: Annotation, **options: Any) -> list[Annotation]:
    return transformed("split_components", *annotations, **options)


def painted(polygons: list[Annotation], height: int, width: int) -> Pixels:
    """Draw polygons over one another as pycocotools does."""
    rings = [list(polygon.points) for polygon in polygons]
    pixels: Pixels = mask_utils.decode(
        mask_utils.merge(mask_utils.frPyObjects(rings, height, width))
    )
    return pixels


# Exact polygons

PIXELS = {
    "one-pixel": "0000000 0000000 0001000 0000000 0000000 0000000 0000000",
    "line": "0000000 0000000 1111111 0000000 0000000 0000000 0000000",
    "diagonal": "1000000 0100000 0010000 0001000 0000100 0000010 0000001",
    "ring-around-a-pixel": RING,
    "all": " ".join(["1111111"] * 7),
    "all-but-the-frame": " ".join(["0000000", *["0111110"] * 5, "0000000"]),
    "board": " ".join(["1010101", "0101010"] * 3 + ["1010101"]),
    "two-parts": " ".join(["1100011"] * 7),
}


def rle_of_a_list(pixels: str) -> RleMask:
    """Return a mask with the counts that COCO keeps for crowds."""
    columns = plane(pixels).T.ravel()
    ends = np.flatnonzero(np.diff(columns, prepend=0, append=2))
    return RleMask({"size": [7, 7], "counts": np.diff(ends, prepend=0).tolist()}, label=CAR)


def rle_of_a_text(pixels: str) -> RleMask:
    """Return a mask as it comes out of a JSON file."""
    found = rle(pixels).rle
    return RleMask({**found, "counts": found["counts"].decode()}, label=CAR)


@pytest.mark.parametrize("kind", [mask, rle, rle_of_a_list, rle_of_a_text])
@pytest.mark.parametrize("pixels", PIXELS.values(), ids=PIXELS)
def test_painted_again(pixels: str, kind: Any) -> None:
    found = exact(kind(pixels))
    assert {type(polygon) for polygon in found} == {Polygon}
    assert picture(painted(found, 7, 7)) == pixels
    numbers = [x for polygon in found for x in polygon.points]
    assert [x for x in numbers if x != int(x)] == []


def test_mask_of_255() -> None:
    found = exact(Mask(plane(RING) * 255, label=CAR))
    assert picture(painted(found, 7, 7)) == RING


def test_mask_of_several_values() -> None:
    found = exact(Mask(plane("1200000 2300000" + 5 * " 0000000"), label=CAR))
    assert [list(polygon.get_bbox()) for polygon in found] == [[0, 0, 2, 2]]


def test_mask_without_pixels_has_no_polygon() -> None:
    assert exact(Mask(np.zeros((7, 7), bool), label=CAR)) == []


def test_parts_share_a_group() -> None:
    box = Bbox(0, 0, 1, 1, group=40)
    found = exact(mask(PIXELS["two-parts"]), box, rle(PIXELS["two-parts"], ROAD), mask(RING))
    assert [type(a) for a in found] == [Polygon, Polygon, Bbox, *5 * [Polygon]]
    first, again, _, second, once_more, *rings = [a.group for a in found]
    assert first == again
    assert second == once_more
    assert len({first, second, 40, 0, *rings}) == 5
    assert rings[0] == rings[1]


def test_single_part_stays_alone_and_groups_stay() -> None:
    (alone,) = exact(mask(PIXELS["line"]))
    assert alone.group == 0
    found = exact(mask(PIXELS["two-parts"], group=9), mask(PIXELS["line"], group=9))
    assert [polygon.group for polygon in found] == [9, 9, 9]


def test_everything_else_of_the_mask_stays() -> None:
    given = RleMask(
        rle(PIXELS["two-parts"]).rle, label=ROAD, z_order=4, id=7, attributes={"occluded": True}
    )
    for polygon in exact(given):
        assert (polygon.label, polygon.z_order, polygon.id) == (ROAD, 4, 7)
        assert polygon.attributes == {"occluded": True}


@pytest.mark.parametrize("name", ["masks_to_exact_polygons", "split_components"])
def test_other_annotations_stay_as_they_are(name: str) -> None:
    others = [Points([1, 2], label=CAR), Caption("x"), Polygon([0, 0, 3, 0, 3, 3], label=ROAD)]
    assert transformed(name, *others) == others


def test_tolerance() -> None:
    slope = "100000 110000 111000 111100 111110 111111"
    corners = [
        len(polygon.points)
        for tolerance in (0.0, 1.0)
        for polygon in transformed("masks_to_exact_polygons", mask(slope), tolerance=tolerance)
    ]
    assert len(corners) == 2
    assert corners[1] < corners[0]


def test_tolerance_of_masks_of_two_sizes() -> None:
    """Each is simplified in its own frame, whichever comes first."""
    small, large = mask("10 11"), mask(" ".join("1" * n + "0" * (9 - n) for n in range(1, 10)))
    options = {"tolerance": 1.0}

    def points(*masks: Mask) -> list[list[float]]:
        found = transformed("masks_to_exact_polygons", *masks, **options)
        return sorted(polygon.points for polygon in found)

    alone = sorted(points(small) + points(large))
    assert points(small, large) == points(large, small) == alone


def test_types_of_annotation_are_known() -> None:
    made = dataset([item(mask("1111 1111"))])
    made.init_cache()
    made.transform("masks_to_exact_polygons")
    made.init_cache()
    assert made.ann_types() == {AnnotationType.polygon}
    box = Bbox(0, 0, 1, 1)
    made = dataset([item(mask("1111 1111"), box)])
    made.init_cache()
    transform = MasksToExactPolygons(made)
    assert transform.ann_types() == {AnnotationType.polygon, AnnotationType.bbox}


# Components

CROSS = "1000000 0100000 0000000 0001100 0000000 0000000 0000001"


@pytest.mark.parametrize(
    ("options", "areas"),
    [
        pytest.param({}, [2, 2, 1], id="by-corner"),
        pytest.param({"connectivity": 4}, [1, 1, 2, 1], id="by-edge"),
        pytest.param({"min_area": 2}, [2, 2], id="min-area"),
        pytest.param({"connectivity": 4, "min_area": 2}, [2], id="by-edge-and-min-area"),
        pytest.param({"min_area": 50}, [], id="nothing-left"),
    ],
)
@pytest.mark.parametrize("kind", [mask, rle])
def test_components(options: dict[str, int], areas: list[int], kind: Any) -> None:
    found = split(kind(CROSS, ROAD, z_order=3, attributes={"x": 1}), **options)
    assert [part.get_area() for part in found] == areas
    assert [part.group for part in found] == [*range(1, len(areas) + 1)]
    for part in found:
        assert (part.label, part.z_order, part.attributes) == (ROAD, 3, {"x": 1})
    if not options.get("min_area"):
        assert picture(sum((part.image for part in found), np.zeros((7, 7), int))) == CROSS


def test_groups_not_used_before() -> None:
    found = split(mask(CROSS), Bbox(0, 0, 1, 1, group=6), mask(PIXELS["line"], group=2))
    assert [a.group for a in found] == [7, 8, 9, 6, 2]


def test_masks_with_a_group_are_instances_already() -> None:
    instance = mask(CROSS, group=4)
    assert split(instance) == [instance]
    found = split(instance, mask(PIXELS["line"]), grouped=True)
    assert [(a.group, a.get_area()) for a in found] == [(5, 2), (6, 2), (7, 1), (8, 7)]


# On into the archive and into other formats


def pixels_by_label(found: DatasetItem, size: tuple[int, int]) -> dict[int, Pixels]:
    """Return all the pixels of each label."""
    pixels: dict[int, Pixels] = {}
    for a in found.annotations:
        shown = painted([a], *size) if isinstance(a, Polygon) else a.image
        pixels[a.label] = pixels.get(a.label, np.zeros(size, bool)) | (shown > 0)
    return pixels


def same(first: dict[int, Pixels], second: dict[int, Pixels]) -> bool:
    return first.keys() == second.keys() and all(
        np.array_equal(first[label], second[label]) for label in first
    )


SIZE = (9, 11)
some_planes = st.tuples(
    *(
        arrays.arrays(np.uint8, SIZE, elements=st.integers(0, last), fill=st.integers(0, last))
        for last in (2, 3)
    )
)


@given(some_planes)
def test_polygons_export_import(planes: tuple[Pixels, Pixels]) -> None:
    """Masks of an archive, as polygons, as masks again."""
    digits = [" ".join("".join(map(str, row)) for row in pixels) for pixels in planes]
    with tempfile.TemporaryDirectory() as folder:
        given = as_folder(
            archive({"a": rgb(digits[0])}, {"a": rgb(digits[1])}), Path(folder, "given")
        )
        (masks,) = Dataset.import_from(str(given), "segmask")
        polygons = Dataset.import_from(str(given), "segmask", annotation="polygon")
        (drawn,) = polygons
        assert same(pixels_by_label(masks, SIZE), pixels_by_label(drawn, SIZE))
        polygons.export(str(Path(folder, "x")), "segmask")
        (again,) = Dataset.import_from(str(Path(folder, "x")), "segmask")
    assert same(pixels_by_label(masks, SIZE), pixels_by_label(again, SIZE))
    groups = [(a.group, a.label, a.rle["counts"]) for a in masks.annotations if a.group]
    kept = {(a.group, a.label, a.rle["counts"]) for a in again.annotations}
    assert {*groups} <= kept


def instances(found: DatasetItem, names: list[str], size: tuple[int, int]) -> list[Any]:
    """Return label and pixels of each group, whatever its number, without its box."""
    groups: dict[int, tuple[str, Pixels]] = {}
    for i, a in enumerate(found.annotations):
        if isinstance(a, Bbox):  # Datumaro's reader of COCO adds them
            continue
        key = a.group or -1 - i
        shown = painted([a], *size) if isinstance(a, Polygon) else a.image
        _, before = groups.get(key, ("", np.zeros(size, bool)))
        groups[key] = names[a.label], before | (shown > 0)
    return sorted((label, pixels.tobytes()) for label, pixels in groups.values())


def names_of(found: Dataset) -> list[str]:
    return [label.name for label in found.categories()[AnnotationType.label].items]


THINGS = archive(
    {"a": rgb("1112200 1012200 1110000 0000011 0200011 2000000")},
    {"a": rgb("1113300 1013300 1110000 0000022 0400022 4000000")},
    images={"a.jpg": jpeg(6, 7)},
)


def test_coco(tmp_path: Path) -> None:
    """A ring, a part by the corner and two whole shapes: through COCO's polygons and back."""
    given = as_folder(THINGS, tmp_path / "given")
    polygons = Dataset.import_from(str(given), "segmask", annotation="polygon")
    polygons.export(
        str(tmp_path / "coco"), "coco_instances", save_media=True, segmentation_mode="polygons"
    )
    coco = Dataset.import_from(str(tmp_path / "coco"), "coco_instances")
    (read,) = coco
    assert {a.type for a in read.annotations} <= {AnnotationType.polygon, AnnotationType.bbox}
    masks = Dataset.import_from(str(given), "segmask")
    (expected,) = masks
    wanted = instances(expected, names_of(masks), (6, 7))
    assert len(wanted) == 4
    assert instances(read, names_of(coco), (6, 7)) == wanted

    coco.export(str(tmp_path / "again"), "segmask")
    back = Dataset.import_from(str(tmp_path / "again"), "segmask")
    (found,) = back
    assert instances(found, names_of(back), (6, 7)) == wanted


def test_example_through_coco(tmp_path: Path) -> None:
    """Every instance of the example: what hides it from others has made holes and parts of it."""
    masks = Dataset.import_from(str(EXAMPLE), "segmask")
    polygons = Dataset.import_from(str(EXAMPLE), "segmask", annotation="polygon")
    polygons.export(str(tmp_path / "coco"), "coco_instances", segmentation_mode="polygons")
    coco = Dataset.import_from(str(tmp_path / "coco"), "coco_instances")
    labels, coco_labels = names_of(masks), names_of(coco)
    key = ("street_01", "train")
    (expected, read) = (found.get(*key) for found in (masks, coco))
    size = expected.media.size
    # COCO has one label for an instance, so those over two of them are compared as a whole.
    several = {
        a.group
        for a in expected.annotations
        for b in expected.annotations
        if a.group and a.group == b.group and a.label != b.label
    }
    wanted = instances(
        expected.wrap(annotations=[a for a in expected.annotations if a.group not in several]),
        labels,
        size,
    )
    found = instances(read, coco_labels, size)
    assert len(wanted) > 10
    assert [instance for instance in wanted if instance not in found] == []
    whole = {pixels for _, pixels in found}
    for group in several:
        parts = [a.image for a in expected.annotations if a.group == group]
        assert np.any(parts, axis=0).tobytes() in whole


def test_yolo_ultralytics(tmp_path: Path) -> None:
    """Datumaro's exporter writes boxes only.

    It passes over polygons and masks without a word (1.11.1, 1.13.12), so `shapes_to_boxes` has
    to come before it. Segments in YOLO's way are a recipe of docs/recipes.md.
    """
    polygons = Dataset.import_from(
        str(as_folder(THINGS, tmp_path / "given")), "segmask", annotation="polygon"
    )
    polygons.put(polygons.get("a").wrap(subset="train"))
    polygons.put(polygons.get("a").wrap(subset="val"))
    polygons.remove("a")
    polygons.export(str(tmp_path / "none"), "yolo_ultralytics", save_media=True)
    assert (tmp_path / "none/labels/train/a.txt").read_text() == ""

    # An object may be several polygons, and each would have a box of its own: so from the masks.
    masks = Dataset.import_from(str(tmp_path / "given"), "segmask")
    (item,) = masks
    for subset in ("train", "val"):
        masks.put(item.wrap(subset=subset))
    masks.remove("a", item.subset)
    masks.transform("shapes_to_boxes")
    masks.export(str(tmp_path / "yolo"), "yolo_ultralytics", save_media=True)
    lines = (tmp_path / "yolo/labels/train/a.txt").read_text().splitlines()
    boxes = {(int(label), *(float(v) for v in box)) for label, *box in map(str.split, lines)}
    ring = (1, 1.5 / 7, 1.5 / 6, 3 / 7, 3 / 6)
    assert [box for box in boxes if box == pytest.approx(ring, abs=1e-5)]
