"""Connected components against a search that visits one pixel after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from pycocotools import mask as mask_utils

from datumaro_segmask.regions.scan import Instance, split_components

from ..archives import picture, plane

Pixels = NDArray[Any]
NEIGHBOURS = {
    4: [(-1, 0), (0, -1), (0, 1), (1, 0)],
    8: [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx],
}


def by_search(pixels: Pixels, connectivity: int) -> list[Pixels]:
    """Return the components in the order of their first pixels, row by row."""
    left = {(int(y), int(x)) for y, x in np.argwhere(pixels)}
    found = []
    for start in sorted(left):
        if start not in left:
            continue
        part, todo = np.zeros(pixels.shape, np.uint8), [start]
        left.discard(start)
        while todo:
            y, x = todo.pop()
            part[y, x] = 1
            near = {(y + dy, x + dx) for dy, dx in NEIGHBOURS[connectivity]} & left
            left -= near
            todo += near
        found.append(part)
    return found


def instance(pixels: Pixels, label: int | None = 1, number: int = 0) -> Instance:
    rle = mask_utils.encode(np.asfortranarray(pixels, np.uint8))
    x, y, w, h = (int(value) for value in mask_utils.toBbox(rle))
    return Instance(label, number, rle["counts"], int(mask_utils.area(rle)), (x, y, w, h))


def decoded(found: Instance, shape: tuple[int, ...]) -> Pixels:
    pixels: Pixels = mask_utils.decode({"size": list(shape), "counts": found.counts})
    return pixels


some_masks = arrays.arrays(
    np.uint8,
    st.tuples(st.integers(1, 14), st.integers(1, 14)),
    elements=st.integers(0, 1),
    fill=st.sampled_from([0, 1]),
)


@given(some_masks, st.sampled_from([4, 8]), st.integers(0, 4))
def test_as_by_search(pixels: Pixels, connectivity: int, min_area: int) -> None:
    found = split_components(
        [instance(pixels)], *pixels.shape, connectivity=connectivity, min_area=min_area
    )
    expected = [part for part in by_search(pixels, connectivity) if part.sum() >= min_area]
    assert [decoded(part, pixels.shape).tolist() for part in found] == [
        part.tolist() for part in expected
    ]
    assert found == [instance(part, number=n) for n, part in enumerate(expected, 1)]


# What is special: the mask, its parts by corner and edge, and its parts by edge alone.
CASES = {
    "nothing": ("00 00", [], []),
    "one": ("0110 0110", ["0110 0110"], ["0110 0110"]),
    "two-in-a-row": ("1011", ["1000", "0011"], ["1000", "0011"]),
    "corner": ("10 01", ["10 01"], ["10 00", "00 01"]),
    "other-corner": ("01 10", ["01 10"], ["01 00", "00 10"]),
    "ring-and-what-is-in-it": (
        "11111 10001 10101 10001 11111",
        ["11111 10001 10001 10001 11111", "00000 00000 00100 00000 00000"],
        ["11111 10001 10001 10001 11111", "00000 00000 00100 00000 00000"],
    ),
    "over-the-end-of-a-column": ("01 10 10", ["01 10 10"], ["01 00 00", "00 10 10"]),
    "first-pixel-decides-the-order": ("001 100", ["001 000", "000 100"], ["001 000", "000 100"]),
}


@pytest.mark.parametrize(("mask", "by_corner", "by_edge"), CASES.values(), ids=CASES)
def test_cases(mask: str, by_corner: list[str], by_edge: list[str]) -> None:
    pixels = plane(mask)
    for connectivity, expected in ((8, by_corner), (4, by_edge)):
        found = split_components([instance(pixels)], *pixels.shape, connectivity=connectivity)
        assert [picture(decoded(part, pixels.shape)) for part in found] == expected


def test_numbers_go_on_over_all_masks_and_labels_stay() -> None:
    masks = [instance(plane("101"), label=2), instance(plane("010"), label=None, number=9)]
    found = split_components(masks, 1, 3, first_number=5)
    assert [(part.label, part.number) for part in found] == [(2, 5), (2, 6), (None, 7)]


def test_left_out_parts_take_no_number() -> None:
    found = split_components([instance(plane("1011"))], 1, 4, min_area=2)
    assert [(part.number, part.area) for part in found] == [(1, 2)]


def test_masks_without_pixels_have_no_parts() -> None:
    nothing = instance(plane("000"))
    found = split_components([nothing, instance(plane("001")), nothing], 1, 3)
    assert [part.number for part in found] == [1]
