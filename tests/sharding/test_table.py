"""Masks as a table and back: every mask is the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datumaro.components.annotation import Bbox, Mask, Polygon
from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.media import Image

import datumaro_segmask
from datumaro_segmask import read_table, to_table, write_table
from datumaro_segmask.errors import ArchiveError, SegmaskExportError
from datumaro_segmask.plugin.base import SegmaskBase
from datumaro_segmask.sharding.table import schema

from ..archives import CONTAINERS, archive, as_folder, as_zip, gray, rgb
from .makes import random_files

datumaro_segmask.register()
SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def content(source: Any) -> list[tuple[Any, ...]]:
    return [
        (
            item.id,
            item.subset,
            tuple(item.media.size) if item.media else None,
            [(mask.label, mask.group, mask.image.tobytes()) for mask in item.annotations],
        )
        for item in source
    ]


def of_table(table: Any) -> list[tuple[Any, ...]]:
    return [
        (item_id, subset, item.size, [(i.label, i.number, i.counts) for i in item.instances])
        for (item_id, subset), item in table
    ]


@pytest.mark.parametrize("make", CONTAINERS.values(), ids=CONTAINERS)
@pytest.mark.parametrize("written", [False, True], ids=["in-memory", "parquet"])
def test_archive_to_table_to_archive(make: Any, written: bool, tmp_path: Path) -> None:
    path = str(make(random_files(50), tmp_path / "x"))
    source: Any = to_table(path)
    if written:
        write_table(path, str(tmp_path / "table"), shard_items=7)
        source = str(tmp_path / "table")
    table = read_table(source)
    assert repr(table) == f"<MaskTable of {table.place}: 3 labels (background, car, road)>"
    assert table.write_archive(str(tmp_path / "again.zip")) == 50
    again = SegmaskBase(str(tmp_path / "again.zip"))
    before, after = content(SegmaskBase(path)), content(again)
    # Of an item without masks, the size of its picture is in the table, but no picture.
    assert [(*item[:2], item[3]) for item in before] == [(*item[:2], item[3]) for item in after]
    assert again.categories() == SegmaskBase(path).categories()


@pytest.mark.skipif(not SHARED.is_dir(), reason="the archives beside the checkout are not here")
@pytest.mark.parametrize("name", ["datumaro_voc1", "txchar_food", "idkwid_cracks"])
def test_real_archives(name: str, tmp_path: Path) -> None:
    paths = [p for p in (SHARED / name).rglob("*") if (p / "SegmentationClass").is_dir()]
    paths += list((SHARED / name).rglob("*.zip"))
    for number, path in enumerate(paths):
        try:
            before = [c for c in content(SegmaskBase(str(path))) if c[3]]
        except Exception:  # archives that nobody can read lie there, too
            continue
        write_table(str(path), str(tmp_path / f"{number}"))
        read_table(str(tmp_path / f"{number}")).write_archive(str(tmp_path / f"{number}.zip"))
        after = [c for c in content(SegmaskBase(str(tmp_path / f"{number}.zip"))) if c[3]]
        assert before == after


def test_rows(tmp_path: Path) -> None:
    files = archive(
        {"a": rgb("012 012"), "broken": b"no mask"},
        {"a": rgb("011 012")},
        lists={"train": "a\nnone\nbroken"},
    )
    table = to_table(str(as_folder(files, tmp_path)))
    assert table.schema == schema(read_table(table).label_map)
    rows = table.to_pylist()
    assert [(r["item_id"], r["label"], r["instance"], r["area"], r["bbox"]) for r in rows] == [
        ("a", 1, 1, 2, [1, 0, 1, 2]),
        ("a", 2, 1, 1, [2, 0, 1, 1]),
        ("a", 2, 2, 1, [2, 1, 1, 1]),
        ("none", None, None, None, None),
        ("broken", None, None, None, None),
    ]
    assert [(r["height"], r["width"]) for r in rows] == [(2, 3)] * 3 + [(None, None)] * 2
    assert [r["label_name"] for r in rows] == ["car", "road", "road", None, None]
    assert "not a PNG" in rows[-1]["error"]
    assert {row["error"] for row in rows[:-1]} == {None}
    labels = json.loads(table.schema.metadata[b"segmask"])["labels"]
    assert [(label["name"], label["color"]) for label in labels] == [
        ("background", [0, 0, 0]), ("car", [128, 0, 0]), ("road", [0, 128, 0])
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "said"),
    [(2, "3 labels (background, l1, l2)"), (5, "6 labels (background, l1, l2, l3, l4, …)")],
)
def test_it_says_what_it_is(labels: int, said: str, tmp_path: Path) -> None:
    lines = ["background:0,0,0::", *(f"l{i}:{i},0,0::" for i in range(1, labels + 1))]
    files = archive({"a": rgb("0")}, labels="\n".join(lines))
    write_table(str(as_folder(files, tmp_path / "in")), str(tmp_path / "out"))
    assert repr(read_table(str(tmp_path / "out"))) == f"<MaskTable of {tmp_path / 'out'}: {said}>"


def test_tables_of_earlier_versions_lack_the_names_of_labels(tmp_path: Path) -> None:
    table = to_table(str(as_folder(archive({"a": rgb("012")}, {"a": rgb("011")}), tmp_path / "x")))
    old = table.drop_columns(["label_name"])
    written = tmp_path / "old"
    written.mkdir()
    pq.write_table(old, written / "a.parquet")
    assert [*read_table(old)] == [*read_table(table)] == [*read_table(str(written))]
    assert old.num_columns == 11


@pytest.mark.parametrize("reader", ["pandas", "polars"])
def test_others_see_the_names_of_labels(reader: str, tmp_path: Path) -> None:
    module = pytest.importorskip(reader)
    path = as_folder(archive({"a": rgb("012")}, {"a": rgb("011")}), tmp_path / "x")
    write_table(str(path), str(tmp_path / "table"))
    frame = module.read_parquet(tmp_path / "table/part-000000.parquet")
    assert [*frame["label_name"]] == ["car", "road"]


def test_broken_items_are_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = archive({"a": rgb("01"), "b": b"x", "c": b"x"})
    table = read_table(to_table(str(as_folder(files, tmp_path))))
    assert [entry for entry, _ in table] == [("a", "default")]
    assert len(caplog.messages) == 1
    assert "2 items left out" in caplog.text


def test_counts_by_label(tmp_path: Path) -> None:
    path = str(as_zip(random_files(40), tmp_path / "x"))
    write_table(path, str(tmp_path / "table"), shard_items=11)
    expected = {name: [0, 0] for name in ("background", "car", "road")}
    names = list(expected)
    for item in SegmaskBase(path):
        for mask in item.annotations:
            if mask.label is not None:
                expected[names[mask.label]][0] += 1
                expected[names[mask.label]][1] += mask.get_area()
    counts = {name: tuple(values) for name, values in expected.items()}
    assert read_table(str(tmp_path / "table")).counts() == counts
    assert read_table(to_table(path)).counts() == counts


def test_pandas_reads_it(tmp_path: Path) -> None:
    import pandas as pd

    path = str(as_zip(random_files(20), tmp_path / "x"))
    write_table(path, str(tmp_path / "table"), shard_items=6)
    frame = pd.read_parquet(tmp_path / "table")
    assert frame["item_id"].nunique() == 20
    areas = frame.groupby("label")["area"].agg(["count", "sum"])
    counts = read_table(str(tmp_path / "table")).counts()
    assert (areas.loc[1, "count"], areas.loc[1, "sum"]) == counts["car"]


def item(item_id: str, subset: str, media: Image, annotations: list[Any]) -> DatasetItem:
    return DatasetItem(item_id, subset=subset, media=media, annotations=annotations)


def test_dataset_is_that_of_its_export(tmp_path: Path) -> None:
    masks = [Mask(np.eye(4, dtype=bool), label=1, group=3), Bbox(0, 0, 2, 2, label=0, z_order=-1)]
    items = [
        item("a", "train", Image.from_numpy(np.zeros((4, 4, 3), np.uint8)), masks),
        item("b/c", "val", Image.from_numpy(None, size=(5, 6)), []),
        item("d", "val", Image.from_numpy(None, size=(5, 6)),
             [Polygon([1, 1, 4, 1, 4, 4], label=1)]),
    ]  # fmt: skip
    dataset = Dataset.from_iterable(items, categories=["cat", "dog"])
    dataset.export(str(tmp_path / "x"), "segmask")
    table, exported = to_table(dataset), to_table(str(tmp_path / "x"))
    columns = [name for name in table.column_names if name not in ("image", "height", "width")]
    assert table.select(columns) == exported.select(columns)
    assert table.schema.metadata == exported.schema.metadata
    assert set(table["image"].to_pylist()) == {"JPEGImages/a.jpg", None}
    assert table["width"].to_pylist()[-2:] == [6, 6]
    manifest = write_table(dataset, str(tmp_path / "out"), shard_items=2)
    assert [part["items"] for part in manifest["parts"]] == [2, 1]
    assert manifest["labels"]["dog"]["instances"] == 2
    assert of_table(read_table(str(tmp_path / "out"))) == of_table(read_table(table))
    with pytest.raises(SegmaskExportError, match="another run"):
        write_table(dataset, str(tmp_path / "out"), shard_items=2)
    assert write_table(dataset, str(tmp_path / "out"), shard_items=2, overwrite=True) == manifest


def test_several_archives_with_other_labels(tmp_path: Path) -> None:
    """Labels of one name are one, whatever their position and colour there."""
    one = archive({"a": gray("12")}, labels="background:0,0,0::\ncar:128,0,0::\nroad:0,128,0::\n")
    two = archive({"b": gray("12")}, labels="background:0,0,0::\nsky:128,0,0::\ncar:1,1,1::\n")
    for name, files in (("one", one), ("two", two)):
        as_zip(files, tmp_path / "in" / name)
    table = to_table(str(tmp_path / "in" / "*.zip"))
    labels = read_table(table).label_map.labels
    assert [label.name for label in labels] == ["background", "car", "road", "sky"]
    assert len({label.color for label in labels}) == 4
    rows = [(r["item_id"], labels[r["label"]].name) for r in table.to_pylist()]
    assert rows == [("a", "car"), ("a", "road"), ("b", "sky"), ("b", "car")]
    read_table(table).write_archive(str(tmp_path / "both.zip"))
    both = SegmaskBase(str(tmp_path / "both.zip"))
    assert [[labels[m.label].name for m in item.annotations] for item in both] == [
        ["car", "road"], ["car", "sky"]
    ]  # fmt: skip


def test_rows_stand_in_groups_that_are_worth_reading(tmp_path: Path) -> None:
    path = as_folder(archive({name: gray("12 21") for name in "abc"}), tmp_path / "task")
    write_table(str(path), str(tmp_path / "out"))
    (part,) = (tmp_path / "out").glob("*.parquet")
    found = pq.ParquetFile(part).metadata
    assert (found.num_rows, found.num_row_groups) == (6, 1)


def test_two_items_of_one_id(tmp_path: Path) -> None:
    for name, mask in (("one", "12"), ("two", "21")):
        as_zip(archive({"a": gray(mask)}), tmp_path / "in" / name)
    table = read_table(to_table(str(tmp_path / "in" / "*.zip")))
    with pytest.raises(SegmaskExportError, match="has an item of this id"):
        table.write_archive(str(tmp_path / "both.zip"))
    assert not (tmp_path / "both.zip").exists()


def test_item_of_two_subsets(tmp_path: Path) -> None:
    path = as_folder(archive({"a": gray("12")}, lists={"x": "a", "y": "a"}), tmp_path / "x")
    read_table(to_table(str(path))).write_archive(str(tmp_path / "again"))
    assert content(SegmaskBase(str(tmp_path / "again"))) == content(SegmaskBase(str(path)))


def test_what_is_no_such_table(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="there is no Parquet file here"):
        read_table(str(tmp_path))
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    with pytest.raises(ArchiveError, match="which labels it has"):
        read_table(str(tmp_path / "a.parquet"))
    (tmp_path / "b.parquet").write_bytes(b"nothing")
    with pytest.raises(ArchiveError, match="damaged, or not Parquet"):
        read_table(str(tmp_path / "b.parquet"))
