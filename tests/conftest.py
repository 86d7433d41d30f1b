"""What all tests share."""

from __future__ import annotations

import multiprocessing
import os
from typing import TYPE_CHECKING

import hypothesis
import pytest

import datumaro_segmask
from datumaro_segmask._bridge import PLUGINS

if TYPE_CHECKING:  # the import of Datumaro 1.11.0 gives a warning, see below
    from collections.abc import Iterator

    from datumaro.components.environment import Environment

    from .storage.stores import Behaviour

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
        # Datumaro 1.11.0
        "ignore:The `repr_ns` argument is deprecated:DeprecationWarning",
        # Matplotlib before 3.10, with a newer pyparsing than it knows
        r"ignore:'\w+' (argument is )?deprecated(,| -) use:DeprecationWarning",
        # Datumaro 1.11, comparing a mask with one of another class, and painting with NumPy 1
        "ignore:NotImplemented should not be used in a boolean context:DeprecationWarning",
        "ignore:NumPy will stop allowing conversion of out-of-bound:DeprecationWarning",
        # Datumaro 1.11, where Python compiles it; a SyntaxWarning from Python 3.12 on
        "ignore:invalid escape sequence:DeprecationWarning",
        "ignore:invalid escape sequence:SyntaxWarning",
    ):
        config.addinivalue_line("filterwarnings", theirs)


@pytest.fixture(scope="session", autouse=True)
def no_flush() -> Iterator[None]:
    """Nobody cuts the power here, and a disk takes its time; what is flushed, tests of it ask."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def quick_processes() -> Iterator[None]:
    """What spawns processes gets them in a moment."""
    from . import processes

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(multiprocessing, "get_context", processes.context)
        yield


@pytest.fixture(scope="session")
def registered() -> None:
    """Datumaro knows the format, in whatever way the package got here."""
    datumaro_segmask.register()


@pytest.fixture
def without_us(registered: None) -> Environment:
    """An environment of Datumaro's own formats."""
    from datumaro.components.environment import Environment

    env = Environment()
    ours = {spec["plugin_name"] for spec in PLUGINS if spec["plugin_type"] == "Importer"}
    for name in ours:
        env.importers.unregister(name)
    # Detection asks those by extension, whom `unregister` leaves.
    for extension, known in env.importers.extension_groups.items():
        env.importers.extension_groups[extension] = [one for one in known if one[0] not in ours]
    return env


@pytest.fixture(scope="module")
def s3() -> Iterator[tuple[str, Behaviour]]:
    """An S3 server of our own: its address, and how it behaves."""
    pytest.importorskip("moto", reason="moto's S3 server is not installed")
    pytest.importorskip("s3fs")
    from .storage.stores import s3_keys, s3_server

    with s3_server() as (endpoint, behaviour), s3_keys(endpoint):
        yield endpoint, behaviour


@pytest.fixture
def behaviour(s3: tuple[str, Behaviour]) -> Iterator[Behaviour]:
    s3[1].calm()
    yield s3[1]
    s3[1].calm()
