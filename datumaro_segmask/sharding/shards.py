"""The kinds of shards: Parquet files, archives in zips, and COCO files (docs/training.md)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import IO, Any

from ..archive import Item, Reader
from ..errors import SegmaskImportError, StoreError
from ..formats import ArchiveWriter, Classes, CocoWriter, usual_places
from ..options import POLYGONS
from ..storage import OpenZip, layout, whole
from .manifest import ShardSink
from .parts import Part
from .run import Found, Job
from .table import Row, rows_of, write_parquet


@dataclass(frozen=True)
class ParquetShards:
    """A table of masks, a file a part: ``part-000000.parquet``."""

    name: str = "parquet"

    def options(self) -> dict[str, Any]:
        return {}

    def file(self, number: int) -> str:
        return f"part-{number:06}.parquet"

    def write(self, part: Part, reader: Reader, job: Job, target: ShardSink, found: Found) -> None:
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
                # Without a label map the labels of VOC are used again.
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
    return files if item.stands_alone else {**files, **writer.encoder.class_mask(item)}


_IDS = 10**9  # annotations of a part, at most; a million parts stay exact as floats, too


@dataclass(frozen=True)
class CocoShards:
    """COCO files for training, one for each subset of a part: ``instances_train-000000.json``.

    Images and annotations of all shards have ids of their own. Items that cannot be read are left
    out.
    """

    segmentation: str = POLYGONS
    name: str = "coco"

    def options(self) -> dict[str, Any]:
        return {"segmentation": self.segmentation}

    def write(self, part: Part, reader: Reader, job: Job, target: ShardSink, found: Found) -> None:
        writer = CocoWriter(
            _Shards(target, found),
            Classes.of_label_map(job.label_map),
            segmentation=self.segmentation,
            file_of=lambda subset: f"instances_{subset}-{part.number:06}.json",
            first_id=part.number * _IDS + 1,
        )
        for image_id, (entry, read) in enumerate(reader.entries(part.entries), part.first + 1):
            item = found.add(entry, read)
            if isinstance(item, Item):
                writer.add(entry, item, image_id=image_id)
        writer.finish(empty=None)
        found.rows = writer.annotations
        found.left_out = writer.left_out


class _Shards:
    """A sink whose files are shards, each of which is whole when it is there."""

    def __init__(self, target: ShardSink, found: Found) -> None:
        self._target = target
        self._found = found

    @property
    def there(self) -> None:
        """Nothing: it is new."""

    def put(self, name: str, data: bytes) -> None:
        self._found.wrote(name, self._target.put(name, lambda file: file.write(data)))

    def put_lines(self, name: str, lines: Iterable[str]) -> None:
        self._found.wrote(name, self._target.put(name, partial(_write, lines)))

    def discard(self, name: str) -> None:
        """Do nothing: the target knows what is left of earlier runs."""

    def finish(self) -> None:
        """Do nothing."""

    def abandon(self) -> None:
        """Do nothing."""


def _write(lines: Iterable[str], file: IO[bytes]) -> None:
    file.writelines(f"{line}\n".encode() for line in lines)
