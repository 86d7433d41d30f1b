"""The progress bar, which appears after a second of work where someone looks."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

_DELAY = 1.0  # seconds: what takes no longer needs no bar


def track(items: Iterable[T], desc: str, total: int | None) -> Iterator[T]:
    """Yield the items and show how many have been; ``total`` is None if that is not known.

    Log lines are printed above the bar. An import runs inside the export that asks for its items,
    and one bar is enough.
    """
    if not is_watched():
        yield from items
        return
    from tqdm import tqdm
    from tqdm.auto import tqdm as bar
    from tqdm.contrib.logging import logging_redirect_tqdm

    if getattr(tqdm, "_instances", None):
        yield from items
        return

    class _Bar(bar):
        monitor_interval = 0  # no thread, beside which no process can be copied

    with logging_redirect_tqdm():
        yield from _Bar(
            items,
            desc=desc,
            total=total,
            unit=" items",
            delay=_DELAY,
            leave=False,
            file=sys.stderr,
            **_screen(),
        )


def is_watched() -> bool:
    """Whether someone sees a bar: on a terminal, or in a notebook."""
    if os.environ.get("TQDM_DISABLE"):  # tqdm's own switch, and that of --quiet
        return False
    return (sys.stderr.isatty() and not is_dumb()) or "ipykernel" in sys.modules


def is_dumb() -> bool:
    """Whether the terminal knows no colours and cannot go back in a line, as in Emacs."""
    return os.environ.get("TERM") == "dumb"


def _screen() -> dict[str, int]:
    """Return a size for terminals that have none, as under ``script``: tqdm would draw nothing."""
    try:
        known = os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError, AttributeError):  # no terminal that could be asked
        return {}
    return {} if known else {"ncols": 80, "nrows": 24}
