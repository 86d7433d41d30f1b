"""Tables of a run, in Markdown."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path

from . import growth
from .measure import WALL, Result
from .sections import OURS, SECTIONS, Section

LIBRARIES = ("datumaro", "numpy", "opencv-python-headless", "pycocotools", "zlib-ng", "supervision")


def machine() -> dict[str, str]:
    """Return what a reader must know to judge the figures."""
    versions = {"Python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "system": f"{platform.system()}, {_processor()}, {os.cpu_count()} cores",
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def markdown(results: Sequence[Result]) -> str:
    blocks = [_head(results)]
    for section in SECTIONS.values():
        rows = [result for result in results if result.section == section.name]
        if rows:
            blocks += _section(section, rows)
    for name, groups in growth.GROUPS.items():
        blocks += _growth(groups, [result for result in results if result.section == name])
    return "\n\n".join(blocks) + "\n"


def _head(results: Sequence[Result]) -> str:
    facts = machine()
    clock = "the wall clock" if all(r.clock == WALL for r in results) else "processor time"
    return (
        f"Measured {facts['date']} on {facts['system']}, with {facts['versions']}. Medians by "
        f"{clock}; in brackets the time as a multiple of {OURS}'s in the same run."
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _section(section: Section, results: Sequence[Result]) -> Iterator[str]:
    cells = {(r.workload, r.variant, r.candidate): r for r in results}
    names = list(dict.fromkeys(result.candidate for result in results))
    places = list(dict.fromkeys((result.workload, result.variant) for result in results))
    times, peaks, sizes, shapes = [], [], [], []
    for workload, variant in places:
        row = [cells.get((workload, variant, name)) for name in names]
        title = f"{workload}, {variant}"
        times.append([title, *(_time(cell, row[0], section) for cell in row)])
        peaks.append([title, *(_peak(cell) for cell in row)])
        sizes.append([title, *(_fact(cell, "bytes", 1e-3) for cell in row)])
        shapes += [
            [f"{title}, {cell.candidate}", *(_fact(cell, name) for name in _SHAPE)]
            for cell in row
            if cell
        ]
    yield f"**{section.title}**"
    yield _table([f"ms an {section.unit}", *names], times)
    if section.name != "command":
        yield _table(["peak MB above idle", *names], peaks)
    if any("bytes" in result.facts for result in results):
        yield _table(["kB of masks", *names], sizes)
    if section.name == "polygons":
        yield _table(["masks painted again", *_SHAPE.values()], shapes)


_SHAPE = {"iou_mean": "mean IoU", "iou_min": "lowest IoU", "vertices": "vertices an instance"}


def _time(cell: Result | None, ours: Result | None, section: Section) -> str:
    if cell is None:
        return ""
    if cell.error:
        return "fails"
    text = f"{_figure(1000 * cell.median / getattr(cell, section.unit + 's'))}"
    if cell is not ours and ours is not None and not ours.error:
        text += f" ({_figure(cell.median / ours.median)}x)"
    found = cell.facts.get("annotations", cell.instances)
    return text if found == cell.instances else f"{text}, finds {found:,} of {cell.instances:,}"


def _figure(value: float) -> str:
    """Return a number with about three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.{1 if value >= 10 else 2}f}"


def _peak(cell: Result | None) -> str:
    return "" if cell is None or cell.peak is None else f"{cell.peak:,.0f}"


def _fact(cell: Result | None, name: str, scale: float = 1) -> str:
    if cell is None or name not in cell.facts:
        return ""
    value = cell.facts[name] * scale
    return f"{value:.4f}" if name.startswith("iou") else f"{value:,.0f}"


def _growth(groups: growth.Groups, results: Sequence[Result]) -> Iterator[str]:
    cells = {(result.workload, result.candidate): result for result in results}
    rows = []
    for candidates, cases in groups:
        for candidate in candidates:
            first = cells.get((cases[0], candidate.name))
            for case in cases:
                cell = cells.get((case, candidate.name))
                if cell:
                    rows.append([f"{candidate.name}: {case}", *_grown(cell, first)])
    if rows:
        yield "**Growth: what one thing that grows costs**"
        yield _table(["case", "ms in all", "times the first", "peak MB", "times the first"], rows)


def _grown(cell: Result, first: Result | None) -> list[str]:
    if cell.error or first is None or first.error:
        return ["fails", "", "", ""]
    times, peaks = cell.median / first.median, (cell.peak or 0) / max(first.peak or 0, 0.1)
    own = ["", ""] if cell is first else [f"{times:.1f}", f"{peaks:.1f}"]
    return [_figure(1000 * cell.median), own[0], f"{cell.peak or 0:.1f}", own[1]]
