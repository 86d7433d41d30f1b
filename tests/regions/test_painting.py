"""Every shape covers the pixels that its reference gives it in the full frame, the last on top."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as mask_utils

from datumaro_segmask.errors import UnpaintableError
from datumaro_segmask.png import Plane
from datumaro_segmask.regions import (
    Bitmap,
    Ellipse,
    Geometry,
    Polygon,
    Rle,
    Shape,
    box,
    paint,
    runs_of_planes,
)
from datumaro_segmask.regions.painting import FARTHEST

Pixels = NDArray[Any]
BACKGROUND = 7


def pixels(plane: Plane) -> Pixels:
    """Return the plane as an array: (height, width)."""
    changes = plane.changes
    shape = np.zeros(changes.size, np.int64)
    rows, columns = changes.row.tolist(), changes.column.tolist()
    for row, column, top in zip(rows, columns, changes.shape, strict=True):
        shape[row:, column] = top
    return plane.values[shape]


def by_pycocotools(points: Sequence[float], height: int, width: int) -> Pixels:
    """Draw a polygon in the full frame."""
    rles = mask_utils.frPyObjects([points], height, width)
    covered: Pixels = mask_utils.decode(rles)[..., 0] > 0
    return covered


def by_opencv(ellipse: Ellipse, height: int, width: int) -> Pixels:
    """Draw an ellipse in the full frame, as CVAT's conversion to masks does."""
    frame = np.zeros((height, width), np.uint8)
    x1, y1, x2, y2 = ellipse.x1, ellipse.y1, ellipse.x2, ellipse.y2
    center = round((x1 + x2) / 2), round((y1 + y2) / 2)
    axes = round(abs(x2 - x1) / 2), round(abs(y2 - y1) / 2)
    cv2.ellipse(frame, center, axes, 0, 0, 360, 1, thickness=-1)
    return frame > 0


def painted(geometries: Sequence[Geometry], height: int, width: int) -> Pixels:
    """Paint shapes with the numbers 1, 2, … and return the instance mask."""
    shapes = [Shape(geometry, 0, i) for i, geometry in enumerate(geometries, 1)]
    return pixels(paint(shapes, height, width, BACKGROUND).numbers)


sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))
coordinates = st.one_of(
    st.floats(-60, 100),
    st.integers(-300, 500).map(lambda tenth: tenth / 10),  # ties of the rounding in fifths
    st.integers(-2, 42).map(float),
)


@given(sizes, st.lists(st.tuples(coordinates, coordinates, coordinates, coordinates), max_size=5))
def test_runs_of_what_is_painted(size: tuple[int, int], boxes: list[tuple[float, ...]]) -> None:
    """Each pixel is in one run, which has its values and ends with its column."""
    shapes = [Shape(box(*one), i % 3, i) for i, one in enumerate(boxes, 1)]
    planes = paint(shapes, *size, BACKGROUND)
    runs = runs_of_planes(planes)
    lengths = runs.end - runs.begin
    for plane, values in zip((planes.labels, planes.numbers), runs.values, strict=True):
        assert np.array_equal(values.repeat(lengths).reshape(size[::-1]).T, pixels(plane))
    assert {*range(0, size[0] * size[1], size[0])} <= {*runs.begin.tolist()}


@given(sizes, st.lists(coordinates, min_size=6, max_size=16).filter(lambda c: len(c) % 2 == 0))
def test_polygon_as_pycocotools_gives_it(size: tuple[int, int], points: list[float]) -> None:
    assert np.array_equal(painted([Polygon(points)], *size), by_pycocotools(points, *size))


@pytest.mark.parametrize(
    ("points", "size"),
    [
        pytest.param([5, 5, 5, 5, 5, 5], (9, 9), id="one point three times"),
        pytest.param([2, 2, 8, 2, 2, 2], (9, 9), id="a line there and back"),
        pytest.param([0, 0, 9, 9, 9, 0, 0, 9], (9, 9), id="crosses itself"),
        pytest.param([-50, -50, 90, -50, 90, 90, -50, 90], (9, 9), id="larger than the frame"),
        pytest.param([20, 20, 30, 20, 30, 30], (9, 9), id="outside the frame"),
        pytest.param([-30, 2, -20, 2, -20, 6], (9, 9), id="left of the frame"),
        pytest.param([-FARTHEST, 3, FARTHEST, 3, 4, FARTHEST], (9, 9), id="as far as allowed"),
        pytest.param([0.1, 0.1, 0.3, 0.1, 0.3, 0.3], (1, 1), id="within one pixel"),
    ],
)
def test_strange_polygon_as_pycocotools_gives_it(
    points: list[float], size: tuple[int, int]
) -> None:
    assert np.array_equal(painted([Polygon(points)], *size), by_pycocotools(points, *size))


def test_polygon_far_from_the_corner_is_not_rounded_otherwise() -> None:
    # Tenths of a pixel fall between the fifths that pycocotools rounds to, and which way they go
    # hangs on the last bit: shifted into a window, nine in ten of these polygons differ.
    rng = np.random.default_rng(5)
    for _ in range(40):
        points = (rng.uniform(700, 760, 2) + rng.integers(-300, 300, (7, 2)) / 10).ravel().tolist()
        assert np.array_equal(
            painted([Polygon(points)], 800, 790), by_pycocotools(points, 800, 790)
        )


def test_polygon_takes_pairs_of_coordinates() -> None:
    corners = [(2.0, 1.0), (7.0, 4.0), (3.0, 8.0)]
    flat = [value for corner in corners for value in corner]
    assert np.array_equal(painted([Polygon(corners)], 9, 9), by_pycocotools(flat, 9, 9))


@given(sizes, st.tuples(coordinates, coordinates, st.floats(0, 60), st.floats(0, 60)))
def test_box_as_pycocotools_gives_it(
    size: tuple[int, int], corner_and_size: tuple[float, float, float, float]
) -> None:
    # pycocotools takes an array of rows of four numbers for boxes.
    rles = mask_utils.frPyObjects(np.array([corner_and_size]), *size)
    assert np.array_equal(painted([box(*corner_and_size)], *size), mask_utils.decode(rles)[..., 0])


@given(sizes, st.tuples(coordinates, coordinates, coordinates, coordinates))
def test_ellipse_as_opencv_fills_it(
    size: tuple[int, int], corners: tuple[float, float, float, float]
) -> None:
    ellipse = Ellipse(*corners)
    assert np.array_equal(painted([ellipse], *size), by_opencv(ellipse, *size))


@pytest.mark.parametrize("half", [0, 1, 2, 3, 9, 10, 14, 15, 40, 300])
def test_ellipse_of_any_size_anywhere(half: int) -> None:
    rng = np.random.default_rng(half)
    for x, y, ratio in zip(
        rng.integers(-60, 160, 25), rng.integers(-60, 160, 25), rng.uniform(0, 2, 25), strict=True
    ):
        ellipse = Ellipse(x - half, y - half * ratio, x + half, y + half * ratio)
        assert np.array_equal(painted([ellipse], 90, 110), by_opencv(ellipse, 90, 110))


masks = st.tuples(sizes, st.integers(0, 2**32), st.sampled_from([0, 0.02, 0.5, 0.98, 1])).map(
    lambda drawn: np.random.default_rng(drawn[1]).random(drawn[0]) < drawn[2]
)


def encoded(mask: Pixels) -> dict[str, Any]:
    rle: dict[str, Any] = mask_utils.encode(np.asfortranarray(mask, np.uint8))
    return rle


def counted(mask: Pixels) -> list[int]:
    """Return COCO's uncompressed counts."""
    flat = mask.ravel(order="F").astype(int)
    ends = [*np.flatnonzero(np.diff(flat)) + 1, flat.size]
    lengths: list[int] = np.diff(ends, prepend=0).tolist()
    return [0, *lengths] if flat[0] else lengths


KINDS_OF_MASK: dict[str, Callable[[Pixels], Geometry]] = {
    "RLE bytes": lambda m: Rle(m.shape, encoded(m)["counts"]),
    "RLE text": lambda m: Rle(list(m.shape), encoded(m)["counts"].decode()),
    "RLE counts": lambda m: Rle(m.shape, counted(m)),
    "bool": Bitmap,
    "uint8 of 0 and 255": lambda m: Bitmap(m * np.uint8(255)),
    "int32": lambda m: Bitmap(m.astype(np.int32) << 8),
    "float": lambda m: Bitmap(m / 2),
    "columns contiguous": lambda m: Bitmap(np.asfortranarray(m)),
    "every other pixel": lambda m: Bitmap(np.repeat(np.repeat(m, 2, 0), 2, 1)[::2, ::2]),
}


@pytest.mark.parametrize("kind", KINDS_OF_MASK)
@given(mask=masks)
def test_mask_comes_back(kind: str, mask: Pixels) -> None:
    before = mask.copy()
    assert np.array_equal(painted([KINDS_OF_MASK[kind](mask)], *mask.shape), mask)
    assert np.array_equal(mask, before)


@given(size=sizes, seed=st.integers(0, 2**32), n=st.integers(0, 12))
def test_the_last_is_on_top(size: tuple[int, int], seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    geometries: list[Geometry] = []
    expected = np.zeros(size, np.int64)
    for i in range(1, n + 1):
        points = rng.uniform(-10, 50, 8)
        mask = rng.random(size) < rng.choice([0.01, 0.3, 1])
        choices: list[tuple[Geometry, Pixels]] = [
            (Polygon(points), by_pycocotools(points.tolist(), *size)),
            (Ellipse(*points[:4]), by_opencv(Ellipse(*points[:4]), *size)),
            (Rle(size, encoded(mask)["counts"]), mask),
            (Rle(size, counted(mask)), mask),
            (Bitmap(mask), mask),
        ]
        geometry, covers = choices[rng.integers(5)]
        geometries.append(geometry)
        expected[covers] = i
    assert np.array_equal(painted(geometries, *size), expected)
    shapes = [Shape(g, i + 100, i % 3) for i, g in enumerate(geometries, 1)]
    planes = paint(shapes, *size, BACKGROUND)
    assert np.array_equal(pixels(planes.labels), np.where(expected > 0, expected + 100, BACKGROUND))
    assert np.array_equal(pixels(planes.numbers), expected % 3)
    unseen = sorted([*planes.hidden + 1, *planes.empty + 1])
    assert unseen == sorted({*range(1, n + 1)} - {*expected.ravel()})


@pytest.mark.parametrize("order", [1, -1], ids=["the smallest on top", "the largest on top"])
def test_deep_stack(order: int) -> None:
    boxes = [box(i, i, 120 - 2 * i, 100 - 2 * i) for i in range(50)][::order]
    expected = np.zeros((100, 120), np.int64)
    for number, i in enumerate(range(50)[::order], 1):
        expected[i : 100 - i, i : 120 - i] = number
    assert np.array_equal(painted(boxes, 100, 120), expected)


def test_no_shape_at_all() -> None:
    planes = paint([], 3, 4, BACKGROUND)
    assert np.array_equal(pixels(planes.labels), np.full((3, 4), BACKGROUND))
    assert not pixels(planes.numbers).any()
    assert planes.hidden.size == 0


def test_shapes_that_show_no_pixel_are_told() -> None:
    shapes = [box(0, 0, 2, 2), box(50, 50, 2, 2), box(3, 3, 1, 1), box(0, 0, 3, 3)]
    planes = paint([Shape(shape, 1, 1) for shape in shapes], 9, 9, 0)
    assert planes.hidden.tolist() == [0]  # the box under the last one
    assert planes.empty.tolist() == [1]  # the one outside of the image


def test_no_frame_is_ever_drawn() -> None:
    height, width = 40_000, 30_000
    shapes = [Shape(box(300 * i, 400 * i, 200, 300), 1, i + 1) for i in range(90)]
    shapes += [Shape(Ellipse(100, 100, 900, 700), 2, 91), Shape(box(0, 0, 250, 350), 2, 92)]
    tracemalloc.start()
    try:
        planes = paint(shapes, height, width, 0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert planes.hidden.tolist() == [0]
    assert peak < height * width / 60


NAN, INFINITE = float("nan"), float("inf")
TRIANGLE = [1.0, 1.0, 5.0, 1.0, 5.0, 5.0]


@pytest.mark.parametrize(
    ("geometry", "what"),
    [
        pytest.param(Polygon([1, 1, 5, 5]), "4 coordinates", id="two points"),
        pytest.param(Polygon([]), "0 coordinates", id="no point"),
        pytest.param(Polygon([*TRIANGLE, 3]), "7 coordinates", id="an x without y"),
        pytest.param(Polygon([*TRIANGLE, NAN, 3]), "coordinate nan", id="polygon not a number"),
        pytest.param(Polygon([*TRIANGLE, -INFINITE, 3]), "coordinate -inf", id="infinite polygon"),
        pytest.param(Polygon([*TRIANGLE, 1e9, 3]), "1000000000.0 is outside", id="polygon far off"),
        pytest.param(box(1, NAN, 3, 3), "coordinate nan", id="box not a number"),
        pytest.param(box(1, 1, INFINITE, 3), "coordinate inf", id="infinite box"),
        pytest.param(Ellipse(1, 1, NAN, 3), "coordinate nan", id="ellipse not a number"),
        pytest.param(Ellipse(1, 1, 1e7, 3), "coordinate 10000000.0", id="ellipse far off"),
        pytest.param(Rle([9, 8], [72]), "mask of 8 x 9 pixels", id="RLE of another size"),
        pytest.param(Bitmap(np.ones((8, 9))), "mask of 9 x 8 pixels", id="bitmap of another size"),
        pytest.param(Bitmap(np.ones(9)), "mask of 9 pixels", id="bitmap of one dimension"),
        pytest.param(Bitmap(np.ones((9, 9, 3))), "9 x 9 x 3 pixels", id="bitmap with channels"),
        pytest.param(Rle([9, 9], [40, 40]), "covers 80 pixels", id="counts too few"),
        pytest.param(Rle([9, 9], [40, 42]), "covers 82 pixels", id="counts too many"),
        pytest.param(Rle([9, 9], []), "covers 0 pixels", id="no counts"),
        pytest.param(Rle([9, 9], [90, -9]), "negative length", id="negative count"),
        pytest.param(Rle([9, 9], b""), "is empty", id="empty text"),
        pytest.param(Rle([9, 9], b"oo"), "'oo' is broken", id="text without an end"),
        pytest.param(Rle([9, 9], "é1"), "is broken", id="text of other characters"),
        pytest.param(Rle([9, 9], b"0 1"), "'0 1' is broken", id="text with a space"),
        pytest.param(Rle([9, 9], b"ooooooo0"), "8 characters", id="text with a huge number"),
        pytest.param(Rle([9, 9], b"52"), "covers 7 pixels", id="text cut short"),
    ],
)
def test_unpaintable(geometry: Geometry, what: str) -> None:
    good = [Shape(Polygon(TRIANGLE), 1, 1, "the first"), Shape(Rle([9, 9], [80, 1]), 1, 2, "2nd")]
    shapes = [*good, Shape(geometry, 1, 3, "item 'a': annotation 3"), *good]
    with pytest.raises(UnpaintableError) as caught:
        paint(shapes, 9, 9, 0)
    assert caught.value.where == "item 'a': annotation 3"
    assert what in caught.value.what
    assert caught.value.expected
    assert caught.value.remedy
