"""The masks of an archive as a table: a row an instance, and one for an item without any.

It is written as Parquet, and read back as items. Schema: docs/format.md, section 8. The label map
lies in the metadata of the schema. pyarrow comes with Datumaro.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from typing import IO, Any, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..archive import Item, Label, LabelMap, with_own_colors
from ..arrays import Size
from ..colors import COLORS
from ..errors import (
    EXPORT,
    ArchiveError,
    SegmaskExportError,
    SegmaskImportError,
    UnpaintableError,
    check_options,
    counted,
)
from ..formats import (
    ArchiveWriter,
    Classes,
    CocoWriter,
    format_label_map,
    log_left_out,
    make_images_folder,
    two_of_one_id,
)
from ..formats.coco import record_of
from ..options import POLYGONS, CocoExportOptions
from ..png import MAX_PIXELS
from ..regions import Instance, Rle, column_runs
from ..storage import (
    Entry,
    FolderSink,
    Hashes,
    Sink,
    ZipSink,
    absolute,
    files_at,
    is_url,
    layout,
    open_plain,
    shown,
    unreadable,
    whole,
)

KEY = b"segmask"
"""The entry of the schema's metadata with the label map, as JSON."""

FIELDS = [
    pa.field("item_id", pa.string(), nullable=False),
    pa.field("subset", pa.string(), nullable=False),
    pa.field("image", pa.string()),
    pa.field("height", pa.int32()),
    pa.field("width", pa.int32()),
    pa.field("label", pa.int32()),
    pa.field("instance", pa.int32()),
    pa.field("area", pa.int64()),
    pa.field("bbox", pa.list_(pa.int32())),  # lists of a fixed size cannot be null in Parquet
    pa.field("counts", pa.binary()),
    pa.field("error", pa.string()),
]
NAMES = [field.name for field in FIELDS]
SHOWN = pa.field("label_name", pa.string())
"""The column that readers are shown beside ``label``. Nothing is read of it, so a table of an
earlier version, which lacks it, is a table."""
ROWS_AT_ONCE = 1 << 14
_REPEATED = ["item_id", "subset", "image", "label", "label_name"]

Row: TypeAlias = tuple[Any, ...]


def schema(label_map: LabelMap) -> pa.Schema:
    """Return the schema of a table whose labels are positions in a label map."""
    labels = [
        {
            "name": label.name,
            "color": list(label.color),
            "parts": list(label.parts),
            "actions": list(label.actions),
        }
        for label in label_map.labels
    ]
    text = json.dumps({"version": 1, "labels": labels}, ensure_ascii=False, sort_keys=True)
    found = pa.schema(FIELDS, metadata={KEY: text.encode(errors="replace")})
    return found.insert(NAMES.index("label") + 1, SHOWN)


def rows_of(entry: Entry, item: Item | SegmaskImportError) -> Iterator[Row]:
    """Yield the rows of an item, or the one that says why it cannot be read."""
    item_id, subset = entry
    if isinstance(item, SegmaskImportError):
        yield item_id, subset, *[None] * 8, str(item)
        return
    height, width = item.size or (None, None)
    head = item_id, subset, item.image, height, width
    if not item.instances:
        yield *head, *[None] * 6
    for i in item.instances:
        yield *head, i.label, i.number, i.area, i.bbox, i.counts, None


def make_table(rows: Iterable[Row], label_map: LabelMap) -> pa.Table:
    """Return rows as a table."""
    columns = zip(*rows, strict=True)
    arrays = {f.name: pa.array(column, f.type) for column, f in zip(columns, FIELDS, strict=False)}
    found = schema(label_map)
    if not arrays:
        return found.empty_table()
    names = [label.name.encode(errors="replace").decode() for label in label_map.labels]
    arrays[SHOWN.name] = pa.array(names, pa.string()).take(arrays["label"])
    return pa.table(arrays, schema=found)


def write_parquet(rows: Iterable[Row], label_map: LabelMap, file: IO[bytes]) -> int:
    """Write rows as a Parquet file; return how many there were."""
    count = 0
    options = {"compression": "zstd", "use_dictionary": _REPEATED}
    with pq.ParquetWriter(file, schema(label_map), write_statistics=True, **options) as writer:
        batch: list[Row] = []
        for row in rows:
            batch.append(row)
            count += 1
            if len(batch) == ROWS_AT_ONCE:
                writer.write_table(make_table(batch, label_map))
                batch = []
        if batch:
            writer.write_table(make_table(batch, label_map))
    return count


log = logging.getLogger(__name__)

_SUFFIX = ".parquet"
_AT_ONCE = 1 << 22  # bytes that are fetched of a file in a store

T = TypeVar("T")


class MaskTable:
    """A table of masks that is read back: as items, as an archive, and as COCO.

    ``source``: a ``pyarrow.Table``, a Parquet file, or a folder or URL of such files, which are
    read one after the other. Raises ArchiveError for anything else.
    """

    def __init__(self, source: str | os.PathLike[str] | pa.Table) -> None:
        self._source = source if isinstance(source, pa.Table) else absolute(source)
        self.place = "the table" if isinstance(source, pa.Table) else shown(self._source)
        first = next(self._each(_schema), None)
        if first is None:
            raise ArchiveError(
                "there is no Parquet file here", self.place, "a table of masks", "check the path"
            )
        self.label_map = _label_map_of(first, self.place)

    def __repr__(self) -> str:
        names = [label.name for label in self.label_map.labels]
        some = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
        return f"<MaskTable of {self.place}: {counted(len(names), 'label')} ({some})>"

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
        """Yield id, subset and item; those with an error are left out and counted.

        How many were left out is logged once, at the end.
        """
        errors = 0
        for rows in self._each(_groups):  # they stand together, in one file or one chunk
            if rows[0][-1] is not None:
                errors += 1
                continue
            yield rows[0][:2], _item_of(rows, len(self.label_map.labels), self.place)
        if errors:
            log.warning(
                "%s: %s left out, unreadable when the table was made; the column 'error' says why.",
                self.place,
                counted(errors, "item"),
            )

    def counts(self) -> dict[str, tuple[int, int]]:
        """Return instances and pixels by the name of the label; only two columns are read."""
        found = {label.name: [0, 0] for label in self.label_map.labels}
        names = [label.name for label in self.label_map.labels]
        for label, count, area in self._each(_sums):
            if not 0 <= label < len(names):
                raise _lie(f"an instance has the label {label}", self.place, _of_labels(len(names)))
            found[names[label]][0] += count
            found[names[label]][1] += area
        return {name: (instances, pixels) for name, (instances, pixels) in found.items()}

    def write_coco(self, out: str | os.PathLike[str], *, segmentation: str = POLYGONS) -> int:
        """Write a COCO file for each subset, as ``coco_segments`` does; return how many images.

        Files of an earlier one are removed, other files stay. ``segmentation``: ``polygons`` or
        ``rle``. Images are not in the table. Raises SegmaskExportError.
        """
        # Before a folder is made.
        check_options(CocoExportOptions, {"segmentation": segmentation}, EXPORT)
        out, classes, seen = os.fspath(out), Classes.of_label_map(self.label_map), Hashes()
        with whole(FolderSink(out, record=record_of(out))) as sink:
            writer = CocoWriter(sink, classes, segmentation=segmentation)
            for entry, item in self:
                if (listed := hash(entry)) in seen:
                    raise two_of_one_id(entry, "its")
                seen.add(listed)
                writer.add(entry, item)
            writer.finish()
        make_images_folder(out)
        log_left_out(writer.left_out)
        return writer.images

    def write_archive(self, out: str | os.PathLike[str]) -> int:
        """Write an archive, a zip if ``out`` ends in ``.zip``; return how many items it has.

        Labels that share a colour get different ones. In the folder of an earlier archive, its
        lists and the masks of items of the same ids are removed. Images are not in the table.
        Raises SegmaskExportError.
        """
        out = os.fspath(out)
        label_map = with_own_colors(self.label_map.labels, self.label_map.where)
        as_zip = out.lower().endswith(".zip")
        target: Sink = ZipSink(out) if as_zip else FolderSink(out)
        writer = ArchiveWriter(label_map)
        with whole(target) as sink:
            writer.into(sink)
            for entry, item in self:
                writer.add(entry, item)
            writer.finish()
        writer.log_losses(for_cvat=as_zip)  # a zip is likely to be uploaded
        return writer.items


def _item_of(rows: list[Row], labels: int, place: str) -> Item:
    """Return the item of some rows. Raises ArchiveError for what no archive could have."""
    head = item_id, subset, image, height, width = rows[0][:5]
    where = f"{place}: item {item_id!r} of subset {subset!r}"
    names = [(item_id, layout.problem_of_listed(item_id, True) if item_id else "it is empty")]
    names.append((subset, layout.problem_of_new_subset(subset) if subset else "it is empty"))
    if image is not None:
        names.append((image, layout.problem_of_new_name(image)))
    for name, problem in names:
        if problem is not None:
            raise _lie(f"the name {name!r} cannot be used: {problem}", where, "names of files")
    if "/" in subset:
        raise _lie(f"the subset {subset!r} leads into a folder", where, "a name without '/'")
    if any(row[:5] != head for row in rows):
        raise _lie("its rows differ in image, height or width", where, "one image per item")
    size = None
    if height is not None or width is not None:
        size = Size(height or 0, width or 0)
        if min(size) <= 0 or size.pixels > MAX_PIXELS:
            raise _lie(f"its size is {size}", where, f"1 to {MAX_PIXELS:,} pixels")
    columns = [row[5:10] for row in rows if any(value is not None for value in row[5:10])]
    for label, number, area, bbox, counts in columns:
        if number is None or area is None or bbox is None or counts is None:
            raise _lie("an instance lacks a value", where, "number, area, box and RLE of each")
        if label is not None and not 0 <= label < labels:
            raise _lie(f"an instance has the label {label}", where, _of_labels(labels))
        if not 0 <= number < COLORS:
            raise _lie(f"an instance has the number {number}", where, f"0 to {COLORS - 1:,}")
    instances = [
        Instance(label, number, counts, area, tuple(bbox), is_unknown=label is None and not number)
        for label, number, area, bbox, counts in columns
    ]
    have_labels = {one.label is not None for one in instances if not one.is_unknown}
    if len(have_labels) > 1:
        raise _lie("some of its instances have a label, others have none", where, "all or none")
    if instances:
        _check_pixels(instances, size, where)
    return Item(item_id, size, image, instances, False not in have_labels)


def _check_pixels(instances: list[Instance], size: Size | None, where: str) -> None:
    """Raise ArchiveError where RLEs are not what their rows say, or cover one another."""
    if size is None:
        raise _lie("it has instances and no size", where, "the height and width of its masks")
    wheres = [f"{where}, instance {i.number}" for i in instances]
    try:
        runs = column_runs([Rle([*size], i.counts) for i in instances], wheres, size)
    except UnpaintableError as error:
        raise _lie(error.what, error.where, error.expected) from error
    shape, lengths = runs.shape - 1, runs.end - runs.begin
    areas = np.zeros(len(instances), np.int64)
    np.add.at(areas, shape, lengths)
    low = np.full((len(instances), 2), size.pixels)
    high = np.zeros((len(instances), 2), np.int64)
    column, row = np.divmod(runs.begin, size.height)
    last_column, last_row = np.divmod(runs.end - 1, size.height)
    wraps = last_column > column
    for at, first, last in (
        (0, column, last_column),
        (1, np.where(wraps, 0, row), np.where(wraps, size.height - 1, last_row)),
    ):
        np.minimum.at(low[:, at], shape, first)
        np.maximum.at(high[:, at], shape, last + 1)
    for i, instance in enumerate(instances):
        box = (*low[i].tolist(), *(high[i] - low[i]).tolist())
        if not areas[i] or instance.area != areas[i]:
            what = f"its area is given as {instance.area:,}, but is {areas[i]:,}"
            raise _lie(what, wheres[i], "the pixels of its RLE")
        if instance.bbox != box:
            what = f"its box is given as {instance.bbox}, and is {box}"
            raise _lie(what, wheres[i], "the smallest box around its RLE")
    order = np.argsort(runs.begin, kind="stable")
    if (runs.end[order][:-1] > runs.begin[order][1:]).any():
        raise _lie("its instances overlap", where, "one instance per pixel")


def _lie(what: str, where: str, expected: str) -> ArchiveError:
    return ArchiveError(what, where, expected, "write the table again with write_table")


def _of_labels(count: int) -> str:
    return f"one of the {counted(count, 'label')} of the table, counted from 0"


def _label_map_of(found: pa.Schema, place: str) -> LabelMap:
    """Return the label map that a schema holds. Raises ArchiveError where it is no such table."""
    try:
        labels = json.loads((found.metadata or {})[KEY])["labels"]
        made = [
            Label(e["name"], tuple(e["color"]), i, tuple(e["parts"]), tuple(e["actions"]))
            for i, e in enumerate(labels)
        ]
        label_map = LabelMap(tuple(made), place)
        format_label_map(label_map)  # which parses it again
        if len({label.name for label in made}) < len(made):
            raise ValueError("two labels of one name")
    except (KeyError, ValueError, TypeError, AttributeError, SegmaskExportError) as error:
        raise ArchiveError(
            "the table does not say which labels it has",
            place,
            "a table that this package has written",
            "write it again with write_table, and keep the metadata of its schema",
        ) from error
    _check_columns(found, place)
    return label_map


def _check_columns(found: pa.Schema, place: str) -> None:
    """Raise ArchiveError for a column that is missing, or that holds something else."""
    for field in FIELDS:
        at = found.get_field_index(field.name)
        kind = "missing" if at < 0 else str(found.field(at).type)
        # The large kinds are what other programs make of the same column.
        if kind.replace("large_", "").replace("element:", "item:") != str(field.type):
            what = f"the column {field.name!r} is {kind}"
            raise _lie(what, place, f"a table of masks, where it is {field.type}")


@contextmanager
def _sound(place: str) -> Iterator[None]:
    expected, remedy = "a table of masks", "write it again with write_table"
    try:
        yield
    except KeyError as error:
        what = f"a column of such a table is missing ({error.args[0]})"
        raise ArchiveError(what, place, expected, remedy) from None
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise unreadable(error.strerror or str(error), place) from error
        what = f"the file is damaged, or not Parquet ({type(error).__name__})"
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
        yield path, partial(open_plain, path)
