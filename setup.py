"""All is in setup.cfg, but for what none of its keys does: files beside the package, the start-up
files, and files in it that lie elsewhere in the checkout."""

import re
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

MODULE = "datumaro_segmask._startup"
STARTUP_FILES = {
    # Where the file is left behind without the package, it says nothing.
    "datumaro_segmask.pth": f"import sys; exec('try: import {MODULE}\\nexcept ImportError: pass\\n"
    f"else: {MODULE}.install()')\n",
    # PEP 829: Python 3.15 and later read this one, and then pass over the other.
    "datumaro_segmask.start": f"{MODULE}:install\n",
}
# What `datumaro-segmask explain` and `example` give out; an editable install has the originals.
SHIPPED = ["docs/format.md", "docs/kinds.md", "examples/street.zip"]


# Where the repository is, once it is public: `https://github.com/OWNER/NAME`.
HOME = ""


def long_description():
    """README.md for a package index, where links to files of the repository lead nowhere.

    They lead to `HOME`; as long as there is none, they are plain text, and pictures left out.
    """
    picture, link = (HOME and f"{HOME}/{kind}/main/" for kind in ("raw", "blob"))
    text = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    path = r"\((?!https?:|#)([^)]+)\)"
    text = re.sub(rf"!\[([^]]*)\]{path}\n*", rf"![\1]({picture}\2)\n\n" if HOME else "", text)
    return re.sub(rf"(?<!!)\[([^]]*)\]{path}", rf"[\1]({link}\2)" if HOME else r"\1", text)


class BuildPy(build_py):
    """``build_py`` that writes the start-up files, and copies what is shipped."""

    def run(self):
        super().run()
        for path in self._startup_files():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(STARTUP_FILES[path.name], encoding="utf-8")
        for source, path in self._shipped_files().items():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, path)

    def get_outputs(self, include_bytecode=True):
        # What is not listed here is not recorded by every installer, and outlives an uninstall.
        added = [*self._startup_files(), *self._shipped_files().values()]
        return [*super().get_outputs(include_bytecode), *map(str, added)]

    def _startup_files(self):
        if getattr(self, "editable_mode", False):
            # Of an editable build only install_lib gets into the wheel. No .start file there:
            # the package can be found only after a line of setuptools' own .pth has run, and
            # PEP 829 does not say that this line comes first.
            return [Path(self.get_finalized_command("install").install_lib, "datumaro_segmask.pth")]
        return [Path(self.build_lib, name) for name in STARTUP_FILES]

    def _shipped_files(self):
        if getattr(self, "editable_mode", False):
            return {}
        folder = Path(self.build_lib, "datumaro_segmask/cli/shipped")
        return {source: folder / Path(source).name for source in SHIPPED}


setup(
    cmdclass={"build_py": BuildPy},
    long_description=long_description(),
    long_description_content_type="text/markdown",
)
