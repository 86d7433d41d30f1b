"""Pictures and archives that are gone, are others now, or are none, when a dataset is saved."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from datumaro.components.annotation import Mask
from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.errors import DatasetExportError
from datumaro.components.media import Image

from datumaro_segmask.errors import SegmaskError

from ..archives import archive, as_folder, as_zip, jpeg, png, rgb

pytestmark = pytest.mark.usefixtures("registered")

FILES = archive({"a": rgb("0110")}, {"a": rgb("0110")}, images={"a.jpg": jpeg(1, 4)})


TWO = archive(
    {"a": rgb("0110"), "b": rgb("0220")},
    images={"a.jpg": jpeg(1, 4, 10), "b.jpg": jpeg(1, 4, 200)},
)


def contents(root: Path) -> dict[str, bytes]:
    if root.is_file():
        with zipfile.ZipFile(root) as packed:
            return {name: packed.read(name) for name in packed.namelist()}
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def with_picture(tmp_path: Path, data: bytes) -> tuple[Dataset, Path, Path]:
    """An archive in a folder, and a new item in it whose picture lies elsewhere."""
    root = as_folder(FILES, tmp_path / "task")
    picture = tmp_path / "new.png"
    picture.write_bytes(data)
    dataset = Dataset.import_from(str(root), "segmask")
    mask = Mask(np.ones((1, 4), np.uint8), label=1, group=1)
    image = Image.from_file(str(picture), size=(1, 4))
    dataset.put(DatasetItem("new", subset="default", media=image, annotations=[mask]))
    return dataset, root, picture


def test_picture_that_was_saved_and_whose_source_is_gone(tmp_path: Path) -> None:
    """The copy in the archive may be the last, so nothing moves."""
    dataset, root, picture = with_picture(tmp_path, png(np.ones((1, 4), np.uint8)))
    dataset.save(save_media=True)
    assert (root / "JPEGImages/new.png").exists()
    picture.unlink()
    item = dataset.get("new", "default")
    assert item is not None
    dataset.put(item.wrap(annotations=[item.annotations[0].wrap(label=2)]))
    before = contents(root)
    with pytest.raises(DatasetExportError, match=r"its image is gone: .*new\.png"):
        dataset.save(save_media=True)
    assert contents(root) == before


@pytest.mark.parametrize("ext", [".bmp", ".jpg"])
def test_picture_that_is_none(ext: str, tmp_path: Path) -> None:
    """It cannot be written as another type, and the error names the item."""
    dataset, root, _ = with_picture(tmp_path, b"no picture")
    before = contents(root)
    with pytest.raises(DatasetExportError, match="'new'"):
        dataset.save(save_media=True, image_ext=ext)
    assert contents(root) == before


@pytest.mark.parametrize("save_media", [False, True])
@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("kind", ["folder", "zip", "zip in a folder"])
def test_archive_that_vanished_is_saved_whole_or_not_at_all(
    kind: str, cached: bool, save_media: bool, tmp_path: Path
) -> None:
    """No picture goes without a successor; a zip that was removed can still be read."""
    make = as_folder if kind == "folder" else as_zip
    root = make(TWO, tmp_path / "tasks/task.zip")
    path = root.parent if kind == "zip in a folder" else root
    dataset = Dataset.import_from(str(path), "segmask")
    if cached:
        dataset.init_cache()
    old = dataset.get("a", "default")
    assert old is not None
    dataset.remove("a", "default")
    dataset.put(old.wrap(id="new"))
    shutil.rmtree(root) if root.is_dir() else root.unlink()
    try:
        dataset.save(save_media=save_media)
    except (DatasetExportError, SegmaskError) as error:
        assert "gone" in str(error)
        assert not root.is_file()
        assert not root.exists() or not contents(root)
    else:
        assert root.is_file()  # a zip again
        found = contents(root)
        assert found["JPEGImages/new.jpg"] == TWO["JPEGImages/a.jpg"]
        assert found["JPEGImages/b.jpg"] == TWO["JPEGImages/b.jpg"]
        assert found["SegmentationClass/b.png"]
        assert {file.name for file in root.parent.iterdir()} == {root.name}
    assert kind == "folder" or root.exists()


def test_folder_that_was_emptied_to_be_exported_anew(tmp_path: Path) -> None:
    """Pictures that are in memory are all there."""
    picture = Image.from_numpy(np.full((1, 4, 3), 7, np.uint8))
    dataset = Dataset.from_iterable([DatasetItem("a", media=picture)], categories=["car"])
    for _ in range(2):
        dataset.export(str(tmp_path / "out"), "segmask", save_media=True)
        (name,) = [n for n in contents(tmp_path / "out") if n.startswith("JPEGImages")]
        shutil.rmtree(tmp_path / "out")
    assert name == "JPEGImages/a.jpg"


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("now", ["another", "cut", "empty", "other kind"])
@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_archive_that_is_another_now_is_not_saved_over(
    kind: str, now: str, cached: bool, tmp_path: Path
) -> None:
    make, other_kind = (as_folder, as_zip) if kind == "folder" else (as_zip, as_folder)
    root = make(TWO, tmp_path / "task.zip")
    dataset = Dataset.import_from(str(root), "segmask")
    if cached:
        dataset.init_cache()
    cut = root.read_bytes()[:-40] if kind == "zip" else b""
    shutil.rmtree(root) if root.is_dir() else root.unlink()
    if now in ("another", "other kind"):
        files = archive({"c": rgb("2222")}, images={"c.jpg": jpeg(1, 4, 55)})
        (make if now == "another" else other_kind)(files, root)
    elif kind == "zip":
        root.write_bytes(cut if now == "cut" else b"")
    else:
        as_folder({"JPEGImages/c.jpg": jpeg(1, 4, 55)} if now == "cut" else {}, root)
    before = root.read_bytes() if root.is_file() else contents(root)
    with pytest.raises((DatasetExportError, SegmaskError)):
        dataset.save(save_media=True)
    assert (root.read_bytes() if root.is_file() else contents(root)) == before
