"""Archives in Datumaro's next API, ``datumaro.experimental`` of 1.13 and newer (docs/scale.md).

Importing this module registers a converter, so that
``datumaro.experimental.legacy.convert_from_legacy`` keeps our masks instead of dropping them.
`load_segmask` needs no dataset of the old kind.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .archive import Item, Reader
from .arrays import Size, turn
from .colors import Rgb, voc_color
from .errors import ArchiveError
from .regions import Instance, decode_box
from .rules import open_archive
from .storage import Storage
from .training import decode, stack_of

try:
    import polars as pl
    from datumaro.components.annotation import AnnotationType, ExtractedMask, Mask
    from datumaro.components.annotation import MaskCategories as LegacyColors
    from datumaro.experimental import Dataset, Sample
    from datumaro.experimental.categories import LabelCategories, MaskCategories, RgbColor
    from datumaro.experimental.fields import (
        ImageInfo,
        Subset,
        image_callable_field,
        image_info_field,
        label_field,
        numeric_field,
        string_field,
        subset_field,
    )
    from datumaro.experimental.fields.masks import (
        instance_mask_callable_field,
        mask_callable_field,
    )
    from datumaro.experimental.legacy import (
        ForwardMaskAnnotationConverter,
        register_forward_annotation_converter,
    )
    from datumaro.experimental.schema import AttributeInfo
except ImportError as error:
    raise ImportError(
        "datumaro_segmask.experimental needs Datumaro 1.13 or newer with its extra 'experimental': "
        "type \"pip install 'datumaro[experimental]>=1.13'\""
    ) from error

from .plugin.annotations import to_instance

__all__ = ["NO_LABEL", "SegmaskSample", "load_segmask"]

NO_LABEL = "(no label)"
"""The category after all labels, for instances and pixels without one; only where there are."""

_SUBSETS = {
    "train": Subset.TRAINING,
    "val": Subset.VALIDATION,
    "validation": Subset.VALIDATION,
    "test": Subset.TESTING,
}


class InstanceMasks:
    """Instance masks as (instances, height, width) bool, made when this is called.

    Only their run-length codes are kept and pickled.
    """

    def __init__(self, instances: Sequence[Instance], height: int, width: int) -> None:
        self._instances = instances
        self._size = Size(height, width)

    def __call__(self) -> NDArray[np.bool_]:
        return stack_of(self._instances, self._size)


class SegmaskMaskConverter(ForwardMaskAnnotationConverter):
    """Converts mask annotations of any kind; of a dataset with ``ExtractedMask``, as Datumaro does.

    Adds to what Datumaro's own converter gives: ``instances`` (the group of each mask, 0 for none)
    and ``item_id``.
    """

    _without_label = 0
    """The position of `NO_LABEL`, where it is among the labels."""

    @classmethod
    def create(
        cls, dataset: Any, semantic: str = "default", name_prefix: str = ""
    ) -> ForwardMaskAnnotationConverter:
        masks = (a for item in dataset for a in item.annotations if isinstance(a, Mask))
        if any(isinstance(mask, ExtractedMask) for mask in masks):
            return ForwardMaskAnnotationConverter.create(dataset, semantic, name_prefix)
        categories = dataset.categories()
        labels = categories.get(AnnotationType.label)
        names = [label.name for label in labels.items] if labels else []
        colors = categories.get(AnnotationType.mask, LegacyColors()).colormap
        bare = any(
            a.label is None for item in dataset for a in item.annotations if isinstance(a, Mask)
        )
        names += [NO_LABEL] if bare or not names else []
        made = cls(
            mask_attribute=None,
            instance_mask_attribute=AttributeInfo(
                type=Callable,
                field=instance_mask_callable_field(dtype=pl.Boolean(), semantic=semantic),
                categories=_mask_categories(names, [colors.get(i) for i in range(len(names))]),
            ),
            mask_labels_attribute=AttributeInfo(
                type=np.ndarray,
                field=label_field(dtype=pl.UInt16(), is_list=True, semantic=semantic),
                categories=LabelCategories(labels=tuple(names)),
            ),
            is_semantic=False,
            name_prefix=name_prefix,
        )
        made._without_label = len(names) - 1
        return made

    def get_schema_attributes(self) -> dict[str, AttributeInfo]:
        return {
            **super().get_schema_attributes(),
            f"{self.name_prefix}instances": AttributeInfo(
                type=np.ndarray,
                field=numeric_field("instances", dtype=pl.Int32(), is_list=True),
            ),
            f"{self.name_prefix}item_id": AttributeInfo(type=str, field=string_field("item_id")),
        }

    def convert_annotations(self, annotations: list[Any], item: Any) -> dict[str, Any]:
        masks = [a for a in annotations if isinstance(a, Mask)]
        found = [to_instance(mask) for mask in masks]
        size = found[0][1:] if found else _size_of(item)
        return {
            f"{self.name_prefix}instance_mask_callable": InstanceMasks(
                [instance for instance, _, _ in found], *size
            ),
            f"{self.name_prefix}labels": _labels(
                [instance for instance, _, _ in found], self._without_label
            ),
            f"{self.name_prefix}instances": np.array([mask.group for mask in masks], np.int32),
            f"{self.name_prefix}item_id": item.id,
        }


def _size_of(item: Any) -> tuple[int, int]:
    size = getattr(item.media, "size", None)
    return (0, 0) if size is None else (int(size[0]), int(size[1]))


def _labels(instances: Sequence[Instance], without: int) -> NDArray[np.uint16]:
    return np.array([without if i.label is None else i.label for i in instances], np.uint16)


def _mask_categories(names: Sequence[str], colors: Sequence[Rgb | None]) -> MaskCategories:
    colormap = {i: RgbColor(*(color or voc_color(i))[:3]) for i, color in enumerate(colors)}
    return MaskCategories(labels=list(names), colormap=colormap)


class SegmaskSample(Sample):
    """One item of an archive. Fields that are callables read the archive when they are called.

    ``image``: (height, width, 3) uint8, red, green, blue; None if there is no image.
    ``class_mask``: (height, width) uint16, positions in the label map; pixels of no label have that
    of the background, or of `NO_LABEL` where no label is the background. ``instance_masks``:
    (instances, height, width) bool. ``labels`` and ``instances`` are in the order of these: the
    position of the label or of `NO_LABEL`, and the instance number or 0.
    ``image_info``: 0 x 0 if neither a mask nor an image gives the size.
    """

    image: Callable | None = image_callable_field(format="RGB")  # type: ignore[type-arg]
    image_info: ImageInfo = image_info_field()
    class_mask: Callable = mask_callable_field(  # type: ignore[type-arg]
        dtype=pl.UInt16(), semantic="class_mask"
    )
    instance_masks: Callable = instance_mask_callable_field(  # type: ignore[type-arg]
        semantic="instance_masks"
    )
    labels: np.ndarray = label_field(dtype=pl.UInt16(), is_list=True)
    instances: np.ndarray = numeric_field("instances", dtype=pl.Int32(), is_list=True)
    item_id: str = string_field(semantic="item_id")
    subset_name: str = string_field(semantic="subset_name")
    subset: Subset = subset_field()


def load_segmask(
    path: str | os.PathLike[str], subset: str | None = None, *, ignore_index: int | None = None
) -> Dataset[SegmaskSample]:
    """Return the items of an archive (a folder, a zip or a URL), or of one subset, as samples.

    The masks are read once for labels and numbers, and again whenever they are asked for; none is
    kept. The dataset can be pickled: each worker of a loader reads the archive itself. Raises
    SegmaskImportError, also for a single item.
    """
    archive = open_archive(path)
    if subset is not None and subset not in archive.subsets:
        raise ArchiveError(
            f"there is no subset {subset!r}",
            archive.storage.place(),
            f"one of {', '.join(map(repr, archive.subsets))}",
            "choose one of them",
        )
    label_map, reader = archive.label_map, archive.reader(ignore_index=ignore_index)
    chosen = archive.subsets if subset is None else {subset: archive.subsets[subset]}
    entries = [(item_id, name) for name, ids in chosen.items() for item_id in ids]
    count = len(label_map.labels)
    background = count if label_map.background is None else label_map.background
    samples = [
        _sample(reader.read(item_id), name, reader, background, count)
        for item_id, name in reader.storage.prefetch(entries)
    ]
    names = [label.name for label in label_map.labels]
    colors: list[Rgb | None] = [label.color for label in label_map.labels]
    if background == count or any(count in sample.labels for sample in samples):
        names, colors = [*names, NO_LABEL], [*colors, None]
    masks = _mask_categories(names, colors)
    dataset = Dataset(
        SegmaskSample,
        categories={
            "labels": LabelCategories(labels=tuple(names)),
            "class_mask": masks,
            "instance_masks": masks,
        },
    )
    dataset.append_batch(samples)
    return dataset


def _sample(
    item: Item, subset: str, reader: Reader, background: int, without_label: int
) -> SegmaskSample:
    height, width = item.size or (0, 0)
    return SegmaskSample(
        image=partial(_image, reader.storage, item.image, item.turn) if item.image else None,
        image_info=ImageInfo(width=width, height=height),
        class_mask=partial(_class_mask, reader, item.item_id, background),
        instance_masks=partial(_instance_masks, reader, item.item_id),
        labels=_labels(item.instances, without_label),
        instances=np.array([i.number for i in item.instances], np.int32),
        item_id=item.item_id,
        subset_name=subset,
        subset=_SUBSETS.get(subset, Subset.UNASSIGNED),
    )


def _image(storage: Storage, name: str, turned: int | None) -> NDArray[np.uint8]:
    image = decode(storage.read(name))
    if image is None:
        raise ArchiveError(
            "the image cannot be decoded",
            storage.place(name),
            "an image that OpenCV reads",
            "check that it is an image, and save it again",
        )
    return np.ascontiguousarray(turn(image, turned)[..., ::-1])


def _instance_masks(reader: Reader, item_id: str) -> NDArray[np.bool_]:
    item = reader.read(item_id)
    return InstanceMasks(item.instances, *(item.size or (0, 0)))()


def _class_mask(reader: Reader, item_id: str, background: int) -> NDArray[np.uint16]:
    item = reader.read(item_id)
    mask = np.full(item.size or (0, 0), background, np.uint16)
    for instance in item.instances:
        if instance.label is not None:
            x, y, width, height = instance.bbox
            box = decode_box(instance.counts, instance.bbox, mask.shape[0])
            mask[y : y + height, x : x + width][box.astype(bool)] = instance.label
    return mask


register_forward_annotation_converter(SegmaskMaskConverter)
