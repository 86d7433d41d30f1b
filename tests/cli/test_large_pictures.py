"""Large pictures are drawn a few rows at a time, and the same as when they are drawn as a whole."""

import io
import logging

import cv2
import numpy as np
import PIL.Image
import pytest

from datumaro_segmask.archive import Item
from datumaro_segmask.arrays import Size
from datumaro_segmask.arrays import turn as to_lie
from datumaro_segmask.cli.preview import drawing
from datumaro_segmask.regions import Scanner, group_runs

SIZE = Size(300, 220)


def photo():
    corners = np.random.default_rng(0).integers(0, 255, (5, 4, 3), np.uint8)
    return cv2.resize(corners, (SIZE.width, SIZE.height), interpolation=cv2.INTER_CUBIC)


def png(pixels):
    return cv2.imencode(".png", pixels)[1].tobytes()


def by_pillow(mode, **options):
    file = io.BytesIO()
    PIL.Image.fromarray(photo()).convert(mode).save(file, "PNG", **options)
    return file.getvalue()


PICTURES = {
    "rgb": png(photo()),
    "rgba": by_pillow("RGBA"),
    "rgb16": png(photo().astype(np.uint16) * 257),
    "gray": by_pillow("L"),
    "gray16": png(photo()[..., 0].astype(np.uint16) * 257),
    "gray alpha": by_pillow("LA"),
    "palette": by_pillow("P"),
    "1 bit": by_pillow("1"),
}


def decoded(data, side, turn=None):
    size = SIZE if turn is None else SIZE.on_its_side
    return drawing.decode_photo(data, Item("a", size, "a.png", [], turn=turn), side)


@pytest.mark.parametrize("turn", [None, 6])
@pytest.mark.parametrize("side", [75, 150])
@pytest.mark.parametrize("name", PICTURES)
def test_in_strips_as_at_once(name, side, turn, monkeypatch):
    whole = decoded(PICTURES[name], side, turn)
    monkeypatch.setattr(drawing, "_MANY", 100)
    found = decoded(PICTURES[name], side, turn)
    assert found.shape == whole.shape
    data = np.frombuffer(PICTURES[name], np.uint8)
    pixels = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1]
    size = found.shape[1::-1]
    expected = cv2.resize(to_lie(pixels, turn), size, interpolation=cv2.INTER_AREA)
    assert np.abs(found.astype(int) - expected).mean() < 2.5


def test_what_can_only_be_decoded_as_a_whole_is_not_drawn_and_said(monkeypatch, caplog):
    file = io.BytesIO()
    PIL.Image.fromarray(photo()).save(file, "TIFF")
    monkeypatch.setattr(drawing, "_MANY", 100)
    assert decoded(file.getvalue(), 75) is not None
    monkeypatch.setattr(drawing, "_MOST_AT_ONCE", 60_000)
    with caplog.at_level(logging.WARNING):
        assert decoded(file.getvalue(), 75) is None
    assert caplog.messages == [
        "a: its picture has 66,000 pixels, and is not drawn. Expected at most 60,000, a JPEG, or "
        "a PNG that is not interlaced."
    ]


@pytest.mark.parametrize("side", [10, 100, 960])
def test_masks_are_drawn_by_the_pixels_that_show(side):
    rng = np.random.default_rng(1)
    small = rng.integers(0, 5, (7, 9), np.uint8)
    numbers = cv2.resize(small, (220, 300), interpolation=0).astype(np.uint8)
    scanner = Scanner(*SIZE)
    scanner.add(np.ones(SIZE, np.uint8), numbers)
    runs = scanner.runs()
    instances = group_runs(runs, runs.values[1], runs.values[0])
    drawn = drawing.draw_item(Item("a", SIZE, None, instances), "default", None, side)
    height, width = drawn.plane.shape
    rows = ((np.arange(height) + 0.5) * 300 / height).astype(int)
    columns = ((np.arange(width) + 0.5) * 220 / width).astype(int)
    position = {one.number: i for i, one in enumerate(instances, 1)}
    expected = np.vectorize(position.__getitem__)(numbers)[rows][:, columns]
    assert (drawn.plane == expected).mean() > (0.9 if side == 10 else 0.9999)
    assert {*np.unique(drawn.plane).tolist()} == {*position.values()}
