"""Pictures whose file is gone, or is no picture, when the dataset is saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from datumaro.components.annotation import Mask
from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.errors import DatasetExportError
from datumaro.components.media import Image

from ..archives import archive, as_folder, jpeg, png, rgb

pytestmark = pytest.mark.usefixtures("registered")

FILES = archive({"a": rgb("0110")}, {"a": rgb("0110")}, images={"a.jpg": jpeg(1, 4)})


def contents(root: Path) -> dict[str, bytes]:
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
    with pytest.raises(DatasetExportError, match=r"its picture is gone: .*new\.png"):
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
