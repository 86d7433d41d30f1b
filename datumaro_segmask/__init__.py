"""CVAT's segmentation masks ("Segmentation mask 1.1") as the Datumaro format ``segmask``.

Every start of Python imports this module (see ``_startup.py``): it imports nothing itself.
"""

TYPE_CHECKING = False  # as ``typing`` has it, which would cost more than all the rest of this file
if TYPE_CHECKING:
    from datumaro.components.environment import Environment

__version__ = "0.1.0"

__all__ = ["__version__", "register"]


def register(env: "Environment | None" = None) -> None:
    """Make Datumaro know the format, where no start-up file has done so; again is harmless.

    *env* is the environment that gets the format, Datumaro's default one if None. So do all
    environments that are made afterwards in this process. A worker process that was spawned
    is a process of its own, and calls this itself.
    """
    from datumaro_segmask._bridge import register_in

    register_in(env)
