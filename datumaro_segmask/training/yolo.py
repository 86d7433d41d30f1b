"""Objects as Ultralytics has its segments: a text for each image, and a file about the data.

A line is a class and the points of one ring, as parts of width and height. Ultralytics multiplies
them again, drops the fraction, and paints with ``cv2.fillPoly``: so the point of pixel ``x`` is
written as ``(x + 0.5) / width``. Source: docs/training.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..arrays import Size
from ..regions import Ring
from .batches import Batches, Job
from .center_rings import MAX_LENGTH, center_rings
from .segments import Segment

IMAGES, LABELS = "images", "labels"
DATA_FILE = "data.yaml"
_HEAD = "# Written by datumaro-segmask, yolo_segments"
_FEWEST = 3  # points; of fewer, Ultralytics takes a line for a box


class LabelLines:
    """The lines of label files, which come image by image."""

    def __init__(self) -> None:
        self._batches = Batches(center_rings)

    def start(self, segments: Sequence[Segment], size: Size) -> Labels:
        """Begin with the segments of an image of this size.

        Raises MaskLimitError for masks that are not traced.
        """
        texts = [segment.instance.counts for segment in segments]
        # A pixel has four edges, each of two points at most, and two ways to a hole lead over it.
        alone = any(10 * segment.instance.area > MAX_LENGTH for segment in segments)
        return Labels(segments, self._batches.start(texts, size, alone=alone))

    def finish(self, labels: Labels, write: Callable[[Iterator[str]], None]) -> None:
        """Let ``write`` have the lines of an image: now, or later."""
        segments, job = labels
        self._batches.finish(job, lambda rings: write(label_lines(segments, job.size, rings)))

    def flush(self) -> None:
        """Let all have their lines that were to have them later."""
        self._batches.flush()


class Labels(NamedTuple):
    """The segments of an image, ready to be written."""

    segments: Sequence[Segment]
    job: Job[Ring]


def label_lines(
    segments: Sequence[Segment], size: Size, rings: Sequence[Ring] | None = None
) -> Iterator[str]:
    """Yield the line of each segment of an image of this size.

    ``rings``: those of `center_rings`, if they are known already.
    """
    texts = _fractions(size.width) + _fractions(size.height)
    if rings is None:
        rings = center_rings([segment.instance.counts for segment in segments], size)
    for segment, ring in zip(segments, rings, strict=True):
        # Fewer points go round and round, which paints the same.
        points = np.resize(ring, (max(len(ring), _FEWEST), 2))
        points[:, 1] += size.width  # where the texts of y begin
        yield " ".join([str(segment.label), *map(texts.__getitem__, points.ravel().tolist())])


@lru_cache(maxsize=16)
def _fractions(length: int) -> list[str]:
    return [f"{(place + 0.5) / length:.6f}" for place in range(length)]


def label_place(image: str) -> str:
    """Return where Ultralytics looks for the labels of an image: by its place, by rule."""
    head, _, tail = f"/{image}".rpartition(f"/{IMAGES}/")
    return f"{head}/{LABELS}/{tail.rpartition('.')[0]}.txt".removeprefix("/")


def data_file(path: str, splits: Mapping[str, str], names: Sequence[str]) -> Iterator[str]:
    """Yield the lines of ``data.yaml``: ``path``, a folder of images for each split, ``names``.

    ``path``: where the whole tree lies; ``splits``: for each, such as ``train``, its folder.
    """
    yield _HEAD
    # A relative path would be one from wherever Ultralytics is started.
    yield "# Without 'path', the folder of this file counts: take the line out to move the tree."
    yield f"path: {json.dumps(path)}"
    for split, folder in splits.items():
        yield f"{split}: {json.dumps(f'{IMAGES}/{folder}')}"
    yield "names:"
    for number, name in enumerate(names):
        # JSON's strings are YAML's, too.
        yield f"  {number}: {json.dumps(name)}"


def is_own_data_file(head: bytes) -> bool:
    """Tell by its first bytes, of which 100 are enough, whether a file was written here."""
    return head.startswith(_HEAD.encode())
