"""The contact sheet as one picture (docs/cli.md, "preview")."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont

from ...archive.labelmap import Label
from .drawing import Drawing

_TILE = 300  # pixels of a tile's longer side
_GAP, _LINE = 12, 24
_COLUMNS = 2  # items side by side, of three tiles each
_WIDTH = _GAP + _COLUMNS * 3 * (_TILE + _GAP // 3) + (_COLUMNS - 1) * _GAP + _GAP // 3 * 2
_GROUND, _SURFACE, _INK, _SOFT, _FAULT = "#f6f7f9", "#e4e7eb", "#1b1f24", "#5b6570", "#b3261e"
_OPACITY = 0.5  # of an instance over the image


@dataclass
class _Count:
    instances: int = 0
    items: int = 0


def write_sheet(
    path: str,
    title: str,
    labels: Sequence[Label],
    background: int | None,
    drawings: Iterable[Drawing],
) -> None:
    """Draw items two in a row, each as image, class mask and instances, under a legend."""
    counts: dict[int | None, _Count] = {}
    cards = []
    for drawing in drawings:
        for shape in drawing.shapes:
            counts.setdefault(shape.label, _Count()).instances += shape.number > 0
        for label in {shape.label for shape in drawing.shapes}:
            counts[label].items += 1
        cards.append(_card(drawing, labels, background))
    rows = [cards[i : i + _COLUMNS] for i in range(0, len(cards), _COLUMNS)]
    legend = _legend(title, len(cards), labels, counts)
    height = legend.height + sum(max(card.height for card in row) + _GAP for row in rows)
    sheet = Image.new("RGB", (_WIDTH, height + _GAP), _GROUND)
    sheet.paste(legend, (0, 0))
    y = legend.height
    for row in rows:
        for i, card in enumerate(row):
            sheet.paste(card, (_GAP + i * (card.width + _GAP), y))
        y += max(card.height for card in row) + _GAP
    sheet.save(path)


def _card(drawing: Drawing, labels: Sequence[Label], background: int | None) -> Image.Image:
    tiles = [_fitted(tile) for tile in _tiles(drawing, labels, background)]
    height = max(tile.height for tile in tiles)
    step = _TILE + _GAP // 3
    card = Image.new("RGB", (3 * step, height + 2 * _LINE), _GROUND)
    pen = ImageDraw.Draw(card)
    for i, tile in enumerate(tiles):
        card.paste(tile, (i * step + (_TILE - tile.width) // 2, (height - tile.height) // 2))
    size = f"{drawing.size[1]} x {drawing.size[0]}" if drawing.size else "size unknown"
    _write(pen, (0, height + 3), drawing.item_id, _INK, card.width)
    about = drawing.fault or f"{drawing.subset}, {size}, {drawing.instances} instances"
    color = _FAULT if drawing.fault else _SOFT
    _write(pen, (0, height + 3 + _LINE - 4), about, color, card.width)
    return card


def _tiles(
    drawing: Drawing, labels: Sequence[Label], background: int | None
) -> Iterator[Image.Image]:
    height, width = drawing.plane.shape
    plain = Image.new("RGB", (width, height), _SURFACE)
    photo = plain if drawing.photo is None else Image.fromarray(drawing.photo)
    yield photo
    nothing = (0, 0, 0) if background is None else labels[background].color
    colors = [nothing, *(_label_color(labels, shape.label) for shape in drawing.shapes)]
    yield Image.fromarray(np.array(colors, np.uint8)[drawing.plane])
    yield _instances(drawing, np.asarray(photo))


def _instances(drawing: Drawing, photo: NDArray[np.uint8]) -> Image.Image:
    own = np.array([(0, 0, 0), *(_own_color(s.number) for s in drawing.shapes)], float)
    is_instance = np.array([False, *(shape.number > 0 for shape in drawing.shapes)])
    positions = np.where(is_instance[drawing.plane], drawing.plane, 0)
    mixed = np.where(
        (positions > 0)[..., None],
        photo * (1 - _OPACITY) + own[positions] * _OPACITY,
        photo * 0.75,
    )
    edge = np.zeros(positions.shape, bool)
    edge[1:] |= positions[1:] != positions[:-1]
    edge[:, 1:] |= positions[:, 1:] != positions[:, :-1]
    mixed[edge] = own[positions[edge]] * 0.6 + 255 * 0.4
    tile = Image.fromarray(mixed.astype(np.uint8))
    pen = ImageDraw.Draw(tile)
    font = _font(max(12, max(tile.size) // 28))
    for shape in drawing.shapes:
        if shape.number:
            pen.text(
                shape.anchor,
                str(shape.number),
                "white",
                font,
                anchor="mm",
                stroke_width=2,
                stroke_fill="black",
            )
    return tile


def _fitted(tile: Image.Image) -> Image.Image:
    scale = _TILE / max(tile.size)
    size = max(1, round(tile.width * scale)), max(1, round(tile.height * scale))
    # Small masks grow to squares; what shrinks is smoothed, and so are numbers.
    method = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST
    return tile.resize(size, method)


def _legend(
    title: str, items: int, labels: Sequence[Label], counts: dict[int | None, _Count]
) -> Image.Image:
    entries = [
        (label.name, label.color, counts[i]) for i, label in enumerate(labels) if i in counts
    ]
    if None in counts:
        entries.append(("(no label)", _label_color(labels, None), counts[None]))
    columns = 4
    lines = -(-len(entries) // columns)
    legend = Image.new("RGB", (_WIDTH, 2 * _GAP + _LINE * (lines + 2)), _GROUND)
    pen = ImageDraw.Draw(legend)
    _write(pen, (_GAP, _GAP), f"{title}: {items:,} items", _INK, _WIDTH - 2 * _GAP, 18)
    width = (_WIDTH - _GAP) // columns
    for i, (name, color, count) in enumerate(entries):
        x, y = _GAP + i % columns * width, _GAP + _LINE * (i // columns + 2) - 8
        pen.rectangle((x, y + 2, x + 14, y + 16), color, _SOFT)
        text = f"{name}: {count.instances:,} in " if count.instances else f"{name}: "
        text += f"{count.items:,} items"
        _write(pen, (x + 22, y), text, _INK, width - 30)
    return legend


def _write(
    pen: ImageDraw.ImageDraw,
    at: tuple[int, int],
    text: str,
    color: str,
    width: int,
    size: int = 14,
) -> None:
    """Write a line of text, cut where it gets too long."""
    font = _font(size)
    text = " ".join(text.split())
    if pen.textlength(text, font) > width:
        text = text[: width // 3]  # no letter that matters is narrower
        while text and pen.textlength(f"{text}...", font) > width:
            text = text[:-1]
        text += "..."
    pen.text(at, text, color, font)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _label_color(labels: Sequence[Label], label: int | None) -> tuple[int, int, int]:
    return (136, 136, 136) if label is None else labels[label].color


def _own_color(number: int) -> tuple[int, ...]:
    """Return the colour of an instance, as the page has it: neighbours in number differ most."""
    return ImageColor.getrgb(f"hsl({number * 137.508 % 360:.0f}, 85%, 58%)")
