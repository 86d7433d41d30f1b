"""The format ``coco_segments``: COCO instances and results, read and written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from datumaro.components.format_detection import FormatDetectionConfidence
from datumaro.components.media import Image

from ...arrays import Size
from ...errors import SegmaskImportError, SourceError
from ...formats import CocoWriter, make_images_folder
from ...formats.coco import record_of
from ...formats.read_coco import (
    CocoDataset,
    CocoImage,
    has_coco,
    has_doubled_names,
    open_coco,
    picture_of,
    read_objects,
)
from ...options import CocoExportOptions, CocoImportOptions
from ...storage import FolderSink, Record
from ..export.common import Done
from ..host import ABOVE_MEDIUM
from ..media import MissingImage, as_masks_lie
from ..reading import Found, SourceBase, SourceImporter, head_of
from .exporter import TrainingExporter, Writer


class CocoSegmentsBase(SourceBase):
    """The images of COCO files, and the masks and boxes of their annotations.

    ``images``: the folder of the pictures. ``gt``: the JSON of the dataset that results belong
    to. The others as `SourceBase`. Source: docs/predictions.md.
    """

    @classmethod
    def open(cls, path: str, **paths: str) -> CocoDataset:
        return open_coco(path, **paths)

    def entries(self, opened: CocoDataset) -> Mapping[str, Mapping[str, CocoImage]]:
        return {subset: file.images for subset, file in opened.files.items()}

    def labels(self, opened: CocoDataset) -> Sequence[tuple[str, str]]:
        return [*opened.labels.items()]

    def read(
        self,
        entry: CocoImage,
        subset: str,
        report: Callable[[SegmaskImportError], None],
        left_out: Counter[str],
    ) -> tuple[Image, Size, list[Found], dict[str, Any]]:
        file = self._opened.files[subset]
        media, size = _media(picture_of(file, entry), entry)
        found = [
            Found(
                o.label,
                o.instance,
                o.box,
                o.annotation_id,
                o.score,
                {**o.attributes, **({"is_crowd": True} if o.is_crowd else {})},
            )
            for o in read_objects(file, entry, size, report)
        ]
        return media, size, found, {"id": entry.image_id}


def _media(path: str | None, entry: CocoImage) -> tuple[Image, Size]:
    if path is not None:
        size = entry.size or head_of(path, path)[0]
        # Only a picture that its EXIF data turn has to know how the masks lie.
        turned = as_masks_lie(Image.from_file(path), lambda: size)
        return (turned if turned.has_size else Image.from_file(path, size=size)), size
    if entry.size is None:
        raise SourceError(
            f"width and height are missing, and there is no image {entry.file_name!r}",
            entry.where,
            "width and height, in pixels",
            "put the image beside the file, or import with images=FOLDER",
        )
    return MissingImage(entry.item_id, entry.size), entry.size


class CocoSegmentsImporter(SourceImporter):
    """Imports COCO instances and COCO results; every object comes back as the very same mask.

    What Datumaro finds as ``coco``, ``coco_instances`` or ``roboflow_coco`` stays so, unless two
    categories have one name, for which Datumaro refuses it.
    """

    NAME = "coco_segments"
    BASE = CocoSegmentsBase
    OPTIONS = CocoImportOptions

    @classmethod
    def get_file_extensions(cls) -> list[str]:
        return ["", ".json"]

    @classmethod
    def confidence(cls, path: str) -> FormatDetectionConfidence | None:
        if has_doubled_names(path):
            return ABOVE_MEDIUM
        return FormatDetectionConfidence.LOW if has_coco(path) else None


class CocoSegmentsExporter(TrainingExporter):
    """Exports COCO instances for training: all of them count (iscrowd 0).

    One annotation per pair of instance and label; categories count from 1, without the background;
    area and box are those of the pixels. ``segmentation``: ``polygons``, from which pycocotools
    paints the same pixels, or ``rle``, compressed. ``tolerance``: pixels by which polygons may be
    simplified. Source: docs/training.md, section 2.
    """

    NAME = "coco_segments"

    OPTIONS = CocoExportOptions

    def _apply_impl(self) -> None:
        super()._apply_impl()
        make_images_folder(self._save_dir)

    def _put(self, writer: Writer, done: Done) -> None:
        assert isinstance(writer, CocoWriter)
        # Datumaro's readers of COCO give the images in the reverse of the file, and keep their ids.
        writer.put(done.entry, done.made, done.image, source_id=done.source_id)

    def _record(self) -> Record:
        return record_of(self._save_dir)

    def _make_writer(self, sink: FolderSink) -> CocoWriter:
        return CocoWriter(
            sink,
            self._classes,
            segmentation=self._chosen.segmentation,
            tolerance=self._chosen.tolerance,
            has_images=self._save_media,
        )
