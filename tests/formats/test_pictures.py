"""Pictures for training lie as their masks do, whoever reads them (`formats.pictures`)."""

import io

import cv2
import numpy as np
import PIL.Image
import pytest
from PIL import ImageOps
from PIL.JpegImagePlugin import JpegImageFile

from datumaro_segmask.arrays import turn
from datumaro_segmask.formats.pictures import _with_orientation_1, notes_orientation, upright

KINDS = ("jpeg", "png", "webp", "tiff")
ORIENTATION = 0x0112


def picture(kind, orientation, **options):
    """A picture of 32 × 48 whose corners differ, and its stored pixels as Pillow sees them."""
    pixels = np.zeros((32, 48, 3), np.uint8)
    pixels[:16, :24], pixels[:16, 24:], pixels[16:, :24] = (250, 20, 20), (20, 160, 20), 90
    file, exif = io.BytesIO(), PIL.Image.Exif()
    if orientation is not None:
        exif[ORIENTATION] = orientation
    exif[0x010F] = "a camera"  # a tag before it
    if kind == "webp":
        options.setdefault("lossless", True)
    PIL.Image.fromarray(pixels).save(file, kind, exif=exif, **options)
    return file.getvalue(), pixels


def as_pillow(data):
    return np.asarray(PIL.Image.open(io.BytesIO(data)).convert("RGB"), np.int64)


def as_viewers(data):
    image = ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(data)))
    return np.asarray(image.convert("RGB"), np.int64)


def as_opencv(data):
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(image)[..., ::-1].astype(np.int64)


READERS = (as_pillow, as_viewers, as_opencv)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("orientation", range(2, 9))
def test_masks_as_shown(kind, orientation):
    data, pixels = picture(kind, orientation)
    made = upright(data, None if kind == "tiff" else orientation)
    expected = turn(pixels, orientation)
    for reader in READERS:
        assert reader(made).shape == expected.shape
        assert np.abs(reader(made) - expected).mean() < (8 if kind == "jpeg" else 0.01)
    assert PIL.Image.open(io.BytesIO(made)).format == kind.upper()


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("orientation", [3, 6])
def test_masks_as_stored(kind, orientation):
    data, pixels = picture(kind, orientation)
    made = upright(data, 1)
    for reader in READERS:
        assert np.abs(reader(made) - pixels).mean() < (8 if kind == "jpeg" else 0.01)
    if kind != "png":  # of which no byte but the note has changed
        assert len(made) == len(data)
        assert sum(a != b for a, b in zip(made, data, strict=True)) == 1


def test_the_pixels_of_a_lossy_picture_that_lies_right_stay():
    data, _ = picture("webp", 6, lossless=False, quality=40)
    stored = as_pillow(data)
    assert (as_viewers(upright(data, 1)) == stored).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("orientation", [None, 1])
def test_a_picture_that_notes_nothing_is_copied_byte_for_byte(kind, orientation):
    data, _ = picture(kind, orientation)
    assert upright(data, None) is data
    assert not notes_orientation(data, None)


def test_a_jpeg_keeps_its_quality():
    data, _ = picture("jpeg", 6, quality=37, subsampling=2, progressive=True)
    before, after = (PIL.Image.open(io.BytesIO(d)) for d in (data, upright(data, 6)))
    assert isinstance(before, JpegImageFile)
    assert isinstance(after, JpegImageFile)
    assert after.quantization == before.quantization
    assert after.info.get("progressive")


@pytest.mark.parametrize("quality", [30, 95])
def test_a_webp_that_is_lossy_stays_so(quality):
    data, _ = picture("webp", 6, lossless=False, quality=quality)
    assert b"VP8L" not in upright(data, 6)[:64]
    assert b"VP8L" in upright(picture("webp", 6)[0], 6)[:64]


def test_a_png_keeps_16_bits():
    pixels = np.arange(6 * 4 * 3, dtype=np.uint16).reshape(6, 4, 3) * 900
    data = cv2.imencode(".png", pixels)[1].tobytes()
    made = cv2.imdecode(np.frombuffer(upright(data, 6), np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(np.asarray(made), turn(pixels, 6))


def test_a_colour_profile_stays():
    data, _ = picture("jpeg", 8, icc_profile=b"a profile")
    assert PIL.Image.open(io.BytesIO(upright(data, 8))).info["icc_profile"] == b"a profile"


@pytest.mark.parametrize("orientation", [1, 6])
def test_what_is_no_picture_is_an_error(orientation):
    for data in (b"\x89PNG\r\n\x1a\n" + bytes(30), b"no picture"):
        with pytest.raises((OSError, ValueError)):
            upright(data, orientation)


def test_exif_data_that_are_cut_short_cannot_be_changed():
    for exif in (b"", b"Exif\0\0II*\0\xff\xff\xff\0", b"Exif\0\0II*\0\x08\0\0\0\xff\xff"):
        assert _with_orientation_1(b"a head" + exif[6:], exif) is None
