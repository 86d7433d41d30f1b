"""The format ``semantic_masks``: a class for every pixel, as the trainers want it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from datumaro.components.dataset_base import DatasetItem, IDataset
from datumaro.components.media import Image

from ...errors import EXPORT, ExportOptionError, SegmaskError, SegmaskExportError
from ...formats.pictures import rgb_png
from ...formats.semantic import SemanticWriter, record_of
from ...options import MMSEGMENTATION, NNUNET, SOURCE, SemanticExportOptions
from ...storage import FolderSink, Record, open_storage
from ...storage import layout as places
from ...training import parse_splits
from ..host import known_archive
from ..items import painted_item
from ..labels import make_export_labels
from ..media import file_suffix, place_of, upright_image
from .exporter import TrainingExporter

_LOSSLESS = ".png"


class SemanticMasksExporter(TrainingExporter):
    """Exports a class for every pixel, for mmsegmentation, Ultralytics, nnU-Net and SegFormer.

    Class 0 is the background, the labels follow from 1 in their order, and training ignores 255:
    unknown pixels, VOC's void, and the label ``ignore_label``. If ``ignore_label`` is the
    background, the labels count from 0. Options: `SemanticExportOptions`. Source: docs/training.md,
    section 9.
    """

    NAME = "semantic_masks"
    OPTIONS = SemanticExportOptions

    def __init__(self, extractor: IDataset, save_dir: str, **options: Any) -> None:
        super().__init__(extractor, save_dir, **options)
        chosen: SemanticExportOptions = self._chosen
        self._labels = make_export_labels(extractor.categories(), SOURCE)
        self._make = partial(painted_item, labels=self._labels)
        self._layout = chosen.layout
        self._split_of = parse_splits(chosen.split)
        self._ignored = self._positions(chosen.ignore_label)
        if chosen.layout == NNUNET:
            self._flat_names = False  # names are flat already
            self._image_ext = _LOSSLESS
            self._picture = _rgb_image

    def _positions(self, ignore_label: str | None) -> set[int]:
        label_map = self._labels.label_map
        found = {i for i, label in enumerate(label_map.labels) if label.is_void}
        if ignore_label is not None:
            names = [label.name for label in label_map.labels]
            if ignore_label not in names:
                what = f"the option ignore_label is {ignore_label!r}"
                known = f"one of {', '.join(map(repr, names))}"
                raise ExportOptionError(what, EXPORT, known, "choose one of them")
            found.add(names.index(ignore_label))
        return found

    def _record(self) -> Record:
        return record_of(self._layout)

    def _make_writer(self, sink: FolderSink) -> SemanticWriter:
        if self._layout == MMSEGMENTATION and not self._image_ext:
            suffixes = {suffix.lower() for suffix in self._suffixes()}
            if suffixes:
                self._image_ext = suffixes.pop() if len(suffixes) == 1 else _LOSSLESS
        return SemanticWriter(
            sink,
            self._labels.label_map,
            layout=self._layout,
            ignored=self._ignored,
            split_of=self._split_of,
            has_images=self._save_media,
            root=self._save_dir,
        )

    def _suffixes(self) -> Iterator[str]:
        """Yield the suffix of each picture: of the archive's files if the items come from one."""
        known = known_archive(self._extractor)
        if known is not None:
            with suppress(SegmaskError, OSError):
                files = open_storage(known.place).files(places.IMAGES)
                found = {places.split_suffix(name)[1] for name in files}
                return (suffix for suffix in found if suffix.lower() in places.IMAGE_SUFFIXES)
        media = (item.media for item in self._extractor)
        pictures = (one for one in media if isinstance(one, Image) and one.has_data)
        return filter(None, map(file_suffix, pictures))


def _rgb_image(item: DatasetItem, suffix: str) -> tuple[bytes, bool]:
    """Return the file of a picture as nnU-Net wants it; as `upright_image` else."""
    data, is_turned = upright_image(item, suffix)
    try:
        return rgb_png(data), is_turned
    except ValueError as error:
        raise SegmaskExportError(
            f"its image cannot be saved ({error})",
            place_of(item),
            "an image that can be decoded",
            "check the file, or export without save_media",
        ) from error
