"""What is reached into of Datumaro from here, beside the bridge (`_bridge`)."""

from __future__ import annotations

import os
from functools import wraps
from typing import Any

from datumaro.components.dataset import Dataset
from datumaro.components.exporter import ExportContext, Exporter, _ExportFail
from datumaro.components.progress_reporting import NullProgressReporter


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
