"""Fuzzes one target, guided by coverage: ``python -m fuzz.run TARGET [libFuzzer options]``.

Needs ``pip install atheris`` (Linux). New inputs go to the folder named first among the options,
the corpus of the repository is read:

    mkdir /tmp/png; python -m fuzz.run png /tmp/png fuzz/corpus/png -max_total_time=600
"""

from __future__ import annotations

import logging
import sys

import atheris

with atheris.instrument_imports(include=["datumaro_segmask"]):
    from .oracle import accepts
    from .targets import TARGETS

from . import pngs


def _mutate(data: bytes, max_size: int, seed: int) -> bytes:
    mutated = atheris.Mutate(data, max_size)
    return pngs.repaired(mutated) if seed % 8 else mutated


def main() -> None:
    logging.disable(logging.WARNING)
    target = TARGETS[sys.argv.pop(1)]

    def run(data: bytes) -> None:
        accepts(target, data)

    atheris.Setup(sys.argv, run, custom_mutator=_mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
