"""What a stranger has put into a folder moves nothing outside of it, and no file there either."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datumaro.components.dataset import Dataset
from datumaro.components.errors import DatasetExportError

from datumaro_segmask.cli import main
from datumaro_segmask.errors import SegmaskError
from datumaro_segmask.storage import journal
from datumaro_segmask.storage.disk import Tree
from datumaro_segmask.storage.journal import recover
from datumaro_segmask.storage.layout import STAGING
from datumaro_segmask.storage.write import FolderSink, ZipSink
from tests.archives import archive, as_folder, as_zip, rgb
from tests.disk import Killed, failing

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links")

FILES = archive({"a": rgb("0110")})
KEY = "id_rsa"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    ssh = tmp_path / "home/.ssh"
    ssh.mkdir(parents=True)
    (ssh / KEY).write_text("secret")
    return ssh


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return as_folder(FILES, tmp_path / "out")


def state(folder: Path) -> dict[str, Any]:
    """Everything below a folder, links as where they lead."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = os.readlink(path)
        else:
            found[name] = path.read_bytes() if path.is_file() else None
    return found


def note(staging: Path) -> str:
    """Return the first line that a journal has which was written there."""
    (staging / journal.NOTE).write_text("a note")
    return journal.first_line((staging / journal.NOTE).stat())


def plant(out: Path, home: Path, how: str) -> Path:
    """Plant a journal as if its first line could be known."""
    staging = out / f"{STAGING}x"
    (staging / "new").mkdir(parents=True)
    (staging / "old").mkdir()
    first = note(staging)
    steps = [["put", KEY]]
    if how in ("new", "old"):
        (staging / how).rmdir()
        (staging / how).symlink_to(home, target_is_directory=True)
        steps = [["put", KEY]] if how == "new" else [["remove", "labelmap.txt"]]
    elif how == "folder in new":
        (staging / "new/d").symlink_to(home, target_is_directory=True)
        steps = [["put", f"d/{KEY}"]]
    elif how == "folder in old":
        (staging / "old/SegmentationClass").symlink_to(home, target_is_directory=True)
        steps = [["remove", "SegmentationClass/a.png"]]
    elif how == "link in new":
        (staging / "new" / KEY).symlink_to(home / KEY)
    elif how == "link below a folder":
        (staging / "new/d").mkdir()
        (staging / "new/d" / KEY).symlink_to(home / KEY)
        steps = [["put", "d"]]
    elif how == "folder on the way":
        (out / "way").symlink_to(home, target_is_directory=True)
        steps = [["remove", f"way/{KEY}"]]
    elif how == "pipe in new":
        os.mkfifo(staging / "new" / KEY)
    elif how == "journal":
        (home / "steps").write_text(first + '["remove", "labelmap.txt"]\n')
        (staging / "journal").symlink_to(home / "steps")
        return staging
    (staging / "journal").write_text(first + "".join(json.dumps(step) + "\n" for step in steps))
    return staging


WAYS = [
    "new", "old", "folder in new", "folder in old", "link in new", "link below a folder",
    "folder on the way", "pipe in new", "journal",
]  # fmt: skip


@pytest.mark.parametrize("how", WAYS)
def test_planted_links_are_refused_by_everything(
    how: str, out: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole story of ``~/.ssh/id_rsa``: recover, --back, an export over it, check."""
    source = Dataset.import_from(str(out), "segmask")
    source.init_cache()
    plant(out, home, how)
    is_refused_by_everything(out, [source], capsys)


def is_refused_by_everything(
    out: Path, sources: list[Dataset], capsys: pytest.CaptureFixture[str]
) -> None:
    before = state(out.parent)
    for command in (["recover", str(out)], ["recover", str(out), "--back"], ["check", str(out)]):
        assert main(command) == 2
        text = "".join(capsys.readouterr())
        assert "ask them for one without this folder" in text
        assert "datumaro-segmask recover" not in text
        assert state(out.parent) == before
    for made in (*sources, Dataset.from_iterable([], categories=["a"])):
        with pytest.raises(DatasetExportError):
            made.export(str(out), "segmask")
        assert state(out.parent) == before


def test_journal_of_a_stranger_takes_nothing_that_lies_beside(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every name in it is sound, and the zip was unpacked among files of the user."""
    as_folder({"Documents/letter.txt": b"mine", f"{STAGING}x/new/a": b"theirs"}, out)
    staging = out / f"{STAGING}x"
    note(staging)
    number = staging.stat().st_ino
    for first in ("", "[]\n", "[null, null]\n", f"[{number}, {number}]\n", '{"a": 1, "b": 2}\n'):
        for line in ('["remove", "Documents"]\n', '["put", "Documents"]\n', '["put", "a"]\n'):
            (staging / "journal").write_text(first + line)
            is_refused_by_everything(out, [], capsys)


def unpacked_zip(source: Path, target: Path) -> None:
    shutil.make_archive(str(source), "zip", source)
    with zipfile.ZipFile(f"{source}.zip") as packed:
        packed.extractall(target)


def unpacked_tar(source: Path, target: Path) -> None:
    shutil.make_archive(str(source), "tar", source)
    shutil.unpack_archive(f"{source}.tar", target, filter="tar")


@pytest.mark.parametrize("copy", [unpacked_zip, unpacked_tar, shutil.copytree])
def test_journal_that_was_copied_or_unpacked_is_refused(
    copy: Callable[[Path, Path], object],
    out: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A real one, which came here in a zip, a tar, or by a copy with all its times."""
    killed_export(out)
    copy(out, tmp_path / "copies/task")
    is_refused_by_everything(tmp_path / "copies/task", [], capsys)
    assert main(["recover", str(out)]) == 0
    assert (out / "labelmap.txt").read_bytes() == b"new"
    out.rename(tmp_path / "moved")
    killed_export(tmp_path / "moved")
    (tmp_path / "moved").rename(out)  # which makes no other folder of it
    assert main(["recover", str(out)]) == 0


def test_export_that_ends_while_its_journal_is_read_is_no_strangers(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_export(out)
    tree_open = Tree.open

    def open_and_end(self: Tree, name: str) -> Any:
        file = tree_open(self, name)
        monkeypatch.setattr(Tree, "open", tree_open)
        recover(str(out))
        return file

    monkeypatch.setattr(Tree, "open", open_and_end)
    with pytest.raises(SegmaskError, match="has not ended, so it may mix") as caught:
        Dataset.import_from(str(out), "segmask")
    assert "copied" not in str(caught.value)


def killed_export(out: Path) -> None:
    """Leave what an export leaves that is killed when it is about to move its first file."""

    def killed(*_: Any) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch, failing(out, 0, Killed()):
        patch.setattr(journal, "_do", killed)
        sink = FolderSink(str(out))
        sink.put("labelmap.txt", b"new")
        with pytest.raises(Killed):
            sink.finish()
        sink.abandon()
    for path in out.glob(f"{STAGING}folder.*"):
        path.unlink()  # which the next writer does


@pytest.mark.parametrize("same", ["number", "time"])
def test_journal_is_known_by_number_or_time(same: str, out: Path) -> None:
    """A file system may give its files other numbers when it is mounted again."""
    killed_export(out)
    (staging,) = map(Path, journal.journaled(str(out)))
    first, *rest = (staging / "journal").read_text().splitlines(keepends=True)
    number, changed = json.loads(first)
    first = json.dumps([number, changed + 1] if same == "number" else [number + 1, changed])
    (staging / "journal").write_text("".join([f"{first}\n", *rest]))
    assert recover(str(out)) == 1
    assert (out / "labelmap.txt").read_bytes() == b"new"


@pytest.mark.parametrize(
    "name", [f"{STAGING}x/journal", f"a/{STAGING}x/journal", f"{STAGING}x\\journal"]
)
def test_what_came_in_a_zip_is_not_advised_to_be_recovered(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {**FILES, name: b'["put", "id_rsa"]\n', f"{STAGING}x/new/a": b""}
    assert main(["check", str(as_zip(files, tmp_path / "task.zip"))]) == 2
    text = "".join(capsys.readouterr())
    assert "ask whoever made it" in text
    assert "recover" not in text


@pytest.mark.parametrize(
    "line",
    [
        '["put", "../x"]', '["put", "nothing"]', '["remove", "a\\\\b"]', '["remove", "a:b"]', "[]",
        '["move", "a"]', '["remove", 3]', '{"remove": "a"}', "no JSON", "[" * 9000,
        f'["remove", "{STAGING}y/journal"]', '["remove", ""]', '["remove", "/etc/hostname"]',
        '["remove", "//server/share"]', '["remove", "C:/x"]', '["remove", "a\\u0000b"]',
        '["remove", "./labelmap.txt"]', '["remove", "a//b"]', '["remove", "a/../labelmap.txt"]',
        '["remove", "."]', '["put", "good"]', '["remove", "labelmap.txt"]',
        '["put", "good/inside"]', '["remove", "folder"]', '["remove", "way/out"]', "",
    ],
)  # fmt: skip
@pytest.mark.parametrize("back", [False, True])
def test_journal_is_refused_whole_before_its_first_step(line: str, back: bool, out: Path) -> None:
    staging = out / f"{STAGING}x"
    (staging / "new").mkdir(parents=True)
    (staging / "new/good").write_text("new")
    as_folder({"folder/file": b"mine"}, out)
    as_folder({"out": b"mine"}, out.parent / "elsewhere")
    (out / "way").symlink_to("../elsewhere")
    first = '["remove", "labelmap.txt"]\n["put", "good"]\n["remove", "folder/file"]\n'
    steps = f"{line}\n{first}" if back else f"{first}{line}\n"
    (staging / "journal").write_text(note(staging) + steps)
    before = state(out.parent)
    if back and "nothing" in line:  # there is nothing to undo
        return
    with pytest.raises(SegmaskError):
        recover(str(out), back=back)
    assert state(out.parent) == before


def test_pipes_are_not_waited_for(out: Path) -> None:
    staging = out / f"{STAGING}x"
    staging.mkdir()
    os.mkfifo(staging / "journal")
    with pytest.raises(SegmaskError, match="cannot be carried out"):
        recover(str(out))
    with pytest.raises(SegmaskError):
        Dataset.import_from(str(out), "segmask").init_cache()


def test_hard_link_is_moved_and_never_written_through(out: Path, home: Path) -> None:
    staging = out / f"{STAGING}x"
    (staging / "new").mkdir(parents=True)
    (staging / "new/labelmap.txt").hardlink_to(home / KEY)
    (staging / "journal").write_text(note(staging) + '["put", "labelmap.txt"]\n')
    assert recover(str(out)) == 1
    assert (out / "labelmap.txt").samefile(home / KEY)
    sink = FolderSink(str(out))
    sink.put("labelmap.txt", b"new")
    sink.finish()
    assert (out / "labelmap.txt").read_bytes() == b"new"
    assert (home / KEY).read_text() == "secret"


def test_file_that_came_since_is_not_lost_by_an_undo(out: Path) -> None:
    staging = out / f"{STAGING}x"
    (staging / "old").mkdir(parents=True)
    (staging / "old/x").write_text("old")
    (staging / "journal").write_text(note(staging) + '["remove", "x"]\n')
    (out / "x").write_text("mine")
    with pytest.raises(SegmaskError, match="is in the way"):
        recover(str(out), back=True)
    assert (out / "x").read_text() == "mine"


def test_folder_of_another_user_is_refused(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    staging = out / f"{STAGING}x"
    staging.mkdir()
    (staging / "journal").write_text(note(staging) + '["remove", "labelmap.txt"]\n')
    with pytest.raises(SegmaskError, match="belongs to another user"):
        journal.check(str(staging), back=False, user=os.getuid() + 1)
    assert (out / "labelmap.txt").exists()


def test_folder_reached_by_a_link_is_not_recovered(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    staging = out / f"{STAGING}x"
    staging.mkdir()
    (staging / "journal").write_text(note(staging) + '["remove", "labelmap.txt"]\n')
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/task").symlink_to(out, target_is_directory=True)
    assert main(["recover", str(tmp_path / "theirs")]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert (out / "labelmap.txt").exists()


# Locks: to lock a file is to open it, and some programs empty it then

PLANTS: dict[str, Callable[[Path, Path], object]] = {
    "link": lambda place, key: place.symlink_to(key),
    "link to nothing": lambda place, key: place.symlink_to(key.parent / "nothing"),
    "hard link": lambda place, key: place.hardlink_to(key),
    "pipe": lambda place, key: os.mkfifo(place),
}


@pytest.mark.parametrize("how", PLANTS)
@pytest.mark.parametrize("end", ["lock", "writer"])
@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
def test_planted_locks_empty_no_file_and_keep_writers_out(
    zipped: bool, end: str, how: str, out: Path, home: Path
) -> None:
    make = ZipSink if zipped else FolderSink
    target = out / "task.zip" if zipped else out
    sink = make(str(target))
    (lock,) = out.glob(f"{STAGING}*.{end}")
    sink.abandon()
    PLANTS[how](lock, home / KEY)
    sink = make(str(target))
    try:
        assert not lock.samefile(home / KEY)
        with pytest.raises(SegmaskError, match="another export is writing"):
            make(str(target))
    finally:
        sink.abandon()
    assert [path.name for path in home.iterdir()] == [KEY]
    assert (home / KEY).read_text() == "secret"
    assert not [path for path in out.iterdir() if path.name.startswith(STAGING)]


# What is journaled can be carried out


@pytest.mark.parametrize("name", ["1:2.txt", "a\\b.txt", "a\tb.txt", "\udcff.txt"])
def test_odd_names_of_others_stay_and_stop_nothing(name: str, tmp_path: Path) -> None:
    source = Dataset.import_from(str(as_folder(FILES, tmp_path / "task")), "segmask")
    out = tmp_path / "out"
    for form in ("yolo_segments", "coco_segments", "segmask"):
        source.export(str(out), form)
        for folder in ("labels/train", "annotations", "SegmentationClass", "images/train"):
            (out / folder).mkdir(parents=True, exist_ok=True)
            (out / folder / name).write_text("mine")
        source.export(str(out), form)
        assert (out / "labels/train" / name).read_text() == "mine"
        assert not [path for path in out.iterdir() if path.name.startswith(STAGING)]


def test_odd_names_are_refused_before_the_journal(tmp_path: Path) -> None:
    sink = FolderSink(str(tmp_path / "out"))
    for name in ("C:/2.txt", "a\\b", "a\tb", "../x", f"{STAGING}x/journal"):
        sink.discard(name)
        with pytest.raises(SegmaskError, match="no file can be called"):
            sink.put(name, b"")
    sink.put("a", b"")
    sink.finish()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]


def test_removal_below_a_link_is_refused_before_the_journal(out: Path, home: Path) -> None:
    (out / "way").symlink_to(home, target_is_directory=True)
    sink = FolderSink(str(out))
    sink.put("a", b"")
    sink.discard(f"way/{KEY}")
    with pytest.raises(SegmaskError, match="the folder is a link"):
        sink.finish()
    sink.abandon()
    assert (home / KEY).exists()
    assert not (out / "a").exists()
