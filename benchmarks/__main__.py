"""Measure this package beside its peers; prints Markdown, and progress on the way.

    python -m benchmarks --all --quick          # what the pages quote, into them: 15 minutes
    python -m benchmarks --all                  # with archives of ten million files: an hour
    python -m benchmarks                        # all tables: about half an hour
    python -m benchmarks --quick                # one to three rounds, without the slowest peers
    python -m benchmarks --only import --workloads voc,city --json results.json

Needs the package with its extra `cli`; supervision is measured too where it is installed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from . import growth
from .everything import Everything
from .measure import CPU, ROOT, WALL, Candidate, Effort, Result, compare
from .report import machine, markdown
from .sections import SECTIONS, Section, candidates_of
from .workloads import RGB, WORKLOADS, read_facts

TINY = "tiny"
NAMES = [name for name in WORKLOADS if name != TINY]
FULL, QUICK = Effort(rounds=7, seconds=40), Effort(rounds=3, seconds=10)


def draw(folder: Path, names: Sequence[str]) -> None:
    """Draw the workloads that are not there yet, in a process whose memory does not count."""
    missing = [name for name in names if not (folder / f"{name}-{RGB}").exists()]
    if missing:
        say(f"drawing {', '.join(missing)}")
        command = [sys.executable, "-m", "benchmarks.workloads", str(folder), *missing]
        subprocess.run(command, check=True, cwd=ROOT)


def seconds(result: Result) -> str:
    return f"{result.median:.3f} s, median of {len(result.wall)}"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Run:
    """All measurements of one call, on workloads in one folder."""

    def __init__(self, folder: Path, effort: Effort, quick: bool, clock: str) -> None:
        self.folder, self.effort, self.quick, self.clock = folder, effort, quick, clock
        self.results: list[Result] = []

    def section(self, section: Section, workload: str) -> None:
        for variant, masks in section.variants.items():
            folder = self.folder / f"{workload}-{masks}"
            if folder.exists():
                candidates = list(candidates_of(section, variant, workload, self.quick))
                place = section.name, workload, variant
                self.compare(place, folder, candidates, section.fresh)

    def growth(self, section: str) -> None:
        for case, folder, candidates in growth.draw(section, self.folder):
            self.compare((section, case, ""), folder, candidates, False)

    def compare(
        self,
        place: tuple[str, str, str],
        folder: Path,
        candidates: Sequence[Candidate],
        fresh: bool,
    ) -> None:
        facts = read_facts(folder)
        results = [
            Result(*place, candidate.name, facts["images"], facts["instances"], self.clock)
            for candidate in candidates
        ]
        tiny = self.folder / f"{TINY}-{RGB}"
        compare(results, candidates, folder, tiny, self.effort, fresh)
        self.results += results
        for result in results:
            say(f"{' '.join(place)}: {result.candidate}: {result.error or seconds(result)}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.split(";")[0])
    sections = [*SECTIONS, *growth.GROUPS]
    parser.add_argument(
        "--only",
        metavar="SECTIONS",
        type=_names(sections),
        default=sections,
        help=",".join(sections),
    )
    parser.add_argument(
        "--workloads", metavar="NAMES", type=_names(NAMES), default=NAMES, help=",".join(NAMES)
    )
    parser.add_argument(
        "--all", action="store_true", help="measure what the pages quote, store it and write it"
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds, no slow peers")
    parser.add_argument("--rounds", type=int, help="measurements of each candidate at most")
    parser.add_argument(
        "--clock",
        choices=(WALL, CPU),
        default=WALL,
        help="what the tables show; the processor's time is steadier where others work too",
    )
    parser.add_argument("--folder", type=Path, help="where drawn workloads are kept")
    parser.add_argument("--json", type=Path, help="also write all measurements")
    parser.add_argument("--markdown", type=Path, help="also write the tables")
    return parser.parse_args()


def _names(known: list[str]):  # type: ignore[no-untyped-def]
    def parse(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return names

    return parse


def main() -> None:
    arguments = parse_arguments()
    effort = QUICK if arguments.quick else FULL
    if arguments.rounds:
        effort = Effort(arguments.rounds, effort.seconds)
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        if arguments.all:
            draw(folder, [TINY, "voc", "city", "aerial", "dense", "small"])
            Everything(folder, effort, is_quick=arguments.quick).run()
            return
        run = Run(folder, effort, arguments.quick, arguments.clock)
        draw(folder, [TINY, *arguments.workloads])
        for name in arguments.only:
            if name in growth.GROUPS:
                run.growth(name)
                continue
            for workload in arguments.workloads:
                run.section(SECTIONS[name], workload)
    tables = markdown(run.results)
    print(tables)
    if arguments.markdown:
        arguments.markdown.write_text(tables, encoding="utf-8")
    if arguments.json:
        content = {"machine": machine(), "results": [r.to_json() for r in run.results]}
        arguments.json.write_text(json.dumps(content, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
