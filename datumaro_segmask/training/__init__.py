"""What training code reads, made of the objects of an image; knows no Datumaro, no archives."""

from .coco import SEGMENTATIONS, CocoText, annotation_lines, image_line
from .segments import Segment, cover, simplified
from .yolo import data_file, label_lines, label_place

__all__ = [
    "SEGMENTATIONS", "CocoText", "Segment", "annotation_lines", "cover", "data_file", "image_line",
    "label_lines", "label_place", "simplified",
]  # fmt: skip
