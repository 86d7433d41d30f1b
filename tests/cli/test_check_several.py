"""`check` of several archives at once, for people, for programs and for GitHub; and in Python."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

import datumaro_segmask
from datumaro_segmask.__main__ import main

from ..archives import LABELS, Files, archive, as_folder, as_zip, rgb

ROOT = Path(__file__).parents[2]
STREET = ROOT / "examples/street.zip"
SOUND = archive({"a": rgb("12")}, {"a": rgb("12")})
FAULTY = archive({"a": rgb("13")}, {"a": rgb("11")})
LINES = archive({"a": rgb("12")}, {"a": rgb("12")}, labels=LABELS + "x:1,2::\n")


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "tasks"
    folder.mkdir()
    as_zip(SOUND, folder / "sound")
    as_zip(FAULTY, folder / "faulty")
    (folder / "broken.zip").write_bytes(b"no zip")
    (folder / "loud.zip").write_bytes(STREET.read_bytes())
    return folder


def test_each_is_reported_and_all_are_counted(tasks: Path, capsys) -> None:
    assert main(["check", "tasks/*.zip"]) == 2
    captured = capsys.readouterr()
    assert "error: colours that the label map does not declare" in captured.out
    assert "note:" not in captured.out
    assert "subset " not in captured.out
    assert captured.err.startswith(f"error: {tasks / 'broken.zip'}: the file is not a zip.")
    assert captured.out.endswith(
        "4 archives: 2 without errors and warnings, 1 with errors (tasks/faulty.zip), "
        "1 cannot be opened (tasks/broken.zip)\n"
    )
    main(["check", "tasks/*.zip", "--all"])
    assert "note:" in capsys.readouterr().out


def test_status_is_the_highest(tasks: Path, capsys) -> None:
    assert main(["check", "tasks/sound.zip", "tasks/loud.zip"]) == 0
    assert main(["check", "tasks/faulty.zip", "tasks/sound.zip"]) == 1
    assert main(["check", "tasks/faulty.zip", "tasks/faulty.zip"]) == 1  # once is enough
    assert capsys.readouterr().out.count("this archive cannot be read as it is") == 2


def test_pattern_that_nothing_fits(tasks: Path, capsys) -> None:
    assert main(["check", "task/*.zip"]) == 2
    assert "task/*.zip: no path fits" in capsys.readouterr().err


def test_many_that_need_work_are_not_all_named(tasks: Path, capsys) -> None:
    for i in range(5):
        as_zip(FAULTY, tasks / f"f{i}")
    main(["check", "tasks/f*.zip"])
    names = "tasks/f0.zip, tasks/f1.zip, tasks/f2.zip and 3 more"
    assert capsys.readouterr().out.endswith(f"6 archives: 6 with errors ({names})\n")


def test_json_of_several(tasks: Path, capsys) -> None:
    assert main(["check", "tasks/*.zip", "--json"]) == 2
    several = json.loads(capsys.readouterr().out)
    assert several.keys() == {"status", "archives"}
    assert several["status"] == 2
    statuses = {one["path"]: one["status"] for one in several["archives"]}
    assert statuses == {
        "tasks/broken.zip": 2, "tasks/faulty.zip": 1, "tasks/loud.zip": 0, "tasks/sound.zip": 0
    }  # fmt: skip
    main(["check", "tasks/faulty.zip", "--format", "json"])
    assert json.loads(capsys.readouterr().out) == several["archives"][1]


def annotated(files: Files, write, folder: Path, capsys) -> list[tuple[str, dict[str, str], str]]:
    path = write(files, folder)
    main(["check", str(path), "--format", "github"])
    found = re.findall(r"^::(\w+) (.*?)::(.*)$", capsys.readouterr().out, re.MULTILINE)
    return [
        (command, dict(field.split("=", 1) for field in fields.split(",")), text)
        for command, fields, text in found
    ]


def test_annotations_stand_beside_files_and_lines(tasks: Path, capsys) -> None:
    inner = {f"inner/{name}": data for name, data in LINES.items()}
    ((command, fields, text),) = annotated(inner, as_folder, tasks / "x", capsys)
    assert command == "error"
    assert fields["file"] == "tasks/x/inner/labelmap.txt"
    assert fields["line"] == "4"
    assert fields["title"] == "the label map breaks a rule [label-map]"
    assert "To fix it: " in text


def test_annotations_of_a_zip_stand_beside_it(tasks: Path, capsys) -> None:
    ((_, fields, text),) = annotated(LINES, as_zip, tasks / "x", capsys)
    assert fields["file"] == "tasks/x.zip"
    assert "line" not in fields
    assert text.startswith("labelmap.txt:4: ")


def test_what_a_workflow_would_take_for_its_own_is_escaped(tasks: Path, capsys) -> None:
    labels = LABELS + "x:5%,2::\n"
    files = archive({"a": rgb("12")}, {"a": rgb("12")}, labels=labels)
    ((_, fields, text),) = annotated(files, as_zip, tasks / "b,c", capsys)
    assert fields["file"] == "tasks/b%2Cc.zip"
    assert "'5%25,2' is not a colour" in text


def test_annotations_of_several(tasks: Path, capsys) -> None:
    assert main(["check", "tasks/*.zip", "--format", "github"]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("::notice")] == []
    assert lines[0].startswith("::error file=tasks/broken.zip,title=this archive cannot be opened")
    assert lines[-1].startswith("4 archives: 2 without errors and warnings, 1 with errors")


def test_findings_as_objects(tmp_path: Path) -> None:
    found = datumaro_segmask.check(as_zip(FAULTY, tmp_path / "task"))
    assert found.totals() == {"error": 1, "warning": 0, "note": 0}
    (finding,) = found.findings
    assert (finding.severity, finding.kind, finding.item) == ("error", "undeclared-color", "a")
    assert finding.pixels == 1
    for_cvat = datumaro_segmask.check(STREET, for_cvat=True)
    assert for_cvat.totals()["warning"] == 15
    assert for_cvat.subsets["train"].labels["car"].instances == 12
    assert for_cvat.labels[0] == "background"


def test_hook_of_pre_commit(tasks: Path, capsys) -> None:
    """Its shape, and that what it runs is a command of ours which takes many files."""
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    assert {"id", "name", "entry", "language"} <= hook.keys()
    program, *arguments = hook["entry"].split()
    assert program == "datumaro-segmask"
    assert hook["language"] == "python"
    assert re.search(hook["files"], "data/task.zip")
    assert not re.search(hook["files"], "data/task.zip.txt")
    assert main([*arguments, *hook["args"], "tasks/sound.zip", "tasks/faulty.zip"]) == 1
    assert "2 archives" in capsys.readouterr().out
    assert f"id: {hook['id']}" in (ROOT / "docs/cli.md").read_text("utf-8")
