"""Mutants of the corpus for the replay, which must do without a guide."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from . import pngs

MAX_SIZE = 1 << 16

_TOKENS = [
    b"\0",
    b"\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\0\0\0",
    b"\xff\xff\xff\xff",
    b"\n",
    b":",
    b"/",
]
_TOKENS += [b"..", b"\\", b"#", b" ", b",", b"PK\1\2", b"PK\3\4", b"PK\5\6", b"IDAT", b"PLTE"]
_TOKENS += [b"IEND", b"IHDR", "\ufeff\u202e\U0001f600".encode(), b".png", b"256", b"-1"]

Change = Callable[[bytearray, random.Random, Sequence[bytes]], None]


def _flip(data: bytearray, chance: random.Random, corpus: Sequence[bytes]) -> None:
    at = chance.randrange(len(data))
    data[at] ^= 1 << chance.randrange(8)


def _set(data: bytearray, chance: random.Random, corpus: Sequence[bytes]) -> None:
    data[chance.randrange(len(data))] = chance.choice([0, 1, 4, 5, 127, 128, 255])


def _cut(data: bytearray, chance: random.Random, corpus: Sequence[bytes]) -> None:
    at = chance.randrange(len(data))
    del data[at : at + chance.randrange(1, 40)]


def _end(data: bytearray, chance: random.Random, corpus: Sequence[bytes]) -> None:
    del data[chance.randrange(len(data)) :]


def _repeat(data: bytearray, chance: random.Random, corpus: Sequence[bytes]) -> None:
    at = chance.randrange(len(data))
    data[at:at] = data[at : at + chance.randrange(1, 200)] * chance.choice([1, 1, 2, 50])


def _insert(data: bytearray, chance: random.Random, corpus: Sequence[bytes]) -> None:
    at = chance.randrange(len(data))
    token = chance.choice(_TOKENS)
    data[at : at + chance.choice([0, len(token)])] = token


def _splice(data: bytearray, chance: random.Random, corpus: Sequence[bytes]) -> None:
    other = chance.choice(corpus)
    data[chance.randrange(len(data)) :] = other[chance.randrange(len(other) + 1) :]


_CHANGES: list[Change] = [_flip, _set, _cut, _end, _repeat, _insert, _splice]


def mutant(corpus: Sequence[bytes], chance: random.Random) -> bytes:
    """Return a new input: one of the corpus with a few changes, its PNG checksums mostly right."""
    data = bytearray(chance.choice(corpus))
    for _ in range(chance.choice([1, 1, 2, 3, 5])):
        if data:
            chance.choice(_CHANGES)(data, chance, corpus)
    made = bytes(data[:MAX_SIZE])
    return pngs.repaired(made) if chance.random() < 0.8 else made
