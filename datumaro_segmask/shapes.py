"""From Datumaro's annotations to what can be painted (docs/format.md, section 5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from datumaro.components.annotation import (
    Annotation,
    Bbox,
    Ellipse,
    Mask,
    Polygon,
    RleMask,
    RotatedBbox,
)

from . import painting
from .export_labels import ExportLabels
from .numbering import Member

PAINTED = (Mask, Polygon, Bbox, RotatedBbox, Ellipse)
_OUTLINES = (Mask, Polygon, Ellipse)


def in_paint_order(annotations: Sequence[Annotation], left_out: Counter[str]) -> list[Annotation]:
    """Return the annotations to paint, those behind first: by z-order, ties by position.

    A box in a group that also has an outline is that object's box and is not painted. The types
    of annotation that no mask can show are counted in ``left_out``.
    """
    outlined = {a.group for a in annotations if isinstance(a, _OUTLINES) and a.group}
    painted = []
    for annotation in annotations:
        if not isinstance(annotation, PAINTED):
            left_out[annotation.type.name] += 1
        elif not (isinstance(annotation, Bbox) and annotation.group in outlined):
            painted.append(annotation)
    return sorted(painted, key=lambda annotation: annotation.z_order)
