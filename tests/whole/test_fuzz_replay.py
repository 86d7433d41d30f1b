"""The corpus of ``fuzz/`` and mutants of it, the same ones every time."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys

import pytest
from datumaro.components.errors import DatumaroError

from datumaro_segmask.errors import PngError
from fuzz import replay
from fuzz.mutants import MAX_SIZE, mutant
from fuzz.oracle import Finding, accepts
from fuzz.targets import TARGETS

MUTANTS = {
    "png": 5000,
    "pixels": 800,
    "label_map": 4000,
    "subset_list": 4000,
    "zip_reader": 1000,
    "whole_import": 400,
    "labels_file": 1500,
    "two_lists": 2000,
    "header": 2000,
}


@pytest.mark.parametrize("name", TARGETS)
def test_corpus(name: str) -> None:
    """Each kept input keeps its promises, and some of them can be read."""
    kept = replay.corpus(name)
    read = [accepts(TARGETS[name], data) for data in kept]
    assert any(read)
    assert all(len(data) <= MAX_SIZE for data in kept)


@pytest.mark.parametrize("name", TARGETS)
def test_mutants(name: str) -> None:
    start = len(replay.corpus(name))
    inputs = itertools.islice(replay.inputs(name, seed=1), start, start + MUTANTS[name])
    read = [accepts(TARGETS[name], data) for data in inputs]
    assert len(read) == MUTANTS[name]
    assert any(read)


def test_corpus_is_small() -> None:
    sizes = [path.stat().st_size for path in replay.HERE.rglob("corpus/*/*")]
    assert sum(sizes) < 300_000


def _say_nothing(data: bytes) -> None:
    raise PngError("something", "a.png")


def _say_something_else(data: bytes) -> None:
    raise DatumaroError("no error of ours")


def test_oracle_wants_whole_messages() -> None:
    with pytest.raises(Finding, match="no 'expected'"):
        accepts(_say_nothing, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="the system does not tell")
def test_oracle_wants_little_memory() -> None:
    # In a process of its own, as the memory that this one has had may be more.
    greedy = "lambda data: (b'x' * (700 << 20)).count(b'y')"
    code = f"from fuzz.oracle import accepts; accepts({greedy}, b'')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=replay.HERE.parent, capture_output=True, text=True
    )
    assert "oracle.Finding: it took" in done.stderr


def test_oracle_wants_documented_errors() -> None:
    with pytest.raises(DatumaroError, match="no error of ours"):
        accepts(_say_something_else, b"")


def test_mutants_are_new_and_small() -> None:
    chance = random.Random(0)
    made = {mutant([b"abc" * 100, b"", b"x"], chance) for _ in range(200)}
    assert len(made) > 50
    assert max(map(len, made)) <= MAX_SIZE


def test_replay_says_what_it_did(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["replay", "--seconds", "0.2", "label_map"])
    assert replay.main() == 0
    assert "label_map: " in capsys.readouterr().out
