"""Fewer vertices for the polygons of an image, with borders that neighbours keep in common.

The outlines of all masks form one graph. It is cut into *arcs* at the corners that must stay:
where three or more edges meet, and where an outline reaches the frame. An arc that two masks share
is simplified once, for both, so that no gap and no overlap comes between them.
Source: docs/format.md, section 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import BoolArray, IntArray, following, lengths_of, ranges, starts_of
from .chords import keep_corners
from .outlines import Ring


def simplify_shared(
    polygons: Sequence[Sequence[Ring]], tolerance: float, height: int, width: int
) -> list[list[Ring]]:
    """Return the polygons of all the masks of an image with fewer vertices.

    ``polygons``: for each mask its polygons as `mask_to_polygons` gives them, with axis-parallel
    edges between whole pixels of a frame of ``height`` × ``width``. ``tolerance``: how far, in
    pixels, a corner that is left out may lie from the edge that passes it; 0 changes nothing.
    The result is nested like the argument; every vertex is a whole pixel corner of an old outline.

    What is promised: a border between two masks stays common to both, line for line; borders
    neither cross nor change sides, so masks without overlap stay so, and what was filled without
    a gap stays filled; rings stay simple; corners where three masks meet, the frame, and the ends
    of cuts stay; no polygon vanishes. What is not: that painting the result gives the same pixels,
    nor that the number of vertices is the least possible. Masks that overlap are treated alike,
    and share what they have in common.
    """
    rings = [ring for mask in polygons for ring in mask]
    if tolerance <= 0 or not rings:
        return [list(mask) for mask in polygons]
    points, starts = _unit_edges(rings)
    points, starts, fixed = _cut(points, starts, height, width)
    arcs, chain = _share(points, starts, fixed, width)
    kept = keep_corners(chain, arcs.begins, tolerance)
    simple = iter(_reassemble(chain, kept, arcs, starts))
    return [[next(simple) for _ in mask] for mask in polygons]


@dataclass(frozen=True, slots=True)
class _Arcs:
    """The arcs of all rings in a row, and the chains of points that they are walks of.

    ``firsts``: (arcs,) where each begins in the rings' points; ``chains``: (arcs,) which chain it
    is; ``reverse``: (arcs,) bool, it runs from the chain's end to its begin; ``begins``:
    (chains,) where each chain begins in the chains' points, of which both ends are part.
    """

    firsts: IntArray
    chains: IntArray
    reverse: BoolArray
    begins: IntArray


def _unit_edges(rings: Sequence[Ring]) -> tuple[IntArray, IntArray]:
    """Return where each unit edge of the rings begins, (n, 2), and where each ring does."""
    vertices = np.concatenate(rings).astype(np.int64)
    sizes = np.array([len(ring) for ring in rings], np.int64)
    starts = starts_of(sizes)
    step = vertices[following(starts, len(vertices))] - vertices
    lengths = np.abs(step).sum(axis=1)
    nth = ranges(0, lengths)
    points: IntArray = np.repeat(vertices, lengths, axis=0)
    points += np.repeat(np.sign(step), lengths, axis=0) * nth[:, None]
    return points, starts_of(lengths)[starts]


def _cut(
    points: IntArray, starts: IntArray, height: int, width: int
) -> tuple[IntArray, IntArray, BoolArray]:
    """Return the points and starts with each ring turned to begin at a fixed corner; the fixed."""
    after = following(starts, len(points))
    key = points[:, 1] * (width + 1) + points[:, 0]
    fixed = _junctions(key, key[after]) | _leaves_frame(points, after, height, width)
    sizes = lengths_of(starts, len(points))
    free = np.flatnonzero(~np.logical_or.reduceat(fixed, starts))
    fixed[_anchors(points, key, starts[free], sizes[free])] = True
    at = np.flatnonzero(fixed)
    shift = at[np.searchsorted(at, starts)] - starts
    nth = ranges(0, sizes)
    turned = np.repeat(starts, sizes) + (nth + np.repeat(shift, sizes)) % np.repeat(sizes, sizes)
    return points[turned], starts, fixed[turned]


def _junctions(key: IntArray, next_key: IntArray) -> BoolArray:
    """Return for each corner whether more than two edges meet there, of whatever mask."""
    corners, corner = np.unique(key, return_inverse=True)
    other = np.searchsorted(corners, next_key)
    low, high = np.minimum(corner, other), np.maximum(corner, other)
    edges = np.unique(low * len(corners) + high)
    degree = np.bincount(edges // len(corners), minlength=len(corners))
    degree += np.bincount(edges % len(corners), minlength=len(corners))
    meet: BoolArray = degree[corner] > 2
    return meet


def _leaves_frame(points: IntArray, after: IntArray, height: int, width: int) -> BoolArray:
    """Return for each point whether an outline turns there on the frame."""
    step = points[after] - points
    turns = np.empty(len(points), bool)
    turns[after] = (step != step[after]).any(axis=1)
    leaves: BoolArray = turns & ((points == 0) | (points == [width, height])).any(axis=1)
    return leaves


def _anchors(points: IntArray, key: IntArray, starts: IntArray, sizes: IntArray) -> IntArray:
    """Return two points of each given ring that depend on its shape only, not on its walk.

    They are the top left one and the one farthest from it.
    """
    index = ranges(starts, sizes)
    ring = np.repeat(np.arange(len(starts)), sizes)
    firsts = starts_of(sizes)
    top = index[np.lexsort((key[index], ring))[firsts]]
    distance = ((points[index] - points[top][ring]) ** 2).sum(axis=1)
    farthest = index[np.lexsort((key[index], -distance, ring))[firsts]]
    return np.concatenate([top, farthest])


def _share(
    points: IntArray, starts: IntArray, fixed: BoolArray, width: int
) -> tuple[_Arcs, IntArray]:
    """Find the arcs that are walks of one chain; return them and the points of the chains."""
    after = following(starts, len(points))
    key = points[:, 1] * (width + 1) + points[:, 0]
    low = np.minimum(key, key[after])
    edge = 2 * low + (points[:, 0] == points[after, 0])
    firsts = np.flatnonzero(fixed)
    sizes = lengths_of(firsts, len(points))
    # Every edge belongs to one chain, so the least of its edges tells a chain.
    least = np.minimum.reduceat(edge, firsts)
    at = np.flatnonzero(edge == np.repeat(least, sizes))
    forward = low[at] == key[at]
    _, origin, chains = np.unique(least, return_index=True, return_inverse=True)
    lengths = sizes[origin] + 1
    chain = ranges(firsts[origin], lengths)
    ends = np.cumsum(lengths) - 1
    chain[ends] = after[chain[ends] - 1]
    return (
        _Arcs(firsts, chains, forward != forward[origin][chains], ends + 1 - lengths),
        points[chain],
    )


def _reassemble(chain: IntArray, kept: BoolArray, arcs: _Arcs, starts: IntArray) -> list[Ring]:
    """Return the rings that begin at ``starts``, of the kept points of their arcs."""
    at = np.flatnonzero(kept)
    firsts = np.searchsorted(at, arcs.begins)
    chords = lengths_of(firsts, len(at)) - 1
    sizes = chords[arcs.chains]
    first = firsts[arcs.chains] + np.where(arcs.reverse, sizes, 0)
    nth = ranges(0, sizes)
    index = np.repeat(first, sizes) + np.repeat(np.where(arcs.reverse, -1, 1), sizes) * nth
    points = chain[at[index]]
    starts = starts_of(sizes)[np.searchsorted(arcs.firsts, starts)]
    after = following(starts, len(points))
    ahead = points[after] - points
    behind = np.empty_like(ahead)
    behind[after] = ahead
    cross = ahead[:, 0] * behind[:, 1] - ahead[:, 1] * behind[:, 0]
    bends = (cross != 0) | ((ahead * behind).sum(axis=1) < 0)
    starts = (np.cumsum(bends) - bends)[starts]
    return np.split(points[bends].astype(np.int32), starts[1:])
