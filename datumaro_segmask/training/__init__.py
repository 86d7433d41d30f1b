"""What training code counts: objects that may overlap, rings, arrays; knows no Datumaro."""

from .arrays import dense, instances_of
from .batches import Batches, Job
from .center_rings import MAX_LENGTH, center_rings
from .segments import cover, simplified, unite

__all__ = [
    "MAX_LENGTH", "Batches", "Job", "center_rings", "cover", "dense", "instances_of", "simplified",
    "unite",
]  # fmt: skip
