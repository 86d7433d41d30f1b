"""Pictures of a zip are written by Datumaro's exporters as those of a folder are copied."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from datumaro.components.dataset import Dataset, StreamDataset
from PIL import Image

from ..archives import archive, as_zip, rgb

pytestmark = pytest.mark.usefixtures("registered")


def encoded(suffix: str, dtype: str = "u1") -> bytes:
    values = np.random.default_rng(1).integers(0, np.iinfo(dtype).max, (6, 7, 3))
    done, data = cv2.imencode(suffix, values.astype(dtype))
    assert done
    return data.tobytes()


def turned(suffix: str = "JPEG") -> bytes:
    """A picture whose left half is white, and that is shown turned by 180 degrees."""
    file = io.BytesIO()
    image = Image.new("L", (16, 16))
    image.paste(255, (0, 0, 8, 16))
    exif = Image.Exif()
    exif[0x0112] = 3
    image.save(file, suffix, exif=exif)
    return file.getvalue()


PICTURES = {
    "a.jpg": encoded(".jpg"),
    "b/c.png": encoded(".png", "u2"),
    "d.tif": encoded(".tif", "u2"),
    "e.JPG": encoded(".jpg"),
}


@pytest.fixture
def zipped(tmp_path: Path) -> str:
    masks = {os.path.splitext(name)[0]: rgb("1111111 " * 6) for name in PICTURES}
    return str(as_zip(archive(masks, images=PICTURES), tmp_path / "task"))


@pytest.mark.parametrize("kind", [Dataset, StreamDataset])
@pytest.mark.parametrize("form", ["voc_segmentation", "coco_instances", "datumaro"])
def test_own_bytes(form: str, kind: Any, zipped: str, tmp_path: Path) -> None:
    kind.import_from(zipped, "segmask").export(str(tmp_path / "out"), form, save_media=True)
    found = {path.read_bytes() for path in (tmp_path / "out").rglob("*.*") if path.is_file()}
    assert found >= set(PICTURES.values())


def test_another_type_is_encoded(zipped: str, tmp_path: Path) -> None:
    source = Dataset.import_from(zipped, "segmask")
    source.export(str(tmp_path / "out"), "voc_segmentation", save_media=True, image_ext=".png")
    found = cv2.imread(str(tmp_path / "out/JPEGImages/a.png"))
    assert found is not None
    assert (found == cv2.imdecode(np.frombuffer(PICTURES["a.jpg"], np.uint8), 1)).all()
    assert {path.suffix for path in (tmp_path / "out/JPEGImages").rglob("*.*")} == {".png"}


def test_streams_and_places(zipped: str, tmp_path: Path) -> None:
    image = Dataset.import_from(zipped, "segmask").get("a").media
    stream = io.BytesIO()
    image.save(stream, ext=".jpg")
    assert stream.getvalue() == PICTURES["a.jpg"]
    image.save(str(tmp_path / "new/folder/x.JPG"))
    assert (tmp_path / "new/folder/x.JPG").read_bytes() == PICTURES["a.jpg"]
    as_png = io.BytesIO()
    image.save(as_png, ext=".png")
    assert as_png.getvalue()[1:4] == b"PNG"


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_turned_pictures_lie_as_their_masks(form: str, tmp_path: Path) -> None:
    suffix = {"JPEG": ".jpg", "PNG": ".png"}[form]
    row = "1111111111111111 "
    files = archive({"a": rgb((row * 16).strip())}, images={f"a{suffix}": turned(form)})
    source = Dataset.import_from(str(as_zip(files, tmp_path / "task")), "segmask")
    source.export(str(tmp_path / "out"), "voc_segmentation", save_media=True)
    with Image.open(tmp_path / f"out/JPEGImages/a{suffix}") as image:
        assert not image.getexif().get(0x0112)
        pixels = np.asarray(image.convert("L"))
    assert pixels[:, :6].max() < 60
    assert pixels[:, 10:].min() > 200
