"""Chains of unit edges that become chains of chords, none of which gets in the way of another.

A chain is at first one chord. A chord is split at the corner farthest from it for as long as that
is too far (Douglas and Peucker 1973), and also for as long as it would pass over another chain.
All chains go through this together, round by round.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..arrays import BoolArray, IntArray, lengths_of, ranges, starts_of_runs

# Split at the farthest corner only, a chord may take as many rounds as it has corners (a comb).
# After these many it is halved as well, or takes its exact course.
_FREE_ROUNDS = 64
_FREE_REPAIRS = 16


def keep_corners(points: IntArray, begins: IntArray, tolerance: float) -> BoolArray:
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
