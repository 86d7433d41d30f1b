"""Processes that Ctrl-C reaches."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def start(command: list[str], **options: Any) -> subprocess.Popen[str]:
    """Start a command on this source tree that ends on SIGINT, its stderr in a pipe.

    What a shell runs in the background ignores SIGINT, and so would what is started there. It runs
    without coverage, whose tracer a signal can leave with its lock locked, to wait for ever.
    """
    unmeasured = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_")}
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            command,
            env={**unmeasured, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            encoding="utf-8",
            **options,
        )
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)
