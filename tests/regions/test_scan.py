"""All instances of an image in one pass, against pycocotools (docs/format.md, section 4)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from pycocotools import mask as mask_utils

from datumaro_segmask.regions.rle import decode_box, parse_counts
from datumaro_segmask.regions.scan import Instance, Scanner, group_runs

from ..archives import plane

Plane = NDArray[Any]
NOTHING = -1


def instances(numbers: Plane, labels: Plane, rows: int = 5) -> list[Instance]:
    """Scan two planes, some rows at a time, and group their runs."""
    height, width = numbers.shape
    scanner = Scanner(height, width)
    # The two planes and their blocks come in whatever width their values need.
    for y in range(0, height, rows):
        blocks = numbers[y : y + rows], labels[y : y + rows] - NOTHING
        scanner.add(*(block.astype(np.min_scalar_type(int(block.max()))) for block in blocks))
    runs = scanner.runs()
    return group_runs(runs, runs.values[0], runs.values[1] + NOTHING)


def by_pycocotools(numbers: Plane, labels: Plane) -> list[Instance]:
    """The same, one mask at a time."""
    pairs = {(int(n), int(c)) for n, c in zip(numbers.ravel(), labels.ravel(), strict=True)}
    found = []
    for number, label in sorted(pairs):
        if label != NOTHING:
            mask = (numbers == number) & (labels == label)
            rle = mask_utils.encode(np.asfortranarray(mask, np.uint8))
            x, y, width, height = map(int, mask_utils.toBbox(rle))
            area = int(mask_utils.area(rle))
            found.append(Instance(label, number, rle["counts"], area, (x, y, width, height)))
    return found


def check(numbers: Plane, labels: Plane, rows: int = 5) -> None:
    assert instances(numbers, labels, rows) == by_pycocotools(numbers, labels)


sizes = st.tuples(st.integers(1, 25), st.integers(1, 25))
some_numbers = st.sampled_from([0, 1, 2, 255, 256, 70_000, (1 << 24) - 1])
some_labels = st.sampled_from([NOTHING, 0, 1, 300, 65_535])


@st.composite
def planes(draw: st.DrawFn) -> tuple[Plane, Plane]:
    """Two planes of one size, of rectangles on a ground of one value, with some noise."""
    height, width = draw(sizes)
    found = []
    for values in (some_numbers, some_labels):
        pixels = draw(arrays.arrays(np.int64, (height, width), elements=values, fill=values))
        for value in draw(st.lists(values, max_size=4)):
            y, x = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
            pixels[y : y + draw(sizes)[0], x : x + draw(sizes)[1]] = value
        found.append(pixels)
    return found[0], found[1]


@given(planes(), st.integers(1, 26))
def test_equals_pycocotools(pair: tuple[Plane, Plane], rows: int) -> None:
    check(*pair, rows)


def test_random_planes() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        height, width = rng.integers(1, 40, 2)
        check(rng.integers(0, 4, (height, width)), rng.integers(-1, 3, (height, width)), 7)


@pytest.mark.parametrize(
    ("numbers", "labels"),
    [
        pytest.param("0", "0", id="one-pixel"),
        pytest.param("1111 1111", "1111 1111", id="whole-image"),
        pytest.param("0000 0000", "0000 0000", id="nothing"),
        pytest.param("10 10", "10 10", id="first-column"),
        pytest.param("01 01", "01 01", id="last-column"),
        pytest.param("001 100", "001 100", id="run-over-the-end-of-a-column"),
        pytest.param("111 101 111", "111 101 111", id="ring"),
        pytest.param("10101", "10101", id="one-row"),
        pytest.param("1 0 1 0 1", "1 0 1 0 1", id="one-column"),
        pytest.param("1212 2121", "1111 1111", id="chequered"),
        pytest.param("1111 1111", "1122 1122", id="one-instance-two-labels"),
        pytest.param("1122 1122", "1111 1111", id="two-instances-one-label"),
        pytest.param("0011 0011", "1111 1111", id="stuff-beside-things"),
        pytest.param("9119 9119", "1001 1001", id="parted-instance"),
    ],
)
def test_shapes(numbers: str, labels: str) -> None:
    """Label 0 of the picture is no annotation here."""
    check(plane(numbers).astype(np.int64), plane(labels).astype(np.int64) - 1, rows=1)


def test_order_is_by_number_then_label() -> None:
    found = instances(plane("2211 0033").astype(np.int64), plane("1010 1111").astype(np.int64))
    assert [(i.number, i.label) for i in found] == [(0, 1), (1, 0), (1, 1), (2, 0), (2, 1), (3, 1)]


def test_no_mask_at_all() -> None:
    assert instances(np.zeros((3, 4), np.int64), np.full((3, 4), NOTHING)) == []


def test_many_instances_are_kept_apart() -> None:
    """70,000 in one image; upstream merges them modulo 256."""
    numbers = np.arange(280 * 250).reshape(280, 250)
    found = instances(numbers, np.zeros_like(numbers), rows=100)
    assert [i.number for i in found] == list(range(70_000))
    assert {i.area for i in found} == {1}
    assert found[251].bbox == (1, 1, 1, 1)


def test_wide_image() -> None:
    """Past 16 bits columns are sorted otherwise."""
    labels = np.full((2, 70_000), NOTHING)
    labels[1, 65_530:65_540] = 3
    check(np.zeros_like(labels), labels)


def test_blocks_are_not_changed() -> None:
    block = plane("0110 1001")
    kept = block.copy()
    scanner = Scanner(4, 4)
    scanner.add(block, block)
    scanner.add(block, block)
    scanner.runs()
    assert (block == kept).all()


# The text of the counts

masks = arrays.arrays(np.uint8, sizes, elements=st.integers(0, 1), fill=st.just(0))


@given(st.lists(st.integers(1, 1 << 31), min_size=2, max_size=9))
def test_parse_counts_is_the_inverse_of_pycocotools(counts: list[int]) -> None:
    rle = mask_utils.frPyObjects({"size": [1, sum(counts)], "counts": counts}, 1, sum(counts))
    assert parse_counts(rle["counts"]).tolist() == counts


@given(masks.filter(np.any))
def test_pixels_of_the_text(mask: Plane) -> None:
    rle = mask_utils.encode(np.asfortranarray(mask))
    x, y, columns, rows = map(int, mask_utils.toBbox(rle))
    box = decode_box(rle["counts"], (x, y, columns, rows), height=len(mask))
    assert (box == mask[y : y + rows, x : x + columns]).all()
    assert box.dtype == np.uint8
