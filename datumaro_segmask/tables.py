"""Tables of masks, from archives and from Datumaro's datasets.

The table of a dataset is that of the archive to which the dataset would be exported: shapes are
painted, and the topmost one hides the others (docs/format.md, section 5).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa

from .archive import Item, LabelMap, Reader
from .errors import check_options
from .options import PART_ITEMS, SOURCE, Numbers
from .sharding import (
    Found,
    MaskTable,
    ParquetShards,
    Part,
    Row,
    ShardSink,
    make_manifest,
    make_plan,
    make_table,
    rows_of,
    run,
    run_in_processes,
    write_parquet,
)
from .storage import Entry

if TYPE_CHECKING:
    from datumaro.components.dataset_base import IDataset

    TableSource: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | IDataset

read_table = MaskTable
"""Reads a table back: its items, ``counts()``, ``write_archive(out)``, ``write_coco(out)``."""


def to_table(source: TableSource) -> pa.Table:
    """Return the masks of archives or of a dataset as a table.

    ``source``: a path, URL or pattern, several of them, or a dataset. The whole table is in memory;
    `write_table` needs only a part of it at a time. Schema: docs/format.md, section 8. Raises
    SegmaskImportError, or SegmaskExportError for an item of a dataset.
    """
    paths = _paths(source)
    if paths is None:
        label_map, items = _of_dataset(source)
        return make_table(chain.from_iterable(rows_of(*pair) for pair in items), label_map)
    plan = make_plan(paths)
    readers = {path: archive.reader() for path, archive in plan.archives}
    # A chunk a part: where one archive ends and the next begins, ids may come again.
    parts = [
        make_table(_rows_of(part, readers[part.path], plan.label_map), plan.label_map)
        for part in plan.parts()
    ]
    return pa.concat_tables(parts) if parts else make_table([], plan.label_map)


def _rows_of(part: Part, reader: Reader, label_map: LabelMap) -> Iterator[Row]:
    """Yield the rows of a part, with labels of ``label_map``."""
    positions = [label_map.position(label.name) for label in reader.label_map.labels]
    for entry, item in reader.entries(part.entries):
        yield from rows_of(entry, item.relabelled(positions) if isinstance(item, Item) else item)


def write_table(
    source: TableSource,
    out: str | os.PathLike[str],
    *,
    shard_items: int = PART_ITEMS,
    jobs: int = 1,
    executor: Executor | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write the masks of archives or of a dataset as Parquet files; return the manifest.

    ``source``: as for `to_table`. ``out``: a folder or a URL. ``shard_items``: items per file.
    ``jobs`` processes, or ``executor``, read archives; a dataset is read in this process. Raises
    like `to_table`, and OptionError for a number that is out of range.
    """
    check_options(Numbers, {"shard_items": shard_items, "jobs": jobs}, "write_table")
    paths, out = _paths(source), os.fspath(out)
    if paths is not None:
        plan = make_plan(paths, shard_items)
        if executor is not None:
            return run(plan, ParquetShards(), out, executor, overwrite=overwrite)
        return run_in_processes(plan, ParquetShards(), out, jobs, overwrite=overwrite)
    label_map, items = _of_dataset(source)
    target, kind = ShardSink(out), ParquetShards()
    job = {"version": 1, "kind": kind.name, "shard_items": shard_items, "dataset": True}
    if target.begin(job, overwrite) is not None:  # of what dataset, nobody knows
        raise target.holds_other_shards()
    parts: list[dict[str, Any]] = []
    positions = [*range(len(label_map.labels))]
    while batch := list(islice(items, shard_items)):
        found, name = Found(label_map, positions), kind.file(len(parts))
        for pair in batch:
            found.add(*pair)
        rows = list(chain.from_iterable(rows_of(*pair) for pair in batch))
        found.rows = len(rows)
        found.wrote(name, target.put(name, partial(write_parquet, rows, label_map)))
        parts.append(found.result())
    manifest = make_manifest(job, parts)
    target.finish(manifest)
    return manifest


def _paths(source: TableSource) -> list[str] | None:
    """Return the paths that a source is, None for a dataset."""
    if isinstance(source, (str, os.PathLike)):
        return [os.fspath(source)]
    if isinstance(source, Sequence) and all(isinstance(p, (str, os.PathLike)) for p in source):
        return [os.fspath(path) for path in source]
    return None


def _of_dataset(dataset: IDataset) -> tuple[LabelMap, Iterator[tuple[Entry, Item]]]:
    """Return the labels of a dataset, and its items as an archive would have them."""
    from .plugin.items import painted_item
    from .plugin.labels import make_export_labels

    labels, left_out = make_export_labels(dataset.categories(), SOURCE), Counter[str]()
    items = (((item.id, item.subset), painted_item(item, labels, left_out)) for item in dataset)
    return labels.label_map, items
