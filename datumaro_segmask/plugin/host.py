"""What we need of the program that runs us: Datumaro's errors, policies, progress.

This module and `_bridge` are the two that name what is private or unofficial in Datumaro. What
stays for the whole process is here, too, and is no more than this: the classes made of ours and
Datumaro's errors, and whether a bar is on the screen, which tqdm itself knows. And glibc has been
asked to keep freed memory (`arrays.keep_freed_memory`).
"""

from __future__ import annotations

import argparse
import inspect
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, ClassVar, TypeVar

import cv2
import numpy as np
from datumaro.components.cli_plugin import CliPlugin
from datumaro.components.dataset import Dataset, StreamDataset
from datumaro.components.dataset_base import DatasetBase, IDataset
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

from .. import progress
from ..errors import (
    LabelMapError,
    MaskLimitError,
    MaskSizeError,
    PngError,
    SegmaskError,
    SegmaskExportError,
    UndeclaredColorError,
)
from ..options import OF_DATUMARO, add_to, nearest_option
from ..storage import Entry, Listing, absolute

T = TypeVar("T")
E = TypeVar("E", bound=SegmaskError)

ABOVE_MEDIUM = FormatDetectionConfidence.MEDIUM + 1
"""The step of confidence above MEDIUM, for which Datumaro has no name."""

ABOVE_EXTREME_LOW = FormatDetectionConfidence.EXTREME_LOW + 1
"""Above a folder of pictures, which Datumaro calls EXTREME_LOW, and below all else."""

# Errors


@contextmanager
def datumaro_errors() -> Iterator[None]:
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
    tell: Callable[..., None], error: SegmaskError, item_id: str, subset: str
) -> None:
    """Tell an import's error policy what cannot be read; returns if that goes on.

    ``tell`` is its method for items, or the one for annotations.
    """
    try:
        tell(as_datumaros(error), item_id=(item_id, subset))
    except _ImportFail as fail:
        # It has no text of its own, and Datumaro unwraps it in some places only: not in a stream,
        # nor in a subset that an exporter reads.
        raise fail.__cause__ or fail from error


def report_exported(tell: Callable[..., None], error: SegmaskError, entry: Entry) -> None:
    """Tell an export's error policy what cannot be written, as `report_imported` does."""
    try:
        tell(as_datumaros(error), item_id=entry)
    except _ExportFail:
        # Datumaro raises the cause, which would name the item and leave out the reason.
        raise _ExportFail from error


@contextmanager
def without_policy() -> Iterator[None]:
    """Raise what ended an export that was started by us, as `Dataset.export` would."""
    try:
        yield
    except _ExportFail as fail:
        raise fail.__cause__ or fail from None


class _Collected:
    """Notes the errors of items and annotations instead of ending at the first."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[BaseException] = []

    def _note(self, error: Exception) -> None:
        # Datumaro wraps the error, and names the item; ours names the file, and what to do.
        self.errors.append(error.__cause__ or error)

    _handle_item_error = _handle_annotation_error = _note


class CollectedErrors(_Collected, ImportErrorPolicy):
    """Notes what is wrong with items and annotations of an import."""


class CollectedExportErrors(_Collected, ExportErrorPolicy):
    """Notes what is wrong with items and annotations of an export."""


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
    So for exporters with ``WRITES_FILES = True`` it is passed over if the target is one, or is to
    be one: its name ends in ``.zip``, and the option ``zip`` is given or the dataset was imported
    from there. That failure kept files safe from ``datum``, whose own check knows folders only;
    `check_target` does so instead.
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
        known = known_archive(self)
        was_zip = known is not None and known.place == os.path.realpath(save_dir)
        may_be_zip = names_zip(save_dir) and not options.get("shard_items")
        makes_zip = may_be_zip and (options.get("zip") or was_zip)
        is_file = os.path.isfile(save_dir) or makes_zip
        if not (getattr(exporter, "WRITES_FILES", False) and is_file):
            reporting = {"progress_reporter": progress_reporter, "error_policy": error_policy}
            for_folders(self, save_dir, format, **reporting, **options)
            return
        check_target(save_dir)
        save_dir = os.path.abspath(save_dir)
        os.makedirs(os.path.dirname(save_dir), exist_ok=True)
        context = ExportContext(progress_reporter or NullProgressReporter(), error_policy)
        with without_policy():
            exporter.convert(self, save_dir, ctx=context, stream=self.is_stream, **options)
        self.bind(save_dir, format, options=options)
        if not self.is_stream:
            self.flush_changes()

    Dataset.export = export


def names_zip(path: str | os.PathLike[str]) -> bool:
    """Whether a path is that of a zip by its name, and no folder is there."""
    return os.fspath(path).lower().endswith(".zip") and not os.path.isdir(path)


def check_target(path: str | os.PathLike[str] | None = None) -> None:
    """Refuse to write over a file in a command of ``datum`` that was not told ``--overwrite``.

    ``path``: the target, or None for the one that the command was given. Raises Datumaro's own
    error, in its own words; never if Python code writes, which knows what it names.
    """
    options = _command_at_work()
    if options is None or getattr(options, "overwrite", False):
        return
    path = path or getattr(options, "dst_dir", None)
    if path and os.path.isfile(path):
        from datumaro.cli.util.errors import CliException

        raise CliException(f"Directory '{path}' already exists (pass --overwrite to overwrite)")


def _command_at_work() -> argparse.Namespace | None:
    """Return the options of the command of ``datum`` that has called us, None without one.

    Its options are nowhere but in its own frame, as ``args``.
    """
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("datumaro.cli."):
            options = frame.f_locals.get("args")
            if isinstance(options, argparse.Namespace):
                return options
        frame = frame.f_back
    return None


def keep_sources_absolute(name: str) -> None:
    """Make the path of each dataset of the format ``name`` absolute when it is imported.

    Datumaro keeps the path as it was given, so after ``os.chdir`` a ``save()`` would go elsewhere.
    It notes the path, and then the format.
    """
    if hasattr(Dataset, "_format"):
        return

    def get(dataset: Dataset) -> str:
        return dataset.__dict__["_format"]  # type: ignore[no-any-return]

    def note(dataset: Dataset, format: str) -> None:
        dataset.__dict__["_format"] = format
        if format == name and dataset._source_path:
            dataset._source_path = absolute(dataset._source_path)

    Dataset._format = property(get, note)


_KNOWN = "_segmask_listing"


def let_datasets_know_their_archive() -> None:
    """Let a dataset keep what its source notes of the archive, as the source goes when it is read.

    That is what the source has as ``listing``.
    """
    make = Dataset.__init__
    if make.__module__ == __name__:
        return

    @wraps(make, assigned=("__doc__", "__name__", "__qualname__"))
    def init(self: Dataset, source: Any = None, *args: Any, **options: Any) -> None:
        make(self, source, *args, **options)
        remember_archive(self, getattr(source, "listing", None))

    Dataset.__init__ = init


def remember_archive(dataset: Dataset, listing: Listing | None) -> None:
    """Note what is known of the archive of a dataset."""
    setattr(dataset, _KNOWN, listing)


def known_archive(dataset: IDataset) -> Listing | None:
    """Return what is known of the archive of a dataset, None if nothing is."""
    known: Listing | None = getattr(dataset, _KNOWN, None)
    return known or getattr(source_of(dataset), "listing", None)


def source_of(dataset: IDataset) -> object:
    """Return what a stream of items is read from; None for what is no stream."""
    return dataset._data._source if isinstance(dataset, StreamDataset) else None


# The command line


class FormatCli(CliPlugin):
    """What the options after ``--`` of ``datum`` have in common for our importers and exporters."""

    OPTIONS: ClassVar[type]
    """What `options` declares for the format."""

    @classmethod
    def build_cmdline_parser(cls, **kwargs: Any) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().build_cmdline_parser(**kwargs)
        add_to(parser, cls.OPTIONS, but=OF_DATUMARO)
        return parser

    @staticmethod
    def _get_doc(cls: type) -> str:
        """Return the sentence that explains a format; the rest of a docstring is for Python."""
        return (inspect.getdoc(cls) or "").partition("\n\n")[0]

    @classmethod
    def parse_cmdline(cls, args: list[str] | None = None) -> dict[str, Any]:
        """Return the options; refuses a target before any work is done, as `check_target` does."""
        parser = cls.build_cmdline_parser()
        args = args[1:] if args and args[0] == "--" else args
        unknown = [a for a in parser.parse_known_args(args)[1] if a.startswith("--")]
        meant = nearest_option(parser, unknown[0]) if unknown else None
        if meant:
            parser.error(f"there is no option {unknown[0]}: type {meant}")
        options: dict[str, Any] = super().parse_cmdline(args)
        check_target()
        return options


# Progress


def track(
    items: Iterable[T], reporter: ProgressReporter, desc: str, total: int | None
) -> Iterator[T]:
    """Yield the items and report how many have been; ``total`` is None where that is not known.

    ``datum`` passes no reporter. So where Datumaro's silent default is all there is, our own bar
    shows it (`progress`).
    """
    if isinstance(reporter, NullProgressReporter):
        return progress.track(items, desc, total)
    return reporter.iter(items, total=total, desc=desc)  # type: ignore[no-any-return]


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


def save_bytes(data: bytes, fp: str | IO[bytes], crypter: Any = None) -> None:
    """Write a file's bytes to a path or a file as Datumaro copies pictures.

    ``crypter``: what Datumaro 1.11 encrypts them with; its default changes nothing.
    """
    if crypter is not None:
        data = crypter.encrypt(data)
    if isinstance(fp, str):
        Path(fp).parent.mkdir(parents=True, exist_ok=True)
        Path(fp).write_bytes(data)
    else:
        fp.write(data)
