"""Processes for the tests: those of pools, and commands with a process of their own.

To start Python and to import Datumaro takes longer than most of what is tried in a process. So they
are forked from a server that has done both; nothing else is in it. Where a system has no such
server, and where coverage is measured, which needs an end of Python, they are started anew.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from datumaro_segmask.cli import parallel

ROOT = Path(__file__).parents[1]
HAS_SERVER = sys.platform == "linux" and not any(
    name.startswith("COVERAGE_") for name in os.environ
)
_get_context = multiprocessing.get_context
_IMPORTED = [
    "datumaro.components.dataset", "datumaro.cli.__main__", "datumaro.cli.commands", "pandas",
    "pyarrow.parquet", "pytest", "datumaro_segmask.sharding", "datumaro_segmask.cli.check.survey",
    "datumaro_segmask.cli.convert.conversion", "datumaro_segmask.plugin.training.yolo",
]  # fmt: skip


def help_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands start processes before the first item."""
    for name in ("_TRIAL", "_PATIENCE", "_MOMENT"):
        monkeypatch.setattr(parallel, name, 0)


def do_nothing_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the processes do all of it."""
    help_at_once(monkeypatch)
    monkeypatch.setattr(parallel, "_KEPT", 0)


def context(method: str | None = None) -> Any:
    """Return what `multiprocessing.get_context` does; for "spawn" what is the same, but quicker."""
    return _server() if method == "spawn" and HAS_SERVER else _get_context(method)


@cache
def _server() -> Any:
    made = _Context()
    made.set_forkserver_preload(_IMPORTED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        ensure_running()
    return made


if sys.platform == "linux":
    from multiprocessing.context import ForkServerContext, ForkServerProcess
    from multiprocessing.forkserver import ensure_running

    class _Process(ForkServerProcess):
        """Has the environment of the process that starts it, as one that is spawned has."""

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self._environment = dict(os.environ)

        def run(self) -> None:
            os.environ.clear()
            os.environ.update(self._environment)
            super().run()

    class _Context(ForkServerContext):
        Process = _Process


def processes(workers: int = 2) -> ProcessPoolExecutor:
    """Return a pool of processes that know nothing of this one."""
    return ProcessPoolExecutor(workers, context("spawn"))


def command(
    *arguments: object, module: str = "datumaro_segmask", cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m module`` to its end in a process of its own; return what it says."""
    return python("-m", module, *map(str, arguments), cwd=cwd)


def python(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``python -m ...`` or ``python -c ...`` in the same way."""
    if not HAS_SERVER:
        return subprocess.run(
            [sys.executable, *words],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            encoding="utf-8",
            timeout=300,
            check=False,
        )
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder, name) for name in ("out", "err")]
        process = context("spawn").Process(target=_interpret, args=(words, cwd, outputs))
        process.start()
        process.join(300)
        said = [output.read_text("utf-8") for output in outputs]
    return subprocess.CompletedProcess(words, process.exitcode, *said)


def _interpret(words: tuple[str, ...], cwd: Path | None, outputs: list[Path]) -> None:
    for descriptor, path in enumerate(outputs, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
    os.chdir(cwd or ".")
    option, what, *rest = words
    sys.argv = [what, *rest]
    sys.path.insert(0, "")
    if option == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
