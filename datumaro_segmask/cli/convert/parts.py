"""The items of a dataset, converted in parts: here, by processes or, of an archive, by a cluster.

A part is a pure function of small values. What has to be known of earlier items, such as the next
id, is the business of the process that writes.
"""

from __future__ import annotations

import os
import secrets
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.importer import ImportContext, ImportErrorPolicy

from ...archive import Archive, read_label_map
from ...errors import SegmaskExportError
from ...plugin.annotations import is_unknown
from ...plugin.base import Remark, Remarks, SegmaskBase
from ...plugin.export.common import Done, Work
from ...plugin.host import CollectedErrors
from ...storage import Aside, Entry, FolderSink, ZipSink, open_storage, shown, version
from ..parallel import in_chunks

_DESC = "Exporting"


@dataclass
class Input:
    """An archive and how it is read: ``options`` are those of the import.

    ``split_of`` gives the subset of an item anew. ``opened`` is the archive, in this process.
    """

    path: str
    options: Mapping[str, Any]
    opened: SegmaskBase | None
    split_of: Callable[[str], str] | None = None
    run: str = field(default_factory=secrets.token_hex)

    def base(self) -> SegmaskBase:
        """Return the archive, which each process opens once."""
        options = tuple(sorted(self.options.items()))
        return self.opened or _open(self.path, options, self.run)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "opened": None}


@lru_cache(maxsize=1)
def _open(path: str, options: tuple[tuple[str, Any], ...], run: str) -> SegmaskBase:
    """Open an archive; ``run`` tells the conversion from the next, which may find another there."""
    storage = open_storage(path)
    archive = Archive(storage, read_label_map(storage), {})
    return SegmaskBase(archive, **{**dict(options), "num_workers": 0})


class Part(NamedTuple):
    """What came of an item: it is ``done``, or the import has an ``error``.

    ``labels`` are those of its objects, None for one that has none.
    """

    done: Done | None
    labels: Sequence[int | None] = ()
    remark: Remark | None = None
    error: BaseException | None = None


def labels_of(item: DatasetItem) -> list[int | None]:
    """Return the labels of the objects of an item, each object once."""
    pairs = {
        (annotation.group or ("alone", i), annotation.label)
        for i, annotation in enumerate(item.annotations)
        if not is_unknown(annotation)
    }
    return [label for _, label in pairs]


def do_part(source: Input, work: Work, aside: str, _: int, entries: Sequence[Entry]) -> list[Part]:
    """Read some items, and do the work for them; pictures go to files in the folder ``aside``."""
    parts: list[Part] = []
    remarks: list[Remark] = []
    policy = _Noted(parts.append)
    base = source.base().part(entries, ImportContext(error_policy=policy), remarks.append)
    for item in base:
        if source.split_of is not None:
            item = item.wrap(subset=source.split_of(item.id))
        parts.append(Part(_do(work, item, aside), labels_of(item), remarks.pop()))
    ended = iter(work.end([part.done for part in parts if part.done is not None]))
    return [part if part.done is None else part._replace(done=next(ended)) for part in parts]


def do_loaded(
    items: Sequence[DatasetItem], work: Work, aside: str, _: int, numbers: Sequence[int]
) -> list[Done]:
    """Do the work for some of the items that lie in memory; pictures as in `do_part`."""
    return work.end([_do(work, items[number], aside) for number in numbers])


def _do(work: Work, item: DatasetItem, aside: str) -> Done:
    done = work(item)
    if isinstance(done.image, bytes):
        path = os.path.join(aside, secrets.token_hex())
        done = replace(done, image=Aside.of(path, done.image))
    return done


class _Noted(ImportErrorPolicy):
    """Notes the errors of items as parts, among what came of the others."""

    def __init__(self, note: Callable[[Part], None]) -> None:
        super().__init__()
        self._note = note

    def _handle_item_error(self, error: Exception) -> None:
        self._note(Part(None, error=error.__cause__ or error))


class Counts:
    """What is written of each subset: ``images``, and objects by their ``labels``."""

    def __init__(self) -> None:
        self.images: Counter[str] = Counter()
        self.labels: defaultdict[str, Counter[int | None]] = defaultdict(Counter)

    def add(self, subset: str, labels: Iterable[int | None]) -> None:
        """Count an item, and its objects."""
        self.images[subset] += 1
        self.labels[subset].update(labels)

    def clear(self) -> None:
        """Begin again."""
        self.images.clear()
        self.labels.clear()


@dataclass
class Parts:
    """Has the items of an archive done in parts."""

    source: Input
    jobs: int
    executor: Executor | None
    counts: Counts
    broken: CollectedErrors | None
    """Takes what cannot be read; None to end there."""

    def __call__(self, work: Work, sink: FolderSink | ZipSink) -> Generator[Done]:
        """Yield what came of each item, in their order; raises as `WholeExporter` does."""
        task = partial(do_part, self.source, work, sink.aside())
        self.counts.clear()
        before = version(self.source.path)
        base = self.source.base()
        remarks = Remarks(base.place)
        subsets = base.listing.subsets
        entries = ((i, subset) for subset, ids in subsets.items() for i in ids)
        total = sum(map(len, subsets.values()))
        for part in in_chunks(task, entries, _DESC, self.jobs, self.executor, None, total):
            if part.error is not None:
                if self.broken is None:
                    raise part.error
                self.broken.errors.append(part.error)
                continue
            assert part.done is not None
            if part.remark is not None:
                remarks.add(part.remark)
            self.counts.add(part.done.entry[1], part.labels)
            yield part.done
        if version(self.source.path) != before:
            raise SegmaskExportError(
                "the archive was changed while it was read, so old and new masks may be mixed",
                shown(self.source.path),
                "an archive that stays as it is",
                "repeat the command",
            )


@dataclass
class LoadedParts:
    """Has the items of a dataset that lies in memory done in parts, by copies of this process."""

    dataset: Dataset
    jobs: int

    def __call__(self, work: Work, sink: FolderSink | ZipSink) -> Generator[Done]:
        """Yield what came of each item, in their order."""
        items = [*self.dataset]
        task = partial(do_loaded, items, work, sink.aside())
        numbers = range(len(items))
        yield from in_chunks(task, numbers, _DESC, self.jobs, size=None, by_copies=True)
