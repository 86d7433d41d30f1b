"""Archives for the tests of shards, and the digest of what was made of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from ..archives import COLORS, Files, archive, jpeg, png


def random_files(count: int, seed: int = 0, prefix: str = "d") -> Files:
    """An archive with items of every kind: with and without instances, masks, pictures, labels."""
    rng = np.random.default_rng(seed)
    ids = [f"{prefix}{i % 3}/item {i}" for i in range(count)]
    classes = {i: png(COLORS[rng.integers(0, 3, (9, 11))]) for i in ids[: count * 8 // 10]}
    instances = {
        i: png(COLORS[rng.integers(0, 9, (9, 11))]) for i in [*ids[count // 10 : count * 9 // 10]]
    }
    lists = {"train": "\n".join(ids[: count // 2]), "val": "\n".join(ids[count // 2 :])}
    return archive(
        classes, instances, lists=lists, images={f"{i}.jpg": jpeg(9, 11) for i in ids[::2]}
    )


def digest(out: Path) -> dict[str, str]:
    """Return the hash of every file below a folder, by its name."""
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }
