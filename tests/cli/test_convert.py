"""`datumaro-segmask convert`: Datumaro's command, with the options of an import."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from datumaro_segmask import cli, errors

from ..archives import archive, as_folder, gray, png, rgb
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
