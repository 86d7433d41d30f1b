"""The packed collections hold what plain ones would."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
import threading
import tracemalloc
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datumaro_segmask.storage import ids as ids_module
from datumaro_segmask.storage.ids import Hashes, Index, StoredLists

# Surrogates and NULs too; but no id holds a line break, which `layout.check_name` refuses.
texts = st.text(st.characters(exclude_categories=[], exclude_characters="\n"), max_size=3)


def stored_list(read: Callable[[], Iterable[str]], by_name: bool = False) -> Collection[str]:
    return StoredLists({"train": read}, by_name).lists()["train"]


@given(st.lists(st.lists(texts)), texts)
def test_ids(ids: list[list[str]], other: str) -> None:
    stored = StoredLists({str(number): partial(iter, read) for number, read in enumerate(ids)})
    assert list(stored.lists()) == [str(number) for number in range(len(ids))]
    for found, read in zip(stored.lists().values(), ids, strict=True):
        assert list(found) == list(found) == list(dict.fromkeys(read))
        assert len(found) == len(set(read))
        for item_id in {other}.union(*ids):
            assert (item_id in found) == (item_id in read)
    assert all(item_id in stored for read in ids for item_id in read)
    assert (other in stored) == any(other in read for read in ids)


@given(st.lists(texts))
def test_ids_by_name(read: list[str]) -> None:
    assert list(stored_list(lambda: read, by_name=True)) == sorted(set(read))


@pytest.mark.parametrize("by_name", [False, True])
def test_more_ids_than_are_fetched_at_once(by_name: bool, monkeypatch) -> None:
    monkeypatch.setattr(ids_module, "_SORTED", 1000)
    monkeypatch.setattr(ids_module, "_BLOCK", 100)
    read = [f"{number * 7919 % 5003}" for number in range(5003)]
    stored = stored_list(lambda: read, by_name)
    expected = sorted(read) if by_name else read
    assert list(stored) == expected
    assert list(zip(stored, stored, strict=True)) == list(zip(expected, expected, strict=True))


def failing() -> Iterator[str]:
    yield "a"
    raise KeyError("b")


def test_raises_what_reading_raises() -> None:
    with pytest.raises(KeyError, match="b"):
        stored_list(failing)


@given(st.lists(st.integers(-(1 << 63), (1 << 63) - 1)), st.integers(-(1 << 63), (1 << 63) - 1))
def test_hashes(values: list[int], other: int) -> None:
    stored = Hashes()
    for value in [*values, *values]:
        stored.add(value)
    assert all(value in stored for value in values)
    assert (other in stored) == (other in values)


@pytest.mark.parametrize("count", [1023, 1024, 20_000])
def test_many_hashes(count: int) -> None:
    """Several sorted runs, of all lengths; each is found in its own and in no other."""
    stored = Hashes()
    for value in range(0, 3 * count, 3):
        stored.add(value * 0x1234567 % (1 << 61))
    known = {value * 0x1234567 % (1 << 61) for value in range(0, 3 * count, 3)}
    for value in range(3 * count):
        value = value * 0x1234567 % (1 << 61)
        assert (value in stored) == (value in known)


@given(st.lists(st.tuples(texts, st.integers(0, (1 << 64) - 1))), texts)
def test_index(entries: list[tuple[str, int]], other: str) -> None:
    index = Index()
    for name, place in entries:
        index.add(name, place)
    index.sort()
    by_name: dict[str, list[int]] = {}
    for name, place in entries:
        by_name.setdefault(name, []).append(place)
    for name in {*by_name, other}:
        assert index.places(name) == by_name.get(name, [])
        assert pickle.loads(pickle.dumps(index)).places(name) == by_name.get(name, [])
    several = [places for places in by_name.values() if len(places) > 1]
    assert sorted(index.repeated()) == sorted(several)


def numbers(count: int) -> Iterator[str]:
    return (f"an id that takes some memory, {number}" for number in range(count))


def test_memory_does_not_grow_with_the_names() -> None:
    """30,000 ids take 3 MB in a list and hashes as much in a set."""
    tracemalloc.start()
    stored, hashes = stored_list(partial(numbers, 30_000)), Hashes()
    for item_id in stored:
        hashes.add(hash(item_id))
    kept, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 2 * 9 * 30_000 + (1 << 18)
    assert most < 2 * 16 * 30_000 + (1 << 18)


def test_copies_are_read_anew() -> None:
    stored = stored_list(partial(numbers, 3))
    again = pickle.loads(pickle.dumps(stored))
    del stored
    assert list(again) == list(numbers(3))


def send(stored: Collection[str], pipe: multiprocessing.connection.Connection) -> None:
    pipe.send((list(stored), len(stored)))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks safely")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_forked_processes_read_for_themselves() -> None:
    stored = stored_list(partial(numbers, 5000))
    context = multiprocessing.get_context("fork")
    pipes = [context.Pipe(duplex=False) for _ in range(2)]
    workers = [context.Process(target=send, args=(stored, end)) for _, end in pipes]
    for worker in workers:
        worker.start()
    expected = list(numbers(5000))
    assert list(stored) == expected
    assert [begin.recv() for begin, _ in pipes] == [(expected, 5000)] * 2
    for worker in workers:
        worker.join()


def test_threads_share_one() -> None:
    stored = stored_list(partial(numbers, 3000))
    found: list[list[str]] = []
    threads = [threading.Thread(target=lambda: found.append(list(stored))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [list(numbers(3000))] * 4


@pytest.mark.skipif(sys.platform != "linux", reason="counts the open files as Linux shows them")
def test_thousands_of_lists_take_one_open_file() -> None:
    before = len(os.listdir("/proc/self/fd"))
    stored = StoredLists({str(number): partial(iter, [str(number)]) for number in range(2000)})
    assert len(os.listdir("/proc/self/fd")) <= before + 1
    assert [list(ids) for ids in stored.lists().values()] == [[str(n)] for n in range(2000)]
