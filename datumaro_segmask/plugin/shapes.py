"""From Datumaro's annotations to painted masks (docs/format.md, section 5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from datumaro.components.annotation import (
    Annotation,
    Bbox,
    Ellipse,
    Mask,
    Polygon,
    RleMask,
    RotatedBbox,
)

from ..archive.numbering import Member, instance_numbers
from ..errors import UnpaintableError
from ..regions import paint as painting
from .labels import ExportLabels

PAINTED = (Mask, Polygon, Bbox, RotatedBbox, Ellipse)
_OUTLINES = (Mask, Polygon, Ellipse)

Placed: TypeAlias = tuple[int, Annotation]
"""An annotation behind its position among those of its item."""

OF_OTHER_LABELS = "annotations whose label the label map does not have"
HIDDEN = "annotations that others cover entirely"


@dataclass(frozen=True)
class Painted:
    """The masks of an item. ``has_labels`` is False where no shape has a label."""

    planes: painting.Planes
    has_labels: bool


def in_paint_order(annotations: Sequence[Annotation], left_out: Counter[str]) -> list[Placed]:
    """Return the annotations to paint, those behind first: by z-order, ties by position.

    Each comes with its position, by which messages call it. A box in a group that also has an
    outline is that object's box and is not painted. The types of annotation that no mask can show
    are counted in ``left_out``.
    """
    outlined = {a.group for a in annotations if isinstance(a, _OUTLINES) and a.group}
    painted = []
    for i, annotation in enumerate(annotations):
        if not isinstance(annotation, PAINTED):
            left_out[f"annotations of type {annotation.type.name}"] += 1
        elif not (isinstance(annotation, Bbox) and annotation.group in outlined):
            painted.append((i, annotation))
    return sorted(painted, key=lambda placed: placed[1].z_order)


def paint_annotations(
    annotations: Sequence[Placed],
    size: tuple[int, int],
    labels: ExportLabels,
    background: int,
    where: str,
    report: Callable[[UnpaintableError], None],
    left_out: Counter[str],
) -> Painted | None:
    """Paint annotations, given as `in_paint_order` has them, into the two masks of an item.

    ``size`` is height and width in pixels, ``background`` the value of unpainted pixels in the
    class mask, ``where`` names the item in messages. An annotation that cannot be painted goes
    to ``report`` and, if that returns, is left out. What else does not show is counted in
    ``left_out``. Returns None where nothing is left to paint.
    """
    shapes = _shapes(annotations, labels, where, report, left_out)
    while shapes:
        try:
            planes = painting.paint([shape for shape, _ in shapes], *size, background)
        except UnpaintableError as error:
            report(error)
            shapes = [(shape, label) for shape, label in shapes if shape.where != error.where]
            continue
        left_out[HIDDEN] += planes.hidden.size
        return Painted(planes, any(label is not None for _, label in shapes))
    return None


def _shapes(
    annotations: Sequence[Placed],
    labels: ExportLabels,
    where: str,
    report: Callable[[UnpaintableError], None],
    left_out: Counter[str],
) -> list[tuple[painting.Shape, int | None]]:
    """Give each annotation its geometry, its value and its number; also return its position."""
    kept: list[tuple[str, Annotation, int | None]] = []
    has_labels = any(annotation.label is not None for _, annotation in annotations)
    for i, annotation in annotations:
        place = _place(where, i, annotation)
        try:
            position = labels.position(annotation.label)
        except IndexError:
            report(_label_error(f"its label is {annotation.label}", place))
            continue
        if annotation.label is None and has_labels:
            report(_label_error("it has no label, though others of the item have", place))
        elif annotation.label is not None and position is None:
            left_out[OF_OTHER_LABELS] += 1
        else:
            kept.append((place, annotation, position))
    background = labels.label_map.background
    members = [
        Member(annotation.group, position, isinstance(annotation, Mask))
        for _, annotation, position in kept
        if position is None or position != background
    ]
    numbers = iter(instance_numbers(members))
    shapes = []
    for place, annotation, position in kept:
        # Shapes of the background label cut holes in both masks.
        is_hole = position is not None and position == background
        shape = painting.Shape(
            _geometry(annotation),
            position or 0,
            0 if is_hole else next(numbers),
            place,
        )
        shapes.append((shape, position))
    return shapes


def _geometry(annotation: Annotation) -> painting.Geometry:
    if isinstance(annotation, RleMask):
        rle = annotation.rle
        return painting.Rle(rle["size"], rle["counts"])
    if isinstance(annotation, Mask):
        return painting.Bitmap(annotation.image)
    if isinstance(annotation, Bbox):
        return painting.box(annotation.x, annotation.y, annotation.w, annotation.h)
    if isinstance(annotation, RotatedBbox):
        return painting.Polygon(annotation.as_polygon())
    if isinstance(annotation, Ellipse):
        return painting.Ellipse(*annotation.points)
    return painting.Polygon(annotation.points)


def _place(where: str, index: int, annotation: Annotation) -> str:
    return f"{where}, annotations[{index}] ({annotation.type.name}, id {annotation.id})"


def _label_error(what: str, where: str) -> UnpaintableError:
    return UnpaintableError(
        what,
        where,
        "the index of one of the dataset's labels",
        "give the annotation a label of the dataset, or remove it",
    )
