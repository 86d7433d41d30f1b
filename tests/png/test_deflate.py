"""zlib takes the place of zlib-ng where that cannot be imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

STREET = Path(__file__).parents[2] / "examples" / "street.zip"
CODE = """
import sys
if sys.argv[1] == "zlib":
    sys.modules["zlib_ng"] = None  # as if it were not installed
from datumaro_segmask.png import DEFLATE
from datumaro_segmask.plugin.base import SegmaskBase
print(DEFLATE)
items = SegmaskBase(sys.argv[2])
print([(i.id, a.label, a.group, a.get_area()) for i in items for a in i.annotations])
"""


def read_by(name: str) -> list[str]:
    """Return the name of the library in use, and what the example holds, read by it."""
    command = [sys.executable, "-c", CODE, name, str(STREET)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_zlib_reads_the_same() -> None:
    pytest.importorskip("zlib_ng")
    fast, slow = read_by("zlib-ng"), read_by("zlib")
    assert (fast[0], slow[0]) == ("zlib-ng", "zlib")
    assert fast[1] == slow[1]
    assert len(fast[1]) > 100
