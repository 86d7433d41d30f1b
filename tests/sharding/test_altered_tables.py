"""A table that is read is checked as an archive is: a lie is an error, and nothing is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pycocotools import mask as mask_utils

from datumaro_segmask import read_table, to_table
from datumaro_segmask.errors import ArchiveError
from datumaro_segmask.sharding.table import KEY

from ..archives import archive, as_folder, rgb

FILES = archive({"a": rgb("0112 0112"), "b": rgb("00")}, {"a": rgb("0122 0122")})


@pytest.fixture
def table(tmp_path: Path) -> pa.Table:
    return to_table(str(as_folder(FILES, tmp_path / "in")))


def with_value(table: pa.Table, row: int, column: str, value: Any) -> pa.Table:
    values = table[column].to_pylist()
    values[row] = value
    at = table.schema.get_field_index(column)
    return table.set_column(
        at, table.schema.field(at), pa.array(values, table.schema.field(at).type)
    )


def rle(text: str) -> bytes:
    pixels = np.array([[int(c) for c in row] for row in text.split()], np.uint8)
    counts: bytes = mask_utils.encode(np.asfortranarray(pixels))["counts"]
    return counts


LIES: dict[str, tuple[int, str, Any, str]] = {
    "rle-of-another-size": (0, "counts", rle("011 011 011"), "RLE|pixels|size"),
    "rle-that-is-broken": (0, "counts", b"\xff~", "broken"),
    "rle-that-is-empty": (0, "counts", b"", "empty"),
    "no-rle": (0, "counts", None, "lacks a value"),
    "label-past-the-last": (0, "label", 3, "the label 3"),
    "label-below-0": (0, "label", -1, "the label -1"),
    "label-of-some-only": (0, "label", None, "others have none"),
    "number-below-0": (0, "instance", -1, "the number -1"),
    "number-that-is-no-colour": (0, "instance", 1 << 24, "the number"),
    "no-number": (0, "instance", None, "lacks a value"),
    "area": (0, "area", 7, "area is given as 7"),
    "box": (0, "bbox", [0, 0, 1, 1], "box is given as"),
    "box-of-three": (0, "bbox", [0, 0, 1], "box is given as"),
    "no-box": (0, "bbox", None, "lacks a value"),
    "cover": (0, "counts", rle("0110 0110"), "area"),
    "height-of-one-row": (0, "height", 9, "rows differ"),
    "width-below-0": (-1, "width", -4, "size is"),
    "no-height": (-1, "height", None, "size is"),
    "huge": (-1, "height", 2**31 - 1, "size is"),
    "id-that-leads-out": (-1, "item_id", "../../b", "cannot be used"),
    "id-that-is-absolute": (-1, "item_id", "/etc/passwd", "cannot be used"),
    "id-that-is-empty": (-1, "item_id", "", "it is empty"),
    "subset-that-leads-out": (-1, "subset", "../x", "cannot be used|leads into"),
    "subset-in-a-folder": (-1, "subset", "x/y", "leads into a folder"),
    "image-that-leads-out": (-1, "image", "JPEGImages/../../x.jpg", "cannot be used"),
}


@pytest.mark.parametrize("write", ["write_archive", "write_coco"])
@pytest.mark.parametrize("name", LIES)
def test_lie_is_an_error_and_nothing_is_written(
    name: str, write: str, table: pa.Table, tmp_path: Path
) -> None:
    row, column, value, says = LIES[name]
    altered = with_value(table, row % len(table), column, value)
    with pytest.raises(ArchiveError, match=says) as caught:
        getattr(read_table(altered), write)(str(tmp_path / "out"))
    error = caught.value
    assert error.what
    assert error.where
    assert error.expected
    assert error.remedy
    assert not (tmp_path / "out").exists()


def test_instances_that_cover_one_another(table: pa.Table) -> None:
    first = {name: table[name][0].as_py() for name in ("counts", "area", "bbox")}
    for column, value in first.items():
        table = with_value(table, 1, column, value)
    with pytest.raises(ArchiveError, match="its instances overlap"):
        list(read_table(table))


def test_counts_of_a_label_that_is_not_there(table: pa.Table) -> None:
    with pytest.raises(ArchiveError, match="the label 9"):
        read_table(with_value(table, 0, "label", 9)).counts()


LABELS: dict[str, Callable[[list[dict[str, Any]]], object]] = {
    "color-of-two": lambda labels: labels[1].update(color=[1, 2]),
    "color-past-255": lambda labels: labels[1].update(color=[1, 2, 256]),
    "color-in-words": lambda labels: labels[1].update(color="red"),
    "name-twice": lambda labels: labels[1].update(name=labels[0]["name"]),
    "name-of-two-lines": lambda labels: labels[1].update(name="a\nb"),
    "name-that-is-none": lambda labels: labels[1].update(name=None),
    "no-parts": lambda labels: labels[1].pop("parts"),
}


@pytest.mark.parametrize("name", LABELS)
def test_label_map_that_is_none(name: str, table: pa.Table) -> None:
    stored = json.loads(table.schema.metadata[KEY])
    LABELS[name](stored["labels"])
    with pytest.raises(ArchiveError, match="labels"):
        read_table(table.replace_schema_metadata({KEY: json.dumps(stored).encode()}))


def test_column_of_another_kind(table: pa.Table) -> None:
    at = table.schema.get_field_index("label")
    texts = pa.array([str(value) for value in table["label"].to_pylist()])
    with pytest.raises(ArchiveError, match="the column 'label' is string"):
        read_table(table.set_column(at, "label", texts))


def test_table_as_it_is_is_sound(table: pa.Table, tmp_path: Path) -> None:
    assert read_table(table).write_archive(str(tmp_path / "out")) == 2
