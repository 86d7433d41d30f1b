"""CVAT's segmentation masks ("Segmentation mask 1.1") as the Datumaro format ``segmask``.

What most people need:

```python
import datumaro_segmask
from datumaro.components.dataset import Dataset

dataset = Dataset.import_from("task.zip", "segmask")  # a folder or a zip
for item in dataset:
    height, width = item.media.size
    for mask in item.annotations:  # RleMask; with annotation="polygon" exact polygons
        print(item.id, item.subset, mask.label, mask.group, mask.get_area(), mask.image.shape)
datumaro_segmask.show(item, dataset).save("item.png")  # in a notebook, show(...) is enough
dataset.export("out", "segmask", mask_mode="index", save_media=True)
```

Where to look:

* options of an import: [SegmaskBase](#datumaro_segmask.plugin.base.SegmaskBase)
* options of an export: [SegmaskExporter](#datumaro_segmask.plugin.export.exporter.SegmaskExporter)
* a picture of an item: [show](#datumaro_segmask.cli.preview.show.show)
* what is wrong with an archive: [check](#datumaro_segmask.cli.check.survey.check)
* polygons for masks, in any dataset: [transforms](#datumaro_segmask.plugin.transforms)
* polygons for arrays, without Datumaro: [polygons](#datumaro_segmask.regions.polygons)
* an archive without Datumaro: [open_archive](#datumaro_segmask.archive.lists.open_archive),
  [Reader](#datumaro_segmask.archive.item.Reader)
* what can go wrong: [errors](#datumaro_segmask.errors)
* the format if no start-up file was read: [register](#datumaro_segmask.register)
"""

# Every start of Python imports this module (see _startup.py): it imports nothing itself.

TYPE_CHECKING = False  # as ``typing`` has it, which would cost more than all the rest of this file
if TYPE_CHECKING:
    from typing import Any

    from datumaro.components.environment import Environment

    from datumaro_segmask.cli.check.survey import check
    from datumaro_segmask.cli.preview.show import show
    from datumaro_segmask.plugin.training.arrays import (
        from_arrays,
        from_segments,
        to_arrays,
        to_segments,
        write_archive,
    )
    from datumaro_segmask.tables import read_table, to_table, write_table
    from datumaro_segmask.training.arrays import Masks

__version__ = "0.1.0"

__all__ = [
    "Masks", "__version__", "check", "from_arrays", "from_segments", "read_table", "register",
    "show", "to_arrays", "to_segments", "to_table", "write_archive", "write_table",
]  # fmt: skip

_MODULES = {
    "Masks": "training.arrays",
    "check": "cli.check.survey",
    "from_arrays": "plugin.training.arrays",
    "from_segments": "plugin.training.arrays",
    "read_table": "tables",
    "show": "cli.preview.show",
    "to_arrays": "plugin.training.arrays",
    "to_segments": "plugin.training.arrays",
    "to_table": "tables",
    "write_archive": "plugin.training.arrays",
    "write_table": "tables",
}
"""Where the other names are, each of which is imported when it is asked for."""


def register(env: "Environment | None" = None) -> None:
    """Make Datumaro know the format, if no start-up file has done so. A second call does no harm.

    *env*: the environment that gets the format; None means Datumaro's default one. All
    environments that are made later in this process get it, too. A worker process that was spawned
    must call this itself.
    """
    from datumaro_segmask._bridge import register_in

    register_in(env)


def __getattr__(name: str) -> "Any":
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> "list[str]":
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
