"""Asks the allocator to keep what is freed, as images need the same memory again and again.

glibc gives large blocks back to the system when they are freed, and each page of the next one is
a page fault: measured, two thirds of the time of a conversion to COCO, and more than half of that
of an import. It lets larger blocks be kept once it has seen one freed (mallopt(3), "dynamic mmap
threshold"). A user who has set the thresholds, such as by MALLOC_TRIM_THRESHOLD_, has the last
word: they do not move then. Elsewhere this does nothing.
"""

from __future__ import annotations

from functools import cache

import numpy as np

_LARGEST = (32 << 20) - (1 << 16)  # bytes; glibc learns nothing from blocks above 32 MiB


@cache
def keep_freed_memory() -> None:
    """Let up to 64 MiB of freed memory stay with this process, for arrays of up to 32 MiB.

    Costs nothing by itself: the one block that is freed here is never written to. Once is enough
    for a process.
    """
    np.empty(_LARGEST, np.uint8)
