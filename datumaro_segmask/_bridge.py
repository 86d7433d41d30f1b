"""The table of our plugins, and how Datumaro comes to read it.

The contract is the entry-point group ``datumaro.plugins``, where setup.cfg declares the table: rows
in the shape of Datumaro's own ``specs.json``. Listing them imports no plugin. For as long as
Datumaro does not read that group, the table is given to it here.

This module replaces two functions of Datumaro, ``plugins.specs.get_lazy_plugins`` and
``components.format_detection.apply_format_detector``, and the importing of ``datum convert`` while
one runs with options of an import; `plugin.host` has all else that is private.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn, TypedDict

if TYPE_CHECKING:
    from datumaro.components.dataset import Dataset
    from datumaro.components.environment import Environment
    from datumaro.components.format_detection import (
        FormatDetectionConfidence,
        FormatDetectionContext,
        FormatDetector,
    )
    from datumaro.components.importer import Importer
    from datumaro.components.lazy_plugin import LazyPlugin

log = logging.getLogger(__name__)


class PluginSpec(TypedDict):
    """One row: what Datumaro has to know of a plugin before it imports it."""

    import_path: str
    plugin_name: str
    plugin_type: str
    extra_deps: list[str]
    metadata: dict[str, Any]


def _spec(import_path: str, plugin_name: str, plugin_type: str, **metadata: Any) -> PluginSpec:
    return PluginSpec(
        import_path=f"datumaro_segmask.{import_path}",
        plugin_name=plugin_name,
        plugin_type=plugin_type,
        extra_deps=[],
        metadata=metadata,
    )


# Datumaro asks an importer about a dataset only if a file of it has one of these extensions. ""
# stands for a path below which it finds no file names at all: every path to a file, and a folder
# whose name has the brackets of a glob pattern. ".zip": a folder that holds nothing but a zip.
# It compares them letter by letter.
EXTENSIONS = [".txt", ".png", ".zip", ".TXT", ".PNG", ".ZIP", ""]

PLUGINS = (
    _spec("plugin.importer.SegmaskImporter", "segmask", "Importer", file_extensions=EXTENSIONS),
    _spec("plugin.base.SegmaskBase", "segmask", "DatasetBase"),
    _spec("plugin.export.exporter.SegmaskExporter", "segmask", "Exporter"),
    _spec("plugin.training.coco.CocoSegmentsExporter", "coco_segments", "Exporter"),
    _spec(
        "plugin.training.coco.CocoSegmentsImporter",
        "coco_segments",
        "Importer",
        file_extensions=[".json", ""],
    ),
    _spec("plugin.training.coco.CocoSegmentsBase", "coco_segments", "DatasetBase"),
    _spec("plugin.training.yolo.YoloSegmentsExporter", "yolo_segments", "Exporter"),
    _spec(
        "plugin.training.yolo.YoloSegmentsImporter",
        "yolo_segments",
        "Importer",
        file_extensions=[".txt", ".yaml", ".yml", ""],
    ),
    _spec("plugin.training.yolo.YoloSegmentsBase", "yolo_segments", "DatasetBase"),
    _spec("plugin.training.panoptic.PanopticSegmentsExporter", "panoptic_segments", "Exporter"),
    _spec("plugin.training.semantic.SemanticMasksExporter", "semantic_masks", "Exporter"),
    _spec("plugin.transforms.MasksToExactPolygons", "masks_to_exact_polygons", "Transform"),
    _spec("plugin.transforms.SplitComponents", "split_components", "Transform"),
)


def extend(specs: ModuleType) -> bool:
    """Let the module ``datumaro.plugins.specs`` list our plugins too; False if it does already.

    Lets detectors that ask for it see files, by the way (`_let_detectors_see_files`).
    """
    builtin = specs.get_lazy_plugins
    if builtin.__module__ == __name__:
        return False

    def get_lazy_plugins() -> list[type[LazyPlugin]]:
        return [*builtin(), *_lazy_plugins()]

    specs.get_lazy_plugins = get_lazy_plugins  # type: ignore[attr-defined]
    _let_detectors_see_files()
    return True


def register_in(env: Environment | None) -> None:
    """See `datumaro_segmask.register`."""
    from datumaro.components.environment import DEFAULT_ENVIRONMENT, Environment
    from datumaro.plugins import specs

    if extend(specs):
        Environment.release_builtin_plugins()  # what new environments copy was read before us
    if env is None:
        env = DEFAULT_ENVIRONMENT
    if "segmask" not in env.importers:
        # Lazy plugins, never the classes: one real importer class among the lazy ones, and
        # Datumaro's detection fails for every format.
        env.register_plugins(_lazy_plugins())


def _lazy_plugins() -> list[type[LazyPlugin]]:
    """Return the rows of the table as Datumaro's registries take them."""
    from datumaro.components.lazy_plugin import get_lazy_plugin

    plugins = []
    for spec in PLUGINS:
        row = spec["import_path"], spec["plugin_name"], spec["plugin_type"], spec["extra_deps"]
        plugin = get_lazy_plugin(*row, spec["metadata"])
        is_importer = spec["plugin_type"] == "Importer"
        plugins.append(_detectable(plugin, spec["plugin_name"]) if is_importer else plugin)
    return plugins


def _detectable(plugin: type[LazyPlugin], name: str) -> type[LazyPlugin]:
    """The importer, made so that detection of other formats goes on if it cannot be imported."""

    class DetectableImporter(plugin):
        @classmethod
        @cache  # one warning, and for all extensions of the format the same stand-in
        def get_plugin_cls(cls) -> type[Importer]:
            try:
                importer: type[Importer] = super().get_plugin_cls()
            except Exception as error:
                importer = _stand_in(name, error)
            return importer

    return DetectableImporter


def _stand_in(name: str, error: Exception) -> type[Importer]:
    """An importer that rejects every dataset; asked for by its name, it raises *error*."""
    from datumaro.components.importer import Importer

    reason = f"the format {name!r} cannot be imported: {type(error).__name__}: {error}"
    log.warning("Datumaro's detection leaves out a format; %s", reason)

    class BrokenImporter(Importer):
        NAME = name

        @classmethod
        def detect(cls, context: FormatDetectionContext) -> None:
            context.fail(reason)

        @classmethod
        def find_sources(cls, path: str) -> NoReturn:
            raise error

    return BrokenImporter


def _let_detectors_see_files() -> None:
    """Let importer classes with ``DETECTS_FILES = True`` be asked about a path to a file.

    Datumaro answers for them that a dataset is a folder, so a zip that is read in place could
    never be detected.
    """
    from datumaro.components import format_detection

    for_folders = format_detection.apply_format_detector
    if for_folders.__module__ == __name__:
        return

    def apply_format_detector(
        dataset_root_path: str, detector: FormatDetector
    ) -> FormatDetectionConfidence:
        importer = getattr(detector, "__self__", None)
        if not (getattr(importer, "DETECTS_FILES", False) and os.path.isfile(dataset_root_path)):
            return for_folders(dataset_root_path, detector)
        context = format_detection.FormatDetectionContext(dataset_root_path)
        return detector(context) or format_detection.FormatDetectionConfidence.MEDIUM

    format_detection.apply_format_detector = apply_format_detector


@contextmanager
def import_with(
    options: dict[str, Any],
    options_of: Mapping[str, Collection[str]],
    refuse: Callable[[str], Exception],
) -> Iterator[None]:
    """Let ``datum convert`` import with ``options``, which it has no way to be given.

    ``options_of``: the names of those that each format has. If the format of the dataset lacks one
    that was given, raises what ``refuse`` makes of the format.
    """
    if not options:
        yield
        return
    convert = import_module("datumaro.cli.commands.convert")
    theirs = convert.Dataset

    class Importing:
        @staticmethod
        def import_from(path: str, found: str, **others: Any) -> Dataset:
            if not options.keys() <= {*options_of.get(found, ())}:
                raise refuse(found)
            imported: Dataset = theirs.import_from(path, found, **others, **options)
            return imported

    convert.Dataset = Importing  # type: ignore[attr-defined]
    try:
        yield
    finally:
        convert.Dataset = theirs  # type: ignore[attr-defined]
