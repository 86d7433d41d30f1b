"""What the tests of shards share."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture(autouse=True)
def _processes_start_at_once(request: pytest.FixtureRequest, monkeypatch) -> None:
    """Small as the jobs of these tests are, but for tests of the fixture ``patience``."""
    if "patience" not in request.fixturenames:
        monkeypatch.setattr(sys.modules["datumaro_segmask.sharding.run"], "_PATIENCE", 0.0)


@pytest.fixture
def patience() -> None:
    """Nothing is changed."""
