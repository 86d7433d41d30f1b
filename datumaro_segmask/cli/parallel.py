"""Work on many items in processes of their own, in order and with progress."""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

import cv2

from ..progress import track

T = TypeVar("T")
R = TypeVar("R")

CHUNK = 50
"""Items that are worked on, and whose masks stand in one file, together."""
_AHEAD = 64  # chunks that an executor has at a time
_PATIENCE = 2.0  # seconds: what takes no longer is not worth the start of processes


def in_chunks(
    task: Callable[[int, Sequence[T]], list[R]],
    entries: Sequence[T],
    desc: str,
    workers: int,
    executor: Executor | None = None,
    size: int = CHUNK,
) -> Iterator[R]:
    """Yield what the task makes of all entries, which it gets in numbered chunks of ``size``.

    ``task`` must be picklable. With more than one worker, what is left after a while is given to
    processes, which work a few chunks ahead; an ``executor`` gets all of them.
    """
    chunks = [entries[i : i + size] for i in range(0, len(entries), size)]
    if executor is None:
        results = _results(task, chunks, workers)
    else:
        results = _ahead(executor, task, enumerate(chunks), _AHEAD)
    made = (result for chunk in results for result in chunk)
    return track(made, desc, len(entries))


def _results(
    task: Callable[[int, Sequence[T]], list[R]], chunks: Sequence[Sequence[T]], workers: int
) -> Iterator[list[R]]:
    deadline = time.monotonic() + _PATIENCE
    for number, chunk in enumerate(chunks):
        if workers > 1 and number + 1 < len(chunks) and time.monotonic() >= deadline:
            yield from _in_processes(task, list(enumerate(chunks))[number:], workers)
            return
        yield task(number, chunk)


def _in_processes(
    task: Callable[[int, Sequence[T]], list[R]],
    chunks: Sequence[tuple[int, Sequence[T]]],
    workers: int,
) -> Iterator[list[R]]:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    # A copy of this process would have threads of OpenCV that do not run.
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(chunks)), spawn, _begin, (task,))
    try:
        yield from _ahead(pool, _work, chunks, 2 * workers)
    finally:
        pool.shutdown(cancel_futures=True)


def _ahead(
    executor: Executor,
    task: Callable[[int, Sequence[T]], list[R]],
    chunks: Iterable[tuple[int, Sequence[T]]],
    most: int,
) -> Iterator[list[R]]:
    """Yield the results in the order of the chunks, of which so many are given out ahead."""
    pending: deque[Future[list[R]]] = deque()
    try:
        for number, chunk in chunks:
            pending.append(executor.submit(task, number, chunk))
            if len(pending) > most:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


_task: Callable[[int, Sequence[Any]], list[Any]]


def _begin(task: Callable[[int, Sequence[Any]], list[Any]]) -> None:
    from ..sharding import end_with_parent  # with pyarrow, of no use to whoever needs no process

    global _task
    _task = task
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that waits
    cv2.setNumThreads(1)


def _work(number: int, chunk: Sequence[Any]) -> list[Any]:
    return _task(number, chunk)


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
