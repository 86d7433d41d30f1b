"""Errors are Datumaro's, too; progress is seen by who watches; freed memory is kept."""

from __future__ import annotations

import io
import logging
import os
import pickle
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from datumaro.components.dataset import Dataset
from datumaro.components.errors import (
    DatasetExportError,
    DatasetImportError,
    InvalidAnnotationError,
)
from datumaro.components.progress_reporting import NullProgressReporter, ProgressReporter

import datumaro_segmask
from datumaro_segmask import errors, progress
from datumaro_segmask.plugin.host import as_datumaros, datumaro_errors, track

from ..archives import archive, as_folder, as_zip, rgb

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


# Errors

OURS = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "section")
]


@pytest.mark.parametrize("ours", OURS, ids=lambda kind: kind.__name__)
def test_errors_are_datumaros_and_ours(ours: type[errors.SegmaskError]) -> None:
    error = ours("what", "where", "expected", "remedy", kind="special")
    theirs = (
        DatasetExportError if isinstance(error, errors.SegmaskExportError) else DatasetImportError
    )
    with pytest.raises(theirs) as caught, datumaro_errors():
        raise error
    assert caught.value is error
    assert isinstance(error, ours)
    assert type(error).__name__ == ours.__name__
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert vars(again) == vars(error)
    assert str(again) == str(error)


def test_errors_of_annotations() -> None:
    """Datumaro tells what is wrong with a file from what is wrong with an archive."""
    found = {
        kind for kind in OURS if isinstance(as_datumaros(kind("", "")), InvalidAnnotationError)
    }
    assert found == {
        errors.LabelMapError,
        errors.PngError,
        errors.MaskLimitError,
        errors.UndeclaredColorError,
        errors.MaskSizeError,
    }


def test_other_errors_pass_the_border() -> None:
    with pytest.raises(ZeroDivisionError), datumaro_errors():
        raise ZeroDivisionError


def test_image_that_is_gone(source: str) -> None:
    """What a picture raises when it is asked for is Datumaro's, too."""
    files = archive({"a": rgb("1")}, images={"a.png": rgb("1")})
    path = as_zip(files, Path(source).with_name("zip"))
    (item,) = Dataset.import_from(str(path), "segmask")
    path.write_bytes(b"")
    image = pickle.loads(pickle.dumps(item.media))  # as a worker gets it
    with pytest.raises(DatasetImportError, match="the zip has changed since"):
        _ = image.bytes


# Progress


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
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=screen, modules={}))
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
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=pipe, modules={}))
    monkeypatch.setattr(progress, "_DELAY", 0.0)
    assert list(track(range(3), NullProgressReporter(), "work", 3)) == [0, 1, 2]
    assert pipe.getvalue() == ""


def test_switch_of_tqdm_hides_the_bar(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--quiet` sets it."""
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert list(track(range(3), NullProgressReporter(), "work", 3)) == [0, 1, 2]
    assert terminal.getvalue() == ""


def test_notebook_shows_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = io.StringIO()
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=cell, modules={"ipykernel": None}))
    monkeypatch.setattr(progress, "_DELAY", 0.0)
    list(track(range(3), NullProgressReporter(), "work", 3))
    assert "work" in cell.getvalue()


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="a system without such terminals")
def test_terminal_without_a_size_shows_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under `script`, which tells none to what it runs."""
    mine, theirs = os.openpty()
    with os.fdopen(theirs, "w") as screen:
        monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=screen, modules={}))
        monkeypatch.setattr(progress, "_DELAY", 0.0)
        list(track(range(3), NullProgressReporter(), "work", 3))
        shown = os.read(mine, 4096).decode()
    os.close(mine)
    assert "0/3" in shown


def test_reporter_is_told_even_at_a_terminal(terminal: Terminal) -> None:
    reporter = Reporter()
    list(track(range(2), reporter, "work", 2))
    assert reporter.told[0] == ("start", 2, "work")
    assert terminal.getvalue() == ""


# Memory

FAULTS = """
import resource, sys
import numpy as np
from datumaro_segmask.arrays import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [np.ones(3 << 20, np.uint8) for _ in range(4)]
    del arrays
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults)
"""


def faults(how: str, **environment: str) -> int:
    """Return the page faults of 12 MiB that are allocated, filled and freed for the third time."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, how],
        env={"PYTHONPATH": os.pathsep.join(sys.path), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_freed_memory_is_kept() -> None:
    assert faults("keep") < 100 < faults("as it is")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_thresholds_of_the_user_stay() -> None:
    assert faults("keep", MALLOC_TRIM_THRESHOLD_="131072") > 100
