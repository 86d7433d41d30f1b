"""Progress of long work: Datumaro's reporters, or a bar where none is passed and someone watches.

``datum`` passes no reporter. So where Datumaro's silent default is all there is and the messages
go to a terminal, a tqdm bar appears after a second, and log lines are printed above it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from datumaro.components.progress_reporting import NullProgressReporter, ProgressReporter
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

T = TypeVar("T")

_DELAY = 1.0  # seconds: what takes no longer needs no bar
_shown: list[str] = []
"""The bar on the screen: an import runs inside the export that asks for its items."""


def track(
    items: Iterable[T], reporter: ProgressReporter, desc: str, total: int | None
) -> Iterator[T]:
    """Yield the items and report how many have been; ``total`` is None where that is not known."""
    if not isinstance(reporter, NullProgressReporter):
        yield from reporter.iter(items, total=total, desc=desc)
        return
    if _shown or not sys.stderr.isatty():
        yield from items
        return
    _shown.append(desc)
    try:
        with logging_redirect_tqdm():
            yield from tqdm(
                items,
                desc=desc,
                total=total,
                unit=" items",
                delay=_DELAY,
                leave=False,
                file=sys.stderr,
            )
    finally:
        _shown.clear()
