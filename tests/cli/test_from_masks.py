"""`from-masks`: folders of masks become archives that CVAT takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from datumaro_segmask.__main__ import main
from datumaro_segmask.archive.item import read_item
from datumaro_segmask.archive.lists import open_archive
from datumaro_segmask.archive.meaning import ClassLookup
from datumaro_segmask.cli.check.survey import survey
from datumaro_segmask.cli.mask_folder import open_mask_folder
from datumaro_segmask.cli.names import read_labels_file
from datumaro_segmask.errors import LabelMapError
from datumaro_segmask.png.container import MAX_PIXELS

from ..archives import LABELS, Files, as_folder, gray, jpeg, png, rgb

NAMES = "background\ncar\nroad\n"


def make(folder: Path, masks: Files, *options: str, labels: str = NAMES, out: str = "t.zip") -> int:
    as_folder(masks, folder / "masks")
    (folder / "names.txt").write_text(labels, "utf-8")
    paths = [str(folder / name) for name in ("masks", "names.txt", out)]
    return main(["from-masks", paths[0], "--labels", paths[1], "-o", paths[2], *options])


def content(path: Path) -> dict[tuple[str, str], list[tuple[str, int, int]]]:
    """Label, number and area of each instance, by subset and id."""
    archive = open_archive(str(path))
    lookup = ClassLookup(archive.label_map)
    names = [label.name for label in archive.label_map.labels]
    return {
        (subset, item_id): [
            (names[i.label], i.number, i.area)
            for i in read_item(archive.storage, lookup, item_id, MAX_PIXELS).instances
            if i.label is not None
        ]
        for subset, ids in archive.subsets.items()
        for item_id in ids
    }


@pytest.mark.parametrize(
    ("mask", "labels"),
    [(gray("0110 0002 1002"), NAMES), (rgb("0110 0002 1002"), LABELS)],
    ids=["index", "colour"],
)
@pytest.mark.parametrize("out", ["task.zip", "task"], ids=["zip", "folder"])
def test_components_become_instances(mask: bytes, labels: str, out: str, tmp_path: Path) -> None:
    assert make(tmp_path, {"a.png": mask, "b/c.png": mask}, labels=labels, out=out) == 0
    found = [("car", 1, 2), ("car", 2, 1), ("road", 3, 2)]
    assert content(tmp_path / out) == {("default", "a"): found, ("default", "b/c"): found}
    assert (tmp_path / out).is_dir() == (out == "task")
    judged = survey(str(tmp_path / out), for_cvat=True)
    assert {finding.kind for finding in judged.findings} <= {"thin-objects"}
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["masks", "names.txt", out])


def test_folder_of_masks_is_a_storage(tmp_path: Path) -> None:
    as_folder({"a.png": gray("1"), "b/c.png": gray("1")}, tmp_path / "masks")
    (tmp_path / "names.txt").write_text(NAMES, "utf-8")
    label_map = read_labels_file(str(tmp_path / "names.txt"))
    storage = open_mask_folder(str(tmp_path / "masks"), label_map).storage
    assert storage.place() == str(tmp_path / "masks")
    assert sorted(storage.files("SegmentationClass")) == [
        "SegmentationClass/a.png",
        "SegmentationClass/b/c.png",
    ]


def test_options_of_components(tmp_path: Path) -> None:
    masks = {"a.png": gray("100 010 002 220")}
    assert make(tmp_path, masks, "--connectivity", "4", "--min-area", "2") == 0
    assert content(tmp_path / "t.zip") == {("default", "a"): [("road", 1, 2)]}


def test_instances_from_a_folder(tmp_path: Path) -> None:
    """What they leave out becomes components, for CVAT takes no class pixels without instance."""
    as_folder({"a.png": gray("7700 0000")}, tmp_path / "numbers")
    masks = {"a.png": gray("1101 2000")}
    assert make(tmp_path, masks, "--instances", str(tmp_path / "numbers")) == 0
    assert content(tmp_path / "t.zip") == {
        ("default", "a"): [("car", 7, 2), ("car", 8, 1), ("road", 9, 1)]
    }


@pytest.mark.parametrize("place", ["train/", ""], ids=["by-subset", "together"])
def test_subset_folders_and_images(place: str, tmp_path: Path) -> None:
    as_folder({f"{place}x/a.JPG": jpeg(1, 2), "strange.jpg": jpeg(1, 1)}, tmp_path / "images")
    masks = {"train/x/a.png": gray("01"), "val/b.png": gray("20")}
    assert make(tmp_path, masks, "--subset-folders", "--images", str(tmp_path / "images")) == 0
    assert content(tmp_path / "t.zip") == {
        ("train", "x/a"): [("car", 1, 1)],
        ("val", "b"): [("road", 1, 1)],
    }
    archive = open_archive(str(tmp_path / "t.zip"))
    item = read_item(archive.storage, ClassLookup(archive.label_map), "x/a", MAX_PIXELS)
    assert item.image is not None
    assert list(archive.storage.files("JPEGImages")) == [item.image]


def test_subset_and_ignored_value(tmp_path: Path) -> None:
    masks = {"a.png": png(np.array([[0, 1, 255]], np.uint8))}
    assert make(tmp_path, masks, "--subset", "test", "--ignore-index", "255") == 0
    assert content(tmp_path / "t.zip") == {("test", "a"): [("car", 1, 1)]}


def test_broken_masks_are_all_named_and_nothing_is_written(tmp_path: Path, capsys) -> None:
    masks = {"a.png": gray("1"), "b.png": gray("9"), "c.png": b"no PNG"}
    assert make(tmp_path, masks) == 1
    text = capsys.readouterr().err
    assert "b.png: 1 value of the gray mask" in text
    assert "c.png: the file is no PNG" in text
    assert "2 of 3 masks" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["masks", "names.txt"]


def test_first_broken_masks_are_named(tmp_path: Path, capsys) -> None:
    assert make(tmp_path, {f"{i:02}.png": b"no PNG" for i in range(24)}) == 1
    text = capsys.readouterr().err
    assert text.count("the file is no PNG") == 20
    assert "... and 4 more" in text


def test_output_that_is_there(tmp_path: Path, capsys) -> None:
    assert make(tmp_path, {"a.png": gray("2")}) == 0
    assert make(tmp_path, {"a.png": gray("1")}) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert make(tmp_path, {"a.png": gray("1")}, "--overwrite") == 0
    assert content(tmp_path / "t.zip") == {("default", "a"): [("car", 1, 1)]}


def test_overwrite_takes_no_file_that_is_no_archive(tmp_path: Path, capsys) -> None:
    (tmp_path / "t.zip").write_bytes(b"mine")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/photo.jpg").write_bytes(b"mine")
    for out in ("t.zip", "mine"):
        assert make(tmp_path, {"a.png": gray("1")}, "--overwrite", out=out) == 2
        assert "is no archive of masks" in capsys.readouterr().err
    assert (
        (tmp_path / "t.zip").read_bytes() == (tmp_path / "mine/photo.jpg").read_bytes() == b"mine"
    )


def test_overwrite_takes_no_folder_of_the_input(tmp_path: Path, capsys, monkeypatch) -> None:
    masks = {"SegmentationClass/a.png": gray("1")}
    for out in ("masks", ".", "masks/out", "masks/SegmentationClass"):
        assert make(tmp_path, masks, "--overwrite", out=out) == 2
        assert "lie one in the other" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path / "masks")
    assert make(tmp_path, masks, "--overwrite", out=".") == 2
    assert (tmp_path / "masks/SegmentationClass/a.png").read_bytes() == gray("1")


def test_overwrite_keeps_what_is_not_of_the_archive(tmp_path: Path) -> None:
    as_folder({"SegmentationClass/old.png": gray("1"), "notes.txt": b"mine"}, tmp_path / "task")
    assert make(tmp_path, {"a.png": gray("1")}, "--overwrite", out="task") == 0
    assert (tmp_path / "task/notes.txt").read_bytes() == b"mine"
    assert not (tmp_path / "task/SegmentationClass/old.png").exists()


def test_folder_that_is_there(tmp_path: Path) -> None:
    as_folder({"SegmentationClass/old.png": gray("1")}, tmp_path / "task")
    assert make(tmp_path, {"a.png": gray("1")}, "--overwrite", out="task") == 0
    assert content(tmp_path / "task") == {("default", "a"): [("car", 1, 1)]}
    assert not (tmp_path / "task/SegmentationClass/old.png").exists()


@pytest.mark.parametrize(
    ("masks", "options", "says"),
    [
        ({"a.jpg": b""}, (), "no masks are here"),
        ({"a.png": b""}, ("--subset-folders",), "in no folder"),
        ({"a/x.png": b"", "b/x.png": b""}, ("--subset-folders",), "'x' has masks in two subsets"),
        ({"a.png": b""}, ("--images", "masks"), ""),
        ({"a.png": b""}, ("--instances", "other"), "none of the 1 instance masks such as 'z'"),
        ({"a.png": b""}, ("--images", "nowhere"), "there is no such folder"),
    ],
    ids=["no-png", "no-subset", "id-twice", "image-is-the-mask", "no-fit", "no-images"],
)
def test_folders_that_do_not_fit(masks, options, says, tmp_path: Path, capsys) -> None:
    as_folder({"z.png": b""}, tmp_path / "other")
    options = [str(tmp_path / o) if o in ("masks", "other", "nowhere") else o for o in options]
    assert make(tmp_path, masks, *options) == (2 if says else 1)
    assert says in capsys.readouterr().err
    assert not (tmp_path / "t.zip").exists()


def test_no_labels(tmp_path: Path, capsys) -> None:
    as_folder({"a.png": gray("1")}, tmp_path / "masks")
    args = [str(tmp_path / name) for name in ("masks", "nowhere/names.txt", "t.zip")]
    assert main(["from-masks", args[0], "--labels", args[1], "-o", args[2]]) == 2
    assert "names.txt: there is no such file" in capsys.readouterr().err


def test_too_many_instances_are_said(tmp_path: Path, capsys) -> None:
    masks = {"a.png": png(np.tile(np.array([[0, 1], [0, 0]], np.uint8), (20, 20)))}
    assert make(tmp_path, masks, "--connectivity", "4") == 1
    assert "CVAT refuses this archive" in capsys.readouterr().out


# Files of labels


def labels(text: str, folder: Path) -> list[tuple[str, int, tuple[int, int, int]]]:
    path = folder / "labels.txt"
    path.write_text(text, "utf-8")
    found = read_labels_file(str(path)).labels
    return [(label.name, label.index, label.color) for label in found]


def test_names(tmp_path: Path) -> None:
    assert labels("\ufeffcar\r\nBackground\r\na: b # 5\r\n\r\n", tmp_path) == [
        ("car", 0, (128, 128, 0)),  # black is the background's alone
        ("Background", 1, (0, 0, 0)),
        ("a: b # 5", 2, (0, 128, 0)),
    ]


@pytest.mark.parametrize("text", [LABELS, "background:0,0,0\ncar\nroad\n", "a::\nb::\n"])
def test_label_maps(text: str, tmp_path: Path) -> None:
    names = [name for name, _, _ in labels(text, tmp_path)]
    assert names == [line.partition(":")[0] for line in text.split()]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "declares no label"),
        ("car\n\nroad\n", r"labels\.txt:2: the line is blank"),
        ("# mine\ncar\n", r"labels\.txt:1: the line is a comment"),
        ("car\ncar\n", r"labels\.txt:2: the label 'car' stands there twice"),
    ],
    ids=["empty", "blank", "comment", "twice"],
)
def test_names_that_mean_nothing(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(LabelMapError, match=says):
        labels(text, tmp_path)
