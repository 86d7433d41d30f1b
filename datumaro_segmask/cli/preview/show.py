"""A picture of an item in Python, the same as on a sheet of `preview`."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from io import BytesIO
from typing import Any

from datumaro.components.annotation import AnnotationType, LabelCategories
from datumaro.components.dataset_base import CategoriesInfo, DatasetItem
from PIL import Image as Pillow

from ...archive import image_head
from ...errors import SegmaskExportError
from ...options import SOURCE
from ...plugin.host import datumaro_errors
from ...plugin.items import painted_item
from ...plugin.labels import make_export_labels
from ...plugin.media import image_data
from ...storage import layout
from .drawing import decode_photo, draw_item
from .sheet import draw_card

_SIDE = 960


@datumaro_errors()
def show(item: DatasetItem, dataset: Any = None) -> Pillow.Image:
    """Return a picture of an item, which a notebook shows: image, class mask, instances, legend.

    ``dataset``: the dataset of the item, which has the names and colours of the labels. Without it
    they are ``label 0``, ``label 1`` …, in VOC's colours. The masks are those that an export would
    write (docs/format.md, section 5), whatever kinds of annotations the item has. The picture is
    RGB; ``.save(path)`` stores it.

    Raises SegmaskExportError for an item that cannot be exported.
    """
    categories = dataset.categories() if dataset is not None else _numbered(item)
    labels = make_export_labels(categories, SOURCE, is_logged=False)
    made, photo = painted_item(item, labels, Counter()), None
    if made.image is not None:
        try:
            data = image_data(item, layout.split_suffix(made.image)[1])
        except SegmaskExportError as error:
            raise SegmaskExportError(
                "its image cannot be drawn", error.where, "an image that can be read", "check it"
            ) from error
        head = image_head(partial(BytesIO, data))
        made = replace(
            made,
            size=made.size or (head and head.shown),
            turn=head and head.turn_to_fit(made.size),
        )
        photo = decode_photo(data, made, _SIDE)
    drawing = draw_item(made, item.subset, photo, _SIDE)
    return draw_card(drawing, labels.label_map.labels, labels.label_map.background)


def _numbered(item: DatasetItem) -> CategoriesInfo:
    used = [a.label for a in item.annotations if getattr(a, "label", None) is not None]
    names = [f"label {i}" for i in range(max(used, default=-1) + 1)]
    return {AnnotationType.label: LabelCategories.from_iterable(names)}
