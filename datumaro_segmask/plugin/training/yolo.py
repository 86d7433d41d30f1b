"""The format ``yolo_segments``: Ultralytics' tree of images and label files."""

from __future__ import annotations

import argparse
from typing import Any, ClassVar

from datumaro.components.dataset_base import IDataset

from ...formats import YoloWriter
from ...formats.yolo import record_of
from ...storage import FolderSink, Record
from ...training import parse_splits
from ..items import OBJECT, SKIP, STUFF
from .exporter import TrainingExporter


class YoloSegmentsExporter(TrainingExporter):
    """Exports segments as Ultralytics trains on them: images, labels/…/*.txt, data.yaml.

    One line for each pair of instance and label: a ring through the centres of the outermost
    pixels, which ``cv2.fillPoly`` paints to the very same mask; parts are joined by the shortest
    bridges. ``split`` says which subset is which split: ``name=train,…``; ``default`` is ``train``
    unless it says otherwise. Source: docs/training.md.
    """

    NAME = "yolo_segments"
    STUFF: ClassVar[dict[str, str]] = {name: STUFF[name] for name in (OBJECT, SKIP)}

    @classmethod
    def build_cmdline_parser(cls, **kwargs: Any) -> argparse.ArgumentParser:
        parser = super().build_cmdline_parser(**kwargs)
        add_split_option(parser)
        return parser

    def __init__(
        self, extractor: IDataset, save_dir: str, *, split: str = "", **kwargs: Any
    ) -> None:
        super().__init__(extractor, save_dir, **kwargs)
        self._split_of = parse_splits(split)

    def _record(self) -> Record:
        return record_of(self._save_dir)

    def _make_writer(self, sink: FolderSink) -> YoloWriter:
        return YoloWriter(
            sink,
            self._classes,
            split_of=self._split_of,
            has_images=self._save_media,
            root=self._save_dir,
        )


def add_split_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--split``, for formats that know splits."""
    parser.add_argument(
        "--split",
        default="",
        help="Which subset becomes which split, as in 'train2017=train,val2017=val' "
        "(default: by what their names say, such as 'Train', 'valid' or 'test-dev'; all others "
        "are trained on)",
    )
