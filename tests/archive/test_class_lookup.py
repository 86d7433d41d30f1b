"""What the pixels of a mask mean (docs/format.md, sections 2 and 3)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from datumaro_segmask.archive.class_lookup import ClassLookup, numbers_of
from datumaro_segmask.archive.labelmap import parse_label_map, voc_label_map
from datumaro_segmask.archive.undeclared import cause_of
from datumaro_segmask.colors import color_to_number, pack
from datumaro_segmask.errors import UndeclaredColorError
from datumaro_segmask.png.read import MaskReader
from datumaro_segmask.regions import NOTHING

from ..archives import COLORS, LABELS, gray, palette_png, plane, png, rgb

WHERE = "SegmentationClass/a.png"
MANY = 1 << 30


def lookup(labels: str = LABELS, **options: Any) -> ClassLookup:
    return ClassLookup(parse_label_map(labels, "labelmap.txt"), **options)


def rows_of(flat: NDArray[Any], shaped: NDArray[Any]) -> list[list[int]]:
    return [[int(value) for value in row] for row in flat.reshape(shaped.shape)]


def meaning(data: bytes, found: ClassLookup) -> list[list[int]] | None:
    """Return the label of each pixel of a class mask, None for a mask with undeclared values."""
    reader = MaskReader(data, WHERE, found.number_of)
    values = np.vstack(list(reader.blocks(2)))
    labels = found.labels_of(values.ravel().astype(np.int64), reader)
    return None if labels is None else rows_of(labels[0], values)


def message(data: bytes, found: ClassLookup) -> str:
    error = found.error(data, WHERE, MANY)
    assert isinstance(error, UndeclaredColorError)
    assert error.where == WHERE
    assert "Expected " in str(error)
    assert "To fix it: " in str(error)
    return str(error)


@pytest.mark.parametrize(
    ("labels", "data", "labels_of_pixels"),
    [
        pytest.param(LABELS, rgb("012"), [NOTHING, 1, 2], id="colours"),
        pytest.param(LABELS, gray("012"), [NOTHING, 1, 2], id="line-indices"),
        pytest.param("car:128,0,0\n", rgb("01"), [NOTHING, 0], id="undeclared-black"),
        pytest.param(
            "car:128,0,0\n", png(np.array([[(224, 224, 192)]], np.uint8)), [NOTHING], id="void"
        ),
        pytest.param(
            "edge:224,224,192\n", png(np.array([[(224, 224, 192)]], np.uint8)), [0], id="own-void"
        ),
        pytest.param(
            "sky:128,0,0\nbackground:0,128,0\n", rgb("12"), [0, NOTHING], id="coloured-background"
        ),
        pytest.param(
            "sky:128,0,0\nbackground:0,128,0\n", gray("01"), [0, NOTHING], id="background-on-line-1"
        ),
        pytest.param("car:128,0,0\n", gray("00"), [0, 0], id="line-0-that-is-no-background"),
    ],
)
def test_meaning(labels: str, data: bytes, labels_of_pixels: list[int]) -> None:
    assert meaning(data, lookup(labels)) == [labels_of_pixels]


def test_keep_background() -> None:
    found = lookup(keep_background=True)
    assert meaning(rgb("012"), found) == [[0, 1, 2]]
    assert meaning(gray("012"), found) == [[0, 1, 2]]


PALETTES = {
    # what is special: indices, palette, label of each pixel (None: undeclared)
    "colours-in-another-order": ("012", COLORS[[2, 1, 0]].tolist(), [2, 1, NOTHING]),
    "indices-where-colours-are-strange": ("012", [[9] * 3, [8] * 3, [7] * 3], [NOTHING, 1, 2]),
    "indices-where-one-is-strange": ("012", [[0] * 3, [128, 0, 0], [7] * 3], [NOTHING, 1, 2]),
    "colours-where-the-strange-is-not-used": ("11", [[9] * 3, [0, 128, 0]], [2, 2]),
    "neither": ("03", [[9] * 3] * 4, None),
}  # fmt: skip


@pytest.mark.parametrize(("indices", "palette", "labels"), PALETTES.values(), ids=PALETTES)
def test_palette(indices: str, palette: list[list[int]], labels: list[int] | None) -> None:
    found = meaning(palette_png(plane(indices), palette), lookup())
    assert found == (None if labels is None else [labels])


def test_last_index_of_a_palette() -> None:
    """By its colour, and by its index where the colours are strange."""
    last = np.array([[255]])
    found = lookup("".join(f"label {n}\n" for n in range(256)))
    strange = [[9, 9, 9]] * 256
    assert meaning(palette_png(last, strange), found) == [[255]]
    assert meaning(palette_png(last, [*strange[1:], [128, 0, 0]]), lookup()) == [[1]]


def test_undeclared_values_are_none() -> None:
    assert meaning(rgb("013"), lookup()) is None
    assert meaning(gray("013"), lookup()) is None


def test_ignore_index() -> None:
    mask = png(np.array([[0, 1, 255]], np.uint8))
    assert meaning(mask, lookup()) is None
    assert meaning(mask, lookup(ignore_index=255)) == [[NOTHING, 1, NOTHING]]
    assert meaning(gray("012"), lookup(ignore_index=1)) == [[NOTHING, NOTHING, 2]]
    wide = png(np.array([[1, 65_535]], np.uint16))
    assert meaning(wide, lookup(ignore_index=65_535)) == [[1, NOTHING]]


def test_ignore_index_is_no_colour() -> None:
    assert meaning(rgb("1"), lookup(ignore_index=1)) == [[1]]


@pytest.mark.parametrize("index", [-1, 65_536])
def test_ignore_index_that_is_no_value(index: int) -> None:
    with pytest.raises(ValueError, match=f"ignore_index is {index}"):
        lookup(ignore_index=index)


def test_voc_labels() -> None:
    found = ClassLookup(voc_label_map())
    ignored = len(voc_label_map().labels) - 1
    assert meaning(png(np.array([[0, 7, 20, 255]], np.uint8)), found) == [[NOTHING, 7, 20, ignored]]
    assert meaning(png(np.array([[21]], np.uint8)), found) is None
    void = png(np.array([[(224, 224, 192)]], np.uint8))
    assert meaning(void, found) == [[ignored]]


def test_more_than_256_labels() -> None:
    found = lookup("".join(f"label {n}\n" for n in range(5000)))
    values = np.array([[1, 255, 256, 4999]])
    assert meaning(png(values.astype(np.uint16)), found) == values.tolist()


# Messages


def test_message_for_colours() -> None:
    pixels = np.zeros((4, 5, 3), np.uint8)
    pixels[0, :3] = 127, 1, 0
    pixels[1, 0] = 1, 2, 250
    text = message(png(pixels), lookup())
    for part in (
        "2 colours of the mask are not in the label map",
        "127,1,0 (3 pixels; nearest: car 128,0,0, background 0,0,0), 1,2,250 (1 pixel; nearest: ",
        "only the 3 colours of labelmap.txt",
        "add the line 'name:127,1,0::' to the label map",
    ):
        assert part in text


def test_message_for_one_colour() -> None:
    assert "1 colour of the mask is not in the label map: 128,128,0 (2 pixels;" in message(
        rgb("033"), lookup()
    )


def test_message_for_blended_colours() -> None:
    """Smoothing or JPEG makes many colours; most pixels first, five of them."""
    pixels = np.zeros((100, 2, 3), np.uint8)
    pixels[:, :, 0] = np.arange(100)[:, None]
    pixels[50, :] = 51, 0, 0
    text = message(png(pixels), lookup())
    assert "98 colours of the mask are" in text
    assert "51,0,0 (4 pixels" in text
    assert ", and 93 more" in text
    assert "without smoothing, scaling or JPEG" in text


@pytest.mark.parametrize(("count", "blended"), [(32, False), (33, True)])
def test_many_colours_are_called_blended(count: int, blended: bool) -> None:
    pixels = np.zeros((1, count, 3), np.uint8)
    pixels[0, :, 0] = np.arange(1, count + 1)
    assert ("without smoothing" in message(png(pixels), lookup())) == blended


def test_message_for_values() -> None:
    text = message(gray("0344"), lookup())
    for part in (
        "2 values of the gray mask are not in the label map: 4 (2 pixels), 3 (1 pixel)",
        "the index of a line of labelmap.txt, from 0 to 2",
        "add the missing lines to the label map",
    ):
        assert part in text
    assert "ignore_index" not in text


def test_message_for_255() -> None:
    text = message(png(np.array([[0, 255]], np.uint8)), lookup())
    assert "1 value of the gray mask is not in the label map: 255 (1 pixel)" in text
    assert "import with ignore_index=255" in text
    assert "from-masks DIR --binary NAME" in text


def test_message_for_a_palette_counts_by_colour() -> None:
    data = palette_png(plane("3344"), [[9] * 3] * 5)
    assert "1 colour of the mask is not in the label map: 9,9,9 (4 pixels;" in message(
        data, lookup()
    )


# Instance masks


def numbers(data: bytes) -> list[list[int]]:
    reader = MaskReader(data, WHERE, color_to_number)
    values = np.vstack(list(reader.blocks(2)))
    return rows_of(numbers_of(values.ravel().astype(np.int64), reader), values)


def test_numbers_of_colours() -> None:
    assert numbers(rgb("0123 9876")) == [[0, 1, 2, 3], [9, 8, 7, 6]]


def test_numbers_of_any_colour() -> None:
    pixels = np.array([[(1, 2, 3), (255, 255, 255), (0, 0, 32)]], np.uint8)
    expected = color_to_number(pack(pixels)).tolist()
    assert numbers(png(pixels)) == expected
    assert expected[0][1:] == [(1 << 24) - 1, 256]


def test_numbers_of_gray_values() -> None:
    values = np.array([[0, 1, 255, 256, 65_535]], np.uint16)
    assert numbers(png(values)) == values.tolist()


def test_numbers_of_a_palette_are_those_of_its_colours() -> None:
    assert numbers(palette_png(plane("0120"), COLORS[[0, 5, 1]].tolist())) == [[0, 5, 1, 0]]


def test_number_of_the_last_colour_of_a_palette() -> None:
    palette = [[0, 0, 0]] * 255 + [[0, 128, 0]]
    assert numbers(palette_png(np.array([[255, 0]]), palette)) == [[2, 0]]


@pytest.mark.parametrize(
    ("labels", "values", "is_meant"),
    [
        ("a:1,1,1\nb:2,2,2\n", [2], True),
        ("a:1,1,1\nb:2,2,2\n", [2, 3], False),
        ("a:1,1,1\nb:2,2,2\n", [3], False),
        ("background:0,0,0\nb:2,2,2\n", [2], False),
    ],
)
def test_gray_that_counts_from_1(labels: str, values: list[int], is_meant: bool) -> None:
    """Where the label map has no background, 0 is taken for the first label."""
    cause = cause_of(values, True, parse_label_map(labels, "labelmap.txt"))
    assert ("as the first line" in (cause or "")) == is_meant
