"""The figures in the pages are those of the run that is stored; nobody looks at the clock here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pages = pytest.importorskip("benchmarks.pages", reason="the benchmarks are not beside the tests")


@pytest.mark.parametrize("page", pages.PAGES)
def test_tables_are_those_of_the_stored_run(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    assert pages.rendered(text, pages.stored()) == text, "python -m benchmarks --all writes them"


def test_each_table_stands_in_one_page() -> None:
    texts = [(ROOT / page).read_text("utf-8") for page in pages.PAGES]
    names = [name for text in texts for name in re.findall(r"<!-- measured: ([\w-]+) -->", text)]
    assert sorted(names) == sorted([*pages.TABLES, "machine"])


def test_goals_that_are_missed_are_bold() -> None:
    figures = {"training/voc/yolo": 3.0, "training/voc/import": 1.0, "training/city/yolo": 2.0}
    figures["training/city/import"] = 1.0
    page = "<!-- measured: goals -->\n<!-- end -->"
    lines = pages.rendered(page, {"machine": "", "figures": figures}).splitlines()
    (yolo,) = (line for line in lines if line.startswith("| YOLO"))
    assert yolo == "| YOLO, of the import | **3 (2)** | 2 (2.3) | – (2.1) |  |"


def test_each_line_with_figures_is_named() -> None:
    text = "# A\n\n<!-- measured: machine -->\n\none\n\n<!-- end -->\n"
    assert [*pages.lines_of(text)] == [(5, "one")]
