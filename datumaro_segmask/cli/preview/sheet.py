"""The contact sheet as one picture (docs/cli.md, "preview")."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from ...archive import Label
from .. import write_whole
from .drawing import Drawing
from .lettering import LEFT_TO_RIGHT, Pen, Text
from .place import MADE_BY

_TILE = 300  # pixels of a tile's longer side
_GAP, _LINE = 12, 24
_COLUMNS = 2  # items side by side, of three tiles each
_CARD = 3 * (_TILE + _GAP // 3)
_WIDTH = _GAP + _COLUMNS * (_CARD + _GAP)
_GROUND, _SURFACE, _INK, _SOFT, _FAULT = "#f6f7f9", "#e4e7eb", "#1b1f24", "#5b6570", "#b3261e"
_OPACITY = 0.5  # of an instance over the image


@dataclass
class _Count:
    instances: int = 0
    items: int = 0


Counts = dict[int | None, _Count]


def write_sheet(
    path: str,
    title: str,
    labels: Sequence[Label],
    background: int | None,
    drawings: Iterable[Drawing],
) -> None:
    """Draw items two in a row, each as image, class mask and instances, under a legend."""
    pen, counts = Pen(), dict[int | None, _Count]()
    cards = [_counted(pen, counts, drawing, labels, background) for drawing in drawings]
    rows = [cards[i : i + _COLUMNS] for i in range(0, len(cards), _COLUMNS)]
    legend = _legend(pen, f"{title}: {_number(len(cards), 'item')}", _WIDTH, labels, counts)
    height = legend.height + sum(max(card.height for card in row) + _GAP for row in rows)
    sheet = Image.new("RGB", (_WIDTH, height + _GAP), _GROUND)
    sheet.paste(legend, (0, 0))
    y = legend.height
    for row in rows:
        for i, card in enumerate(row):
            sheet.paste(card, (_GAP + i * (_CARD + _GAP), y))
        y += max(card.height for card in row) + _GAP
    file = io.BytesIO()
    about = PngInfo()
    about.add_text("Software", MADE_BY)
    sheet.save(file, "PNG", pnginfo=about)
    write_whole(path, file.getvalue())
    pen.tell()


def draw_card(drawing: Drawing, labels: Sequence[Label], background: int | None) -> Image.Image:
    """Draw one item as it is on a sheet, above a legend of its own."""
    pen, counts = Pen(), dict[int | None, _Count]()
    card = _counted(pen, counts, drawing, labels, background)
    legend = _legend(pen, "", card.width, labels, counts)
    picture = Image.new("RGB", (card.width, card.height + legend.height), _GROUND)
    picture.paste(card, (0, 0))
    picture.paste(legend, (0, card.height))
    return picture


def _counted(
    pen: Pen, counts: Counts, drawing: Drawing, labels: Sequence[Label], background: int | None
) -> Image.Image:
    for shape in drawing.shapes:
        counts.setdefault(shape.label, _Count()).instances += shape.number > 0
    for label in {shape.label for shape in drawing.shapes}:
        counts[label].items += 1
    return _card(pen, drawing, labels, background)


def _card(
    pen: Pen, drawing: Drawing, labels: Sequence[Label], background: int | None
) -> Image.Image:
    tiles = [_fitted(tile) for tile in _tiles(drawing, labels, background)]
    _write_numbers(tiles[-1], drawing)
    height = max(tile.height for tile in tiles)
    step = _TILE + _GAP // 3
    card = Image.new("RGB", (_CARD, height + 2 * _LINE), _GROUND)
    for i, tile in enumerate(tiles):
        card.paste(tile, (i * step + (_TILE - tile.width) // 2, (height - tile.height) // 2))
    size = f"{drawing.size[1]} x {drawing.size[0]}" if drawing.size else "size unknown"
    masks = _number(drawing.instances, "instance") if drawing.shapes else "no masks"
    about = drawing.fault or f"{drawing.subset}, {size}, {masks}"
    color = _FAULT if drawing.fault else _SOFT
    return pen.write(
        card,
        [
            Text(0, height + 3, drawing.item_id, _INK, _CARD),
            Text(0, height + _LINE - 1, about, color, _CARD),
        ],
    )


def _tiles(
    drawing: Drawing, labels: Sequence[Label], background: int | None
) -> Iterator[Image.Image]:
    height, width = drawing.plane.shape
    plain = Image.new("RGB", (width, height), _SURFACE)
    photo = plain if drawing.photo is None else Image.fromarray(drawing.photo)
    yield photo
    if not drawing.shapes:
        yield from (plain, photo)
        return
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
    return Image.fromarray(mixed.astype(np.uint8))


def _write_numbers(tile: Image.Image, drawing: Drawing) -> None:
    scale = tile.width / drawing.plane.shape[1]
    brush = ImageDraw.Draw(tile)
    font = ImageFont.load_default(12)
    for shape in drawing.shapes:
        if shape.number:
            x, y = shape.anchor
            brush.text(
                ((x + 0.5) * scale, (y + 0.5) * scale),
                str(shape.number),
                "white",
                font,
                anchor="mm",
                stroke_width=2,
                stroke_fill="black",
            )


def _fitted(tile: Image.Image) -> Image.Image:
    scale = _TILE / max(tile.size)
    size = max(1, round(tile.width * scale)), max(1, round(tile.height * scale))
    # Small masks grow to squares; what shrinks is smoothed.
    method = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST
    return tile.resize(size, method)


def _legend(
    pen: Pen, title: str, width: int, labels: Sequence[Label], counts: Counts
) -> Image.Image:
    entries = [
        (label.name, label.color, counts[i]) for i, label in enumerate(labels) if i in counts
    ]
    if None in counts:
        entries.append(("(no label)", _label_color(labels, None), counts[None]))
    columns = 4 if title else 3
    top = _GAP + (_LINE + _GAP if title else 0)
    legend = Image.new("RGB", (width, top + _LINE * -(-len(entries) // columns) + _GAP), _GROUND)
    brush = ImageDraw.Draw(legend)
    texts = [Text(_GAP, _GAP, title, _INK, width - 2 * _GAP, 18)] if title else []
    cell = (width - _GAP) // columns
    for i, (name, color, count) in enumerate(entries):
        x, y = _GAP + i % columns * cell, top + _LINE * (i // columns)
        brush.rectangle((x, y + 2, x + 14, y + 16), color, _SOFT)
        about = [f"{count.instances:,}"] if count.instances else []
        if title:  # of many items
            about.append(_number(count.items, "item"))
        text = f"{name}{LEFT_TO_RIGHT}: {' in '.join(about)}" if about else name
        texts.append(Text(x + 22, y + 1, text, _INK, cell - 30))
    return pen.write(legend, texts)


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _label_color(labels: Sequence[Label], label: int | None) -> tuple[int, int, int]:
    return (136, 136, 136) if label is None else labels[label].color


def _own_color(number: int) -> tuple[int, ...]:
    """Return the colour of an instance, as the page has it: neighbours in number differ most."""
    return ImageColor.getrgb(f"hsl({number * 137.508 % 360:.0f}, 85%, 58%)")
