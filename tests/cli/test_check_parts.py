"""A check in parts, by whomever, says what the check of the whole archive says."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from datumaro_segmask.__main__ import main
from datumaro_segmask.cli.check import survey
from datumaro_segmask.cli.check.survey import check

from ..archives import CONTAINERS, archive, as_folder, as_zip, gray, jpeg, rgb
from ..processes import do_nothing_here, help_at_once, processes
from ..sharding.makes import random_files


def faulty_files() -> Any:
    """An archive with all that may differ between parts: faults, doubts, items of two subsets."""
    files = random_files(40)
    bad = {"bad": b"no PNG", "size": rgb("01"), "color": rgb("0 1"), "gray": gray("0 1 2")}
    more = archive(bad, {"size": rgb("1 2 2"), "bad": rgb("1"), "thin": rgb("1 2")})
    files |= {name: data for name, data in more.items() if name.endswith(".png")}
    files["JPEGImages/color.jpg"] = jpeg(5, 5)
    files["ImageSets/Segmentation/odd.txt"] = b"bad\nsize\ncolor\ngray\nthin\nnone\n../out"
    files["ImageSets/Segmentation/odd2.txt"] = b"bad\nthin\nd0/item 0"
    return files


@pytest.mark.parametrize("for_cvat", [False, True], ids=["segmask", "cvat"])
@pytest.mark.parametrize("make", CONTAINERS.values(), ids=CONTAINERS)
def test_parts_say_what_the_whole_says(
    make: Any, for_cvat: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(make(faulty_files(), tmp_path / "x"))
    whole = check(path, for_cvat=for_cvat)
    assert {"bad", "size", "color"} <= {finding.item for finding in whole.findings}
    assert whole.subsets["odd"].broken >= 2
    monkeypatch.setattr(survey, "_PART", 3)
    with ThreadPoolExecutor(2) as pool:
        assert asdict(check(path, for_cvat=for_cvat, executor=pool)) == asdict(whole)


def test_processes_say_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(as_zip(faulty_files(), tmp_path / "x"))
    whole = check(path)
    monkeypatch.setattr(survey, "_PART", 5)
    help_at_once(monkeypatch)
    assert asdict(check(path, jobs=2)) == asdict(whole)
    with processes() as pool:
        assert asdict(check(path, executor=pool)) == asdict(whole)


def test_command(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(as_folder(faulty_files(), tmp_path / "x"))
    assert main(["check", path, "--json"]) == 1
    whole = capsys.readouterr().out
    monkeypatch.setattr(survey, "_PART", 5)
    help_at_once(monkeypatch)
    assert main(["check", path, "--json", "--jobs", "2"]) == 1
    assert capsys.readouterr().out == whole
    assert json.loads(whole)["subsets"]["odd"]["items"] == 6


def _die(*_: object) -> None:
    os._exit(1)


def test_process_that_dies(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(as_folder(faulty_files(), tmp_path / "x"))
    do_nothing_here(monkeypatch)
    monkeypatch.setattr(survey, "_PART", 5)
    monkeypatch.setattr(survey, "_check_part", _die)
    assert main(["check", path, "--jobs", "2"]) == 2
    assert "give fewer --jobs" in capsys.readouterr().err
