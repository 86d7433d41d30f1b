"""What all tests share."""

from __future__ import annotations

import hypothesis
import pytest
from datumaro.components.environment import Environment

import datumaro_segmask

hypothesis.settings.register_profile(
    "quick",
    max_examples=40,
    deadline=None,  # the machines of a CI are slow at times
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile("long", max_examples=3000, deadline=None)
hypothesis.settings.load_profile("quick")


def pytest_configure(config: pytest.Config) -> None:
    # All warnings are errors but for those of others that nobody here can mend.
    for theirs in (
        # pycocotools, decoding with NumPy 2
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",
        # Datumaro, detecting any format
        "ignore:FormatDetectionConfidence of .* is lowered:DeprecationWarning",
        # Datumaro 1.11, where Python compiles it; a SyntaxWarning from Python 3.12 on
        "ignore:invalid escape sequence:DeprecationWarning",
        "ignore:invalid escape sequence:SyntaxWarning",
    ):
        config.addinivalue_line("filterwarnings", theirs)


@pytest.fixture(scope="session")
def registered() -> None:
    """Datumaro knows the format, in whatever way the package got here."""
    datumaro_segmask.register()


@pytest.fixture
def without_us(registered: None) -> Environment:
    """An environment of Datumaro's own formats."""
    env = Environment()
    env.importers.unregister("segmask")
    return env
