"""YOLO and COCO through Datumaro: annotations, options, policies, round trips, detection."""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datumaro.components.annotation import Annotation, AnnotationType, Bbox, LabelCategories, Mask
from datumaro.components.dataset import Dataset, StreamDataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.environment import Environment
from datumaro.components.errors import DatasetImportError
from datumaro.components.media import Image
from PIL import Image as Pillow
from pycocotools import mask as mask_utils

from datumaro_segmask.errors import OptionError, SegmaskImportError
from datumaro_segmask.plugin.host import CollectedErrors
from datumaro_segmask.regions import Instance

from ..archives import Files, as_folder
from ..formats import coco_sets, yolo_sets
from ..formats.coco_sets import annotation, dataset, files, result
from ..formats.test_read_coco import SETS as COCO_SETS
from ..formats.test_read_coco import two_names
from ..formats.test_read_yolo import SETS as YOLO_SETS
from ..formats.yolo_sets import BOX, RING, predictions, tree
from ..training.scenes import MANY, decode, parts_of, random_scenes

pytestmark = pytest.mark.usefixtures("registered")

KINDS = pytest.mark.parametrize("kind", [Dataset, StreamDataset])


def names_of(found: Dataset) -> list[str]:
    labels = found.categories()[AnnotationType.label]
    assert isinstance(labels, LabelCategories)
    return [label.name for label in labels.items]


def objects_of(found: Iterable[DatasetItem]) -> dict[tuple[str, str], Any]:
    """Return subset and id -> the size of the picture, and label and RLE of each mask."""
    return {
        (item.subset, item.id): (
            item.media_as(Image).size,
            [(a.label, a.rle["counts"]) for a in item.annotations if isinstance(a, Mask)],
        )
        for item in found
    }


def scored(found: Iterable[DatasetItem]) -> list[tuple[str, Any]]:
    return [(item.id, a.attributes.get("score")) for item in found for a in item.annotations]


# Round trips


def scenes(one_part: bool) -> tuple[Dataset, dict[tuple[str, str], Any]]:
    """A dataset of random objects in subsets and folders, and what has to come back."""
    items, expected = [], {}
    for number, (segments, size) in enumerate(random_scenes(MANY // 6)):
        kept: list[Instance] = [
            one for one in segments if not one_part or parts_of(decode(one, size)) == 1
        ]  # fmt: skip
        subset, item_id = ("train", "val", "test")[number % 3], f"{number % 2}/{number}"
        annotations: list[Annotation] = [
            Mask(decode(one, size), label=one.label, group=i) for i, one in enumerate(kept, 1)
        ]
        picture = np.full((*size, 3), number % 256, np.uint8)
        media = Image.from_numpy(picture)
        items.append(DatasetItem(item_id, subset=subset, media=media, annotations=annotations))
        expected[subset, item_id] = tuple(size), [(one.label, one.counts) for one in kept]
    return Dataset.from_iterable(items, categories=["a", "b", "c"], media_type=Image), expected


@KINDS
def test_what_yolo_segments_wrote_of_one_part_comes_back_the_same(
    kind: type[Dataset], tmp_path: Path
) -> None:
    source, expected = scenes(one_part=True)
    source.export(str(tmp_path / "out"), "yolo_segments", save_media=True)
    found = kind.import_from(str(tmp_path / "out"), "yolo_segments")
    assert objects_of(found) == expected
    assert names_of(found) == ["a", "b", "c"]
    assert sum(len(objects) for _, objects in expected.values()) > MANY // 12


@KINDS
@pytest.mark.parametrize("segmentation", ["polygons", "rle"])
def test_what_coco_segments_wrote_comes_back_the_same(
    segmentation: str, kind: type[Dataset], tmp_path: Path
) -> None:
    source, expected = scenes(one_part=False)
    source.export(
        str(tmp_path / "out"), "coco_segments", save_media=True, segmentation=segmentation
    )
    found = kind.import_from(str(tmp_path / "out"), "coco_segments")
    assert objects_of(found) == expected
    assert names_of(found) == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["yolo_segments", "coco_segments"])
def test_pictures_come_along(name: str, tmp_path: Path) -> None:
    source, _ = scenes(one_part=True)
    source.export(str(tmp_path / "a"), name, save_media=True, image_ext=".png")
    once = Dataset.import_from(str(tmp_path / "a"), name)
    for item in source:
        back = once.get(item.id, item.subset).media_as(Image)
        np.testing.assert_array_equal(back.data, item.media_as(Image).data)


# Annotations


def test_masks_and_boxes_of_yolo(tmp_path: Path) -> None:
    root = as_folder(tree(line=f"{RING}\n{BOX}"), tmp_path)
    found = Dataset.import_from(str(root), "yolo_segments")
    assert names_of(found) == ["car", "road"]
    mask, box = found.get("a", "train").annotations
    assert isinstance(mask, Mask)
    assert isinstance(box, Bbox)
    assert (mask.label, mask.group, box.label, box.group) == (0, 1, 1, 2)
    assert box.get_bbox() == [8, 3, 4, 4]
    assert found.get("b", "train").annotations == []


def test_boxes_among_segments_are_painted_too(tmp_path: Path) -> None:
    root = as_folder(tree(line=f"{RING}\n{BOX}"), tmp_path / "yolo")
    found = Dataset.import_from(str(root), "yolo_segments")
    found.export(str(tmp_path / "out"), "segmask")
    back = Dataset.import_from(str(tmp_path / "out"), "segmask")
    assert sorted(a.group for a in back.get("a", "train").annotations) == [1, 2]


def test_everything_of_coco(tmp_path: Path) -> None:
    content = dataset(
        annotation(9, 42, iscrowd=1, attributes={"occluded": True}),
        annotation(4, 42, category_id=3),
    )
    root = as_folder(files({"annotations.json": content, "b.jpg": None}), tmp_path)
    found = Dataset.import_from(str(root), "coco_segments")
    assert [item.id for item in found] == ["b", "x/a"]
    item = found.get("b", "default")
    assert item.attributes == {"id": 42}
    assert [a.id for a in item.annotations] == [9, 4]
    assert [a.attributes for a in item.annotations] == [{"occluded": True, "is_crowd": True}, {}]
    without = found.get("x/a", "default").media_as(Image)
    assert (without.size, without.has_data) == ((coco_sets.HEIGHT, coco_sets.WIDTH), False)


def results(folder: Path) -> Path:
    """A low score, then a high one, over the same pixels."""
    content = [result(42, 0.25, category_id=3), result(42, 0.75), result(11, 0.5)]
    as_folder(files({"p.json": content, "instances_val.json": dataset()}), folder)
    return folder / "p.json"


def test_scores_are_attributes_and_the_highest_lies_on_top(tmp_path: Path) -> None:
    found = Dataset.import_from(str(results(tmp_path)), "coco_segments")
    assert scored(found) == [("b", 0.25), ("b", 0.75), ("x/a", 0.5)]
    backwards = as_folder(predictions(), tmp_path)
    yolo = Dataset.import_from(
        str(backwards / "runs/segment/predict"), "yolo_segments", images=str(backwards / "photos")
    )
    assert scored(yolo) == [("a", 0.25), ("a", 0.87)]
    for some in (found, yolo):
        low, high = next(iter(some)).annotations
        assert low.z_order < high.z_order


def test_the_least_certain_is_below_in_an_archive(tmp_path: Path) -> None:
    """Detectors write the most certain first, and what is painted later lies on top."""
    content = [result(42, 0.75), result(42, 0.25, category_id=3)]
    as_folder(files({"p.json": content, "instances_val.json": dataset()}), tmp_path)
    found = Dataset.import_from(str(tmp_path / "p.json"), "coco_segments")
    found.export(str(tmp_path / "out"), "segmask")
    back = Dataset.import_from(str(tmp_path / "out"), "segmask")
    assert [names_of(back)[a.label] for a in back.get("b", "val").annotations] == ["car"]


# Options


def test_min_score(tmp_path: Path) -> None:
    path = str(results(tmp_path))
    found = Dataset.import_from(path, "coco_segments", min_score=0.5)
    assert scored(found) == [("b", 0.75), ("x/a", 0.5)]
    root = as_folder(predictions(), tmp_path)
    yolo = Dataset.import_from(
        str(root / "runs/segment/predict"),
        "yolo_segments",
        images=str(root / "photos"),
        min_score=0.5,
    )
    assert scored(yolo) == [("a", 0.87)]


def test_min_score_keeps_what_has_no_score(tmp_path: Path) -> None:
    root = as_folder(tree(), tmp_path)
    found = Dataset.import_from(str(root), "yolo_segments", min_score=0.9)
    assert scored(found) == [("a", None), ("c", None)]


@pytest.mark.parametrize("name", ["yolo_segments", "coco_segments"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_scor": 1}, "type 'min_score'"),
        ({"min_score": "high"}, "the option min_score is 'high'"),
    ],
)
def test_wrong_options_are_said(
    options: dict[str, Any], message: str, name: str, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        Dataset.import_from(str(tmp_path), name, **options)
    assert isinstance(caught.value, DatasetImportError)


def test_paths_are_those_of_the_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_folder(predictions(), tmp_path)
    monkeypatch.chdir(tmp_path)
    found = Dataset.import_from("runs/segment/predict", "yolo_segments", images=Path("photos"))
    monkeypatch.chdir("/")
    assert [item.id for item in found] == ["a", "none"]


# Errors

BROKEN: dict[str, tuple[Files, str, list[str]]] = {
    "yolo_segments": (
        tree(line=f"{RING}\n0 0.1 x\n"),
        f"labels{os.sep}train{os.sep}a.txt:2: 'x' is not a number",
        ["car", "car"],
    ),
    "coco_segments": (
        files({"a.json": dataset(annotation(1, 42, category_id=1), annotation(2, 42))}),
        "a.json: annotations[0] (id 1): category_id is 1",
        ["car"],
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_ends_the_import_with_file_and_place(name: str, tmp_path: Path) -> None:
    content, message, _ = BROKEN[name]
    found = Dataset.import_from(str(as_folder(content, tmp_path)), name)
    with pytest.raises(DatasetImportError) as caught:
        list(found)
    assert message in str(caught.value)
    assert isinstance(caught.value.__cause__, SegmaskImportError)


@pytest.mark.parametrize("name", BROKEN)
def test_error_policy_leaves_out_the_object_alone(name: str, tmp_path: Path) -> None:
    content, message, kept = BROKEN[name]

    class Collected(CollectedErrors):
        def _handle_annotation_error(self, error: Exception) -> None:
            self._handle_item_error(error)

    policy = Collected()
    root = str(as_folder(content, tmp_path))
    found = Dataset.import_from(root, name, error_policy=policy)
    assert [names_of(found)[a.label] for item in found for a in item.annotations] == kept
    assert message in str(policy.errors[0])


def test_picture_that_is_gone_is_an_error_of_its_item(tmp_path: Path) -> None:
    root = as_folder(tree("train: train.txt\n" + yolo_sets.NAMES), tmp_path)
    (root / "train.txt").write_text("./images/train/a.jpg\n./images/train/gone.jpg\n")
    policy = CollectedErrors()
    found = Dataset.import_from(str(root), "yolo_segments", error_policy=policy)
    assert [item.id for item in found] == ["a"]
    (error,) = policy.errors
    assert "train.txt:2: the image is not there: " in str(error)
    assert "import the labels with images=FOLDER" in str(error)


def test_image_without_a_size_is_an_error_of_its_item(tmp_path: Path) -> None:
    content = dataset(images=[{"id": 1, "file_name": "a.jpg"}])
    root = as_folder(files({"a.json": content}), tmp_path)
    with pytest.raises(DatasetImportError, match=r"a.json: images\[0\]: width and height"):
        [*Dataset.import_from(str(root), "coco_segments")]
    as_folder(files({"a.jpg": None}), tmp_path)
    assert next(iter(Dataset.import_from(str(root), "coco_segments"))).media_as(Image).size == (
        coco_sets.HEIGHT,
        coco_sets.WIDTH,
    )


def test_what_is_left_out_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    off = "0 1.001 1.001 1.009 1.001 1.009 1.009"
    root = as_folder(tree(line=f"{RING}\n{RING}\n{off}"), tmp_path)
    with caplog.at_level(logging.WARNING):
        found = Dataset.import_from(str(root), "yolo_segments")
        assert [len(item.annotations) for item in found] == [1, 0, 1]
        found.export(str(tmp_path / "out"), "segmask")
    said = [message for message in caplog.messages if "Left out of the import" in message]
    assert said == [
        "Left out of the import, 2 times: a line that repeats one of the same image.",
        "Left out of the import, 2 times: an object without a pixel.",
    ]


# Pictures that a camera turned


def test_turned_pictures_lie_as_their_masks(tmp_path: Path) -> None:
    """Stored 20 x 10, shown 10 x 20: Ultralytics scales by the size that is shown."""
    picture = Pillow.new("RGB", (20, 10))
    picture.putpixel((0, 0), (255, 255, 255))
    exif = Pillow.Exif()
    exif[0x0112] = 6
    data = io.BytesIO()
    picture.save(data, "PNG", exif=exif)
    content = {
        "data.yaml": b"train: images\nnames: [car]\n",
        "images/a.png": data.getvalue(),
        "labels/a.txt": RING.encode(),
    }
    root = as_folder(content, tmp_path / "yolo")
    (item,) = Dataset.import_from(str(root), "yolo_segments")
    assert item.media_as(Image).size == (20, 10)
    assert item.media_as(Image).data.shape[:2] == (20, 10)
    assert item.annotations[0].rle["size"] == [20, 10]

    Dataset.import_from(str(root), "yolo_segments").export(
        str(tmp_path / "coco"), "coco_segments", save_media=True
    )
    (back,) = Dataset.import_from(str(tmp_path / "coco"), "coco_segments")
    assert back.media_as(Image).data.shape[:2] == (20, 10)
    assert back.annotations[0].rle["counts"] == item.annotations[0].rle["counts"]


# Datumaro's interface


@pytest.mark.parametrize("name", ["yolo_segments", "coco_segments"])
def test_subsets_and_single_items(name: str, tmp_path: Path) -> None:
    source, expected = scenes(one_part=True)
    source.export(str(tmp_path), name, save_media=True)
    base = Environment().extractors[name](str(tmp_path))
    assert len(base) == len(expected)
    part = base.get_subset("val")
    assert {("val", item.id) for item in part} == {key for key in expected if key[0] == "val"}
    assert objects_of([base.get("0/0", "train")])["train", "0/0"] == expected["train", "0/0"]
    assert base.get("0/0", "val") is None


# Detection


def detected(path: Path, env: Environment | None = None) -> list[str]:
    return list((env or Environment()).detect_dataset(str(path), depth=2))


@pytest.mark.parametrize("name", sorted({*YOLO_SETS} - {"labels-beside-the-pictures"}))
def test_yolo_with_segments_is_ours(name: str, tmp_path: Path, without_us: Environment) -> None:
    root = as_folder(YOLO_SETS[name][0], tmp_path / "set")
    # "yolo" if the first label file that it meets is empty; all the others have no object then.
    assert detected(root, without_us) in ([], ["yolo"], ["roboflow_yolo"])
    assert detected(root) == ["yolo_segments"]
    assert any(item.annotations for item in Dataset.import_from(str(root)))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(tree(line=f"{BOX}\n{RING}"), id="a-box-first"),
        pytest.param(tree() | {"labels/train/a.txt": BOX.encode()}, id="a-file-of-boxes"),
        pytest.param(
            yolo_sets.roboflow() | {"train/labels/a.txt": f"{BOX}\n{RING}".encode()}, id="roboflow"
        ),
    ],
)
def test_boxes_and_segments_are_ours_because_datumaro_loses_the_segments(
    content: Files, tmp_path: Path, without_us: Environment
) -> None:
    root = as_folder(content, tmp_path / "set")
    assert detected(root, without_us) in (["yolo"], ["roboflow_yolo"], [])
    assert detected(root) == ["yolo_segments"]


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        pytest.param(tree(line=BOX), ["yolo"], id="boxes"),
        pytest.param(tree(line=""), ["yolo"], id="no-objects"),
        pytest.param(
            yolo_sets.roboflow()
            | {f"{split}/labels/{name}.txt": BOX.encode() for split, name in
               (("train", "a"), ("valid", "c"))},
            ["roboflow_yolo"],
            id="roboflow-boxes",
        ),
        pytest.param(files(COCO_SETS["ours"][0]), ["coco_instances"], id="coco_instances"),
        pytest.param(files(COCO_SETS["coco-itself"][0]), ["coco"], id="coco"),
        pytest.param(files(COCO_SETS["roboflow"][0]), ["roboflow_coco"], id="roboflow_coco"),
        pytest.param(files(COCO_SETS["cvat"][0]), ["coco_instances"], id="cvat-coco"),
    ],
)  # fmt: skip
def test_what_datumaro_finds_stays_so(
    content: Files, answer: list[str], tmp_path: Path, without_us: Environment
) -> None:
    root = as_folder(content, tmp_path / "set")
    assert {*answer} <= {*detected(root, without_us)}
    assert detected(root) == detected(root, without_us)


@pytest.mark.parametrize(
    "name", ["labelme", "label-studio", "fiftyone", "one-file-a-split", "beside-the-file"]
)
def test_coco_that_datumaro_does_not_find_is_ours(
    name: str, tmp_path: Path, without_us: Environment
) -> None:
    root = as_folder(files(COCO_SETS[name][0]), tmp_path / "set")
    assert not {"coco", "coco_instances", "roboflow_coco"} & {*detected(root, without_us)}
    assert detected(root) == ["coco_segments"]


@pytest.mark.parametrize(
    "place", ["train/_annotations.coco.json", "annotations/instances_train.json"]
)
def test_two_categories_of_one_name_are_ours_because_datumaro_refuses_them(
    place: str, tmp_path: Path, without_us: Environment
) -> None:
    root = as_folder(files({place: two_names(2), "train/b.jpg": None}), tmp_path / "set")
    (theirs, *_) = detected(root, without_us)
    with pytest.raises(Exception, match=r"^(?!.*both called)"):
        Dataset.import_from(str(root), theirs, env=without_us)
    assert detected(root) == ["coco_segments"]
    item = Dataset.import_from(str(root)).get("b", "train")
    assert [a.label for a in item.annotations] == [0]


@pytest.mark.parametrize("name", ["p.json", "instances_val.json"])
def test_file_of_coco_is_found(name: str, tmp_path: Path) -> None:
    results(tmp_path)
    content = json.loads((tmp_path / "p.json").read_text())
    (tmp_path / "instances_val.json").write_text(json.dumps(dataset(annotation(1, 42))))
    assert content
    assert detected(tmp_path / name) == ["coco_segments"]


def test_data_file_of_yolo_is_found(tmp_path: Path) -> None:
    assert detected(as_folder(tree(), tmp_path) / "data.yaml") == ["yolo_segments"]


def test_rle_of_the_results_is_what_is_painted(tmp_path: Path) -> None:
    found = Dataset.import_from(str(results(tmp_path)), "coco_segments")
    mask = found.get("x/a", "val").annotations[0]
    np.testing.assert_array_equal(mask.image, mask_utils.decode(coco_sets.RLE))
