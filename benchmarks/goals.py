"""The goals, as data, and whether a run met them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .measure import Result
from .sections import DATUMARO, DECODE, ENCODE, IMPORT, OURS

SPEEDUP = "speed-up"  # their time by ours, at least
TIME = "time ratio"  # our time by theirs, at most
SIZE = "size ratio"  # our bytes by theirs, at most
MEMORY = "MB"  # our peak above an idle Datumaro, at most


@dataclass(frozen=True)
class Goal:
    """One line of the table: what is compared with whom, and the limit for each workload."""

    title: str
    kind: str
    section: str
    variant: str
    against: str
    limits: dict[str, float]


def _limits(voc: float, city: float, aerial: float) -> dict[str, float]:
    return {"voc": voc, "city": city, "aerial": aerial}


GOALS = (
    Goal("import, color", SPEEDUP, "import", "rgb", DATUMARO, _limits(16, 28, 65)),
    Goal("import, color", TIME, "import", "rgb", DECODE, _limits(0.5, 0.35, 0.2)),
    Goal("import, color, wide rows", TIME, "import", "rgb", DECODE, {"wide": 0.3}),
    Goal("import, palette", TIME, "import", "palette", DECODE, _limits(0.7, 0.45, 0.5)),
    Goal("import, gray", TIME, "import", "gray", DECODE, _limits(0.7, 0.45, 0.5)),
    Goal("convert to coco_instances", SPEEDUP, "convert", "rgb", DATUMARO, _limits(10, 16, 20)),
    Goal("to COCO, RLE", SPEEDUP, "training", "coco, rle", DATUMARO, _limits(20, 110, 800)),
    Goal("to COCO, RLE", TIME, "training", "coco, rle", IMPORT, _limits(1.15, 1.15, 1.15)),
    Goal(
        "to COCO, polygons", SPEEDUP, "training", "coco, polygons", DATUMARO, _limits(12, 60, 500)
    ),
    Goal("to COCO, polygons", TIME, "training", "coco, polygons", IMPORT, _limits(2, 2, 2)),
    Goal("to YOLO", TIME, "training", "yolo", IMPORT, _limits(2, 2, 2)),
    Goal("export, color", SPEEDUP, "export", "color", DATUMARO, _limits(6, 15, 60)),
    Goal("export, color", TIME, "export", "color", ENCODE, _limits(1.5, 1.0, 1.0)),
    Goal("files, color", SIZE, "export", "color", DATUMARO, _limits(1.0, 1.0, 1.0)),
    Goal("files, palette", SIZE, "export", "palette", DATUMARO, _limits(1.0, 1.0, 1.0)),
    Goal("files, index", SIZE, "export", "index", DATUMARO, _limits(1.0, 1.0, 1.0)),
    Goal("memory, import", MEMORY, "import", "rgb", "", _limits(10, 15, 30)),
)


@dataclass(frozen=True)
class Verdict:
    goal: Goal
    workload: str
    limit: float
    value: float

    @property
    def met(self) -> bool:
        return self.value >= self.limit if self.goal.kind == SPEEDUP else self.value <= self.limit


def judge(results: Sequence[Result]) -> Iterator[Verdict]:
    """Yield a verdict for each goal and workload of which there is a measurement."""
    table = {(r.section, r.variant, r.workload, r.candidate): r for r in results if not r.error}
    for goal in GOALS:
        for workload, limit in goal.limits.items():
            ours = table.get((goal.section, goal.variant, workload, OURS))
            theirs = table.get((goal.section, goal.variant, workload, goal.against))
            if ours and (theirs or not goal.against):
                yield Verdict(goal, workload, limit, _value(goal.kind, ours, theirs or ours))


def _value(kind: str, ours: Result, theirs: Result) -> float:
    if kind == SPEEDUP:
        return theirs.median / ours.median
    if kind == TIME:
        return ours.median / theirs.median
    if kind == SIZE:
        return ours.facts["bytes"] / theirs.facts["bytes"]
    return ours.peak or 0.0
