"""`datumaro-segmask convert`: Datumaro's command, with the options of an import."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datumaro.components.dataset import Dataset

from datumaro_segmask import cli, errors

from ..archives import archive, as_folder, as_zip, gray, png, rgb
from ..formats.yolo_sets import RING, tree
from ..training.test_exporters import objects_of
from ..whole.test_datum import run

LABELS = "background:0,0,0::\ncar:128,0,0::\nroad:0,128,0::\n"


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A class mask alone: two cars, one of a single pixel, and a road; 255 means nothing."""
    mask = np.array([[1, 1, 0, 2, 255], [1, 1, 0, 2, 1]], np.uint8)
    as_folder(archive({"a": png(mask)}, labels=LABELS), tmp_path / "task")
    return tmp_path


def convert(folder: Path, *options: str, code: int = 0, behind: tuple[str, ...] = ()) -> str:
    return run(
        folder, "convert", "-i", "task", *options, "-f", "coco_segments", "-o", "out",
        *(["--", *behind] if behind else []), code=code,
    )  # fmt: skip


def found(folder: Path) -> list[tuple[str, str]]:
    return objects_of(folder / "out/annotations/instances_default.json")["a"]


def test_ignore_index_and_what_says_that_it_is_needed(task: Path) -> None:
    said = convert(task, code=1)
    assert "import with --ignore-index 255 if 255 marks pixels without a label" in said
    convert(task, "--ignore-index", "255", "--overwrite")
    assert found(task) == [("car", "11000 11001"), ("road", "00010 00010")]


def test_components(task: Path) -> None:
    convert(task, "--ignore-index=255", "--instances", "components")
    assert [label for label, _ in found(task)] == ["car", "car", "road"]


def test_smallest_area_means_components(task: Path) -> None:
    convert(task, "--ignore-index", "255", "--min-area", "2", "--connectivity", "4")
    assert found(task) == [("car", "11000 11000"), ("road", "00010 00010")]


def test_polygons_and_a_tolerance(task: Path) -> None:
    convert(task, "--ignore-index", "255", "--tolerance", "0.5", "--num-workers", "1")
    content = json.loads((task / "out/annotations/instances_default.json").read_text())
    assert [len(a["segmentation"]) for a in content["annotations"]] == [2, 1]


def test_background_on_demand(task: Path) -> None:
    convert(task, "--ignore-index", "255", "--keep-background", behind=("--segmentation", "rle"))
    assert ("background", "00100 00100") in found(task)
    content = json.loads((task / "out/annotations/instances_default.json").read_text())
    assert all("counts" in a["segmentation"] for a in content["annotations"])


def test_without_options_it_is_datumaros(task: Path) -> None:
    as_folder(archive({"a": rgb("011")}, labels=LABELS), task / "task")
    convert(task, "-if", "segmask", behind=("--stuff", "skip"))
    assert found(task) == []


def test_options_of_another_format_are_refused(task: Path) -> None:
    convert(task, "--ignore-index", "255")
    said = run(
        task, "convert", "-i", "out", "-if", "coco", "--ignore-index", "255",
        "-f", "segmask", "-o", "back", code=1,
    )  # fmt: skip
    assert said.count("the format is 'coco', which has none of the options") == 1
    assert "Traceback" not in said
    assert not (task / "back").exists()


def test_help_has_all_options(task: Path) -> None:
    said = run(task, "convert", "--help")
    for option in (
        "--ignore-index", "--annotation", "--instances", "--connectivity", "--min-area",
        "--keep-background", "--tolerance", "--num-workers", "--overwrite", "-if FORMAT",
    ):  # fmt: skip
        assert option in said


def test_it_is_listed() -> None:
    assert "convert" in cli.COMMANDS


@pytest.mark.parametrize(
    ("program", "option"),
    [
        ("/bin/pytest", "ignore_index=255"),
        ("/bin/datumaro-segmask", "--ignore-index 255"),
        ("/x/datumaro_segmask/__main__.py", "--ignore-index 255"),
        ("/bin/datum", "--ignore-index 255 of 'datumaro-segmask convert'"),
        ("datum.exe", "--ignore-index 255 of 'datumaro-segmask convert'"),
    ],
)
def test_options_are_spelled_as_they_are_typed(
    program: str, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", [program])
    assert errors.as_typed("import with ignore_index=255") == f"import with {option}"
    assert errors.as_typed("a line without colour") == "a line without colour"
    others = errors.as_typed("the option zip, without save_media")
    typed = "the option --zip, without --save-media"
    assert others == ("the option zip, without save_media" if "pytest" in program else typed)


def test_archive_of_gray_masks_is_fine_without(tmp_path: Path) -> None:
    as_folder(archive({"a": gray("012")}, labels=LABELS), tmp_path / "task")
    convert(tmp_path)
    assert found(tmp_path) == [("car", "010"), ("road", "001")]


STREET = Path(__file__).parents[2] / "examples/street.zip"


def call(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    status = cli.main(["convert", *map(str, args)])
    said = capsys.readouterr()
    return status, said.out, said.err


def labels_of(yolo: Path) -> dict[str, list[str]]:
    return {
        split: sorted(p.stem for p in (yolo / "labels" / split).rglob("*.txt"))
        for split in ("train", "val")
    }


def test_one_line_from_a_zip_to_what_is_trained_on(tmp_path: Path, capsys) -> None:
    """Path by position, options of split and export in one line, pictures by default."""
    out = tmp_path / "yolo"
    split = ("--random-split", "train:.7,val:.3")
    status, said, _ = call(capsys, STREET, "-f", "yolo_segments", "-o", out, *split)
    assert status == 0
    assert said.splitlines() == [
        f"{out}: yolo_segments",
        "  train  4 images, 98 objects of 9 classes",
        "  val    2 images, 23 objects of 9 classes",
        f"next: yolo segment train data={out}/data.yaml model=yolo11n-seg.pt",
    ]
    assert len(list(out.rglob("*.jpg"))) == 6
    again, other = tmp_path / "again", tmp_path / "other"
    call(capsys, STREET, "-f", "yolo_segments", "-o", again, *split, "--no-save-media")
    call(capsys, "-i", STREET, "-f", "yolo_segments", "-o", other, *split, "--seed", 7)
    assert labels_of(again) == labels_of(out) != labels_of(other)
    assert [*map(len, labels_of(other).values())] == [4, 2]
    assert not list(again.rglob("*.jpg"))


def test_options_of_the_format_stand_before_or_after_the_dashes(tmp_path: Path, capsys) -> None:
    for number, options in enumerate(
        (["--mask-mode", "palette"], ["--", "--mask-mode", "palette"])
    ):
        out = tmp_path / f"{number}.zip"
        assert call(capsys, STREET, "-f", "segmask", "-o", out, *options)[0] == 0
    assert (tmp_path / "0.zip").read_bytes() == (tmp_path / "1.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "0.zip") as archive:
        assert archive.read("SegmentationClass/street_01.png")[25] == 3  # a palette


COCO = ("coco_segments", "panoptic_segments")


@pytest.mark.parametrize("name", [*COCO, "yolo_segments", "semantic_masks"])
def test_item_of_two_subsets_is_in_a_new_split_once(name: str, tmp_path: Path) -> None:
    """As those of a tree of VOC are, whose trainval has all that train has."""
    lists = {"train": "a\n", "trainval": "a\nb\n"}
    as_folder(archive({"a": rgb("01"), "b": rgb("02")}, lists=lists), tmp_path / "task")
    split = ("--random-split", "all:1")
    said = run(tmp_path, "convert", "task", "-f", name, "-o", "out", *split, code=0)
    assert "1 item in several subsets of a split" in said
    for path in (tmp_path / "out/annotations").glob("*.json"):
        images = json.loads(path.read_text())["images"]
        assert sorted(image["file_name"] for image in images) == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("name", COCO)
def test_two_pictures_of_one_name_in_a_new_split(name: str, tmp_path: Path) -> None:
    for subset, mask in (("train", "01"), ("val", "10")):
        files = archive({"a": rgb(mask)}, lists={subset: "a\n"})
        as_folder(files, tmp_path / subset)
        run(tmp_path, "convert", subset, "-f", "coco_segments", "-o", f"of {subset}", code=0)
    place = "annotations/instances_val.json"
    (tmp_path / "of train" / place).write_bytes((tmp_path / "of val" / place).read_bytes())
    command = ("convert", "of train", "-if", "coco_segments", "-f", name, "-o", "out")
    said = run(tmp_path, *command, "--random-split", "all:1", code=1)
    assert "both are in the split 'all'" in said


@pytest.mark.parametrize("splits", ["train:.98,val:.01,test:.01", "val:.01,test:.01,train:.98"])
def test_every_split_has_an_item_where_there_are_enough(
    splits: str, tmp_path: Path, capsys
) -> None:
    call(capsys, STREET, "-f", "segmask", "-o", tmp_path / "out", "--random-split", splits)
    lists = {p.stem: p.read_text().split() for p in (tmp_path / "out").rglob("ImageSets/*/*.txt")}
    assert {name: len(ids) for name, ids in lists.items()} == {"train": 4, "val": 1, "test": 1}


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["-f", "coco_segmants"], "type '-f coco_segments'"),
        (["-f", "yolo-segments"], "type '-f yolo_segments'"),
        (["-f", "SEGMASK"], "type '-f segmask'"),
        (["-f", "coco_segments", "--ignore_index", "255"], "type '--ignore-index'"),
        (["-f", "coco_segments", "--hlep"], "type '--help'"),
        (["-f", "coco_segments", "-o", "out", "another.zip"], "one argument too many"),
        (["-f", "yolo_segments", "-o", "full"], "give the option --overwrite"),
    ],
)
def test_what_is_nearly_right_is_told_what_to_type(args, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    status, _, said = call(capsys, STREET, *args)
    assert (status in (1, 2), said.count("error: ")) == (True, 1)
    assert says in said
    assert [p.name for p in tmp_path.rglob("*")] == ["full", "mine.txt"]


def test_wrong_input_is_told_as_check_tells_it(tmp_path: Path, capsys) -> None:
    (tmp_path / "task.zip").write_bytes(b"<html>sign in</html>")
    for path, says in ((tmp_path / "task.zip", "HTML page"), (tmp_path / "no.zip", "no such file")):
        status, _, said = call(capsys, path, "-f", "coco_segments", "-o", tmp_path / "out")
        assert status == 1
        assert says in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "text", ["train", "train:.5", "train:1,val:1", ":1", "train:x", "train:2,val:-1"]
)
def test_shares_that_are_no_split(text: str, capsys) -> None:
    with pytest.raises(SystemExit):
        cli.main(["convert", str(STREET), "-f", "segmask", "--random-split", text])
    assert "is not a split: give names, and shares" in capsys.readouterr().err


def test_the_rest_is_converted_without_the_broken_items(tmp_path: Path, capsys) -> None:
    files = archive({"a": rgb("011"), "b": rgb("011")}, labels=LABELS)
    files["SegmentationClass/b.png"] = b"broken"
    path = as_folder(files, tmp_path / "task")
    out = tmp_path / "out"
    assert call(capsys, path, "-f", "coco_segments", "-o", out)[0] == 1
    assert not out.exists()
    status, said, _ = call(capsys, path, "-f", "coco_segments", "-o", out, "--skip-broken")
    assert status == 1
    assert said.count("left out: ") == 1
    assert "SegmentationClass/b.png" in said
    content = json.loads((out / "annotations/instances_default.json").read_text())
    assert [image["file_name"] for image in content["images"]] == ["a.jpg"]


def coco_set(path: Path, names: list[str], annotations: list[dict[str, Any]]) -> Path:
    (path / "images" / "val").mkdir(parents=True)
    (path / "annotations").mkdir()
    content = {
        "images": [{"id": i, "file_name": n, "width": 5, "height": 2} for i, n in enumerate(names)],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "cat"}],
    }
    (path / "annotations" / "instances_val.json").write_text(json.dumps(content))
    return path


def test_an_object_of_several_parts_counts_once(tmp_path: Path, capsys) -> None:
    parts = [[0, 0, 1, 0, 1, 2, 0, 2], [3, 0, 5, 0, 5, 2, 3, 2]]
    one = {"id": 1, "image_id": 0, "category_id": 1, "bbox": [0, 0, 5, 2], "area": 6, "iscrowd": 0}
    path = coco_set(tmp_path / "set", ["a.jpg"], [{**one, "segmentation": parts}])
    said = call(capsys, path, "-if", "coco", "-f", "segmask", "-o", tmp_path / "out")[1]
    assert "val  1 image, 1 object of 1 class" in said


def test_the_rest_is_converted_without_the_broken_lines_of_labels(tmp_path: Path, capsys) -> None:
    path = as_folder(tree(line=f"A 0.1 0.2\n{RING}"), tmp_path / "set")
    out = tmp_path / "out"
    status, said, _ = call(capsys, path, "-f", "segmask", "-o", out, "--skip-broken")
    assert (status, said.count("left out: ")) == (1, 2)
    assert "labels/train/a.txt:1: 'A' is not a number" in said
    assert "train  2 images, 1 object" in said


@pytest.mark.parametrize("name", ["out", "out.zip"])
def test_the_rest_is_converted_without_what_cannot_be_written(
    name: str, tmp_path: Path, capsys
) -> None:
    path = coco_set(tmp_path / "set", ["a.jpg", "b\tc.jpg"], [])
    out, options = tmp_path / name, ["-if", "coco", "-f", "segmask"]
    status, said, _ = call(capsys, path, *options, "-o", out, "--skip-broken")
    assert (status, said.count("left out: ")) == (1, 1), said
    assert [item.id for item in Dataset.import_from(str(out), "segmask")] == ["a"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("SEGMASK", "segmask"),
        ("seg_mask", "segmask"),
        ("Segmentation mask 1.1", "segmask"),
        ("yolo-segments", "yolo_segments"),
        ("yolov8-seg", "yolo_segments"),
        ("COCO-segments", "coco_segments"),
    ],
)
def test_nearly_the_name_of_a_format(written: str, meant: str, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    for options, remedy in (
        (["-f", written], f"type '-f {meant}'"),
        (["-if", written, "-f", "segmask"], f"type '-if {meant}'"),
        (["-if", written, "-f", "coco_instances"], f"type '-if {meant}'"),
    ):
        status, _, said = call(capsys, STREET, *options, "-o", out)
        assert (status, remedy in said) == (2, True), said
    assert not out.exists()


@pytest.mark.parametrize("is_below", [False, True])
def test_a_zip_of_another_format_is_to_be_unpacked(is_below: bool, tmp_path: Path, capsys) -> None:
    """Datumaro takes a folder with a zip of pictures for pictures without objects."""
    (tmp_path / "x").mkdir()
    path = as_zip(tree(), tmp_path / "x/set")
    out = tmp_path / "out"
    status, _, said = call(capsys, path.parent if is_below else path, "-f", "segmask", "-o", out)
    assert (status, out.exists()) == (1, False)
    assert f"unzip {path} -d set" in said
    assert "'datumaro-segmask convert set -f segmask -o archive'" in said
