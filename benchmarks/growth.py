"""What happens to time and memory when one thing grows and the others stay."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from .measure import Candidate
from .sections import DATUMARO, DECODE, OURS, OURS_FORMAT, THEIR_FORMAT
from .sources import CLASS_MASKS, INSTANCE_MASKS
from .workloads import RGB, Workload, build, write_facts, write_lists

SECTION, STREAMS = "growth", "streams"
STREAM = f"{OURS}, streamed"
BASE = Workload("base", 2048, 2048, 1, 5, (100, 100), (25, 60))
SMALL = Workload("item", 128, 96, 20, 5, (2, 4), (8, 30))
ITEMS = 2_000

IMAGES = {
    "base": BASE,
    "pixels x4": replace(BASE, name="pixels", width=4096, height=4096),
    "instances x10": replace(BASE, name="instances", instances=(1000, 1000), radii=(8, 19)),
}
COUNTS = {f"{ITEMS:,} items": ITEMS, "items x10": 10 * ITEMS}
LONG = {f"{count:,} items": count for count in (10_000, 100_000)}

OF_IMAGES = (
    Candidate(OURS, "Import", {"format": OURS_FORMAT}),
    Candidate(DATUMARO, "Import", {"format": THEIR_FORMAT}),
    Candidate(DECODE, "DecodePngs"),
)
OF_ITEMS = (
    Candidate(STREAM, "Import", {"format": OURS_FORMAT, "stream": True}),
    Candidate(OURS, "Import", {"format": OURS_FORMAT}),
    Candidate(DATUMARO, "Import", {"format": THEIR_FORMAT}),
)
OF_STREAMS = tuple(
    Candidate(f"{STREAM}, to {to}", "Convert", {"format": OURS_FORMAT, "to": to, "stream": True})
    for to in ("coco_segments", "yolo_segments")
)
Groups = tuple[tuple[tuple[Candidate, ...], tuple[str, ...]], ...]
GROUPS: dict[str, Groups] = {
    SECTION: ((OF_IMAGES, tuple(IMAGES)), (OF_ITEMS, tuple(COUNTS))),
    STREAMS: ((OF_STREAMS, tuple(LONG)),),
}
"""Each group of cases is compared with its first."""


def draw(section: str, folder: Path) -> Iterator[tuple[str, Path, tuple[Candidate, ...]]]:
    """Yield each case of a section, the folder where it stands, and who reads it."""
    if section == STREAMS:
        yield from _counted(folder, LONG, OF_STREAMS)
        return
    for case, workload in IMAGES.items():
        root = folder / f"{workload.name}-{RGB}"
        if not root.exists():
            build(workload, folder, (RGB,))
        yield case, root, OF_IMAGES
    yield from _counted(folder, COUNTS, OF_ITEMS)


def _counted(
    folder: Path, counts: dict[str, int], candidates: tuple[Candidate, ...]
) -> Iterator[tuple[str, Path, tuple[Candidate, ...]]]:
    small = folder / f"{SMALL.name}-{RGB}"
    if not small.exists():
        build(SMALL, folder, (RGB,))
    for case, count in counts.items():
        root = folder / f"items-{count}"
        if not root.exists():
            repeat(small, root, count)
        yield case, root, candidates


def repeat(source: Path, root: Path, count: int) -> None:
    """Make an archive of ``count`` items out of a few masks."""
    ids = [f"item_{index:06d}" for index in range(count)]
    names = sorted(file.name for file in (source / CLASS_MASKS).iterdir())
    for kind in (CLASS_MASKS, INSTANCE_MASKS):
        (root / kind).mkdir(parents=True)
        for index, item_id in enumerate(ids):
            _link(source / kind / names[index % len(names)], root / kind / f"{item_id}.png")
    write_lists(root, ids, SMALL.labels)
    write_facts(root, count, 0)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # no links on this disk, or too many
        shutil.copyfile(source, target)
