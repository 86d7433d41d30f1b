"""What models give, as masks: stacks of them, probabilities, polygons, segments, nothing found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..arrays import BoolArray, IntArray, Size
from ..errors import ArraysError, counted
from ..regions import NOTHING

SHAPES = "two planes (height, width), or (n,) classes and (n, height, width) masks"


def as_array(values: Any) -> NDArray[Any]:
    """Return an array of what a model gives: an array, a tensor on any device, a list of them."""
    if isinstance(values, (list, tuple)):
        return np.asarray([as_array(value) for value in values])
    # A tensor of PyTorch has no array while it needs a gradient or lies on a graphics card.
    for name in ("detach", "cpu"):
        values = getattr(values, name, lambda values=values: values)()
    return np.asarray(values)


def as_whole(values: Any, what: str, where: str) -> NDArray[Any]:
    """Return whole numbers, also those of a float type. Raises ArraysError for others."""
    array = as_array(values)
    if array.dtype.kind in "biu" or array.size == 0:
        return array.astype(np.int64) if array.dtype.kind not in "iu" else array
    if array.dtype.kind != "f" or not (np.floor(array) == array).all():
        raise ArraysError(
            f"the {what} are no whole numbers but {_range(array)}",
            where,
            f"{what} as whole numbers",
            "give scores.argmax(axis), where they are scores of each class",
        )
    return array.astype(np.int64)


def as_masks(
    masks: Any, count: int, size: Size | None, threshold: float | None, where: str
) -> tuple[BoolArray, Size | None]:
    """Return ``count`` masks, (n, height, width), and their size if it is known.

    ``masks``: (n, height, width) or (n, 1, height, width) of 0 and one more value, or anything if
    there is a ``threshold``, which masks are above; a list of them; a plane if there is one mask;
    a list of rings (k, 2), x and y in pixels, of a picture of this ``size``; None if there is none.
    Raises ArraysError.
    """
    if _are_rings(masks):
        stack: NDArray[Any] = _painted(masks, size, where)
    else:
        stack = np.empty(0) if masks is None else as_array(masks)
        if stack.ndim == 4 and stack.shape[1] == 1:
            stack = stack[:, 0]
        elif stack.ndim == 2 and count < 2:
            stack = stack[None][:count]  # what squeeze() leaves of one mask
    if count == 0 and stack.size == 0:
        own = Size(*stack.shape[-2:]) if stack.ndim > 1 else None
        own = own if own and own.pixels else None
        return np.zeros((0, *(own or (0, 0))), bool), own
    if stack.ndim != 3 or len(stack) != count:
        shape = "None" if masks is None else str(stack.shape)
        raise ArraysError(
            f"arrays of the shapes ({count},) and {shape} do not fit together", where, SHAPES
        )
    _, height, width = stack.shape
    return _binary(stack, threshold, where), Size(height, width)


def z_orders(masks: BoolArray, scores: Any, where: str) -> IntArray:
    """Return the z-order of each mask, from 1: the highest score lies on top, else the smallest.

    ``masks``: (n, height, width); ``scores``: (n,) or None. Raises ArraysError.
    """
    if scores is None:
        order = np.argsort(-masks.sum(axis=(1, 2), dtype=np.int64), kind="stable")
    else:
        array = as_array(scores)
        if array.shape != (len(masks),) or np.isnan(array.astype(float)).any():
            raise ArraysError(
                f"scores of the shape {array.shape} for {counted(len(masks), 'mask')}",
                where,
                "a number for each mask",
            )
        order = np.argsort(array, kind="stable")
    ranks = np.empty(len(masks), np.int64)
    ranks[order] = np.arange(1, len(masks) + 1)
    return ranks


def check_size(size: Size | None, picture: Size | None, where: str) -> Size | None:
    """Return the one size of masks and picture. Raises ArraysError for two."""
    if size is not None and picture is not None and size != picture:
        raise ArraysError(
            f"the masks are {size}, and the image is {picture}",
            where,
            "masks of the image's size",
            "scale the masks to it; of Ultralytics, give masks.xy, or call "
            "predict(..., retina_masks=True)",
        )
    return picture if size is None else size


def planes_of_segments(
    ids: Any, infos: Sequence[Mapping[str, Any]] | Mapping[int, tuple[int, int]], where: str
) -> tuple[IntArray, IntArray]:
    """Return the class and the instance number of each pixel of a plane of ids.

    ``ids``: (height, width); ``infos``: for each id its ``id``, and ``label_id`` (transformers) or
    ``category_id`` (COCO, detectron2); or, by id, its class and its instance number. What has no
    info is nothing. What was fused, or is no ``isthing``, is stuff, with the number 0. Raises
    ArraysError.
    """
    plane = as_whole(ids, "ids", where)
    if plane.ndim != 2:
        raise ArraysError(
            f"the ids have the shape {plane.shape}", where, "a plane, (height, width)"
        )
    classes = np.full(plane.shape, NOTHING, np.int64)
    numbers = np.zeros(plane.shape, np.int64)
    if isinstance(infos, Mapping):
        for segment, (label, number) in infos.items():
            here = plane == segment
            classes[here], numbers[here] = label, number
        return classes, numbers
    for number, info in enumerate(infos, 1):
        label = info.get("label_id", info.get("category_id"))
        if label is None or "id" not in info:
            raise ArraysError(
                f"a segment has the keys {', '.join(map(repr, info))}",
                where,
                "'id', and 'label_id' or 'category_id'",
            )
        here = plane == info["id"]
        classes[here] = label
        numbers[here] = 0 if info.get("was_fused") or not info.get("isthing", True) else number
    return classes, numbers


def _are_rings(masks: Any) -> bool:
    if not isinstance(masks, (list, tuple)) or not masks:
        return False
    arrays = [as_array(ring) for ring in masks]
    return all(a.ndim == 2 and a.shape[1] == 2 and a.dtype != bool for a in arrays)


def _painted(rings: Sequence[Any], size: Size | None, where: str) -> BoolArray:
    """Return rings as Ultralytics paints them: truncated, and filled with their outline."""
    if size is None:
        raise ArraysError(
            "the masks are polygons, and the size of their image is not known",
            where,
            "the image, or its height and width",
            "give image=, or size=(height, width)",
        )
    masks = np.zeros((len(rings), *size), np.uint8)
    for mask, ring in zip(masks, rings, strict=True):
        points = as_array(ring).astype(np.int32)
        if points.size:
            cv2.fillPoly(mask, [points], 1)
    return masks.astype(bool)


def _binary(stack: NDArray[Any], threshold: float | None, where: str) -> BoolArray:
    if threshold is not None:
        above: BoolArray = stack > threshold
        return above
    if stack.dtype.kind == "f":
        is_binary = bool(((stack == 0) | (stack == 1)).all())
    else:
        tops = stack.max(axis=(1, 2), keepdims=True, initial=0)
        is_binary = bool(((stack == 0) | (stack == tops)).all())
    if not is_binary:
        low, high = (0, 1) if stack.min() >= 0 else (-1, 1)
        between = 0 if low < 0 else 0.5 if stack.max() <= high else 127
        raise ArraysError(
            f"the masks are no masks yet but {_range(stack)}",
            where,
            "0 and 1, or bool",
            f"give masks > {between}, or threshold={between}",
        )
    shown: BoolArray = stack != 0
    return shown


def _range(array: NDArray[Any]) -> str:
    if array.dtype.kind not in "iuf":
        return f"of the type {array.dtype}"
    return f"numbers from {array.min():.4g} to {array.max():.4g}"
