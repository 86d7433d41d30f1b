"""What we need of the program that runs us: Datumaro's errors, policies, progress; the allocator.

This module and `_bridge` are the two that name what is private or unofficial in Datumaro. What
stays for the whole process is here, too, and is no more than this: that glibc has been asked to
keep freed memory (`keep_freed_memory`), the classes made of ours and Datumaro's errors, and
whether a bar is on the screen, which tqdm itself knows.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn, TypeVar

import cv2
import numpy as np
from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetBase, DatasetItem
from datumaro.components.errors import (
    DatasetExportError,
    DatasetImportError,
    InvalidAnnotationError,
)
from datumaro.components.exporter import ExportContext, Exporter, ExportErrorPolicy, _ExportFail
from datumaro.components.format_detection import FormatDetectionConfidence
from datumaro.components.importer import ImportErrorPolicy, _ImportFail
from datumaro.components.progress_reporting import NullProgressReporter, ProgressReporter
from datumaro.util.image import (
    IMAGE_BACKEND,
    IMAGE_COLOR_CHANNEL,
    ImageBackend,
    ImageColorChannel,
    decode_image,
)
from numpy.typing import DTypeLike, NDArray
from tqdm import tqdm

from ..errors import (
    LabelMapError,
    MaskLimitError,
    MaskSizeError,
    PngError,
    SegmaskError,
    SegmaskExportError,
    UndeclaredColorError,
)

T = TypeVar("T")
E = TypeVar("E", bound=SegmaskError)

ABOVE_MEDIUM = FormatDetectionConfidence.MEDIUM + 1
"""The step of confidence above MEDIUM, for which Datumaro has no name."""

# Errors


@contextmanager
def border() -> Iterator[None]:
    """Make the errors that leave the package through Datumaro Datumaro's own, too.

    A context, or a decorator of a function.
    """
    try:
        yield
    except SegmaskError as error:
        as_datumaros(error)
        raise


def as_datumaros(error: E) -> E:
    """Return the error itself, as one of Datumaro's classes beside its own."""
    if not isinstance(error, (DatasetImportError, DatasetExportError)):
        error.__class__ = _class_of(type(error))  # type: ignore[arg-type]
    return error


_OF_ANNOTATIONS = (LabelMapError, PngError, MaskLimitError, UndeclaredColorError, MaskSizeError)


@cache
def _class_of(ours: type[SegmaskError]) -> type[Any]:
    theirs: type[Exception] = DatasetImportError
    if issubclass(ours, SegmaskExportError):
        theirs = DatasetExportError
    elif issubclass(ours, _OF_ANNOTATIONS):
        theirs = InvalidAnnotationError

    # The class has no name to be found by, so a pickle holds one of ours, and comes here again.
    def reduce(error: SegmaskError) -> tuple[Any, ...]:
        return _restore, (ours, error.args, error.__dict__)

    body = {"__module__": ours.__module__, "__doc__": ours.__doc__, "__reduce__": reduce}
    return type(ours.__name__, (ours, theirs), body)


def _restore(ours: type[E], args: tuple[str, ...], attributes: dict[str, Any]) -> E:
    error = ours(*args)
    error.__dict__.update(attributes)
    return as_datumaros(error)


def report_imported(
    policy: ImportErrorPolicy, error: SegmaskError, item_id: str, subset: str
) -> None:
    """Tell an import's error policy of an item that cannot be read; returns if that goes on."""
    try:
        policy.report_item_error(as_datumaros(error), item_id=(item_id, subset))
    except _ImportFail as fail:
        # It has no text of its own, and Datumaro unwraps it in some places only: not in a stream,
        # nor in a subset that an exporter reads.
        raise fail.__cause__ or fail from error


def report_imported_annotation(
    policy: ImportErrorPolicy, error: SegmaskError, item_id: str, subset: str
) -> None:
    """Tell an import's error policy of an object that cannot be read; returns if that goes on."""
    try:
        policy.report_annotation_error(as_datumaros(error), item_id=(item_id, subset))
    except _ImportFail as fail:
        raise fail.__cause__ or fail from error


def report_exported(policy: ExportErrorPolicy, error: SegmaskError, item: DatasetItem) -> None:
    """Tell an export's error policy of an item that cannot be written; returns if that goes on."""
    try:
        policy.report_item_error(as_datumaros(error), item_id=(item.id, item.subset))
    except _ExportFail:
        _fail(error)


def report_annotation(policy: ExportErrorPolicy, error: SegmaskError, item: DatasetItem) -> None:
    """Tell an export's error policy of an annotation without a place in the masks."""
    try:
        policy.report_annotation_error(as_datumaros(error), item_id=(item.id, item.subset))
    except _ExportFail:
        _fail(error)


def _fail(error: SegmaskError) -> NoReturn:
    # Datumaro raises the cause, which would name the item and leave out the reason.
    raise _ExportFail from error


@contextmanager
def without_policy() -> Iterator[None]:
    """Raise what ended an export that nobody but us has started, as `Dataset.export` would."""
    try:
        yield
    except _ExportFail as fail:
        raise fail.__cause__ or fail from None


class CollectedErrors(ImportErrorPolicy):
    """Notes the errors of items instead of ending at the first."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[BaseException] = []

    def _handle_item_error(self, error: Exception) -> None:
        # Datumaro wraps the error, and names the item; ours names the file, and what to do.
        self.errors.append(error.__cause__ or error)


def set_subsets(base: DatasetBase, names: list[str]) -> None:
    """Make a dataset have these subsets, for which Datumaro has a constructor only."""
    base._subsets = names


# Saving


def meta_files(exporter: Exporter) -> dict[str, bytes]:
    """Return what ``save_dataset_meta`` asks an exporter to write, by its place in the folder."""
    if not exporter._save_dataset_meta:
        return {}
    with TemporaryDirectory() as folder:
        exporter._save_meta_file(folder)
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def let_datasets_save_to_files() -> None:
    """Let a dataset that was imported from a zip be saved there.

    ``Dataset.export`` makes a folder of its target before it asks anyone, which fails for a file.
    So for exporters with ``WRITES_FILES = True`` it is passed over where the target is one.
    """
    for_folders = Dataset.export
    if for_folders.__module__ == __name__:
        return

    @wraps(for_folders, assigned=("__doc__", "__name__", "__qualname__"))
    def export(
        self: Dataset,
        save_dir: str,
        format: str | type[Exporter],
        *,
        progress_reporter: Any = None,
        error_policy: Any = None,
        **options: Any,
    ) -> None:
        exporter = self.env.exporters[format] if isinstance(format, str) else format
        if not (getattr(exporter, "WRITES_FILES", False) and os.path.isfile(save_dir)):
            reporting = {"progress_reporter": progress_reporter, "error_policy": error_policy}
            for_folders(self, save_dir, format, **reporting, **options)
            return
        save_dir = os.path.abspath(save_dir)
        context = ExportContext(progress_reporter or NullProgressReporter(), error_policy)
        try:
            exporter.convert(self, save_dir, ctx=context, stream=self.is_stream, **options)
        except _ExportFail as fail:
            raise fail.__cause__ or fail from None
        self.bind(save_dir, format, options=options)
        if not self.is_stream:
            self.flush_changes()

    Dataset.export = export


# Progress

_DELAY = 1.0  # seconds: what takes no longer needs no bar


def track(
    items: Iterable[T], reporter: ProgressReporter, desc: str, total: int | None
) -> Iterator[T]:
    """Yield the items and report how many have been; ``total`` is None where that is not known.

    ``datum`` passes no reporter. So where Datumaro's silent default is all there is and the
    messages go to a terminal, a tqdm bar appears after a second, and log lines are printed above
    it. An import runs inside the export that asks for its items, and one bar is enough.
    """
    if not isinstance(reporter, NullProgressReporter):
        yield from reporter.iter(items, total=total, desc=desc)
        return
    if getattr(tqdm, "_instances", None) or not _is_watched():
        yield from items
        return
    from tqdm.auto import tqdm as bar
    from tqdm.contrib.logging import logging_redirect_tqdm

    with logging_redirect_tqdm():
        yield from bar(
            items,
            desc=desc,
            total=total,
            unit=" items",
            delay=_DELAY,
            leave=False,
            file=sys.stderr,
            **_screen(),
        )


def _is_watched() -> bool:
    """Tell whether someone sees a bar: on a terminal, or in a notebook."""
    if os.environ.get("TQDM_DISABLE"):  # tqdm's own switch, and that of --quiet
        return False
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def _screen() -> dict[str, int]:
    """Return a size for terminals that have none, as under ``script``: tqdm would draw nothing."""
    try:
        known = os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError, AttributeError):  # no terminal that could be asked
        return {}
    return {} if known else {"ncols": 80, "nrows": 24}


# Pictures


def decode_as_stored(data: bytes, dtype: DTypeLike) -> NDArray[Any]:
    """Decode an image as Datumaro does, but never turned, as OpenCV turns where channels change."""
    mode = IMAGE_COLOR_CHANNEL.get()
    if mode == ImageColorChannel.UNCHANGED or IMAGE_BACKEND.get() != ImageBackend.cv2:
        return np.asarray(decode_image(data, dtype=dtype))
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None:
        raise ValueError("OpenCV decodes no such image")
    return (image[..., ::-1] if mode == ImageColorChannel.COLOR_RGB else image).astype(dtype)


# Memory

_LARGEST = (32 << 20) - (1 << 16)  # bytes; glibc learns nothing from blocks above 32 MiB


@cache
def keep_freed_memory() -> None:
    """Ask the allocator to keep what is freed, as images need the same memory again and again.

    glibc gives large blocks back to the system when they are freed, and each page of the next one
    is a page fault: measured, two thirds of the time of a conversion to COCO, and more than half of
    that of an import. It lets larger blocks be kept once it has seen one freed (mallopt(3),
    "dynamic mmap threshold"): here up to 64 MiB, for arrays of up to 32 MiB. A user who has set the
    thresholds, such as by MALLOC_TRIM_THRESHOLD_, has the last word: they do not move then.
    Elsewhere this does nothing, and costs nothing: the block that is freed is never written to.
    """
    np.empty(_LARGEST, np.uint8)
