"""Chunks of work: how large they are, and in which order what comes of them is told."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from datumaro_segmask.cli.parallel import CHUNK, in_chunks

from ..processes import do_nothing_here, help_at_once


def sizes(_: int, chunk: Sequence[int]) -> list[int]:
    return [len(chunk)] * len(chunk)


def test_cluster_gets_more_than_one_item_at_a_time() -> None:
    with ThreadPoolExecutor(2) as pool:
        found = list(in_chunks(sizes, range(2 * CHUNK + 1), "", 1, pool, None))
    assert found == [CHUNK] * 2 * CHUNK + [1]


def test_chunks_grow_where_their_size_is_free() -> None:
    found = list(in_chunks(sizes, iter(range(1000)), "", 1, size=None, total=1000))
    assert found[:7] == [1, 2, 2, 4, 4, 4, 4]
    assert max(found) == 250
    assert len(found) == 1000


def refuse_the_sixth(number: int, chunk: Sequence[int]) -> list[int]:
    if 5 in chunk:
        raise ValueError("the sixth")
    return [*chunk]


@pytest.mark.parametrize("prepare", [help_at_once, do_nothing_here], ids=["both", "processes"])
def test_an_error_comes_in_its_turn(prepare: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever met it first: what comes before is told before."""
    prepare(monkeypatch)  # type: ignore[operator]
    found = in_chunks(refuse_the_sixth, range(40), "", 3, size=1)
    assert [next(found) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="the sixth"):
        next(found)
