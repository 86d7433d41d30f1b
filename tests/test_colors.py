"""The bijection between colours and numbers (docs/format.md, section 3)."""

from __future__ import annotations

import numpy as np
import pytest
from datumaro.plugins.data_formats.voc.format import VocInstColormap, make_voc_label_map

from datumaro_segmask import colors
from datumaro_segmask.colors import (
    COLORS,
    color_to_number,
    number_to_color,
    pack,
    unpack,
    voc_color,
)


def test_numbers_and_colors_are_one_to_one() -> None:
    """All of them: who comes back from a set of the same size was never merged with another."""
    for begin in range(0, COLORS, 1 << 20):
        numbers = np.arange(begin, begin + (1 << 20))
        packed = number_to_color(numbers)
        assert 0 <= packed.min() <= packed.max() < COLORS
        assert (color_to_number(packed) == numbers).all()


def test_datumaros_instance_colors_keep_their_numbers() -> None:
    assert {number: voc_color(number) for number in range(256)} == {
        number: tuple(map(int, color)) for number, color in VocInstColormap.items()
    }


def test_datumaros_label_colors() -> None:
    named = [color for color, _, _ in make_voc_label_map().values()][:21]
    assert [voc_color(n) for n in range(21)] == [tuple(map(int, color)) for color in named]


def test_bits() -> None:
    """Bit 3k + c of the number is bit 7 - k of channel c."""
    for k in range(8):
        for channel in range(3):
            color = [0, 0, 0]
            color[channel] = 1 << (7 - k)
            assert voc_color(1 << (3 * k + channel)) == tuple(color)


def test_past_255_goes_on() -> None:
    assert [voc_color(n) for n in (256, 257, 70_000)] == [(0, 0, 32), (128, 0, 32), (40, 68, 96)]


@pytest.mark.parametrize("number", [-1, COLORS, 1 << 40])
def test_numbers_without_color_raise(number: int) -> None:
    with pytest.raises(ValueError, match="from 0 to 16777215"):
        number_to_color(np.array([0, number]))


def test_pack_widens_before_arithmetic() -> None:
    color = np.array([[255, 254, 253]], np.uint8)
    assert pack(color).tolist() == [0xFFFEFD]
    assert unpack(0xFFFEFD) == (255, 254, 253)
    assert color.tolist() == [[255, 254, 253]]


def test_shapes() -> None:
    assert pack(np.zeros((2, 5, 3), np.uint8)).shape == (2, 5)
    assert color_to_number(np.zeros((2, 5), np.int64)).shape == (2, 5)
    assert number_to_color(np.zeros(0, np.int64)).shape == (0,)


def test_show() -> None:
    assert colors.text_of(colors.unpack(0x010203)) == "1,2,3"
