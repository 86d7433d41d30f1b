"""The allocator keeps what is freed, where it is glibc's."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import numpy as np
from datumaro_segmask.plugin.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [np.ones(3 << 20, np.uint8) for _ in range(4)]
    del arrays
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults)
"""


def faults(how: str, **environment: str) -> int:
    """Return the page faults of 12 MiB that are allocated, filled and freed for the third time."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, how],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_freed_memory_is_kept() -> None:
    assert faults("keep") < 100 < faults("as it is")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_thresholds_of_the_user_stay() -> None:
    assert faults("keep", MALLOC_TRIM_THRESHOLD_="131072") > 100
