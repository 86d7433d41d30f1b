"""What training code counts: objects that may overlap, rings, arrays; knows no Datumaro."""

from .arrays import dense, instances_of
from .center_rings import center_rings
from .segments import cover, simplified

__all__ = ["center_rings", "cover", "dense", "instances_of", "simplified"]
