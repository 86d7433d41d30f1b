"""Progress reaches Datumaro's reporters, and a person at a terminal, and no log file."""

from __future__ import annotations

import io
import logging
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from datumaro.components.dataset import Dataset
from datumaro.components.progress_reporting import NullProgressReporter, ProgressReporter

import datumaro_segmask
from datumaro_segmask.plugin import progress
from datumaro_segmask.plugin.progress import track

from ..archives import archive, as_folder, rgb

FILES = archive({name: rgb("0110 0220") for name in ("a", "b", "c")})


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Reporter(ProgressReporter):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    @property
    def period(self) -> float:
        return 0.001

    @property
    def interval(self) -> float:
        return 0.0

    def start(self, total: int, *, desc: str | None = None) -> None:
        self.told.append(("start", total, desc))

    def report_status(self, progress: int) -> None:
        self.told.append(("at", progress))

    def finish(self) -> None:
        self.told.append(("finish",))

    def split(self, count: int) -> tuple[ProgressReporter, ...]:
        return (self,) * count


@pytest.fixture
def source(tmp_path: Path) -> str:
    datumaro_segmask.register()
    return str(as_folder(FILES, tmp_path / "task"))


def test_import_tells_the_reporter_each_item(source: str) -> None:
    reporter = Reporter()
    Dataset.import_from(source, "segmask", progress_reporter=reporter)
    assert reporter.told[0] == ("start", 3, "Importing masks")
    assert [told for told in reporter.told if told[0] == "at"] == [("at", 0), ("at", 1), ("at", 2)]
    assert reporter.told[-1] == ("finish",)


def test_export_tells_the_reporter_each_item(source: str, tmp_path: Path) -> None:
    reporter = Reporter()
    dataset = Dataset.import_from(source, "segmask")
    dataset.export(str(tmp_path / "out"), "segmask", progress_reporter=reporter)
    assert reporter.told[0] == ("start", 3, "Exporting masks")
    assert reporter.told[-1] == ("finish",)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    screen = Terminal()
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=screen))
    monkeypatch.setattr(progress, "_DELAY", 0.0)
    return screen


def test_terminal_shows_one_bar_with_counts(terminal: Terminal) -> None:
    silent = NullProgressReporter()
    inner = track(range(4), silent, "inside", 4)
    assert list(track(inner, silent, "outside", 4)) == [0, 1, 2, 3]
    assert "outside" in terminal.getvalue()
    assert "0/4" in terminal.getvalue()
    assert "inside" not in terminal.getvalue()


def test_next_bar_appears_after_one_that_was_left_early(terminal: Terminal) -> None:
    first = track(range(4), NullProgressReporter(), "first", 4)
    next(first)
    first.close()  # type: ignore[attr-defined]
    list(track(range(4), NullProgressReporter(), "second", 4))
    assert "second" in terminal.getvalue()


def test_log_lines_stay_whole_beside_the_bar(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal)  # by which tqdm knows handlers of a terminal
    handler = logging.StreamHandler(terminal)
    logging.getLogger().addHandler(handler)
    try:
        for i in track(range(3), NullProgressReporter(), "work", 3):
            logging.getLogger("x").warning("line %d is whole", i)
    finally:
        logging.getLogger().removeHandler(handler)
    lines = terminal.getvalue().replace("\r", "\n").split("\n")
    assert {"line 0 is whole", "line 1 is whole", "line 2 is whole"} <= {s.strip() for s in lines}


def test_pipe_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=pipe))
    monkeypatch.setattr(progress, "_DELAY", 0.0)
    assert list(track(range(3), NullProgressReporter(), "work", 3)) == [0, 1, 2]
    assert pipe.getvalue() == ""


def test_reporter_is_told_even_at_a_terminal(terminal: Terminal) -> None:
    reporter = Reporter()
    list(track(range(2), reporter, "work", 2))
    assert reporter.told[0] == ("start", 2, "work")
    assert terminal.getvalue() == ""
