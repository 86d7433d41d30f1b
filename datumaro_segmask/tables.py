"""Masks as tables, for whoever calls from Python: of archives, and of Datumaro's datasets.

A dataset's table is that of the archive that the dataset would be exported as (docs/format.md,
section 5): shapes are painted, and the last on top is the one that shows.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa

from .archive import COLOR, ClassLookup, Item, LabelMap, MaskEncoder, read_item
from .arrays import Size
from .errors import UnpaintableError
from .png import MAX_PIXELS
from .sharding import (
    PART_ITEMS,
    Found,
    MaskTable,
    ParquetShards,
    Part,
    Reading,
    Row,
    Target,
    make_manifest,
    make_plan,
    make_table,
    open_source,
    read_part,
    rows_of,
    run,
    run_in_processes,
    write_parquet,
)
from .storage import MAX_FILE_BYTES, Entry, layout

if TYPE_CHECKING:
    from datumaro.components.dataset_base import DatasetItem, IDataset

    Source: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | IDataset

_LABEL = 5  # the column

read_table = MaskTable
"""Reads a table back: its items, ``counts()``, ``write_archive(out)``, ``write_coco(out)``."""


def to_table(source: Source) -> pa.Table:
    """Return the masks of an archive (path, URL, pattern or several), or of a dataset, as a table.

    The whole table is in memory; `write_table` keeps no more than a part of it there. Schema:
    docs/format.md, section 8. Raises SegmaskImportError, or SegmaskExportError for an item of a
    dataset.
    """
    paths = _paths(source)
    if paths is None:
        label_map, items = _of_dataset(source)
        return make_table(chain.from_iterable(rows_of(*pair) for pair in items), label_map)
    plan = make_plan(paths)
    # A chunk a part: where one archive ends and the next begins, ids may come again.
    parts = [make_table(_rows_of(part, plan.label_map), plan.label_map) for part in plan.parts()]
    return pa.concat_tables(parts) if parts else make_table([], plan.label_map)


def _rows_of(part: Part, label_map: LabelMap) -> Iterator[Row]:
    """Yield the rows of a part, with labels of ``label_map``."""
    source = open_source(part.path, Reading())
    positions = [label_map.position(label.name) for label in source.label_map.labels]
    for entry, item in read_part(part, source, Reading()):
        for row in rows_of(entry, item):
            label = None if row[_LABEL] is None else positions[row[_LABEL]]
            yield *row[:_LABEL], label, *row[_LABEL + 1 :]


def write_table(
    source: Source,
    out: str | os.PathLike[str],
    *,
    shard_items: int = PART_ITEMS,
    jobs: int = 1,
    executor: Executor | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write the masks of an archive or a dataset as Parquet files, of so many items each.

    ``out`` is a folder, or a URL. Archives are read in ``jobs`` processes or by ``executor``; the
    parts of a dataset are written here. Returns the manifest. Raises as `to_table`.
    """
    paths, out = _paths(source), os.fspath(out)
    if paths is not None:
        plan = make_plan(paths, shard_items)
        if executor is not None:
            return run(plan, ParquetShards(), out, executor, overwrite=overwrite)
        return run_in_processes(plan, ParquetShards(), out, jobs, overwrite=overwrite)
    label_map, items = _of_dataset(source)
    target, kind = Target(out), ParquetShards()
    job = {"version": 1, "kind": kind.name, "shard_items": shard_items, "dataset": True}
    if target.begin(job, overwrite) is not None:  # of what dataset, nobody knows
        raise target.in_the_way()
    parts: list[dict[str, Any]] = []
    while batch := list(islice(items, shard_items)):
        found, name = Found(label_map, {}), kind.file(len(parts))
        for pair in batch:
            found.add(*pair)
        rows = list(chain.from_iterable(rows_of(*pair) for pair in batch))
        found.rows = len(rows)
        found.wrote(name, target.put(name, partial(write_parquet, rows, label_map)))
        parts.append(found.result())
    manifest = make_manifest(job, parts)
    target.finish(manifest)
    return manifest


def _paths(source: Source) -> list[str] | None:
    """Return the paths that a source is, None for a dataset."""
    if isinstance(source, (str, os.PathLike)):
        return [os.fspath(source)]
    if isinstance(source, Sequence) and all(isinstance(p, (str, os.PathLike)) for p in source):
        return [os.fspath(path) for path in source]
    return None


def _of_dataset(dataset: IDataset) -> tuple[LabelMap, Iterator[tuple[Entry, Item]]]:
    """Return the labels of a dataset, and its items as an archive would have them."""
    from .plugin.export.item_files import ItemFiles
    from .plugin.labels import SOURCE, make_export_labels

    labels = make_export_labels(dataset.categories(), SOURCE)
    encoder = MaskEncoder(labels.label_map, COLOR, None)
    files = ItemFiles(labels, encoder, empty_masks=False, report=_refuse)
    lookup = ClassLookup(labels.label_map)

    def items() -> Iterator[tuple[Entry, Item]]:
        for item in dataset:
            masks = _Masks(files.masks(item))
            read = read_item(masks, lookup, item.id, MAX_PIXELS)
            read = replace(read, image=_image_of(item), size=read.size or _size_of(item))
            yield (item.id, item.subset), read

    return labels.label_map, items()


def _refuse(_: DatasetItem, error: UnpaintableError) -> None:
    raise error


def _image_of(item: DatasetItem) -> str | None:
    media = item.media
    if media is None or not getattr(media, "has_data", False):
        return None
    suffix = layout.split_suffix(os.path.basename(getattr(media, "path", None) or ""))[1]
    return layout.image(item.id, suffix or getattr(media, "ext", None) or ".jpg")


def _size_of(item: DatasetItem) -> Size | None:
    size = getattr(item.media, "size", None)
    return None if size is None else Size(int(size[0]), int(size[1]))


class _Masks:
    """The masks of one item as a storage, see `storage.read.Storage`."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._files = files

    def place(self, name: str = "") -> str:
        return name or "the dataset"

    def exists(self, name: str) -> bool:
        return name in self._files

    def read(self, name: str, limit: int = MAX_FILE_BYTES) -> bytes:
        return self._files[name]

    def open(self, name: str, limit: int | None = None) -> AbstractContextManager[IO[bytes]]:
        return io.BytesIO(self._files[name])

    def files(self, folder: str) -> Iterator[str]:
        return iter(name for name in self._files if name.startswith(f"{folder}/"))

    def folders(self) -> list[str]:
        return []

    def above(self, name: str) -> None:
        return None

    def beside(self) -> Iterator[str]:
        return iter(())

    def path(self, name: str) -> None:
        return None

    def image(self, item_id: str) -> None:
        return None

    def ahead(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        return iter(entries)
