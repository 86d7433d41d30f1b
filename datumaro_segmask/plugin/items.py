"""A DatasetItem becomes an `archive.Item`: painted, as an archive has it, or each object by itself.

Painted, what lies on top hides the rest, and every pixel has one label and one number
(docs/format.md, section 5). Training code counts objects, which may overlap (docs/training.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from datumaro.components.annotation import (
    Annotation,
    AnnotationType,
    LabelCategories,
    MaskCategories,
)
from datumaro.components.dataset_base import CategoriesInfo, DatasetItem

from .. import regions
from ..archive import Item, find_background, unknown_of
from ..arrays import Size
from ..colors import BLACK
from ..errors import SegmaskExportError, UnpaintableError, stop
from ..formats import OF_UNKNOWN, Classes, unknown_value
from ..options import CROWD, SKIP
from ..regions import NOTHING, Instance, group_runs, runs_of_planes
from ..storage import layout
from ..training import cover
from .annotations import (
    WITHOUT_PIXELS,
    Painted,
    SegmaskMask,
    geometry_of,
    in_paint_order,
    is_stuff,
    is_unknown,
    paint_annotations,
    place_of_annotation,
)
from .labels import ExportLabels, label_error
from .media import file_suffix, place_of, size_of

Report = Callable[[UnpaintableError], None]
"""Takes an annotation that cannot be painted; if it returns, the annotation is left out."""


def painted_item(
    item: DatasetItem,
    labels: ExportLabels,
    left_out: Counter[str],
    report: Report = stop,
) -> Item:
    """Return what an archive of the item would hold, by the labels of ``labels.label_map``.

    What does not show is counted in ``left_out``. Raises SegmaskExportError for an item that cannot
    be painted, such as one with annotations and no size.
    """
    annotations = in_paint_order(item.annotations, left_out)
    image = image_place(item)
    if not annotations:
        return Item(item.id, _size_if_known(item), image, [])
    size, label_map = size_of(item), labels.label_map
    background = len(label_map.labels) if label_map.background is None else label_map.background
    where = place_of(item)
    painted = paint_annotations(annotations, size, labels, background, where, report, left_out)
    unknown = unknown_value(label_map)
    instances = [] if painted is None else _instances(painted, (background, unknown), where)
    return Item(item.id, size, image, instances, painted is None or painted.has_labels)


def _instances(painted: Painted, others: tuple[int, int], where: str) -> list[Instance]:
    """Return what is painted, one instance for each pair of number and label.

    ``others``: the values of the background and of what is unknown, which is the last of them.
    """
    background, unknown = others
    runs = runs_of_planes(painted.planes)
    of_label, number = runs.values
    if painted.has_labels:
        is_nothing = (of_label == background) | (of_label == unknown)
        found = group_runs(runs, number, np.where(is_nothing, NOTHING, of_label), where)
        return found + unknown_of(runs, of_label == unknown)
    found = group_runs(runs, number, np.where(number > 0, 0, NOTHING), where)
    return [replace(instance, label=None) for instance in found]


def image_place(item: DatasetItem) -> str | None:
    """Return the place in an archive that the picture of an item would have, None without one."""
    media = item.media
    if media is None or not getattr(media, "has_data", False):
        return None
    return layout.image(item.id, file_suffix(media) or ".jpg")


def _size_if_known(item: DatasetItem) -> Size | None:
    try:
        return size_of(item)
    except SegmaskExportError:
        return None


WITHOUT_LABEL = "annotations without a label, which training cannot use"
OF_BACKGROUND = "annotations of the background (with keep_background=True they are objects)"
OF_STUFF = "masks without an instance, as the option stuff says"


def classes_of(categories: CategoriesInfo, keep_background: bool) -> Classes:
    """Return the classes of a dataset; with ``keep_background`` the background is one of them.

    Which label that is: docs/format.md, section 2.
    """
    labels = categories.get(AnnotationType.label, LabelCategories()).items
    background = None if keep_background else _background(labels, categories)
    names, parents = [label.name for label in labels], [label.parent or "" for label in labels]
    return Classes.of(names, background, parents)


def _background(
    labels: Sequence[LabelCategories.Category], categories: CategoriesInfo
) -> int | None:
    named = find_background([label.name for label in labels])
    if named is not None:
        return named
    colors = categories.get(AnnotationType.mask, MaskCategories()).colormap
    return next((i for i in range(len(labels)) if tuple(colors.get(i, ())) == BLACK), None)


class _Pair(NamedTuple):
    """What makes annotations one object. ``instance``: a group, or what is alone by itself."""

    instance: Hashable
    label: int
    is_crowd: bool


@dataclass(frozen=True)
class _Member:
    annotation: Annotation
    where: str


class ObjectMaker:
    """Makes items of objects, each by itself; can be pickled.

    ``stuff``: see `options.TrainingOptions`. The labels of the instances are those of the dataset.
    """

    def __init__(self, classes: Classes, stuff: str) -> None:
        self._classes = classes
        self._stuff = stuff

    def item(self, item: DatasetItem, left_out: Counter[str], report: Report = stop) -> Item:
        """Return an item with one instance for each pair of instance and label.

        What is left out is counted in ``left_out``. An annotation that cannot be an object goes to
        ``report`` and, if that returns, is left out. What masks, polygons, boxes and ellipses
        cover: docs/format.md, section 5. But nothing covers anything else. Raises
        SegmaskExportError for an item with annotations and no size.
        """
        size = size_of(item) if item.annotations else _size_if_known(item)
        image, where = image_place(item), place_of(item)
        if size is None:
            return Item(item.id, None, image, [])
        pairs = self._pairs(item.annotations, where, report, left_out)
        found: dict[_Pair, Instance] = {}
        others: dict[_Pair, list[_Member]] = {}
        for pair, members in pairs.items():
            instance = _known(members, pair, size)
            if instance is None:
                others[pair] = members
            elif instance.area:
                found[pair] = instance
        if others:
            found |= _covered(others, size, report)
        left_out[WITHOUT_PIXELS] += len(pairs) - len(found)
        return Item(item.id, size, image, [found[pair] for pair in pairs if pair in found])

    def _pairs(
        self,
        annotations: Sequence[Annotation],
        where: str,
        report: Report,
        left_out: Counter[str],
    ) -> dict[_Pair, list[_Member]]:
        pairs: dict[_Pair, list[_Member]] = {}
        for i, annotation in in_paint_order(annotations, left_out):
            place = place_of_annotation(where, i, annotation)
            is_crowd = bool(annotation.attributes.get("is_crowd"))
            if is_stuff(annotation):
                is_crowd |= self._stuff == CROWD
                if self._stuff == SKIP:
                    left_out[OF_STUFF] += 1
                    continue
            if is_unknown(annotation):
                left_out[OF_UNKNOWN] += int(annotation.get_area())
                continue
            if annotation.label is None:
                left_out[WITHOUT_LABEL] += 1
                continue
            if not 0 <= annotation.label < len(self._classes.positions):
                report(label_error(f"its label is {annotation.label}", place))
                continue
            if self._classes.positions[annotation.label] is None:
                left_out[OF_BACKGROUND] += 1
                continue
            pair = _Pair(annotation.group or ("alone", i), annotation.label, is_crowd)
            pairs.setdefault(pair, []).append(_Member(annotation, place))
        return pairs


def _known(members: Sequence[_Member], pair: _Pair, size: Size) -> Instance | None:
    """Return the pixels of a mask of the importer that is all of an object."""
    mask = members[0].annotation
    known = mask.known if isinstance(mask, SegmaskMask) and len(members) == 1 else None
    if known is None or (known.height, known.width) != size:
        return None
    return Instance(
        pair.label, mask.group, known.counts, known.area, known.bbox, is_crowd=pair.is_crowd
    )


def _covered(
    pairs: dict[_Pair, list[_Member]], size: Size, report: Report
) -> dict[_Pair, Instance]:
    """Return the objects of pairs that cover pixels, after those without sound members."""
    members = [(pair, member) for pair, all_ in pairs.items() for member in all_]
    while True:
        owners = {pair: number for number, pair in enumerate(pairs)}
        try:
            geometries = [geometry_of(member.annotation, member.where) for _, member in members]
            instances = cover(
                geometries,
                [owners[pair] for pair, _ in members],
                [member.where for _, member in members],
                size,
            )
        except UnpaintableError as error:
            report(error)
            members = [(pair, member) for pair, member in members if member.where != error.where]
            continue
        break
    sound: dict[_Pair, list[regions.Geometry]] = {}
    for (pair, _), geometry in zip(members, geometries, strict=True):
        sound.setdefault(pair, []).append(geometry)
    return {
        pair: replace(
            instances[number],
            label=pair.label,
            outlines=_outlines(sound[pair]),
            is_crowd=pair.is_crowd,
        )
        for pair, number in owners.items()
        if number in instances
    }


def _outlines(geometries: Sequence[regions.Geometry]) -> list[list[float]] | None:
    """Return the polygons of an object that consists of such alone."""
    outlines: list[list[float]] = []
    for geometry in geometries:
        if not isinstance(geometry, regions.Polygon):
            return None
        outlines.append(np.asarray(geometry.points, np.float64).ravel().tolist())
    return outlines
