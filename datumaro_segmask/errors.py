"""What can go wrong. A message says what was found, where, what was expected, and what to do.

These are plain exceptions. If they leave the package through Datumaro, `plugin.host` also makes
them Datumaro's own (``DatasetImportError``, ``DatasetExportError``), so that its error policies
and its callers treat them like the errors of any other format.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, ClassVar, TypeAlias, TypeVar

from .options import EXPORTS, IMPORTS, fault_of, names_of

T = TypeVar("T")

_OF_IMPORTS = {name for declared in IMPORTS.values() for name in names_of(declared)}
_OF_EXPORTS = {name for declared in EXPORTS.values() for name in names_of(declared)}
OPTIONS = frozenset(_OF_IMPORTS | _OF_EXPORTS)
"""The options of ours that messages name, as Python has them; a test holds them."""

_OPTION = re.compile(rf"\b(option|with|without) ({'|'.join(sorted(OPTIONS))})\b(?:=(\w+))?")


def as_typed(text: str) -> str:
    """Return a message with its options as the reader types them.

    Messages name options as in Python: ``the option mask_mode``, ``with ignore_index=255``,
    ``without save_media``. On a command line that is ``--ignore-index 255``. The command ``datum``
    has no options of an import.
    """
    program = os.path.basename(sys.argv[0] if sys.argv else "").removesuffix(".exe")
    if program == "__main__.py":
        program = os.path.basename(os.path.dirname(sys.argv[0]))
    ours, theirs = program in ("datumaro-segmask", "datumaro_segmask"), program == "datum"

    def typed(match: re.Match[str]) -> str:
        word, name, value = match.groups()
        if word != "option" and "_" not in name:  # "without annotation" is plain English
            return match[0]
        option = f"{word} --{name.replace('_', '-')}"
        if value is not None and value != "True":
            option += f" {value}"
        if theirs and name in _OF_IMPORTS:
            option += " of 'datumaro-segmask convert'"
        return option

    return _OPTION.sub(typed, text) if ours or theirs else text


class SegmaskError(Exception):
    """Base of all errors of this package.

    The four parts are attributes, so that a report can show them in columns:

    * ``what``: what was found, with the value itself;
    * ``where``: the file, with the line if it has lines (``labelmap.txt:7``);
    * ``expected``: what would be right; may be empty;
    * ``remedy``: what the reader can do; may be empty.

    ``kind``: a short name of the fault that does not change; for a fault of an archive, the one
    that `check` prints (docs/cli.md). ``section``: the section of docs/format.md that has the rule,
    which the message names; 0 for none.
    """

    kind: str
    section: ClassVar[int]

    def __init__(
        self,
        what: str,
        where: str,
        expected: str = "",
        remedy: str = "",
        *,
        kind: str | None = None,
    ) -> None:
        # All four go to args, for that is what pickling an exception keeps, beside its attributes.
        super().__init__(what, where, expected, remedy)
        self.what = what
        self.where = where
        self.expected = expected
        self.remedy = remedy
        if kind is not None:
            self.kind = kind

    def __str__(self) -> str:
        parts = [f"{self.where}: {self.what}."]
        if self.expected:
            parts.append(f"Expected {self.expected}.")
        if self.remedy:
            parts.append(f"To fix it: {self.remedy}.")
        if self.section:
            rule = self.section
            parts.append(f"(docs/format.md, section {rule}: 'datumaro-segmask explain {rule}')")
        return printable(as_typed(" ".join(parts)))


class SegmaskImportError(SegmaskError):
    """An archive, or one item of it, cannot be read as it is."""

    kind = "unreadable-file"
    section = 1


class LabelMapError(SegmaskImportError):
    """``labelmap.txt`` breaks a rule of docs/format.md, section 2."""

    kind = "label-map"
    section = 2


class SubsetListError(SegmaskImportError):
    """A list under ``ImageSets/Segmentation`` cannot be read."""

    kind = "subset-list"


class ArchiveError(SegmaskImportError):
    """A folder or zip is not an archive of this format, or is damaged as a whole."""


class MissingFileError(SegmaskImportError):
    """A file that was there when the archive was opened can no longer be read."""


class StoreError(MissingFileError):
    """A store does not answer as it should, or a whole archive is gone while it is read.

    This is not a fault of an item. It ends the import, whatever the error policy, so that no item
    is left out because of it.
    """


class UnsafePathError(SegmaskImportError):
    """A name leads out of the dataset, or cannot be a file name."""

    kind = "unsafe-path"


class PngError(SegmaskImportError):
    """The bytes of a mask are not a valid PNG."""

    kind = "unreadable-mask"
    section = 3


class MaskLimitError(SegmaskImportError):
    """A mask is too complex to be read: a photograph, noise, or an attack."""

    kind = "unreadable-mask"
    section = 3


def check_limit(count: int, limit: int, what: str, where: str, remedy: str) -> None:
    """Raise MaskLimitError for a mask that has more of something than ``limit``."""
    if count > limit:
        what = f"the mask has {count:,} {what} or more"
        raise MaskLimitError(what, where, f"at most {limit:,}", remedy)


class UndeclaredColorError(SegmaskImportError):
    """A class mask has colours or values that the label map does not declare.

    ``undeclared``: these packed colours or gray values, with the number of pixels of each.
    ``cause``: what to do about all of them; None if they have no common cause.
    """

    kind = "undeclared-color"
    section = 2
    undeclared: Sequence[tuple[int, int]] = ()
    cause: str | None = None


class MaskSizeError(SegmaskImportError):
    """The class mask, the instance mask and the image of an item differ in size."""

    kind = "mask-size"
    section = 4


class SegmaskExportError(SegmaskError):
    """A dataset, or one item of it, cannot be written in this format."""

    kind = "export"
    section = 5


class UnpaintableError(SegmaskExportError):
    """One annotation has no place in the masks."""

    kind = "unpaintable"


class ArraysError(SegmaskExportError, ValueError):
    """Arrays of a model cannot become an item: they do not fit together, or are not masks yet."""

    section = 0


class UsageError(SegmaskError):
    """A command got something that it cannot work with."""

    kind = "usage"
    section = 0


class SourceError(SegmaskImportError):
    """A file of another format cannot be read (docs/predictions.md)."""

    kind = "source"
    section = 0


class OptionError(UsageError, SegmaskImportError):
    """An import, or a function, got an option that does not exist, or a value out of range."""


class ExportOptionError(UsageError, SegmaskExportError):
    """An export got an option that does not exist, or a value that it cannot have."""


class SubsetError(OptionError, KeyError):
    """A subset was asked for that is not there."""


EXPORT = "the export"
"""Where the options of an export are."""


def check_options(declared: type[T], given: Mapping[str, Any], where: str = "the import") -> T:
    """Return the options of a class of `options`; those that are not given have their defaults.

    ``where`` has the options, as messages name it. Raises OptionError, or ExportOptionError for
    ``the export``, for an option that does not exist, or a value that it cannot have.
    """
    fault = fault_of(declared, given)
    if fault is not None:
        what, expected, remedy = fault
        error = ExportOptionError if where == EXPORT else OptionError
        raise error(what, where, expected, remedy)
    return declared(**given)


Report: TypeAlias = Callable[[SegmaskImportError], None]
"""Gets a fault that a reader found. If it returns, reading goes on as far as possible."""


def stop(error: SegmaskError) -> None:
    """Raise the first fault. Everything except `check` reports this way."""
    raise error


class reporting:  # noqa: N801, used like a function
    """A context that reports the error that ends it; if the report returns, reading goes on."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> bool:
        if not isinstance(error, SegmaskImportError) or isinstance(error, StoreError):
            return False
        self._report(error)
        return True


_LONGEST = 4000  # characters of a message; a name of an archive may have a million
_END = 500


def shortened(text: str) -> str:
    """Return a text of an archive, without its middle if it has more than 4,000 characters."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - _END]} [...] {text[-_END:]}"


def printable(text: str) -> str:
    """Return a text of an archive, `shortened` and without what could steer a terminal."""
    text = shortened(text)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def counted(number: int, noun: str) -> str:
    """Return a number and what it counts: ``1 pixel``, ``2,000 pixels``, ``3 classes``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "es" if noun.endswith("s") else "s")


def numbered(number: int, plural: str) -> str:
    """Return a number and a phrase, whose first word is a plural: ``1 item without an image``."""
    noun, space, rest = plural.partition(" ")
    if number == 1:
        noun = noun.removesuffix("es" if noun.endswith(("xes", "sses")) else "s")
    return f"{number:,} {noun}{space}{rest}"
