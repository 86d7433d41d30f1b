"""Collections that lie on the disk, for what would grow with the items of a stream.

Both are tables of an SQLite database without a name: SQLite keeps half a megabyte of it in
memory, writes the rest to a temporary file, and that file goes with the process, however it ends.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3

_PAGE = 1000  # ids fetched at once


def _open(owner: object, table: str) -> sqlite3.Connection:
    """Make an empty table, which is closed with its owner."""
    import sqlite3  # which most imports do not need, and a few Pythons do not have

    connection = sqlite3.connect("", check_same_thread=False)
    weakref.finalize(owner, connection.close)
    connection.execute("PRAGMA journal_mode = OFF")  # nobody will ever recover it
    connection.execute("PRAGMA cache_size = -512")  # KiB
    connection.execute(f"CREATE TABLE {table}")
    return connection


class StoredLists:
    """The ids of several lists: of each those that ``reads`` gives, in their order or ``by_name``.

    Raises what ``reads`` raise. They are read when this is made, and again in a process that gets
    a copy, be it forked or pickled: two processes cannot share a table.
    """

    def __init__(
        self, reads: Mapping[str, Callable[[], Iterable[str]]], by_name: bool = False
    ) -> None:
        self._reads = reads
        self.by_name = by_name
        self._fill()

    def _fill(self) -> None:
        self._process = os.getpid()
        self._connection = _open(self, "ids (id BLOB, list INTEGER, UNIQUE (id, list))")
        self._ends = [0]
        for number, read in enumerate(self._reads.values()):
            rows = ((_encode(item_id), number) for item_id in read())
            self._connection.executemany("INSERT OR IGNORE INTO ids VALUES (?, ?)", rows)
            (last,) = self._connection.execute("SELECT max(rowid) FROM ids").fetchone()
            self._ends.append(last or 0)

    def query(self, text: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask the table ``ids``; text and values are those of sqlite3."""
        if self._process != os.getpid():
            self._fill()
        return self._connection.execute(text, values).fetchall()

    def __reduce__(self) -> tuple[object, ...]:
        return StoredLists, (self._reads, self.by_name)

    def __contains__(self, item_id: str) -> bool:
        return bool(self.query("SELECT 1 FROM ids WHERE id = ? LIMIT 1", _encode(item_id)))

    def lists(self) -> dict[str, Collection[str]]:
        """Return the ids of each list, each once."""
        return {name: StoredIds(self, number) for number, name in enumerate(self._reads)}

    def rows(self, number: int) -> range:
        """Return the rows of the table that hold a list, which were filled one after the other."""
        return range(self._ends[number] + 1, self._ends[number + 1] + 1)


class StoredIds(Collection[str]):
    """The ids of one list."""

    def __init__(self, store: StoredLists, number: int) -> None:
        self._store = store
        self._number = number

    def __len__(self) -> int:
        return len(self._store.rows(self._number))

    def __contains__(self, item_id: object) -> bool:
        query = "SELECT 1 FROM ids WHERE id = ? AND list = ?"
        return bool(self._store.query(query, _encode(str(item_id)), self._number))

    def __iter__(self) -> Iterator[str]:
        rows = self._store.rows(self._number)
        key = "id" if self._store.by_name else "rowid"
        last: object = -1  # less than any blob, too
        query = (
            f"SELECT {key}, id FROM ids WHERE rowid BETWEEN ? AND ? AND {key} > ? "
            f"ORDER BY {key} LIMIT {_PAGE}"
        )
        # Page by page, as a cursor that stays open would not outlive a fork.
        while page := self._store.query(query, rows.start, rows.stop - 1, last):
            for _, data in page:
                yield data.decode("utf-8", "surrogatepass")
            last = page[-1][0]


def _encode(item_id: str) -> bytes:
    return item_id.encode("utf-8", "surrogatepass")  # sorted as text is, and never refused


class StoredHashes:
    """A set of hashes: integers of 64 bits with a sign."""

    def __init__(self) -> None:
        self._connection = _open(self, "hashes (hash INTEGER PRIMARY KEY)")

    def __contains__(self, value: int) -> bool:
        found = self._connection.execute("SELECT 1 FROM hashes WHERE hash = ?", (value,))
        return found.fetchone() is not None

    def add(self, value: int) -> None:
        self._connection.execute("INSERT OR IGNORE INTO hashes VALUES (?)", (value,))
