"""No pipe in the place of a file is waited for: each is an error that names it, or no matter."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datumaro.components.dataset import Dataset

from datumaro_segmask.cli import main
from datumaro_segmask.formats.read_coco import has_coco, open_coco
from datumaro_segmask.formats.read_yolo import has_segments, open_yolo

from ..archives import archive, as_folder, jpeg, rgb

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes"),
    pytest.mark.usefixtures("registered", "alarm"),
]

ARCHIVE = archive({"a": rgb("0110")}, images={"a.jpg": jpeg(1, 4)})
COCO = b"""{"images": [{"id": 1, "file_name": "a.jpg", "width": 4, "height": 2}], "annotations":
[{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[0, 0, 2, 0, 2, 2]]}],
"categories": [{"id": 1, "name": "car"}]}"""
DATA_SETS: dict[str, dict[str, bytes]] = {
    "coco_segments": {
        "annotations/instances_train.json": COCO,
        "images/train/a.jpg": jpeg(2, 4),
    },
    "yolo_segments": {
        "data.yaml": b"train: train.txt\nnames: [car]\n",
        "train.txt": b"images/train/a.jpg\n",
        "images/train/a.jpg": jpeg(2, 4),
        "labels/train/a.txt": b"0 0 0 1 0 1 1\n",
    },
}
PLACES = [(form, name) for form, files in DATA_SETS.items() for name in files]


@pytest.fixture
def alarm() -> Iterator[None]:
    """Who waits for a pipe is woken by an error."""

    def waited(*_: Any) -> None:
        raise RuntimeError("it waits")

    before = signal.signal(signal.SIGALRM, waited)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def pipe(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    return path


@pytest.mark.parametrize(("form", "name"), PLACES, ids=[name for _, name in PLACES])
def test_data_sets_of_other_formats(form: str, name: str, tmp_path: Path) -> None:
    """As a folder, and where the pipe itself is the path."""
    root = as_folder(DATA_SETS[form], tmp_path / "set")
    assert len(Dataset.import_from(str(root), form)) == 1
    path = pipe(root / name)
    has_coco(str(root)), has_segments(str(root))
    try:
        found = [item for item in Dataset.import_from(str(root), form) if item.annotations]
    except Exception as error:
        assert "it waits" not in str(error)
    else:
        assert not found or name.endswith(".jpg")
    for open_it in (open_coco, open_yolo):
        with pytest.raises(Exception, match="set"):
            open_it(str(path))


@pytest.mark.parametrize("name", ["names.txt", "names.json", "names.yaml"])
def test_files_of_labels(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    masks = as_folder({"a.png": rgb("0110")}, tmp_path / "masks")
    path = pipe(tmp_path / name)
    out = tmp_path / "out"
    assert main(["from-masks", str(masks), "-o", str(out), "--labels", str(path)]) == 2
    assert str(path) in capsys.readouterr().err
    root = as_folder(DATA_SETS["yolo_segments"], tmp_path / "set")
    with pytest.raises(Exception, match="it is not a file"):
        open_yolo(str(root), names=str(path))


@pytest.mark.parametrize(
    ("form", "name"),
    [
        *[
            ("coco_segments", f"annotations/{name}")
            for name in ("instances_default.json", "x.json")
        ],
        *[("yolo_segments", name) for name in ("data.yaml", "labels/default/a.txt")],
        *[(form, f".segmask-files.{form}") for form in DATA_SETS],
        *[("segmask", f".segmask-export-folder.{end}") for end in ("lock", "writer")],
        ("segmask", "labelmap.txt"),
    ],
)
def test_targets_of_exports(form: str, name: str, tmp_path: Path) -> None:
    """An export refuses them before anything moves, or they are none of its files."""
    source = Dataset.import_from(str(as_folder(ARCHIVE, tmp_path / "task")), "segmask")
    path = pipe(tmp_path / "out" / name)
    try:
        source.export(str(tmp_path / "out"), form)
    except Exception as error:
        assert "it waits" not in str(error)
        assert os.listdir(tmp_path / "out") == [name.split("/")[0]]
        assert path.is_fifo()


@pytest.mark.parametrize("name", [*ARCHIVE, ".segmask-export-x/journal"])
def test_archives(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = as_folder(ARCHIVE, tmp_path / "task")
    pipe(root / name)
    assert main(["check", str(root)]) in (1, 2)
    assert main(["preview", str(root), "-o", str(tmp_path / "page.html")]) in (0, 1, 2)
    assert main(["shard", str(root), "-o", str(tmp_path / "shards")]) in (1, 2)
    assert "it waits" not in "".join(capsys.readouterr())


@pytest.mark.parametrize("name", ["page.html", "page.png", "page_files"])
def test_targets_of_preview(name: str, tmp_path: Path) -> None:
    root = as_folder(ARCHIVE, tmp_path / "task")
    path = pipe(tmp_path / name)
    out = tmp_path / (name if "." in name else "page.html")
    command = ["preview", str(root), "-o", str(out), "--inline", "0", "--workers", "1"]
    assert main([*command, "--overwrite"]) == 2
    assert path.is_fifo()


@pytest.mark.parametrize("name", ["_segmask.json", "_segmask/job.json", "_segmask/000000.json"])
def test_targets_of_shards(name: str, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    root = as_folder(ARCHIVE, tmp_path / "task")
    path = pipe(tmp_path / "out" / name)
    assert main(["shard", str(root), "-o", str(tmp_path / "out")]) == 2
    assert path.is_fifo()
