"""`os.PathLike` wherever a path is taken: public functions, imports, exports and their options."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datumaro.components.dataset import Dataset, StreamDataset

import datumaro_segmask
from datumaro_segmask import (
    Masks,
    check,
    from_arrays,
    from_segments,
    read_table,
    to_table,
    write_archive,
    write_table,
)
from datumaro_segmask.archive import open_archive
from datumaro_segmask.sharding import make_plan

from ..archives import archive, as_folder, jpeg, rgb

pytestmark = pytest.mark.usefixtures("registered")


class Place:
    """A path that is nothing else, neither a text nor a `Path`."""

    def __init__(self, *parts: str | os.PathLike[str]) -> None:
        self._path = str(Path(*parts))

    def __fspath__(self) -> str:
        return self._path


@pytest.fixture
def task(tmp_path: Path) -> Place:
    files = archive({"a": rgb("011")}, {"a": rgb("011")}, images={"a.jpg": jpeg(1, 3)})
    return Place(as_folder(files, tmp_path / "task"))


def item_of(image: Place) -> Any:
    return from_arrays("a", [1], np.ones((1, 1, 3), bool), image=image)


def table_of(task: Place, tmp: Path) -> Any:
    write_table(task, Place(tmp, "table"))
    return read_table(Place(tmp, "table"))


CALLS: dict[str, Callable[[Place, Path], Any]] = {
    "Masks": lambda task, tmp: Masks(task),
    "check": lambda task, tmp: check(task),
    "from_arrays": lambda task, tmp: item_of(Place(task, "JPEGImages/a.jpg")).media.data,
    "from_segments": lambda task, tmp: from_segments(
        "a", [[0, 1, 1]], [{"id": 1, "label_id": 1}], image=Place(task, "JPEGImages/a.jpg")
    ).media.data,
    "read_table": table_of,
    "to_table": lambda task, tmp: (to_table(task), to_table([task, task])),
    "write_archive": lambda task, tmp: write_archive(
        Place(tmp, "out.zip"),
        Place(task, "labelmap.txt"),
        [item_of(Place(task, "JPEGImages/a.jpg"))],
    ),
    "write_table": lambda task, tmp: write_table(task, Place(tmp, "out")),
    "MaskTable.write_coco": lambda task, tmp: table_of(task, tmp).write_coco(Place(tmp, "out")),
    "MaskTable.write_archive": lambda task, tmp: table_of(task, tmp).write_archive(
        Place(tmp, "out")
    ),
    "open_archive": lambda task, tmp: open_archive(task),
    "make_plan": lambda task, tmp: make_plan(task),
    "Dataset.import_from": lambda task, tmp: [*Dataset.import_from(task, "segmask")],
    "StreamDataset.import_from": lambda task, tmp: [*StreamDataset.import_from(task, "segmask")],
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_call(name: str, task: Place, tmp_path: Path) -> None:
    CALLS[name](task, tmp_path)


def test_no_public_function_is_left_out() -> None:
    taking = {
        name
        for name in datumaro_segmask.__all__
        if callable(made := getattr(datumaro_segmask, name))
        and any(word in str(inspect.signature(made)) for word in ("PathLike", "Source"))
    }
    assert taking <= CALLS.keys()


def test_experimental(task: Place) -> None:
    pytest.importorskip("datumaro.experimental")
    from datumaro_segmask.experimental import load_segmask

    assert len(load_segmask(task)) == 1


@pytest.mark.parametrize("name", ["segmask", "coco_segments", "yolo_segments"])
def test_export_and_import_with_options(name: str, task: Place, tmp_path: Path) -> None:
    found = Dataset.import_from(task, "segmask")
    options = {"label_map": Place(task, "labelmap.txt")} if name == "segmask" else {}
    found.export(Place(tmp_path, "out"), name, save_media=True, **options)
    given = {}
    if name == "coco_segments":
        given = {"images": Place(tmp_path, "out/images")}
    elif name == "yolo_segments":
        (tmp_path / "names.txt").write_text("car\nroad\n")
        given = {"names": Place(tmp_path, "names.txt")}
    (back,) = Dataset.import_from(Place(tmp_path, "out"), name, **given)
    assert len(back.annotations) == 1
