"""What the installed start-up file runs whenever Python starts.

Datumaro 1.x reads no entry points: its formats are what ``datumaro.plugins.specs`` lists. The
finder below adds the entry points to that list if, and only if, that module is imported. Only
what a bare interpreter has imported already may be imported here: a start has to stay free.
"""

import os
import sys

TYPE_CHECKING = False  # see __init__.py
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

SPECS = "datumaro.plugins.specs"
SWITCH = "DATUMARO_SEGMASK_AUTOLOAD"


def install() -> None:
    """Put the finder in its place, once; ``DATUMARO_SEGMASK_AUTOLOAD=0`` forbids it.

    A venv can run its start-up files twice, hence the "once".
    """
    if os.environ.get(SWITCH) != "0" and SpecsFinder not in sys.meta_path:
        sys.meta_path.insert(0, SpecsFinder)


class SpecsFinder:
    """Finds `SPECS` as the other finders do, and has it extended when it is loaded."""

    @classmethod
    def find_spec(
        cls,
        fullname: str,
        path: "Sequence[str] | None" = None,
        target: "ModuleType | None" = None,
    ) -> "ModuleSpec | None":
        if fullname != SPECS:
            return None
        for finder in sys.meta_path:
            spec = None if finder is cls else finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = SpecsLoader(spec.loader)  # type: ignore[assignment]
                return spec
        return None


class SpecsLoader:
    """The module's own loader, and after it `datumaro_segmask._bridge.extend`."""

    def __init__(self, own: "Loader") -> None:
        self._own = own

    def __getattr__(self, name: str) -> "Any":
        return getattr(self._own, name)

    def exec_module(self, module: "ModuleType") -> None:
        # From here on the module has no trace of us, for whoever asks its loader for a file.
        module.__loader__ = self._own
        if module.__spec__ is not None:
            module.__spec__.loader = self._own
        self._own.exec_module(module)
        try:
            from datumaro_segmask._bridge import extend

            extend(module)
        except Exception:  # whatever is wrong with us, Datumaro goes on without us
            import logging

            log = logging.getLogger(__name__)
            log.warning("Datumaro starts without the format segmask", exc_info=True)
