"""What training code counts: objects that may overlap, rings, arrays, splits; knows no Datumaro."""

from .arrays import decode, dense, instances_of, stack_of
from .center_rings import MAX_LENGTH, center_rings
from .predictions import (
    SHAPES,
    as_array,
    as_masks,
    as_whole,
    check_size,
    planes_of_segments,
    z_orders,
)
from .segments import cover, simplified, unite
from .splits import TEST, TRAIN, VAL, Splits, meaning_of, parse_splits, split_subsets

__all__ = [
    "MAX_LENGTH", "SHAPES", "TEST", "TRAIN", "VAL", "Splits", "as_array", "as_masks", "as_whole",
    "center_rings", "check_size", "cover", "decode", "dense", "instances_of", "meaning_of",
    "parse_splits", "planes_of_segments", "simplified", "split_subsets", "stack_of", "unite",
    "z_orders",
]  # fmt: skip
