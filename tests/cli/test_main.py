"""The entry point: which command is run, and how the mistakes of users end."""

from __future__ import annotations

import errno
import logging
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import datumaro_segmask
from datumaro_segmask import cli, errors
from datumaro_segmask.__main__ import main
from datumaro_segmask.cli import shard
from datumaro_segmask.rules import RULES

from ..archives import archive, as_folder, as_zip, rgb
from ..interrupts import start
from ..processes import command

ROOT = Path(__file__).parents[2]
STREET = ROOT / "examples/street.zip"
FORMAT = ROOT / "docs/format.md"


# Which command


@pytest.mark.parametrize("args", [[], ["--help"], ["-h"]], ids=["none", "long", "short"])
def test_all_commands_are_listed(args: list[str], capsys) -> None:
    assert main(args) == 0
    listed = re.findall(r"^  ([\w-]+)  ", capsys.readouterr().out, re.MULTILINE)
    assert listed[: len(cli.COMMANDS)] == list(cli.COMMANDS)
    assert {"convert", "detect", "stats", "transform", "merge"} <= set(listed)


@pytest.mark.parametrize(
    "error",
    [
        ImportError("No module named 'tabulate'"),
        AttributeError("'NoneType' object has no attribute 'loader'"),  # of a lazy import
    ],
)
def test_commands_without_what_datum_needs(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """Without the extra `cli` ours work, and a command says what is missing, as the help does."""

    def make_parser() -> None:
        raise error

    monkeypatch.setattr("datumaro.cli.__main__.make_parser", make_parser)
    assert main([]) == 0
    assert "pip install 'datumaro-segmask[cli]'" in capsys.readouterr().out
    assert main(["stats", "-i", "task.zip", "-f", "coco_segments", "-o", "out"]) != 0
    said = capsys.readouterr().err
    assert "packages that Datumaro's commands need are missing" in said
    assert "type \"pip install 'datumaro-segmask[cli]'\"" in said


def test_versions(capsys) -> None:
    assert main(["--version"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"datumaro-segmask {datumaro_segmask.__version__} (Datumaro 1.")


@pytest.mark.parametrize(
    ("typed", "remedy"),
    [
        ("chekc", "type 'datumaro-segmask check'"),
        ("converts", "type 'datumaro-segmask convert'"),
        ("xyzzy", "'datumaro-segmask --help' lists them"),
    ],
)
def test_command_with_a_typing_error(typed: str, remedy: str, capsys) -> None:
    assert main([typed, "task.zip"]) == 2
    assert capsys.readouterr().err == (
        f"error: {typed}: there is no such command. To fix it: {remedy}.\n"
    )


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_each_command_has_help(command: str, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "--quiet" in said
    assert "example" in said


def test_datum_is_run() -> None:
    """By an interpreter that starts for it."""
    whole = [sys.executable, "-m", "datumaro_segmask", "detect", str(STREET)]
    done = subprocess.run(whole, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "segmask" in done.stdout + done.stderr


# How mistakes end


MISTAKES: dict[str, tuple[list[str], str]] = {
    "check, wrong path": (["check", "nope.zip"], "nope.zip: there is no such file or folder"),
    "preview, wrong path": (["preview", "nope.zip", "-o", "x.html"], "nope.zip: there is no such"),
    "check, no archive": (
        ["check", "a-folder"],
        "a-folder: there is no archive of segmentation masks here",
    ),
    "check, no zip": (["check", "a-file"], "a-file: the file is empty"),
    "preview, folder above is a file": (
        ["preview", "street.zip", "-o", "a-file/x.html"],
        "a-file: file exists. To fix it: choose another path",
    ),
    "example, output is there": (["example"], "street.zip: it already exists"),
    "example, output is a folder": (
        ["example", "-o", "a-folder"],
        "a-folder: it already exists",
    ),
    "from-masks, output is there": (
        ["from-masks", "a-folder", "--labels", "a-file", "-o", "street.zip"],
        "street.zip: it already exists",
    ),
    "explain, no such section": (["explain", "99"], "99: there is no such section"),
    "convert, wrong path": (
        ["convert", "-i", "nope.zip", "-f", "coco", "-o", "out"],
        "Path nope.zip doesn't exist. To fix it: check the path.",
    ),
    "convert, wrong path and format": (
        ["convert", "-i", "nope.zip", "-if", "segmask", "-f", "coco", "-o", "out"],
        "Failed to find dataset 'segmask'",
    ),
    "convert, broken archive": (
        ["convert", "-i", "broken", "-if", "segmask", "-f", "coco", "-o", "out"],
        "labelmap.txt:1: ",
    ),
    "convert, broken mask": (
        ["convert", "-i", "undeclared", "-if", "segmask", "-f", "coco_instances", "-o", "out"],
        "a.png: ",
    ),
    "convert, output is a file": (
        ["convert", "-i", "street.zip", "-if", "segmask", "-f", "coco", "-o", "a-file"],
        "a-file: file exists",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_ends_in_one_message(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, caplog
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").write_text("")
    (tmp_path / "a-folder").mkdir()
    (tmp_path / "street.zip").write_bytes(STREET.read_bytes())
    as_folder(archive({"a": rgb("1")}, labels="car:x,y,z::\n"), tmp_path / "broken")
    as_folder(archive({"a": rgb("9")}), tmp_path / "undeclared")
    args, said = MISTAKES[case]
    assert main(args) == (1 if args[0] == "convert" else 2)
    told = capsys.readouterr().err
    assert [line.startswith("error: ") for line in told.splitlines()].count(True) == 1
    assert said in told.replace(os.sep, "/")
    assert "Traceback" not in told
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert not (tmp_path / "out").exists()


def test_mistake_of_datum_in_a_process_of_its_own(tmp_path: Path) -> None:
    done = command("convert", "-i", "nope", "-f", "coco", "-o", "out", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "error: Path nope doesn't exist. To fix it: check the path.\n"


def test_message_of_datum_stays_one(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("")
    typed = ["-if", "segmask", "-f", "coco", "-o", "out"]
    done = command("convert", "-i", STREET, *typed, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("already exists") == 1
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback(capsys) -> None:
    assert main(["check", "nope.zip", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err
    assert main(["--debug", "check", "nope.zip"]) == 2
    assert "Traceback" in capsys.readouterr().err


def raising(error: BaseException) -> Callable[..., None]:
    def run(*args: object, **kwargs: object) -> None:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.ENOSPC, "x", "out.zip"),
            "out.zip: no space left on device. To fix it: make",
        ),
        (OSError(errno.ENOSPC, "x"), "the output: no space left on device. To fix it: make room"),
        (PermissionError(errno.EACCES, "x", "t"), "t: permission denied. To fix it: change the"),
        (MemoryError(), "this computer: there is not enough memory. To fix it: close"),
        (ModuleNotFoundError("type pip install this"), "type pip install this"),
        (ModuleNotFoundError("x", name="matplotlib"), "this environment: the package 'matplotlib'"),
        (KeyError("x"), "KeyError: 'x'. To see where, type it again with the option --debug."),
    ],
    ids=["full", "full-somewhere", "forbidden", "memory", "told", "missing", "unforeseen"],
)
def test_errors_of_the_system(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr("datumaro_segmask.cli.explain.run", raising(error))
    assert main(["explain"]) == 2
    assert capsys.readouterr().err.startswith(f"error: {said}")


def test_our_words_are_shown_not_those_around_them(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    from datumaro.components.errors import DatasetImportError

    def run(options: object) -> None:
        raise DatasetImportError("Failed to import dataset") from errors.PngError("no PNG", "a.png")

    monkeypatch.setattr("datumaro_segmask.cli.explain.run", run)
    assert main(["explain"]) == 2
    said = capsys.readouterr().err
    assert said == (
        "error: a.png: no PNG. (docs/format.md, section 3: 'datumaro-segmask explain 3')\n"
    )


def test_interrupted(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr("datumaro_segmask.cli.explain.run", raising(KeyboardInterrupt()))
    assert main(["explain"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for a single process")
def test_interrupted_while_an_archive_is_written(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("background\ncar\n")
    for i in range(3000):
        path = tmp_path / f"masks/{i}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(rgb("01" * 500))
    command = [sys.executable, "-m", "datumaro_segmask", "from-masks", "masks"]
    started = start([*command, "--labels", "names.txt", "-o", "out.zip"], cwd=tmp_path)
    for _ in range(600):
        if started.poll() is not None or list(tmp_path.glob(".segmask-export-*.part")):
            break
        time.sleep(0.05)
    started.send_signal(signal.SIGINT)
    assert started.communicate(timeout=60)[1].splitlines()[-1] == "interrupted"
    assert started.returncode == 130
    assert sorted(path.name for path in tmp_path.iterdir()) == ["masks", "names.txt"]


@pytest.mark.parametrize("command", ["preview", "from-masks", "example"])
def test_output_that_cannot_be_written_is_told_before_the_work(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    (tmp_path / "names.txt").write_text("background\ncar\n")
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks/a.png").write_bytes(rgb("01"))
    args = {
        "preview": [str(STREET), "-o", str(tmp_path / "locked/out.html")],
        "from-masks": [
            *(str(tmp_path / "masks"), "--labels", str(tmp_path / "names.txt")),
            *("-o", str(tmp_path / "locked/out.zip")),
        ],
        "example": ["-o", str(tmp_path / "locked/out.zip")],
    }
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    if os.access(folder, os.W_OK):  # as for root, and on Windows
        error = PermissionError(errno.EACCES, "no", str(folder))
        monkeypatch.setattr("tempfile.TemporaryFile", raising(error))
    for work in ("preview.page.make_items", "from_masks._AllOrNone", "example.write_whole"):
        monkeypatch.setattr(f"datumaro_segmask.cli.{work}", raising(AssertionError("work")))
    assert main([command, *args[command]]) == 2
    said = capsys.readouterr().err
    assert "permission denied. To fix it: change the permissions" in said
    assert "locked" in said
    assert list(folder.iterdir()) == []


# What is shipped


def test_example(tmp_path: Path, capsys) -> None:
    path = tmp_path / "new/street.zip"
    assert main(["example", "-o", str(path)]) == 0
    assert path.read_bytes() == STREET.read_bytes()
    assert f"datumaro-segmask preview {path}" in capsys.readouterr().out


def test_full_disk_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    def full(*paths: object) -> None:
        raise OSError(errno.ENOSPC, "x")

    monkeypatch.setattr("datumaro_segmask.cli.os.replace", full)
    preview = ["preview", str(STREET)]
    for name, args, told in (
        ("out.zip", ["example"], "out.zip"),
        ("out.png", preview, "out.png"),
        ("out.html", preview, "out.html"),
        ("large.html", [*preview, "--inline", "1"], "masks-0.js"),
    ):
        assert main([*args, "-o", str(tmp_path / name)]) == 2
        assert f"{told}: no space left on device." in capsys.readouterr().err
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_explain(capsys) -> None:
    assert main(["explain", "2"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("2. Label map\n")
    assert "name:r,g,b:parts:actions" in said
    assert "SegmentationClass" not in said
    assert main(["explain"]) == 0
    assert "5  Export\n" in capsys.readouterr().out
    assert main(["explain", "all"]) == 0
    said = capsys.readouterr().out
    titles = re.findall(r"^## (.*)", FORMAT.read_text("utf-8"), re.M)
    assert [title for title in titles if f"\n{title}\n" not in said] == []
    assert "](" not in said, "no links"


@pytest.mark.parametrize("columns", [60, 100])
def test_tables_of_explain_fit_the_terminal(columns: int, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for number in range(1, 9):
        assert main(["explain", str(number)]) == 0
        said = capsys.readouterr().out
        assert max(map(len, said.splitlines())) <= columns or number == 7  # which has a command
        assert "| " not in said
    assert "-----" in said


@pytest.mark.parametrize("kind", RULES)
def test_explain_a_kind_by_the_name_that_check_prints(kind: str, capsys) -> None:
    """With its severities, its text, an example, and what `check` says of that."""
    assert main(["explain", kind]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{kind}\n\n{RULES[kind].title[0].upper()}{RULES[kind].title[1:]}.\n")
    for part in ("segmask  ", "CVAT  ", f"explain {RULES[kind].section}\n", "Example:"):
        assert part in said
    severity = RULES[kind].severity or RULES[kind].for_cvat
    assert f"\n{severity}: " in said.partition("says of it:")[2]


def test_explain_names_the_kind_that_may_be_meant(capsys) -> None:
    assert main(["explain", "thin-object"]) == 2
    assert "explain thin-objects' may be meant" in capsys.readouterr().err


def test_wheel_has_what_is_shipped(tmp_path: Path) -> None:
    """As `build_py` copies it; what the wheel is made of is tried in tests/plugin."""
    code = "import sys; sys.argv = ['setup.py', '-q', 'build_py', '-d', sys.argv[1]]; import setup"
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=True, capture_output=True
    )
    shipped = tmp_path / "datumaro_segmask/cli/shipped"
    assert (shipped / "format.md").read_bytes() == FORMAT.read_bytes()
    with zipfile.ZipFile(shipped / "street.zip") as street:
        assert "labelmap.txt" in street.namelist()


# Quiet


def test_quiet(tmp_path: Path, capsys, caplog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    files = archive({"a": rgb("1")}, {"a": rgb("1")})
    del files["ImageSets/Segmentation/default.txt"]  # worth a warning
    path = as_folder(files, tmp_path / "task")
    for options, warnings in (["--quiet"], 0), ([], 1):
        caplog.clear()
        out = tmp_path / f"{warnings}.html"
        assert main(["preview", str(path), "-o", str(out), *options]) == 0
        assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == warnings
    assert "TQDM_DISABLE" not in os.environ


# The page of a package index


def setup_arguments(home: str) -> dict[str, str]:
    """Return what setup.py gives to setuptools."""
    given: dict[str, str] = {}
    source = (ROOT / "setup.py").read_text("utf-8")
    assert 'HOME = ""' in source
    source = source.replace('HOME = ""', f"HOME = {home!r}")
    source = source.replace("from setuptools import setup\n", "")
    exec(compile(source, ROOT / "setup.py", "exec"), {
        "__file__": str(ROOT / "setup.py"), "__name__": "setup", "setup": given.update
    })  # fmt: skip
    return given


def test_links_of_the_index_page_lead_somewhere() -> None:
    text = setup_arguments("")["long_description"]
    links = re.findall(r"\]\(([^)]*)\)", text)
    assert links
    assert all(link.startswith("https://") for link in links)
    assert "![" not in text
    assert "Changes · Contributing" in text
    home = "https://example.org/us/it"
    links = re.findall(r"\]\(([^)]*)\)", setup_arguments(home)["long_description"])
    assert f"{home}/blob/main/docs/format.md" in links
    assert f"{home}/raw/main/docs/street.png" in links
    assert all(link.startswith("https://") for link in links)


# Names that steer a terminal

EVIL = "a\u202eb"
TITLE = "\x1b]0;owned\x07car"
HOSTILE = {
    "sound": archive(
        {EVIL: rgb("12")}, {EVIL: rgb("33")}, lists={EVIL: f"{EVIL}\n"},
        labels=f"background:0,0,0::\n{TITLE}:128,0,0::\nro\u202ead:0,128,0::\n",
    ),
    "unlabelled": archive({}, {EVIL: rgb("33")}, lists={EVIL: f"{EVIL}\n"}),
    "undeclared": archive(
        {EVIL: rgb("3")}, lists={EVIL: f"{EVIL}\n"}, labels=f"{TITLE}:128,0,0::\n"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize(
    "command",
    [
        ["check", "{}"],
        ["check", "{}", "--for", "cvat"],
        ["convert", "-i", "{}", "-if", "segmask", "-f", "segmask", "-o", "out"],
        ["convert", "-i", "{}", "-if", "segmask", "-f", "coco_segments", "-o", "out"],
        ["convert", "-i", "{}", "-if", "segmask", "-f", "yolo_segments", "-o", "out"],
        ["preview", "{}", "-o", "out.html"],
    ],
    ids=["check", "cvat", "segmask", "coco", "yolo", "preview"],
)
def test_names_do_not_steer_the_terminal(
    command: list[str], name: str, tmp_path: Path, capsys, caplog, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = as_zip(HOSTILE[name], tmp_path / "task").name
    main([part.format(path) for part in command])
    said = capsys.readouterr()
    ours = [r.getMessage() for r in caplog.records if r.name.startswith("datumaro_segmask")]
    for text in (said.out, said.err, *ours):
        assert not {"\x1b", "\x07", "\u202e"} & set(text)


def test_report_of_shards_does_not_steer_the_terminal(capsys) -> None:
    part = {"errors": [{"error": f"{TITLE} is broken"}]}
    counts = {"instances": 1, "pixels": 1}
    manifest = {"items": 2, "bytes": 9, "broken": 1, "parts": [part], "left_out": {}}
    manifest["labels"] = {TITLE: counts}
    assert shard._report(manifest) == 1
    said = capsys.readouterr()
    assert "\\x1b]0;owned\\x07car: 1 instance" in said.out
    assert "\\x1b]0;owned\\x07car is broken" in said.err
