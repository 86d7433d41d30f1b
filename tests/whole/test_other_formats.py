"""YOLO and COCO come home by ``datum``: convert, merge, stats, projects, and min_score."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from datumaro.components.annotation import AnnotationType, Mask
from datumaro.components.dataset import Dataset

from ..archives import as_folder
from ..formats.coco_sets import annotation, dataset, files, image, result
from ..formats.yolo_sets import RING, predictions, tree
from .test_datum import HAS_PROJECTS, run

pytestmark = pytest.mark.usefixtures("registered")


def labels_of(path: Path) -> dict[str, list[str]]:
    """Return the label of each mask of an archive by its item."""
    found = Dataset.import_from(str(path), "segmask")
    names = found.categories()[AnnotationType.label]
    return {
        item.id: [names[a.label].name for a in item.annotations if isinstance(a, Mask)]
        for item in found
    }


def test_convert_finds_yolo_and_makes_an_archive_with_its_objects(tmp_path: Path) -> None:
    """One empty label file, and Datumaro takes such a set for boxes, and has none."""
    as_folder(tree(), tmp_path / "yolo")
    said = run(tmp_path, "convert", "-i", "yolo", "-f", "segmask", "-o", "out")
    assert "train  2 images, 1 object of 1 class" in said
    assert labels_of(tmp_path / "out") == {"a": ["car"], "b": [], "c": ["car"]}


def test_convert_names_the_line_that_is_broken(tmp_path: Path) -> None:
    as_folder(tree(line=f"{RING}\n7{RING[1:]}"), tmp_path / "yolo")
    said = run(tmp_path, "convert", "-i", "yolo", "-f", "segmask", "-o", "out", code=1)
    assert "labels/train/a.txt:2: the class is 7" in said
    assert "Traceback" not in said


def test_convert_with_the_options_of_predictions(tmp_path: Path) -> None:
    as_folder(predictions() | {"names.txt": b"car\n"}, tmp_path)
    run(
        tmp_path, "convert", "-i", "runs/segment/predict", "--images", "photos",
        "--names", "names.txt", "--min-score", "0.5", "-if", "yolo_segments",
        "-f", "segmask", "-o", "out",
    )  # fmt: skip
    assert labels_of(tmp_path / "out") == {"a": ["car"], "none": []}


def test_convert_of_coco_results_with_min_score(tmp_path: Path) -> None:
    content = [result(42, 0.25, category_id=3), result(11, 0.75)]
    as_folder(files({"r/p.json": content, "gt.json": dataset()}), tmp_path)
    run(
        tmp_path, "convert", "-i", "r/p.json", "--gt", "gt.json", "--min-score", "0.5",
        "-if", "coco_segments", "-f", "segmask", "-o", "out",
    )  # fmt: skip
    assert labels_of(tmp_path / "out") == {"b": [], "x/a": ["car"]}


def test_options_of_another_format_are_refused_by_name(tmp_path: Path) -> None:
    as_folder(tree(), tmp_path / "yolo")
    said = run(
        tmp_path, "convert", "-i", "yolo", "--gt", "gt.json", "-f", "segmask", "-o", "out", code=1
    )
    assert "the format is 'yolo_segments', which has not the option --gt" in said
    assert "a dataset of the format 'coco_segments'" in said


def test_merge_and_stats(tmp_path: Path) -> None:
    as_folder(tree(), tmp_path / "yolo")
    content = dataset(annotation(1, 5, category_id=3), images=[image(5, "z.jpg")])
    as_folder(files({"annotations.json": content}), tmp_path / "coco")
    run(
        tmp_path, "merge", "-m", "union", "-o", "merged", "-f", "segmask",
        "yolo:yolo_segments", "coco:coco_segments",
    )  # fmt: skip
    assert labels_of(tmp_path / "merged") == {"a": ["car"], "b": [], "c": ["car"], "z": ["road"]}
    run(tmp_path, "stats", "yolo:yolo_segments")
    stats = json.loads((tmp_path / "statistics.json").read_text())
    assert stats["annotations"]["segments"]["pixel distribution"]["car"][0] > 0


@pytest.mark.skipif(not HAS_PROJECTS, reason="Datumaro 1.12 and later have no projects")
@pytest.mark.skipif(find_spec("dvc") is None, reason="'datumaro[default]' is not installed")
def test_project(tmp_path: Path) -> None:
    as_folder(tree(), tmp_path / "yolo")
    scored = [annotation(1, 5, score=0.2), annotation(2, 5, score=0.9, category_id=3)]
    same = [{"id": 7, "name": "car"}, {"id": 3, "name": "road"}]  # projects merge no others
    content = dataset(*scored, images=[image(5, "z.jpg")], categories=same)
    as_folder(files({"annotations.json": content}), tmp_path / "coco")
    run(tmp_path, "project", "create", "-o", "project")
    said = run(tmp_path, "project", "import", "-f", "yolo_segments", "-p", "project", "yolo", "--",
               "-h")  # fmt: skip
    assert "--min-score" in said
    run(tmp_path, "project", "import", "-f", "yolo_segments", "-p", "project", "yolo")
    run(tmp_path, "project", "import", "-f", "coco_segments", "-p", "project", "coco",
        "--", "--min-score", "0.5")  # fmt: skip
    run(tmp_path, "project", "export", "-f", "segmask", "-p", "project", "-o", "out")
    assert labels_of(tmp_path / "out") == {"a": ["car"], "b": [], "c": ["car"], "z": ["road"]}
