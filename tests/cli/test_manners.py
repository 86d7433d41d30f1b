"""Manners of the command line: where options may stand, what is said, and how it ends."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from datumaro_segmask import progress
from datumaro_segmask.__main__ import main
from datumaro_segmask.cli import COMMANDS
from datumaro_segmask.cli.check import report
from datumaro_segmask.errors import counted, numbered

from ..archives import archive, as_folder, as_zip, rgb
from ..interrupts import start
from ..processes import command as command_of_its_own

ROOT = Path(__file__).parents[2]
STREET = str(ROOT / "examples/street.zip")


# Options of all commands


@pytest.fixture
def odd(tmp_path: Path) -> str:
    """An archive of which a warning is logged."""
    files = archive({"a": rgb("1")}, {"a": rgb("1")})
    del files["ImageSets/Segmentation/default.txt"]
    return str(as_folder(files, tmp_path / "odd"))


@pytest.mark.parametrize("place", ["before", "after", "between"])
def test_quiet_stands_anywhere(place: str, odd: str, tmp_path: Path, caplog: Any) -> None:
    out = str(tmp_path / "x.html")
    command = {
        "before": ["--quiet", "preview", odd, "-o", out],
        "after": ["preview", odd, "-o", out, "--quiet"],
        "between": ["preview", "--quiet", odd, "-o", out],
    }[place]
    assert main(command) == 0
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []
    assert main(["preview", odd, "-o", str(tmp_path / "y.html")]) == 0
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] != []


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("name", ["datumaro's format", "datumaro's command"])
def test_quiet_silences_datumaro(name: str, place: str, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    command = {
        "datumaro's format": ["convert", STREET, "-f", "yolo", "-o", out],
        "datumaro's command": ["detect", STREET],
    }[name]
    flagged = ["--quiet", *command] if place == "before" else [*command, "--quiet"]
    done = command_of_its_own(*flagged)
    assert done.returncode == 0
    assert "INFO" not in done.stderr


@pytest.fixture
def usual_level() -> Iterator[None]:
    """The level of loggers at the start of a program: a command of Datumaro sets another one."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.WARNING)
    yield
    root.setLevel(level)


@pytest.mark.usefixtures("usual_level")
def test_verbose_shows_what_is_logged(tmp_path: Path, caplog: Any) -> None:
    """What an earlier export wrote and this one does not have is told of to those who ask."""
    files = {i: rgb("1") for i in "ab"}
    two = as_zip(archive(files), tmp_path / "two")
    one = as_zip(archive({"a": rgb("1")}), tmp_path / "one")
    out = ["-f", "yolo_segments", "-o", str(tmp_path / "out"), "--overwrite"]
    for verbose in (False, True):
        caplog.clear()
        assert main(["convert", str(two), *out]) == 0
        assert main([*["--verbose"] * verbose, "convert", str(one), *out]) == 0
        assert ("removed 1 file of an earlier export" in caplog.text) == verbose


# Typing errors


@pytest.mark.parametrize(
    ("typed", "name", "remedy"),
    [
        (["--hlep"], "--hlep", "type '--help'"),
        (["check", "--hlep"], "--hlep", "type '--help'"),
        (["convert", "--hlep"], "--hlep", "type '--help'"),
        (["--qiuet", "check", STREET], "--qiuet", "type '--quiet'"),
        (["check", STREET, "--ignore_index", "255"], "--ignore_index", "type '--ignore-index'"),
        (["convert", STREET, "--ignore_index=255"], "--ignore_index", "type '--ignore-index'"),
        (["convert", STREET, "-f", "coco_segmants"], "coco_segmants", "type '-f coco_segments'"),
        (["convert", STREET, "-f", "segmask", "--zpi"], "--zpi", "type '--zip'"),
        (["xyzzy"], "xyzzy", "'datumaro-segmask --help' lists them"),
    ],
    ids=lambda value: " ".join(value).replace(STREET, "x") if isinstance(value, list) else "",
)
def test_typing_errors_are_answered_by_what_to_type(
    typed: list[str], name: str, remedy: str, capsys: Any
) -> None:
    assert main(typed) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {name}: there is no such ")
    assert said.endswith(f" To fix it: {remedy}.\n")


def test_two_dashes_may_be_forgotten(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["convert", STREET, "-f", "segmask", "-o", str(out), "--zip"]) == 0
    assert [path.name for path in out.iterdir()] == ["segmask.zip"]


@pytest.mark.parametrize("command", ["check", "preview", "shard", "from-masks", "recover"])
def test_what_is_missing_is_one_line(command: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert re.fullmatch(
        rf"error: .*'datumaro-segmask {command} --help' lists the options\.\n", said
    )


# Output


@pytest.mark.parametrize(
    ("command", "out"), [(["preview"], "out.html"), (["convert", "-f", "segmask"], "out.zip")]
)
def test_warning_is_one_plain_line(command: list[str], out: str, odd: str, tmp_path: Path) -> None:
    run = [sys.executable, "-m", "datumaro_segmask", *command, odd, "-o", str(tmp_path / out)]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True)
    (line,) = [line for line in done.stderr.splitlines() if "list" in line]
    assert line.startswith("WARNING: ")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a system without /dev/full")
@pytest.mark.parametrize(
    "command",
    [
        ["--help"],
        ["--version"],
        ["explain"],
        ["check", STREET],
        ["check", "--help"],
        ["preview", "--help"],
    ],
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_full_output_is_one_line(command: list[str], unbuffered: str) -> None:
    run = [sys.executable, "-m", "datumaro_segmask", *command]
    env = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            run, cwd=ROOT, env=env, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr.startswith("error: the output: no space left on device. To fix it: make")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "value", "colors"),
    [("TERM", "xterm", True), ("TERM", "dumb", False), ("NO_COLOR", "1", False)],
)
def test_colors_where_they_are_wanted(
    name: str, value: str, colors: bool, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert (report._colored("error") == "error") != colors


def test_no_bar_on_a_dumb_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    for term, shows in (("xterm", True), ("dumb", False)):
        monkeypatch.setenv("TERM", term)
        assert progress.is_watched() == shows


def test_numbers_have_their_words() -> None:
    assert [counted(n, "item") for n in (0, 1, 2000)] == ["0 items", "1 item", "2,000 items"]
    assert [counted(n, "class") for n in (1, 2)] == ["1 class", "2 classes"]
    assert numbered(1, "items without image") == "1 item without image"
    assert numbered(1, "boxes taken for others") == "1 box taken for others"
    assert numbered(2, "items without image") == "2 items without image"


def test_no_message_counts_by_itself() -> None:
    """`counted` and `numbered` do; a number before a plural would be wrong for one."""
    nouns = "items|instances|images|masks|objects|shards"
    wrong = re.compile(rf"(%d|\{{[^{{}}]*:,\}}|\{{len\([^{{}}]*\)\}}) ({nouns})\b")
    found = {
        match[0]
        for path in (ROOT / "datumaro_segmask").rglob("*.py")
        for match in wrong.finditer(path.read_text("utf-8"))
    }
    assert found <= MORE_THAN_ONE


MORE_THAN_ONE = {
    "{last:,} instances", "{len(numbers)} instances", "{count:,} items", "{part_items:,} items",
    "{items:,} masks",  # behind "of"
}  # fmt: skip
"""Numbers that are never one."""


# Ctrl-C

DRIVER = """
import sys
from datumaro_segmask.__main__ import main
from datumaro_segmask.cli import parallel
from datumaro_segmask.cli.check import survey
if __name__ == "__main__":
    parallel._TRIAL = parallel._PATIENCE = parallel._MOMENT = 0.0
    survey._PART = 1
    sys.exit(main(["check", sys.argv[1], "--jobs", "3"]))
"""


def children_of(process: int) -> list[str]:
    try:
        return Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return []


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="a system without /proc")
@pytest.mark.parametrize("after", [0.0, 0.1, 0.2, 0.4])
def test_interrupt_while_workers_start_is_one_line(after: float, tmp_path: Path) -> None:
    path = as_zip(archive({f"{i}": rgb("01" * 9) for i in range(3000)}), tmp_path / "task")
    (tmp_path / "driver.py").write_text(DRIVER)
    command = [sys.executable, str(tmp_path / "driver.py"), str(path)]
    started = start(command, stdout=subprocess.DEVNULL, start_new_session=True)
    for _ in range(3000):
        if len(children_of(started.pid)) >= 3 or started.poll() is not None:
            break
        time.sleep(0.01)
    time.sleep(after)
    assert started.poll() is None
    os.killpg(started.pid, signal.SIGINT)
    assert started.communicate(timeout=120)[1] == "interrupted\n"
    assert started.returncode == 130


# A shell's completion


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion(shell: str, capsys: Any) -> None:
    pytest.importorskip("shtab", reason="shtab is not installed")
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for word in (*COMMANDS, "transform", "--ignore-index", "coco_segments"):
        assert word in script


# What an uninstall by hand leaves behind


def test_startup_file_without_the_package_is_silent(tmp_path: Path) -> None:
    given: dict[str, Any] = {}
    source = (ROOT / "setup.py").read_text("utf-8").partition("class BuildPy")[0]
    exec(source, given)
    (tmp_path / "datumaro_segmask.pth").write_text(given["STARTUP_FILES"]["datumaro_segmask.pth"])
    code = (
        "import site, sys; site.addsitedir(sys.argv[1]); print('datumaro_segmask' in sys.modules)"
    )
    for options, there in ((["-I", "-S"], "False"), ([], "True")):
        run = [sys.executable, *options, "-c", code, str(tmp_path)]
        done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True)
        assert (done.stdout, done.stderr) == (f"{there}\n", "")
