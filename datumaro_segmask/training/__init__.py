"""What training code counts: objects that may overlap, rings, arrays; knows no Datumaro."""

from .arrays import dense, instances_of
from .batches import Batches, Job
from .center_rings import MAX_LENGTH, center_rings
from .predictions import (
    NOTHING,
    SHAPES,
    as_array,
    as_masks,
    as_whole,
    check_size,
    planes_of_segments,
    z_orders,
)
from .segments import cover, simplified, unite

__all__ = [
    "MAX_LENGTH", "NOTHING", "SHAPES", "Batches", "Job", "as_array", "as_masks", "as_whole",
    "center_rings", "check_size", "cover", "dense", "instances_of", "planes_of_segments",
    "simplified", "unite", "z_orders",
]  # fmt: skip
