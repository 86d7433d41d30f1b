"""Every block of docs/recipes.md, run as it stands there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/street.zip"

# Datumaro 1.11 refuses to convert a format into itself, and docs/recipes.md says so.
CONVERTS_INTO_ITSELF = tuple(map(int, version("datumaro").split(".")[:2])) > (1, 11)
INTO_ITSELF = {"Index masks in an archive", "Other labels, other colours"}

SECTIONS = dict(
    re.findall(
        r"^## (.+?)\n(.*?)(?=^## |\Z)",
        (ROOT / "docs/recipes.md").read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
)
# What each recipe leaves behind, as far as its blocks are meant for a shell.
RESULTS = {
    "COCO": ["coco/annotations/instances_train.json", "coco/images/train/street_01.jpg"],
    "torchvision's reference": [
        "reference/train2017/street_01.jpg",
        "reference/val2017/street_04.jpg",
        "reference/annotations/instances_train2017.json",
        "reference/annotations/instances_val2017.json",
    ],
    "Pascal VOC": ["voc/SegmentationClass/street_01.png", "voc/JPEGImages/street_01.jpg"],
    "YOLO, boxes": ["yolo/data.yaml", "yolo/images/train"],
    "YOLO, segments": ["yolo-segments/data.yaml", "yolo-segments/images/val"],
    "Semantic segmentation": ["semantic/id2label.json", "semantic/masks/train"],
    "mmsegmentation": ["mmseg/splits/train.txt", "mmseg/splits/val.txt", "mmseg/metainfo.json"],
    "Ultralytics, semantic": ["semantic-yolo/data.yaml", "semantic-yolo/masks/val"],
    "nnU-Net": [
        "nnUNet_raw/Dataset001_Street/dataset.json",
        "nnUNet_raw/Dataset001_Street/splits_final.json",
        "nnUNet_raw/Dataset001_Street/labelsTr/street_05.png",  # of an image without objects
    ],
    "Index masks in an archive": [
        "training/SegmentationClass/street_01.png",
        "training/SegmentationClass/street_05.png",  # of an image without objects
    ],
    "Arrays": [],
    "Panoptic segmentation": ["panoptic/annotations/panoptic_train.json"],
    "Other labels, other colours": ["recoloured/labelmap.txt"],
    "Two tasks in one": ["merged/labelmap.txt", "merged/JPEGImages/street_01-1.jpg"],
    "Train and validation": [
        "split/ImageSets/Segmentation/train.txt",
        "split/ImageSets/Segmentation/val.txt",
    ],
    "Predictions to CVAT": ["upload.zip", "memory.zip", "upload/segmask.zip"],
    "To and from a CVAT server": ["called.txt"],
    "Instances out of class masks": [
        "parts-coco/annotations/instances_train.json",
        "parts/SegmentationObject/street_01.png",
    ],
    "A PyTorch dataset": [],
}


# What stands for the real package, which would look for a server; it takes the same arguments.
CVAT_SDK = """
from unittest.mock import MagicMock

def make_client(host, *, port=None, credentials=None):
    client = MagicMock()
    task = client.__enter__().tasks.retrieve.return_value
    task.import_annotations = import_annotations
    return client

def import_annotations(format_name, filename, *, conv_mask_to_poly=None):
    assert conv_mask_to_poly is False
    open("called.txt", "w").write(f"{format_name}: {filename}")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(EXAMPLE, tmp_path / "task.zip")
    shutil.copy(EXAMPLE, tmp_path / "task2.zip")
    (tmp_path / "names.txt").write_text("background\ncar\nroad\n")
    (tmp_path / "predictions").mkdir()
    mask = np.zeros((40, 60), np.uint8)
    mask[5:10, 5:20] = 1
    mask[20:30] = 2
    cv2.imwrite(str(tmp_path / "predictions/one.png"), mask)
    return tmp_path


def run(arguments: list[str], folder: Path) -> None:
    done = subprocess.run(
        arguments,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout}{done.stderr}"


def run_shell(block: str, folder: Path) -> None:
    """Run the lines of a block, with the commands that this checkout provides."""
    ours = f'"{sys.executable}" -m datumaro_segmask'
    for line in block.strip().splitlines():
        run(["sh", "-c", re.sub(r"^(datum|datumaro-segmask) ", f"{ours} ", line)], folder)


def test_every_recipe_is_tried() -> None:
    assert set(SECTIONS) == set(RESULTS)


@pytest.mark.skipif(os.name == "nt", reason="the blocks are for a POSIX shell")
@pytest.mark.parametrize("recipe", RESULTS)
def test_recipe(recipe: str, folder: Path) -> None:
    blocks = re.findall(r"```(\w+)\n(.*?)```", SECTIONS[recipe], re.DOTALL)
    assert blocks
    if recipe in INTO_ITSELF and not CONVERTS_INTO_ITSELF:
        pytest.skip("Datumaro 1.11 does not convert a format into itself")
    if recipe == "A PyTorch dataset":
        pytest.importorskip("torch", reason="PyTorch is not installed")
    if recipe == "To and from a CVAT server":
        (folder / "cvat_sdk.py").write_text(CVAT_SDK)
    if recipe == "Predictions to CVAT":
        run_shell("datum convert -i task.zip -if segmask -f coco_instances -o coco", folder)
    for language, block in blocks:
        if language == "sh":
            run_shell(block, folder)
        elif language == "python":
            code = f"import datumaro_segmask; datumaro_segmask.register()\n{block}"
            run([sys.executable, "-c", code], folder)
    for name in RESULTS[recipe]:
        assert (folder / name).exists(), name


@pytest.mark.skipif(os.name == "nt", reason="the blocks are for a POSIX shell")
@pytest.mark.parametrize(
    ("recipe", "subsets"),
    [
        ("torchvision's reference", ("Train", "Validation")),
        ("YOLO, segments", ("default", "default")),
        ("mmsegmentation", ("Train", "Validation")),
        ("mmsegmentation", ("default", "default")),
    ],
)
def test_recipe_of_other_subsets(recipe: str, subsets: tuple[str, str], folder: Path) -> None:
    """CVAT's own names, and a task without any."""
    lists: dict[str, bytes] = {}
    with zipfile.ZipFile(EXAMPLE) as source, zipfile.ZipFile(folder / "task.zip", "w") as target:
        for name in source.namelist():
            if name.startswith("ImageSets/"):
                place = f"ImageSets/Segmentation/{subsets['val' in name]}.txt"
                lists[place] = lists.get(place, b"") + source.read(name)
            else:
                target.writestr(name, source.read(name))
        for place, data in lists.items():
            target.writestr(place, data)
    for block in re.findall(r"```sh\n(.*?)```", SECTIONS[recipe], re.DOTALL):
        run_shell(block, folder)
    for name in RESULTS[recipe]:
        assert (folder / name).exists(), name


@pytest.mark.skipif(not CONVERTS_INTO_ITSELF, reason="Datumaro 1.11 does not convert so")
def test_index_masks_hold_the_lines_of_the_label_map(folder: Path) -> None:
    block = re.findall(r"```sh\n(.*?)```", SECTIONS["Index masks in an archive"], re.DOTALL)[0]
    run_shell(block, folder)
    mask = cv2.imread(
        str(folder / "training/SegmentationClass/street_01.png"), cv2.IMREAD_UNCHANGED
    )
    assert mask is not None
    assert mask.ndim == 2
    values = set(mask.ravel().tolist())
    assert {0, 255} <= values <= {0, 1, 2, 3, 255}
