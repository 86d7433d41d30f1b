"""Masks to polygons and back, without a changed pixel (docs/format.md, section 6)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import shapely
from datumaro.components.annotation import Polygon
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from pycocotools import mask as mask_utils

from datumaro_segmask.errors import MaskLimitError
from datumaro_segmask.regions import outlines
from datumaro_segmask.regions.outlines import Ring
from datumaro_segmask.regions.polygons import (
    mask_to_polygons,
    polygons_to_rle,
    rle_to_polygons,
    texts_to_polygons,
)

from ..archives import plane

Mask = NDArray[np.uint8]
REAL_ARCHIVES = Path(__file__).parents[3] / "shared" / "data"


def disc_with_discs(size: int = 61) -> Mask:
    mask = np.zeros((size, size), np.uint8)
    for radius, value in zip(range(size // 2, 0, -4), [1, 0] * size, strict=False):
        cv2.circle(mask, (size // 2, size // 2), radius, value, -1)
    return mask


def spiral(turns: int = 40) -> Mask:
    mask = np.zeros((4 * turns, 4 * turns), np.uint8)
    for k in range(turns):
        low, high = 2 * k, 4 * turns - 1 - 2 * k
        mask[low, low : high + 1] = mask[low : high + 1, high] = mask[high, low : high + 1] = 1
        mask[low + 2 : high, low] = 1
        mask[low + 2, low : low + 3] = low + 2 < high
    return mask


def comb(teeth: int = 16_384) -> Mask:
    mask = np.ones((3, 2 * teeth), np.uint8)
    mask[:2, 1::2] = 0
    return mask


def grid(size: int = 201) -> Mask:
    mask = np.ones((size, size), np.uint8)
    mask[1::2, 1::2] = 0
    return mask


def checkerboard(size: int = 32) -> Mask:
    mask: Mask = (np.indices((size, size)).sum(axis=0) % 2).astype(np.uint8)
    return mask


# Name: the mask, how many rings it takes: one for each part, but simple and without holes.
CASES = {
    "nothing": (np.zeros((3, 4), np.uint8), 0),
    "no-pixels-at-all": (np.zeros((0, 4), np.uint8), 0),
    "one-by-one": (np.ones((1, 1), np.uint8), 1),
    "single-pixel": (plane("000 010 000"), 1),
    "single-pixel-last-corner": (plane("000 000 001"), 1),
    "horizontal-line": (plane("0000 0110 0000"), 1),
    "vertical-line": (plane("000 010 010 000"), 1),
    "diagonal-line": (np.eye(7, dtype=np.uint8), 7),
    "two-parts": (plane("1101 1101 1101"), 2),
    "touch-by-a-corner": (plane("1100 1100 0011 0011"), 2),
    "cross-of-corners": (plane("10101 01010 00100 01010 10001"), 10),
    "ring": (plane("1111 1001 1111"), 2),
    "ring-of-corners": (plane("010 101 010"), 4),
    "hole-touches-outside-by-a-corner": (plane("011 101 111"), 2),
    "holes-touch-by-a-corner": (plane("11111 10111 11011 11101 11111"), 4),
    "hole-with-an-island": (plane("11111 10001 10101 10001 11111"), 3),
    "nested-discs": (disc_with_discs(), 8),
    "full-frame": (np.ones((5, 7), np.uint8), 1),
    "full-frame-but-one": (1 - plane("0000 0100 0000"), 2),
    "frame-only": (plane("11111 10001 10001 11111"), 2),
    "last-row-and-column": (plane("0001 0001 1111"), 1),
    "checkerboard": (checkerboard(), 512),
    "spiral": (spiral(), 1),
    "64k-vertices": (comb(), 1),
    "10,000-holes": (grid(), 101),
}


def assert_exact(mask: Mask) -> None:
    height, width = mask.shape
    polygons = mask_to_polygons(mask)
    painted = polygons_to_rle(polygons, height, width)
    assert painted == mask_utils.encode(np.asfortranarray(mask))


def assert_simple(mask: Mask) -> None:
    """No ring touches itself, and none overlaps another: what they cover has all the area."""
    rings, area = mask_to_polygons(mask), int(mask.sum())
    shapes = [shapely.Polygon(ring) for ring in rings]
    assert shapely.is_valid(shapes).all()
    assert sum(shape.area for shape in shapes) == area
    if len(shapes) < 200:
        assert shapely.union_all(shapes).area == area


def cropped(
    rings: list[Ring], x: int, y: int, height: int, width: int
) -> list[NDArray[np.float64]]:
    """Return the rings that are left in a window, as detectron2, mmdetection and sahi cut them."""
    window = shapely.box(x, y, x + width, y + height)
    pieces = [shapely.Polygon(ring).intersection(window) for ring in rings]
    polygons = [part for piece in pieces for part in getattr(piece, "geoms", [piece])
                if isinstance(part, shapely.Polygon) and not part.is_empty]  # fmt: skip
    assert not any(polygon.interiors for polygon in polygons)
    return [np.array(polygon.exterior.coords)[:-1] - (x, y) for polygon in polygons]


@pytest.mark.parametrize("name", CASES)
def test_case_comes_back(name: str) -> None:
    mask, count = CASES[name]
    polygons = mask_to_polygons(mask)
    assert len(polygons) == count
    painted = mask_utils.decode(polygons_to_rle(polygons, *mask.shape))
    np.testing.assert_array_equal(painted, mask)


@pytest.mark.parametrize("name", [name for name, (_, count) in CASES.items() if count])
def test_case_comes_back_from_datumaro_polygons(name: str) -> None:
    """Each polygon painted on its own, from the list of numbers that Datumaro keeps."""
    mask, _ = CASES[name]
    points = [Polygon(ring.ravel().tolist()).points for ring in mask_to_polygons(mask)]
    rles = [mask_utils.frPyObjects([flat], *mask.shape)[0] for flat in points]
    np.testing.assert_array_equal(mask_utils.decode(mask_utils.merge(rles)), mask)
    assert sum(int(mask_utils.area(rle)) for rle in rles) == mask.sum()  # they do not overlap


@pytest.mark.parametrize("name", CASES)
def test_rings_are_plain(name: str) -> None:
    assert_simple(CASES[name][0])
    for ring in mask_to_polygons(CASES[name][0]):
        assert ring.dtype == np.int32
        step = np.roll(ring, -1, axis=0) - ring
        assert ((step == 0).sum(axis=1) == 1).all(), "an edge that is not axis-parallel, or none"
        before = np.roll(step, 1, axis=0)
        assert ((step != 0) != (before != 0)).all(), "a point on a straight line"


def random_masks(count: int) -> Iterator[Mask]:
    """Noise of all densities, in small frames and large, in pixels, blocks, stripes and blobs."""
    rng = np.random.default_rng(20_240)
    for i in range(count):
        height, width = rng.integers(1, 24 if i % 20 else 90, 2)
        noise = rng.random((height, width))
        if i % 4 == 1:
            noise = noise[np.arange(height)[:, None] // 3, np.arange(width) // 2]
        elif i % 4 == 2:
            noise[:, rng.random(width) < 0.5] = rng.random()
            noise[rng.random(height) < 0.5] = rng.random()
        elif i % 4 == 3:
            blurred = np.asarray(cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.5, 3)), np.float64)
            noise = (blurred - blurred.min()) / (np.ptp(blurred) or 1)
        yield (noise < rng.random()).astype(np.uint8)


def test_ten_thousand_random_masks_come_back() -> None:
    for i, mask in enumerate(random_masks(10_000)):
        assert_exact(mask)
        if i % 16 < 2:  # of each kind
            assert_simple(mask)


masks = arrays.arrays(np.uint8, arrays.array_shapes(min_dims=2, max_dims=2, max_side=12),
                      elements=st.integers(0, 1))  # fmt: skip


@given(masks)
def test_any_mask_comes_back(mask: Mask) -> None:
    assert_exact(mask)


@given(masks)
def test_rings_of_any_mask_are_simple_and_apart(mask: Mask) -> None:
    assert_simple(mask)


@given(masks)
def test_rle_gives_the_polygons_of_its_mask(mask: Mask) -> None:
    rle = mask_utils.encode(np.asfortranarray(mask))
    as_text = {**rle, "counts": rle["counts"].decode()}
    expected = [ring.tolist() for ring in mask_to_polygons(mask)]
    assert [ring.tolist() for ring in rle_to_polygons(rle)] == expected
    assert [ring.tolist() for ring in rle_to_polygons(as_text)] == expected


@given(st.lists(arrays.arrays(np.uint8, (7, 9), elements=st.integers(0, 1)), max_size=5))
def test_masks_of_an_image_give_the_polygons_of_each(planes: list[Mask]) -> None:
    texts = [mask_utils.encode(np.asfortranarray(mask))["counts"] for mask in planes]
    together = texts_to_polygons(texts, 7, 9)
    assert [[ring.tolist() for ring in rings] for rings in together] == [
        [ring.tolist() for ring in mask_to_polygons(mask)] for mask in planes
    ]


def test_runs_that_touch_are_one() -> None:
    """Counts of 0 are sound, though pycocotools writes none of a mask."""
    rle = mask_utils.frPyObjects({"size": [3, 3], "counts": [1, 1, 0, 1, 0, 2, 4]}, 3, 3)
    expected = mask_to_polygons(plane("010 110 100"))
    assert [r.tolist() for r in rle_to_polygons(rle)] == [r.tolist() for r in expected]


@given(masks, st.integers(0, 9), st.integers(0, 9))
def test_window_gives_the_polygons_of_the_frame(window: Mask, x: int, y: int) -> None:
    frame = np.pad(window, ((y, 2), (x, 3)))
    expected = [ring.tolist() for ring in mask_to_polygons(frame)]
    assert [ring.tolist() for ring in mask_to_polygons(window, (x, y))] == expected


@given(masks, st.data())
def test_crop_of_the_polygons_is_the_crop_of_the_mask(mask: Mask, data: st.DataObject) -> None:
    height, width = mask.shape
    y, x = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    rows, columns = data.draw(st.integers(1, height - y)), data.draw(st.integers(1, width - x))
    rings = cropped(mask_to_polygons(mask), x, y, rows, columns)
    painted = mask_utils.decode(polygons_to_rle(rings, rows, columns))
    np.testing.assert_array_equal(painted, mask[y : y + rows, x : x + columns])


@given(masks)
def test_parts_without_holes_and_corners_that_touch_are_one_ring(mask: Mask) -> None:
    """Nothing is cut without need."""
    parts = cv2.connectedComponents(mask, connectivity=4)[0] - 1
    whole = cv2.connectedComponents(mask, connectivity=8)[0] - 1
    holes = cv2.connectedComponents(np.pad(1 - mask, 1, constant_values=1), connectivity=4)[0] - 2
    rings = mask_to_polygons(mask)
    assert parts <= len(rings) <= parts + 2 * holes
    if not holes:
        assert len(rings) == parts >= whole


@pytest.mark.parametrize(
    "prepare",
    [
        pytest.param(lambda mask: mask.astype(bool), id="bool"),
        pytest.param(lambda mask: mask * 255, id="255"),
        pytest.param(np.asfortranarray, id="columns-contiguous"),
        pytest.param(lambda mask: np.repeat(mask, 2, axis=1)[:, ::2], id="strided"),
    ],
)
def test_any_array_of_the_same_pixels_will_do(prepare) -> None:
    mask = CASES["nested-discs"][0]
    prepared = prepare(mask)
    before = prepared.copy()
    prepared.flags.writeable = False
    expected = [ring.tolist() for ring in mask_to_polygons(mask)]
    assert [ring.tolist() for ring in mask_to_polygons(prepared)] == expected
    np.testing.assert_array_equal(prepared, before)


@pytest.mark.parametrize(
    ("mask", "cuts"),
    [
        pytest.param("11111111 10111111 11111111", [1, 1], id="to-the-outline"),
        pytest.param("111 101 111 101 111", [1, 1, 1], id="to-another-hole-on-the-line"),
        pytest.param("11111 10111 11111 11011 11111", [1, 3, 1, 1], id="to-a-corner-on-the-left"),
        pytest.param("00111 11111 11011 11111", [1, 1], id="to-a-corner-of-the-outline"),
        pytest.param("11111 11101 11111 11011 11111", [1, 1, 3, 1], id="past-a-corner"),
        pytest.param("1111111 1110011 1110011 1101111 1111111", [1, 1, 3], id="of-two-that-meet"),
        pytest.param("011 101 111", [1], id="of-one-that-meets-the-outline"),
        pytest.param("111111 101010 111111", [1, 1, 1, 1], id="two-on-one-edge"),
        pytest.param("11111 10001 10111 10101 10111 10001 11111", [1, 1, 1, 1], id="in-a-bay"),
        pytest.param("11111 11001 10111 11001 11111", [2, 2, 1, 1], id="around-a-bay"),
    ],
)  # fmt: skip
def test_cuts_lead_straight_up_and_down(mask: str, cuts: list[int]) -> None:
    """The way around the rings is that of all outlines and twice the cuts."""
    pixels = plane(mask)
    rings = mask_to_polygons(pixels)
    around = sum(np.abs(np.roll(ring, -1, axis=0) - ring).sum() for ring in rings)
    padded = np.pad(pixels.astype(np.int8), 1)
    outlines = sum(np.count_nonzero(np.diff(padded, axis=axis)) for axis in (0, 1))
    assert around - outlines == 2 * sum(cuts)
    assert_exact(pixels)
    assert_simple(pixels)


def test_square_with_a_hole_point_by_point() -> None:
    rings = mask_to_polygons(plane("111 101 111"))
    assert [ring.tolist() for ring in rings] == [
        [[0, 0], [0, 3], [1, 3], [1, 0]],
        [[3, 3], [3, 0], [1, 0], [1, 1], [2, 1], [2, 2], [1, 2], [1, 3]],
    ]


def test_many_holes_do_not_cut_what_they_are_not_in() -> None:
    """The rings grow with the holes, and not with the holes times what lies beside them."""
    mask = np.ones((403, 400), np.uint8)
    mask[1:200:2] = 0  # bars, across the whole width
    mask[:, 0] = 1
    mask[300, 1:399:2] = 0  # holes, each in a column of its own
    assert_exact(mask)
    assert_simple(mask)
    assert len(mask_to_polygons(mask)) < 500


def test_what_the_limit_lets_through_is_cut_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = grid(21)
    monkeypatch.setattr(outlines, "MAX_CORNERS", 4 + 4 * 100)
    assert_exact(mask)
    monkeypatch.setattr(outlines, "MAX_CORNERS", 3 + 4 * 100)
    with pytest.raises(MaskLimitError, match="404 corners"):
        mask_to_polygons(mask)


@pytest.mark.skipif(not REAL_ARCHIVES.is_dir(), reason="the real archives are not here")
def test_real_masks_come_back() -> None:
    files = sorted(REAL_ARCHIVES.rglob("Segmentation*/**/*.png"))
    assert files
    for file in files:
        image = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if image is None:
            continue  # a broken file, which no list names
        colors = image.astype(np.int64) @ [1, 256, 65536]
        for color in np.unique(colors):
            assert_exact((colors == color).astype(np.uint8))
