"""`SegmaskMask` is an `RleMask` in all of Datumaro's eyes, only that it knows more."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attr
import numpy as np
import pytest
from datumaro.components.annotation import Mask, RleMask
from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.media import Image
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from pycocotools import mask as mask_utils

from datumaro_segmask.plugin.annotations import SegmaskMask, make_mask, to_instance
from datumaro_segmask.regions import Instance, Scanner, group_runs

from ..archives import plane

SHAPE = st.tuples(st.integers(1, 20), st.integers(1, 20))
some_masks = arrays.arrays(
    np.uint8, SHAPE, elements=st.integers(0, 1), fill=st.sampled_from([0, 1])
).filter(np.any)


def ours(pixels: NDArray[Any], **fields: Any) -> SegmaskMask:
    height, width = pixels.shape
    scanner = Scanner(height, width)
    scanner.add(pixels.astype(np.uint8))
    runs = scanner.runs()
    labels = runs.values[0] - 1
    (found,) = group_runs(runs, np.zeros_like(labels), labels)
    return make_mask(found, height, width).wrap(**{"label": None, **fields})


def plain(pixels: NDArray[Any], **fields: Any) -> RleMask:
    return RleMask(rle=mask_utils.encode(np.asfortranarray(pixels, np.uint8)), **fields)


def check_alike(mine: Mask, other: Mask) -> None:
    assert mine == other
    assert other == mine
    assert mine.type == other.type
    assert mine.image.dtype == other.image.dtype
    assert mine.image.flags.f_contiguous == other.image.flags.f_contiguous
    assert (mine.image == other.image).all()
    assert mine.get_area() == other.get_area()
    assert list(mine.get_bbox()) == list(other.get_bbox())
    assert type(mine.get_bbox()) is type(other.get_bbox())
    assert (mine.label, mine.group, mine.z_order, mine.id, mine.attributes) == (
        other.label, other.group, other.z_order, other.id, other.attributes,
    )  # fmt: skip


FIELDS = {"label": 3, "group": 7, "z_order": 2, "id": 5, "attributes": {"occluded": True}}
MAKERS = {
    "as-made": lambda mask: mask,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda mask: pickle.loads(pickle.dumps(mask)),
    "evolve": attr.evolve,
    "wrap": lambda mask: mask.wrap(),
}


@given(some_masks)
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_alike(make: Any, pixels: NDArray[Any]) -> None:
    mine = make(ours(pixels, **FIELDS))
    assert type(mine) is SegmaskMask
    assert type(mine.rle) is dict
    assert mine.known is not None
    check_alike(mine, plain(pixels, **FIELDS))


@given(some_masks, some_masks)
def test_unlike(first: NDArray[Any], second: NDArray[Any]) -> None:
    same = first.shape == second.shape and bool((first == second).all())
    assert (ours(first) == ours(second)) is same
    assert (ours(first) == plain(second)) is same
    assert (plain(second) == ours(first)) is same


@given(some_masks)
def test_equal_to_a_bitmap_as_an_rle_mask_is(pixels: NDArray[Any]) -> None:
    bitmap = Mask(pixels, label=1)
    assert (ours(pixels, label=1) == bitmap) == (plain(pixels, label=1) == bitmap)
    assert (bitmap == ours(pixels, label=1)) == (bitmap == plain(pixels, label=1))


@given(some_masks, some_masks)
def test_another_rle_brings_its_own_area_and_box(first: NDArray[Any], second: NDArray[Any]) -> None:
    rle = plain(second).rle
    evolve: Any = attr.evolve
    for mine in (ours(first).wrap(rle=rle), evolve(ours(first), rle=rle)):
        check_alike(mine, plain(second))


# Whoever changes the dict changes the mask


def as_list(rle: dict[str, Any]) -> list[int]:
    """The lengths of the runs, off and on in turn."""
    flat = mask_utils.decode(rle).T.ravel()
    edges = np.flatnonzero(np.diff(flat, prepend=0, append=2))
    return [int(length) for length in np.diff(edges, prepend=0)]


COUNTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "bytes": lambda rle: rle["counts"],
    "str": lambda rle: rle["counts"].decode(),
    "list": as_list,
}


@given(some_masks, some_masks)
@pytest.mark.parametrize("make", COUNTS.values(), ids=COUNTS)
def test_counts_of_any_type_in_the_dict(
    make: Callable[[dict[str, Any]], Any], first: NDArray[Any], second: NDArray[Any]
) -> None:
    for pixels in (first, second):
        mine, other = ours(first, **FIELDS), plain(pixels, **FIELDS)
        mine.rle["size"], mine.rle["counts"] = [*pixels.shape], make(other.rle)
        for again in (mine, mine.wrap(), pickle.loads(pickle.dumps(mine)), copy.deepcopy(mine)):
            check_alike(again, other)
            assert to_instance(again) == to_instance(other)
        assert (mine == plain(1 - pixels)) is False


@pytest.mark.parametrize("make", COUNTS.values(), ids=COUNTS)
@pytest.mark.parametrize("kind", ["ours", "plain"])
@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("coco_segments", {}),
        ("coco_segments", {"segmentation": "rle"}),
        ("coco_segments", {"tolerance": 0.5}),
        ("yolo_segments", {}),
        ("segmask", {"number_stuff": True}),
    ],
)
def test_exports_of_counts_of_any_type(
    form: str,
    options: dict[str, Any],
    kind: str,
    make: Callable[[dict[str, Any]], Any],
    registered: None,
    tmp_path: Path,
) -> None:
    def changed(pixels: NDArray[Any], **fields: Any) -> Mask:
        mask = (ours if kind == "ours" else plain)(pixels, **fields)
        mask.rle["counts"] = make(mask.rle)
        return mask

    results = []
    for maker in (changed, ours):
        dataset(maker).export(str(tmp_path / "out"), form, **options)
        results.append(files_of(tmp_path / "out"))
        (tmp_path / "out").rename(tmp_path / f"out-{len(results)}")
    assert results[0] == results[1]
    assert len(results[0]) >= 2


def test_line_before_json_dumps(registered: None) -> None:
    """The usual one, on what an import gives."""
    mask = ours(plane("011 010"))
    mask.rle["counts"] = mask.rle["counts"].decode()
    assert json.loads(json.dumps(mask.rle)) == mask.rle
    assert mask.image.tolist() == [[0, 1, 1], [0, 1, 0]]
    assert (mask.get_area(), [*mask.get_bbox()]) == (3, [1, 0, 2, 2])


def test_transforms_of_counts_of_any_type(registered: None) -> None:
    for make in COUNTS.values():
        mask = ours(plane("110 000 011"), label=1)
        mask.rle["counts"] = make(mask.rle)
        item = DatasetItem("a", media=Image.from_numpy(np.zeros((3, 3, 3))), annotations=[mask])
        source = Dataset.from_iterable([item], categories=["car", "road"], media_type=Image)
        (parts,) = source.transform("split_components", connectivity=4)
        assert [part.image.tolist() for part in parts.annotations] == [
            plane("110 000 000").tolist(),
            plane("000 000 011").tolist(),
        ]


@given(some_masks, some_masks)
def test_pixels_are_taken_for_their_rle(first: NDArray[Any], second: NDArray[Any]) -> None:
    for pixels in (second, second.astype(bool), second * 200.0):
        check_alike(ours(first, **FIELDS).wrap(image=pixels), plain(second, **FIELDS))


@given(some_masks)
def test_index_masks(pixels: NDArray[Any]) -> None:
    mine, other = ours(pixels, label=3), plain(pixels, label=3)
    for method, arguments in (
        ("as_class_mask", {}),
        ("as_class_mask", {"label_id": 200, "ignore_index": 255}),
        ("as_class_mask", {"dtype": np.int32}),
        ("as_instance_mask", {"instance_id": 200}),
    ):
        got = getattr(mine, method)(**arguments)
        expected = getattr(other, method)(**arguments)
        assert got.dtype == expected.dtype
        assert (got == expected).all()


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param("1", id="one-pixel"),
        pytest.param("111 111", id="whole-image"),
        pytest.param("100 000", id="first-pixel"),
        pytest.param("000 001", id="last-pixel"),
        pytest.param("001 100", id="run-over-the-end-of-a-column"),
        pytest.param("0110 0110", id="columns-inside"),
        pytest.param("10001 10001", id="gap-between"),
    ],
)
def test_edges(picture: str) -> None:
    check_alike(ours(plane(picture)), plain(plane(picture)))


def test_image_is_nobody_elses() -> None:
    mine = ours(plane("010"))
    mine.image[:] = 9
    assert mine.image.tolist() == [[0, 1, 0]]


# Datumaro's transforms and exporters

PICTURES = ["01100 01100 00000", "00011 00011 00000", "00000 00000 11111", "10000 00000 00000"]


def dataset(make: Any) -> Dataset:
    """Two items with overlapping and grouped masks, stuff and things."""
    shapes = [
        make(plane(picture), label=n % 2, group=[1, 2, 0, 1][n], z_order=n)
        for n, picture in enumerate(PICTURES)
    ]
    image = np.full((3, 5, 3), 80, np.uint8)
    return Dataset.from_iterable(
        [
            DatasetItem("a", subset="train", media=Image.from_numpy(image), annotations=shapes),
            DatasetItem("b", subset="val", media=Image.from_numpy(image), annotations=shapes[:1]),
        ],
        categories=["car", "road"],
        media_type=Image,
    )


TRANSFORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "polygons": ("masks_to_polygons", {}),
    "boxes": ("shapes_to_boxes", {}),
    "merged": ("merge_instance_segments", {"include_polygons": False}),
    "resized": ("resize", {"width": 10, "height": 6}),
    "remapped": ("remap_labels", {"mapping": {"car": "bus"}, "default": "keep"}),
    "random-split": ("random_split", {"splits": [("x", 1.0)], "seed": 1}),
    "to-labels": ("anns_to_labels", {}),
    "renamed": ("rename", {"regex": "|^|x/|"}),
}


def summary(found: Dataset) -> list[Any]:
    return [
        (item.id, item.subset, [
            (a.type, getattr(a, "label", None), a.group, list(map(float, getattr(a, "points", []))),
             a.image.tolist() if isinstance(a, Mask) else None)
            for a in item.annotations
        ])
        for item in sorted(found, key=lambda item: (item.subset, item.id))
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), TRANSFORMS.values(), ids=TRANSFORMS)
def test_transforms(name: str, options: dict[str, Any]) -> None:
    mine, other = (dataset(make).transform(name, **options) for make in (ours, plain))
    assert summary(mine) == summary(other)


EXPORTS: dict[str, tuple[str, dict[str, Any]]] = {
    "coco-instances": ("coco_instances", {}),
    "coco-instances-as-polygons": ("coco_instances", {"segmentation_mode": "polygons"}),
    "coco-panoptic": ("coco_panoptic", {}),
    "coco-stuff": ("coco_stuff", {}),
    "datumaro": ("datumaro", {}),
    "voc-segmentation": ("voc_segmentation", {}),
    "camvid": ("camvid", {}),
    "yolo": ("yolo", {"save_media": True}),
    "datumaro-binary": ("datumaro_binary", {}),
}


def files_of(folder: Path) -> dict[str, Any]:
    """Return all files, by their places; JSON as what it says, for its order is of no matter."""
    return {
        path.relative_to(folder).as_posix(): (
            json.loads(path.read_text("utf-8")) if path.suffix == ".json" else path.read_bytes()
        )
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".segmask-files.")
    }


@pytest.mark.parametrize(("name", "options"), EXPORTS.values(), ids=EXPORTS)
def test_exports(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    """Byte by byte."""
    for folder, make in (("ours", ours), ("plain", plain)):
        dataset(make).export(str(tmp_path / folder), name, **options)
    mine = files_of(tmp_path / "ours")
    assert mine
    assert mine == files_of(tmp_path / "plain")


def test_mask_shows_itself_in_a_line() -> None:
    instance = Instance(2, 7, mask_utils.encode(np.ones((3, 4), np.uint8, order="F"))["counts"], 12,
                        (0, 0, 4, 3))  # fmt: skip
    mask = make_mask(instance, 3, 4)
    assert repr(mask) == "SegmaskMask(label=2, group=7, area=12, bbox=(0, 0, 4, 3))"
    assert repr([mask.wrap(label=None)]).startswith("[SegmaskMask(label=None, ")
    changed = mask.wrap(rle=mask_utils.encode(np.eye(3, dtype=np.uint8, order="F")))
    assert repr(changed) == "SegmaskMask(label=2, group=7, area=3, bbox=(0, 0, 3, 3))"
