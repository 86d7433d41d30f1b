"""What can go wrong, and how it is said: what was met, where, what was expected, what to do.

The classes derive from Datumaro's own (``DatasetImportError``, ``DatasetExportError``), so that
its error policies and its callers treat them as they treat every other format's errors.
"""

from __future__ import annotations

from typing import ClassVar

from datumaro.components.errors import (
    DatasetExportError,
    DatasetImportError,
    DatumaroError,
    InvalidAnnotationError,
)


class SegmaskError(DatumaroError):
    """Base of all errors of this package.

    The four parts are attributes, so that a report can show them in columns:

    * ``what``: what was met, with the value itself;
    * ``where``: the file, and the line where there are lines (``labelmap.txt:7``);
    * ``expected``: what would have been right; may be empty;
    * ``remedy``: what the reader can do about it; may be empty.

    ``section`` is that of docs/format.md with the rule, which the message ends with.
    """

    section: ClassVar[int]

    def __init__(self, what: str, where: str, expected: str = "", remedy: str = "") -> None:
        # All four go to args, for that is what pickling an exception keeps.
        super().__init__(what, where, expected, remedy)
        self.what = what
        self.where = where
        self.expected = expected
        self.remedy = remedy

    def __str__(self) -> str:
        parts = [f"{self.where}: {self.what}."]
        if self.expected:
            parts.append(f"Expected {self.expected}.")
        if self.remedy:
            parts.append(f"To fix it: {self.remedy}.")
        return f"{' '.join(parts)} (docs/format.md, section {self.section})"


class SegmaskImportError(SegmaskError, DatasetImportError):
    """An archive, or one item of it, cannot be read as it stands."""

    section = 1


class LabelMapError(SegmaskImportError, InvalidAnnotationError):
    """``labelmap.txt`` breaks a rule of docs/format.md, section 2."""

    section = 2


class SubsetListError(SegmaskImportError):
    """A list under ``ImageSets/Segmentation`` cannot be read."""


class ArchiveError(SegmaskImportError):
    """A folder or zip is not an archive of this format, or is damaged as a whole."""


class MissingFileError(SegmaskImportError):
    """A file that was there when the archive was listed cannot be read any more."""


class UnsafePathError(SegmaskImportError):
    """A name leads out of the dataset, or cannot be a file name."""


class PngError(SegmaskImportError, InvalidAnnotationError):
    """The bytes of a mask are no sound PNG."""

    section = 3


class MaskLimitError(SegmaskImportError, InvalidAnnotationError):
    """A mask has more runs or instances than are taken apart: a photograph, noise, or an attack."""

    section = 3


class UndeclaredColorError(SegmaskImportError, InvalidAnnotationError):
    """A class mask holds colours or values that the label map does not declare."""

    section = 2


class MaskSizeError(SegmaskImportError, InvalidAnnotationError):
    """The class mask, the instance mask and the image of an item differ in size."""

    section = 4


class SegmaskExportError(SegmaskError, DatasetExportError):
    """A dataset, or one item of it, cannot be written in this format."""

    section = 5


class UnpaintableError(SegmaskExportError):
    """One annotation has no place in the masks."""
