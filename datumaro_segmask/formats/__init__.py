"""A writer a format: items in, files out; knows no Datumaro, no shards, nothing of their source.

A writer has ``add(entry, item, image)`` for one item (``image``: the file of its picture, if it is
to be written), ``finish()`` for what belongs to all of them, and counts in ``left_out`` what has no
place in the format. What it writes goes to a `storage.Sink`, which whoever made it finishes.
"""

from .archive import (
    ArchiveWriter,
    Masks,
    Member,
    Standing,
    check_colors,
    format_label_map,
    instance_numbers,
    two_of_one_id,
    unknown_value,
    usual_places,
)
from .coco import CocoWriter, make_images_folder
from .common import (
    OF_BACKGROUND,
    OF_UNKNOWN,
    WITHOUT_IMAGE,
    WITHOUT_LABEL,
    WITHOUT_SIZE,
    Classes,
    check_names,
    log_left_out,
    place_of_entry,
    put_image,
)
from .yolo import YoloWriter

__all__ = [
    "OF_BACKGROUND", "OF_UNKNOWN", "WITHOUT_IMAGE", "WITHOUT_LABEL", "WITHOUT_SIZE",
    "ArchiveWriter", "Classes", "CocoWriter", "Masks", "Member", "Standing", "YoloWriter",
    "check_colors", "check_names", "format_label_map", "instance_numbers", "log_left_out",
    "make_images_folder", "place_of_entry", "put_image", "two_of_one_id", "unknown_value",
    "usual_places",
]  # fmt: skip
