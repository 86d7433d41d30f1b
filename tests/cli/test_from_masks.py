"""`from-masks`: folders of masks become archives that CVAT takes."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datumaro_segmask.__main__ import main
from datumaro_segmask.archive.class_lookup import ClassLookup
from datumaro_segmask.archive.item import read_item
from datumaro_segmask.archive.lists import open_archive
from datumaro_segmask.cli.check.survey import check
from datumaro_segmask.cli.from_masks.folder import open_mask_folder
from datumaro_segmask.cli.from_masks.names import read_labels_file
from datumaro_segmask.errors import LabelMapError
from datumaro_segmask.png.container import MAX_PIXELS

from ..archives import (
    LABELS,
    Files,
    as_folder,
    gray,
    jpeg,
    painted,
    palette_png,
    png,
    raw_png,
    rgb,
)

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
    judged = check(str(tmp_path / out), for_cvat=True)
    assert {finding.kind for finding in judged.findings} <= {"thin-objects"}
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["masks", "names.txt", out])


def test_folder_of_masks_is_a_storage(tmp_path: Path) -> None:
    as_folder({"a.png": gray("1"), "b/c.png": gray("1")}, tmp_path / "masks")
    (tmp_path / "names.txt").write_text(NAMES, "utf-8")
    label_map = read_labels_file(str(tmp_path / "names.txt")).label_map
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


def test_pixels_that_touch_at_a_corner_are_one_component(tmp_path: Path) -> None:
    assert make(tmp_path, {"a.png": gray("100 010 000 002")}) == 0
    assert content(tmp_path / "t.zip") == {("default", "a"): [("car", 1, 2), ("road", 2, 1)]}


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


def test_status_is_the_one_that_is_printed(tmp_path: Path, capsys) -> None:
    """Objects that vanish if they are sent as polygons are a note: how they are sent is open."""
    assert make(tmp_path, {"a.png": gray("01")}) == 0
    said = capsys.readouterr().out
    assert "note: objects, or parts of them, that vanish as polygons" in said
    assert said.endswith("; CVAT takes this archive as it is (1 note)\n")
    (tmp_path / "t.zip").unlink()
    assert make(tmp_path, {"a.png": gray("01")}, "--subset", "a_b") == 1
    assert capsys.readouterr().out.endswith("; CVAT refuses this archive (1 error, 1 note)\n")


def test_subset_and_ignored_value(tmp_path: Path) -> None:
    masks = {"a.png": png(np.array([[0, 1, 255]], np.uint8))}
    assert make(tmp_path, masks, "--subset", "test", "--ignore-index", "255") == 0
    assert content(tmp_path / "t.zip") == {("test", "a"): [("car", 1, 1)]}


def test_broken_masks_are_all_named_and_nothing_is_written(tmp_path: Path, capsys) -> None:
    masks = {"a.png": gray("1"), "b.png": gray("9"), "c.png": b"no PNG"}
    assert make(tmp_path, masks) == 1
    text = capsys.readouterr().err
    assert "b.png: 1 value of the gray mask" in text
    assert "c.png: the file is not a PNG" in text
    assert "2 of 3 masks" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["masks", "names.txt"]


def test_first_broken_masks_are_named(tmp_path: Path, capsys) -> None:
    assert make(tmp_path, {f"{i:02}.png": b"no PNG" for i in range(24)}) == 1
    text = capsys.readouterr().err
    assert text.count("the file is not a PNG") == 20
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
        assert "is inside the other" in capsys.readouterr().err
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
        ({"a.md": b""}, (), "there are no masks here"),
        ({"a.jpg": b""}, (), "1 file such as a.jpg cannot be masks"),
        ({"a.png": b"", "b.jpg": b""}, (), "1 file such as b.jpg cannot be masks"),
        ({"a.tif": b"", "a.bmp": b""}, (), "two masks have the name 'a': a.bmp, a.tif"),
        ({"a.png": b""}, ("--subset-folders",), "in no folder"),
        ({"a/x.png": b"", "b/x.png": b""}, ("--subset-folders",), "'x' has masks in two subsets"),
        ({"a.png": b""}, ("--images", "masks"), "there are no images here"),
        ({"a.png": b""}, ("--instances", "other"), "none of the 1 instance masks such as 'z.png'"),
        ({"a.png": b""}, ("--images", "nowhere"), "there is no such folder"),
    ],
    ids=[
        "no-png",
        "jpegs",
        "jpeg-without-a-mask",
        "two-types",
        "no-subset",
        "id-twice",
        "image-is-the-mask",
        "no-fit",
        "no-images",
    ],
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


# Masks of other types


def saved(pixels: np.ndarray, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(pixels)
    if options.pop("palette", False):
        image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    image.save(file, kind, **options)
    return file.getvalue()


INDEX = np.array([[0, 1, 1], [0, 0, 2]], np.uint8)
FOUND = [("car", 1, 2), ("road", 2, 1)]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.PNG", png(INDEX)),
        ("a.bmp", saved(INDEX, "BMP")),
        ("a.BMP", saved(painted("011 002"), "BMP")),
        ("a.tif", saved(INDEX, "TIFF")),
        ("a.tiff", saved(INDEX.astype(np.uint16), "TIFF", compression="tiff_lzw")),
        ("a.tif", saved(INDEX, "TIFF", palette=True, compression="tiff_adobe_deflate")),
        ("a.gif", saved(INDEX, "GIF", palette=True)),
        ("a.pgm", saved(INDEX, "PPM")),
        ("a.png", saved(INDEX, "BMP")),
    ],
    ids=["png", "bmp", "bmp-rgb", "tif", "tif-16", "tif-palette", "gif", "pgm", "bmp-named-png"],
)
def test_masks_of_types_without_loss(name: str, data: bytes, tmp_path: Path) -> None:
    as_folder({name: data}, tmp_path / "numbers")
    args = ("--instances", str(tmp_path / "numbers"))
    assert make(tmp_path, {name: data}, labels=LABELS) == 0
    assert content(tmp_path / "t.zip") == {("default", "a"): FOUND}
    assert make(tmp_path, {name: data}, *args, "--overwrite", labels=LABELS) == 0
    assert content(tmp_path / "t.zip") == {("default", "a"): FOUND}


def test_gray_values_of_which_a_gif_has_not_all(tmp_path: Path) -> None:
    """Pillow writes the values that are there as a palette of grays: the indices are others."""
    mask = saved(np.array([[0, 2, 255]], np.uint8), "GIF")
    assert make(tmp_path, {"a.gif": mask}, "--ignore-index", "255", labels=LABELS) == 0
    assert content(tmp_path / "t.zip") == {("default", "a"): [("road", 1, 1)]}
    labels = "background:0,0,0::\ncar:2,2,2::\nroad:9,9,9::\n"  # whose colours come first
    mask = saved(np.array([[0, 2]], np.uint8), "GIF")
    assert make(tmp_path, {"a.gif": mask}, "--overwrite", labels=labels) == 0
    assert content(tmp_path / "t.zip") == {("default", "a"): [("car", 1, 1)]}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (saved(painted("0" * 16), "TIFF", compression="jpeg"), "compressed as 'jpeg'"),
        (saved(INDEX.astype(np.float32), "TIFF"), "pixels of the kind 'F'"),
        (
            saved(INDEX, "TIFF", save_all=True, append_images=[Image.fromarray(INDEX)]),
            "a TIFF image of 2 pages",
        ),
        (saved(INDEX, "TIFF")[:-30], "cannot be read"),
        (jpeg(2, 2), "a JPEG image, not a PNG"),
    ],
    ids=["jpeg-inside", "floats", "pages", "cut", "jpeg-named-tif"],
)
def test_masks_that_may_have_changed(data: bytes, says: str, tmp_path: Path, capsys) -> None:
    assert make(tmp_path, {"a.tif": data}) == 1
    assert says in capsys.readouterr().err


def test_size_is_bounded_for_all_types(tmp_path: Path, capsys) -> None:
    masks = {"a.bmp": saved(INDEX, "BMP"), "b.png": png(INDEX)}
    assert make(tmp_path, masks, "--max-pixels", "5") == 1
    text = capsys.readouterr().err
    assert text.count("3 x 2 pixels") == 2
    assert text.count("raise the option max_pixels") == 2  # as this is no command line


def test_pictures_beside_the_masks(tmp_path: Path, caplog) -> None:
    masks = {"a.png": png(INDEX), "a.jpg": jpeg(2, 3), "b.jpg": jpeg(2, 3)}
    assert make(tmp_path, masks) == 0
    assert "2 files such as a.jpg are no masks and are left out" in caplog.text
    assert content(tmp_path / "t.zip") == {("default", "a"): FOUND}
    assert make(tmp_path, masks, "--images", str(tmp_path / "masks"), "--overwrite") == 0
    files = open_archive(str(tmp_path / "t.zip")).storage.files("JPEGImages")
    assert list(files) == ["JPEGImages/a.jpg"]


@pytest.mark.parametrize(
    "data",
    [
        png(INDEX.clip(0, 1) * 255),
        png(INDEX.clip(0, 1)),
        raw_png(INDEX.clip(0, 1)[..., None], 1),
        png(np.repeat(INDEX.clip(0, 1)[..., None] * 255, 3, 2)),
        palette_png(INDEX.clip(0, 1), [[0, 0, 0], [255, 255, 255]]),
        saved(INDEX > 0, "BMP"),
    ],
    ids=["255", "1", "one-bit", "rgb", "palette", "bmp"],
)
def test_masks_in_black_and_white(data: bytes, tmp_path: Path) -> None:
    as_folder({"a.png": data}, tmp_path / "masks")
    out = tmp_path / "t.zip"
    args = ["from-masks", str(tmp_path / "masks"), "--binary", "tumour", "-o", str(out)]
    assert main(args) == 0
    assert content(out) == {("default", "a"): [("tumour", 1, 3)]}


def test_labels_are_given_in_one_way(tmp_path: Path, capsys) -> None:
    for args in ([], ["--labels", "x", "--binary", "y"]):
        with pytest.raises(SystemExit):
            main(["from-masks", str(tmp_path), "-o", "t.zip", *args])
        assert "--binary" in capsys.readouterr().err


# Files of labels


def labels(text: str, folder: Path) -> list[tuple[str, int, tuple[int, int, int]]]:
    path = folder / "labels.txt"
    path.write_text(text, "utf-8")
    found = read_labels_file(str(path)).label_map.labels
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
        ("car\ncar\n", r"labels\.txt:2: the label 'car' is there twice"),
    ],
    ids=["empty", "blank", "comment", "twice"],
)
def test_names_that_mean_nothing(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(LabelMapError, match=says):
        labels(text, tmp_path)


CAR_ROAD = [("background", 0), ("car", 1), ("road", 2)]
OTHERS = {
    "labelme": ("__ignore__\n_background_\ncar\nroad\n", CAR_ROAD, "labelme"),
    "labelme-without-ignored": ("_background_\ncar\nroad\n", CAR_ROAD, "labelme"),
    "yaml": ("- background\n- car\n- road\n", CAR_ROAD, "YAML"),
    "yaml-of-yolo": ("path: x\nnames:\n  0: background\n  1: car\n  2: road\n", CAR_ROAD, "YAML"),
    "yaml-in-a-line": ("nc: 3\nnames: [background, car, road]\n", CAR_ROAD, "YAML"),
    "json": ('["background", "car", "road"]', CAR_ROAD, "JSON"),
    "id2label": ('{"id2label": {"0": "background", "1": "car", "2": "road"}}', CAR_ROAD, "JSON"),
    "label2id": ('{"car": 1, "road": 2, "background": 0}', CAR_ROAD, "JSON"),
    "coco": ('{"categories": [{"id": 1, "name": "car"}, {"id": 2, "name": "road"}]}', CAR_ROAD,
             "JSON"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_labels_of_other_tools(name: str, tmp_path: Path, capsys) -> None:
    """They are read as they are meant, and it is said how."""
    text, expected, said = OTHERS[name]
    assert sorted((n, i) for n, i, _ in labels(text, tmp_path)) == sorted(expected)
    first, last = expected[1][1] if expected is CAR_ROAD else expected[-1][1], expected[-1][1]
    mask = png(np.array([[0, first, last]], np.uint8))
    assert make(tmp_path, {"a.png": mask}, labels=text) == 0
    assert "names.txt: read as a" in (out := capsys.readouterr().out)
    assert said in out
    by_name = {label for label, _, _ in content(tmp_path / "t.zip")[("default", "a")]}
    assert by_name == {n for n, i in expected if i in (first, last) or n == "unlabeled"}


TABLES = {
    "csv": "background,0,0,0\ncar,255,0,0\nroad,0,255,0\n",
    "csv-with-head": "name,r,g,b\nbackground,0,0,0\ncar,9,0,0\nroad,0,9,0\n",
    "csv-of-values": "0;background\r\n1;car\r\n2;road\r\n",
    "csv-values-behind": "background,0\nroad,2\ncar,1\n",
    "csv-of-all": "id,class,r,g,b\n0,background,0,0,0\n1,car,1,1,1\n2,road,2,2,2\n",
    "segnet": "0 0 0\tbackground\n64 0 128\tcar\n9 9 9\t\troad\n",
    "numbered": "0: background\n1: car\n2: road\n",
    "numbered-with-spaces": "0 background\n1 car\n2 road\n",
    "numbered-from-1": "1. car\n2. road\n",
    "gaps": "7\tcar\n26\troad\n",
    "cityscapes": "unlabeled,0\nplate,-1\ncar,26\n",
    "one-line": "car,road,sky\n",
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_labels_is_an_error_that_says_what_to_write(name: str, tmp_path: Path) -> None:
    with pytest.raises(LabelMapError, match=r"the lines are a table.*one per line, in the order"):
        labels(TABLES[name], tmp_path)


@pytest.mark.parametrize("text", [" " * 200_000, "a" + " ," * 100_000, "1 " * 100_000])
def test_long_lines_of_labels_are_read_at_once(text: str, tmp_path: Path) -> None:
    """Their time grew with the third power of their length."""
    with suppress(LabelMapError):
        labels(f"a\n{text}b\n", tmp_path)


def test_colours_of_coco_categories_are_kept(tmp_path: Path) -> None:
    text = '{"categories": [{"id": 2, "name": "car", "color": [9, 8, 7]}, {"id": 1, "name": "b"}]}'
    assert labels(text, tmp_path)[1:] == [("car", 2, (9, 8, 7)), ("b", 1, (128, 0, 0))]
    for color in ("[1, 2]", "[1, 2, 256]", '"red"'):
        found = labels(text.replace("[9, 8, 7]", color), tmp_path)
        assert found[1] == ("car", 2, (0, 128, 0))


def test_ignored_of_labelme_is_255(tmp_path: Path) -> None:
    masks = {"a.png": png(np.array([[0, 1, 255]], np.uint8))}
    assert make(tmp_path, masks, labels="__ignore__\n_background_\ncar\n") == 0
    assert content(tmp_path / "t.zip") == {("default", "a"): [("car", 1, 1)]}


@pytest.mark.parametrize(
    "text",
    ["item {\n  name: 'car'\n}\n", "<html>", "a\tb\tc\nd\te\tf\n", "car, road, sky\n",
     "{\\rtf1 car}", '{"names": null}', "names: {}\n",
     '["a", 3]', '{"names": {"0": "a", "00": "b"}}'],
)  # fmt: skip
def test_labels_that_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(LabelMapError, match=r"one name (a|per) line"):
        labels(text, tmp_path)


@pytest.mark.parametrize("text", ["lane 1\nlane 2\n", "bus, coach\nvan, small\nroad\n", "7up\n"])
def test_names_that_only_look_like_a_table(text: str, tmp_path: Path) -> None:
    assert [name for name, _, _ in labels(text, tmp_path)] == text.splitlines()


def test_labels_without_background_are_said_once(tmp_path: Path, caplog) -> None:
    assert make(tmp_path, {"a.png": gray("01"), "b.png": gray("01")}, labels="car\nroad\n") == 0
    assert caplog.text.count("no label is called 'background'") == 1
    assert "value 0 are objects of 'car'" in caplog.text
