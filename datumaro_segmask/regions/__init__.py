"""Sets of pixels: runs, shapes, polygons, instances; knows no files."""

from .components import CONNECTIVITIES, split_components
from .geometry import Bitmap, Ellipse, Geometry, Polygon, Rle, box, column_runs, overlap_of_boxes
from .outlines import Link, Outlines, Ring, shortest_links, sides_of, splice, trace, unit_edges
from .painting import Planes, Shape, paint
from .polygons import (
    mask_to_polygons,
    polygons_to_rle,
    rle_to_polygons,
    runs_of_texts,
    texts_to_polygons,
    ways_to_holes,
)
from .rle import decode_box
from .scan import Instance, Runs, Scanner, group_runs
from .simplify import simplify_shared

__all__ = [
    "CONNECTIVITIES", "Bitmap", "Ellipse", "Geometry", "Instance", "Link", "Outlines", "Planes",
    "Polygon", "Ring", "Rle", "Runs", "Scanner", "Shape", "box", "column_runs", "decode_box",
    "group_runs", "mask_to_polygons", "overlap_of_boxes", "paint", "polygons_to_rle",
    "rle_to_polygons", "runs_of_texts", "shortest_links", "sides_of", "simplify_shared", "splice",
    "split_components", "texts_to_polygons", "trace", "unit_edges", "ways_to_holes",
]  # fmt: skip
