"""Masks of several images that are traced in one pass.

Most of the time that a pass over the masks of a small image takes is spent on calls, not on pixels.
So small images of one size are held until there is enough to trace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from ..arrays import Size

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
