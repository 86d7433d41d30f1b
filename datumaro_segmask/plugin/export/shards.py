"""An export in many zips: their names, which items go together, and where they may go."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import chain, islice

from datumaro.components.dataset_base import DatasetItem, IDataset

from ...errors import SegmaskExportError
from ..importer import NAME
from .in_place import source_of


def shard_name(number: int) -> str:
    """Return the name of a zip, counted from 0."""
    return f"{NAME}-{number:06}.zip"


def shards_in(folder: str) -> Iterator[str]:
    """Yield the names of the zips that an earlier export has left in a folder."""
    return filter(re.compile(rf"{NAME}-\d{{6,}}\.zip").fullmatch, os.listdir(folder))


def in_shards(items: Iterator[DatasetItem], size: int) -> Iterator[Iterator[DatasetItem]]:
    """Yield the items of each shard, to be used up before the next; one shard at least."""
    first = next(items, None)
    if first is None:
        yield iter(())
    while first is not None:
        yield chain([first], islice(items, size - 1))
        first = next(items, None)


def check_shards(dataset: IDataset, save_dir: str, size: int) -> None:
    """Raise SegmaskExportError for a size that is none, and over the dataset's own source.

    What is imported from a shard has to be read while the shards are written anew.
    """
    if size < 0:
        raise SegmaskExportError(
            f"the option shard_items is {size}", "the export", "a number of items", "choose one"
        )
    source, root = source_of(dataset), os.path.realpath(save_dir)
    if source is not None and root in (source.path, os.path.dirname(source.path)):
        raise SegmaskExportError(
            "the dataset was imported from there",
            save_dir,
            "another folder, for the shards to lie in",
            "export into another folder",
        )
