"""Replays the corpus and mutants of it: ``python -m fuzz.replay [--seconds 30] [TARGET ...]``.

Inputs that break a promise are kept in a temporary folder, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import logging
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from .mutants import mutant
from .oracle import accepts
from .targets import TARGETS

HERE = Path(__file__).parent
FINDINGS = Path(tempfile.gettempdir()) / "segmask-findings"


def corpus(name: str) -> list[bytes]:
    """Return the inputs of a target that are kept, in a stable order."""
    return [path.read_bytes() for path in sorted((HERE / "corpus" / name).iterdir())]


def inputs(name: str, seed: int) -> Iterator[bytes]:
    """Yield the corpus of a target, then mutants without end."""
    kept = corpus(name)
    chance = random.Random(f"{name} {seed}")
    yield from kept
    while True:
        yield mutant(kept, chance)


def replay(name: str, seed: int, seconds: float) -> bool:
    """Replay one target, print what came of it, and return whether all was well."""
    read = refused = found = 0
    end = time.monotonic() + seconds
    for data in itertools.takewhile(lambda _: time.monotonic() < end, inputs(name, seed)):
        try:
            if accepts(TARGETS[name], data):
                read += 1
            else:
                refused += 1
        except Exception:
            found += 1
            FINDINGS.mkdir(exist_ok=True)
            path = FINDINGS / f"{name}-{hashlib.sha1(data).hexdigest()[:12]}"
            path.write_bytes(data)
            print(f"{path}:\n{traceback.format_exc()}", file=sys.stderr)
    print(f"{name}: {read:,} read, {refused:,} refused, {found:,} findings")
    return not found


def main() -> int:
    parser = argparse.ArgumentParser(description="Replay the corpus and mutants of it.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=float, default=30, help="for all targets together")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    names = arguments.targets or list(TARGETS)
    seconds = arguments.seconds / len(names)
    well = [replay(name, arguments.seed, seconds) for name in names]
    return 0 if all(well) else 1


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # here, as tests call `main` in their own process
    sys.exit(main())
