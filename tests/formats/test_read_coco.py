"""COCO datasets and results as people have them, without Datumaro."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from datumaro_segmask.arrays import Size
from datumaro_segmask.errors import SourceError
from datumaro_segmask.formats.read_coco import (
    CocoObject,
    has_coco,
    open_coco,
    picture_of,
    read_objects,
)

from ..archives import as_folder
from .coco_sets import (
    HEIGHT,
    PARTS,
    POLYGON,
    RLE,
    SEGMENTATIONS,
    WIDTH,
    annotation,
    dataset,
    files,
    image,
    result,
)

ONE = dataset(annotation(5, 42))


def objects(content: Any, folder: Path, item_id: str = "b") -> list[CocoObject]:
    """Read the objects of one image, which have to be sound."""
    path = folder / "annotations.json"
    path.write_text(json.dumps(content))

    def fail(error: SourceError) -> None:
        raise error

    (file,) = open_coco(str(path)).files.values()
    return read_objects(file, file.images[item_id], Size(HEIGHT, WIDTH), fail)


# Data sets

SETS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    # files -> the picture of "b" of each subset
    "ours": (
        {
            "annotations/instances_train.json": ONE, "images/train/b.jpg": None,
            "annotations/instances_val.json": ONE, "images/val/b.jpg": None,
        },
        {"train": "images/train/b.jpg", "val": "images/val/b.jpg"},
    ),
    "coco-itself": (
        {
            "annotations/instances_val2017.json": ONE, "val2017/b.jpg": None,
            "annotations/person_keypoints_val2017.json": ONE,
            "annotations/captions_val2017.json": {"images": [], "annotations": []},
        },
        {"val2017": "val2017/b.jpg"},
    ),
    "roboflow": (
        {
            "train/_annotations.coco.json": ONE, "train/b.jpg": None,
            "valid/_annotations.coco.json": ONE, "valid/b.jpg": None,
        },
        {"train": "train/b.jpg", "valid": "valid/b.jpg"},
    ),
    "cvat": (
        {"annotations/instances_default.json": ONE, "images/b.jpg": None},
        {"default": "images/b.jpg"},
    ),
    "labelme": ({"annotations.json": ONE, "JPEGImages/b.jpg": None},
                {"default": "JPEGImages/b.jpg"}),
    "label-studio": ({"result.json": ONE, "images/b.jpg": None}, {"default": "images/b.jpg"}),
    "fiftyone": ({"labels.json": ONE, "data/b.jpg": None}, {"default": "data/b.jpg"}),
    "one-file-a-split": (
        {
            "train.json": ONE, "train/b.jpg": None,
            "annotations/val.json": ONE, "images/val/b.jpg": None,
        },
        {"train": "train/b.jpg", "val": "images/val/b.jpg"},
    ),
    "beside-the-file": ({"coco.json": ONE, "b.jpg": None}, {"default": "b.jpg"}),
    "without-pictures": ({"annotations/instances_train.json": ONE}, {"train": ""}),
    "one-folder-down": ({"export/annotations.json": ONE, "export/b.jpg": None},
                        {"default": "export/b.jpg"}),
}  # fmt: skip


@pytest.mark.parametrize("name", SETS)
def test_data_sets_as_people_have_them(name: str, tmp_path: Path) -> None:
    content, expected = SETS[name]
    root = as_folder(files(content), tmp_path / "set")
    found = open_coco(str(root)).files
    pictures = {subset: picture_of(file, file.images["b"]) for subset, file in found.items()}
    assert pictures == {
        subset: str(root / place) if place else None for subset, place in expected.items()
    }


def test_images_and_labels_in_the_order_of_the_file(tmp_path: Path) -> None:
    root = as_folder(files({"annotations.json": ONE, "b.jpg": None}), tmp_path)
    found = open_coco(str(root))
    (file,) = found.files.values()
    assert found.labels == {"car": "vehicle", "road": ""}
    assert [(i.item_id, i.image_id, i.size) for i in file.images.values()] == [
        ("b", 42, (HEIGHT, WIDTH)),
        ("x/a", 11, (HEIGHT, WIDTH)),
    ]


def test_labels_of_several_files_are_one_by_name(tmp_path: Path) -> None:
    other = dataset(
        annotation(1, 42, category_id=0),
        categories=[{"id": 0, "name": "road"}, {"id": 1, "name": "x"}],
    )
    root = as_folder(files({"train.json": ONE, "val.json": other}), tmp_path)
    found = open_coco(str(root))
    assert [*found.labels] == ["car", "road", "x"]
    assert found.files["val"].labels == {0: 1, 1: 2}


@pytest.mark.parametrize(
    ("name", "item_id"),
    [
        ("x/a.jpg", "x/a"),
        ("x\\a.jpg", "x/a"),
        ("/home/me/a.b.jpg", "a.b"),
        ("../../upload/a.jpg", "a"),
        ("C:/a.jpg", "a"),
    ],
)
def test_ids_are_names_of_files(name: str, item_id: str, tmp_path: Path) -> None:
    content = dataset(images=[image(1, name)])
    place = tmp_path / "annotations.json"
    place.write_text(json.dumps(content))
    as_folder(files({f"{item_id}.jpg": None}), tmp_path)
    (file,) = open_coco(str(place)).files.values()
    (found,) = file.images.values()
    assert found.item_id == item_id
    assert picture_of(file, found) == str(tmp_path / f"{item_id}.jpg")


def test_folder_of_the_pictures_on_demand(tmp_path: Path) -> None:
    root = as_folder(files({"a/annotations.json": ONE, "elsewhere/b.jpg": None}), tmp_path)
    found = open_coco(str(root / "a"), images=str(root / "elsewhere"))
    (file,) = found.files.values()
    assert picture_of(file, file.images["b"]) == str(root / "elsewhere/b.jpg")


# Results

RESULTS = [result(42, 0.5), result(11, 0.75, segmentation=POLYGON)]


@pytest.mark.parametrize(
    ("content", "place"),
    [
        pytest.param({"p.json": RESULTS, "instances_val.json": ONE}, "p.json", id="beside"),
        pytest.param(
            {"p.json": RESULTS, "annotations/instances_val.json": ONE}, "p.json", id="annotations"
        ),
        pytest.param({"out/p.json": RESULTS, "annotations/instances_val.json": ONE}, "out/p.json",
                     id="one-folder-above"),
        pytest.param(
            {
                "p.json": RESULTS,
                "annotations/instances_train.json": dataset(images=[image(1, "a.jpg")]),
                "annotations/instances_val.json": ONE,
            },
            "p.json",
            id="that-has-all-images",
        ),
    ],
)  # fmt: skip
def test_results_with_the_data_set_beside_them(
    content: dict[str, Any], place: str, tmp_path: Path
) -> None:
    root = as_folder(files(content), tmp_path)
    (file,) = open_coco(str(root / place)).files.values()
    assert file.subset == "val"
    found = {
        name: read_objects(file, one, Size(HEIGHT, WIDTH), print)
        for name, one in file.images.items()
    }
    assert {name: [o.score for o in some] for name, some in found.items()} == {
        "b": [0.5],
        "x/a": [0.75],
    }


def test_results_with_a_data_set_that_is_given(tmp_path: Path) -> None:
    root = as_folder(files({"r/p.json": RESULTS, "d/a/b/gt.json": ONE}), tmp_path)
    with pytest.raises(SourceError, match="import with gt=FILE"):
        open_coco(str(root / "r/p.json"))
    (file,) = open_coco(str(root / "r/p.json"), gt=str(root / "d/a/b/gt.json")).files.values()
    assert len(file.images) == 2


def test_two_data_sets_that_fit_have_to_be_told_apart(tmp_path: Path) -> None:
    root = as_folder(files({"p.json": RESULTS, "a.json": ONE, "b.json": ONE}), tmp_path)
    with pytest.raises(SourceError, match=r"2 datasets .*a\.json; .*b\.json"):
        open_coco(str(root / "p.json"))


def test_results_in_a_folder_are_said(tmp_path: Path) -> None:
    root = as_folder(files({"p.json": RESULTS, "gt.json": ONE}), tmp_path)
    (note,) = open_coco(str(root)).notes
    assert "p.json has results: give its path to import them" in note


# Objects


@pytest.mark.parametrize("name", SEGMENTATIONS)
def test_masks_are_pycocotools(name: str, tmp_path: Path) -> None:
    segmentation = SEGMENTATIONS[name]
    (found,) = objects(dataset(annotation(5, 42, segmentation=segmentation)), tmp_path)
    if name == "flat":
        segmentation = [segmentation]
    made = mask_utils.frPyObjects(segmentation, HEIGHT, WIDTH) if name != "compressed" else RLE
    expected = mask_utils.merge(made) if isinstance(made, list) else made
    assert found.instance is not None
    assert found.instance.counts == mask_utils.encode(mask_utils.decode(expected))["counts"]
    assert found.instance.area == int(mask_utils.area(expected))


def test_polygons_are_painted_in_double_precision(tmp_path: Path) -> None:
    """Random ones, of more digits than Datumaro's polygons keep."""
    rng = np.random.default_rng(7)
    rings = [rng.uniform(-1, [WIDTH + 1, HEIGHT + 1], (5, 2)).ravel().tolist() for _ in range(200)]
    content = dataset(*(annotation(i, 42, segmentation=[ring]) for i, ring in enumerate(rings)))
    for found, ring in zip(objects(content, tmp_path), rings, strict=True):
        expected = mask_utils.frPyObjects([ring], HEIGHT, WIDTH)[0]
        assert found.instance is None or found.instance.counts == expected["counts"]
        assert (found.instance is None) == (mask_utils.area(expected) == 0)


def test_everything_of_an_annotation(tmp_path: Path) -> None:
    content = dataset(
        annotation(9, 42, iscrowd=1, score=0.5, attributes={"occluded": True}),
        annotation(8, 11),
        annotation(7, 42, segmentation=[], category_id=3),
        annotation(6, 42, segmentation=[[]], category_id=3),
    )
    first, second, third = objects(content, tmp_path)
    assert (first.annotation_id, first.label, first.score, first.is_crowd) == (9, 0, 0.5, True)
    assert first.attributes == {"occluded": True}
    assert (second.annotation_id, second.label, second.box) == (7, 1, (1.5, 1.25, 8.0, 4.875))
    assert third.box == second.box


def test_rle_without_a_pixel_is_neither_mask_nor_box(tmp_path: Path) -> None:
    nothing = {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}
    (found,) = objects(dataset(annotation(1, 42, segmentation=nothing)), tmp_path)
    assert (found.instance, found.box) == (None, None)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"category_id": 9}, "category_id is 9. Expected one of the ids 7, 3"),
        ({"category_id": [7]}, "category_id is [7]"),
        ({"score": "high"}, "score is 'high'"),
        ({"segmentation": [[1, 2, 3, 4]]}, "a polygon of 4 coordinates"),
        ({"segmentation": [[1, 2, 3, 4, 5]]}, "a polygon of 5 coordinates"),
        (
            {"segmentation": [[1, 2, 3, 4, 5, "x"]]},
            "segmentation has something that is not a number",
        ),
        ({"segmentation": [POLYGON[0], None]}, "a polygon of 1 coordinates"),
        ({"segmentation": [[1, 2, 3, 4, 5, 1e9]]}, "is outside of every image"),
        ({"segmentation": "53P6"}, "segmentation is '53P6'"),
        ({"segmentation": {"counts": [200]}}, "segmentation is not an RLE"),
        ({"segmentation": {"size": [20, 10], "counts": [200]}}, "a mask of 10 x 20 pixels"),
        ({"segmentation": {"size": [10, 20], "counts": [199]}}, "its RLE covers 199 pixels"),
        ({"segmentation": {"size": [10, 20], "counts": ["x"]}}, "are not numbers"),
        ({"segmentation": {"size": [10, 20], "counts": "\x7f"}}, "is broken"),
        ({"segmentation": None, "bbox": None}, "there is no segmentation, and bbox is None"),
        ({"segmentation": [], "bbox": [1, 2, -3, 4]}, "and bbox is [1, 2, -3, 4]"),
        ({"segmentation": [], "bbox": [1, 2, "x", 4]}, "bbox has something that is not a number"),
    ],
)
def test_broken_annotation_names_file_and_entry(
    changed: dict[str, Any], message: str, tmp_path: Path
) -> None:
    content = dataset(annotation(4, 42), annotation(5, 42, **changed), annotation(6, 42))
    with pytest.raises(SourceError) as caught:
        objects(content, tmp_path)
    assert f"{tmp_path / 'annotations.json'}: annotations[1] (id 5): " in str(caught.value)
    assert message in str(caught.value)

    errors: list[SourceError] = []
    (file,) = open_coco(str(tmp_path / "annotations.json")).files.values()
    kept = read_objects(file, file.images["b"], Size(HEIGHT, WIDTH), errors.append)
    assert [o.annotation_id for o in kept] == [4, 6]
    assert len(errors) == 1


def two_names(*used: int) -> dict[str, Any]:
    """As Roboflow exports a project that has the name of one of its classes."""
    categories = [
        {"id": 1, "name": "x", "supercategory": "none"},
        {"id": 2, "name": "x", "supercategory": "x"},
    ]
    made = [annotation(i, 42, category_id=number) for i, number in enumerate(used, 1)]
    return dataset(*made, categories=categories)


@pytest.mark.parametrize("used", [1, 2])
def test_of_two_categories_of_one_name_one_may_have_objects(used: int, tmp_path: Path) -> None:
    found = open_coco(str(as_folder(files({"a.json": two_names(used)}), tmp_path)))
    (file,) = found.files.values()
    errors: list[SourceError] = []
    (kept,) = read_objects(file, file.images["b"], Size(HEIGHT, WIDTH), errors.append)
    assert errors == []
    assert (kept.label, [*found.labels]) == (0, ["x"])
    assert found.labels["x"] == ("none" if used == 1 else "x")
    assert "two categories are called 'x', and one has no objects" in found.notes[0]


def test_a_copy_of_a_file_counts_once(tmp_path: Path) -> None:
    """Roboflow's files beside copies in ``annotations``, as people arrange them for other tools."""
    content = {"train/_annotations.coco.json": ONE, "annotations/train.json": ONE}
    found = open_coco(str(as_folder(files(content), tmp_path)))
    assert [*found.files] == ["train"]
    assert "_annotations.coco.json is left out, because" in found.notes[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a.json": b'{"images": [\n1,]}'}, "a.json:2: this is not JSON"),
        ({"a.json": {"images": []}}, "there is no JSON of COCO instances"),
        ({"a.json": RESULTS}, "give its path to import them"),
        (
            {"a.json": dataset(images=[image(1, "a.jpg"), {"id": 2}])},
            "a.json: images[1]: this is not an image",
        ),
        ({"a.json": dataset(images=[{"file_name": "a.jpg"}])}, "images[0]: the image has no id"),
        (
            {"a.json": dataset(images=[image(1, "a.jpg"), image(2, "a.png")])},
            "images[1]: the file name 'a.png' gives an id that another image has, 'a'",
        ),
        (
            {"a.json": two_names(1, 2)},
            "categories[1]: the categories 1 and 2 are both called 'x'",
        ),
        (
            {"a.json": dataset(categories=[{"id": 1, "name": "x"}, {"id": 1, "name": "y"}])},
            "two categories have the id 1",
        ),
        ({"a.json": dataset(categories=[{"name": "x"}])}, "categories[0]: this is not a category"),
        (
            {"a.json": dataset(annotation(1, None))},
            "annotations[0] (id 1): this is not an annotation",
        ),
        (
            {"train/_annotations.coco.json": ONE, "train.json": two_names(1)},
            "two files are the subset 'train'",
        ),
    ],
)
def test_broken_file_names_file_and_entry(
    content: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(SourceError) as caught:
        open_coco(str(as_folder(files(content), tmp_path)))
    assert message in str(caught.value)


def test_broken_results_name_file_and_entry(tmp_path: Path) -> None:
    root = as_folder(files({"p.json": [RESULTS[0], {"score": 1}], "gt.json": ONE}), tmp_path)
    with pytest.raises(SourceError, match=r"p.json: results\[1\]: this is not a result"):
        open_coco(str(root / "p.json"))


@pytest.mark.parametrize(
    ("annotations", "note"),
    [
        ([annotation(1, 99)], "1 annotation left out, because their images are not in"),
        ([annotation(1, 42, keypoints=[1, 2, 2])], "the keypoints of 1 annotation are left out"),
    ],
)
def test_what_is_passed_over_is_said(annotations: list[Any], note: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(dataset(*annotations)))
    (said,) = open_coco(str(tmp_path)).notes
    assert note in said


# Detection

OF_DATUMARO = ("ours", "coco-itself", "roboflow", "cvat", "without-pictures")


@pytest.mark.parametrize("name", [name for name in SETS if name != "one-folder-down"])
def test_found_if_no_format_of_datumaro_is(name: str, tmp_path: Path) -> None:
    root = as_folder(files(SETS[name][0]), tmp_path)
    assert has_coco(str(root)) == (name not in OF_DATUMARO)


@pytest.mark.parametrize(
    ("content", "is_found"),
    [
        pytest.param(RESULTS, True, id="results"),
        pytest.param(ONE, True, id="dataset"),
        pytest.param(dataset(), False, id="nothing"),
        pytest.param(dataset({"id": 1, "image_id": 1, "bbox": [1, 2, 3, 4]}), False, id="boxes"),
        pytest.param({"items": [], "categories": {}}, False, id="another-format"),
        pytest.param(b"", False, id="empty"),
    ],
)
def test_files_are_found_too(content: Any, is_found: bool, tmp_path: Path) -> None:
    as_folder(files({"a.json": content}), tmp_path)
    assert has_coco(str(tmp_path / "a.json")) == is_found


def test_several_parts_are_one_object(tmp_path: Path) -> None:
    (found,) = objects(dataset(annotation(5, 42, segmentation=PARTS)), tmp_path)
    assert found.instance is not None
    assert found.instance.area == 9 + 30
