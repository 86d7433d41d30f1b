"""Objects in Ultralytics' words, painted as it paints them (docs/training.md)."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest

from datumaro_segmask.arrays import Size
from datumaro_segmask.formats.data_file import data_file
from datumaro_segmask.formats.yolo import label_place
from datumaro_segmask.training.center_rings import center_rings

from ..archives import plane
from ..regions.test_polygons import CASES, random_masks
from .scenes import (
    MANY,
    REAL_ARCHIVES,
    Mask,
    decode,
    instance_of,
    paint_yolo,
    parts_of,
    random_scenes,
    real_scenes,
    yolo_lines,
)


def painted(mask: Mask) -> Mask:
    size = Size(*mask.shape)
    (line,) = yolo_lines([instance_of(mask)], size)
    return paint_yolo(line, size)


def shortest_bridges(mask: Mask) -> int:
    """Return how many pixels the shortest bridges between the parts of a mask take (Prim)."""
    count, parts = cv2.connectedComponents(mask, connectivity=8)
    pixels = [np.argwhere(parts == part) for part in range(1, count)]
    left = dict.fromkeys(range(1, len(pixels)), 1 << 30)
    last, total = 0, 0
    while left:
        for i in left:
            apart = np.abs(pixels[last][:, None] - pixels[i][None]).max(axis=2).min()
            left[i] = min(left[i], int(apart))
        last = min(left, key=lambda i: left[i])
        total += left.pop(last) - 1
    return total


@pytest.mark.parametrize("name", [name for name, (mask, _) in CASES.items() if mask.any()])
def test_case_comes_back(name: str) -> None:
    mask = CASES[name][0]
    if parts_of(mask) == 1:
        np.testing.assert_array_equal(painted(mask), mask)
    else:
        assert (painted(mask) >= mask).all()


def test_masks_of_one_part_come_back_holes_and_all() -> None:
    tried = 0
    for mask in random_masks(2 * MANY):
        if mask.any() and parts_of(mask) == 1:
            np.testing.assert_array_equal(painted(mask), mask)
            tried += 1
    assert tried > MANY // 2


def test_parts_cost_no_more_than_the_shortest_bridges() -> None:
    tried = 0
    for mask in random_masks(300):
        if parts_of(mask) > 1 and mask.size < 900:
            result = painted(mask)
            assert (result >= mask).all()
            assert int(result.sum()) - int(mask.sum()) <= shortest_bridges(mask)
            tried += 1
    assert tried > 50


def test_many_parts_are_joined_by_shortest_bridges_too() -> None:
    """So many that the whole plane is looked at."""
    mask = np.zeros((61, 61), np.uint8)
    mask[::6, ::6] = 1
    mask[30, 31:34] = 1
    assert parts_of(mask) > 100
    assert int(painted(mask).sum()) - int(mask.sum()) == shortest_bridges(mask)


def test_many_parts_of_any_form_cost_no_more() -> None:
    """On either side of the number of parts from which on the whole plane is looked at."""
    rng = np.random.default_rng(13)
    counts = []
    for number in (30, 45, 60, 90, 150, 250):
        mask = np.zeros((97, 113), np.uint8)
        for y, x, height, width in zip(
            *rng.integers(0, mask.shape, (number, 2)).T,
            *rng.integers(1, 7, (2, number)),
            strict=True,
        ):
            mask[y : y + height, x : x + width] = 1
            mask[y + 1 : y + height - 1, x + 1 : x + width - 1] = 0  # some are rings
        counts.append(parts_of(mask))
        result = painted(mask)
        assert (result >= mask).all()
        assert int(result.sum()) - int(mask.sum()) <= shortest_bridges(mask)
    assert min(counts) < 50 < max(counts)


@pytest.mark.skipif(not REAL_ARCHIVES.is_dir(), reason="the real archives are not here")
def test_real_masks_come_back() -> None:
    overlaps = []
    for segments, size in real_scenes():
        for segment, line in zip(segments, yolo_lines(segments, size), strict=True):
            mask, result = decode(segment, size), paint_yolo(line, size)
            overlaps.append((mask & result).sum() / (mask | result).sum())
            if parts_of(mask) == 1:
                assert overlaps[-1] == 1
    assert np.mean(overlaps) > 0.99


def test_lines_of_an_image_are_those_of_its_masks() -> None:
    for segments, size in random_scenes(300):
        alone = [next(yolo_lines([segment], size)) for segment in segments]
        assert [*yolo_lines(segments, size)] == alone


@pytest.mark.parametrize(
    ("mask", "line"),
    [
        pytest.param("0100", "0 0.375000 0.500000 0.375000 0.500000 0.375000 0.500000", id="pixel"),
        pytest.param("0110", "0 0.375000 0.500000 0.625000 0.500000 0.375000 0.500000", id="two"),
    ],
)
def test_line_has_three_points_or_is_taken_for_a_box(mask: str, line: str) -> None:
    pixels = plane(mask)
    assert [*yolo_lines([instance_of(pixels)], Size(*pixels.shape))] == [line]


def test_wide_images_have_digits_enough() -> None:
    mask = np.zeros((1, 65_000), np.uint8)
    mask[0, 64_321:64_994] = 1
    np.testing.assert_array_equal(painted(mask), mask)


def test_no_masks_no_rings() -> None:
    assert center_rings([], Size(3, 4)) == []


@pytest.mark.parametrize(
    ("image", "labels"),
    [
        ("images/train/a.jpg", "labels/train/a.txt"),
        ("images/train/a.b/c.d.png", "labels/train/a.b/c.d.txt"),
        # Ultralytics takes the last folder of the name.
        ("images/train/images/a.jpg", "images/train/labels/a.txt"),
    ],
)
def test_place_of_labels(image: str, labels: str) -> None:
    assert label_place(image) == labels


# What YAML 1.1 or 1.2 takes for something else, and letters past the first 65,536.
ODD_NAMES = [
    "no", "yes", "on", "null", "~", "", " ", "1", "1e3", "0o7", "0x1f", "1_000", "12:30",
    "2020-01-01", "traffic: sign", "été", "🚗 car", "a #b", "- a", "[a]", "{a}",
    "&a", "*a", "!a", "%a", "@a", "`a",
    "'a'", '"a"', "a\\b", "a\tb", "<<", "=", "é\u2028b", "\U0001f1e9\U0001f1ea",
]  # fmt: skip


def test_data_file_is_yaml() -> None:
    yaml = pytest.importorskip("yaml")
    splits = {"train": ["images/train"], "val": ["images/no", "images/🚗"]}
    path = 'C:\\a "b" 🚗'
    text = "\n".join(data_file("yolo_segments", path, splits, ODD_NAMES))
    assert yaml.safe_load(text) == {
        "path": path,
        "train": "images/train",
        "val": ["images/no", "images/🚗"],
        "names": dict(enumerate(ODD_NAMES)),
    }
    # Quoted, they are texts in YAML 1.2, too, which takes other things for numbers than 1.1.
    names = text.partition("names:\n")[2].splitlines()
    assert all(re.fullmatch(r'  \d+: ".*"', line) for line in names)
    assert len(names) == len(ODD_NAMES)
