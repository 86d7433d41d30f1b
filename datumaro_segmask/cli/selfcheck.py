"""Say whether Datumaro finds the format 'segmask', and how, which versions are installed, and
whether a small dataset is the same after an export and an import."""

from __future__ import annotations

import argparse
import json
import os
import platform
import site
import sys
import tempfile
from importlib.metadata import (
    PackageNotFoundError,
    entry_points,
    packages_distributions,
    version,
)
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import datumaro_segmask

from .._startup import SWITCH, SpecsFinder
from ..errors import printable
from ..plugin.importer import NAME
from ..png import DEFLATE
from . import FAULTS, OK

_STARTUP_FILES = "datumaro_segmask.pth", "datumaro_segmask.start"
_GROUP = "datumaro.plugins"

EPILOG = """\
exit status:
  0  Datumaro finds the format, and the dataset is the same after the round trip
  1  something is wrong, and the report says what

example:
  datumaro-segmask selfcheck
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json", action="store_true", help="Print one JSON object (default: lines to read)"
    )


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    found = _is_found()  # before anything registers it
    problem = _round_trip()
    facts: dict[str, Any] = {
        "versions": _versions(),
        "opencv_packages": sorted(set(packages_distributions().get("cv2", []))),
        "deflate": DEFLATE,
        "startup_file": _startup_file(),
        "startup_active": SpecsFinder in sys.meta_path,
        "startup_forbidden": os.environ.get(SWITCH) == "0",
        "entry_point": any(entry.name == NAME for entry in entry_points(group=_GROUP)),
        "found": found,
        "round_trip": problem or "ok",
    }
    facts["status"] = FAULTS if problem or not found else OK
    if options.json:
        json.dump(facts, sys.stdout, indent=1)
        print()
    else:
        _print(facts)
    return int(facts["status"])


def _versions() -> dict[str, str]:
    versions = {
        "datumaro-segmask": datumaro_segmask.__version__,
        "python": platform.python_version(),
        "opencv": cv2.__version__,
    }
    for name in ("datumaro", "numpy", "pycocotools", "pillow", "imagesize"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not found"
    return versions


def _startup_file() -> str | None:
    """Return the path of the start-up file that Python would read, if there is one."""
    folders = [*site.getsitepackages(), site.getusersitepackages()]
    paths = [Path(folder, name) for folder in folders for name in _STARTUP_FILES]
    return next((str(path) for path in paths if path.is_file()), None)


def _is_found() -> bool:
    """Return whether Datumaro has the format without being told."""
    from datumaro.components.environment import Environment

    return NAME in Environment().importers


def _round_trip() -> str:
    """Export a dataset, as a folder and as a zip, and import it; return what went wrong, if any."""
    datumaro_segmask.register()
    try:
        with tempfile.TemporaryDirectory() as folder:
            dataset = _dataset()
            for as_zip in (False, True):
                path = os.path.join(folder, f"zip-{as_zip}")
                dataset.export(path, NAME, zip=as_zip)
                again = type(dataset).import_from(path, NAME)
                if _content(again) != _content(dataset):
                    return f"what comes back from {'a zip' if as_zip else 'a folder'} differs"
    except Exception as error:  # whatever it is, it is what this command is to tell
        return f"{type(error).__name__}: {error}"
    return ""


def _dataset() -> Any:
    from datumaro.components.annotation import Mask
    from datumaro.components.dataset import Dataset
    from datumaro.components.dataset_base import DatasetItem

    plane = np.array([[0, 1, 1, 0], [2, 2, 0, 3]])
    masks = [Mask(plane == number, label=1 + number % 2, group=number) for number in (1, 2, 3)]
    item = DatasetItem("a/b", subset="train", annotations=masks)
    return Dataset.from_iterable([item], categories=["background", "car", "road"])


def _content(dataset: Any) -> list[Any]:
    return [
        (
            item.id,
            item.subset,
            sorted(
                (a.label, a.group, np.asarray(a.image, bool).tolist()) for a in item.annotations
            ),
        )
        for item in dataset
    ]


def _advice(startup_file: str | None) -> str:
    """Return why Datumaro does not find the format, and what helps."""
    home = Path(datumaro_segmask.__file__).parents[1]
    if os.environ.get(SWITCH) == "0":
        why = f"{SWITCH}=0 forbids it. Unset it"
    elif sys.flags.no_site:
        why = "Python was started with -S, and reads no start-up files. Leave -S out"
    elif startup_file is None and (home / _STARTUP_FILES[0]).is_file():
        why = (
            f"the package was put into {home} (by 'pip install --target'), and Python reads "
            "start-up files only in site-packages. Install it without --target"
        )
    elif startup_file is None:
        why = f"the package is not installed, but taken from {home}. Type 'pip install {home}'"
    else:
        why = f"{startup_file} was not read. Type 'pip install --force-reinstall datumaro-segmask'"
    return (
        f"{why}; or call datumaro_segmask.register(); or type 'python -m datumaro_segmask' "
        "for 'datum'"
    )


def _clash(packages: list[str]) -> dict[str, str]:
    """Return a row on packages that all hold `cv2`; none where it comes from one."""
    if len(packages) < 2:
        return {}
    return {
        "cv2": f"{' and '.join(packages)} overwrite each other. Keep one: type 'pip uninstall "
        f"-y {' '.join(packages)} && pip install {packages[0]}'"
    }


def _print(facts: dict[str, Any]) -> None:
    startup = facts["startup_file"] or "none"
    if facts["startup_forbidden"]:
        startup += f" (switched off by {SWITCH}=0)"
    found = f"no: {_advice(facts['startup_file'])}"
    if facts["found"]:
        found = "yes, by the start-up file" if facts["startup_active"] else "yes"
    rows = {
        **facts["versions"],
        **_clash(facts["opencv_packages"]),
        "deflate": facts["deflate"],
        "start-up file": startup,
        "entry point": f"{NAME} in {_GROUP}" if facts["entry_point"] else "none",
        "Datumaro finds it": found,
        "round trip": facts["round_trip"],
    }
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:{width}}  {printable(str(value))}")
