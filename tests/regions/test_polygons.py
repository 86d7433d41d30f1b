"""Masks to polygons and back, without a changed pixel (docs/format.md, section 6)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from datumaro.components.annotation import Polygon
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from pycocotools import mask as mask_utils

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


# Name: the mask, how many polygons.
CASES = {
    "nothing": (np.zeros((3, 4), np.uint8), 0),
    "no-pixels-at-all": (np.zeros((0, 4), np.uint8), 0),
    "one-by-one": (np.ones((1, 1), np.uint8), 1),
    "single-pixel": (plane("000 010 000"), 1),
    "single-pixel-last-corner": (plane("000 000 001"), 1),
    "horizontal-line": (plane("0000 0110 0000"), 1),
    "vertical-line": (plane("000 010 010 000"), 1),
    "diagonal-line": (np.eye(7, dtype=np.uint8), 1),
    "two-parts": (plane("1101 1101 1101"), 2),
    "touch-by-a-corner": (plane("1100 1100 0011 0011"), 1),
    "cross-of-corners": (plane("10101 01010 00100 01010 10001"), 1),
    "ring": (plane("1111 1001 1111"), 1),
    "ring-of-corners": (plane("010 101 010"), 1),
    "hole-touches-outside-by-a-corner": (plane("011 101 111"), 1),
    "holes-touch-by-a-corner": (plane("11111 10111 11011 11101 11111"), 1),
    "hole-with-an-island": (plane("11111 10001 10101 10001 11111"), 2),
    "nested-discs": (disc_with_discs(), 4),
    "full-frame": (np.ones((5, 7), np.uint8), 1),
    "full-frame-but-one": (1 - plane("0000 0100 0000"), 1),
    "frame-only": (plane("11111 10001 10001 11111"), 1),
    "last-row-and-column": (plane("0001 0001 1111"), 1),
    "checkerboard": (checkerboard(), 1),
    "spiral": (spiral(), 1),
    "64k-vertices": (comb(), 1),
    "10,000-holes": (grid(), 1),
}


def assert_exact(mask: Mask) -> None:
    height, width = mask.shape
    polygons = mask_to_polygons(mask)
    painted = polygons_to_rle(polygons, height, width)
    assert painted == mask_utils.encode(np.asfortranarray(mask))


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
    assert sum(mask_utils.area(rles)) == mask.sum()  # they do not overlap


@pytest.mark.parametrize("name", CASES)
def test_rings_are_plain(name: str) -> None:
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
    for mask in random_masks(10_000):
        assert_exact(mask)


masks = arrays.arrays(np.uint8, arrays.array_shapes(min_dims=2, max_dims=2, max_side=12),
                      elements=st.integers(0, 1))  # fmt: skip


@given(masks)
def test_any_mask_comes_back(mask: Mask) -> None:
    assert_exact(mask)


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


@given(masks)
def test_a_polygon_is_an_8_connected_part(mask: Mask) -> None:
    parts = cv2.connectedComponents(mask, connectivity=8)[0] - 1
    assert len(mask_to_polygons(mask)) == parts


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
    ("mask", "seams"),
    [
        pytest.param("11111111 10111111 11111111", [1], id="to-the-outline"),
        pytest.param("111 101 111 101 111", [1, 1], id="to-another-hole"),
        pytest.param("11111 10111 11111 11011 11111", [1, 1], id="to-a-corner-on-the-left"),
        pytest.param("00111 11111 11011 11111", [1], id="to-a-corner-of-the-outline"),
        pytest.param("11111 11101 11111 11011 11111", [1, 3], id="past-a-corner-on-the-right"),
        pytest.param("1111111 1110011 1110011 1101111 1111111", [3, 0], id="of-two-that-meet"),
        pytest.param("011 101 111", [0], id="of-one-that-meets-the-outline"),
        pytest.param("111111 101010 111111", [1, 1], id="two-on-one-edge"),
    ],
)  # fmt: skip
def test_seams_lead_straight_up(mask: str, seams: list[int]) -> None:
    """The way around a polygon is that of all its outlines and twice its seams."""
    pixels = plane(mask)
    (ring,) = mask_to_polygons(pixels)
    around = np.abs(np.roll(ring, -1, axis=0) - ring).sum()
    padded = np.pad(pixels.astype(np.int8), 1)
    outlines = sum(np.count_nonzero(np.diff(padded, axis=axis)) for axis in (0, 1))
    assert around - outlines == 2 * sum(seams)
    assert (np.roll(ring, -1, axis=0) != ring).any(axis=1).all()  # no corner twice in a row


def test_square_with_a_hole_point_by_point() -> None:
    (ring,) = mask_to_polygons(plane("111 101 111"))
    outline = [[0, 0], [0, 3], [3, 3], [3, 0]]
    hole_between_seams = [[1, 0], [1, 1], [2, 1], [2, 2], [1, 2], [1, 0]]
    assert ring.tolist() == outline + hole_between_seams


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
