"""What a writer makes of an item by itself, wherever that is done, and the lines of its objects."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from ..archive import Item
from ..arrays import Size
from ..regions import Instance
from ..training import Batches, Job

Traced = TypeVar("Traced")


class Coder(Protocol):
    """Makes of an item what a writer's ``put`` takes: of nothing but the item; can be pickled."""

    def code(self, item: Item, left_out: Counter[str]) -> object:
        """Return it; what has no place in the format is counted. Raises MaskLimitError."""

    def end(self, coded: Sequence[Any]) -> list[Any]:
        """Return what `code` gave for some items, with nothing left to be done; can be pickled."""


@dataclass(frozen=True, slots=True)
class Objects(Generic[Traced]):
    """The objects of an image, and their lines as soon as these are known.

    ``content`` is what objects with the same lines have, too, in any process.
    """

    count: int
    content: int
    objects: Sequence[Instance]
    job: Job[Traced] | None
    lines: Sequence[str] | None = None


class ObjectLines(Generic[Traced]):
    """Makes the lines of objects, image by image; the masks of several are traced at once.

    ``trace`` is that of `training.Batches`; ``lines_of`` makes the lines of the objects of an image
    and of what was traced of them.
    """

    def __init__(
        self,
        trace: Callable[[Sequence[bytes], Size], list[Traced]],
        lines_of: Callable[[Sequence[Instance], Size, list[Traced]], Iterable[str]],
    ) -> None:
        self._lines_of = lines_of
        self._batches = Batches(trace)

    def start(
        self,
        objects: Sequence[Instance],
        texts: Sequence[bytes],
        size: Size,
        *,
        alone: bool = False,
    ) -> Objects[Traced]:
        """Begin with the objects of an image, of which ``texts`` are traced (see `Batches`)."""
        told = b"\n".join(b"%d %d %b" % (o.label or 0, o.is_crowd, o.counts) for o in objects)
        job = self._batches.start(texts, size, alone=alone)
        return Objects(len(objects), zlib.crc32(told), objects, job)

    def finish(self, started: Objects[Traced], write: Callable[[Sequence[str]], None]) -> None:
        """Let ``write`` have the lines of an image: now or later, in the order of calls."""
        objects, job = started.objects, started.job
        if job is None:
            self.flush()
            write(started.lines or ())
            return
        self._batches.finish(
            job, lambda traced: write([*self._lines_of(objects, job.size, traced)])
        )

    def flush(self) -> None:
        """Let all have their lines that were to have them later."""
        self._batches.flush()

    def end(self, started: Sequence[Objects[Traced]]) -> list[Objects[Traced]]:
        """Return the same with their lines."""
        found: list[Sequence[str]] = []
        for one in started:
            self.finish(one, found.append)
        self.flush()
        return [
            replace(one, objects=(), job=None, lines=lines)
            for one, lines in zip(started, found, strict=True)
        ]
