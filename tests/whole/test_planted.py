"""What a stranger has put into a folder moves nothing outside of it, and no file there either."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from datumaro.components.dataset import Dataset
from datumaro.components.errors import DatasetExportError

from datumaro_segmask.cli import main
from datumaro_segmask.errors import SegmaskError
from datumaro_segmask.storage import journal
from datumaro_segmask.storage.journal import recover
from datumaro_segmask.storage.layout import STAGING
from datumaro_segmask.storage.write import FolderSink
from tests.archives import archive, as_folder, as_zip, rgb

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


def plant(out: Path, home: Path, how: str) -> Path:
    staging = out / f"{STAGING}x"
    (staging / "new").mkdir(parents=True)
    (staging / "old").mkdir()
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
    elif how == "journal":
        (home / "steps").write_text('["remove", "labelmap.txt"]\n')
        (staging / "journal").symlink_to(home / "steps")
        return staging
    (staging / "journal").write_text("".join(json.dumps(step) + "\n" for step in steps))
    return staging


WAYS = [
    "new", "old", "folder in new", "folder in old", "link in new", "link below a folder",
    "folder on the way", "journal",
]  # fmt: skip


@pytest.mark.parametrize("how", WAYS)
def test_planted_links_are_refused_by_everything(
    how: str, out: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole story of ``~/.ssh/id_rsa``: recover, --back, an export over it, check."""
    source = Dataset.import_from(str(out), "segmask")
    source.init_cache()
    plant(out, home, how)
    before = state(out.parent)
    for command in (["recover", str(out)], ["recover", str(out), "--back"], ["check", str(out)]):
        assert main(command) == 2
        text = "".join(capsys.readouterr())
        assert "ask them for one without this folder" in text
        assert "datumaro-segmask recover" not in text
        assert state(out.parent) == before
    dataset = Dataset.from_iterable([], categories=["a"])
    for made in (source, dataset):
        with pytest.raises(DatasetExportError):
            made.export(str(out), "segmask")
        assert state(out.parent) == before


def test_what_came_in_a_zip_is_not_advised_to_be_recovered(
    out: Path, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {**FILES, f"{STAGING}x/journal": b'["put", "id_rsa"]\n', f"{STAGING}x/new/a": b""}
    assert main(["check", str(as_zip(files, tmp_path / "task.zip"))]) == 2
    text = "".join(capsys.readouterr())
    assert "ask whoever made it" in text
    assert "recover" not in text


@pytest.mark.parametrize(
    "line",
    [
        '["put", "../x"]', '["put", "nothing"]', '["remove", "a\\\\b"]', '["remove", "a:b"]', "[]",
        '["move", "a"]', '["remove", 3]', '{"remove": "a"}', "no JSON", "[" * 9000,
        f'["remove", "{STAGING}y/journal"]', '["remove", ""]',
    ],
)  # fmt: skip
@pytest.mark.parametrize("back", [False, True])
def test_journal_is_refused_whole_before_its_first_step(line: str, back: bool, out: Path) -> None:
    staging = out / f"{STAGING}x"
    (staging / "new").mkdir(parents=True)
    (staging / "new/good").write_text("new")
    first = '["remove", "labelmap.txt"]\n["put", "good"]\n'
    (staging / "journal").write_text(f"{line}\n{first}" if back else f"{first}{line}\n")
    before = state(out)
    if back and "nothing" in line:  # there is nothing to undo
        return
    with pytest.raises(SegmaskError):
        recover(str(out), back=back)
    assert state(out) == before


def test_pipes_are_not_waited_for(out: Path) -> None:
    staging = out / f"{STAGING}x"
    staging.mkdir()
    os.mkfifo(staging / "journal")
    with pytest.raises(SegmaskError, match="cannot be carried out"):
        recover(str(out))
    with pytest.raises(SegmaskError):
        Dataset.import_from(str(out), "segmask").init_cache()


def test_file_that_came_since_is_not_lost_by_an_undo(out: Path) -> None:
    staging = out / f"{STAGING}x"
    (staging / "old").mkdir(parents=True)
    (staging / "old/x").write_text("old")
    (staging / "journal").write_text('["remove", "x"]\n')
    (out / "x").write_text("mine")
    with pytest.raises(SegmaskError, match="is in the way"):
        recover(str(out), back=True)
    assert (out / "x").read_text() == "mine"


def test_folder_of_another_user_is_refused(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    staging = out / f"{STAGING}x"
    staging.mkdir()
    (staging / "journal").write_text('["remove", "labelmap.txt"]\n')
    with pytest.raises(SegmaskError, match="belongs to another user"):
        journal.check(str(staging), back=False, user=os.getuid() + 1)
    assert (out / "labelmap.txt").exists()


def test_folder_reached_by_a_link_is_not_recovered(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    staging = out / f"{STAGING}x"
    staging.mkdir()
    (staging / "journal").write_text('["remove", "labelmap.txt"]\n')
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/task").symlink_to(out, target_is_directory=True)
    assert main(["recover", str(tmp_path / "theirs")]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert (out / "labelmap.txt").exists()


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
