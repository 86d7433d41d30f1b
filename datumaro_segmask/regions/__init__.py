"""Sets of pixels: runs, shapes, polygons, instances; knows no files."""

from .links import Link, link_rings, splice, ways_to_outlines
from .outlines import WHERE_AND_FIX, Outlines, Ring, cut_at_columns, trace
from .painting import (
    Bitmap,
    Ellipse,
    Geometry,
    Planes,
    Polygon,
    Rle,
    Shape,
    box,
    column_runs,
    overlap_of_boxes,
    paint,
    runs_of_planes,
)
from .polygons import (
    mask_to_polygons,
    polygons_to_rle,
    rle_to_polygons,
    runs_of_texts,
    texts_to_polygons,
)
from .rle import covers, decode_box
from .scan import (
    NOTHING,
    Instance,
    Runs,
    Scanner,
    group_images,
    group_runs,
    split_components,
)
from .simplify import simplify_shared

__all__ = [
    "NOTHING", "WHERE_AND_FIX", "Bitmap", "Ellipse", "Geometry", "Instance", "Link", "Outlines",
    "Planes", "Polygon", "Ring", "Rle", "Runs", "Scanner", "Shape", "box", "column_runs", "covers",
    "cut_at_columns", "decode_box", "group_images", "group_runs", "link_rings", "mask_to_polygons",
    "overlap_of_boxes", "paint", "polygons_to_rle", "rle_to_polygons", "runs_of_planes",
    "runs_of_texts", "simplify_shared", "splice", "split_components", "texts_to_polygons", "trace",
    "ways_to_outlines",
]  # fmt: skip
