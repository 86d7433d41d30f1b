"""The kinds of shards: Parquet files, and archives in zips."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from ..archive import Item, label_map_lines
from ..errors import SegmaskImportError, StoreError
from ..storage import ZIP_DATE, Storage, SubsetLists, layout
from .manifest import Target
from .parts import Part, Source, read_part
from .run import Found, Job, relabeled


@dataclass(frozen=True)
class ParquetShards:
    """A table of masks, a file a part: ``part-000000.parquet``."""

    name: str = "parquet"

    def options(self) -> dict[str, Any]:
        return {}

    def file(self, number: int) -> str:
        return f"part-{number:06}.parquet"

    def write(self, part: Part, source: Source, job: Job, target: Target, found: Found) -> None:
        from .table import Row, rows_of, write_parquet

        def rows() -> Iterator[Row]:
            for entry, item in relabeled(read_part(part, source, job.reading), found):
                found.add(entry, item)
                yield from rows_of(entry, item)

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

    def write(self, part: Part, source: Source, job: Job, target: Target, found: Found) -> None:
        items = read_part(part, source, job.reading)

        def write(file: IO[bytes]) -> None:
            with zipfile.ZipFile(file, "w") as archive, SubsetLists() as lists:
                seen: set[str] = set()
                for entry, item in relabeled(items, found):
                    files = _files_of(source.storage, item) if isinstance(item, Item) else item
                    if isinstance(files, SegmaskImportError):
                        found.add(entry, files)
                        continue
                    found.add(entry, item)
                    item_id, subset = entry
                    for name in files if item_id not in seen else ():  # two subsets may list it
                        archive.writestr(zipfile.ZipInfo(name, ZIP_DATE), files[name])
                    seen.add(item_id)
                    has_mask = any(not name.startswith(layout.IMAGES) for name in files)
                    lists.add(subset, layout.list_line(item_id, has_mask))
                texts = {name: list(lines) for name, lines in lists.texts().items()}
                texts[layout.LABEL_MAP] = label_map_lines(source.label_map)
                for name, lines in texts.items():
                    info = zipfile.ZipInfo(name, ZIP_DATE)
                    info.compress_type = zipfile.ZIP_DEFLATED
                    archive.writestr(info, "".join(f"{line}\n" for line in lines))
            found.rows = found.items - found.broken

        name = self.file(part.number)
        found.wrote(name, target.put(name, write))


def _files_of(storage: Storage, item: Item) -> dict[str, bytes] | SegmaskImportError:
    """Return the files of an item, or the error where one of them cannot be read."""
    masks = layout.class_mask(item.item_id), layout.instance_mask(item.item_id)
    names = [name for name in masks if storage.exists(name)]
    try:
        return {name: storage.read(name) for name in [*names, *filter(None, [item.image])]}
    except StoreError:
        raise
    except SegmaskImportError as error:
        return error
