"""Processes that work for this one."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def begin_worker() -> None:
    """Make this process of a pool a quiet one, which ends when the one that started it is killed.

    Ctrl-C is for the process that waits; a bar is drawn by that one, too.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["TQDM_DISABLE"] = "1"
    end_with_parent()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put Ctrl-C off for a moment, and let processes that start meanwhile never see it.

    Before `begin_worker` has its turn, and if they are not told all, they would end with a
    traceback each. For the main thread; in others nothing is changed.
    """
    ours = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(ours):
        yield
        return
    met: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: met.append(number))
    block = getattr(signal, "pthread_sigmask", None)  # which a process inherits; not on Windows
    mask = block(signal.SIG_BLOCK, {signal.SIGINT}) if block else None
    try:
        yield
    finally:
        if block:
            block(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, ours)
        if met:
            ours(signal.SIGINT, None)


def end_with_parent() -> None:
    """Let this process of a pool end when the one that started it is killed: it waits for ever."""
    import multiprocessing

    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
