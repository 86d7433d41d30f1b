"""COCO files as shards (docs/training.md)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import IO, Any

from ..archive import Item, Reader
from ..formats import Classes, CocoWriter
from ..options import POLYGONS
from .manifest import ShardSink
from .parts import Part
from .run import Found, Job

_IDS = 10**9  # annotations of a part, at most; a million parts stay exact as floats, too


@dataclass(frozen=True)
class CocoShards:
    """COCO files for training, one for each subset of a part: ``instances_train-000000.json``.

    Images and annotations of all shards have ids of their own. Items that cannot be read are left
    out.
    """

    segmentation: str = POLYGONS
    name: str = "coco"

    def options(self) -> dict[str, Any]:
        return {"segmentation": self.segmentation}

    def write(self, part: Part, reader: Reader, job: Job, target: ShardSink, found: Found) -> None:
        with CocoWriter(
            _Shards(target, found),
            Classes.of_label_map(job.label_map),
            segmentation=self.segmentation,
            file_of=lambda subset: f"instances_{subset}-{part.number:06}.json",
            first_id=part.number * _IDS + 1,
        ) as writer:
            for image_id, (entry, read) in enumerate(reader.entries(part.entries), part.first + 1):
                item = found.add(entry, read)
                if isinstance(item, Item):
                    writer.add(entry, item, image_id=image_id)
            writer.finish(empty=None)
        found.rows = writer.annotations
        found.left_out = writer.left_out


class _Shards:
    """A sink whose files are shards, each of which is whole when it is there."""

    def __init__(self, target: ShardSink, found: Found) -> None:
        self._target = target
        self._found = found

    @property
    def there(self) -> None:
        """Nothing: it is new."""

    def put(self, name: str, data: bytes) -> None:
        self._found.wrote(name, self._target.put(name, lambda file: file.write(data)))

    def put_lines(self, name: str, lines: Iterable[str]) -> None:
        self._found.wrote(name, self._target.put(name, partial(_write, lines)))

    def discard(self, name: str) -> None:
        """Do nothing: the target knows what is left of earlier runs."""

    def finish(self) -> None:
        """Do nothing."""

    def abandon(self) -> None:
        """Do nothing."""


def _write(lines: Iterable[str], file: IO[bytes]) -> None:
    file.writelines(f"{line}\n".encode() for line in lines)
