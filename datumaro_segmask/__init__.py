"""CVAT's segmentation masks ("Segmentation mask 1.1") as the Datumaro format ``segmask``.

Every start of Python imports this module (see ``_startup.py``): it imports nothing itself.
"""

TYPE_CHECKING = False  # as ``typing`` has it, which would cost more than all the rest of this file
if TYPE_CHECKING:
    from datumaro.components.environment import Environment

    from .plugin.training.arrays import from_arrays, to_arrays, write_archive
    from .training.arrays import Masks

__version__ = "0.1.0"

__all__ = ["Masks", "__version__", "from_arrays", "register", "to_arrays", "write_archive"]

_HOMES = {
    "Masks": "training.arrays",
    "from_arrays": "plugin.training.arrays",
    "to_arrays": "plugin.training.arrays",
    "write_archive": "plugin.training.arrays",
}


def __getattr__(name: str) -> object:
    """Import what is asked for: see `_HOMES`."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def register(env: "Environment | None" = None) -> None:
    """Make Datumaro know the format, where no start-up file has done so; again is harmless.

    *env* is the environment that gets the format, Datumaro's default one if None. So do all
    environments that are made afterwards in this process. A worker process that was spawned
    is a process of its own, and calls this itself.
    """
    from datumaro_segmask._bridge import register_in

    register_in(env)
