"""The label map of an export, and which of the source's labels go where in it.

Source: docs/format.md, section 5.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass

from datumaro.components.annotation import AnnotationType, LabelCategories, MaskCategories
from datumaro.components.dataset_base import CategoriesInfo

from ..archive import (
    BACKGROUND,
    Label,
    LabelMap,
    find_background,
    free_colors,
    read_label_map_file,
    voc_label_map,
)
from ..colors import BLACK, Rgb
from ..errors import SegmaskExportError, UnpaintableError, counted
from ..formats import check_colors
from ..options import SOURCE, VOC
from ..rules import log_background

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExportLabels:
    """The label map to write, and where in it each label of the source is (None: left out)."""

    label_map: LabelMap
    positions: tuple[int | None, ...]

    def position(self, label: int | None) -> int | None:
        """Return the position of a label of the source; raises IndexError if it has no such."""
        if label is None:
            return None
        if label < 0:
            raise IndexError(label)
        return self.positions[label]


def make_export_labels(
    categories: CategoriesInfo, label_map: str, *, is_logged: bool = True
) -> ExportLabels:
    """Return the labels of an export, and log what is odd about them if ``is_logged``.

    ``label_map`` is ``source`` (the labels of the dataset in their order, led by ``background``
    where the dataset has none), ``voc``, or the path of a label map file. Labels are matched by
    name. Raises LabelMapError or SegmaskExportError.
    """
    source = categories.get(AnnotationType.label, LabelCategories())
    if label_map == SOURCE:
        colors = categories.get(AnnotationType.mask, MaskCategories()).colormap
        target = _label_map_of(source, dict(colors), is_logged)
    elif label_map == VOC:
        target = voc_label_map()
    elif os.path.isfile(label_map):
        target = read_label_map_file(label_map)
        check_colors(target)
    else:
        raise SegmaskExportError(
            f"the option label_map is {label_map!r}, which is not a file",
            "the export",
            f"'{SOURCE}', '{VOC}' or the path of a label map",
            "check the path",
        )
    if is_logged:
        log_background(target)
    return ExportLabels(target, tuple(target.position(label.name) for label in source.items))


def _label_map_of(source: LabelCategories, colormap: dict[int, Rgb], is_logged: bool) -> LabelMap:
    """Make a label map of a dataset's labels: in their order, each with a colour of its own."""
    colors: list[Rgb | None] = []
    recolored = []
    taken: set[Rgb] = set()
    for i, label in enumerate(source.items):
        rgb = _rgb(colormap.get(i), label.name)
        if rgb in taken:
            recolored.append(label.name)
            rgb = None
        colors.append(rgb)
        if rgb is not None:
            taken.add(rgb)
    if recolored and is_logged:
        log.warning(
            "%s had the colour of an earlier label, and got another (such as %r). To choose the "
            "colours, give a label map with the option label_map.",
            counted(len(recolored), "label"),
            recolored[0],
        )
    names = [label.name for label in source.items]
    background = find_background(names)
    if BLACK not in taken:
        if background is None:
            background = 0
            names.insert(0, BACKGROUND)
            colors.insert(0, None)
        colors[background] = colors[background] or BLACK
    # Black is the background's in the eyes of CVAT, so no other label may get it here.
    free = free_colors(taken | {BLACK})
    actions = {label.name: tuple(sorted(label.attributes)) for label in source.items}
    return LabelMap(
        tuple(
            Label(name, color or next(free), i, actions=actions.get(name, ()))
            for i, (name, color) in enumerate(zip(names, colors, strict=True))
        ),
        "the labels of the dataset",
    )


def _rgb(color: Sequence[int] | None, name: str) -> Rgb | None:
    if color is None:
        return None
    red, green, blue = (int(value) for value in color[:3])
    if not all(0 <= value <= 255 for value in (red, green, blue)):
        raise SegmaskExportError(
            f"the colour of the label {name!r} is {(red, green, blue)}",
            "the labels of the dataset",
            "red, green and blue from 0 to 255",
            "correct the colour map of the dataset, or give a label map with the option label_map",
        )
    return red, green, blue


def make_categories(label_map: LabelMap) -> CategoriesInfo:
    """Return the labels of a label map, in its order, and their colours, as Datumaro has them."""
    labels = LabelCategories()
    for label in label_map.labels:
        labels.add(label.name, attributes=set(label.actions))
    colormap = {i: label.color for i, label in enumerate(label_map.labels)}
    return {AnnotationType.label: labels, AnnotationType.mask: MaskCategories(colormap)}


def label_error(what: str, where: str) -> UnpaintableError:
    """Make the error of an annotation with a label that the dataset does not have."""
    return UnpaintableError(
        what,
        where,
        "the index of one of the dataset's labels",
        "give the annotation a label of the dataset, or remove it",
    )
