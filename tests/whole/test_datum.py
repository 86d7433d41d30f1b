"""``datum`` from end to end, in a process of its own for each command.

``python -m datumaro_segmask`` is `datum` where the package is not installed, too.
"""

from __future__ import annotations

import io
import json
import os
import site
import zipfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest
from datumaro.components.annotation import AnnotationType
from datumaro.components.dataset import Dataset
from PIL import Image

from ..archives import archive, as_folder, as_zip, jpeg, picture, rgb
from ..processes import command

pytestmark = pytest.mark.usefixtures("registered")

HAS_PROJECTS = tuple(map(int, version("datumaro").split(".")[:2])) < (1, 12)
IS_INSTALLED = any(Path(p, "datumaro_segmask.pth").exists() for p in site.getsitepackages())

FILES = archive(
    {"a": rgb("1112200 1012200 1110000 0000011 0200011 2000000"), "b/c": rgb("0110")},
    {"a": rgb("1113300 1013300 1110000 0000022 0400022 4000000")},
    lists={"train": "a\n", "val": "b/c\n"},
    images={"a.jpg": jpeg(6, 7), "b/c.jpg": jpeg(1, 4)},
)
MASKS = {
    ("a", "train"): [
        ("car", "0000000 0000000 0000000 0000011 0000011 0000000"),
        ("car", "1110000 1010000 1110000 0000000 0000000 0000000"),
        ("road", "0000000 0000000 0000000 0000000 0100000 1000000"),
        ("road", "0001100 0001100 0000000 0000000 0000000 0000000"),
    ],
    ("b/c", "val"): [("car", "0110")],
}


def run(folder: Path, *arguments: str, module: str = "datumaro_segmask", code: int = 0) -> str:
    """Run a command in a folder; return what a person sees of it."""
    done = command(*arguments, module=module, cwd=folder)
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    return said


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return as_folder(FILES, tmp_path / "tree")


@pytest.fixture
def zipped(tmp_path: Path) -> Path:
    return as_zip(FILES, tmp_path / "task")


def masks_of(dataset: Dataset) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """Return label and pixels of all masks."""
    names = [label.name for label in dataset.categories()[AnnotationType.label].items]
    return {
        (item.id, item.subset): sorted((names[a.label], picture(a.image)) for a in item.annotations)
        for item in dataset
    }


def load(path: Path) -> Dataset:
    return Dataset.import_from(str(path), "segmask")


def test_detect_folder(tree: Path) -> None:
    assert "Detected format: segmask\n" in run(tree.parent, "detect", "tree")


def test_detect_zip(zipped: Path) -> None:
    assert "Detected format: segmask\n" in run(zipped.parent, "detect", "task.zip")


def test_convert_there_and_back(zipped: Path) -> None:
    """Out with and back without naming the format that is read."""
    folder = zipped.parent
    run(folder, "convert", "-i", "task.zip", "-f", "coco_instances", "-o", "coco",
        "--", "--save-media")  # fmt: skip
    found = json.loads((folder / "coco/annotations/instances_train.json").read_text("utf-8"))
    assert [(image["width"], image["height"]) for image in found["images"]] == [(7, 6)]
    assert len(found["annotations"]) == 4
    run(folder, "convert", "-i", "coco", "-if", "coco_instances", "-f", "segmask", "-o", "back",
        "--", "--mask-mode", "palette", "--zip", "--save-media")  # fmt: skip
    assert masks_of(load(folder / "back")) == MASKS
    with zipfile.ZipFile(folder / "back/segmask.zip") as written:
        assert "JPEGImages/b/c.jpg" in written.namelist()
        with Image.open(io.BytesIO(written.read("SegmentationClass/a.png"))) as mask:
            assert mask.mode == "P"


def test_options_explain_themselves(tree: Path) -> None:
    said = run(tree.parent, "convert", "-i", "tree", "-f", "segmask", "-o", "x", "--", "-h")
    words = " ".join(said.split())
    for option, explained in {
        "--mask-mode {color,palette,index}": "Kind of the mask files",
        "--label-map LABEL_MAP": "Labels to write",
        "--ignore-label IGNORE_LABEL": "gets the value 255",
        "--empty-masks": "items without shapes, too",
        "--zip": "one zip for CVAT",
        "--save-media": "Save media",
    }.items():
        assert f"{option} " in words
        assert explained in words
    assert not (tree.parent / "x").exists()


@pytest.mark.parametrize(
    ("transform", "says"),
    [
        ("split_components", ["--connectivity {8,4}", "--min-area", "--grouped", "at a corner"]),
        ("masks_to_exact_polygons", ["--tolerance", "mask with holes is cut"]),
    ],
)
def test_transforms_explain_themselves(tree: Path, transform: str, says: list[str]) -> None:
    said = run(tree.parent, "transform", "-t", transform, "-o", "x", "tree:segmask", "--", "-h")
    words = " ".join(said.split())
    assert [part for part in says if part not in words] == []


def test_transform(tree: Path) -> None:
    run(tree.parent, "transform", "-t", "split_components", "-o", "parts", "tree:segmask",
        "--", "--grouped", "--connectivity", "4", "--min-area", "2")  # fmt: skip
    areas = {
        item.id: [(a.group, a.get_area()) for a in item.annotations]
        for item in load(tree.parent / "parts")
    }
    assert areas == {"a": [(5, 8), (6, 4), (7, 4)], "b/c": [(1, 2)]}


def test_transform_to_polygons(tree: Path) -> None:
    """`datum transform` writes the format that it has read, so nothing changes in the end."""
    run(tree.parent, "transform", "-t", "masks_to_exact_polygons", "-o", "same", "tree:segmask")
    assert masks_of(load(tree.parent / "same")) == MASKS


def test_stats(tree: Path) -> None:
    run(tree.parent, "stats", "tree:segmask")
    found = json.loads((tree.parent / "statistics.json").read_text("utf-8"))
    assert found["images count"] == 2
    assert found["annotations by type"]["mask"]["count"] == 5
    labels = found["annotations"]["labels"]["distribution"]
    assert {name: count for name, (count, _) in labels.items()} == {
        "background": 0, "car": 3, "road": 2,
    }  # fmt: skip


def test_merge(tree: Path) -> None:
    other = archive({"d": rgb("0022")}, lists={"train": "d\n"}, images={"d.jpg": jpeg(1, 4)})
    as_folder(other, tree.parent / "other")
    run(tree.parent, "merge", "-o", "merged", "-f", "segmask", "tree:segmask", "other:segmask",
        "--", "--save-media")  # fmt: skip
    found = masks_of(load(tree.parent / "merged"))
    assert found == {**MASKS, ("d", "train"): [("road", "0011")]}


def test_compare(tree: Path) -> None:
    as_folder({**FILES, "SegmentationClass/b/c.png": rgb("0200")}, tree.parent / "other")
    # The default way of comparing gets a model from the network in Datumaro 1.11.
    said = run(tree.parent, "compare", "-m", "equality", "-o", "differences", "tree:segmask",
               "other:segmask")  # fmt: skip
    assert "2 mismatching annotations\n" in said
    assert (tree.parent / "differences").is_dir()


@pytest.mark.skipif(not IS_INSTALLED, reason="the start-up file is not installed here")
def test_datum_itself(zipped: Path) -> None:
    found = run(zipped.parent, "detect", "task.zip", module="datumaro")
    assert "Detected format: segmask\n" in found
    for arguments in ("-i task.zip -f datumaro -o y", "-i y -if datumaro -f segmask -o x"):
        run(zipped.parent, "convert", *arguments.split(), module="datumaro")
    assert masks_of(load(zipped.parent / "x")) == MASKS


# What a person sees when something is wrong. The last line is what they read first.


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


def test_wrong_path(tmp_path: Path) -> None:
    said = run(
        tmp_path, "convert", "-i", "nowhere", "-if", "segmask", "-f", "voc", "-o", "x", code=1
    )
    assert "Failed to find dataset 'segmask' at" in last_line(said)
    assert "nowhere" in last_line(said)


def test_broken_zip(zipped: Path) -> None:
    zipped.write_bytes(zipped.read_bytes()[:-100])
    said = run(zipped.parent, "convert", "-i", "task.zip", "-if", "segmask", "-f", "voc", "-o", "x",
               code=1)  # fmt: skip
    line = last_line(said)
    assert f"{zipped}: the zip has no end: it was cut short" in line
    assert "Expected an archive in a folder or a zip. To fix it: " in line


@pytest.mark.parametrize("output_format", ["coco_instances", "datumaro"])
def test_undeclared_colour(output_format: str, tree: Path) -> None:
    mask = tree / "SegmentationClass/b/c.png"
    mask.write_bytes(rgb("0330"))
    said = run(tree.parent, "convert", "-i", "tree", "-if", "segmask", "-f", output_format,
               "-o", "x", code=1)  # fmt: skip
    line = last_line(said).replace(os.sep, "/")
    for part in (
        f"{mask.as_posix()}: 1 colour of the mask is not in the label map: 128,128,0 (2 pixels",
        "Expected only the 3 colours of",
        "To fix it: add the line 'name:128,128,0::' to the label map",
    ):
        assert part in line


def test_wrong_option(tree: Path) -> None:
    said = run(tree.parent, "merge", "-o", "x", "-f", "segmask", "tree:segmask", "tree:segmask",
               "--", "--label-map", "gone.txt", code=1)  # fmt: skip
    assert "the option --label-map is 'gone.txt', which is not a file" in last_line(said)
    assert "To fix it: check the path" in last_line(said)


# Projects


@pytest.mark.skipif(not HAS_PROJECTS, reason="Datumaro 1.12 and later have no projects")
@pytest.mark.skipif(find_spec("dvc") is None, reason="'datumaro[default]' is not installed")
def test_project(tree: Path, zipped: Path) -> None:
    folder = tree.parent
    run(folder, "project", "create", "-o", "project")
    said = run(folder, "project", "import", "-f", "segmask", "-p", "project", "tree", "--", "-h")
    words = " ".join(said.split())
    assert "--annotation {mask,polygon} Kind of the annotations" in words
    run(folder, "project", "import", "-f", "segmask", "-p", "project", "task.zip",
        "--", "--annotation", "polygon", "--instances", "components")  # fmt: skip
    run(folder, "project", "export", "-f", "segmask", "-p", "project", "-o", "out",
        "--", "--mask-mode", "index")  # fmt: skip
    assert masks_of(load(folder / "out")) == MASKS
    with Image.open(folder / "out/SegmentationClass/a.png") as mask:
        assert mask.mode == "L"
