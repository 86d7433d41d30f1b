"""Lets tasks take turns, each in a process of its own, and keeps what they answer."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

WALL, CPU = "wall", "cpu"
ROOT = Path(__file__).parents[1]
TIMEOUT = 3600.0  # seconds for one run


@dataclass(frozen=True)
class Candidate:
    """Somebody who can do the job: name in the tables, `Task` class by name, its options."""

    name: str
    task: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class Result:
    """What one candidate took for one workload.

    ``wall`` and ``cpu``: seconds of each run; ``peak``: MB above idle, in the first run.
    """

    section: str
    workload: str
    variant: str
    candidate: str
    images: int
    instances: int
    clock: str = WALL
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    peak: float | None = None
    facts: dict[str, float] = field(default_factory=dict)
    error: str = ""

    @property
    def median(self) -> float:
        """Seconds of the middle run, by the clock that was asked for."""
        return statistics.median(self.wall if self.clock == WALL else self.cpu)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def add(self, answer: dict[str, Any]) -> None:
        if "error" in answer:
            self.error = answer["error"]
            return
        self.wall.append(answer["wall"])
        self.cpu.append(answer["cpu"])
        if self.peak is None:
            self.peak, self.facts = answer["peak"], answer["facts"]


@dataclass(frozen=True)
class Effort:
    """How often to measure: rounds at most, and seconds after which a candidate has had enough."""

    rounds: int
    seconds: float


class Worker:
    """A process that runs one task as often as it is asked."""

    def __init__(self, candidate: Candidate, folder: Path, warm_up: Path) -> None:
        job = {"task": candidate.task, "options": candidate.options}
        job |= {"folder": str(folder), "warm_up": str(warm_up)}
        self._messages = tempfile.TemporaryFile("w+")  # noqa: SIM115, closed by close()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._messages,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
        )

    def run(self) -> dict[str, Any]:
        """Return the answer of one run; a process that died or hangs answers with an error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        guard = threading.Timer(TIMEOUT, self._process.kill)
        guard.start()
        try:
            self._process.stdin.write("run\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            guard.cancel()
        return dict(json.loads(line)) if line else {"error": self._last_words()}

    def _last_words(self) -> str:
        self._process.wait()
        self._messages.seek(0)
        lines = self._messages.read().splitlines() or ["nothing"]
        return f"ended, or took longer than {TIMEOUT:.0f} s; its last words: {lines[-1]}"

    def close(self) -> None:
        self._process.communicate()
        self._messages.close()


def compare(
    results: Sequence[Result],
    candidates: Sequence[Candidate],
    folder: Path,
    warm_up: Path,
    effort: Effort,
    fresh: bool,
) -> None:
    """Fill ``results``, one a candidate: A B C, A B C, …; ``fresh``: a new process for each run."""
    workers: dict[int, Worker] = {}
    for _ in range(effort.rounds):
        for index, (result, candidate) in enumerate(zip(results, candidates, strict=True)):
            if result.error or sum(result.wall) > effort.seconds:
                continue
            worker = workers.pop(index, None) or Worker(candidate, folder, warm_up)
            result.add(worker.run())
            if fresh or result.error or sum(result.wall) > effort.seconds:
                worker.close()
            else:
                workers[index] = worker
    for worker in workers.values():
        worker.close()
