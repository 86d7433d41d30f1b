"""Names by the million, in few bytes each: what would grow with the items of an archive.

A name stands here as a hash of 64 bits. That two of ten million names have the same one happens
in one of some hundred thousand archives; `Index` tells even those apart.
"""

from __future__ import annotations

import hashlib
import heapq
import os
import tempfile
import weakref
from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from .read import read_at

_FRESH = 1 << 10  # hashes in a set, before they are sorted
_SORTED = 1 << 16  # ids that are sorted at once
_BLOCK = 1 << 16  # bytes read at once


class Hashes:
    """A set of integers of 64 bits with a sign, in 8 bytes each.

    Sorted runs, of which each is at least twice as long as the next, and a small set of what came
    last: adding costs a few sorts, looking up one bisection a run.
    """

    def __init__(self) -> None:
        self._runs: list[memoryview[int]] = []
        self._fresh: set[int] = set()

    def __contains__(self, value: int) -> bool:
        if value in self._fresh:
            return True
        for run in self._runs:
            at = bisect_left(run, value)
            if at < len(run) and run[at] == value:
                return True
        return False

    def add(self, value: int) -> None:
        self._fresh.add(value)
        if len(self._fresh) < _FRESH:
            return
        run = np.fromiter(self._fresh, np.int64, len(self._fresh))
        self._fresh.clear()
        while self._runs and len(self._runs[-1]) < 2 * len(run):
            run = np.concatenate((np.frombuffer(self._runs.pop(), np.int64), run))
        run.sort()
        # Python's own loops read a memoryview three times faster than an array of NumPy.
        self._runs.append(run.data)


class Index:
    """Finds the places of names, in 16 bytes a name; a place is any number up to 2**64.

    Names are added first, then `sort` is called once, and from then on they are found. Whoever
    asks has to compare names: a place may be that of another name with the same hash.
    """

    def __init__(self) -> None:
        self._digests = bytearray()
        self._added = array("Q")
        self._hashes: NDArray[np.uint64] = np.empty(0, np.uint64)
        self._places: NDArray[np.uint64] = np.empty(0, np.uint64)

    def add(self, name: str, place: int) -> None:
        self._digests += _digest(name)
        self._added.append(place)

    def sort(self) -> None:
        hashes = np.frombuffer(self._digests, np.uint64)
        order = hashes.argsort(kind="stable")
        self._hashes = hashes[order]
        self._places = np.frombuffer(self._added, np.uint64)[order]
        self._digests, self._added = bytearray(), array("Q")

    def places(self, name: str) -> list[int]:
        """Return the places of all names that have the hash of this one, as they were added."""
        value = np.frombuffer(_digest(name), np.uint64)[0]
        at = int(self._hashes.searchsorted(value))
        end = at
        while end < len(self._hashes) and self._hashes[end] == value:
            end += 1
        return [int(place) for place in self._places[at:end]]

    def repeated(self) -> Iterator[list[int]]:
        """Yield the places of names that share a hash, for each hash that several names have."""
        same = np.flatnonzero(self._hashes[1:] == self._hashes[:-1])
        firsts = same[np.diff(same, prepend=-2) > 1]
        for first in firsts:
            end = self._hashes.searchsorted(self._hashes[first], "right")
            yield [int(place) for place in self._places[first:end]]


def _digest(name: str) -> bytes:
    # Not Python's own hash, which differs from process to process.
    return hashlib.blake2b(_encode(name), digest_size=8).digest()


class StoredLists:
    """The ids of several lists, in one temporary file: of each those that ``reads`` gives, once.

    They stand in the order of the list, or ``by_name``. Raises what ``reads`` raise. They are read
    when this is made, and again where a pickled copy of this is loaded.
    """

    def __init__(
        self, reads: Mapping[str, Callable[[], Iterable[str]]], by_name: bool = False
    ) -> None:
        self._how = reads, by_name
        self._file = TextFile()  # one for all lists, as there may be thousands
        self._lists = {
            name: StoredIds(self, name, self._file, _sorted(read()) if by_name else read())
            for name, read in reads.items()
        }

    def __reduce__(self) -> tuple[object, ...]:
        return StoredLists, self._how

    def __contains__(self, item_id: str) -> bool:
        return any(item_id in ids for ids in self._lists.values())

    def lists(self) -> dict[str, Collection[str]]:
        """Return the ids of each list, each once."""
        return {**self._lists}

    def ids(self, name: str) -> StoredIds:
        """Return the ids of one list."""
        return self._lists[name]


class StoredIds(Collection[str]):
    """The ids of one list, those that come again left out."""

    def __init__(self, store: StoredLists, name: str, file: TextFile, ids: Iterable[str]) -> None:
        self._from = store, name
        self._hashes = Hashes()
        self._file = file
        self._count = 0
        self._start, self._stop = file.append(self._first_times(ids))

    def _first_times(self, ids: Iterable[str]) -> Iterator[str]:
        for item_id in ids:
            if item_id not in self:
                self._hashes.add(hash(item_id))
                self._count += 1
                yield item_id

    def __reduce__(self) -> tuple[object, ...]:
        return StoredLists.ids, self._from

    def __len__(self) -> int:
        return self._count

    def __contains__(self, item_id: object) -> bool:
        return hash(item_id) in self._hashes

    def __iter__(self) -> Iterator[str]:
        return self._file.lines(self._start, self._stop)


class TextFile:
    """A temporary file of lines; it is gone with the last process that has it open.

    Forked processes and threads may read it at the same time: none moves a shared position.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=_BLOCK)  # noqa: SIM115  # as this lives
        weakref.finalize(self, self._file.close)

    def append(self, lines: Iterable[str]) -> tuple[int, int]:
        """Write lines after those that are there; return where they begin and end, in bytes."""
        start = self._file.seek(0, os.SEEK_END)
        try:
            self._file.writelines(_encode(line) + b"\n" for line in lines)
            self._file.flush()
        except BaseException:  # which keeps this alive, but nobody will read it
            self._file.close()
            raise
        return start, self._file.tell()

    def lines(self, start: int, stop: int) -> Iterator[str]:
        """Yield the lines between two places that `append` has returned."""
        at, rest = start, b""
        while data := read_at(self._file, at, min(_BLOCK, stop - at)):
            at += len(data)
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                yield line.decode("utf-8", "surrogatepass")


def _sorted(ids: Iterable[str]) -> Iterator[str]:
    """Yield ids by name, of which only some are in memory at a time."""
    source = iter(ids)
    file, runs = TextFile(), []
    while part := sorted(islice(source, _SORTED)):
        runs.append(file.append(part))
    return heapq.merge(*(file.lines(*run) for run in runs))


def _encode(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")  # sorted as text is, and never refused
