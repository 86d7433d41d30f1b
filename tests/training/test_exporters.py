"""The formats `coco_segments` and `yolo_segments`, through Datumaro (docs/training.md)."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datumaro.components.annotation import (
    Annotation,
    AnnotationType,
    Bbox,
    Ellipse,
    LabelCategories,
    Mask,
    Points,
    Polygon,
    RleMask,
    RotatedBbox,
)
from datumaro.components.dataset import Dataset, StreamDataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.errors import DatasetExportError, DatumaroError
from datumaro.components.exporter import ExportErrorPolicy
from datumaro.components.media import Image
from pycocotools import mask as mask_utils

from ..archives import archive, as_folder, as_zip, jpeg, picture, plane, rgb
from ..export_cases import dataset, item, mask, rle
from .scenes import Mask as Pixels
from .scenes import paint_yolo, read_coco

pytestmark = pytest.mark.usefixtures("registered")

FILES = archive(
    {
        "a": rgb("1112200 1012200 1110000 0000011 0200011 2000000"),
        "b/c": rgb("0110"),
        "d": rgb("00"),
    },
    {
        "a": rgb("1113300 1013300 1110000 0000022 0300022 3000000"),
        "b/c": rgb("0000"),
        "d": rgb("00"),
    },
    lists={"default": "a\n", "val": "b/c\nd\n"},
    images={"a.jpg": jpeg(6, 7), "b/c.png": jpeg(1, 4), "d.jpg": jpeg(1, 2)},
)
OBJECTS = {
    "a": [
        ("car", "1110000 1010000 1110000 0000000 0000000 0000000"),
        ("car", "0000000 0000000 0000000 0000011 0000011 0000000"),
        ("road", "0001100 0001100 0000000 0000000 0100000 1000000"),
    ],
    "b/c": [("car", "0110")],
    "d": [],
}


def export(source: Dataset, folder: Path, form: str, **options: Any) -> Path:
    source.export(str(folder), form, **options)
    return folder


@pytest.fixture
def street(tmp_path: Path) -> Dataset:
    return Dataset.import_from(str(as_folder(FILES, tmp_path / "task")), "segmask")


def objects_of(path: Path) -> dict[str, list[tuple[str, str]]]:
    """Return the label and the pixels of all objects of a COCO file, by image."""
    coco = read_coco(path)
    names = {number: category["name"] for number, category in coco.cats.items()}
    return {
        image["file_name"].rpartition(".")[0]: [
            (names[found["category_id"]], picture(coco.annToMask(found)))
            for found in coco.imgToAnns[image_id]
        ]
        for image_id, image in coco.imgs.items()
    }


def annotations_of(annotations: Iterable[Annotation], folder: Path, **options: Any) -> list[Any]:
    """Export one image of 8 x 6 pixels; return its annotations in COCO."""
    image = item(*annotations, size=(6, 8))
    export(dataset([image]), folder, "coco_segments", **options)
    content = json.loads((folder / "annotations/instances_default.json").read_text("utf-8"))
    return list(content["annotations"])


def pixels_of(annotation: dict[str, Any], height: int = 6, width: int = 8) -> str:
    found = annotation["segmentation"]
    rles = mask_utils.frPyObjects(found, height, width) if isinstance(found, list) else [found]
    return picture(mask_utils.decode(mask_utils.merge(rles)))


# COCO


@pytest.mark.parametrize("segmentation", ["polygons", "rle"])
def test_coco_has_all_objects(street: Dataset, tmp_path: Path, segmentation: str) -> None:
    folder = export(street, tmp_path / "out", "coco_segments", segmentation=segmentation)
    found: dict[str, list[tuple[str, str]]] = {}
    for subset in ("default", "val"):
        path = folder / f"annotations/instances_{subset}.json"
        found |= objects_of(path)
        content = json.loads(path.read_text("utf-8"))
        assert [c["name"] for c in content["categories"]] == ["car", "road"]
        assert [c["id"] for c in content["categories"]] == [1, 2]
        assert {a["iscrowd"] for a in content["annotations"]} == {0}
    assert found == OBJECTS
    images = json.loads((folder / "annotations/instances_val.json").read_text())["images"]
    assert [(i["file_name"], i["width"], i["height"]) for i in images] == [
        ("b/c.png", 4, 1),
        ("d.jpg", 2, 1),
    ]


def test_ids_are_unique_over_all_files(street: Dataset, tmp_path: Path) -> None:
    folder = export(street, tmp_path / "out", "coco_segments")
    contents = [json.loads(path.read_text()) for path in folder.rglob("*.json")]
    for kind in ("images", "annotations"):
        ids = [entry["id"] for content in contents for entry in content[kind]]
        assert sorted(ids) == list(range(1, len(ids) + 1))


@pytest.mark.parametrize("form", ["coco", "coco_instances"])
@pytest.mark.parametrize("segmentation", ["polygons", "rle"])
def test_datumaro_reads_it_back(
    street: Dataset, tmp_path: Path, segmentation: str, form: str
) -> None:
    folder = export(street, tmp_path / "out", "coco_segments", segmentation=segmentation)
    again = export(Dataset.import_from(str(folder), form), tmp_path / "again", "segmask")
    back = Dataset.import_from(str(again), "segmask")
    names = [label.name for label in back.categories()[AnnotationType.label].items]
    for found in back:
        objects = [(names[a.label], picture(a.image)) for a in found.annotations]
        assert sorted(objects) == sorted(OBJECTS[found.id])


def test_stuff(street: Dataset, tmp_path: Path) -> None:
    name = "annotations/instances_val.json"
    whole = json.loads((export(street, tmp_path / "0", "coco_segments") / name).read_text())
    assert [a["iscrowd"] for a in whole["annotations"]] == [0]
    crowd = export(street, tmp_path / "1", "coco_segments", stuff="crowd") / name
    (region,) = json.loads(crowd.read_text())["annotations"]
    assert region["iscrowd"] == 1
    assert pixels_of(region, 1, 4) == "0110"
    skipped = export(street, tmp_path / "2", "coco_segments", stuff="skip") / name
    assert json.loads(skipped.read_text())["annotations"] == []


def test_background_is_a_class_on_demand(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = str(as_folder(FILES, tmp_path / "task"))
    source = Dataset.import_from(path, "segmask", keep_background=True)
    folder = export(source, tmp_path / "out", "coco_segments", keep_background=True)
    content = json.loads((folder / "annotations/instances_val.json").read_text())
    assert [c["name"] for c in content["categories"]] == ["background", "car", "road"]
    assert len(content["annotations"]) == 3
    with caplog.at_level(logging.WARNING):
        folder = export(source, tmp_path / "without", "coco_segments")
    assert (
        "3 annotations of the background (with keep_background=True they are objects)"
        in caplog.text
    )
    assert objects_of(folder / "annotations/instances_val.json")["b/c"] == OBJECTS["b/c"]


def test_black_label_is_the_background_where_none_has_that_name(tmp_path: Path) -> None:
    source = dataset([item(mask("1000 0000", label=1))], ["void", "car"], {0: (0, 0, 0)})
    folder = export(source, tmp_path / "out", "coco_segments")
    content = json.loads((folder / "annotations/instances_default.json").read_text())
    assert [c["name"] for c in content["categories"]] == ["car"]


def test_masks_that_overlap_are_not_painted_over(tmp_path: Path) -> None:
    rows = "11110000 11110000 00000000 00000000 00000000 00000000"
    below, above = annotations_of(
        [rle(rows, group=1), mask(rows.replace("1111", "0111"), group=2, z_order=1)], tmp_path
    )
    assert pixels_of(below) == rows
    assert pixels_of(above) == rows.replace("1111", "0111")


def test_masks_of_a_group_are_one_object_a_label(tmp_path: Path) -> None:
    left, right = "1000 0000", "0001 0000"
    source = dataset([item(mask(left, group=3), mask(right, group=3), mask(left, 2, group=3))])
    folder = export(source, tmp_path / "out", "coco_segments")
    assert objects_of(folder / "annotations/instances_default.json")["a"] == [
        ("car", "1001 0000"),
        ("road", left),
    ]


def test_polygons_keep_their_points(tmp_path: Path) -> None:
    points = [1.0, 1.0, 5.25, 1.0, 5.25, 4.5, 1.0, 4.5]
    (found,) = annotations_of([Polygon(points, label=1)], tmp_path)
    assert found["segmentation"] == [points]
    painted = mask_utils.decode(mask_utils.frPyObjects([points], 6, 8)[0])
    assert found["area"] == painted.sum()


def test_parts_of_a_group_are_parts_of_one_object(tmp_path: Path) -> None:
    first, second = [0.0, 0.0, 2.0, 0.0, 2.0, 2.0, 0.0, 2.0], [4.0, 1.0, 6.0, 1.0, 6.0, 4.0]
    (found,) = annotations_of([Polygon(p, label=1, group=2) for p in (first, second)], tmp_path)
    assert found["segmentation"] == [first, second]


def test_boxes_and_ellipses_are_objects(tmp_path: Path) -> None:
    found = annotations_of(
        [
            Bbox(1, 1, 3, 2, label=1),
            RotatedBbox(4, 3, 4, 2, 0, label=1),
            Ellipse(1, 1, 5, 5, label=2),
        ],
        tmp_path,
    )
    assert [a["category_id"] for a in found] == [1, 1, 2]
    assert found[0]["bbox"] == [1, 1, 3, 2]
    assert found[1]["bbox"] == [2, 2, 4, 2]
    ellipse = np.array([list(row) for row in pixels_of(found[2]).split()]).astype(int)
    assert ellipse[3].tolist() == [0, 1, 1, 1, 1, 1, 0, 0]


def test_box_of_a_mask_is_no_object(tmp_path: Path) -> None:
    rows = "11110000 11110000 00000000 00000000 00000000 00000000"
    (found,) = annotations_of([rle(rows, group=4), Bbox(0, 0, 4, 3, label=1, group=4)], tmp_path)
    assert pixels_of(found) == rows


def test_crowds_of_the_source_stay_crowds(tmp_path: Path) -> None:
    rows = "11110000 11110000 00000000 00000000 00000000 00000000"
    (found,) = annotations_of([rle(rows, attributes={"is_crowd": True})], tmp_path)
    assert found["iscrowd"] == 1


def test_what_is_left_out_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    nothing = "00000000 " * 6
    with caplog.at_level(logging.WARNING):
        left = annotations_of(
            [Points([1, 1], label=1), mask(nothing), Polygon([1, 1, 4, 1, 4, 4], label=None)],
            tmp_path,
        )
    assert left == []
    for text in ("1 annotation of type points", "without a pixel", "1 annotation without a label"):
        assert text in caplog.text


class Lenient(ExportErrorPolicy):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def _handle_item_error(self, error: Exception) -> None:
        self.seen.append(str(error.__cause__))

    _handle_annotation_error = _handle_item_error


BROKEN = [
    pytest.param(Polygon([1, 1, 4, float("nan"), 4, 4], label=1), "nan", id="not-a-number"),
    pytest.param(Mask(np.ones((2, 2), bool), label=1), "2 x 2", id="other-size"),
    pytest.param(RleMask({"size": [6, 8], "counts": b"\x01"}, label=1), "broken", id="no-rle"),
    pytest.param(Bbox(1, 1, 2, 2, label=9), "label is 9", id="no-such-label"),
]


@pytest.mark.parametrize(("broken", "says"), BROKEN)
def test_broken_annotation_is_named(broken: Annotation, says: str, tmp_path: Path) -> None:
    sound = Bbox(1, 1, 3, 2, label=1)
    with pytest.raises(DatasetExportError, match=says):
        annotations_of([sound, broken], tmp_path / "strict")
    assert not list((tmp_path / "strict").rglob("*.json"))
    policy = Lenient()
    left = annotations_of([sound, broken], tmp_path / "lenient", error_policy=policy)
    assert len(left) == 1
    assert "annotations[1]" in policy.seen[0]


def test_images_go_along(street: Dataset, tmp_path: Path) -> None:
    folder = export(street, tmp_path / "out", "coco_segments", save_media=True)
    for name in ("default/a.jpg", "val/b/c.png", "val/d.jpg"):
        source = next((tmp_path / "task/JPEGImages").rglob(Path(name).name))
        assert (folder / "images" / name).read_bytes() == source.read_bytes()


@pytest.mark.parametrize("saves", [True, False])
@pytest.mark.parametrize("name", ["coco_segments", "panoptic_segments"])
def test_images_that_are_not_there_are_counted(
    name: str, saves: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    items = [item(mask("1000 0000"), size=None), item(mask("1000 0000"), id="b")]
    with caplog.at_level(logging.WARNING):
        export(dataset(items), tmp_path / "out", name, save_media=saves)
    told = [text for text in caplog.messages if "the dataset does not have" in text]
    assert told == ["Left out of the export: 1 image that the dataset does not have."] * saves


def test_item_whose_size_nobody_knows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = dataset([DatasetItem("x"), item(mask("1000 0000"))])
    with caplog.at_level(logging.WARNING):
        folder = export(source, tmp_path / "out", "coco_segments")
    assert [*objects_of(folder / "annotations/instances_default.json")] == ["a"]
    assert "1 item with neither image nor masks" in caplog.text


def test_export_again_leaves_no_old_files(street: Dataset, tmp_path: Path) -> None:
    folder = export(street, tmp_path / "out", "coco_segments")
    theirs = folder / "annotations/instances_theirs.json"
    theirs.write_text('{"info": {}}')
    street.remove("b/c", "val")
    street.remove("d", "val")
    export(street, folder, "coco_segments")
    names = {path.name for path in (folder / "annotations").iterdir()}
    assert names == {"instances_default.json", "instances_theirs.json"}


@pytest.mark.parametrize("form", ["coco_segments", "yolo_segments"])
def test_stream_gives_the_same_files(form: str, tmp_path: Path) -> None:
    path = str(as_zip(FILES, tmp_path / "task"))
    whole = export(Dataset.import_from(path, "segmask"), tmp_path / "1", form)
    streamed = export(StreamDataset.import_from(path, "segmask"), tmp_path / "2", form)
    files = [path.relative_to(whole) for path in whole.rglob("*.*") if path.is_file()]
    assert len(files) > 1
    for name in files:
        if name.name not in ("data.yaml", f".segmask-files.{form}"):
            assert (whole / name).read_bytes() == (streamed / name).read_bytes()


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("coco_segments", {"stuff": "some"}),
        ("coco_segments", {"segmentation": "masks"}),
        ("yolo_segments", {"stuff": "crowd"}),
        ("yolo_segments", {"split": "a=b"}),
        ("yolo_segments", {"split": "a"}),
    ],
)
def test_wrong_options_are_refused(form: str, options: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(DatasetExportError, match="the option"):
        export(dataset([item(mask("1000 0000"))]), tmp_path / "out", form, **options)


@pytest.mark.parametrize("form", ["coco_segments", "yolo_segments"])
@pytest.mark.parametrize("bad", [{"id": "a\nb"}, {"subset": "a/b"}])
def test_names_that_lead_elsewhere_are_refused(
    form: str, bad: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(DatasetExportError, match="cannot be written"):
        export(dataset([item(mask("1000 0000"), **bad)]), tmp_path / "out", form)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["coco_segments", "yolo_segments"])
def test_meta_file_on_demand(form: str, street: Dataset, tmp_path: Path) -> None:
    folder = export(street, tmp_path / "out", form, save_dataset_meta=True)
    assert "car" in (folder / "dataset_meta.json").read_text()


def test_failure_leaves_all_as_it_was(street: Dataset, tmp_path: Path) -> None:
    folder = export(street, tmp_path / "out", "coco_segments")
    before = {path: path.read_bytes() for path in folder.rglob("*.json")}
    bad = dataset([item(mask("1000 0000")), item(Bbox(0, 0, 1, 1, label=9), id="b")])
    with pytest.raises(DatasetExportError):
        export(bad, folder, "coco_segments")
    assert {path: path.read_bytes() for path in folder.rglob("*.json")} == before


# YOLO


def test_yolo_tree(street: Dataset, tmp_path: Path) -> None:
    folder = export(street, tmp_path / "out", "yolo_segments", save_media=True)
    files = {str(path.relative_to(folder)) for path in folder.rglob("*.*") if path.is_file()}
    assert files == {
        ".segmask-files.yolo_segments", "data.yaml",
        "images/train/a.jpg", "images/val/b/c.png", "images/val/d.jpg",
        "labels/train/a.txt", "labels/val/b/c.txt", "labels/val/d.txt",
    }  # fmt: skip
    data = (folder / "data.yaml").read_text().splitlines()
    assert f"path: {json.dumps(str(folder))}" in data
    assert {'train: "images/train"', 'val: "images/val"'} <= set(data)
    assert data[-3:] == ["names:", '  0: "car"', '  1: "road"']
    assert (folder / "labels/val/d.txt").read_text() == ""
    lines = (folder / "labels/train/a.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["0", "0", "1"]
    from datumaro_segmask.arrays import Size

    painted: list[Pixels] = [paint_yolo(line, Size(6, 7)) for line in lines]
    assert [picture(mask) for mask in painted[:2]] == [rows for _, rows in OBJECTS["a"][:2]]
    # The second road is in two parts; the bridge is two pixels.
    assert int(painted[2].sum()) == int(plane(OBJECTS["a"][2][1]).sum()) + 2


def test_yolo_says_which_images_are_missing(
    street: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        export(street, tmp_path / "out", "yolo_segments")
    assert "3 images not in" in caplog.text
    assert "images/train/a.jpg, images/val/b/c.png, images/val/d.jpg" in caplog.text


def test_yolo_splits(street: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        folder = export(
            street, tmp_path / "out", "yolo_segments", split="default=test, val=train",
            save_media=True,
        )  # fmt: skip
    assert {path.name for path in (folder / "labels").iterdir()} == {"test", "train"}
    data = (folder / "data.yaml").read_text()
    assert 'train: "images/train"\nval: "images/train"\ntest: "images/test"' in data
    assert "There is no split 'val'" in caplog.text


def test_yolo_takes_a_lone_subset_of_any_name_for_training(tmp_path: Path) -> None:
    source = dataset([item(mask("1000 0000"), subset="trainval")])
    folder = export(source, tmp_path / "out", "yolo_segments")
    assert 'train: "images/trainval"' in (folder / "data.yaml").read_text()


def test_yolo_refuses_another_item_of_one_id_in_a_split(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    items = [item(mask("1000 0000"), subset=subset) for subset in ("default", "train")]
    export(dataset(items), tmp_path / "same", "yolo_segments")
    assert "1 item in several subsets of a split" in caplog.text
    items[1] = item(mask("0100 0000"), subset="train")
    with pytest.raises(DatasetExportError, match="both are in the split 'train'"):
        export(dataset(items), tmp_path / "other", "yolo_segments")


def test_yolo_has_no_crowds(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    crowd = mask("1000 0000", attributes={"is_crowd": True})
    with caplog.at_level(logging.WARNING):
        folder = export(dataset([item(crowd)]), tmp_path / "out", "yolo_segments")
    assert (folder / "labels/train/a.txt").read_text() == ""
    assert "1 region of crowds" in caplog.text


def test_yolo_again_leaves_no_old_labels(
    street: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = export(street, tmp_path / "out", "yolo_segments", save_media=True)
    (folder / "labels/val.cache").write_bytes(b"old labels")
    with caplog.at_level(logging.INFO):
        export(street, folder, "yolo_segments", save_media=True)
    assert "earlier export" not in caplog.text
    street.remove("d", "val")
    with caplog.at_level(logging.INFO):
        export(street, folder, "yolo_segments", save_media=True)
    assert "removed 2 files of an earlier export" in caplog.text
    assert not (folder / "labels/val/d.txt").exists()
    assert not (folder / "labels/val.cache").exists()
    assert not (folder / "images/val/d.jpg").exists()


def test_labels_of_others_stay(street: Dataset, tmp_path: Path) -> None:
    theirs = tmp_path / "out/labels/val/theirs.txt"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("0 0 0 1 1")
    export(street, tmp_path / "out", "yolo_segments")
    assert theirs.exists()


def test_labels_without_any_class(tmp_path: Path) -> None:
    source = Dataset.from_iterable(
        [DatasetItem("a", media=Image.from_numpy(np.zeros((2, 2, 3), np.uint8)))],
        categories={AnnotationType.label: LabelCategories()},
        media_type=Image,
    )
    for form in ("coco_segments", "yolo_segments"):
        export(source, tmp_path / form, form)
    assert (tmp_path / "yolo_segments/labels/train/a.txt").exists()


@pytest.mark.parametrize("form", ["coco_segments", "yolo_segments"])
def test_imported_mask_that_is_put_into_an_item_of_another_size(
    street: Dataset, form: str, tmp_path: Path
) -> None:
    mask = street.get("a", "default").annotations[0]
    other = street.get("b/c", "val")
    street.put(other.wrap(annotations=[*other.annotations, mask]))
    with pytest.raises(DatumaroError, match="7 x 6"):
        export(street, tmp_path / "out", form)


# Suffixes


@pytest.mark.parametrize("save_media", [True, False])
@pytest.mark.parametrize("write", [as_folder, as_zip])
@pytest.mark.parametrize("form", ["coco_segments", "panoptic_segments"])
def test_a_picture_is_called_as_its_file_is(
    form: str, write: Any, save_media: bool, tmp_path: Path
) -> None:
    """Datumaro gives suffixes in small letters; trainers look for the file that is there."""
    files = archive({"a": rgb("0112")}, images={"a.JPG": jpeg(1, 4)})
    source = Dataset.import_from(str(write(files, tmp_path / "task")), "segmask")
    folder = export(source, tmp_path / "out", form, save_media=save_media)
    (path,) = (folder / "annotations").glob("*.json")
    assert [image["file_name"] for image in json.loads(path.read_text())["images"]] == ["a.JPG"]
    there = folder / "images/default/a.JPG"
    assert there.is_file() == save_media
    if save_media:
        assert there.read_bytes() == files["JPEGImages/a.JPG"]
