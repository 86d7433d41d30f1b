"""`datumaro-segmask convert` by several processes: the files and messages of one."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import subprocess
import sys
import time
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datumaro.components.dataset import StreamDataset

from datumaro_segmask.__main__ import main
from datumaro_segmask.cli import parallel
from datumaro_segmask.cli.convert import parts as convert_parts
from datumaro_segmask.storage import FolderSink, ZipSink

from ..archives import Files, as_folder, as_zip, gray, png
from ..interrupts import start
from ..processes import do_nothing_here, help_at_once
from ..sharding.makes import random_files
from ..whole.test_orientation import file_of, photo

COUNT = 40


def task() -> Files:
    """Every kind of item; some turned pictures; masks of both kinds; an item of two subsets."""
    files = random_files(COUNT)
    files["ImageSets/Segmentation/extra.txt"] = b"d0/item 0"
    files["SegmentationClass/d0/item 3.png"] = gray("012 012 110")
    files["SegmentationObject/d0/item 3.png"] = gray("012 012 110")
    turned = file_of(photo(11, 9), "jpeg", 6)
    return {n: turned if n.endswith(("item 4.jpg", "item 8.jpg")) else d for n, d in files.items()}


def broken_task() -> Files:
    """The same with masks that cannot be read, and one that is too much for polygons."""
    files = task()
    files["SegmentationClass/d1/item 7.png"] = b"no picture"
    files["SegmentationClass/d2/item 20.png"] = png(np.full((9, 11, 3), 77, np.uint8))
    return files


FORMATS = {
    "coco": "-f coco_segments",
    "rle, split anew": "-f coco_segments --segmentation rle --random-split train:.7,val:.3",
    "components as polygons": "-f coco_segments --instances components --tolerance 1 --stuff crowd "
    "--keep-background",
    "yolo": "-f yolo_segments",
    "panoptic": "-f panoptic_segments",
    "semantic": "-f semantic_masks --layout mmsegmentation --flat-names --split extra=train",
    "nnunet": "-f semantic_masks --layout nnunet --no-save-media",
    "archive": "-f segmask --save-media --random-split train:.7,val:.3",
    "archive, png": "-f segmask --save-media --image-ext .png --mask-mode palette --unknown keep",
    "archive, index": "-f segmask --mask-mode index",
    "zip": "-f segmask --zip --save-media",
    "shards": "-f segmask --shard-items 7 --save-media --number-stuff",
}
COCO, YOLO = FORMATS["coco"].split(), FORMATS["yolo"].split()
ZIP = ["-f", "segmask", "--save-media"]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    help_at_once(monkeypatch)
    monkeypatch.setattr(parallel, "_MOST", 3)


def written(out: Path) -> dict[str, Any]:
    """Return what lies in a folder; of a record all but the times."""
    files: dict[str, Any] = {
        p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()
    }
    for name in [name for name in files if name.startswith(".segmask-files")]:
        lines = map(json.loads, files[name].decode().splitlines())
        files[name] = sorted((place, size, crc) for place, size, _, crc in lines)
    return files


def convert(path: Path, out: Path, *options: str, code: int = 0) -> dict[str, Any]:
    """Convert into ``out``, whose name stands in some files; return these, and remove it."""
    assert main(["convert", str(path), "-o", str(out), *options]) == code
    return taken(out)


def taken(out: Path) -> dict[str, Any]:
    files = written(out)
    out.rename(out.with_name(f"taken-{time.monotonic_ns()}"))
    return files


def said(caplog: Any, capsys: Any) -> list[str]:
    text: str = capsys.readouterr().out
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    caplog.clear()
    return [*lines, text]


@pytest.mark.parametrize("name", FORMATS)
def test_same_files_and_messages(
    name: str,
    tmp_path: Path,
    capsys: Any,
    caplog: Any,
    starts: list[int],
) -> None:
    make = as_folder if name == "coco" else as_zip
    path = make(task(), tmp_path / "x")
    all_jobs = "124" if name in ("coco", "archive") else "12"
    found = []
    for jobs in all_jobs:
        files = convert(path, tmp_path / "out", *FORMATS[name].split(), "--jobs", jobs)
        found.append((files, said(caplog, capsys)))
    assert found == found[:1] * len(all_jobs)
    assert starts == [int(jobs) - 1 for jobs in all_jobs[1:]]
    assert len(found[0][0]) > 2 or name == "zip"


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many processes were started, each time."""
    found: list[int] = []
    begin = parallel._start

    def noted(task: Any, workers: int) -> Any:
        found.append(workers)
        return begin(task, workers)

    monkeypatch.setattr(parallel, "_start", noted)
    return found


@pytest.mark.parametrize("name", ["coco", "yolo", "panoptic", "semantic", "archive"])
def test_same_files_and_messages_as_datumaros_stream(
    name: str, tmp_path: Path, capsys: Any, caplog: Any
) -> None:
    path = as_zip(task(), tmp_path / "x")
    _, format_name, *_ = FORMATS[name].split()
    options = ["-f", format_name, "--save-media", "--jobs", "2"]
    parts = convert(path, tmp_path / "out", *options)
    messages = said(caplog, capsys)[:-1]
    dataset = StreamDataset.import_from(str(path), "segmask")
    dataset.export(str(tmp_path / "out"), format_name, save_media=True)
    assert written(tmp_path / "out") == parts
    assert said(caplog, capsys)[:-1] == messages
    assert any("has an instance mask but no class mask" in line for line in messages)
    assert any("its values are lines of the label map" in line for line in messages)


@pytest.mark.parametrize("name", ["coco", "yolo", "archive"])
def test_same_items_are_left_out(name: str, tmp_path: Path, capsys: Any, caplog: Any) -> None:
    path, options = as_zip(broken_task(), tmp_path / "x"), [*FORMATS[name].split(), "--skip-broken"]
    found = []
    for jobs in "12":
        files = convert(path, tmp_path / "out", *options, "--jobs", jobs, code=1)
        found.append((files, said(caplog, capsys)))
    assert found[0] == found[1]
    assert found[0][1][-1].count("left out: ") == 2


def test_first_error_ends_it(tmp_path: Path, capsys: Any) -> None:
    path, found = as_zip(broken_task(), tmp_path / "x"), set()
    for jobs in "124":
        args = ["convert", str(path), "-o", str(tmp_path / "out"), *COCO]
        assert main([*args, "--jobs", jobs]) == 1
        found.add(capsys.readouterr().err)
        assert not (tmp_path / "out").exists()
    assert len(found) == 1
    assert "item 7.png" in found.pop()


def test_few_items_start_no_process(
    tmp_path: Path, starts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(parallel, "_start", None)
    convert(as_zip(task(), tmp_path / "x"), tmp_path / "out", *COCO, "--jobs", "4")


def die_once(*args: Any) -> Any:
    """As `do_part`, but the first process to do the fourth part is killed in the middle."""
    _, _, aside, number, _ = args
    mark = Path(aside).parents[1].parent / "mark"
    if number == 3 and not mark.exists() and parent_process() is not None:
        mark.touch()
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
    return convert_parts_do_part(*args)


convert_parts_do_part = convert_parts.do_part


def test_process_that_dies_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = as_zip(task(), tmp_path / "x")
    one = convert(path, tmp_path / "out", *YOLO, "--jobs", "1")
    monkeypatch.setattr(convert_parts, "do_part", die_once)
    do_nothing_here(monkeypatch)
    assert convert(path, tmp_path / "out", *YOLO, "--jobs", "2") == one
    assert (tmp_path / "mark").exists()


def always_die(*_: Any) -> None:
    os._exit(1)


def test_processes_that_die_again_and_again(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert_parts, "do_part", always_die)
    do_nothing_here(monkeypatch)
    args = ["convert", str(as_zip(task(), tmp_path / "x")), "-o", str(tmp_path / "out")]
    assert main([*args, *COCO, "--jobs", "2"]) == 2
    assert "give fewer --jobs" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "picture")


@pytest.mark.parametrize("where", ["in a process", "where all is written"])
@pytest.mark.parametrize("form", ["yolo", "zip"])
def test_full_disk(
    form: str, where: str, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = as_zip(task(), tmp_path / "x"), tmp_path / ("out.zip" if form == "zip" else "out")
    if where == "in a process":
        monkeypatch.setattr(convert_parts, "do_part", full)
        do_nothing_here(monkeypatch)
    else:
        monkeypatch.setattr(ZipSink, "put", full)
        monkeypatch.setattr(FolderSink, "put_lines", full)
    options = [*(ZIP if form == "zip" else YOLO), "--jobs", "2"]
    assert main(["convert", str(path), "-o", str(out), *options]) != 0
    assert "no space left" in capsys.readouterr().err
    assert not out.exists()
    assert not staged(tmp_path)


COPIED = """
import sys
from datumaro_segmask.__main__ import main
from datumaro_segmask.cli import parallel
parallel._TRIAL = parallel._PATIENCE = parallel._MOMENT = 0
parallel._MOST = 3
begin = parallel._start
def noted(*args):
    pool = begin(*args)
    print(pool._mp_context.get_start_method(), file=sys.stderr)
    return pool
parallel._start = noted
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="nobody else counts the threads of a process")
@pytest.mark.parametrize(
    ("source", "name"),
    [("archive", "coco"), ("archive", "yolo"), ("coco", "yolo"), ("coco", "archive")],
)
def test_copies_of_this_process(source: str, name: str, tmp_path: Path) -> None:
    """They begin at once, and have what is open and loaded here; the files are those of one."""
    files, options = task() if source == "archive" else random_files(COUNT), FORMATS[name].split()
    path = as_zip(files, tmp_path / "x")
    if source == "coco":  # which Datumaro reads as a whole
        args = ["convert", str(path), "-o", str(tmp_path / "coco"), *COCO, "--jobs", "1"]
        assert main(args) == 0
        path = tmp_path / "coco"
    one = convert(path, tmp_path / "out", *options, "--jobs", "1")
    (tmp_path / "program.py").write_text(COPIED)
    args = ["convert", str(path), "-o", str(tmp_path / "out"), *options, "--jobs", "3"]
    process = start([sys.executable, str(tmp_path / "program.py"), *args])
    assert process.communicate()[1].count("fork\n") == 1
    assert written(tmp_path / "out") == one


def test_loaded_items_go_to_no_process_that_starts_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = as_zip(task(), tmp_path / "x")
    convert_options = ["-o", str(tmp_path / "coco"), *COCO, "--jobs", "1"]
    assert main(["convert", str(path), *convert_options]) == 0
    monkeypatch.setattr(parallel, "_has_one_thread", lambda: False)
    monkeypatch.setattr(parallel, "_start", None)
    assert convert(tmp_path / "coco", tmp_path / "out", *YOLO, "--jobs", "2")


DYING = """
import os, signal
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # as the command does before it loads NumPy
from multiprocessing import parent_process
from datumaro_segmask.cli.convert import parts
do_part = parts.do_part
def die_once(*args):
    mark = os.path.join(os.path.dirname(__file__), "mark")
    if args[3] == 3 and parent_process() is not None and not os.path.exists(mark):
        open(mark, "x").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return do_part(*args)
parts.do_part = die_once
"""


@pytest.mark.skipif(sys.platform != "linux", reason="nobody else counts the threads of a process")
def test_copy_that_dies_is_replaced(tmp_path: Path) -> None:
    path = as_zip(task(), tmp_path / "x")
    one = convert(path, tmp_path / "out", *YOLO, "--jobs", "1")
    begin = COPIED.replace("parallel._MOST = 3", "parallel._MOST, parallel._KEPT = 3, 0")
    (tmp_path / "program.py").write_text(begin.replace("if __name__", f"{DYING}if __name__"))
    args = ["convert", str(path), "-o", str(tmp_path / "out"), *YOLO, "--jobs", "2"]
    process = start([sys.executable, str(tmp_path / "program.py"), *args])
    assert process.communicate()[1].count("fork\n") >= 1
    assert written(tmp_path / "out") == one
    assert (tmp_path / "mark").exists()


INTERRUPTED = """
import sys
from datumaro_segmask.__main__ import main
from datumaro_segmask.cli import parallel
parallel._TRIAL = parallel._PATIENCE = parallel._MOMENT = 0
parallel._MOST = 1
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""


def begun(tmp_path: Path, form: str) -> tuple[subprocess.Popen[str], Path, list[str]]:
    """Start a long conversion by two processes, and wait until both have written something."""
    path = as_zip(random_files(1500), tmp_path / "x")
    (tmp_path / "program.py").write_text(INTERRUPTED)
    out = tmp_path / ("out.zip" if form == "zip" else "out")
    options = [*(ZIP if form == "zip" else YOLO), "--jobs", "2"]
    args = ["convert", str(path), "-o", str(out), *options]
    process = start([sys.executable, str(tmp_path / "program.py"), *args])
    where = ".segmask-*.aside/*" if form == "zip" else "out/.segmask-*/new/labels/train/d0/*"
    while not [*tmp_path.glob(where)] and process.poll() is None:
        time.sleep(0.02)
    return process, out, args


def staged(tmp_path: Path) -> list[Path]:
    return [*tmp_path.rglob(".segmask-*")]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
@pytest.mark.parametrize("form", ["yolo", "zip"])
def test_ctrl_c(form: str, tmp_path: Path) -> None:
    process, out, _ = begun(tmp_path, form)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Traceback" not in error
    assert not out.exists()
    assert not staged(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc names the processes")
@pytest.mark.parametrize("form", ["yolo", "zip"])
def test_kill(form: str, tmp_path: Path) -> None:
    """The other processes end, too, and the next conversion goes as if there had been none."""
    process, out, args = begun(tmp_path, form)
    others = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.kill()
    process.communicate(timeout=60)
    end = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in others) and time.monotonic() < end:
        time.sleep(0.02)
    assert others
    assert not any(Path(f"/proc/{pid}").exists() for pid in others)
    assert staged(tmp_path)
    assert main([*args, "--overwrite"]) == 0
    assert out.exists()
    assert [path.name for path in staged(tmp_path) if path.is_dir()] == []


def test_archive_that_changes(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = as_zip(task(), tmp_path / "x")

    def changing(*args: Any) -> Any:
        os.utime(path, ns=(1, 1))
        return convert_parts_do_part(*args)

    monkeypatch.setattr(convert_parts, "do_part", changing)
    args = [
        "convert",
        str(path),
        "-o",
        str(tmp_path / "out"),
        *COCO,
        "--jobs",
        "1",
    ]
    assert main(args) == 1
    assert "was changed while it was read" in capsys.readouterr().err


def test_cluster_for_what_is_no_archive(tmp_path: Path, capsys: Any) -> None:
    convert_options = ["-o", str(tmp_path / "coco"), *COCO, "--jobs", "1"]
    assert main(["convert", str(as_zip(task(), tmp_path / "x")), *convert_options]) == 0
    args = ["convert", str(tmp_path / "coco"), "-o", str(tmp_path / "out"), "-f", "segmask"]
    assert main([*args, "--dask", "tcp://x"]) == 2
    assert "--dask" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["yolo", "zip"])
def test_nothing_of_a_picture_stays_aside(form: str, tmp_path: Path) -> None:
    path, out = as_zip(task(), tmp_path / "x"), tmp_path / ("out.zip" if form == "zip" else "out")
    options = [*(ZIP if form == "zip" else YOLO), "--jobs", "2"]
    assert main(["convert", str(path), "-o", str(out), *options]) == 0
    assert not [path for path in staged(tmp_path) if path.is_dir()]
