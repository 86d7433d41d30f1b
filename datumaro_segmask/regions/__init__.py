"""Sets of pixels: runs, shapes, polygons, instances; knows no files."""

from .components import CONNECTIVITIES, split_components
from .geometry import Bitmap, Ellipse, Geometry, Polygon, Rle, box, column_runs
from .outlines import Ring
from .painting import Planes, Shape, paint
from .polygons import mask_to_polygons, polygons_to_rle, rle_to_polygons, texts_to_polygons
from .rle import decode_box
from .scan import Instance, Runs, Scanner, group_runs
from .simplify import simplify_shared

__all__ = [
    "CONNECTIVITIES", "Bitmap", "Ellipse", "Geometry", "Instance", "Planes", "Polygon", "Ring",
    "Rle", "Runs", "Scanner", "Shape", "box", "column_runs", "decode_box", "group_runs",
    "mask_to_polygons", "paint", "polygons_to_rle", "rle_to_polygons", "simplify_shared",
    "split_components", "texts_to_polygons",
]  # fmt: skip
