"""The kinds of shards: Parquet files, and archives in zips."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from ..archive import Item, Reader
from ..errors import SegmaskImportError, StoreError
from ..formats import ArchiveWriter, usual_places
from ..storage import OpenZip, layout, whole
from .manifest import ShardSink
from .parts import Part
from .run import Found, Job


@dataclass(frozen=True)
class ParquetShards:
    """A table of masks, a file a part: ``part-000000.parquet``."""

    name: str = "parquet"

    def options(self) -> dict[str, Any]:
        return {}

    def file(self, number: int) -> str:
        return f"part-{number:06}.parquet"

    def write(self, part: Part, reader: Reader, job: Job, target: ShardSink, found: Found) -> None:
        from .table import Row, rows_of, write_parquet

        def rows() -> Iterator[Row]:
            for entry, item in reader.entries(part.entries):
                yield from rows_of(entry, found.add(entry, item))

        def write(file: IO[bytes]) -> None:
            found.rows = write_parquet(rows(), job.label_map, file)

        name = self.file(part.number)
        found.wrote(name, target.put(name, write))


@dataclass(frozen=True)
class ZipShards:
    """Archives, a zip a part, each of which CVAT takes: ``shard-000000.zip``.

    Masks and pictures are copied as they are. Items that cannot be read are left out.
    """

    name: str = "segmask"

    def options(self) -> dict[str, Any]:
        return {}

    def file(self, number: int) -> str:
        return f"shard-{number:06}.zip"

    def write(self, part: Part, reader: Reader, job: Job, target: ShardSink, found: Found) -> None:
        def write(file: IO[bytes]) -> None:
            writer = ArchiveWriter(reader.label_map)
            with whole(OpenZip(file)) as sink:
                writer.into(sink)
                for entry, item in reader.entries(part.entries):
                    files = _files_of(reader, item, writer) if isinstance(item, Item) else item
                    if isinstance(files, SegmaskImportError):
                        found.add(entry, files)
                    else:
                        found.add(entry, item)
                        writer.add_files(entry, files)
                # Without a label map the labels of VOC hold again.
                writer.finish(labels=reader.storage.exists(layout.LABEL_MAP))
            found.rows = found.items - found.broken

        name = self.file(part.number)
        found.wrote(name, target.put(name, write))


def _files_of(
    reader: Reader, item: Item, writer: ArchiveWriter
) -> dict[str, bytes] | SegmaskImportError:
    """Return the files of an item by the names that they get, or the error of one of them.

    They are those of the archive, byte for byte. But what a blank class mask means, the masks
    beside it decide, which may go to other shards: so it is drawn anew.
    """
    try:
        files = {name: reader.storage.read(place) for name, place in usual_places(item).items()}
    except StoreError:
        raise
    except SegmaskImportError as error:
        return error
    return files if item.stands_alone else {**files, **writer.class_mask(item)}
