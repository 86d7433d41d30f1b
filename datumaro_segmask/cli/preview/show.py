"""A picture of an item in Python, the same as on a sheet of `preview`."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from typing import Any

from datumaro.components.annotation import AnnotationType, LabelCategories
from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import CategoriesInfo, DatasetItem
from datumaro.components.media import Image
from PIL import Image as Pillow

from ...archive import ClassLookup
from ...plugin.export.exporter import SegmaskExporter
from ...png import MAX_PIXELS
from ...rules import open_archive
from .drawing import Settings, draw
from .sheet import draw_card

_SIDE = 960
_ID = "item"


def show(item: DatasetItem, dataset: Any = None) -> Pillow.Image:
    """Return a picture of an item, which a notebook shows: image, class mask, instances, legend.

    ``dataset`` is the dataset of the item, for the names and the colours of its labels; without it
    they are ``label 0``, ``label 1`` …, in the colours of VOC. The masks are those that an export
    would write (docs/format.md, section 5), whatever kinds of annotations the item has. The picture
    is RGB; ``.save(path)`` keeps it.

    Raises SegmaskExportError for an item that cannot be exported.
    """
    categories = dataset.categories() if dataset is not None else _numbered(item)
    has_image = isinstance(item.media, Image) and item.media.has_data
    with tempfile.TemporaryDirectory(prefix="segmask-show-") as folder:
        copy = Dataset.from_iterable([item.wrap(id=_ID)], categories=categories)
        copy.export(folder, SegmaskExporter, save_media=has_image)
        archive = open_archive(folder)
        labels = archive.label_map
        settings = Settings(archive.storage, ClassLookup(labels), _SIDE, MAX_PIXELS)
        drawing = draw(settings, _ID, item.subset)
    return draw_card(replace(drawing, item_id=item.id), labels.labels, labels.background)


def _numbered(item: DatasetItem) -> CategoriesInfo:
    used = [a.label for a in item.annotations if getattr(a, "label", None) is not None]
    names = [f"label {i}" for i in range(max(used, default=-1) + 1)]
    return {AnnotationType.label: LabelCategories.from_iterable(names)}
