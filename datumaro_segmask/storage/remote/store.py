"""What is fetched from a store such as ``s3://``: parts of files, together, ahead, and again.

fsspec knows the stores, and where each takes its keys from; it is not imported before a URL is
opened. Keys and signatures in a URL never stand in a message.
"""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from operator import methodcaller
from typing import Any, TypeAlias, TypeVar, cast

from ..read import Entry
from .faults import WholeFileError, failed, is_final, is_gone, package_missing, unwrapped

_URL = re.compile(r"[a-z][a-z0-9+.-]+(::|://)", re.I)
_FLAT_URL = re.compile(r"((?:[a-z][a-z0-9+.-]+::)*[a-z][a-z0-9+.-]+:)/(?!/)(.*)", re.I | re.S)
_LOCAL = re.compile(r"(file|local)://", re.I)
_SCHEME = re.compile(r"(?:^|(?<=::))[a-z][a-z0-9+.-]+(?=::|://)", re.I)
_QUERY = re.compile(r"\?.*=.*", re.S)
_PASSWORD = re.compile(r"//[^/\s]*:(?:[^/\s]*|(?!\d+/)\S*?)@")  # keys of S3 have slashes, ports not
_WEB_USER = re.compile(r"((?:https?|ftp|webdav)://)[^/\s]*@", re.I)

_ATTEMPTS = 2  # the libraries of most stores try some times of their own
_WEB_ATTEMPTS = 4
_PAUSE = 0.2  # seconds before the second attempt; each further pause is three times as long
_TOGETHER = 16  # requests at a time
_GAP = 1 << 18  # bytes between two ranges that are fetched as one
_MOST_JOINED = 1 << 23
_AHEAD_BYTES = 1 << 25  # fetched ahead at once; up to three such batches are in memory
_AHEAD_ITEMS = (16, 64, 256)  # of the first batch, the second and all others

T = TypeVar("T")
Range: TypeAlias = tuple[str, int, int]
"""A path of a store, and from where to where to read: -1 stands for an end that is not known."""
Blocks: TypeAlias = dict[str, list[tuple[int, int, bytes]]]
"""What was fetched, by path: from where, up to where, and the bytes."""


def is_url(path: str) -> bool:
    """Return whether a path is a URL of a store for fsspec, not a path on this machine."""
    return _URL.match(path) is not None and not _LOCAL.match(path)


def url_of(path: str) -> str | None:
    """Return the URL that a path is, or was before it was made absolute as if it lay on the disk.

    So do Datumaro's commands, which make an empty folder of it before an export. None for a path
    on this machine.
    """
    if is_url(path):
        return path
    begin = os.path.join(os.getcwd(), "")
    is_folder = os.path.isdir(path)
    if not path.startswith(begin) or (os.listdir(path) if is_folder else os.path.exists(path)):
        return None
    found = _FLAT_URL.match(path[len(begin) :].replace(os.sep, "/"))
    url = found and f"{found[1]}//{found[2]}"
    return url if url and is_url(url) else None


def shown(path: str) -> str:
    """Return a path or URL as it may be shown to anybody: without passwords and signatures."""
    if not is_url(path):
        return path
    return _QUERY.sub("?...", _WEB_USER.sub(r"\1", _PASSWORD.sub("//", path)))


def without_query(url: str) -> str:
    """Return a URL without what comes after its path, such as a signature."""
    return _QUERY.sub("", url)


class Store:
    """Fetches parts of the files below a URL: together, again where it failed, and ahead.

    Errors of one that ``writes`` are SegmaskExportError, of all others SegmaskImportError.
    """

    def __init__(self, url: str, *, writes: bool = False) -> None:
        # fsspec knows the names of stores in small letters only.
        self._url = _SCHEME.sub(lambda scheme: scheme[0].lower(), url)
        self._writes = writes
        self.place = shown(url)
        self.root = self._system()[1]
        self._attempts = _WEB_ATTEMPTS if self.root.startswith("http") else _ATTEMPTS
        self._blocks: list[Blocks] = []

    def _system(self) -> tuple[Any, str]:
        """Return the file system and the path in it; fsspec keeps it, one for each process."""
        try:
            import fsspec
        except ImportError:
            raise package_missing("fsspec", self.place, self._writes) from None
        try:
            return fsspec.core.url_to_fs(self._url)  # type: ignore[no-any-return]
        except ImportError as error:  # names what is to be installed, and no URL
            raise package_missing(str(error), self.place, self._writes) from None
        except Exception as error:
            raise failed(error, self.place, "connect", self._writes) from None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_blocks": []}

    def ask(self, what: str, path: str, call: Callable[[Any], T]) -> T | None:
        """Return what ``call`` makes of the file system, again where the store fails for now.

        None where there is nothing at ``path``.
        """
        return self._try(what, path, call, may_be_gone=True)

    def demand(self, what: str, path: str, call: Callable[[Any], T]) -> T:
        """Return the same as `ask`, but where there is nothing at ``path`` raise an error."""
        return cast(T, self._try(what, path, call, may_be_gone=False))

    def info(self, path: str, what: str = "look for it") -> dict[str, Any] | None:
        """Return what is known of a path, its ``name``, ``type`` and ``size``; None of nothing."""
        return self.ask(what, path, methodcaller("info", path))

    def entries(
        self, path: str, what: str = "list", *, must_be_there: bool = False
    ) -> list[dict[str, Any]]:
        """Return what is known of all that is right in a folder; nothing if it is not there."""
        asked = self.demand if must_be_there else self.ask
        return asked(what, path, methodcaller("ls", path, detail=True)) or []

    def _try(self, what: str, path: str, call: Callable[[Any], T], may_be_gone: bool) -> T | None:
        for attempt in range(self._attempts):
            try:
                system = self._system()[0]
                system.invalidate_cache()
                return call(system)
            except Exception as caught:
                error = unwrapped(caught)
                if may_be_gone and is_gone(error):
                    return None
                if attempt == self._attempts - 1 or is_gone(error) or is_final(error):
                    raise failed(error, self.place_of(path), what, self._writes) from None
                time.sleep(_PAUSE * 3**attempt)
        raise AssertionError

    def below(self, name: str) -> str:
        """Return the path of a name below the URL, as the file system takes it."""
        return f"{self.root.rstrip('/')}/{name}".rstrip("/")

    def place_of(self, path: str) -> str:
        """Return how to call a path of the store in a message."""
        inner = path.removeprefix(self.root.rstrip("/"))
        return self.place if not inner else f"{self.place.rstrip('/')}/{inner.strip('/')}"

    def fetch(self, ranges: Sequence[Range]) -> list[bytes | Exception]:
        """Fetch ranges together; of each the bytes, or the error where several attempts failed.

        A range is exactly as long as it was asked for, unless its end was not known.
        """
        results: list[bytes | Exception] = [b""] * len(ranges)
        left = list(range(len(ranges)))
        for attempt in range(self._attempts):
            for i, result in zip(left, self._fetch_once([ranges[i] for i in left]), strict=True):
                results[i] = result
            left = [i for i in left if _may_pass(results[i])]
            if not left:
                break
            if attempt < self._attempts - 1:
                time.sleep(_PAUSE * 3**attempt)
        return results

    def _fetch_once(self, ranges: Sequence[Range]) -> list[bytes | Exception]:
        system = self._system()[0]
        paths = [path for path, _, _ in ranges]
        starts = [start for _, start, _ in ranges]
        ends = [None if end < 0 else end for _, _, end in ranges]
        options = {"batch_size": _TOGETHER} if system.async_impl else {}
        try:
            found = system.cat_ranges(paths, starts, ends, on_error="return", **options)
        except Exception as error:
            found = [error] * len(ranges)
        return [_checked(data, part) for data, part in zip(found, ranges, strict=True)]

    def read(self, path: str, start: int, end: int) -> bytes:
        """Return a range, from what was fetched ahead if it is there."""
        for blocks in self._blocks[::-1]:
            for first, last, data in blocks.get(path, ()):
                if first <= start and 0 <= end <= last:
                    return data[start - first : end - first]
                if first == start and end < 0 and last < 0:
                    return data
        (result,) = self.fetch([(path, start, end)])
        if isinstance(result, Exception):
            what = "all bytes" if end < 0 else f"bytes {start:,} to {end:,}"
            raise failed(result, self.place_of(path), f"read {what}")
        return result

    def prefetch(
        self, entries: Iterable[Entry], ranges_of: Callable[[str], list[Range]]
    ) -> Iterator[Entry]:
        """Yield entries while what the next of them need is fetched.

        What cannot be fetched is asked for once more by whoever reads it, and fails there.
        """
        mine: deque[Blocks] = deque()
        pending: deque[tuple[list[Entry], Future[Blocks]]] = deque()
        pool = ThreadPoolExecutor(1, "segmask-fetch")

        def give() -> Iterator[Entry]:
            batch, future = pending.popleft()
            blocks = future.result()
            mine.append(blocks)
            self._blocks.append(blocks)
            if len(mine) > 2:  # threads may still read what was given last
                self._forget(mine.popleft())
            yield from batch

        try:
            for batch, ranges in _batches(entries, ranges_of):
                pending.append((batch, pool.submit(self._load, ranges)))
                if len(pending) > 1:
                    yield from give()
            while pending:
                yield from give()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            while mine:
                self._forget(mine.popleft())

    def _forget(self, blocks: Blocks) -> None:
        # By identity, as equal ones may be those of another reader.
        self._blocks = [known for known in self._blocks if known is not blocks]

    def _load(self, ranges: list[Range]) -> Blocks:
        joined = _joined(ranges)
        blocks: Blocks = {}
        for (path, start, end), data in zip(joined, self.fetch(joined), strict=True):
            if isinstance(data, bytes):
                blocks.setdefault(path, []).append((start, end, data))
        return blocks


def _batches(
    entries: Iterable[Entry], ranges_of: Callable[[str], list[Range]]
) -> Iterator[tuple[list[Entry], list[Range]]]:
    """Split entries into batches of limited items and bytes, with the ranges of each batch."""
    batch: list[Entry] = []
    ranges: list[Range] = []
    size, number = 0, 0
    for entry in entries:
        own = ranges_of(entry[0])
        batch.append(entry)
        ranges += own
        size += sum(max(0, end - start) for _, start, end in own)
        most = _AHEAD_ITEMS[min(number, len(_AHEAD_ITEMS) - 1)]
        if len(batch) >= most or size >= _AHEAD_BYTES:
            yield batch, ranges
            batch, ranges, size, number = [], [], 0, number + 1
    if batch:
        yield batch, ranges


def _joined(ranges: Iterable[Range]) -> list[Range]:
    """Join ranges of one file that lie near one another, as a request costs more than bytes."""
    joined: list[Range] = []
    for path, start, end in sorted(set(ranges)):
        if joined and end >= 0:
            last, first, until = joined[-1]
            if last == path and start <= until + _GAP and end - first <= _MOST_JOINED:
                joined[-1] = path, first, max(until, end)
                continue
        joined.append((path, start, end))
    return joined


def _checked(data: Any, part: Range) -> bytes | Exception:
    if isinstance(data, Exception):
        return unwrapped(data)
    _, start, end = part
    if end >= 0 and len(data) < end - start:
        return EOFError(f"{len(data):,} of {end - start:,} bytes came")
    if end >= 0 and len(data) > end - start:
        return WholeFileError()  # some servers of a farm do so, and others do not
    return bytes(data)


def _may_pass(result: bytes | Exception) -> bool:
    return isinstance(result, Exception) and not is_final(result)
