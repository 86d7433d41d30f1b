"""A table of masks that is read back."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from typing import IO, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from ..archive import COLOR, Item, Label, LabelMap, MaskEncoder, label_map_lines
from ..arrays import Size
from ..errors import ArchiveError, SegmaskExportError
from ..regions import Instance, Rle, Shape, paint
from ..rules import CvatLosses
from ..storage import (
    Entry,
    FolderSink,
    Hashes,
    Sink,
    SubsetLists,
    ZipSink,
    absolute,
    files_at,
    is_url,
    layout,
    shown,
    unreadable,
)
from ..training import ANNOTATIONS, IMAGES, SEGMENTATIONS, own_texts
from .coco import CocoFiles, file_name
from .table import KEY, NAMES, ROWS_AT_ONCE, Row

log = logging.getLogger(__name__)

_SUFFIX = ".parquet"
_AT_ONCE = 1 << 22  # bytes that are fetched of a file in a store

T = TypeVar("T")


class MaskTable:
    """A table of masks that is read back: as items, as an archive, and as COCO.

    ``source`` is a ``pyarrow.Table``, a Parquet file, or a folder or URL of such files, which are
    read one after the other. Raises ArchiveError for what is no such table.
    """

    def __init__(self, source: str | os.PathLike[str] | pa.Table) -> None:
        self._source = source if isinstance(source, pa.Table) else absolute(source)
        self.place = "the table" if isinstance(source, pa.Table) else shown(self._source)
        first = next(self._each(_schema), None)
        if first is None:
            raise ArchiveError(
                "no Parquet file is here", self.place, "a table of masks", "check the path"
            )
        self.label_map = _label_map_of(first, self.place)

    def _each(self, read: Callable[[pa.Table | pq.ParquetFile], Iterator[T]]) -> Iterator[T]:
        """Yield what ``read`` makes of each file. Raises ArchiveError for one that is not sound."""
        if isinstance(self._source, pa.Table):
            with _sound(self.place):
                yield from read(self._source)
            return
        for place, opened in _parquet_files(self._source):
            with _sound(place), opened() as stream, pq.ParquetFile(stream) as file:
                yield from read(file)

    def __iter__(self) -> Iterator[tuple[Entry, Item]]:
        """Yield each item behind its id and subset; those with an error are left out and counted.

        How many were left out is logged once, at the end.
        """
        errors = 0
        for rows in self._each(_groups):  # they stand together, in one file or one chunk
            if rows[0][-1] is not None:
                errors += 1
                continue
            item_id, subset, image, height, width = rows[0][:5]
            instances = [
                Instance(label, number, counts, area, tuple(bbox))
                for *_, label, number, area, bbox, counts, _ in rows
                if counts is not None
            ]
            size = None if height is None else Size(height, width)
            has_labels = all(instance.label is not None for instance in instances)
            yield (item_id, subset), Item(item_id, size, image, instances, has_labels)
        if errors:
            log.warning(
                "%s: %d items are left out, as they could not be read when the table was made; the "
                "column 'error' says why.",
                self.place,
                errors,
            )

    def counts(self) -> dict[str, tuple[int, int]]:
        """Return instances and pixels by the name of the label, read from two columns alone."""
        found = {label.name: [0, 0] for label in self.label_map.labels}
        names = [label.name for label in self.label_map.labels]
        for label, count, area in self._each(_sums):
            found[names[label]][0] += count
            found[names[label]][1] += area
        return {name: (instances, pixels) for name, (instances, pixels) in found.items()}

    def write_coco(
        self, out: str | os.PathLike[str], *, segmentation: str = SEGMENTATIONS[0]
    ) -> int:
        """Write a COCO file for each subset, as ``coco_segments`` does; return how many images.

        Those of an earlier one go, files of others stay. ``segmentation`` is one of ``polygons``
        and ``rle``. Pictures are not in the table. Raises SegmaskExportError.
        """
        out, seen, count = os.fspath(out), Hashes(), 0
        with CocoFiles(self.label_map, segmentation) as files:
            sink = FolderSink(out)
            try:
                for entry, item in self:
                    if (listed := hash(entry)) in seen:
                        raise _two_of_one_id(*entry)
                    seen.add(listed)
                    count += item.size is not None
                    files.add(entry, item, count)
                for name in own_texts(out):
                    sink.discard(name)
                if not count:
                    files.keep(layout.DEFAULT_SUBSET)  # what makes it a dataset
                for subset, lines in files.texts():
                    sink.put_lines(f"{ANNOTATIONS}/{file_name(subset)}", lines)
                sink.finish()
            except BaseException:
                sink.abandon()
                raise
        os.makedirs(os.path.join(out, IMAGES), exist_ok=True)  # Datumaro's importer insists on it
        for what, number in files.left_out.items():
            log.warning("Left out of %s: %d %s.", shown(out), number, what)
        return count

    def write_archive(self, out: str | os.PathLike[str]) -> int:
        """Write an archive, a zip if ``out`` ends in ``.zip``; return how many items it has.

        Pictures are not in the table. Raises SegmaskExportError.
        """
        out, encoder = os.fspath(out), MaskEncoder(self.label_map, COLOR, None)
        as_zip, losses = out.lower().endswith(".zip"), CvatLosses(self.label_map)
        sink: Sink = ZipSink(out) if as_zip else FolderSink(out)
        count, seen = 0, Hashes()
        try:
            with SubsetLists() as lists:
                for (item_id, subset), item in self:
                    masks = _masks(item, encoder)
                    if _is_new(item_id, subset, masks, seen):
                        for name, data in masks.items():
                            sink.put(name, data)
                    lists.add(subset, layout.list_line(item_id, bool(masks)))
                    losses.add_item(item_id, subset, item)
                    count += 1
                for name, lines in lists.texts().items():
                    sink.put_lines(name, lines)
            sink.put_lines(layout.LABEL_MAP, label_map_lines(self.label_map))
            sink.finish()
        except BaseException:
            sink.abandon()
            raise
        if as_zip:  # which is likely to be uploaded
            losses.log()
        return count


def _label_map_of(found: pa.Schema, place: str) -> LabelMap:
    """Return the label map that a schema holds. Raises ArchiveError where it is no such table."""
    try:
        labels = json.loads((found.metadata or {})[KEY])["labels"]
        made = [
            Label(e["name"], tuple(e["color"]), i, tuple(e["parts"]), tuple(e["actions"]))
            for i, e in enumerate(labels)
        ]
    except (KeyError, ValueError, TypeError) as error:
        raise ArchiveError(
            "the table does not say which labels it has",
            place,
            "a table that this package has written",
            "write it anew with write_table, and keep the metadata of its schema",
        ) from error
    return LabelMap(tuple(made), place)


@contextmanager
def _sound(place: str) -> Iterator[None]:
    expected, remedy = "a table of masks", "write it anew with write_table"
    try:
        yield
    except KeyError as error:
        what = f"a column of such a table is missing ({error.args[0]})"
        raise ArchiveError(what, place, expected, remedy) from None
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise unreadable(error.strerror or str(error), place) from error
        what = f"the file is no sound Parquet file ({type(error).__name__})"
        raise ArchiveError(what, place, expected, remedy) from None


def _schema(file: pa.Table | pq.ParquetFile) -> Iterator[pa.Schema]:
    yield file.schema if isinstance(file, pa.Table) else file.schema_arrow


def _sums(file: pa.Table | pq.ParquetFile) -> Iterator[tuple[int, int, int]]:
    """Yield each label with the number and the area of its instances."""
    wanted = ["label", "area"]
    table = file if isinstance(file, pa.Table) else file.read(columns=wanted)
    sums = table.select(wanted).group_by("label").aggregate([("area", "count"), ("area", "sum")])
    for row in sums.to_pylist():
        if row["label"] is not None:
            yield row["label"], row["area_count"], row["area_sum"]


def _groups(file: pa.Table | pq.ParquetFile) -> Iterator[list[Row]]:
    """Yield the rows of each item."""
    for rows in _neighbours(file):
        for _, group in groupby(rows, key=lambda row: row[:2]):
            yield list(group)


def _neighbours(file: pa.Table | pq.ParquetFile) -> Iterator[Iterator[Row]]:
    """Yield the rows of each archive, at least: those of two may have items of one id."""
    if isinstance(file, pa.Table):
        for batch in file.select(NAMES).to_batches():
            yield _rows([batch])
    else:
        yield _rows(file.iter_batches(ROWS_AT_ONCE, columns=NAMES))


def _rows(batches: Iterable[pa.RecordBatch]) -> Iterator[Row]:
    for batch in batches:
        yield from zip(*(batch[name].to_pylist() for name in NAMES), strict=True)


def _is_new(item_id: str, subset: str, masks: dict[str, bytes], seen: Hashes) -> bool:
    """Tell whether the files of an item are still to be written: two subsets may share them."""
    itself, listed = hash((item_id,)), hash((item_id, subset))
    content = hash((item_id, tuple(masks.items())))
    known = itself in seen
    if known and (listed in seen or content not in seen):
        raise _two_of_one_id(item_id, subset)
    for value in (itself, listed, content):
        seen.add(value)
    return not known


def _two_of_one_id(item_id: str, subset: str) -> SegmaskExportError:
    return SegmaskExportError(
        "the table has another item of this id, with masks of its own",
        f"item {item_id!r} of subset {subset!r}",
        "an id of its own for every image",
        "write tables of each of the archives that this one was made of, and go on with these",
    )


def _masks(item: Item, encoder: MaskEncoder) -> dict[str, bytes]:
    if not item.instances or item.size is None:
        return {}
    shapes = [Shape(Rle(list(item.size), i.counts), i.label or 0, i.number) for i in item.instances]
    planes = paint(shapes, *item.size, encoder.background)
    masks = {}
    if item.has_labels:
        masks[layout.class_mask(item.item_id)] = encoder.labels(planes.labels)
    if planes.numbers.values.any():
        masks[layout.instance_mask(item.item_id)] = encoder.numbers(planes.numbers, item.item_id)
    return masks


def _parquet_files(source: str) -> Iterator[tuple[str, Callable[[], IO[bytes]]]]:
    """Yield the place of each file of a table, in the order of names, and a call that opens it."""
    if is_url(source):
        for file in files_at(source, _SUFFIX):
            yield file.place, partial(file.stream, _AT_ONCE)
        return
    paths = [source]
    if os.path.isdir(source):
        names = sorted(os.listdir(source))
        names = [n for n in names if n.endswith(_SUFFIX) and not n.startswith((".", "_"))]
        paths = [os.path.join(source, name) for name in names]
    for path in paths:
        yield path, partial(_open, path)


def _open(path: str) -> IO[bytes]:
    return open(path, "rb")
