"""Fewer vertices for the polygons of an image, with borders that neighbours keep in common.

The outlines of all masks form one graph. It is cut into *arcs* at the corners that must stay:
where three or more edges meet, and where an outline reaches the frame. An arc that two masks share
is simplified once, for both, so that no gap and no overlap comes between them.

An arc is a chain of unit edges, at first with one chord. A chord is split at the corner farthest
from it for as long as that is too far (Douglas and Peucker 1973), and also for as long as it would
pass over another chain. All chains go through this together, round by round.
Source: docs/format.md, section 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arrays import BoolArray, IntArray, following, lengths_of, ranges, starts_of, starts_of_runs
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
    kept = _kept_corners(chain, arcs.begins, tolerance)
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


# Split at the farthest corner only, a chord may take as many rounds as it has corners (a comb).
# After these many it is halved as well, or takes its exact course.
_FREE_ROUNDS = 64
_FREE_REPAIRS = 16


def _kept_corners(points: IntArray, begins: IntArray, tolerance: float) -> BoolArray:
    """Return which points of the chains to keep: (n,) bool.

    ``points``: (n, 2) x and y in pixels, one unit edge from each to the next within a chain;
    ``begins``: (chains,) where each chain begins in them; both its ends are kept. Chains share no
    points but their ends. Every point that is not kept is within ``tolerance`` of its chord.
    """
    begin = np.zeros(len(points) + 1, bool)
    begin[begins] = begin[-1] = True
    kept = _split_far(points, begin[:-1] | begin[1:], tolerance)
    repairs = 0
    while (chords := _misplaced(points, kept, begin)).size:
        at = np.flatnonzero(kept)
        inner = ranges(at[chords] + 1, at[chords + 1] - at[chords] - 1)
        if repairs < _FREE_REPAIRS:
            inner = inner[_farthest(*_distances(points, at, inner))[1]]
        kept[inner] = True
        kept = _split_far(points, kept, tolerance)
        repairs += 1
    return kept


def _split_far(points: IntArray, kept: BoolArray, tolerance: float) -> BoolArray:
    """Return what to keep so that no other point is farther than ``tolerance`` from its chord."""
    kept = kept.copy()
    active = np.flatnonzero(~kept)
    rounds = 0
    while active.size:
        distance, group = _distances(points, np.flatnonzero(kept), active)
        firsts, farthest = _farthest(distance, group)
        sizes = lengths_of(firsts, len(active))
        far = distance[farthest] > tolerance**2
        kept[active[farthest[far]]] = True
        if rounds > _FREE_ROUNDS:
            kept[active[(firsts + sizes // 2)[far]]] = True
        active = active[np.repeat(far, sizes)]
        active = active[~kept[active]]
        rounds += 1
    return kept


def _distances(
    points: IntArray, at: IntArray, inner: IntArray
) -> tuple[NDArray[np.float64], IntArray]:
    """Return the squared distance of points from their chords, and the number of the chord.

    ``at``: the kept points, where chords begin and end; ``inner``: sorted indices of others.
    The distance is that from the segment, and exactly 0 on it.
    """
    chord = np.searchsorted(at, inner) - 1
    begin, end, point = points[at[chord]], points[at[chord + 1]], points[inner]
    along, off = end - begin, point - begin
    length = (along**2).sum(axis=1)
    dot = (along * off).sum(axis=1)
    cross = along[:, 0] * off[:, 1] - along[:, 1] * off[:, 0]
    beside = cross.astype(np.float64) ** 2 / np.maximum(length, 1)
    before, behind = (off**2).sum(axis=1), ((point - end) ** 2).sum(axis=1)
    return np.where(dot <= 0, before, np.where(dot >= length, behind, beside)), chord


def _farthest(distance: NDArray[np.float64], group: IntArray) -> tuple[IntArray, IntArray]:
    """Return where each of the sorted groups begins and where in it the distance is greatest."""
    firsts = starts_of_runs(group)
    greatest = np.maximum.reduceat(distance, firsts)
    at = np.flatnonzero(distance == np.repeat(greatest, lengths_of(firsts, len(group))))
    return firsts, at[np.searchsorted(at, firsts)]


def _misplaced(points: IntArray, kept: BoolArray, begin: BoolArray) -> IntArray:
    """Return the chords, by number, that leave their exact course and must not.

    A chord may replace its course only if it can be moved there over no kept point; borders for
    which that holds neither cross nor change sides. And two chords between the same two points
    would leave nothing of what lay between. ``begin``: (points + 1,) where chains begin.
    """
    at, inner = np.flatnonzero(kept), np.flatnonzero(~kept)
    if not inner.size:
        return inner
    distance, chord = _distances(points, at, inner)
    firsts, farthest = _farthest(distance, chord)
    bent = chord[firsts][distance[farthest] > 0]
    if not bent.size:
        return bent
    real = np.flatnonzero(~begin[at[1:]])
    return bent[_twins(points, at, bent, real) | _swept(points, at, bent)]


def _twins(points: IntArray, at: IntArray, bent: IntArray, real: IntArray) -> BoolArray:
    """Return which chords of ``bent`` have both ends in common with another, or in one point."""
    key = points[at] @ np.array([1, int(points.max()) + 1])
    low, high = np.minimum(key[:-1], key[1:]), np.maximum(key[:-1], key[1:])
    pair = low * (int(key.max()) + 1) + high
    pairs, count = np.unique(pair[real], return_counts=True)
    twins: BoolArray = (low == high)[bent] | (count[np.searchsorted(pairs, pair[bent])] > 1)
    return twins


def _swept(points: IntArray, at: IntArray, bent: IntArray) -> BoolArray:
    """Return which chords of ``bent`` have kept points between them and their exact course.

    Taken row by row of pixels, that is between the leftmost and the rightmost of both, which is
    more than between the two where a course winds: on the safe side.
    """
    line = int(points.max()) + 1
    chord, row, left, right = _spans(points, at, bent, line)
    key = points[at] @ np.array([1, line])
    obstacles = np.sort(key)
    swept = np.zeros(bent.size, bool)
    for y in (row, row + 1):
        first = np.searchsorted(obstacles, y * line + left)
        past = np.searchsorted(obstacles, y * line + right, side="right")
        owner = np.repeat(chord, past - first)
        obstacle = obstacles[ranges(first, past - first)]
        foreign = (obstacle != key[bent[owner]]) & (obstacle != key[bent[owner] + 1])
        swept[owner[foreign]] = True
    return swept


def _spans(
    points: IntArray, at: IntArray, bent: IntArray, line: int
) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Return the place in ``bent``, the row, the least and the greatest x of chords and courses.

    Each (n,), one for each row of pixels that the exact course of a chord runs through.
    """
    begins, sizes = at[bent], at[bent + 1] - at[bent]
    index = ranges(begins, sizes)
    chord = np.repeat(np.arange(bent.size), sizes)
    vertical = points[index, 0] == points[index + 1, 0]
    index, chord = index[vertical], chord[vertical]
    key = chord * line + np.minimum(points[index, 1], points[index + 1, 1])
    order = np.argsort(key, kind="stable")
    key, x = key[order], points[index[order], 0]
    firsts = starts_of_runs(key)
    chord, row = np.divmod(key[firsts], line)
    left, right = np.minimum.reduceat(x, firsts), np.maximum.reduceat(x, firsts)
    begin, end = points[begins[chord]], points[begins[chord] + sizes[chord]]
    height = end[:, 1] - begin[:, 1]
    for edge in (0, 1):
        level = np.where(
            height == 0, edge, (row + edge - begin[:, 1]) / np.where(height, height, 1)
        )
        x_chord = begin[:, 0] + np.clip(level, 0, 1) * (end[:, 0] - begin[:, 0])
        left = np.minimum(left, np.ceil(x_chord - 1e-9).astype(np.int64))
        right = np.maximum(right, np.floor(x_chord + 1e-9).astype(np.int64))
    return chord, row, left, right
