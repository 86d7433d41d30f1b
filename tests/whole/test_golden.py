"""Archives that other programs wrote, against what Pillow and NumPy find in them.

Small ones stand in ``golden``, see its README. Real ones, made by others, are not part of the
repository: see the README of their folder. Each of those has a dataset, ``data``, and
``expected.json``, with the label, number, area and box of every object of every item.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from datumaro.components.annotation import AnnotationType
from datumaro.components.dataset import Dataset
from datumaro.components.environment import Environment

from ..archives import as_zip

pytestmark = pytest.mark.usefixtures("registered")

FOLDER = Path(__file__).parents[3] / "shared" / "data"
SETS = sorted(path.parent for path in FOLDER.glob("*/expected.json"))
GOLDEN = Path(__file__).parents[1] / "golden"
sets = pytest.mark.parametrize(
    "folder",
    SETS
    or [
        pytest.param(None, marks=pytest.mark.skip(reason=f"the real archives are not at {FOLDER}"))
    ],
    ids=[path.name for path in SETS] or ["missing"],
)


def objects_of(dataset: Dataset) -> tuple[list[str], dict[Any, list[Any]], dict[Any, Any]]:
    """Return the labels, the objects of each item and its size."""
    names = [label.name for label in dataset.categories()[AnnotationType.label].items]
    found, sizes = {}, {}
    for item in dataset:
        sizes[item.id, item.subset] = list(item.media.size) if item.media else None
        found[item.id, item.subset] = sorted(
            (names[a.label], a.group or None, a.get_area(), [int(v) for v in a.get_bbox()])
            for a in item.annotations
        )
    return names, found, sizes


@pytest.mark.parametrize("name", sorted(path.name for path in GOLDEN.glob("*.zip")))
def test_archives_of_other_programs(name: str) -> None:
    expected = json.loads((GOLDEN / "expected.json").read_text("utf-8"))
    _, found, _ = objects_of(Dataset.import_from(str(GOLDEN / name), "segmask"))
    objects = {item_id: [list(found) for found in of] for (item_id, _), of in found.items()}
    assert objects == expected


@sets
@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
def test_exactly_as_expected(folder: Path, zipped: bool, tmp_path: Path) -> None:
    expected = json.loads((folder / "expected.json").read_text("utf-8"))
    path = folder / expected.get("path", "data")
    if zipped:
        files = {
            file.relative_to(path).as_posix(): file.read_bytes()
            for file in path.rglob("*")
            if file.is_file()
        }
        path = as_zip(files, tmp_path / "task")
    names, found, sizes = objects_of(Dataset.import_from(str(path), "segmask"))
    optional = expected.get("optional_labels", [])
    assert [name for name in names if name not in optional] == expected["labels"]
    assert found == {
        (item["id"], item["subset"]): sorted(
            (a["label"], a["instance"], a["area"], a["bbox"]) for a in item["annotations"]
        )
        for item in expected["items"]
    }
    # Their sizes are those of the masks, 0 x 0 where an item has none; ours are the images', too.
    known = {(i["id"], i["subset"]): i["size"] for i in expected["items"] if any(i["size"])}
    assert {key: sizes[key] for key in known} == known


@sets
def test_detection(folder: Path, without_us: Environment) -> None:
    path = str(folder / "data")
    found = Environment().detect_dataset(path)
    if (folder / "data/ImageSets/Main").is_dir():
        assert found == without_us.detect_dataset(path)
        assert "voc" in found
        assert "segmask" not in found
    else:
        assert found == ["segmask"]
