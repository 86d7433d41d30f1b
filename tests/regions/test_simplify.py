"""Fewer vertices, and borders that neighbours keep in common (docs/format.md, section 6)."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from datumaro_segmask.regions import simplify
from datumaro_segmask.regions.outlines import Ring
from datumaro_segmask.regions.polygons import mask_to_polygons
from datumaro_segmask.regions.simplify import simplify_shared

from ..archives import plane

LabelMap = NDArray[np.uint8]
Polygons = list[list[Ring]]


def polygons_of(labels: LabelMap) -> Polygons:
    return [mask_to_polygons(labels == label) for label in np.unique(labels)]


def simplified(labels: LabelMap, tolerance: float) -> Polygons:
    return simplify_shared(polygons_of(labels), tolerance, *labels.shape)


def vertices(polygons: Polygons) -> int:
    return sum(len(ring) for mask in polygons for ring in mask)


def assert_fills_frame(polygons: Polygons, height: int, width: int) -> None:
    """Nothing is left open, nothing is covered twice, nothing has vanished."""
    areas = [shapely.Polygon(ring) for mask in polygons for ring in mask]
    assert shapely.is_valid(areas).all()
    assert all(area.area > 0 for area in areas)
    assert sum(area.area for area in areas) == pytest.approx(height * width)
    assert shapely.union_all(areas).area == pytest.approx(height * width)


def farthest_corner(ring: Ring, other: Ring) -> float:
    """Return how far the corners of one ring lie from another ring at most, in pixels."""
    distances = shapely.distance(shapely.points(ring), shapely.LinearRing(other))
    return float(distances.max())


def noise(seed: int) -> LabelMap:
    """Labels in patches, from single pixels to large ones, in a frame of any size."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 50, 2)
    layers = rng.standard_normal((rng.integers(1, 6), height, width))
    sigma = rng.choice([0, 0.8, 1.5, 3])
    if sigma:
        layers = np.stack([cv2.GaussianBlur(layer, (0, 0), sigma) for layer in layers])
    labels: LabelMap = layers.argmax(axis=0).astype(np.uint8)
    return labels


def three_sectors(size: int = 120) -> LabelMap:
    """Two labels with a slanted border between them on a background, and an island in one."""
    labels = np.zeros((size, size), np.uint8)
    cv2.circle(labels, (size // 2, size // 2), size // 3, 1, -1)
    y, x = np.indices(labels.shape)
    labels[(labels == 1) & (3 * x > 2 * y + 25)] = 2
    cv2.circle(labels, (size // 2 + 15, size // 2), 6, 3, -1)
    return labels


@pytest.mark.parametrize("tolerance", [0.5, 1, 3, 100])
@pytest.mark.parametrize("seed", range(25))
def test_partition_stays_a_partition(seed: int, tolerance: float) -> None:
    labels = noise(seed)
    assert_fills_frame(simplified(labels, tolerance), *labels.shape)


@given(
    arrays.arrays(
        np.uint8,
        arrays.array_shapes(min_dims=2, max_dims=2, max_side=12),
        elements=st.integers(0, 3),
    ),
    st.floats(0.1, 20),
)
def test_any_partition_stays_a_partition(labels: LabelMap, tolerance: float) -> None:
    assert_fills_frame(simplified(labels, tolerance), *labels.shape)


@given(st.lists(arrays.arrays(np.uint8, (9, 8), elements=st.integers(0, 1)), min_size=1,
                max_size=3), st.floats(0.1, 20))  # fmt: skip
def test_rings_of_any_masks_stay_simple_and_apart(masks: list[LabelMap], tolerance: float) -> None:
    """Masks that overlap, with holes, and with corners that touch."""
    for rings in simplify_shared([mask_to_polygons(mask) for mask in masks], tolerance, 9, 8):
        shapes = [shapely.Polygon(ring) for ring in rings]
        assert shapely.is_valid(shapes).all()
        area = sum(shape.area for shape in shapes)
        assert shapely.union_all(shapes).area == pytest.approx(area)


@pytest.mark.parametrize("tolerance", [0.75, 1.5, 4])
def test_no_corner_is_farther_than_the_tolerance(tolerance: float) -> None:
    labels = three_sectors()
    for exact, simple in zip(polygons_of(labels), simplified(labels, tolerance), strict=True):
        for ring, simple_ring in zip(exact, simple, strict=True):
            assert farthest_corner(ring, simple_ring) <= tolerance + 1e-9
            assert farthest_corner(simple_ring, ring) == 0, "a vertex beside the old outline"


def test_fewer_vertices_the_larger_the_tolerance() -> None:
    labels = three_sectors()
    exact = vertices(polygons_of(labels))
    counts = [vertices(simplified(labels, tolerance)) for tolerance in (0.75, 1.5, 4)]
    assert [exact, *counts] == sorted([exact, *counts], reverse=True)
    assert counts[1] < exact / 4


def waves(seed: int) -> LabelMap:
    """Bands whose borders wind, with notches, drawn in whole numbers only."""
    rng = np.random.default_rng(seed)
    steps = rng.integers(-2, 3, (90, 5)).cumsum(axis=0) + np.arange(15, 90, 15)
    steps[rng.integers(0, 90, 9)] += rng.integers(-6, 7, (9, 1))
    labels: LabelMap = (np.arange(90) >= steps[..., None]).sum(axis=1).astype(np.uint8)
    return labels


@pytest.mark.parametrize(
    ("seed", "most"), [(0, {0.5: 1053, 1.0: 524, 3.0: 240}), (1, {0.5: 1046, 1.0: 484, 3.0: 236})]
)
def test_no_more_vertices_than_before(seed: int, most: dict[float, int]) -> None:
    found = {t: vertices(simplified(waves(seed), t)) for t in most}
    assert all(found[t] <= most[t] for t in most), found


def test_neighbours_share_their_border() -> None:
    labels = three_sectors()
    _, left, right, _ = (
        shapely.union_all([shapely.Polygon(ring) for ring in rings])
        for rings in simplified(labels, 2)
    )
    border = left.intersection(right)
    (x0, y0, x1, y1) = border.bounds
    assert np.hypot(x1 - x0, y1 - y0) > 70
    assert border.length == pytest.approx(np.hypot(x1 - x0, y1 - y0), rel=0.01)


@pytest.mark.parametrize("tolerance", [0, -1.0])
def test_no_tolerance_changes_nothing(tolerance: float) -> None:
    polygons = polygons_of(three_sectors())
    same = simplify_shared(polygons, tolerance, 120, 120)
    assert [[ring.tolist() for ring in mask] for mask in same] == [
        [ring.tolist() for ring in mask] for mask in polygons
    ]


def test_nothing_to_simplify() -> None:
    assert simplify_shared([], 1, 5, 5) == []
    assert simplify_shared([[], []], 1, 5, 5) == [[], []]


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param("0000 0100 0000", id="single-pixel"),
        pytest.param("000000 011110 000000", id="line"),
        pytest.param("10000 01000 00100 00010", id="diagonal"),
        pytest.param("00000 02110 02110 00000", id="two-neighbours"),
        pytest.param("012012 012012", id="stripes"),
        pytest.param("00000 01110 01210 01110 00000", id="hole-filled-by-another"),
        pytest.param("0000000 0111110 0122210 0123210 0122210 0111110 0000000", id="nested"),
    ],
)
def test_small_shapes_do_not_vanish(labels: str) -> None:
    """Under a tolerance larger than all of them."""
    frame = plane(labels)
    assert_fills_frame(simplified(frame, 50), *frame.shape)


def test_frame_and_its_corners_stay() -> None:
    labels = noise(3)
    height, width = labels.shape
    points = {tuple(p) for mask in simplified(labels, 30) for ring in mask for p in ring.tolist()}
    assert {(0, 0), (0, height), (width, height), (width, 0)} <= points


def test_island_beside_a_border_stays_on_its_side() -> None:
    """A border that is straightened must not be drawn past a pixel that lay beside it."""
    labels = np.zeros((20, 60), np.uint8)
    labels[10:] = 1
    labels[8:10, 20:40] = 1  # a step, which a tolerance of 3 levels
    labels[9, 19] = labels[9, 40] = 0
    labels[7, 30] = labels[11, 30] = 2
    assert_fills_frame(simplified(labels, 3), *labels.shape)


def test_alone_or_with_neighbours_a_border_is_cut_where_they_begin() -> None:
    """Masks that leave pixels between them free share what they share, and no more."""
    labels = three_sectors()
    masks = [mask_to_polygons(labels == label) for label in (1, 2, 3)]
    with_background = simplified(labels, 2)[1:]
    without = simplify_shared(masks, 2, *labels.shape)
    areas = [[shapely.Polygon(r) for m in p for r in m] for p in (without, with_background)]
    assert shapely.is_valid(areas[0]).all()
    assert shapely.union_all(areas[0]).area == pytest.approx(sum(a.area for a in areas[0]))
    assert shapely.union_all(areas[0]).area == pytest.approx(
        shapely.union_all(areas[1]).area, rel=0.02
    )


def test_masks_that_overlap_are_taken() -> None:
    discs = np.zeros((2, 60, 60), np.uint8)
    cv2.circle(discs[0], (25, 30), 18, 1, -1)
    cv2.circle(discs[1], (37, 30), 18, 1, -1)
    polygons = [mask_to_polygons(disc) for disc in discs]
    simple = simplify_shared(polygons, 1.5, 60, 60)
    assert vertices(simple) < vertices(polygons) / 2
    for disc, (ring,) in zip(discs, simple, strict=True):
        assert shapely.Polygon(ring).area == pytest.approx(disc.sum(), rel=0.05)


@pytest.mark.parametrize(("tolerance", "left"), [(1, 6_000), (100, 10)])
def test_comb_takes_no_time_quadratic_in_its_teeth(tolerance: float, left: int) -> None:
    comb = np.zeros((60, 4_000), np.uint8)
    comb[:, ::2] = 1
    comb[-1] = 1
    polygons = [mask_to_polygons(comb)]
    assert vertices(simplify_shared(polygons, tolerance, *comb.shape)) <= left + 10


def test_arguments_are_left_alone() -> None:
    polygons = polygons_of(three_sectors())
    before = [[ring.copy() for ring in mask] for mask in polygons]
    for mask in polygons:
        for ring in mask:
            ring.flags.writeable = False
    simplify_shared(polygons, 2, 120, 120)
    for mask, old in zip(polygons, before, strict=True):
        for ring, old_ring in zip(mask, old, strict=True):
            np.testing.assert_array_equal(ring, old_ring)


@pytest.mark.parametrize("name", ["_FREE_ROUNDS", "_FREE_REPAIRS"])
@pytest.mark.parametrize("seed", range(5))
def test_what_ends_long_searches_keeps_the_promises(
    name: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simplify, name, 0)
    labels = noise(seed)
    assert_fills_frame(simplified(labels, 2.0), *labels.shape)


@pytest.mark.parametrize("name", ["_FREE_ROUNDS", "_FREE_REPAIRS"])
def test_ending_a_search_early_costs_corners(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is why the searches are free at first."""
    maps = [noise(seed) for seed in range(20)]
    free = sum(vertices(simplified(labels, 2.0)) for labels in maps)
    monkeypatch.setattr(simplify, name, 0)
    assert sum(vertices(simplified(labels, 2.0)) for labels in maps) > free


def test_long_searches_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Split at its farthest corner only, this comb takes two rounds a tooth."""
    teeth = 300
    tooth = [(0, 1)] * 6 + [(1, 0)] * 2 + [(0, -1)] * 6 + [(1, 0)] * 2
    points = np.cumsum([(0, 0), *tooth * teeth], axis=0)
    ended = simplify._kept_corners(points, np.array([0]), 1.0)
    monkeypatch.setattr(simplify, "_FREE_ROUNDS", 2 * teeth)
    patient = simplify._kept_corners(points, np.array([0]), 1.0)
    # Chords that were halved on the way keep more than the corners of the teeth.
    assert ended.sum() > patient.sum() >= 4 * teeth
