"""What pages have from the code is what the code has."""

from __future__ import annotations

import pytest

from ..pages import DOCS, PAGES


@pytest.mark.parametrize("name", PAGES)
def test_page_is_as_the_code_has_it(name: str) -> None:
    text = (DOCS / name).read_text("utf-8")
    assert PAGES[name](text) == text, "python -m tests.pages writes it anew"
