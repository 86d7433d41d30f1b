"""Text in pictures, in any script, by Matplotlib, which comes with the extra `cli`.

Matplotlib's own font has the Latin, Greek, Cyrillic, Hebrew and Arabic letters; what it has not is
taken from the fonts of the system. A letter that no font has is written as its number.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

log = logging.getLogger(__name__)

_DPI = 100
_FIRST = "DejaVu Sans"
LEFT_TO_RIGHT = "\u200e"


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
            line, families = self._spelled(LEFT_TO_RIGHT + " ".join(text.text.split()))
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

    fonts = [(_FIRST, str(fontManager.findfont(FontProperties(family=_FIRST))))]
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
