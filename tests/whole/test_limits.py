"""How much and how odd it may be: each works, or is refused with a reason.

What takes longer than some seconds is tried here in a smaller size; docs/reliability.md has the
time and the memory of the true one.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datumaro.components.annotation import Mask
from datumaro.components.dataset import Dataset, StreamDataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.errors import DatasetExportError, DatumaroError
from datumaro.components.exporter import ExportErrorPolicy
from datumaro.components.media import Image

import datumaro_segmask
from datumaro_segmask.archive import subset_lists
from datumaro_segmask.cli import main
from datumaro_segmask.colors import number_to_color
from datumaro_segmask.formats import archive as archive_format
from datumaro_segmask.plugin.base import SegmaskBase

from ..archives import CONTAINERS, archive, as_folder, as_zip, jpeg, png, rgb

datumaro_segmask.register()


def load(path: Path) -> list[DatasetItem]:
    return list(Dataset.import_from(str(path), "segmask"))


def item(item_id: str, rows: str = "011 011") -> DatasetItem:
    pixels = np.array([[int(digit) for digit in row] for row in rows.split()], bool)
    mask = Mask(pixels, label=1, group=1)
    return DatasetItem(item_id, annotations=[mask], media=Image.from_numpy(None, size=pixels.shape))


def export(path: Path, *items: DatasetItem, zip: bool = False) -> list[DatasetItem]:
    """Export and import again."""
    made = Dataset.from_iterable(list(items), categories=["background", "car"])
    made.export(str(path), "segmask", zip=zip)
    return load(path)


# Names

IDS = {
    "200-characters": "x" * 200,
    "longest": "x" * 250,
    "deep": "/".join(["folder"] * 40),
    "many-dots": "a.b..c...d",
    "emoji": "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "right-to-left": "مرحبا/שלום\u202eabc\u202c",
    "composed": "\u00e9",
    "decomposed": "e\u0301",
    "ligature": "\ufb01le",
    "space-inside": "a b",
    "like-an-option": "-rf",
    "like-a-variable": "$HOME %TEMP% ~ `x`",
    "like-a-pattern": "a[0]{1}(b)",
    "windows-device": "CON",
    "windows-device-folder": "con/a",
    "windows-device-with-suffix": "COM1.part",
    "windows-characters": 'b?*"<>|',
    "folder-that-ends-in-a-dot": "a./b",
    "folder-that-ends-in-a-space": "a /b",
}
NOT_FOR_WINDOWS = {
    key: value for key, value in IDS.items() if key.startswith(("windows", "folder"))
}
OWN_FILES = pytest.mark.skipif(
    archive_format.FOLDS_CASE, reason="this system has not all these names"
)

REFUSED = {
    "too-long": ("x" * 251, "longer than 250 bytes"),
    "too-long-in-bytes": ("\U0001f600" * 63, "longer than 250 bytes"),
    "too-long-a-folder": ("x" * 251 + "/a", "longer than 250 bytes"),
    "too-deep": ("/".join(["d" * 100] * 41), "longer than 4092 characters"),
    "half-a-character": ("\ud800", "not valid Unicode"),
    "space-behind": ("a ", "white space"),
    "space-before": (" a", "white space"),
    "line-separator": ("\u2028", "white space"),
    "byte-order-mark": ("\ufeffa", "byte-order mark"),
    "drive-or-stream": ("a:b", "drive letter"),
    "line-break": ("a\nb", "control character"),
}


@OWN_FILES
@pytest.mark.parametrize("zipped", [False, True], ids=CONTAINERS)
@pytest.mark.parametrize("name", IDS.values(), ids=IDS)
def test_odd_id_comes_back(name: str, zipped: bool, tmp_path: Path) -> None:
    (found,) = export(tmp_path / "x", item(name), zip=zipped)
    assert (found.id, len(found.annotations)) == (name, 1)


@pytest.mark.parametrize(("name", "reason"), REFUSED.values(), ids=REFUSED)
def test_id_that_no_archive_can_hold(name: str, reason: str, tmp_path: Path) -> None:
    odd = item("a")
    object.__setattr__(odd, "id", name)
    with pytest.raises(DatumaroError, match=reason):
        export(tmp_path / "x", odd)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("name", ["s" * 251, "\ud800"], ids=["too-long", "half-a-character"])
def test_subset_that_no_archive_can_hold(name: str, tmp_path: Path) -> None:
    odd = item("a")
    object.__setattr__(odd, "subset", name)
    with pytest.raises(DatumaroError, match="its subset cannot be written"):
        export(tmp_path / "x", odd)


@pytest.mark.parametrize("name", NOT_FOR_WINDOWS.values(), ids=NOT_FOR_WINDOWS)
def test_names_that_windows_has_not_are_refused_there(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_format, "ON_WINDOWS", True)
    with pytest.raises(DatumaroError, match="Windows cannot have a file of this name"):
        export(tmp_path / "x", item(name))


@OWN_FILES
def test_names_that_windows_has_not_are_warned_of_elsewhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        found = export(tmp_path / "x", item("CON"), item("b?"), item("c"))
    assert [i.id for i in found] == ["CON", "b?", "c"]
    assert len(caplog.messages) == 1
    assert "'CON'" in caplog.messages[0]
    assert "rename it before the dataset moves there" in caplog.messages[0]


TWINS = {
    "case": ("a", "A"),
    "case-turned": ("A", "a"),
    "both-in-capitals": ("Ab", "AB"),
    "folder-case": ("f/a", "F/a"),
    "accent": ("\u00e9", "e\u0301"),
}


@OWN_FILES
@pytest.mark.parametrize("twins", TWINS.values(), ids=TWINS)
def test_ids_that_look_the_same(
    twins: tuple[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """They are two items, and their masks are not mixed up."""
    with caplog.at_level(logging.WARNING):
        found = export(tmp_path / "x", item(twins[0]), item(twins[1], "100 100"))
    assert [(i.id, int(i.annotations[0].get_area())) for i in found] == [
        (twins[0], 4),
        (twins[1], 2),
    ]
    assert len(caplog.messages) == 1
    assert "Windows and macOS" in caplog.messages[0]


@pytest.mark.parametrize("twins", TWINS.values(), ids=TWINS)
def test_ids_that_look_the_same_are_refused_where_they_are_one_file(
    twins: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_format, "FOLDS_CASE", True)
    with pytest.raises(DatumaroError, match="take it for the file of an id that looks the same"):
        export(tmp_path / "x", item(twins[0]), item(twins[1]))


def test_an_id_in_two_subsets_looks_like_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    export(tmp_path / "x", item("A").wrap(subset="train"), item("A").wrap(subset="val"))
    assert not any("looks the same" in message for message in caplog.messages)


def test_id_too_long_for_a_file_in_a_list(tmp_path: Path) -> None:
    """It has no masks, as no such file can be."""
    path = as_folder(archive({}, lists={"default": "x" * 4096}), tmp_path / "x")
    assert [len(i.annotations) for i in load(path)] == [0]


@OWN_FILES
def test_names_of_files_that_are_no_unicode(tmp_path: Path) -> None:
    """Linux allows any bytes in a name; Python carries them along."""
    path = as_folder(archive({"a": rgb("1")}, lists={}), tmp_path / "x")
    folder = os.fsencode(path / "SegmentationClass")
    os.rename(folder + b"/a.png", folder + b"/\xff.png")
    (found,) = load(path)
    assert (found.id, len(found.annotations)) == ("\udcff", 1)


# Numbers


@pytest.mark.parametrize("make", CONTAINERS.values(), ids=CONTAINERS)
def test_many_listed_items(make: object, tmp_path: Path) -> None:
    """20,000; of 1,000,000 by hand."""
    ids = [f"folder {i % 10}/frame_{i:07}" for i in range(20_000)]
    files = archive({ids[-1]: rgb("1")}, lists={"default": "\n".join(ids)})
    path = as_folder(files, tmp_path / "x") if make is as_folder else as_zip(files, tmp_path / "x")
    source = SegmaskBase(str(path))
    assert len(source) == 20_000
    assert [found.id for found in itertools.islice(source, 3)] == ids[:3]
    last = source.get(ids[-1])
    assert last is not None
    assert len(last.annotations) == 1


@pytest.mark.parametrize("kind", ["gray", "rgb"])
def test_seventy_thousand_instances(kind: str, tmp_path: Path) -> None:
    """On import; in gray masks 65,535 is the end."""
    count = 65_535 if kind == "gray" else 70_000
    numbers = np.zeros((280, 250), np.int64)
    numbers.flat[:count] = np.arange(1, count + 1)
    if kind == "gray":
        data = png(numbers.astype(np.uint16))
    else:
        packed = number_to_color(numbers)
        data = png(np.stack([packed >> 16, packed >> 8 & 255, packed & 255], -1).astype(np.uint8))
    (found,) = load(as_folder(archive(None, {"a": data}), tmp_path / "x"))
    assert [mask.group for mask in found.annotations] == list(range(1, count + 1))
    assert {mask.get_area() for mask in found.annotations} == {1}


def test_many_instances_come_back(tmp_path: Path) -> None:
    """5,000 through Datumaro's Mask, which takes its time; of 70,000 by hand."""
    pixels = np.zeros((50, 100), bool)
    masks = []
    for number in range(5000):
        mask = pixels.copy()
        mask.flat[number] = True
        masks.append(Mask(mask, label=1, group=number + 1))
    made = DatasetItem("a", annotations=masks, media=Image.from_numpy(None, size=(50, 100)))
    (found,) = export(tmp_path / "x", made)
    assert [mask.group for mask in found.annotations] == list(range(1, 5001))


@pytest.mark.parametrize("kind", ["gray", "rgb"])
def test_five_thousand_labels(kind: str, tmp_path: Path) -> None:
    colors = np.stack(np.unravel_index(np.arange(5000), (20, 20, 20)), -1).astype(np.uint8)
    labels = "".join(f"label {i}:{r},{g},{b}::\n" for i, (r, g, b) in enumerate(colors.tolist()))
    values = np.arange(5000).reshape(50, 100)
    data = png(values.astype(np.uint16) if kind == "gray" else colors[values])
    (found,) = load(as_folder(archive({"a": data}, labels=labels), tmp_path / "x"))
    # The first label is black, and so the background.
    assert [mask.label for mask in found.annotations] == list(range(1, 5000))


@pytest.mark.parametrize("side", [(1, 100_000), (100_000, 1), (3000, 3000)], ids=str)
def test_large_mask(side: tuple[int, int], tmp_path: Path) -> None:
    """Of 30,000 x 30,000 by hand."""
    pixels = np.zeros(side, np.uint8)
    pixels[-1, -1] = 1
    (found,) = load(as_folder(archive({"a": png(pixels)}), tmp_path / "x"))
    assert [mask.get_area() for mask in found.annotations] == [1]
    assert found.media.size == side


# Polygons, which take more memory than masks


def jagged() -> np.ndarray:
    """More corners than polygons are made of: checkers of one pixel."""
    pixels: np.ndarray = np.indices((730, 730)).sum(axis=0) % 2
    return pixels


def slit() -> np.ndarray:
    """More runs down the columns than outlines are traced of, with few corners: slits of a row."""
    mask = np.ones((1460, 1460), np.uint8)
    mask[1::2, 1:-1] = 0
    return mask


def barred() -> np.ndarray:
    """Longer outlines than parts are joined along, of few runs: bars of one column."""
    mask = np.zeros((2100, 1002), np.uint8)
    mask[:, ::2] = 1
    return mask


CORNERS = (jagged, r"the mask has 1,065,800 corners")
RUNS = (slit, r"the mask has 1,\d+,\d+ runs of pixels down its columns")
LENGTH = (barred, r"the mask has 2,\d+,\d+ pixels of outline")


@pytest.mark.parametrize(("mask", "what"), [CORNERS, RUNS])
def test_too_many_corners_to_import(
    mask: Callable[[], np.ndarray], what: str, tmp_path: Path
) -> None:
    pixels = (mask() * 255).astype(np.uint8)
    labels = "background:0,0,0::\ncar:255,255,255::\n"
    files = archive({"a": png(np.dstack([pixels] * 3)), "b": png(np.zeros((2, 2, 3), np.uint8))},
                    labels=labels)  # fmt: skip
    path = as_folder(files, tmp_path / "task")
    assert len(load(path)) == 2
    with pytest.raises(DatumaroError, match=rf"SegmentationClass.a\.png: {what}") as caught:
        list(Dataset.import_from(str(path), "segmask", annotation="polygon"))
    assert "take masks" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "mask", "what"),
    [
        ("coco_segments", *CORNERS),
        ("coco_segments", *RUNS),
        ("yolo_segments", *CORNERS),
        ("yolo_segments", *RUNS),
        ("yolo_segments", *LENGTH),
    ],
)
def test_too_many_corners_to_export(
    name: str, mask: Callable[[], np.ndarray], what: str, tmp_path: Path
) -> None:
    pixels = mask().astype(bool)
    wild = DatasetItem(
        "wild",
        annotations=[Mask(pixels, label=1)],
        media=Image.from_numpy(None, size=pixels.shape),
    )
    made = Dataset.from_iterable([item("a"), wild, item("b")], categories=["background", "car"])
    with pytest.raises(DatumaroError, match=f"item 'wild' of subset 'default': {what}"):
        made.export(str(tmp_path / "out"), name)
    assert not (tmp_path / "out").exists()


def test_any_number_of_corners_as_rle(tmp_path: Path) -> None:
    wild = DatasetItem(
        "wild", annotations=[Mask(jagged().astype(bool), label=1)],
        media=Image.from_numpy(None, size=(730, 730)),
    )  # fmt: skip
    made = Dataset.from_iterable([wild], categories=["background", "car"])
    made.export(str(tmp_path / "out"), "coco_segments", segmentation="rle")
    (text,) = (tmp_path / "out").rglob("instances_default.json")
    (found,) = json.loads(text.read_text())["annotations"]
    assert found["area"] == 730 * 730 // 2


def test_item_with_too_many_corners_is_left_out_whole(tmp_path: Path) -> None:
    class Lenient(ExportErrorPolicy):
        def _handle_item_error(self, error: Exception) -> None:
            pass

    wild = DatasetItem(
        "wild",
        annotations=[Mask(jagged().astype(bool), label=1)],
        media=Image.from_numpy(np.zeros((730, 730, 3), np.uint8)),
    )
    made = Dataset.from_iterable([item("a"), wild, item("b")], categories=["background", "car"])
    for name in ("coco_segments", "yolo_segments"):
        out = tmp_path / name
        made.export(str(out), name, save_media=True, error_policy=Lenient())
        assert not [path for path in out.rglob("*") if path.stem == "wild"]
    (text,) = (tmp_path / "coco_segments").rglob("instances_default.json")
    read = json.loads(text.read_text())
    assert [image["id"] for image in read["images"]] == [1, 2]
    assert [found["image_id"] for found in read["annotations"]] == [1, 2]


def test_ids_of_more_folders_than_python_calls(tmp_path: Path, capsys: Any) -> None:
    """Such ids are read from zips, and are not written: no RecursionError, one clear error."""
    deep = f"{'a/' * 1100}x"
    path = as_zip(archive({deep: rgb("0110")}, images={f"{deep}.jpg": jpeg(1, 4)}), tmp_path / "a")
    dataset = Dataset.import_from(str(path), "segmask")
    assert [len(item.annotations) for item in dataset] == [1]
    for form in ("segmask", "coco_segments", "yolo_segments", "panoptic_segments"):
        with pytest.raises(DatasetExportError, match="folders"):
            dataset.export(str(tmp_path / form), form, save_media=True)
        assert not (tmp_path / form).exists()
    assert main(["check", str(path)]) == 0
    assert main(["preview", str(path), "-o", str(tmp_path / "page.html"), "--workers", "1"]) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="open files of a process")
def test_many_lists_of_a_stream_take_few_open_files(tmp_path: Path) -> None:
    lists = {f"s{i}": "a\n" for i in range(1500)}
    path = as_zip(archive({"a": rgb("0110")}, lists=lists), tmp_path / "a")
    before = len(os.listdir("/proc/self/fd"))
    stream = StreamDataset.import_from(str(path), "segmask")
    assert sum(1 for _ in stream) == 1500
    assert len(os.listdir("/proc/self/fd")) - before < 20


def test_one_id_in_many_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is parsed once."""
    parsed: list[str] = []
    parse = subset_lists._parse_id

    def counted(line: str, *rest: Any) -> str:
        parsed.append(line)
        return parse(line, *rest)

    monkeypatch.setattr(subset_lists, "_parse_id", counted)
    path = as_zip(archive({"a": rgb("0110")}, lists={"default": "a\n" * 100_000}), tmp_path / "a")
    for load in (Dataset, StreamDataset):
        assert sum(1 for _ in load.import_from(str(path), "segmask")) == 1
    assert len(parsed) < 20


def test_many_roots_and_names_of_many_parts(tmp_path: Path, capsys: Any) -> None:
    """A message that names them all would have megabytes."""
    zips = {
        "roots": {f"{i}/SegmentationClass/a.png": b"" for i in range(20_000)},
        "parts": {f"{'a/' * 30_000}SegmentationClass/a.png": b""},
    }
    for name, files in zips.items():
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as packed:
            for place, data in files.items():
                packed.writestr(place, data)
        assert main(["check", str(tmp_path / f"{name}.zip")]) == 2
        assert 50 < len("".join(capsys.readouterr())) < 5_000
