"""Masks of several images that are traced in one pass (docs/training.md)."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest

from datumaro_segmask.archive import Item
from datumaro_segmask.arrays import Size
from datumaro_segmask.errors import MaskLimitError
from datumaro_segmask.formats import Classes
from datumaro_segmask.formats import lines as lines_module
from datumaro_segmask.formats import yolo as yolo_module
from datumaro_segmask.formats.coco import CocoCoder, CocoText
from datumaro_segmask.formats.lines import ENOUGH, Batches
from datumaro_segmask.formats.yolo import YoloCoder
from datumaro_segmask.regions import Instance, outlines

from ..regions.test_polygons import comb, grid
from ..training.scenes import annotation_lines, instance_of, random_scenes, yolo_lines

center_rings_module = sys.modules["datumaro_segmask.training.center_rings"]  # not the function
SMALL, OTHER = Size(3, 4), Size(5, 6)
CLASSES = Classes.of([f"label {i}" for i in range(9)], None)


class Passes:
    """Upper case of texts, and how many texts each pass had."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.written: list[list[bytes]] = []
        self.batches = Batches(self.trace)

    def trace(self, texts: Sequence[bytes], size: Size) -> list[bytes]:
        if b"refused" in texts:
            raise MaskLimitError("refused", "here")
        self.sizes.append(len(texts))
        return [text.upper() for text in texts]

    def add(self, *texts: bytes, size: Size = SMALL, alone: bool = False) -> None:
        self.batches.finish(self.batches.start(texts, size, alone=alone), self.written.append)


def test_small_images_of_one_size_are_traced_together_in_their_order() -> None:
    passes = Passes()
    passes.add(b"a", b"b")
    passes.add()
    passes.add(b"c")
    assert passes.written == []
    passes.batches.flush()
    passes.batches.flush()
    assert passes.written == [[b"A", b"B"], [], [b"C"]]
    assert passes.sizes == [3]


def test_another_size_begins_another_pass() -> None:
    passes = Passes()
    passes.add(b"a")
    passes.add(b"b", size=OTHER)
    passes.add(b"c", size=OTHER)
    passes.batches.flush()
    assert passes.written == [[b"A"], [b"B"], [b"C"]]
    assert passes.sizes == [1, 2]


@pytest.mark.parametrize("text", [b"x" * ENOUGH, b"x"])
def test_a_large_image_is_traced_alone_and_comes_behind_the_small_ones_before(text: bytes) -> None:
    passes = Passes()
    passes.add(b"a")
    passes.add(text, alone=len(text) == 1)
    passes.add(b"b")
    assert passes.written == [[b"A"], [text.upper()]]
    passes.batches.flush()
    assert passes.sizes == [1, 1, 1]


def test_what_is_refused_is_said_at_once_and_takes_no_other_with_it() -> None:
    passes = Passes()
    passes.add(b"a")
    with pytest.raises(MaskLimitError):
        passes.add(b"refused", alone=True)
    passes.add(b"b")
    passes.batches.flush()
    assert passes.written == [[b"A"], [b"B"]]


def test_neither_corners_nor_images_are_held_without_end() -> None:
    passes = Passes()
    for _ in range(5_000):
        passes.add(b"x" * 20)
    assert len(passes.written) > 4_900
    passes.written.clear()
    for _ in range(5_000):
        passes.add()
    assert len(passes.written) > 4_900


def scenes() -> list[tuple[list[Instance], Size]]:
    """Some of one size, some not, some large, some empty."""
    found = list(random_scenes(40))
    for segments, size in random_scenes(60):
        wide = [np.zeros((30, 130), np.uint8) for _ in segments]
        for mask, segment in zip(wide, segments, strict=True):
            x, y, w, h = segment.bbox
            mask[y % 20 : y % 20 + h, x : x + w] = 1
            mask[y % 20, x + w + 2 : x + w + 4] = 1
        found.append(([instance_of(mask) for mask in wide if size], Size(30, 130)))
    found.insert(50, ([instance_of(grid())], Size(201, 201)))
    found.insert(60, ([], Size(30, 130)))
    return found


def coco_lines(images: list[tuple[list[Instance], Size]]) -> list[dict[str, Any]]:
    first_id = 1
    text, coder = CocoText(), CocoCoder(CLASSES, "polygons")
    for image_id, (segments, size) in enumerate(images):
        coded = coder.code(Item("a", size, None, segments), Counter())
        assert coded is not None
        coder.lines.finish(coded.objects, partial(text.add_objects, image_id, first_id))
        first_id += len(segments)
    coder.lines.flush()
    return list(json.loads("\n".join(text.lines([])))["annotations"])


def test_annotations_are_those_of_images_one_by_one() -> None:
    alone: list[dict[str, Any]] = []
    first_id = 1
    for image_id, (segments, size) in enumerate(scenes()):
        alone += map(json.loads, annotation_lines(segments, size, image_id, first_id, "polygons"))
        first_id += len(segments)
    assert coco_lines(scenes()) == alone


def test_lines_of_labels_are_those_of_images_one_by_one() -> None:
    together: dict[int, Sequence[str]] = {}
    coder = YoloCoder(CLASSES)
    for number, (segments, size) in enumerate(scenes()):
        coded = coder.code(Item("a", size, None, segments), Counter())
        coder.lines.finish(coded.objects, partial(together.__setitem__, number))
    coder.lines.flush()
    assert [*together] == sorted(together)
    assert [*together.values()] == [[*yolo_lines(*scene)] for scene in scenes()]


def test_limits_are_those_of_one_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three images of 404 corners each are taken where one may have as many, and no more."""
    image = [instance_of(grid(21))], Size(21, 21)
    monkeypatch.setattr(outlines, "MAX_CORNERS", 404)
    monkeypatch.setattr(lines_module, "ENOUGH", 404 // 4)
    assert len(coco_lines([image] * 3)) == 3
    monkeypatch.setattr(outlines, "MAX_CORNERS", 403)
    with pytest.raises(MaskLimitError, match="404 corners"):
        coco_lines([image])


def test_length_of_outlines_is_looked_at_an_object(monkeypatch: pytest.MonkeyPatch) -> None:
    bars = np.zeros((5, 100), np.uint8)
    bars[[0, 2, 4]] = 1
    segments, size = [instance_of(bars)] * 3, Size(5, 100)
    around = 3 * (2 * 99 + 6)  # and what does not lead on
    for module in (center_rings_module, yolo_module):
        monkeypatch.setattr(module, "MAX_LENGTH", around)
    monkeypatch.setattr(center_rings_module, "_AT_ONCE", 10)
    assert len(set(yolo_lines(segments, size))) == 1
    for module in (center_rings_module, yolo_module):
        monkeypatch.setattr(module, "MAX_LENGTH", around - 1)
    with pytest.raises(MaskLimitError, match=f"{around} pixels of outline"):
        YoloCoder(CLASSES).code(Item("a", size, None, segments), Counter())


def test_a_comb_is_one_ring_for_each_reader() -> None:
    """The most corners for the fewest objects."""
    segment, size = instance_of(comb(300)), Size(3, 600)
    (line,) = coco_lines([([segment], size)])
    assert len(line["segmentation"]) == 1
    assert len([*yolo_lines([segment], size)]) == 1
