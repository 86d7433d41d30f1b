"""The format without Datumaro, by the table of cases (docs/format.md, sections 1 to 4)."""

from __future__ import annotations

import logging
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as mask_utils

from datumaro_segmask.archive.class_lookup import ClassLookup
from datumaro_segmask.archive.files import ImageHead, read_image_head
from datumaro_segmask.archive.item import Item, read_item
from datumaro_segmask.archive.lists import read_label_map_file
from datumaro_segmask.arrays import Size
from datumaro_segmask.errors import LabelMapError, MissingFileError, SegmaskImportError
from datumaro_segmask.png.container import MAX_PIXELS
from datumaro_segmask.rules import open_archive
from datumaro_segmask.storage.open import open_storage

from ..archives import COLORS, CONTAINERS, archive, as_folder, gray, jpeg, picture, png, rgb
from ..cases import BAD, GOOD, Bad, Good, ItemKey, Mask

containers = pytest.mark.parametrize("write", CONTAINERS.values(), ids=CONTAINERS)


@containers
@pytest.mark.parametrize("lists", [True, False], ids=["lists", "no-lists"])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_ids_stand_once(write, lists: bool, stream: bool, tmp_path: Path) -> None:
    """In the order of the list, and found again, also in a copy for another process."""
    texts = {"train": "b\na\nb.jpg\n", "val": "a\nc\n"}
    masks = {item_id: gray("01") for item_id in "bca"}
    files = archive(masks, masks | {"d": gray("01")}, lists=texts if lists else {})
    opened = open_archive(str(write(files, tmp_path / "x")), stream)
    subsets = {"train": ["b", "a"], "val": ["a", "c"]} if lists else {"default": [*"abcd"]}
    for found in (opened, pickle.loads(pickle.dumps(opened))):
        assert {subset: list(ids) for subset, ids in found.subsets.items()} == subsets
        assert {subset: len(ids) for subset, ids in found.subsets.items()} == {
            subset: len(ids) for subset, ids in subsets.items()
        }
        assert ["d" in ids for ids in found.subsets.values()] == (
            [False, False] if lists else [True]
        )


def items_of(path: Path, **options) -> dict[ItemKey, tuple[Item, list[Mask]]]:
    """Read all items: as they are, and their masks as the table of cases has them."""
    max_pixels = options.pop("max_pixels", MAX_PIXELS)
    opened = open_archive(str(path))
    lookup = ClassLookup(opened.label_map, **options)
    names = [label.name for label in opened.label_map.labels]
    found = {}
    for subset, ids in opened.subsets.items():
        for item_id in ids:
            item = read_item(opened.storage, lookup, item_id, max_pixels)
            found[item_id, subset] = (
                item,
                [
                    (
                        None if i.label is None else names[i.label],
                        i.number,
                        picture(mask_utils.decode({"size": item.size, "counts": i.counts})),
                    )
                    for i in item.instances
                ],
            )
    return found


@containers
@pytest.mark.parametrize("case", GOOD.values(), ids=GOOD)
def test_good(case: Good, write, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = items_of(write(case.files, tmp_path / "task"), **case.options)
    assert {key: masks for key, (_, masks) in found.items()} == case.items
    assert list(found) == list(case.items)
    sizes = {item.item_id: item.size for item, _ in found.values()}
    assert {item_id: sizes[item_id] for item_id in case.sizes} == case.sizes
    logs = () if case.by_caller else case.logs
    assert len(caplog.records) == bool(logs)
    for record in caplog.records:
        assert record.levelno == logging.WARNING
        assert [part for part in logs if part not in record.getMessage()] == []


@containers
@pytest.mark.parametrize("case", BAD.values(), ids=BAD)
def test_bad(case: Bad, write, tmp_path: Path) -> None:
    path = write(case.files, tmp_path / "task")
    with pytest.raises(SegmaskImportError) as caught:
        items_of(path, **case.options)
    assert type(caught.value) is case.error
    text = str(caught.value)
    assert [part for part in case.says if part not in text.replace("\\", "/")] == []
    assert str(path) in text
    assert "Expected " in text
    assert "To fix it: " in text
    assert str(pickle.loads(pickle.dumps(caught.value))) == text


@containers
@pytest.mark.parametrize("name", [name for name in BAD if BAD[name].item])
def test_sound_items_beside_a_broken_one(name: str, write, tmp_path: Path) -> None:
    case = BAD[name]
    options = {"max_pixels": MAX_PIXELS, **case.options}
    opened = open_archive(str(write(case.files, tmp_path / "task")))
    lookup = ClassLookup(opened.label_map)
    for item_id in "ac":
        (found,) = read_item(opened.storage, lookup, item_id, options["max_pixels"]).instances
        assert found.area == 1


@containers
def test_everything_pickles(write, tmp_path: Path) -> None:
    """So that any worker may call `read_item`."""
    opened = open_archive(str(write(archive({"a": rgb("012")}), tmp_path / "task")))
    lookup = ClassLookup(opened.label_map, keep_background=True)
    item = read_item(opened.storage, lookup, "a", MAX_PIXELS)
    again, its_lookup = pickle.loads(pickle.dumps((opened, lookup)))
    assert read_item(again.storage, its_lookup, "a", MAX_PIXELS) == item
    assert pickle.loads(pickle.dumps(item)) == item


@containers
def test_blocks_do_not_show(write, tmp_path: Path) -> None:
    """An image of many blocks; class and instance mask of different kinds."""
    rng = np.random.default_rng(5)
    small = rng.integers(0, 3, (40, 30))
    classes = np.repeat(np.repeat(small, 30, axis=0), 25, axis=1)
    numbers = np.repeat(np.repeat(rng.integers(0, 900, (40, 30)), 30, axis=0), 25, axis=1)
    files = archive({"a": png(COLORS[classes])}, {"a": png(numbers.astype(np.uint16))})
    opened = open_archive(str(write(files, tmp_path / "task")))
    item = read_item(opened.storage, ClassLookup(opened.label_map), "a", MAX_PIXELS)
    expected = Counter(zip(numbers.ravel().tolist(), classes.ravel().tolist(), strict=True))
    assert {(i.number, i.label): i.area for i in item.instances} == {
        (number, label): area for (number, label), area in expected.items() if label
    }


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".jpeg", ".bmp", ".webp", ".tif", ".JPG"])
@containers
def test_any_image_suffix(write, suffix: str, tmp_path: Path) -> None:
    files = archive({"a": rgb("1")}, images={f"a{suffix}": jpeg(1, 1)})
    ((item, _),) = items_of(write(files, tmp_path / "task")).values()
    assert item.image == f"JPEGImages/a{suffix}"


@containers
@pytest.mark.parametrize("comments", [0, 1, 13], ids=["soon", "later", "late"])
def test_image_size_behind_a_long_header(write, comments: int, tmp_path: Path) -> None:
    data = jpeg(3, 4)
    comment = b"\xff\xfe" + (6_000).to_bytes(2, "big") + bytes(5_998)
    files = archive({"a": rgb("1")}, images={"a.jpg": data[:2] + comment * comments + data[2:]})
    storage = open_storage(str(write(files, tmp_path / "task")))
    assert read_image_head(storage, "JPEGImages/a.jpg") == ImageHead(Size(3, 4), None)


@given(
    st.binary(max_size=60),
    st.sampled_from([b"", b"\xff\xd8", b"GIF89a", b"P5 ", b"II*\0", b"RIFF"]),
)
def test_size_of_any_bytes(tmp_path_factory, data: bytes, start: bytes) -> None:
    folder = tmp_path_factory.getbasetemp() / "images"
    files = archive({"a": gray("1")}, images={"a.jpg": start + data})
    head = read_image_head(open_storage(str(as_folder(files, folder))), "JPEGImages/a.jpg")
    assert head is None or min(head.size) > 0


def test_label_map_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "my labels.txt"
    path.write_text("car:1,2,3\n", "utf-8")
    assert [label.name for label in read_label_map_file(str(path)).labels] == ["car"]
    monkeypatch.chdir(tmp_path)
    assert read_label_map_file("my labels.txt").where == "my labels.txt"
    path.write_text("car:1,2\n", "utf-8")
    with pytest.raises(LabelMapError, match=r"^my labels\.txt:1: "):
        read_label_map_file("my labels.txt")
    with pytest.raises(MissingFileError, match=r"gone\.txt: the file cannot be read"):
        read_label_map_file("gone.txt")
    with pytest.raises(MissingFileError, match="nowhere"):
        read_label_map_file("nowhere/labels.txt")


@pytest.mark.parametrize(("before", "known"), [(200_000, True), (270_000, False)])
def test_a_quarter_of_a_mebibyte_of_an_image_is_read_for_its_size(
    before: int, known: bool, tmp_path: Path
) -> None:
    data = jpeg(3, 4)
    padding = b"\xff\xfe" + (60_000).to_bytes(2, "big") + bytes(59_998)
    filled = data[:2] + padding * (before // 60_000) + data[2:]
    rest = before - len(filled) + len(data)
    filled = filled[:2] + b"\xff\xfe" + rest.to_bytes(2, "big") + bytes(rest - 2) + filled[2:]
    folder = as_folder({**archive({}), "JPEGImages/a.jpg": filled}, tmp_path / "x")
    head = read_image_head(open_storage(str(folder)), "JPEGImages/a.jpg")
    assert head == (ImageHead(Size(3, 4), None) if known else None)
