"""All is in setup.cfg, but for the start-up files: no key of it puts a file beside the package."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

MODULE = "datumaro_segmask._startup"
STARTUP_FILES = {
    "datumaro_segmask.pth": f"import {MODULE}; {MODULE}.install()\n",
    # PEP 829: Python 3.15 and later read this one, and then pass over the other.
    "datumaro_segmask.start": f"{MODULE}:install\n",
}


class BuildPy(build_py):
    """``build_py`` that writes the start-up files, too."""

    def run(self):
        super().run()
        for path in self._startup_files():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(STARTUP_FILES[path.name], encoding="utf-8")

    def get_outputs(self, include_bytecode=True):
        # What is not listed here is not recorded by every installer, and outlives an uninstall.
        return [*super().get_outputs(include_bytecode), *map(str, self._startup_files())]

    def _startup_files(self):
        if getattr(self, "editable_mode", False):
            # Of an editable build only install_lib gets into the wheel. No .start file there:
            # the package can be found only after a line of setuptools' own .pth has run, and
            # PEP 829 does not say that this line comes first.
            return [Path(self.get_finalized_command("install").install_lib, "datumaro_segmask.pth")]
        return [Path(self.build_lib, name) for name in STARTUP_FILES]


setup(cmdclass={"build_py": BuildPy})
