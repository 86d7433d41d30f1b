"""The figures of the street: each draws itself at the foot point of its pen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scene import (
    DARK,
    GLASS,
    LAMPLIGHT,
    Color,
    Pen,
    arc,
    box,
    ellipse,
    light,
    polygon,
    ring,
    rounded,
    shade,
    stroke,
)

WHITE: Color = (244, 244, 240)
RED: Color = (214, 58, 52)
BARK: Color = (112, 82, 62)
ROOF: Color = (142, 82, 70)
DOOR: Color = (116, 82, 62)
AWNINGS: list[Color] = [(206, 84, 72), (66, 128, 138), (212, 152, 62)]
STEEL: Color = (150, 158, 168)


def shadow(pen: Pen, rx: float, ry: float) -> None:
    pen.tint((16, 18, 32), ellipse(0, 0, rx, ry), alpha=0.3)


def car(pen: Pen, paint: Color) -> None:
    """100 wide, 39 high, driving to the right."""
    shadow(pen, 54, 4.5)
    pen.fill(shade(paint, 0.12), polygon((-35, -22), (-25, -39), (12, -39), (29, -22)))
    pen.fill(GLASS, polygon((-29, -24), (-22, -36), (-7, -36), (-7, -24)))
    pen.fill(GLASS, polygon((-4, -24), (-4, -36), (10, -36), (22, -24)))
    pen.fill(light(GLASS, 0.6), polygon((2, -24), (9, -36), (5.5, -36), (-1.5, -24)))
    pen.fill(paint, rounded(-50, -25, 100, 18, 6.5))
    pen.fill(light(paint, 0.35), rounded(-46, -23.5, 92, 2, 1))
    pen.fill(shade(paint, 0.35), box(-49, -11, 98, 3))
    pen.fill(shade(paint, 0.3), box(-6.2, -24, 0.9, 13), box(24, -23, 0.9, 10))
    pen.fill(shade(paint, 0.45), rounded(-3, -20, 5, 1.6, 0.8), rounded(-13, -20, 5, 1.6, 0.8))
    pen.fill((255, 236, 160), rounded(45, -21, 4.6, 5, 2), glows=True)
    pen.fill((226, 60, 50), rounded(-49.6, -21, 3.6, 6, 1.5), glows=True)
    for x in (-29, 29):
        pen.fill(DARK, ellipse(x, -8.5, 8.5))
        pen.fill(STEEL, ellipse(x, -8.5, 4.8))
        pen.fill(shade(STEEL, 0.5), ellipse(x, -8.5, 1.6))
    if pen.canvas.night:
        beam = polygon((48, -19), (100, -26), (100, 4), (48, -16))
        pen.tint((255, 240, 190), beam, alpha=0.1, glows=True)


def person(pen: Pen, coat: Color, trousers: Color, hair: Color, skin: Color) -> None:
    """About 56 high, walking to the right."""
    shadow(pen, 11, 2)
    pen.fill(shade(trousers), stroke(-1.5, -24, -8, -3, 5.4))
    pen.fill(shade(coat, 0.3), stroke(-4, -40, -9, -25, 4.2))
    pen.fill(trousers, stroke(1.5, -24, 5.5, -3, 5.6))
    pen.fill(DARK, rounded(-11, -3, 8, 3, 1.4), rounded(3, -3, 8.5, 3, 1.4))
    pen.fill(skin, stroke(0.5, -46, 0.5, -43, 4))
    pen.fill(coat, rounded(-6.5, -44, 13.5, 22, 5))
    pen.fill(light(coat, 0.2), rounded(2.5, -42, 3, 18, 1.5))
    pen.fill(shade(coat, 0.15), stroke(0, -40, 8, -28, 4.4))
    pen.fill(skin, ellipse(9, -26.5, 2.3), ellipse(1, -50.5, 5.4, 5.8))
    pen.fill(hair, arc(0.4, -51, 6, 6.2, 150, 350))
    pen.fill(hair, ellipse(-3.4, -50, 2.6, 4.2))


def bicycle(pen: Pen, paint: Color) -> None:
    """Two wheels that one sees through, 17 high."""
    shadow(pen, 32, 2.5)
    for x in (-19, 19):
        pen.fill(DARK, *ring(x, -12, 12, 2.4))
        pen.fill(STEEL, ellipse(x, -12, 1.8))
    rear, crank, saddle, head, front = (-19, -12), (-2, -11), (-8, -28), (13, -29), (19, -12)
    tubes = [(rear, saddle), (rear, crank), (crank, saddle), (crank, head), (saddle, head)]
    for start, end in (*tubes, (head, front), (head, (17, -35))):
        pen.fill(paint, stroke(*start, *end, 2.1))
    pen.fill(DARK, rounded(-13, -31, 10, 3, 1.4))


def rider(pen: Pen, coat: Color, trousers: Color, hair: Color, skin: Color) -> None:
    """Sits on `bicycle`, 62 above the ground."""
    for line in ((-7, -33, 4, -24), (4, -24, -1, -9)):
        pen.fill(trousers, stroke(*line, 5.4))
    pen.fill(DARK, rounded(-4, -9, 9, 3, 1.4))
    pen.fill(coat, stroke(-6, -36, 1, -49, 10.5))
    for line in ((2, -48, 9, -40), (9, -40, 16, -36)):
        pen.fill(shade(coat, 0.2), stroke(*line, 3.8))
    pen.fill(skin, ellipse(16, -35.5, 2.2), ellipse(5, -58, 5.2, 5.6))
    pen.fill(hair, arc(4.4, -59, 6.4, 6, 165, 365))


def tree(pen: Pen, leaves: Color, rng: np.random.Generator) -> None:
    """About 80 high."""
    shadow(pen, 20, 2.6)
    pen.fill(BARK, polygon((-4, 0), (-2.6, -45), (2.6, -45), (4, 0)))
    pen.fill(BARK, stroke(0, -28, 10, -44, 3), stroke(0, -33, -9, -46, 2.6))
    plan = [(-14, -50, 13), (14, -49, 13), (-9, -66, 14), (10, -65, 13), (0, -55, 17)]
    crowns = [(x + rng.uniform(-2, 2), y + rng.uniform(-2, 2), r) for x, y, r in plan]
    for x, y, r in crowns:
        pen.fill(shade(leaves, 0.2), ellipse(x, y + 2.5, r, r * 0.95))
    for x, y, r in crowns:
        pen.fill(leaves, ellipse(x, y, r * 0.95, r * 0.9))
    for x, y, r in crowns:
        pen.fill(light(leaves, 0.22), ellipse(x + r * 0.25, y - r * 0.35, r * 0.42, r * 0.34))


def lamp(pen: Pen) -> None:
    """92 high; belongs to no label."""
    for piece in (box(-1.6, -88, 3.2, 88), rounded(-4, -6, 8, 6, 1), stroke(0, -88, 15, -91, 2.6)):
        pen.fill(DARK, piece)
    pen.fill(LAMPLIGHT, arc(15, -90, 6, 5, 0, 180), glows=True)
    if pen.canvas.night:
        for radius in (14, 24, 38):
            pen.tint(LAMPLIGHT, ellipse(15, -87, radius), alpha=0.13, glows=True)


def sign(pen: Pen, kind: str) -> None:
    """70 high; ``kind`` is stop, limit or crossing."""
    pen.fill(STEEL, box(-1.4, -56, 2.8, 56))
    if kind == "stop":
        turns = np.radians(np.arange(22.5, 360, 45))
        octagon = np.stack([np.cos(turns), np.sin(turns)], 1)
        pen.fill(WHITE, octagon * 13 + (0, -58))
        pen.fill(RED, octagon * 11.6 + (0, -58))
        pen.fill(WHITE, rounded(-8, -60.5, 16, 5, 1))
    elif kind == "limit":
        pen.fill(RED, ellipse(0, -58, 12))
        pen.fill(WHITE, ellipse(0, -58, 8.6))
        pen.fill(DARK, *ring(3.4, -58, 3.6, 1.5), box(-5.4, -61.6, 1.8, 7.2))
    else:
        pen.fill((38, 98, 178), rounded(-12, -70, 24, 24, 2.5))
        pen.fill(WHITE, polygon((0, -68), (9.5, -49), (-9.5, -49)))
        pen.fill(DARK, ellipse(0, -61, 1.5), stroke(0, -58.5, 0, -55, 2.4))
        pen.fill(DARK, stroke(0, -55, -2.6, -50.5, 1.3), stroke(0, -55, 2.6, -50.5, 1.3))


def _window(pen: Pen, x: float, y: float, width: float, height: float, lit: bool) -> None:
    pen.fill(WHITE, box(x - 1.5, y - 1.5, width + 3, height + 3))
    pen.fill(LAMPLIGHT if lit else shade(GLASS, 0.28), box(x, y, width, height), glows=lit)
    if not lit:
        gleam = polygon((x, y + height), (x, y + height * 0.35), (x + width * 0.6, y))
        pen.fill(shade(GLASS, 0.1), gleam)
    pen.fill(WHITE, box(x + width / 2 - 0.6, y, 1.2, height))
    pen.fill(WHITE, box(x - 3, y + height + 1.5, width + 6, 2))


def house(
    pen: Pen, width: float, floors: int, wall: Color, gabled: bool, rng: np.random.Generator
) -> None:
    """Floors of 34 each, a shop or a door below, a roof above."""
    height = floors * 34 + 6
    if gabled:
        pen.fill(shade(wall, 0.12), box(width * 0.72, -height - 34, 10, 26))
        pen.fill(ROOF, polygon((-4, -height), (width / 2, -height - 36), (width + 4, -height)))
        upper = polygon((-4, -height - 3), (width / 2, -height - 39), (width + 4, -height - 3))
        lower = polygon((width + 4, -height), (width / 2, -height - 36), (-4, -height))
        pen.fill(light(ROOF, 0.15), np.concatenate([upper, lower]))
    pen.fill(wall, box(0, -height, width, height))
    pen.fill(shade(wall, 0.1), box(width - 7, -height, 7, height))
    if not gabled:
        pen.fill(light(wall, 0.35), box(-3, -height - 5, width + 6, 6))
        pen.fill(shade(wall, 0.25), box(0, -height + 1, width, 2.2))
    columns = max(2, int(width // 30))
    step = width / columns
    for floor in range(1, floors):
        for column in range(columns):
            lit = pen.canvas.night and rng.random() < 0.55
            _window(pen, column * step + step / 2 - 7, -floor * 34 - 27, 14, 20, lit)
    _ground_floor(pen, width, wall, rng)


def _ground_floor(pen: Pen, width: float, wall: Color, rng: np.random.Generator) -> None:
    night = pen.canvas.night
    pen.fill(shade(wall, 0.3), box(0, -4, width, 4))
    pen.fill(DOOR, box(8, -27, 14, 27))
    pen.fill(light(DOOR), box(10.5, -24, 9, 9), ellipse(19.5, -12, 0.9))
    pen.fill(WHITE, box(29, -25, width - 38, 18))
    pen.fill(LAMPLIGHT if night else GLASS, box(30.5, -23.5, width - 41, 15), glows=night)
    awning = AWNINGS[int(rng.integers(len(AWNINGS)))]
    stripes = int((width - 34) // 6)
    step = (width - 34) / stripes
    for i in range(stripes):
        color = WHITE if i % 2 else awning
        pen.fill(color, box(27 + i * step, -32, step, 8))
        pen.fill(color, arc(27 + (i + 0.5) * step, -24, step / 2, 3, 0, 180))


def gate(pen: Pen, stone: Color) -> None:
    """92 wide; one sees through its arch and through the round opening above it."""
    arch = np.concatenate([polygon((66, 1)), arc(46, -44, 20, 22, 0, -180), polygon((26, 1))])
    for x in (0, 20, 40, 60, 80):
        pen.fill(stone, box(x, -132, 12, 12))
    pen.fill(stone, box(0, -121, 92, 121), arch, ellipse(46, -94, 10))
    pen.fill(light(stone, 0.2), *ring(46, -94, 13, 3))
    pen.fill(shade(stone, 0.2), box(0, -116, 92, 3), box(0, -76, 92, 2.4))
    pen.fill(shade(stone, 0.15), box(84, -112, 8, 35), box(84, -73, 8, 73))
    for x, y in ((8, -62), (70, -55), (10, -26), (72, -20), (9, -104), (70, -102)):
        pen.fill(shade(stone, 0.12), rounded(x, y, 11, 5, 1))


def cloud(pen: Pen) -> None:
    puffs = ellipse(-20, -6, 16, 9), ellipse(0, -12, 20, 14), ellipse(21, -6, 17, 10)
    for puff in (*puffs, rounded(-36, -9, 74, 10, 5)):
        pen.tint((255, 255, 255), puff, alpha=0.9)


def relabel(pen: Pen, label: int) -> Pen:
    """Return the same pen, of the same instance, for another label."""
    assert pen.part
    return replace(pen, part=replace(pen.part, label=label))
