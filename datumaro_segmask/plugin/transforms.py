"""Exact polygons and connected components for any dataset, as Datumaro transforms."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

from datumaro.components.annotation import Annotation, AnnotationType, Mask, Polygon
from datumaro.components.cli_plugin import CliPlugin
from datumaro.components.dataset_base import DatasetItem, IDataset
from datumaro.components.transformer import ItemTransform

from ..errors import MaskLimitError, check_options
from ..options import ComponentOptions, PolygonOptions, add_to
from ..regions import Ring, simplify_shared, split_components, texts_to_polygons
from .annotations import is_unknown, make_mask, size_of_mask, to_instance
from .host import datumaro_errors
from .media import place_of


class _Transform(ItemTransform, CliPlugin):
    """A transform with options; a base class."""

    OPTIONS: ClassVar[type]

    @classmethod
    def build_cmdline_parser(cls, **kwargs: Any) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().build_cmdline_parser(**kwargs)
        add_to(parser, cls.OPTIONS)
        return parser

    def __init__(self, extractor: IDataset, **options: Any) -> None:
        super().__init__(extractor)
        self._given = options

    @cached_property
    def _chosen(self) -> Any:
        # Asked for by the first item: Datumaro goes on without a transform that cannot be made.
        return check_options(self.OPTIONS, self._given, f"the transform {self.NAME}")


class MasksToExactPolygons(_Transform):
    """Replaces masks by polygons along pixel edges, which give the same masks when painted.

    A mask with holes is cut into several polygons, so that each of them is simple. The polygons of
    one mask share a group. Unlike "masks_to_polygons", it changes no pixel.
    """

    NAME = "masks_to_exact_polygons"

    OPTIONS = PolygonOptions

    def ann_types(self) -> set[AnnotationType]:
        types: set[AnnotationType] = set(self._extractor.ann_types())
        return types - {AnnotationType.mask} | {AnnotationType.polygon}

    @datumaro_errors()
    def transform_item(self, item: DatasetItem) -> DatasetItem:
        polygons = polygons_of(item.annotations, self._chosen.tolerance, place_of(item))
        return self.wrap_item(item, annotations=polygons)


def polygons_of(annotations: list[Annotation], tolerance: float, where: str) -> list[Annotation]:
    """Return annotations with each mask replaced by its polygons.

    With ``tolerance`` 0 they are exact. Else they are simplified by at most that many pixels, all
    masks of the item together, so that neighbours keep a common border. ``where`` names the item in
    messages. Raises MaskLimitError past the limits of `regions.outlines`.
    """
    masks = [annotation for annotation in annotations if isinstance(annotation, Mask)]
    try:
        rings = _to_rings(masks)
    except MaskLimitError as error:
        raise MaskLimitError(error.what, where, error.expected, error.remedy) from error
    if tolerance > 0:
        rings = _simplified(rings, tolerance, [size_of_mask(mask, where) for mask in masks])
    group = _last_group(annotations)
    result: list[Annotation] = []
    of_mask = iter(rings)
    for annotation in annotations:
        if isinstance(annotation, Mask):
            group += 1
            result += _make_polygons(next(of_mask), annotation, group)
        else:
            result.append(annotation)
    return result


def _to_rings(masks: Sequence[Mask]) -> list[list[Ring]]:
    """Return the exact polygons of each mask annotation (docs/format.md, section 6)."""
    instances = [to_instance(mask) for mask in masks]
    rings: list[list[Ring]] = [[] for _ in masks]
    for size in dict.fromkeys((height, width) for _, height, width in instances):
        of_size = [i for i, (_, *its) in enumerate(instances) if tuple(its) == size]
        found = texts_to_polygons([instances[i][0].counts for i in of_size], *size)
        for i, polygons in zip(of_size, found, strict=True):
            rings[i] = polygons
    return rings


def _simplified(
    rings: list[list[Ring]], tolerance: float, sizes: list[tuple[int, int]]
) -> list[list[Ring]]:
    """Simplify the polygons of masks, those of one size (height and width) together."""
    result = list(rings)
    for size in set(sizes):
        of_size = [i for i, other in enumerate(sizes) if other == size]
        simple = simplify_shared([rings[i] for i in of_size], tolerance, *size)
        for i, part in zip(of_size, simple, strict=True):
            result[i] = part
    return result


def _make_polygons(rings: Sequence[Ring], mask: Mask, group: int) -> list[Polygon]:
    """Return rings as polygon annotations that replace ``mask``.

    They get the group of the mask, or ``group`` where it has none and there are several: a group
    is what holds them together.
    """
    return [
        Polygon(
            ring.ravel().tolist(),
            label=mask.label,
            z_order=mask.z_order,
            group=mask.group or (group if len(rings) > 1 else 0),
            id=mask.id,
            attributes=mask.attributes,
        )
        for ring in rings
    ]


class SplitComponents(_Transform):
    """Makes an instance of each connected component of masks that belong to no instance.

    Masks that have a group are instances already, and stay unchanged unless ``grouped`` is set.
    """

    NAME = "split_components"

    OPTIONS = ComponentOptions

    @datumaro_errors()
    def transform_item(self, item: DatasetItem) -> DatasetItem:
        chosen: ComponentOptions = self._chosen
        annotations = components_of(
            item.annotations, chosen.connectivity, chosen.min_area, grouped=chosen.grouped
        )
        return self.wrap_item(item, annotations=annotations)


def components_of(
    annotations: list[Annotation], connectivity: int, min_area: int, *, grouped: bool = False
) -> list[Annotation]:
    """Return annotations with the masks split into their components, in groups not used before.

    Only masks without a group are split, unless ``grouped``.
    """
    group = _last_group(annotations)
    result: list[Annotation] = []
    for annotation in annotations:
        is_whole = is_unknown(annotation) or (annotation.group and not grouped)
        if not isinstance(annotation, Mask) or is_whole:
            result.append(annotation)
            continue
        instance, height, width = to_instance(annotation)
        parts = split_components(
            [instance],
            height,
            width,
            connectivity=connectivity,
            min_area=min_area,
            first_number=group + 1,
        )
        group += len(parts)
        result += [
            make_mask(
                part, height, width, z_order=annotation.z_order, attributes=annotation.attributes
            )
            for part in parts
        ]
    return result


def _last_group(annotations: list[Annotation]) -> int:
    return max((annotation.group for annotation in annotations), default=0)
