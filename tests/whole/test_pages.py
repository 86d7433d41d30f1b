"""What pages have from the code is what the code has."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from ..pages import DOCS, PAGES


@pytest.mark.parametrize("name", PAGES)
def test_page_is_as_the_code_has_it(name: str) -> None:
    text = (DOCS / name).read_text("utf-8")
    assert PAGES[name](text) == text, "python -m tests.pages writes it anew"


ROOT = DOCS.parent


@pytest.mark.parametrize("path", [ROOT / "README.md", *DOCS.glob("*.md")], ids=lambda p: p.name)
def test_no_table_is_cut(path: Path) -> None:
    """Each begins with a head and a rule, and all its rows have as many cells."""
    text = re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        head, rule, *_ = rows = [*table.splitlines(), ""]
        assert re.fullmatch(r"\|( *:?-+:? *\|)+", rule), head
        cells = {len(re.findall(r"(?<!\\)\|", row)) for row in rows[:-1]}
        assert len(cells) == 1, head


def test_reliability_names_tests_that_are_there() -> None:
    text = (DOCS / "reliability.md").read_text("utf-8")
    named = re.findall(r"`(?:tests/)?([a-z]*/?test_\w+\.py)`", text)
    assert len(named) > 20
    for name in named:
        assert list((ROOT / "tests").glob(name if "/" in name else f"*/{name}")), name


def test_limits_of_reliability_are_those_of_the_code() -> None:
    text = (DOCS / "reliability.md").read_text("utf-8")
    found = re.findall(r"^\|.*\| ([\d,]+) \| `([\w.]+)\.(\w+)` \|$", text, re.MULTILINE)
    assert len(found) == 20
    for value, module, name in found:
        limit = getattr(import_module(f"datumaro_segmask.{module}"), name)
        assert f"{limit:,}" == value, name


def test_readme_is_short() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    heads = sum(set(row) <= {"|", "-"} for row in rows)
    assert len(text.split()) <= 1200
    assert len(rows) - 2 * heads <= 25
