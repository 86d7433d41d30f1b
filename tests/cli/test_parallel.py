"""Chunks of work: how large they are, and in which order what comes of them is told."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from datumaro_segmask.cli import parallel
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


def test_the_last_chunks_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no process waits long for another one at the end."""
    monkeypatch.setattr(parallel, "_TRIAL", float("inf"))
    found = list(in_chunks(sizes, iter(range(3000)), "", 2, size=None, total=3000))
    assert max(found) == 250
    assert found[-1] <= 250 // 8 + 1
    assert len(found) == 3000


def test_who_has_threads_is_not_copied() -> None:
    """Those of NumPy's linear algebra, which no command needs, are never started."""
    code = "from datumaro_segmask.cli import convert, parallel; print(parallel._has_one_thread())"
    setting = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    run = partial(subprocess.run, capture_output=True, text=True, check=True)
    alone = run([sys.executable, "-c", code], env=setting).stdout.strip()
    assert alone == str(sys.platform == "linux")
    threads = "import threading as t; t.Thread(target=t.Event().wait, daemon=True).start();" + code
    assert run([sys.executable, "-c", threads], env=setting).stdout.strip() == "False"


@pytest.mark.parametrize("is_alone", [True, False])
def test_copies_are_worth_it_sooner(is_alone: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_has_one_thread", lambda: is_alone)
    chunks = parallel._Chunks(iter(range(100)), 1, 100, 2)
    chunks._spent, chunks._each = 1.0, 0.01  # and a second is left
    assert chunks.are_worth_processes(by_copies=False) == is_alone
    chunks._each = 1.0
    assert chunks.are_worth_processes(by_copies=True) == is_alone
    assert chunks.are_worth_processes(by_copies=False)
