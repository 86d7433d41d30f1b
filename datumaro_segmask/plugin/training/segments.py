"""From Datumaro's annotations to the objects that training code counts (docs/training.md)."""

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
from datumaro.components.dataset_base import CategoriesInfo

from ... import regions
from ...archive import BLACK, find_background
from ...arrays import Size
from ...errors import UnpaintableError
from ...regions import Instance
from ...training import Segment, cover
from ..annotations import (
    WITHOUT_PIXELS,
    SegmaskMask,
    geometry_of,
    place_of_annotation,
)
from ..export.item_files import in_paint_order
from ..labels import label_error

OBJECT, CROWD, SKIP = "object", "crowd", "skip"
STUFF = {
    OBJECT: "one object a label",
    CROWD: "a region that trainers ignore",
    SKIP: "nothing",
}
"""What becomes of stuff: of masks that the importer made of class pixels without an instance."""

WITHOUT_LABEL = "annotations without a label, of which training code can make no class"
OF_BACKGROUND = "annotations of the background (objects with keep_background=True)"
OF_STUFF = "masks without an instance, as the option stuff says"
OF_CROWDS = "regions of crowds, which the format has no place for"


@dataclass(frozen=True)
class Classes:
    """The classes of an export: the labels of the dataset in their order, without background.

    ``positions``: the class of each label of the dataset, from 0; None for the background.
    ``names`` and ``parents`` (empty for none) are those of each class.
    """

    positions: tuple[int | None, ...]
    names: tuple[str, ...]
    parents: tuple[str, ...]


def classes_of(categories: CategoriesInfo, keep_background: bool) -> Classes:
    """Return the classes of a dataset; with ``keep_background`` the background is one of them.

    Which label that is: docs/format.md, section 2.
    """
    labels = categories.get(AnnotationType.label, LabelCategories()).items
    background = None if keep_background else _background(labels, categories)
    kept = [i for i in range(len(labels)) if i != background]
    numbers = {label: number for number, label in enumerate(kept)}
    return Classes(
        tuple(numbers.get(i) for i in range(len(labels))),
        tuple(labels[i].name for i in kept),
        tuple(labels[i].parent or "" for i in kept),
    )


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


class SegmentMaker:
    """Makes the segments of items. ``stuff`` is one of `STUFF`; what is left out is counted."""

    def __init__(self, classes: Classes, stuff: str, left_out: Counter[str]) -> None:
        self._classes = classes
        self._stuff = stuff
        self._left_out = left_out

    def segments(
        self,
        annotations: Sequence[Annotation],
        size: Size,
        where: str,
        report: Callable[[UnpaintableError], None],
    ) -> list[Segment]:
        """Return one segment for each pair of instance and label of an item.

        ``size`` is that of the image, ``where`` names the item in messages. An annotation that
        cannot be an object goes to ``report`` and, if that returns, is left out. What masks,
        polygons, boxes and ellipses cover: docs/format.md, section 5. But nothing covers anything
        else.
        """
        pairs = self._pairs(annotations, where, report)
        found: dict[_Pair, Segment] = {}
        others: dict[_Pair, list[_Member]] = {}
        for pair, members in pairs.items():
            instance = _known(members, pair.label, size)
            if instance is None:
                others[pair] = members
            elif instance.area:
                found[pair] = Segment(instance, None, pair.is_crowd)
        if others:
            found |= _covered(others, size, report)
        self._left_out[WITHOUT_PIXELS] += len(pairs) - len(found)
        return [found[pair] for pair in pairs if pair in found]

    def _pairs(
        self,
        annotations: Sequence[Annotation],
        where: str,
        report: Callable[[UnpaintableError], None],
    ) -> dict[_Pair, list[_Member]]:
        pairs: dict[_Pair, list[_Member]] = {}
        for i, annotation in in_paint_order(annotations, self._left_out):
            place = place_of_annotation(where, i, annotation)
            is_crowd = bool(annotation.attributes.get("is_crowd"))
            if is_stuff(annotation):
                is_crowd |= self._stuff == CROWD
                if self._stuff == SKIP:
                    self._left_out[OF_STUFF] += 1
                    continue
            if annotation.label is None:
                self._left_out[WITHOUT_LABEL] += 1
                continue
            if not 0 <= annotation.label < len(self._classes.positions):
                report(label_error(f"its label is {annotation.label}", place))
                continue
            label = self._classes.positions[annotation.label]
            if label is None:
                self._left_out[OF_BACKGROUND] += 1
                continue
            pair = _Pair(annotation.group or ("alone", i), label, is_crowd)
            pairs.setdefault(pair, []).append(_Member(annotation, place))
        return pairs


def is_stuff(annotation: Annotation) -> bool:
    """Tell whether an annotation is what the importer made of class pixels without an instance."""
    return isinstance(annotation, SegmaskMask) and not annotation.group


def _known(members: Sequence[_Member], label: int, size: Size) -> Instance | None:
    """Return the pixels of a mask of the importer that is all of an object."""
    mask = members[0].annotation
    known = mask.known if isinstance(mask, SegmaskMask) and len(members) == 1 else None
    if known is None or (known.height, known.width) != size:
        return None
    return Instance(label, mask.group, known.counts, known.area, known.bbox)


def _covered(
    pairs: dict[_Pair, list[_Member]], size: Size, report: Callable[[UnpaintableError], None]
) -> dict[_Pair, Segment]:
    """Return the segments of pairs that cover pixels, after those without sound members."""
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
    segments = {}
    for pair, number in owners.items():
        if number in instances:
            instance = replace(instances[number], label=pair.label)
            segments[pair] = Segment(instance, _outlines(sound[pair]), pair.is_crowd)
    return segments


def _outlines(geometries: Sequence[regions.Geometry]) -> list[list[float]] | None:
    """Return the polygons of an object that consists of such alone."""
    outlines: list[list[float]] = []
    for geometry in geometries:
        if not isinstance(geometry, regions.Polygon):
            return None
        outlines.append(np.asarray(geometry.points, np.float64).ravel().tolist())
    return outlines
