"""The contact sheet as one picture (docs/cli.md, "preview"), and the text on it, in any script.

Text is written by Matplotlib, which comes with the extra `cli`. Its own font has the Latin, Greek,
Cyrillic, Hebrew and Arabic letters; what it has not is taken from the fonts of the system. A letter
that no font has is written as its number.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from ...archive import Label
from ...errors import counted
from .. import write_whole
from .drawing import Drawing
from .place import MADE_BY

log = logging.getLogger(__name__)

_DPI = 100
_FONT = "DejaVu Sans"
_LEFT_TO_RIGHT = "\u200e"

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


class _Counts(dict[int | None, _Count]):
    """What there is of each label, by its position."""

    def add(self, drawing: Drawing) -> None:
        """Count what is on a drawing."""
        for shape in drawing.shapes:
            self.setdefault(shape.label, _Count()).instances += shape.number > 0
        for label in {shape.label for shape in drawing.shapes}:
            self[label].items += 1


def write_sheet(
    path: str,
    title: str,
    labels: Sequence[Label],
    background: int | None,
    drawings: Iterable[Drawing],
) -> None:
    """Draw items two in a row, each as image, class mask and instances, under a legend."""
    pen, counts, cards = Pen(), _Counts(), list[Image.Image]()
    for drawing in drawings:
        counts.add(drawing)
        cards.append(_card(pen, drawing, labels, background))
    rows = [cards[i : i + _COLUMNS] for i in range(0, len(cards), _COLUMNS)]
    legend = _legend(pen, f"{title}: {counted(len(cards), 'item')}", _WIDTH, labels, counts)
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
    pen, counts = Pen(), _Counts()
    counts.add(drawing)
    card = _card(pen, drawing, labels, background)
    legend = _legend(pen, "", card.width, labels, counts)
    picture = Image.new("RGB", (card.width, card.height + legend.height), _GROUND)
    picture.paste(card, (0, 0))
    picture.paste(legend, (0, card.height))
    return picture


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
    masks = counted(drawing.instances, "instance") if drawing.shapes else "no masks"
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
    pen: Pen, title: str, width: int, labels: Sequence[Label], counts: _Counts
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
            about.append(counted(count.items, "item"))
        text = f"{name}{_LEFT_TO_RIGHT}: {' in '.join(about)}" if about else name
        texts.append(Text(x + 22, y + 1, text, _INK, cell - 30))
    return pen.write(legend, texts)


def _label_color(labels: Sequence[Label], label: int | None) -> tuple[int, int, int]:
    return (136, 136, 136) if label is None else labels[label].color


def _own_color(number: int) -> tuple[int, ...]:
    """Return the colour of an instance, as the page has it: neighbours in number differ most."""
    return ImageColor.getrgb(f"hsl({number * 137.508 % 360:.0f}, 85%, 58%)")


# Text


@dataclass(frozen=True)
class Text:
    """A line of text: its left top corner, and the ``width`` and ``size`` it has, in pixels."""

    x: int
    y: int
    text: str
    color: str
    width: int
    size: int = 14


class Pen:
    """Writes on pictures, and notes in `missing` what letters no font has."""

    def __init__(self) -> None:
        self.missing: set[str] = set()

    def write(self, picture: Image.Image, texts: Sequence[Text]) -> Image.Image:
        """Return an RGB picture with lines of text on it, each cut where its width ends."""
        with _silent_matplotlib():
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
            from matplotlib.transforms import Bbox

        width, height = picture.size
        # A hair more, so that no rounding takes away a row of pixels.
        figure = Figure(((width + 0.1) / _DPI, (height + 0.1) / _DPI), dpi=_DPI)
        figure.figimage(np.asarray(picture))
        for text in texts:
            # A name that is written from right to left does not turn the whole line.
            line, families = self._spelled(_LEFT_TO_RIGHT + " ".join(text.text.split()))
            figure.text(
                text.x / width,
                1 - text.y / height,
                line,
                color=text.color,
                fontsize=text.size * 72 / _DPI,
                family=families,
                va="top",
                parse_math=False,
                clip_on=True,
                clip_box=Bbox.from_bounds(text.x, 0, text.width, height),
            )
        canvas: Any = FigureCanvasAgg(figure)
        canvas.draw()
        return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])

    def _spelled(self, line: str) -> tuple[str, list[str]]:
        """Return a text with no letter that has no font, and the names of the fonts for it."""
        fonts = _fonts_for("".join(sorted(set(line))))
        missing = {c for c in line if not any(ord(c) in _letters_of(file) for _, file in fonts)}
        self.missing |= missing
        spelled = (c.encode("unicode_escape").decode() if c in missing else c for c in line)
        return "".join(spelled), [name for name, _ in fonts]

    def tell(self) -> None:
        """Log what letters are missing, if any are."""
        if self.missing:
            log.warning(
                "No font of this computer has %s, so they are written as their numbers. Install a "
                "font that has them, such as Noto Sans CJK, or draw a page (.html).",
                " ".join(sorted(self.missing)),
            )


@contextmanager
def _silent_matplotlib() -> Iterator[None]:
    """Keep back what Matplotlib says when it is loaded, such as where it keeps its fonts."""
    theirs = logging.getLogger("matplotlib")
    level = theirs.level
    theirs.setLevel(logging.ERROR)
    try:
        yield
    finally:
        theirs.setLevel(level)


@cache
def _fonts_for(letters: str) -> list[tuple[str, str]]:
    """Return the names and files of fonts that have the letters between them, as far as any has."""
    from matplotlib.font_manager import FontProperties, findSystemFonts, fontManager
    from matplotlib.ft2font import FT2Font

    fonts = [(_FONT, str(fontManager.findfont(FontProperties(family=_FONT))))]
    wanted = set(map(ord, letters)) - _letters_of(fonts[0][1])
    # What is on the disk, for Matplotlib's own list is as old as its first use.
    files = sorted(map(str, findSystemFonts())) if wanted else []
    for file in sorted(files, key=lambda file: ("Sans" not in file, "Regular" not in file)):
        found = wanted & _letters_of(file)
        if found:
            fontManager.addfont(file)
            fonts.append((FT2Font(file).family_name, file))
            wanted -= found
        if not wanted:
            break
    return fonts


@cache
def _letters_of(file: str) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(file).get_charmap())
    except (OSError, RuntimeError):  # a font of coloured pictures, or a damaged one
        return frozenset()
