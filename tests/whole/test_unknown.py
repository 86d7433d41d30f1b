"""What an annotator did not say is no background: ``unknown="keep"``, and where exports write it.

The planes are those of tests/archives.py; ``9`` stands for what is unknown.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from datumaro.components.annotation import AnnotationType
from datumaro.components.dataset import Dataset, StreamDataset
from datumaro.components.errors import DatasetImportError
from PIL import Image

from datumaro_segmask import read_table, to_arrays, to_segments, to_table, write_archive
from datumaro_segmask.errors import SegmaskExportError

from ..archives import (
    COLORS,
    LABELS,
    Plane,
    archive,
    as_folder,
    as_zip,
    palette_png,
    picture,
    plane,
    png,
)
from .test_datum import run

pytestmark = pytest.mark.usefixtures("registered")

VOID = (224, 224, 192)
CLASSES = plane("11900 11990 02200")
NUMBERS = plane("11110 11100 00000")  # the void lies over a part of an instance
ALONE = np.where(CLASSES == 9, 9, 0)
KNOWN = [(2, 0, "00000 00000 01100"), (1, 1, "11000 11000 00000")]
UNKNOWN = "00100 00110 00000"


def colored(classes: Plane) -> Plane:
    palette = COLORS.copy()
    palette[9] = VOID
    found: Plane = palette[classes]
    return found


def read(path: Path) -> Plane:
    mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert mask is not None
    return mask


def as_gray(classes: Plane) -> bytes:
    return png(np.where(classes == 9, 255, classes).astype(np.uint8))


def as_palette(classes: Plane) -> bytes:
    return palette_png(classes, [*COLORS[:9].tolist(), VOID])


VOC = "background:0,0,0::\ncar:128,0,0::\nroad:0,128,0::\nIgnored:224,224,192::\n"
KINDS: dict[str, tuple[bytes, str | None, dict[str, Any]]] = {
    "void that no label declares": (png(colored(CLASSES)), LABELS, {}),
    "void in a palette": (as_palette(CLASSES), LABELS, {}),
    "void as a label": (png(colored(CLASSES)), VOC, {}),
    "ignore_index": (as_gray(CLASSES), LABELS, {"ignore_index": 255}),
    "VOC's own labels": (
        png(np.where(CLASSES == 9, 255, CLASSES).astype(np.uint8)), None, {},
    ),
}  # fmt: skip


def task(path: Path, kind: str = "void that no label declares") -> tuple[Path, dict[str, Any]]:
    mask, labels, options = KINDS[kind]
    files = archive({"a": mask}, {"a": png(COLORS[NUMBERS])}, labels=labels)
    return as_folder(files, path), options


def masks_of(dataset: Dataset) -> list[tuple[int | None, int, str]]:
    (item,) = dataset
    return [(a.label, a.group, picture(a.image)) for a in item.annotations]


def kept(path: Path, **options: Any) -> Dataset:
    return Dataset.import_from(str(path), "segmask", unknown="keep", **options)


@pytest.mark.parametrize("load", [Dataset, StreamDataset])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_a_region_of_its_own(kind: str, load: Any, tmp_path: Path) -> None:
    path, options = task(tmp_path / "task", kind)
    found = load.import_from(str(path), "segmask", unknown="keep", **options)
    assert masks_of(found) == [*KNOWN, (None, 0, UNKNOWN)]
    (item,) = found
    assert item.annotations[-1].attributes == {"is_unknown": True}


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_left_out_by_default(kind: str, tmp_path: Path) -> None:
    path, options = task(tmp_path / "task", kind)
    found = masks_of(Dataset.import_from(str(path), "segmask", **options))
    is_a_label = kind in ("void as a label", "VOC's own labels")
    assert [mask for mask in found if mask[0] in (1, 2)] == KNOWN
    assert len(found) == len(KNOWN) + (2 if is_a_label else 0)


def test_a_label_of_this_colour_and_another_name_stays(tmp_path: Path) -> None:
    labels = VOC.replace("Ignored", "sand")
    mask = np.where(NUMBERS > 0, 0, CLASSES)
    mask[0, 0] = 9
    path = as_folder(archive({"a": png(colored(mask))}, labels=labels), tmp_path / "task")
    assert [label for label, *_ in masks_of(kept(path))] == [2, 3]


def test_another_value_is_an_error(tmp_path: Path) -> None:
    path, _ = task(tmp_path / "task")
    with pytest.raises(DatasetImportError, match=r"unknown is 'yes'.*'skip', 'keep'"):
        Dataset.import_from(str(path), "segmask", unknown="yes")


# Exports


@pytest.mark.parametrize(
    ("options", "how"),
    [
        ({}, {}),
        ({"mask_mode": "palette"}, {}),
        ({"mask_mode": "index"}, {"ignore_index": 255}),
        ({"mask_mode": "index", "ignore_label": "road"}, None),
        ({"zip": True}, {}),
    ],
)
def test_an_archive_has_it_as_void(
    options: dict[str, Any], how: dict[str, Any] | None, tmp_path: Path
) -> None:
    source = kept(task(tmp_path / "task")[0])
    source.export(str(tmp_path / "out"), "segmask", **options)
    if how is None:
        mask = read(tmp_path / "out/SegmentationClass/a.png")
        assert mask.tolist() == np.where(CLASSES > 1, 255, CLASSES).tolist()
        return
    assert masks_of(kept(tmp_path / "out", **how)) == masks_of(source)
    if not options:
        mask = np.asarray(Image.open(tmp_path / "out/SegmentationClass/a.png").convert("RGB"))
        assert (mask == colored(CLASSES)).all()


def test_index_masks_have_the_value_for_it_that_no_label_has(tmp_path: Path) -> None:
    mask = np.array([[0, 1, 255]], np.uint8)
    names = ["background\n", *(f"label {number}\n" for number in range(1, 256))]
    for count in (255, 256):
        files = archive({"a": png(mask)}, labels="".join(names[:count]))
        path = as_folder(files, tmp_path / f"task {count}")
        source, out = kept(path, ignore_index=255), tmp_path / f"out {count}"
        if count == 255:
            source.export(str(out), "segmask", mask_mode="index")
            assert read(out / "SegmentationClass/a.png").tolist() == mask.tolist()
        else:
            with pytest.raises(SegmaskExportError, match="so what is unknown cannot have it"):
                source.export(str(out), "segmask", mask_mode="index")


@pytest.mark.parametrize("mode", ["color", "palette", "index"])
def test_an_item_of_nothing_else_has_a_class_mask(mode: str, tmp_path: Path) -> None:
    path = as_folder(archive({"a": png(colored(ALONE))}), tmp_path / "task")
    kept(path).export(str(tmp_path / "out"), "segmask", mask_mode=mode)
    how = {"ignore_index": 255} if mode == "index" else {}
    assert masks_of(kept(tmp_path / "out", **how)) == [(None, 0, UNKNOWN)]
    assert not (tmp_path / "out/SegmentationObject").exists()


def test_items_that_are_written_as_they_come(tmp_path: Path) -> None:
    source = kept(task(tmp_path / "task")[0])
    labels = [label.name for label in source.categories()[AnnotationType.label]]
    write_archive(tmp_path / "out.zip", labels, source)
    assert masks_of(kept(tmp_path / "out.zip")) == masks_of(source)


def test_a_table_keeps_it(tmp_path: Path, caplog: Any) -> None:
    source = kept(task(tmp_path / "task")[0])
    made = read_table(to_table(source))
    made.write_archive(str(tmp_path / "out"))
    assert masks_of(kept(tmp_path / "out")) == masks_of(source)
    assert "3 pixels" not in caplog.text
    made.write_coco(str(tmp_path / "coco"))
    assert "Left out of the export: 3 unknown pixels" in caplog.text


@pytest.mark.parametrize("count", [255, 256])
def test_index_masks_have_no_second_use_for_255(count: int, tmp_path: Path) -> None:
    names = ["background", *(f"label {i}" for i in range(1, count))]
    lines = [f"{name}:{i},0,0::" for i, name in enumerate(names)]
    path = as_folder(
        archive({"a": png(colored(ALONE))}, labels="\n".join(lines) + "\n"), tmp_path / "task"
    )
    out = str(tmp_path / "out")
    if count == 255:
        kept(path).export(out, "segmask", mask_mode="index")
        assert masks_of(kept(tmp_path / "out", ignore_index=255)) == [(None, 0, UNKNOWN)]
        return
    with pytest.raises(Exception, match="the value 255 is the index of a label"):
        kept(path).export(out, "segmask", mask_mode="index")


@pytest.mark.parametrize("name", ["coco_segments", "yolo_segments"])
@pytest.mark.parametrize("annotation", ["mask", "polygon"])
def test_where_it_is_lost_the_pixels_are_said_once(
    name: str, annotation: str, tmp_path: Path, caplog: Any
) -> None:
    source = kept(task(tmp_path / "task")[0], annotation=annotation)
    plain = Dataset.import_from(str(tmp_path / "task"), "segmask", annotation=annotation)
    with caplog.at_level(logging.WARNING):
        source.export(str(tmp_path / "out"), name)
        said = [r.getMessage() for r in caplog.records if "Left out" in r.getMessage()]
        plain.export(str(tmp_path / "plain"), name)
    assert said == ["Left out of the export: 3 unknown pixels, which no object can have."]
    for path in sorted((tmp_path / "plain").rglob("*.*")):
        if path.suffix in (".json", ".txt"):
            twin = tmp_path / "out" / path.relative_to(tmp_path / "plain")
            assert twin.read_bytes() == path.read_bytes()


def test_panoptic_has_it_as_void(tmp_path: Path, caplog: Any) -> None:
    kept(task(tmp_path / "task")[0]).export(str(tmp_path / "out"), "panoptic_segments")
    assert "Left out" not in caplog.text
    ids = read(tmp_path / "out/annotations/panoptic_default/a.png")
    assert (ids.any(axis=-1) == np.isin(CLASSES, (1, 2))).all()
    about = json.loads((tmp_path / "out/annotations/panoptic_default.json").read_text())
    assert len(about["annotations"][0]["segments_info"]) == 2


@pytest.mark.parametrize("background", [-1, 0])
def test_arrays_have_it_as_nothing(background: int, tmp_path: Path) -> None:
    (item,) = kept(task(tmp_path / "task")[0])
    classes, numbers = to_arrays(item, background)
    expected = np.where(CLASSES == 0, background, np.where(CLASSES == 9, -1, CLASSES.astype(int)))
    assert classes.tolist() == expected.tolist()
    assert numbers.tolist() == np.where(CLASSES == 1, 1, 0).tolist()
    ids, segments = to_segments(item, background)
    assert [*segments.values()] == [(1, 1), (2, 0)]
    assert (ids > 0).tolist() == np.isin(CLASSES, (1, 2)).tolist()


# On the way


def test_datumaros_own_format_keeps_it(tmp_path: Path) -> None:
    kept(task(tmp_path / "task")[0]).export(str(tmp_path / "between"), "datumaro")
    between = Dataset.import_from(str(tmp_path / "between"), "datumaro")
    between.export(str(tmp_path / "out"), "segmask")
    found = masks_of(kept(tmp_path / "out"))
    assert found[-1] == (None, 0, UNKNOWN)
    assert len(found) == 3


def test_components_are_of_known_pixels(tmp_path: Path) -> None:
    path, _ = task(tmp_path / "task")
    found = masks_of(kept(path, instances="components"))
    assert [(label, group) for label, group, _ in found] == [(2, 2), (1, 1), (None, 0)]
    transformed = kept(path).transform("split_components", grouped=True)
    assert masks_of(transformed)[-1] == (None, 0, UNKNOWN)


def test_the_command_line(tmp_path: Path) -> None:
    as_zip(archive({"a": as_gray(CLASSES)}), tmp_path / "task")
    said = run(tmp_path, "convert", "task.zip", "--ignore-index", "255", "--unknown", "keep",
               "-f", "segmask", "-o", "out")  # fmt: skip
    assert "1 image, 2 objects of 2 classes" in said
    assert masks_of(kept(tmp_path / "out"))[-1] == (None, 0, UNKNOWN)
