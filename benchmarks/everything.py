"""All figures that the pages quote: ``python -m benchmarks --all --quick``.

Seconds by the clock, medians; so nothing else should run beside it. What is stored says how busy
the machine was.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from . import growth, scale
from .measure import ROOT, Candidate, Effort, Result, compare
from .pages import PARTS, PICTURES, TARGETS, VAST, store
from .report import machine
from .sections import DATUMARO, DECODE, ENCODE, OURS, SECTIONS
from .workloads import RGB, WORKLOADS, build, read_facts

NAMES = {
    OURS: "segmask",
    DATUMARO: "datumaro",
    DECODE: "decode",
    ENCODE: "encode",
}
_LARGE, _CITY = WORKLOADS["aerial"], WORKLOADS["city"]
_ON_PAGE = 960, 480  # pixels of a picture of _CITY on a page


class Everything:
    """Measures it all on workloads in a folder, and keeps the figures by their names."""

    def __init__(self, folder: Path, effort: Effort, *, is_quick: bool) -> None:
        self._folder, self._effort = folder, effort
        self._is_quick = is_quick
        self.figures: dict[str, float] = {}

    def run(self) -> None:
        """Measure, store, and write into the pages."""
        load = os.getloadavg()[0]
        for step in (
            self._commands, self._sheet, self._imports, self._training, self._exports,
            self._streams, self._processes, self._scale,
        ):  # fmt: skip
            begin = time.perf_counter()
            step()
            name = step.__name__.strip("_")
            print(f"{name}: {time.perf_counter() - begin:.0f} s", file=sys.stderr, flush=True)
        facts = machine()
        store(
            f"Measured on {facts['date']}: {facts['system']}, {facts['versions']}; medians by the "
            f"clock, load {load:.1f} before it began.",
            self.figures,
        )

    def _imports(self) -> None:
        for workload in ("voc", "city", "aerial", "dense", "small"):
            for variant in SECTIONS["import"].variants:
                chosen = [
                    candidate
                    for candidate in SECTIONS["import"].candidates[variant]
                    if candidate.name in (OURS, DECODE)
                    or (candidate.name == DATUMARO and workload != "dense")
                ]
                for result in self._compare(workload, variant, chosen):
                    self._note(f"import/{workload}/{variant}/{NAMES[result.candidate]}", result)

    def _training(self) -> None:
        section = SECTIONS["training"]
        for workload in ("voc", "city", "aerial"):
            chosen = {
                variant.replace(", ", "-"): candidates[0]
                for variant, candidates in section.candidates.items()
            }
            chosen["import"] = section.candidates["yolo"][2]
            for name, candidate in chosen.items():
                for result in self._compare(workload, RGB, [candidate], fresh=True):
                    self._note(f"training/{workload}/{name}", result)
            theirs = section.candidates["yolo"][1]  # a minute: once
            for result in self._compare(workload, RGB, [theirs], Effort(1, 0)):
                self._note(f"training/{workload}/datumaro", result)

    def _exports(self) -> None:
        for workload in ("voc", "city", "aerial"):
            chosen = list(SECTIONS["export"].candidates["color"])
            for result in self._compare(workload, RGB, chosen):
                self._note(f"export/{workload}/{NAMES[result.candidate]}", result)

    def _streams(self) -> None:
        small = self._folder / f"{growth.SMALL.name}-{RGB}"
        if not small.exists():
            build(growth.SMALL, self._folder, (RGB,))
        for count, candidates in (
            (2_000, {"items/2000": growth.OF_ITEMS[0]}),
            (20_000, {"items/20000": growth.OF_ITEMS[0]}),
            (10_000, dict(zip(("stream/coco", "stream/yolo"), growth.OF_STREAMS, strict=True))),
        ):
            root = self._folder / f"items-{count}"
            if not root.exists():
                growth.repeat(small, root, count)
            for name, candidate in candidates.items():
                for result in self._measured(root, [candidate], Effort(1, 0)):
                    self.figures[f"memory/{name}"] = result.peak or 0.0

    def _compare(
        self,
        workload: str,
        variant: str,
        candidates: list[Candidate],
        effort: Effort | None = None,
        fresh: bool = False,
    ) -> Iterator[Result]:
        folder = self._folder / f"{workload}-{variant}"
        if folder.exists():  # no palette has so many instances
            yield from self._measured(folder, candidates, effort or self._effort, fresh)

    def _measured(
        self, folder: Path, candidates: list[Candidate], effort: Effort, fresh: bool = False
    ) -> list[Result]:
        facts = read_facts(folder)
        results = [
            Result("", "", "", candidate.name, facts["images"], facts["instances"])
            for candidate in candidates
        ]
        compare(results, candidates, folder, self._folder / f"tiny-{RGB}", effort, fresh)
        for result in results:
            if result.error:
                raise RuntimeError(f"{folder.name}: {result.candidate}: {result.error}")
        return results

    def _note(self, name: str, result: Result) -> None:
        self.figures[name] = 1000 * result.median / result.images
        self.figures[f"{name}/peak"] = result.peak or 0.0
        if "bytes" in result.facts:
            self.figures[f"{name}/bytes"] = result.facts["bytes"]

    def _processes(self) -> None:
        archives = {
            "small": scale.drawn(scale.REMOTE, self._folder, PARTS["small"][0]),
            "large": scale.drawn(_LARGE, self._folder, PARTS["large"][0]),
        }
        for name, root in archives.items():
            for target in TARGETS:
                times: dict[int, list[float]] = {1: [], 2: []}
                for _ in range(2 if name == "small" else 1):
                    for jobs, taken in times.items():
                        out = self._folder / "out"
                        args = ["convert", str(root), "-f", target, "-o", str(out)]
                        taken.append(_seconds(*args, "--no-save-media", "--jobs", str(jobs)))
                        shutil.rmtree(out)
                for jobs, taken in times.items():
                    self.figures[f"parts/{name}/{target}/{jobs}"] = min(taken)

    def _commands(self) -> None:
        example, out = self._folder / "street.zip", self._folder / "example-out"
        out.mkdir(exist_ok=True)
        if not example.exists():
            _seconds("example", "-o", str(example))
        commands = {
            "help": ["--help"],
            "check": ["check", str(example)],
            "preview": ["preview", str(example), "-o", str(out / "page.html"), "--overwrite"],
            "convert": ["convert", str(example), "-f", "coco_segments", "-o", str(out / "coco"),
                        "--overwrite"],
        }  # fmt: skip
        for name, args in commands.items():
            taken = [_seconds(*args) for _ in range(6)]
            self.figures[f"command/{name}"] = statistics.median(taken[1:])

    def _sheet(self) -> None:
        drawn, photos = scale.drawn(_CITY, self._folder, PICTURES), []
        own = sorted((self._folder / f"{_CITY.name}-{RGB}" / "JPEGImages").iterdir())
        (drawn / "JPEGImages").mkdir(exist_ok=True)
        for i in range(PICTURES):
            photos.append(drawn / "JPEGImages" / f"item_{i:06d}.jpg")
            shutil.copyfile(own[i % len(own)], photos[-1])
        args = ["preview", str(drawn), "-o", str(self._folder / "sheet.html"), "--overwrite"]
        taken = [_seconds(*args, "--workers", "1") for _ in range(3)]
        self.figures["command/sheet"] = statistics.median(taken)
        begin = time.perf_counter()
        for photo in photos:
            pixels = cv2.imdecode(np.fromfile(photo, np.uint8), cv2.IMREAD_COLOR)
            small = cv2.resize(pixels, _ON_PAGE, interpolation=cv2.INTER_AREA)
            cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 82])
        self.figures["command/sheet-floor"] = time.perf_counter() - begin

    def _scale(self) -> None:
        for row in scale.remote(self._folder, 400):
            kind, _, more = str(row["case"]).partition(", ")
            if more in ("0 threads", "downloaded whole"):
                place = f"remote/{'whole' if more == 'downloaded whole' else kind}"
                self._rows(place, row, {
                    "opening, s": "opening", "requests to open": "to-open", "ms an item": "ms",
                    "CPU ms an item": "cpu", "requests an item": "requests",
                })  # fmt: skip
        for row in scale.engines(self._folder, 10_000):
            self._rows(f"engines/{row['case']}", row, {
                "s": "s", "CPU ms an item": "cpu", "driver MB": "driver", "worker MB": "worker",
            })  # fmt: skip
        for place, count in {"opening/": scale.MILLION, VAST: 10 * scale.MILLION}.items():
            if place == VAST and self._is_quick:
                continue
            for name, measured in (("entries", scale.entries), ("lines", scale.lines)):
                (row,) = measured(self._folder, count)
                of = "file" if name == "entries" else "line"
                cells = {"at the peak": "peak", f"bytes a {of}": "kept"}
                self._rows(f"{place}{name}", row, cells)
                self.figures[f"{place}{name}/us"] = 1000 * row["CPU ms an item"]
        self.figures["opening/items/us"] = scale.opening_zip(self._folder, 10_000)

    def _rows(self, place: str, row: dict[str, Any], names: dict[str, str]) -> None:
        for head, name in names.items():
            if row.get(head) not in (None, ""):
                self.figures[f"{place}/{name}"] = float(row[head])


def _seconds(*args: str) -> float:
    """Return how long a command takes, from the start of the interpreter to its end.

    With its modules compiled, as they are wherever it has run before.
    """
    command = [sys.executable, "-m", "datumaro_segmask", *args]
    env = {name: v for name, v in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, env=env)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{' '.join(args)}: {done.stderr}")
    return time.perf_counter() - begin
