"""A command starts at once: it loads nothing that it does not need."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from datumaro_segmask import cli

ROOT = Path(__file__).parents[2]

HEAVY = {
    "PIL", "asyncio", "datumaro", "filelock", "matplotlib", "multiprocessing", "numpy.ma",
    "pandas", "pyarrow", "shapely", "tqdm", "webbrowser", "yaml",
}  # fmt: skip
"""What takes 5 ms and more to import, and what reading an archive does not need."""
ARRAYS = {"cv2", "numpy", "pycocotools", "zlib_ng"}

COMMANDS = {
    "--help": HEAVY | ARRAYS,
    "convert --help": HEAVY | ARRAYS,
    "convert -f coco_segments --help": HEAVY | ARRAYS,
    "explain": HEAVY | ARRAYS,
    "explain 2": HEAVY | ARRAYS,
    "explain thin-objects": HEAVY | ARRAYS,
    "check street.zip": HEAVY,
    "check street.zip --for cvat --json": HEAVY,
    "preview street.zip -o street.html": HEAVY - {"filelock"},
    "preview street.zip -o street.png": HEAVY - {"PIL", "matplotlib", "numpy.ma"},
    "example -o new.zip": HEAVY,
}

RUN = """
import sys
from datumaro_segmask.__main__ import main
try:
    main(sys.argv[1:])
finally:
    print(*sys.modules, file=sys.stderr)
"""


def loaded(code: str, *args: str, cwd: Path) -> set[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = [sys.executable, "-c", code, *args]
    done = subprocess.run(run, cwd=cwd, env=env, capture_output=True, text=True, check=True)
    return {*done.stderr.split("\n")[-2].split()}


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_is_loaded_for_nothing(command: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / "examples/street.zip", tmp_path)
    always = loaded("import cv2, sys; print(*sys.modules, file=sys.stderr)", cwd=tmp_path)
    found = loaded(RUN, *command.split(), cwd=tmp_path)
    assert "argparse" in found
    assert found & COMMANDS[command] - (always - ARRAYS) == set()


def test_commands_of_datumaro_are_listed_without_it() -> None:
    """And every version that we take has them."""
    assert cli.DATUM_COMMANDS.keys() | {"convert"} <= {*cli._datum_commands()}
