"""One task in a process of its own: ``python -m benchmarks.worker`` and a task in JSON.

The process prepares, then runs the task once for each line that it is sent, and answers with one
line of JSON: seconds by the wall clock and of the processor, peak memory, what `Task.inspect`
found; or the error.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from . import peers, tasks
from .tasks import Task


def peak_memory() -> float:
    """Return the most memory that this process has held since the last `forget_peak`, in MB."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


def forget_peak() -> None:
    """Let the peak begin at what is held now, where the system can; else it stays as it was."""
    gc.collect()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def processor_time() -> float:
    """Return the seconds that this process and its children have kept processors busy."""
    children = os.times()
    return time.process_time() + children.children_user + children.children_system


def make_task(name: str, folder: Path, options: dict[str, Any]) -> Task:
    kind = getattr(tasks, name, None) or getattr(peers, name)
    task = kind(folder, options)
    assert isinstance(task, Task)
    return task


def run(task: Task, out: Path) -> dict[str, Any]:
    """Run a task once; the collector is left as a user has it, but starts clean."""
    out.mkdir()
    try:
        forget_peak()
        idle = peak_memory()
        wall, cpu = time.perf_counter(), processor_time()
        result = task.run(out)
        wall, cpu = time.perf_counter() - wall, processor_time() - cpu
        peak = peak_memory() - idle
        return {"wall": wall, "cpu": cpu, "peak": peak, "facts": task.inspect(result, out)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    finally:
        shutil.rmtree(out, ignore_errors=True)


def main() -> None:
    # What libraries print must not get between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    job = json.loads(sys.argv[1])
    import datumaro  # noqa: F401

    import datumaro_segmask

    datumaro_segmask.register()
    with tempfile.TemporaryDirectory() as scratch:
        # A first run on a tiny workload loads all libraries: what is measured is an idle Datumaro.
        run(make_task(job["task"], Path(job["warm_up"]), job["options"]), Path(scratch, "out"))
        task = make_task(job["task"], Path(job["folder"]), job["options"])
        for _ in sys.stdin:
            answers.write(json.dumps(run(task, Path(scratch, "out"))) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
