"""What a writer makes of an item by itself, wherever that is done, and the lines of its objects.

Most of the time that a pass over the masks of a small image takes is spent on calls, not on pixels.
So small images of one size are held until there is enough to trace.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from ..archive import Item
from ..arrays import Size
from ..regions import Instance

ENOUGH = 10_000
"""Characters of RLE texts that are traced at once. A character stands for four corners at most."""

_ITEM = 100  # characters that an image counts for, however few it has

Traced = TypeVar("Traced")
Write: TypeAlias = Callable[[list[Traced]], None]


class Job(NamedTuple, Generic[Traced]):
    """The masks of an image, and what was traced of each; None if that is still to be done."""

    texts: Sequence[bytes]
    size: Size
    traced: list[Traced] | None


class Batches(Generic[Traced]):
    """Traces the masks of images, of small ones many at once, and hands on what comes out.

    ``trace`` makes something of each of many masks: of their RLE texts and their size.
    """

    def __init__(self, trace: Callable[[Sequence[bytes], Size], list[Traced]]) -> None:
        self._trace = trace
        self._held: list[tuple[Sequence[bytes], Write[Traced]]] = []
        self._size = Size(0, 0)
        self._characters = 0

    def start(self, texts: Sequence[bytes], size: Size, *, alone: bool = False) -> Job[Traced]:
        """Begin with the masks of an image; those of a large one, or ``alone``, are traced here.

        Raises what ``trace`` raises. Masks that are traced later have to be within its limits.
        """
        large = alone or _characters(texts) > ENOUGH
        return Job(texts, size, self._trace(texts, size) if large else None)

    def finish(self, job: Job[Traced], write: Write[Traced]) -> None:
        """Let ``write`` have what is traced of the masks: now or later, in the order of calls."""
        if job.traced is not None or job.size != self._size:
            self.flush()
        if job.traced is not None:
            write(job.traced)
            return
        self._held.append((job.texts, write))
        self._size = job.size
        self._characters += _characters(job.texts)
        if self._characters > ENOUGH:
            self.flush()

    def flush(self) -> None:
        """Trace all that is held, and write it."""
        held, self._held, self._characters = self._held, [], 0
        texts = [text for of_image, _ in held for text in of_image]
        traced: Iterator[Traced] = iter(self._trace(texts, self._size) if texts else [])
        for of_image, write in held:
            write([*islice(traced, len(of_image))])


def _characters(texts: Sequence[bytes]) -> int:
    return sum(map(len, texts)) + _ITEM


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

    ``trace`` is that of `Batches`; ``lines_of`` makes the lines of the objects of an image
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
