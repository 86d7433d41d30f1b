"""The masks of an archive as a table: a row an instance, and one for an item without any.

Schema: docs/format.md, section 8. The label map lies in the metadata of the schema. pyarrow comes
with Datumaro.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import IO, Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from ..archive import Item, LabelMap
from ..errors import SegmaskImportError
from ..storage import Entry

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
