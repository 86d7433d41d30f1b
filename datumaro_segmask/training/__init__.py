"""What training code reads, made of the objects of an image; knows no Datumaro, no archives."""

from .arrays import dense, instances_of
from .coco import ANNOTATIONS, SEGMENTATIONS, CocoText, annotation_lines, own_texts
from .segments import Segment, cover, simplified
from .yolo import (
    DATA_FILE,
    IMAGES,
    LABELS,
    LabelLines,
    data_file,
    is_own_data_file,
    label_lines,
    label_place,
)

__all__ = [
    "ANNOTATIONS", "DATA_FILE", "IMAGES", "LABELS", "SEGMENTATIONS", "CocoText", "LabelLines",
    "Segment", "annotation_lines", "cover", "data_file", "dense", "instances_of",
    "is_own_data_file", "label_lines", "label_place", "own_texts", "simplified",
]  # fmt: skip
