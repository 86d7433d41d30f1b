"""What must hold for any input: an answer or a documented error, in little time and memory."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from datumaro_segmask.errors import SegmaskImportError

MAX_SECONDS = 2.0
MAX_BYTES = 512 << 20

Target = Callable[[bytes], None]
"""Reads the input, and raises `Finding` where the answer is wrong, or what the package raised."""


class Finding(AssertionError):
    """The package broke a promise."""


def accepts(target: Target, data: bytes) -> bool:
    """Run one input; return whether it was read, False for a documented error.

    Raises Finding where that took too much time or memory, or an error says too little; what else
    the target raises is a finding as well.
    """
    _forget_most_memory()
    memory, start = _most_memory(), time.process_time()
    try:
        target(data)
        read = True
    except SegmaskImportError as error:
        check_message(error)
        read = False
    seconds, grown = time.process_time() - start, _most_memory() - memory
    if seconds > MAX_SECONDS:
        raise Finding(f"it took {seconds:.1f} s")
    if grown > MAX_BYTES:
        raise Finding(f"it took {grown >> 20} MB")
    return read


def check_message(error: SegmaskImportError) -> None:
    """Raise Finding unless the error says what was met, where, and what to do."""
    for part in ("what", "where", "expected", "remedy"):
        if not getattr(error, part):
            raise Finding(f"the error has no {part!r}: {error}")
    if len(str(error)) > 2000:
        raise Finding(f"the error has {len(str(error))} characters: {str(error)[:200]}")


def _forget_most_memory() -> None:
    """Begin to count anew, where the system can: on Linux."""
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")


def _most_memory() -> int:
    """Return the most bytes that this process has had, 0 where the system does not tell."""
    if sys.platform == "win32":
        return 0
    if sys.platform == "linux":
        # getrusage would begin with the memory of the process that started this one.
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) << 10
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
