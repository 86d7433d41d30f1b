"""YOLO segments as Ultralytics and its users have them, without Datumaro."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_utils

from datumaro_segmask.arrays import Size
from datumaro_segmask.errors import SourceError
from datumaro_segmask.formats.read_coco import open_coco
from datumaro_segmask.formats.read_yolo import (
    YoloDataset,
    YoloLabels,
    has_segments,
    labels_of,
    open_yolo,
    paint_rings,
    read_labels,
)

from ..archives import Files, as_folder
from ..training.scenes import Mask, paint_yolo
from .yolo_sets import (
    BOX,
    HEIGHT,
    NAMES,
    RING,
    WIDTH,
    cvat,
    pictures,
    predictions,
    roboflow,
    texts,
    tree,
)

SIZE = Size(HEIGHT, WIDTH)


def ids_of(found: YoloDataset) -> dict[str, list[str]]:
    return {subset: [*some] for subset, some in found.subsets.items()}


def read(text: str, folder: Path, classes: int = 2, may_be_scored: bool = True) -> YoloLabels:
    """Read the text of a label file, which has to be sound."""
    path = folder / "a.txt"
    path.write_bytes(text.encode())

    def fail(error: SourceError) -> None:
        raise error

    return read_labels(str(path), SIZE, classes, may_be_scored, fail)


# Data sets

SETS = {
    "coco8-seg": (tree(), {"train": ["a", "b"], "val": ["c"]}),
    "train-as-a-list": (
        tree("train: [images/train, images/val]\n" + NAMES),
        {"train": ["train/a", "train/b", "val/c"]},
    ),
    "validation": (
        tree("train: images/train\nvalidation: images/val\n" + NAMES),
        {"train": ["a", "b"], "val": ["c"]},
    ),
    "a-folder-above-images": (
        roboflow("train: train\nval: valid\n" + NAMES),
        {"train": ["a"], "val": ["c"]},
    ),
    "roboflow": (roboflow(), {"train": ["a"], "val": ["c"]}),
    "cvat": (cvat(), {"train": ["a"]}),
    "a-list-of-files": (
        tree("train: train.txt\nval: val.txt\n" + NAMES)
        | texts(
            {
                "train.txt": "./images/train/a.jpg\n\nimages/train/b.jpg\n",
                "val.txt": "\ufeff./images/val/c.jpg\r\n",
            }
        ),
        {"train": ["a", "b"], "val": ["c"]},
    ),
    "val-is-train": (
        tree("train: images/train\nval: images/train\n" + NAMES),
        {"train": ["a", "b"]},
    ),
    "a-tree-that-was-moved": (
        tree("path: /content/datasets/coco8-seg\ntrain: images/train\nval: images/val\n" + NAMES),
        {"train": ["a", "b"], "val": ["c"]},
    ),
    "paths-of-windows": (
        roboflow("path: C:\\Users\\me\\set\ntrain: \\train\\images\nval: valid\\images\n" + NAMES),
        {"train": ["a"], "val": ["c"]},
    ),
    "whole-paths-of-windows": (
        roboflow("train: D:\\set\\train\\images\nval: D:\\set\\valid\\images\n" + NAMES),
        {"train": ["a"], "val": ["c"]},
    ),
    "whole-paths-of-another-machine": (
        tree("train: /content/set/images/train\nval: /content/set/images/val\n" + NAMES),
        {"train": ["a", "b"], "val": ["c"]},
    ),
    "paths-from-where-somebody-trained": (
        tree("train: ../../datasets/set/images/train\nval: ./datasets/set/images/val\n" + NAMES),
        {"train": ["a", "b"], "val": ["c"]},
    ),
    "a-list-of-files-of-another-machine": (
        tree("train: train.txt\nval: val.txt\n" + NAMES)
        | texts(
            {
                "train.txt": "/home/me/set/images/train/a.jpg\n/home/me/set/images/train/b.jpg\n",
                "val.txt": "D:\\set\\images\\val\\c.jpg\n",
            }
        ),
        {"train": ["a", "b"], "val": ["c"]},
    ),
    "path-is-the-folder-itself": (
        tree("path: set\ntrain: images/train\nval: images/val\n" + NAMES),
        {"train": ["a", "b"], "val": ["c"]},
    ),
    "one-folder-down": (
        {f"export/{name}": data for name, data in tree().items()},
        {"train": ["a", "b"], "val": ["c"]},
    ),
    "folders-without-data.yaml": (
        {name: data for name, data in tree().items() if name != "data.yaml"},
        {"train": ["a", "b"], "val": ["c"]},
    ),
    "roboflow-without-data.yaml": (
        {name: data for name, data in roboflow().items() if name != "data.yaml"},
        {"train": ["a"], "valid": ["c"]},
    ),
    "images-and-labels": (
        pictures("images/a.jpg", "images/x/b.jpg")
        | texts({"labels/a.txt": RING, "labels/x/b.txt": RING}),
        {"default": ["a", "x/b"]},
    ),
    "labels-beside-the-pictures": (
        pictures("a.jpg", "x/b.jpg") | texts({"a.txt": RING, "x/b.txt": RING}),
        {"default": ["a", "x/b"]},
    ),
    "pictures-beside-predictions": (
        pictures("a.jpg", "none.jpg") | texts({"labels/a.txt": f"{RING} 0.9"}),
        {"default": ["a", "none"]},
    ),
}


@pytest.mark.parametrize("name", SETS)
def test_data_sets_as_people_have_them(name: str, tmp_path: Path) -> None:
    files, expected = SETS[name]
    root = as_folder(files, tmp_path / "set")
    found = open_yolo(str(root))
    assert ids_of(found) == expected
    with_labels = {
        Path(picture.labels).stem
        for some in found.subsets.values()
        for picture in some.values()
        if picture.labels
    }
    assert with_labels == {Path(item_id).name for ids in expected.values() for item_id in ids} - {
        "none"
    }


@pytest.mark.parametrize(
    ("path", "options"),
    [
        pytest.param("runs/segment/predict", {}, id="the-run"),
        pytest.param("runs/segment/predict/labels", {}, id="its-labels"),
        pytest.param("runs/segment/predict", {"names": "names.txt"}, id="with-names"),
    ],
)
def test_predictions_with_the_originals(path: str, options: dict[str, str], tmp_path: Path) -> None:
    root = as_folder(predictions() | texts({"names.txt": "car\nroad\n"}), tmp_path)
    options = {name: str(root / place) for name, place in options.items()}
    found = open_yolo(str(root / path), images=str(root / "photos"), **options)
    assert ids_of(found) == {"default": ["a", "none"]}
    assert found.names == (("car", "road") if options else ("class_0",))
    assert found.may_be_scored


def test_predictions_without_pictures_say_what_to_type(tmp_path: Path) -> None:
    root = as_folder(predictions(), tmp_path)
    with pytest.raises(SourceError, match="import with images=FOLDER"):
        open_yolo(str(root / "runs/segment/predict"))


def test_pictures_beside_predictions_may_be_drawings(tmp_path: Path) -> None:
    files, _ = SETS["pictures-beside-predictions"]
    (note,) = open_yolo(str(as_folder(files, tmp_path))).notes
    assert "Give images=FOLDER to use the originals" in note


def test_where_a_path_of_another_machine_leads_is_said(tmp_path: Path) -> None:
    data = "train: /content/set/images/train\nval: images/val\n" + NAMES
    root = as_folder(tree(data), tmp_path / "other")
    (note,) = open_yolo(str(root)).notes
    assert "'train' names '/content/set/images/train'; " in note
    assert note.endswith(f"{root / 'images/train'} is taken")


def test_a_path_that_is_nowhere_is_not_guessed(tmp_path: Path) -> None:
    root = as_folder(tree("train: /content/images\nval: images/val\n" + NAMES), tmp_path / "set")
    found = open_yolo(str(root))
    assert ids_of(found) == {"val": ["c"]}
    assert "names '/content/images', which is not there" in found.notes[0]


def test_what_lies_beside_a_data_file_counts_before_where_the_tree_was(tmp_path: Path) -> None:
    old = as_folder(tree(f"path: {tmp_path}/old\ntrain: images/train\n" + NAMES), tmp_path / "old")
    new = as_folder(tree((old / "data.yaml").read_text()), tmp_path / "new")
    (picture, _) = open_yolo(str(new)).subsets["train"].values()
    assert picture.path == str(new / "images/train/a.jpg")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("names: [car, no]\n", ("car", "no")),
        ("names:\n  1: road\n  0: car\n", ("car", "road")),
        ("names: {0: 12, 1: 'traffic: sign'}\n", ("12", "traffic: sign")),
        ("nc: 3\n", ("class_0", "class_1", "class_2")),
    ],
)
def test_names(text: str, names: tuple[str, ...], tmp_path: Path) -> None:
    root = as_folder(tree("train: images/train\n" + text), tmp_path)
    assert open_yolo(str(root / "data.yaml")).names == names


@pytest.mark.parametrize("place", ["classes.txt", "labels/classes.txt"])
def test_names_in_a_list_beside(place: str, tmp_path: Path) -> None:
    files = {name: data for name, data in tree().items() if name != "data.yaml"}
    assert open_yolo(str(as_folder(files | {place: b"car\nroad\n"}, tmp_path))).names == (
        "car",
        "road",
    )


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (tree("train: images/train\nnames: [car\n"), "data.yaml:3: this is not YAML"),
        (tree("train: no\nval: neither\n" + NAMES), "'train' names 'no', which is not there"),
        (tree("train: images/train\nnames: [a, a]\n"), "the classes 0 and 1 are both 'a'"),
        (tree("train: images/train\nnames: [a, '', b]\n"), "the class 1 has no name"),
        (tree("train: images/train\nnames: {0: a, 2: b}\n"), "the keys of 'names' are 0, 2"),
        (tree("train: images/train\nnames: [a]\nnc: 2\n"), "'nc' is 2, and 'names' has 1 name"),
        (tree("train: images/train\nnc: few\n"), "'nc' is 'few'"),
        (tree("train: {a: b}\n" + NAMES), "'train' is {'a': 'b'}"),
        (tree("kpt_shape: [17, 3]\ntrain: images/train\n" + NAMES), "the labels are poses"),
        (tree("- a\n"), "data.yaml: this is not a mapping"),
        (pictures("images/a.jpg"), "none of 1 image has a label file"),
        ({"data.yaml": b"names: [caf\xe9]\n"}, "the byte 0xe9 at 11 is not UTF-8"),
        (
            {name.replace("data.yaml", "a.yaml"): data for name, data in tree().items()}
            | texts({"b.yaml": "train: x\n"}),
            "2 files name images: a.yaml, b.yaml",
        ),
    ],
)
def test_what_is_wrong_with_a_data_set_is_said(files: Files, message: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        open_yolo(str(as_folder(files, tmp_path)))
    assert message in str(caught.value)


def test_predictions_whose_names_are_those_of_no_picture(tmp_path: Path) -> None:
    """As of an array, which Ultralytics calls image0.jpg."""
    files = predictions()
    files["runs/segment/predict/labels/image0.txt"] = files.pop("runs/segment/predict/labels/a.txt")
    root = as_folder(files, tmp_path)
    with pytest.raises(SourceError) as caught:
        open_yolo(str(root / "runs/segment/predict"), images=str(root / "photos"))
    assert "(image0.txt) have other names, and none of 2 images has" in str(caught.value)
    assert f"such as {root / 'runs/segment/predict/labels/a.txt'}" in str(caught.value)


def test_predictions_of_two_runs_in_one_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"a.txt:2: .*predict again into a new folder"):
        read(f"{RING}\n{RING} 0.5\n", tmp_path)


@pytest.mark.parametrize("read", [open_yolo, open_coco])
@pytest.mark.parametrize(
    ("data", "command"), [(b"PK\3\4", "unzip {} -d set"), (b"\x1f\x8b", "tar -xf {} -C set")]
)
def test_an_archive_is_to_be_unpacked(
    data: bytes, command: str, read: Callable[[str], object], tmp_path: Path
) -> None:
    path = tmp_path / "set.zip"
    path.write_bytes(data)
    with pytest.raises(SourceError) as caught:
        read(str(path))
    assert command.format(path) in caught.value.remedy


def test_a_folder_of_a_zip_says_so(tmp_path: Path) -> None:
    (tmp_path / "set.zip").write_bytes(b"PK\3\4")
    with pytest.raises(SourceError, match=r"no images, but set.zip.*unzip .*set.zip -d set"):
        open_yolo(str(tmp_path))


@pytest.mark.parametrize(
    ("files", "note"),
    [
        (
            tree("train: images/train\nval: images/train\n" + NAMES),
            "2 images of the split 'val' left out, because an earlier split has them",
        ),
        (roboflow() | texts({"train/labels/x.txt": RING}), "1 label file left out"),
        (tree() | pictures("images/train/a.png"), "another one of the same name"),
        (
            roboflow("train: ../train/images\ntest: ../test/images\n" + NAMES),
            "'test' names '../test/images', which is not there",
        ),
    ],
)
def test_what_is_passed_over_is_said(files: Files, note: str, tmp_path: Path) -> None:
    (said,) = open_yolo(str(as_folder(files, tmp_path))).notes
    assert note in said


@pytest.mark.parametrize(
    ("picture", "labels"),
    [
        ("/x/images/train/a.jpg", "/x/labels/train/a.txt"),
        ("/images/images/a.b.jpg", "/images/labels/a.b.txt"),  # the last one counts
        ("/x/photos/a.jpg", "/x/photos/a.txt"),
        ("/x/images.old/a.jpg", "/x/images.old/a.txt"),
    ],
)
def test_place_of_labels_is_ultralytics(picture: str, labels: str) -> None:
    assert labels_of(picture) == labels


# Labels


def test_rings_boxes_and_scores(tmp_path: Path) -> None:
    found = read(f"{RING} 0.5\n{BOX} 0.25\n", tmp_path).objects
    assert [(o.label, o.score, o.box) for o in found] == [
        (0, 0.5, None),
        (1, 0.25, (8.0, 3.0, 4.0, 4.0)),
    ]
    assert found[0].instance is not None
    assert found[1].instance is None


def test_boxes_among_segments_stay_boxes(tmp_path: Path) -> None:
    found = read(f"{BOX}\n{RING}\n", tmp_path, may_be_scored=False).objects
    assert [o.box is None for o in found] == [False, True]


def test_lines_that_say_the_same_count_once(tmp_path: Path) -> None:
    other = RING.replace("0.6", "0.7")
    labels = read(f"{RING}\n{other}\n{RING}0\n\n", tmp_path)
    assert (len(labels.objects), labels.repeated) == (2, 1)


def test_rings_off_the_picture_are_counted(tmp_path: Path) -> None:
    labels = read(f"0 1.001 1.001 1.009 1.001 1.009 1.009\n{RING}\n", tmp_path)
    assert (len(labels.objects), labels.empty) == (1, 1)


def test_class_as_a_number_with_a_point(tmp_path: Path) -> None:
    assert read("\ufeff1.0" + RING[1:], tmp_path).objects[0].label == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.1 0.1 0.5 0.1 0.5 x", "'x' is not a number"),
        ("car" + RING[1:], "'car' is not a number"),
        ("2" + RING[1:], "the class is 2. Expected a class from 0 to 1, because there are 2 names"),
        ("-1" + RING[1:], "the class is -1"),
        ("0.5" + RING[1:], "the class is 0.5"),
        ("0", "there are 0 numbers after the class"),
        ("0 0.1 0.1", "there are 2 numbers after the class"),
        (RING + " 0.7", "there are 7 numbers after the class"),
        ("0 0.1 0.1 0.5 0.1 0.5 1.02", "the coordinate 1.02 is outside of the image"),
        ("0 0.1 0.1 0.5 -0.02 0.5 0.9", "the coordinate -0.02 is outside of the image"),
        ("0 12 30 40 30 40 50", "coordinates in pixels have to be divided"),
        ("0 nan 0.1 0.5 0.1 0.5 0.6", "the coordinate nan is outside of the image"),
        ("1 0.5 0.5 -0.005 0.2", "the coordinate -0.005 is outside of the image"),
    ],
)
def test_broken_line_names_file_and_line(line: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        read(f"{RING}\n\n{line}\n", tmp_path, may_be_scored=False)
    assert f"{tmp_path / 'a.txt'}:3: " in str(caught.value)
    assert message in str(caught.value)


def test_reading_goes_on_behind_a_broken_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(f"0 x\n{RING}\n9 0 0 1 1 1 0\n")
    errors: list[SourceError] = []
    labels = read_labels(str(path), SIZE, 2, False, errors.append)
    assert [error.where for error in errors] == [f"{path}:1", f"{path}:3"]
    assert len(labels.objects) == 1


def test_a_confidence_stands_in_every_line_or_in_none(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there are 7 numbers"):
        read(f"{RING}\n{RING} 0.5\n", tmp_path)


def test_numbers_of_tracks_are_no_confidence(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="without the numbers of tracks"):
        read(f"{RING} 17\n", tmp_path)


def test_painted_as_ultralytics_paints() -> None:
    """Rings of any form, a little off the picture too, in a window of their own."""
    rng = np.random.default_rng(23)
    for i in range(400):
        size = Size(*(int(side) for side in rng.integers(1, 70, 2)))
        rings = rng.uniform(-0.01, 1.01, (3, int(rng.integers(3, 9)), 2)).round(i % 4 + 1)
        found = paint_rings(dict(enumerate(rings)), size)
        for number, ring in enumerate(rings):
            line = " ".join(["0", *(str(value) for value in ring.ravel().tolist())])
            expected = paint_yolo(line, size)
            assert (number in found) == bool(expected.any())
            if number in found:
                rle = {"size": [*size], "counts": found[number].counts}
                np.testing.assert_array_equal(mask_utils.decode(rle), expected)
                assert found[number].area == int(expected.sum())
                assert found[number].bbox == cv2.boundingRect(expected)


def test_scaled_in_single_precision(tmp_path: Path) -> None:
    """In double precision 0.334375 * 640 is less than 214, and Ultralytics has 214."""
    size = Size(640, 640)
    line = "0 0.334375 0.1 0.9 0.1 0.9 0.9"
    ring = np.array(line.split()[1:], float).reshape(-1, 2)
    expected: Mask = paint_yolo(line, size)
    found = paint_rings({0: ring}, size)[0]
    rle = {"size": [*size], "counts": found.counts}
    np.testing.assert_array_equal(mask_utils.decode(rle), expected)


# Detection


@pytest.mark.parametrize("name", [name for name in SETS if name != "labels-beside-the-pictures"])
def test_segments_are_found(name: str, tmp_path: Path) -> None:
    assert has_segments(str(as_folder(SETS[name][0], tmp_path)))


@pytest.mark.parametrize(
    "files",
    [
        pytest.param(tree(line=BOX), id="boxes"),
        pytest.param(tree(line=""), id="nothing"),
        pytest.param(tree("kpt_shape: [2, 3]\n", "0 .5 .5 .2 .2 .1 .1 1 .2 .2 1"), id="poses"),
        pytest.param(tree("a: [", RING), id="broken-yaml"),
        pytest.param(
            {"labels/a.txt": b"Car 0.00 0 -1.58 587.01 173.33 614.12 200.12\n"}, id="kitti"
        ),
        pytest.param({"labels/a.txt": b"0 10 20 30 20 30 40\n"}, id="pixels"),
        pytest.param({"notes/a.txt": RING.encode()}, id="other-texts"),
    ],
)
def test_others_are_not(files: Files, tmp_path: Path) -> None:
    assert not has_segments(str(as_folder(files, tmp_path)))
