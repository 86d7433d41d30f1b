"""The table of our plugins, and how Datumaro comes to read it and every other such table.

The contract is the entry-point group ``datumaro.plugins``: an entry's value is a sequence of
rows in the shape of Datumaro's own ``specs.json``. Listing them imports no plugin.

This is the one module that reaches into Datumaro: it replaces two of its functions,
``plugins.specs.get_lazy_plugins`` and ``components.format_detection.apply_format_detector``.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from importlib.metadata import Distribution, EntryPoint, distributions
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn, TypedDict

if TYPE_CHECKING:
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
_EXTENSIONS = [".txt", ".png", ".zip", ""]

PLUGINS = (
    _spec("plugin.importer.SegmaskImporter", "segmask", "Importer", file_extensions=_EXTENSIONS),
    _spec("plugin.base.SegmaskBase", "segmask", "DatasetBase"),
    _spec("plugin.exporter.SegmaskExporter", "segmask", "Exporter"),
    _spec("plugin.transforms.MasksToExactPolygons", "masks_to_exact_polygons", "Transform"),
    _spec("plugin.transforms.SplitComponents", "split_components", "Transform"),
)

GROUP = "datumaro.plugins"
# Our entry as setup.cfg declares it, for a source tree that is on the path but not installed.
_OURS = "datumaro-segmask", EntryPoint("segmask", f"{__name__}:PLUGINS", GROUP)


def extend(specs: ModuleType) -> bool:
    """Let the module ``datumaro.plugins.specs`` list the entry points too; False if it does.

    Lets detectors that ask for it see files, by the way (`_let_detectors_see_files`).
    """
    builtin = specs.get_lazy_plugins
    if builtin.__module__ == __name__:
        return False

    def get_lazy_plugins() -> list[type[LazyPlugin]]:
        return [*builtin(), *_lazy_plugins(_entries())]

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
        env.register_plugins(_lazy_plugins([_OURS]))


def _lazy_plugins(entries: Iterable[tuple[str, EntryPoint]]) -> list[type[LazyPlugin]]:
    """The plugins of *entries*; an import path that two of them have counts once.

    Of a broken entry, the rows from the broken one on are left out, with a warning; Datumaro
    and all the other formats go on.
    """
    plugins: dict[str, type[LazyPlugin] | None] = {}
    for distribution, entry in entries:
        try:
            for spec in entry.load():
                if spec["import_path"] not in plugins:
                    plugins[spec["import_path"]] = _lazy_plugin(spec)
        except Exception as error:
            log.warning(
                "Datumaro goes on without plugins of entry point %r (%s) of distribution %r, "
                "which is broken: %s: %s. Update or uninstall that distribution",
                *(entry.name, entry.value, distribution, type(error).__name__, error),
            )
    return [plugin for plugin in plugins.values() if plugin is not None]


def _entries() -> Iterator[tuple[str, EntryPoint]]:
    """Our own entry, then those of the group in every distribution, with its name."""
    yield _OURS
    for distribution in distributions():
        try:
            entries = [entry for entry in distribution.entry_points if entry.group == GROUP]
        except Exception as error:
            log.warning(
                "Datumaro goes on without plugins of distribution %r, whose entry points "
                "cannot be read: %s: %s. Reinstall that distribution",
                *(_name(distribution), type(error).__name__, error),
            )
        else:
            yield from ((_name(distribution), entry) for entry in entries)


def _name(distribution: Distribution) -> str:
    """Its name, or where it lies if its metadata has none."""
    with suppress(Exception):
        if name := distribution.metadata["Name"]:
            return name
    return str(distribution.locate_file(""))


def _lazy_plugin(spec: PluginSpec) -> type[LazyPlugin] | None:
    """The row as Datumaro's registries take it; None where an extra dependency is missing.

    Raises for what would make every registration fail, of whatever plugin.
    """
    from datumaro.components.lazy_plugin import get_lazy_plugin

    role, metadata = spec["plugin_type"], spec.get("metadata", {})
    if role == "Importer" and "file_extensions" not in metadata:
        raise ValueError(f"the importer {spec['plugin_name']!r} has no metadata['file_extensions']")
    plugin: type[LazyPlugin] | None = get_lazy_plugin(
        spec["import_path"], spec["plugin_name"], role, spec.get("extra_deps", []), metadata
    )
    return _detectable(plugin) if role == "Importer" and plugin is not None else plugin


def _detectable(plugin: type[LazyPlugin]) -> type[LazyPlugin]:
    """The same importer, made so that detection goes on if it cannot be imported.

    Detection imports every importer whose extensions match, and would end at the first error.
    """

    class DetectableImporter(plugin):
        @classmethod
        @cache  # one warning, and for all extensions of the format the same stand-in
        def get_plugin_cls(cls) -> type[Importer]:
            try:
                importer: type[Importer] = super().get_plugin_cls()
            except Exception as error:
                importer = _stand_in(cls.NAME, error)
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
