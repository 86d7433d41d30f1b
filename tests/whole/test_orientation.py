"""Pictures that EXIF data turns lie as their masks do, wherever they are looked at.

What is shown is asked of Pillow; docs/format.md, section 4.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datumaro.components.annotation import Bbox, Mask
from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.media import Image as Media
from datumaro.util.image import ImageBackend, ImageColorChannel, decode_image_context
from numpy.typing import NDArray
from PIL import Image, ImageOps

from datumaro_segmask import Masks
from datumaro_segmask.archive import ClassLookup, open_archive
from datumaro_segmask.archive.item import read_item
from datumaro_segmask.arrays import turn
from datumaro_segmask.cli import main
from datumaro_segmask.cli.check.survey import check
from datumaro_segmask.cli.preview.drawing import decode_photo, encode_photo
from datumaro_segmask.png import MAX_PIXELS

from ..archives import archive, as_folder, as_zip, png

ORIENTATIONS = range(1, 9)
HAS_NEXT_API = find_spec("datumaro.experimental") is not None and find_spec("polars") is not None
NAMES = {"jpeg": "a.jpg", "png": "a.png", "webp": "a.webp", "tiff": "a.tif"}


def photo(height: int, width: int) -> NDArray[np.uint8]:
    """A picture whose corners differ: (height, width, 3)."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = 250, 20, 20
    pixels[: height // 2, width // 2 :] = 20, 160, 20
    pixels[height // 2 :, : width // 2] = 20, 20, 90
    return pixels


def file_of(pixels: NDArray[np.uint8], kind: str, orientation: int) -> bytes:
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"exif": exif}
    if kind == "webp":
        options["lossless"] = True
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def shown(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))


def plain(data: bytes) -> NDArray[np.uint8]:
    """The picture as its pixels are stored."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def files_of(kind: str, data: bytes, height: int, width: int) -> dict[str, bytes]:
    mask = np.zeros((height, width), np.uint8)
    mask[0, 0] = 1
    return archive({"a": png(mask)}, images={NAMES[kind]: data})


def is_close(found: Any, expected: NDArray[np.uint8]) -> bool:
    found = np.asarray(found, np.int64)
    return found.shape == expected.shape and bool((abs(found - expected) < 40).mean() > 0.9)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_turn(orientation: int) -> None:
    pixels = photo(16, 32)
    expected = shown(file_of(pixels, "png", orientation))
    assert (turn(pixels, orientation) == expected).all()


def test_turn_without_a_note() -> None:
    pixels = photo(2, 4)
    assert turn(pixels, None) is pixels


@pytest.mark.parametrize("size", [(32, 64), (64, 64)], ids=["wide", "square"])
@pytest.mark.parametrize("write", [as_folder, as_zip])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("kind", NAMES)
def test_masks_as_shown(
    kind: str,
    orientation: int,
    write: Callable[..., Path],
    size: tuple[int, int],
    tmp_path: Path,
) -> None:
    data = file_of(photo(*size), kind, orientation)
    expected = shown(data)
    looks_like(write(files_of(kind, data, *expected.shape[:2]), tmp_path / "task"), data, expected)


@pytest.mark.parametrize("write", [as_folder, as_zip])
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_masks_as_stored(
    kind: str, orientation: int, write: Callable[..., Path], tmp_path: Path
) -> None:
    pixels = photo(32, 64)
    data = file_of(pixels, kind, orientation)
    path = write(files_of(kind, data, 32, 64), tmp_path / "task")
    looks_like(path, data, pixels)
    for for_cvat, severity in ((False, "note"), (True, "warning")):
        found = check(str(path), for_cvat=for_cvat, ignore_index=None, max_pixels=MAX_PIXELS)
        kinds = {finding.kind: found for finding in found.findings}
        assert "image-as-stored" in kinds
        assert found.totals()[severity] >= 1


def with_late_exif(pixels: NDArray[np.uint8], orientation: int) -> bytes:
    """A PNG whose EXIF data stand behind its pixels, which are more than is read of a head."""
    data = file_of(pixels, "png", orientation)
    begin = data.index(b"eXIf") - 4
    end = begin + 12 + int.from_bytes(data[begin : begin + 4], "big")
    return data[:begin] + data[end:-12] + data[begin:end] + data[-12:]


@pytest.mark.parametrize("write", [as_folder, as_zip])
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_exif_behind_the_pixels(
    orientation: int, write: Callable[..., Path], tmp_path: Path
) -> None:
    noise = np.random.default_rng(1).integers(0, 20, (400, 800, 3), np.uint8)
    data = with_late_exif(photo(400, 800) + noise // 4, orientation)
    assert data.index(b"eXIf") > 1 << 18
    path = write(files_of("png", data, 800, 400), tmp_path / "task")
    looks_like(path, data, shown(data))
    assert not check(str(path)).findings


def test_png_that_does_not_fit_either_way(tmp_path: Path) -> None:
    data = file_of(photo(32, 64), "png", 1)
    found = check(str(as_folder(files_of("png", data, 64, 32), tmp_path / "task"))).findings
    assert [(f.kind, f.what) for f in found] == [
        ("image-size", "the size is 64 x 32, that of the class mask is 32 x 64")
    ]


@pytest.mark.parametrize("write", [as_folder, as_zip])
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_tiff_with_masks_as_stored(
    orientation: int, write: Callable[..., Path], tmp_path: Path
) -> None:
    """Whatever decodes a TIFF turns it, so there is no picture that lies as the masks do."""
    data = file_of(photo(32, 64), "tiff", orientation)
    path = write(files_of("tiff", data, 32, 64), tmp_path / "task")
    (found,) = check(str(path)).findings
    assert found.kind == "image-size"
    assert "fits only without the orientation" in found.what
    assert "exiftool -Orientation= JPEGImages/a.tif" in found.fix


def looks_like(path: Path, data: bytes, expected: NDArray[np.uint8]) -> None:
    """Look at the picture of the one item in every way that there is."""
    size = expected.shape[:2]
    (item,) = Dataset.import_from(str(path), "segmask")
    assert item.media.size == size
    assert item.annotations[0].image.shape == size
    assert is_close(item.media.data[..., 2::-1], expected)
    for mode in (ImageColorChannel.COLOR_RGB, ImageColorChannel.COLOR_BGR):
        with decode_image_context(ImageBackend.cv2, mode):
            (again,) = Dataset.import_from(str(path), "segmask")
            found = again.media.data
            assert is_close(
                found if mode == ImageColorChannel.COLOR_RGB else found[..., ::-1], expected
            )
    image, target = Masks(path)[0]
    assert image.shape[:2] == target["masks"].shape[1:]
    assert is_close(image, expected)
    opened = open_archive(str(path))
    own = read_item(opened.storage, ClassLookup(opened.label_map), "a", MAX_PIXELS)
    assert is_close(decode_photo(data, own, 1000), expected)
    on_page = encode_photo(data, own, 1000)
    assert on_page is not None
    assert is_close(shown(on_page), expected)
    if HAS_NEXT_API:
        from datumaro_segmask.experimental import load_segmask

        assert is_close(load_segmask(str(path))[0].image(), expected)


def task_of(tmp_path: Path, write: Callable[..., Path] = as_folder) -> tuple[Path, bytes]:
    """An archive with a JPEG that is stored wide and shown high, and that picture's file."""
    data = file_of(photo(32, 64), "jpeg", 6)
    return write(files_of("jpeg", data, 64, 32), tmp_path / "task"), data


@pytest.mark.parametrize("write", [as_folder, as_zip])
def test_an_archive_keeps_files_as_they_are(write: Callable[..., Path], tmp_path: Path) -> None:
    path, data = task_of(tmp_path, write)
    dataset = Dataset.import_from(str(path), "segmask")
    dataset.export(str(tmp_path / "out"), "segmask", save_media=True)
    assert (tmp_path / "out/JPEGImages/a.jpg").read_bytes() == data


@pytest.mark.parametrize("write", [as_folder, as_zip])
@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("coco_segments", "images/default/a.jpg"),
        ("panoptic_segments", "images/default/a.jpg"),
        ("semantic_masks", "images/train/a.jpg"),
        ("yolo_segments", "images/train/a.jpg"),
    ],
)
def test_pictures_for_training_are_upright_and_say_so_once(
    name: str, place: str, write: Callable[..., Path], tmp_path: Path, caplog: Any
) -> None:
    path, data = task_of(tmp_path, write)
    Dataset.import_from(str(path), "segmask").export(str(tmp_path / "out"), name, save_media=True)
    written = (tmp_path / "out" / place).read_bytes()
    assert is_close(plain(written), shown(data))  # for who reads EXIF data, and who does not
    assert is_close(shown(written), shown(data))
    assert caplog.text.count("1 image written upright") == 1


@pytest.mark.parametrize("write", [as_folder, as_zip])
def test_saved_in_place_it_lies_as_before(write: Callable[..., Path], tmp_path: Path) -> None:
    path, data = task_of(tmp_path, write)
    dataset = Dataset.import_from(str(path), "segmask")
    dataset.transform("rename", regex="|a|b|")
    dataset.save(save_media=True)
    for item in (next(iter(dataset)), *Dataset.import_from(str(path), "segmask")):
        assert item.id == "b"
        assert item.media.bytes == data
        assert is_close(item.media.data[..., ::-1], shown(data))


def test_another_format_gets_it_turned(tmp_path: Path) -> None:
    path, data = task_of(tmp_path)
    dataset = Dataset.import_from(str(path), "segmask")
    dataset.export(str(tmp_path / "out"), "segmask", save_media=True, image_ext=".png")
    assert is_close(Image.open(tmp_path / "out/JPEGImages/a.png"), shown(data))


def test_masks_of_a_model(tmp_path: Path) -> None:
    """`from-masks --images` takes pictures as cameras leave them."""
    _, data = task_of(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_bytes(data)
    (tmp_path / "masks").mkdir()
    mask = np.ones((64, 32), np.uint8)
    (tmp_path / "masks/a.png").write_bytes(png(mask))
    (tmp_path / "names.txt").write_text("background\ncar\n")
    out = tmp_path / "out.zip"
    options = ["--labels", str(tmp_path / "names.txt"), "--images", str(tmp_path / "photos")]
    assert main(["from-masks", str(tmp_path / "masks"), *options, "-o", str(out)]) == 0
    looks_like(out, data, shown(data))


PLACES = {
    "segmask": "JPEGImages/a",
    "coco_segments": "images/default/a",
    "yolo_segments": "images/train/a",
}


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize(
    ("orientation", "is_stored"),
    [(orientation, False) for orientation in ORIENTATIONS] + [(i, True) for i in (5, 6, 7, 8)],
)
@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_pictures_of_other_importers(
    kind: str, orientation: int, is_stored: bool, name: str, suffix: str, tmp_path: Path
) -> None:
    """Whether Datumaro turns them depends on the type of file and on what it is asked."""
    pixels = photo(32, 64)
    (tmp_path / NAMES[kind]).write_bytes(data := file_of(pixels, kind, orientation))
    expected = pixels if is_stored else shown(data)
    mask = np.zeros(expected.shape[:2], bool)
    mask[:9, :5] = True
    media = Media.from_file(str(tmp_path / NAMES[kind]))
    found = DatasetItem("a", media=media, annotations=[Mask(mask, label=0)])
    dataset = Dataset.from_iterable([found], categories=["car"])
    dataset.export(str(tmp_path / "out"), name, save_media=True, image_ext=suffix)
    written = (tmp_path / "out" / f"{PLACES[name]}{suffix}").read_bytes()
    if suffix == Path(NAMES[kind]).suffix and (name == "segmask" or orientation == 1):
        assert written == data
    elif name != "segmask":
        assert is_close(plain(written), expected)
        assert is_close(shown(written), expected)
    else:
        assert is_close(shown(written), expected)
    if name == "segmask":
        (back,) = Dataset.import_from(str(tmp_path / "out"), name)
        assert is_close(back.media.data[..., 2::-1], expected)
    elif name == "coco_segments":
        (text,) = (tmp_path / "out/annotations").iterdir()
        (image,) = json.loads(text.read_text("utf-8"))["images"]
        assert [image["height"], image["width"]] == [*mask.shape]


def test_size_that_an_importer_gives_is_kept(tmp_path: Path) -> None:
    """Such as that of COCO's JSON, even where the file itself says another."""
    (tmp_path / "a.jpg").write_bytes(file_of(photo(32, 64), "jpeg", 6))
    media = Media.from_file(str(tmp_path / "a.jpg"), size=(32, 64))
    box = Bbox(0, 0, 60, 30, label=0)
    dataset = Dataset.from_iterable(
        [DatasetItem("a", media=media, annotations=[box])], categories=["car"]
    )
    dataset.export(str(tmp_path / "out"), "segmask", save_media=True, image_ext=".png")
    assert is_close(Image.open(tmp_path / "out/JPEGImages/a.png"), photo(32, 64))


@pytest.mark.parametrize("data", [b"", b"no picture"])
def test_picture_of_another_importer_that_is_none(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(data)
    media = Media.from_file(str(tmp_path / "a.jpg"))
    found = DatasetItem("a", media=media, annotations=[Mask(np.ones((2, 3), bool), label=0)])
    Dataset.from_iterable([found], categories=["car"]).export(str(tmp_path / "out"), "segmask")
    (back,) = Dataset.import_from(str(tmp_path / "out"), "segmask")
    assert back.annotations[0].image.shape == (2, 3)
