"""Processes that help at once, however little there is to do."""

from __future__ import annotations

import pytest

from datumaro_segmask.cli import parallel


def help_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands start processes before the first item."""
    for name in ("_TRIAL", "_PATIENCE"):
        monkeypatch.setattr(parallel, name, 0)


def do_nothing_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the processes do all of it."""
    help_at_once(monkeypatch)
    monkeypatch.setattr(parallel, "_KEPT", 0)
