"""Datumaro's door to the format: detection, and the options of an import."""

from __future__ import annotations

import os
from typing import Any

from datumaro.components.errors import DatasetNotFoundError
from datumaro.components.format_detection import FormatDetectionConfidence, FormatDetectionContext
from datumaro.components.importer import Importer

from .._bridge import EXTENSIONS
from ..errors import check_options
from ..options import ImportOptions
from ..rules import open_archive
from ..storage import absolute, archive_roots, holds_archive, is_alone, layout, url_of
from .base import check_subsets
from .host import (
    ABOVE_EXTREME_LOW,
    ABOVE_MEDIUM,
    FormatCli,
    datumaro_errors,
    keep_sources_absolute,
    let_datasets_know_their_archive,
    let_datasets_save_to_files,
)

NAME = "segmask"

let_datasets_save_to_files()
keep_sources_absolute(NAME)
let_datasets_know_their_archive()


class SegmaskImporter(FormatCli, Importer):
    """Imports CVAT's "Segmentation mask 1.1" archives: class masks and instance masks.

    The archive may be a folder or a zip, which is read in place.
    """

    NAME = NAME
    OPTIONS = ImportOptions
    # Datumaro's two VOC segmentation importers both take the bare layout for theirs, with what
    # counts as MEDIUM.
    DETECT_CONFIDENCE = ABOVE_MEDIUM
    DETECTS_FILES = True
    """Tells the bridge (`_bridge`) to ask `detect` about files too, for a zip."""

    @classmethod
    def get_file_extensions(cls) -> list[str]:
        return EXTENSIONS

    @classmethod
    def detect(cls, context: FormatDetectionContext) -> FormatDetectionConfidence:
        """Recognise an archive of masks where an import finds it, and leave full VOC to ``voc``.

        If the archive is in a sub-folder and other files are beside it, formats that know these
        files go first. It only lists folders, never opens a mask, and raises nothing but Datumaro's
        rejection.
        """
        path = absolute(context.root_path)
        if not holds_archive(path):
            context.fail("must be or contain one folder or zip with the layout of an archive")
        root = archive_roots(path)[0]
        is_zip = os.path.isfile(root)
        if not is_zip:
            cls._check_folder(FormatDetectionContext(root))
        is_meant = is_alone(path, root) or (is_zip and os.path.dirname(root) == path)
        return cls.DETECT_CONFIDENCE if is_meant else ABOVE_EXTREME_LOW

    @staticmethod
    def _check_folder(context: FormatDetectionContext) -> None:
        with context.require_any():
            for mark in (
                f"{layout.CLASS_MASKS}/**/*{layout.MASK_PATTERN}",
                f"{layout.INSTANCE_MASKS}/**/*{layout.MASK_PATTERN}",
                f"{layout.SUBSETS}/*{layout.LIST_SUFFIX}",
            ):
                with context.alternative():
                    context.require_file(mark)
        root = context.root_path
        if not any(
            os.path.exists(os.path.join(root, name))
            for name in (layout.CLASS_MASKS, layout.INSTANCE_MASKS, layout.LABEL_MAP)
        ):
            context.fail("must have masks or a label map beside the subset lists")
        for foreign in ("ImageSets/Main", "ImageSets/Layout", "ImageSets/Action", "Annotations"):
            if os.path.isdir(os.path.join(root, foreign)):
                context.fail(f"must have no {foreign}, which is a mark of the voc format")

    @datumaro_errors()
    def __call__(
        self, path: str | os.PathLike[str], stream: bool = False, **extra_params: Any
    ) -> list[dict[str, Any]]:
        """Return the source at a path, or at a URL, which Datumaro would take for a missing path.

        The archive is opened here, once: Datumaro passes on what is raised here as it is, while
        from the constructor of `SegmaskBase` it says "Failed to import" and no more, or the whole
        URL, keys and all. Raises DatasetNotFoundError, OptionError, and as `rules.open_archive`.
        """
        path = os.fspath(path)
        place = url_of(path)
        if place is None:
            if not path or not os.path.exists(path):
                raise DatasetNotFoundError(path, self.NAME)
            place = absolute(path)
        check_options(ImportOptions, extra_params)
        archive = open_archive(place, stream)
        check_subsets(archive)
        options = {**extra_params, "opened": archive, "stream": stream}
        return [{"url": place, "format": self.NAME, "options": options}]

    @classmethod
    @datumaro_errors()
    def find_sources(cls, path: str) -> list[dict[str, Any]]:
        """Return one source for the whole archive; its subsets are read in one pass.

        Raises as `rules.open_archive`.
        """
        open_archive(path)
        return [{"url": path, "format": cls.NAME}]

    @property
    def can_stream(self) -> bool:
        return True
