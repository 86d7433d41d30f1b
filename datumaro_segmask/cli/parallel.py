"""Work on many items in processes of their own, in order and with progress."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..processes import begin_worker, uninterrupted
from ..progress import track

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

T = TypeVar("T")
R = TypeVar("R")

CHUNK = 50
"""Items that are worked on, and whose masks stand in one file, together."""
_MOST = 250  # items of a chunk whose size is free
_SECONDS = 0.1  # that such a chunk takes, about
_SHARES = 2  # chunks a process that the rest makes at least: the last ones are smaller ...
_LEAST = 8  # ... down to such a part of the others
_AHEAD = 64  # chunks that an executor has at a time
_TRIAL = 0.05  # seconds of work that tell how long the rest will take
_PATIENCE = 2.0  # seconds: what takes no longer is not worth the start of processes ...
_MOMENT = 0.5  # ... nor, what takes no longer than this, that of copies
_QUEUED = 2  # chunks that each process has or waits for
_KEPT = 8  # chunks a process that are done before their turn
_PAUSE = 0.1  # seconds until the system has ended the threads of a pool
_MOST_BREAKS = 3  # pools in a row that break without having done a chunk


def in_chunks(
    task: Callable[[int, Sequence[T]], list[R]],
    entries: Iterable[T],
    desc: str,
    workers: int,
    executor: Executor | None = None,
    size: int | None = CHUNK,
    total: int | None = None,
    by_copies: bool = False,
) -> Iterator[R]:
    """Yield what the task makes of all entries, which it gets in numbered chunks of ``size``.

    ``task`` must be picklable, and may be done again where a process has died. ``size`` None: so
    many as take a moment here. ``total``: how many entries there are, if they have no length. This
    process works, too, and with more than one worker it starts the others as soon as what is left
    is worth it; ``by_copies``: only where they are copies of this one, for ``task`` is large. An
    ``executor`` gets all chunks.
    """
    total = len(entries) if isinstance(entries, Sequence) else total
    if executor is None:
        results = _results(task, _Chunks(iter(entries), size, total, workers), workers, by_copies)
    else:
        results = _ahead(executor, task, _Chunks(iter(entries), size or CHUNK, total, 1))
    made = (result for chunk in results for result in chunk)
    return track(made, desc, total)


class _Chunks(Generic[T]):
    """Numbered chunks of entries, which this process and others take as they need them."""

    def __init__(
        self, entries: Iterator[T], size: int | None, total: int | None, workers: int
    ) -> None:
        self._entries = entries
        self._is_free = size is None
        self._workers = workers
        self._size = size or 1
        self._left = total
        self._number = -1
        self._each = self._spent = 0.0  # seconds

    def take(self) -> tuple[int, list[T]] | None:
        """Return the next chunk, None at the end."""
        size = self._size
        if self._is_free and self._workers > 1 and self._left is not None:  # all end together
            share = self._left // (_SHARES * self._workers)
            size = min(size, max(share, size // _LEAST, 1))
        chunk = [*islice(self._entries, size)]
        if not chunk:
            self._left = 0
            return None
        self._number += 1
        if self._left is not None:
            self._left -= len(chunk)
        return self._number, chunk

    def do(self, task: Callable[[int, Sequence[T]], R], number: int, chunk: Sequence[T]) -> R:
        """Do a chunk here, and see how long it takes. The first item may take longer."""
        start, work = time.perf_counter(), time.thread_time()
        result = task(number, chunk)
        seconds = time.perf_counter() - start
        self._each = seconds / len(chunk)
        self._spent += seconds if number or len(chunk) > 1 else 0.0
        if self._is_free:  # by work, so that a busy machine makes no small chunks
            likely = int(_SECONDS * len(chunk) / max(time.thread_time() - work, 1e-9))
            self._size = max(1, min(likely, 2 * self._size, _MOST))
        return result

    def are_worth_processes(self, by_copies: bool) -> bool:
        """Return whether what is left takes longer than it takes to have help.

        ``by_copies``: only where processes are copies of this one.
        """
        copied = _has_one_thread()
        least = _MOMENT if copied else _PATIENCE
        if by_copies and not copied:
            return False
        if self._left is None:
            return self._spent >= least
        return self._left > 0 and self._spent >= _TRIAL and self._left * self._each >= least


def _results(
    task: Callable[[int, Sequence[T]], list[R]],
    chunks: _Chunks[T],
    workers: int,
    by_copies: bool,
) -> Iterator[list[R]]:
    with _one_thread() if workers > 1 else nullcontext():
        while workers <= 1 or not chunks.are_worth_processes(by_copies):
            chunk = chunks.take()
            if chunk is None:
                return
            yield chunks.do(task, *chunk)
        yield from _shared(task, chunks, workers - 1)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep OpenCV from starting threads, beside which no process can be copied."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


@dataclass
class _Piece(Generic[T, R]):
    """A chunk, and what comes of it."""

    number: int
    chunk: Sequence[T]
    future: Future[list[R]]


def _shared(
    task: Callable[[int, Sequence[T]], list[R]], chunks: _Chunks[T], workers: int
) -> Iterator[list[R]]:
    """Yield the results of what is left, by processes and, while these are at work, by this one.

    A process that dies is replaced. Raises BrokenExecutor where they die again and again.
    """
    from concurrent.futures import BrokenExecutor, wait

    pieces: deque[_Piece[T, R]] = deque()
    pool, breaks = _start(task, workers), 0
    try:
        while True:
            while sum(not piece.future.done() for piece in pieces) < _QUEUED * workers:
                chunk = chunks.take()
                if chunk is None:
                    break
                pieces.append(_Piece(*chunk, _submit(pool, *chunk)))
            if not pieces:
                return
            first = pieces[0].future
            if not first.done():
                chunk = chunks.take() if len(pieces) < _KEPT * (workers + 1) else None
                if chunk is None:
                    wait([first])
                else:
                    pieces.append(_Piece(*chunk, _done(partial(chunks.do, task, *chunk))))
            elif not isinstance(first.exception(), BrokenExecutor):
                breaks = 0
                yield pieces.popleft().future.result()
            else:
                breaks += 1
                if breaks == _MOST_BREAKS:
                    first.result()
                pool.shutdown()
                time.sleep(_PAUSE)
                pool = _start(task, workers)
                for piece in pieces:
                    if isinstance(piece.future.exception(), BrokenExecutor):
                        piece.future = _submit(pool, piece.number, piece.chunk)
    finally:
        pool.shutdown(cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, number: int, chunk: Sequence[T]) -> Future[list[Any]]:
    """Have a chunk done by a process; by none if one of them has just died."""
    from concurrent.futures import BrokenExecutor

    try:
        with uninterrupted():
            return pool.submit(_work, number, chunk)
    except BrokenExecutor as error:
        future: Future[list[Any]] = Future()
        future.set_exception(error)
        return future


def _done(work: Callable[[], R]) -> Future[R]:
    """Return what comes of work that is done here: its error is raised when its turn comes."""
    future: Future[R] = Future()
    try:
        future.set_result(work())
    except Exception as error:
        future.set_exception(error)
    return future


def _start(task: Callable[[int, Sequence[Any]], list[Any]], workers: int) -> ProcessPoolExecutor:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    # A copy of this process works at once, with all that is loaded and open here. But it has no
    # other thread, be it of OpenCV or of a store, and would wait for what that holds.
    context = multiprocessing.get_context("fork" if _has_one_thread() else "spawn")
    return ProcessPoolExecutor(workers, context, _begin, (task,))


def _has_one_thread() -> bool:
    """Return whether this process is known to have one thread, those of libraries counted."""
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:  # no Linux: macOS has threads that nobody counts, Windows no copies
        return False


def _ahead(
    executor: Executor, task: Callable[[int, Sequence[T]], list[R]], chunks: _Chunks[T]
) -> Iterator[list[R]]:
    """Yield the results in the order of the chunks, of which so many are given out ahead."""
    pending: deque[Future[list[R]]] = deque()
    try:
        while chunk := chunks.take():
            pending.append(executor.submit(task, *chunk))
            if len(pending) > _AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


_task: Callable[[int, Sequence[Any]], list[Any]]


def _begin(task: Callable[[int, Sequence[Any]], list[Any]]) -> None:
    import gc

    import cv2

    global _task
    _task = task
    gc.freeze()  # to look through what a copy shares is to copy it
    begin_worker()
    cv2.setNumThreads(1)


def _work(number: int, chunk: Sequence[Any]) -> list[Any]:
    return _task(number, chunk)
