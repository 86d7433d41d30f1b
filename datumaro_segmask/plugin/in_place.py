"""What an export over its own source has to know: is it one, and what is there already?"""

from __future__ import annotations

import os

from datumaro.components.annotation import Mask
from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetItem, IDataset

from ..archive.item import read_item
from ..archive.meaning import ClassLookup
from ..errors import SegmaskImportError
from ..png.container import MAX_PIXELS
from ..regions.scan import Instance
from ..storage.read import Storage
from .annotations import to_instance
from .importer import NAME
from .item_files import image_path


def is_source_of(dataset: IDataset, folder: str) -> bool:
    """Tell whether a dataset was imported from ``folder``, by whatever path that is called."""
    if not isinstance(dataset, Dataset) or dataset.is_stream or dataset.format != NAME:
        return False
    source = dataset.data_path
    return bool(source) and os.path.realpath(source) == os.path.realpath(folder)


def is_as_before(item: DatasetItem, storage: Storage, lookup: ClassLookup) -> bool:
    """Tell whether the masks and the image of an item are those that its archive has for it."""
    if not all(isinstance(a, Mask) and a.z_order == 0 for a in item.annotations):
        return False
    try:
        old = read_item(storage, lookup, item.id, MAX_PIXELS)
    except SegmaskImportError:
        return False
    old_image, image = storage.path(old.image) if old.image else None, image_path(item)
    if (old_image or image) and os.path.realpath(old_image or "") != os.path.realpath(image or ""):
        return False
    new = sorted(_key(to_instance(mask)[0]) for mask in item.annotations)
    return new == sorted(map(_key, old.instances))


def _key(instance: Instance) -> tuple[int, int, bytes]:
    label = -1 if instance.label is None else instance.label
    return instance.number, label, instance.counts
