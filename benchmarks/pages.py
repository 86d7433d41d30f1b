"""The tables of the pages, made of the figures of a stored run.

A table stands in its page between ``<!-- measured: NAME -->`` and ``<!-- end -->``. Nobody writes
there by hand: `python -m benchmarks --all` measures, stores and writes, and a test compares.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .measure import ROOT

STORED = Path(__file__).with_name("run.json")
PAGES = ("docs/performance.md", "docs/scale.md")
_TABLE = re.compile(r"(<!-- measured: ([\w-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
_UNKNOWN = "–"
_WORKLOADS = {
    "voc": "voc, 500 × 375",
    "city": "city, 2048 × 1024",
    "aerial": "aerial, 4096 × 4096",
    "dense": "dense, 4096 × 4096",
    "small": "small, 128 × 96",
}


class Figures:
    """What a run has measured, by names such as ``import/voc/rgb/segmask``."""

    def __init__(self, figures: Mapping[str, float]) -> None:
        self._figures = figures

    def __getitem__(self, name: str) -> float | None:
        return self._figures.get(name)

    def text(self, name: str) -> str:
        return shown(self[name])

    def ratio(self, above: str, below: str) -> float | None:
        one, other = self[above], self[below]
        return None if one is None or not other else one / other

    def times(self, above: str, below: str) -> str:
        """How often one figure goes into another one."""
        ratio = self.ratio(above, below)
        return _UNKNOWN if ratio is None else f"{shown(ratio)} ×"


def shown(value: float | None) -> str:
    """Return a number with the two or three digits that count."""
    if value is None:
        return _UNKNOWN
    if value >= 100:
        return f"{float(f'{value:.3g}'):,.0f}"
    if value == int(value):
        return str(int(value))
    return f"{value:.{1 if value >= 10 else 2 if value >= 0.1 else 3}f}"


def beside(limit: float, value: float | None, *, at_least: bool = False, unit: str = "") -> str:
    """Return a number with its goal in brackets, bold if it misses that."""
    cell = f"{shown(value)}{'' if value is None else unit} ({limit:g})"
    is_met = value is None or (value >= limit if at_least else value <= limit)
    return cell if is_met else f"**{cell}**"


Rows = Iterator[Sequence[str]]


def _import(run: Figures) -> Rows:
    yield (
        "ms per image",
        "`segmask`",
        "Datumaro `voc_segmentation`",
        "",
        "OpenCV decodes the PNGs",
        "",
    )
    for workload, title in _WORKLOADS.items():
        for variant, kind in {"rgb": "colour", "palette": "palette", "gray": "gray"}.items():
            ours, theirs, decode = (
                f"import/{workload}/{variant}/{who}" for who in ("segmask", "datumaro", "decode")
            )
            if run[ours] is not None:
                yield (
                    f"{title}, {kind}", run.text(ours), run.text(theirs), run.times(theirs, ours),
                    run.text(decode), run.times(decode, ours),
                )  # fmt: skip


def _training(run: Figures) -> Rows:
    yield "ms per image", "COCO, RLE", "COCO, polygons", "YOLO", "import alone", "Datumaro's COCO"
    names = "coco-rle", "coco-polygons", "yolo", "import", "datumaro"
    for workload, title in [*_WORKLOADS.items()][:3]:
        yield title, *(run.text(f"training/{workload}/{name}") for name in names)


def _export(run: Figures) -> Rows:
    yield (
        "ms per image",
        "`segmask`",
        "Datumaro",
        "",
        "OpenCV encodes the PNGs",
        "bytes, Datumaro's = 1",
    )
    for workload, title in [*_WORKLOADS.items()][:3]:
        place = f"export/{workload}"
        ours, theirs = f"{place}/segmask", f"{place}/datumaro"
        size = run.ratio(f"{ours}/bytes", f"{theirs}/bytes")
        yield (
            title, run.text(ours), run.text(theirs), run.times(theirs, ours),
            run.text(f"{place}/encode"), shown(size),
        )  # fmt: skip


def _memory(run: Figures) -> Rows:
    yield "MB above the idle libraries", "`segmask`", "Datumaro"
    for workload, title in [*_WORKLOADS.items()][:3]:
        place = f"import/{workload}/rgb"
        yield f"import, {title}", *(run.text(f"{place}/{n}/peak") for n in ("segmask", "datumaro"))
    for name, title in {
        "items/2000": "import as a stream, 2,000 items",
        "items/20000": "import as a stream, 20,000 items",
        "stream/coco": "stream of 10,000 items to COCO",
        "stream/yolo": "stream of 10,000 items to YOLO",
    }.items():
        yield title, run.text(f"memory/{name}"), ""


VAST = "opening/vast-"
"""How figures begin that only a long run measures."""
PARTS = {"small": (2_000, "640 × 480"), "large": (200, "4096 × 4096")}
TARGETS = "coco_segments", "yolo_segments", "panoptic_segments", "semantic_masks", "segmask"
_BY_TWO = 1.7


def _processes(run: Figures) -> Rows:
    yield "whole command, seconds", "1 process", "2 processes", "times as fast (goal)"
    for name, (items, size) in PARTS.items():
        for target in TARGETS:
            one, two = (f"parts/{name}/{target}/{jobs}" for jobs in (1, 2))
            title = f"{items:,} images of {size} to `{target}`"
            speed = beside(_BY_TWO, run.ratio(one, two), at_least=True, unit=" ×")
            yield title, run.text(one), run.text(two), speed


COMMANDS = {
    "help": "`datumaro-segmask --help`",
    "check": "`datumaro-segmask check` of the example",
    "preview": "`datumaro-segmask preview` of the example",
    "convert": "`datumaro-segmask convert` of the example to COCO",
}
_SOON = {"help": 0.08, "check": 0.25, "preview": 0.25}

PICTURES = 300
SHEET = {
    "sheet": f"`preview` of {PICTURES} pictures of 2048 × 1024, in one process",
    "sheet-floor": "OpenCV decodes these and encodes the smaller ones",
}


def _commands(run: Figures) -> Rows:
    yield "from start to end, seconds", "(goal)"
    for name, title in {**COMMANDS, **SHEET}.items():
        value = run[f"command/{name}"]
        floor = run["command/sheet-floor"]
        limit = round(2 * floor, 2) if name == "sheet" and floor is not None else _SOON.get(name)
        yield title, shown(value) if limit is None else beside(limit, value)


class Goal(NamedTuple):
    """A ratio of two figures, for each of three workloads or four, and its limits."""

    title: str
    above: str
    below: str
    limits: tuple[float, ...]
    at_least: bool = False


_OURS = "import/{}/rgb/segmask"
_COCO, _PEER = "training/{}/coco-polygons", "training/{}/datumaro"
_EXPORT = "export/{}/"
_MASKS = f"{_EXPORT}segmask"
GOALS = (
    Goal(
        "import, times as fast as Datumaro",
        "import/{}/rgb/datumaro",
        _OURS,
        (16, 28, 65, 3.7),
        True,
    ),
    Goal("import, of OpenCV's decoding", _OURS, "import/{}/rgb/decode", (0.5, 0.35, 0.2, 1.35)),
    *(
        Goal(f"the same, {mode}", f"import/{{}}/{mode}/segmask", f"import/{{}}/{mode}/decode", most)
        for mode, most in (("palette", (0.7, 0.45, 0.5)), ("gray", (0.7, 0.45, 0.5)))
    ),
    *(
        Goal(f"{title}, of the import", f"training/{{}}/{name}", "training/{}/import", most)
        for title, name, most in (
            ("COCO with RLE", "coco-rle", (1.15, 1.15, 1.15)),
            ("COCO with polygons", "coco-polygons", (1.6, 1.9, 1.7)),
            ("YOLO", "yolo", (2, 2.3, 2.1)),
        )
    ),
    Goal(
        "COCO, times as fast as Datumaro", _PEER, "training/{}/coco-polygons", (12, 60, 500), True
    ),
    Goal(
        "export, times as fast as Datumaro",
        "export/{}/datumaro",
        "export/{}/segmask",
        (6, 15, 60),
        True,
    ),
    Goal("export, of OpenCV's encoding", "export/{}/segmask", "export/{}/encode", (1.5, 1, 1)),
    Goal("bytes, of Datumaro's", "export/{}/segmask/bytes", "export/{}/datumaro/bytes", (1, 1, 1)),
)


def _goals(run: Figures) -> Rows:
    names = [*[*_WORKLOADS][:3], "small"]
    yield "the goal in brackets", *names
    for goal in GOALS:
        cells = [
            beside(
                limit,
                run.ratio(goal.above.format(name), goal.below.format(name)),
                at_least=goal.at_least,
            )
            for name, limit in zip(names, goal.limits, strict=False)
        ]
        yield goal.title, *cells, *[""] * (len(names) - len(cells))


def _remote(run: Figures) -> Rows:
    yield (
        "640 × 480, 6 instances, 400 items",
        "opening, s",
        "requests to open",
        "ms per item",
        "of that, processor",
        "requests per item",
    )
    for name, title in {
        "folder": "folder", "zip": "zip", "whole": "zip, downloaded first",
    }.items():  # fmt: skip
        cells = ("opening", "to-open", "ms", "cpu", "requests")
        yield title, *(run.text(f"remote/{name}/{cell}") for cell in cells)


def _engines(run: Figures) -> Rows:
    yield (
        "10,000 items of 128 × 96 to Parquet",
        "s",
        "processor, ms per item",
        "the driver's MB",
        "a worker's",
    )
    for name, title in {
        "plain": "a plain loop", "pool": "`ProcessPoolExecutor`, 2 processes",
        "dask": "Dask `LocalCluster`, 2 workers",
    }.items():  # fmt: skip
        yield (
            title,
            *(run.text(f"engines/{name}/{cell}") for cell in ("s", "cpu", "driver", "worker")),
        )


def _limits(run: Figures) -> Rows:
    yield (
        "opened as a stream, and all ids read",
        "processor, µs each",
        "bytes each at the peak",
        "afterwards",
    )
    for name, title in {
        "items": "item of a zip, with two masks and an image; 10,000 of them",
        "entries": "file of a zip of 1,000,000", "lines": "line of a list of 1,000,000",
        "vast-entries": "file of a zip of 10,000,000",
        "vast-lines": "line of a list of 10,000,000",
    }.items():  # fmt: skip
        yield title, *(run.text(f"opening/{name}/{cell}") for cell in ("us", "peak", "kept"))


TABLES: dict[str, Callable[[Figures], Rows]] = {
    "import": _import,
    "training": _training,
    "export": _export,
    "memory": _memory,
    "processes": _processes,
    "commands": _commands,
    "goals": _goals,
    "remote": _remote,
    "engines": _engines,
    "limits": _limits,
}


def _markdown(rows: Rows) -> str:
    """Return a table of the rows in which something was measured."""
    head, *others = (row for row in rows if {*row[1:]} != {_UNKNOWN})
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *others]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def rendered(page: str, stored: Mapping[str, Any]) -> str:
    """Return the text of a page with all its tables as a run has measured them."""
    run = Figures(stored["figures"])

    def table(match: re.Match[str]) -> str:
        name = match[2]
        text = stored["machine"] if name == "machine" else _markdown(TABLES[name](run))
        return f"{match[1]}\n{text}\n\n{match[4]}"

    return _TABLE.sub(table, page)


def stored() -> dict[str, Any]:
    """Return the run that is stored."""
    return dict(json.loads(STORED.read_text("utf-8")))


def store(machine: str, figures: Mapping[str, float]) -> None:
    """Store a run, write its figures into the pages, and print each line that has some.

    What a quick run does not measure stays as the last long one has it.
    """
    vast = {n: v for n, v in stored()["figures"].items() if n.startswith(VAST)}
    run = {"machine": machine, "figures": {**vast, **figures}}
    STORED.write_text(json.dumps(run, indent=1, ensure_ascii=False) + "\n", "utf-8")
    for page in PAGES:
        path = ROOT / page
        text = rendered(path.read_text("utf-8"), run)
        path.write_text(text, "utf-8")
        for number, line in lines_of(text):
            print(f"{page}:{number}: {line}")


def lines_of(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of the tables of a page behind their numbers."""
    for match in _TABLE.finditer(text):
        first = text.count("\n", 0, match.start(3)) + 1
        lines = enumerate(match[3].split("\n"), first)
        yield from ((number, line) for number, line in lines if line)
