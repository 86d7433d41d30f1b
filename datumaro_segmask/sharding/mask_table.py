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

from ..archive import Item, Label, LabelMap, with_own_colors
from ..arrays import Size
from ..errors import ArchiveError
from ..formats import (
    SEGMENTATIONS,
    ArchiveWriter,
    Classes,
    CocoWriter,
    check_choice,
    log_left_out,
    make_images_folder,
    two_of_one_id,
)
from ..regions import Instance
from ..storage import (
    Entry,
    FolderSink,
    Hashes,
    Sink,
    ZipSink,
    files_at,
    is_url,
    shown,
    unreadable,
)
from .table import KEY, NAMES, ROWS_AT_ONCE, Row

log = logging.getLogger(__name__)

_SUFFIX = ".parquet"
_AT_ONCE = 1 << 22  # bytes that are fetched of a file in a store

T = TypeVar("T")
S = TypeVar("S", bound=Sink)


class MaskTable:
    """A table of masks that is read back: as items, as an archive, and as COCO.

    ``source`` is a ``pyarrow.Table``, a Parquet file, or a folder or URL of such files, which are
    read one after the other. Raises ArchiveError for what is no such table.
    """

    def __init__(self, source: str | pa.Table) -> None:
        self._source = source
        self.place = shown(source) if isinstance(source, str) else "the table"
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

    def write_coco(self, out: str, *, segmentation: str = SEGMENTATIONS[0]) -> int:
        """Write a COCO file for each subset, as ``coco_segments`` does; return how many images.

        Those of an earlier one go, files of others stay. ``segmentation`` is one of ``polygons``
        and ``rle``. Pictures are not in the table. Raises SegmaskExportError.
        """
        check_choice("segmentation", segmentation, SEGMENTATIONS)  # before a folder is made
        classes, seen = Classes.of_label_map(self.label_map), Hashes()
        with (
            sinking(FolderSink(out)) as sink,
            CocoWriter(sink, classes, segmentation=segmentation) as writer,
        ):
            for entry, item in self:
                if (listed := hash(entry)) in seen:
                    raise two_of_one_id(entry)
                seen.add(listed)
                writer.add(entry, item)
            writer.finish()
        make_images_folder(out)
        log_left_out(writer.left_out)
        return writer.images

    def write_archive(self, out: str) -> int:
        """Write an archive, a zip if ``out`` ends in ``.zip``; return how many items it has.

        Labels that share a colour get one of their own. Over an earlier archive in a folder its
        lists go, and so do the masks of items of the same ids. Pictures are not in the table.
        Raises SegmaskExportError.
        """
        label_map = with_own_colors(self.label_map.labels, self.label_map.where)
        target: Sink = ZipSink(out) if out.lower().endswith(".zip") else FolderSink(out)
        with sinking(target) as sink, ArchiveWriter(sink, label_map) as writer:
            for entry, item in self:
                writer.add(entry, item)
            writer.finish()
        writer.log_losses()
        return writer.items


@contextmanager
def sinking(sink: S) -> Iterator[S]:
    """Let all that is put into a sink take its place at the end, or nothing after an error."""
    try:
        yield sink
        sink.finish()
    except BaseException:
        sink.abandon()
        raise


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
