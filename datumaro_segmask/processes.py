"""Processes that work for this one."""

from __future__ import annotations

import os
import signal
import threading


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


def end_with_parent() -> None:
    """Let this process of a pool end when the one that started it is killed: it waits for ever."""
    import multiprocessing

    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
