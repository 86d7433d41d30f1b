"""Collections that lie on the disk, for what would grow with the items of a stream.

Both are tables of an SQLite database without a name: SQLite keeps half a megabyte of it in
memory, writes the rest to a temporary file, and that file goes with the process, however it ends.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TYPE_CHECKING

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


class StoredIds(Collection[str]):
    """The ids that ``read`` gives, each once, in their order or ``by_name``.

    Raises what ``read`` raises. It is read when this is made, and again in a process that gets a
    copy, be it forked or pickled: two processes cannot share a table.
    """

    def __init__(self, read: Callable[[], Iterable[str]], by_name: bool = False) -> None:
        self._read = read
        self._by_name = by_name
        self._fill()

    def _fill(self) -> None:
        self._process = os.getpid()
        self._connection = _open(self, "ids (id BLOB UNIQUE)")
        rows = ((_encode(item_id),) for item_id in self._read())
        self._connection.executemany("INSERT OR IGNORE INTO ids VALUES (?)", rows)

    def _table(self) -> sqlite3.Connection:
        if self._process != os.getpid():
            self._fill()
        return self._connection

    def __reduce__(self) -> tuple[object, ...]:
        return StoredIds, (self._read, self._by_name)

    def __len__(self) -> int:
        (count,) = self._table().execute("SELECT count(*) FROM ids").fetchone()
        return int(count)

    def __contains__(self, item_id: object) -> bool:
        found = self._table().execute("SELECT 1 FROM ids WHERE id = ?", (_encode(str(item_id)),))
        return found.fetchone() is not None

    def __iter__(self) -> Iterator[str]:
        key = "id" if self._by_name else "rowid"
        query = f"SELECT {key}, id FROM ids WHERE {key} > ? ORDER BY {key} LIMIT {_PAGE}"
        last: object = -1  # less than any blob, too
        # Page by page, as a cursor that stays open would not outlive a fork.
        while rows := self._table().execute(query, (last,)).fetchall():
            for _, data in rows:
                yield data.decode("utf-8", "surrogatepass")
            last = rows[-1][0]


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
