"""A street, drawn: flat shapes on one canvas that keeps the picture and both masks in step.

Every shape is filled with one colour, one label and one instance number at once, at four times
the size. The picture is the mean of each block of 4 x 4 (smooth edges), the masks are one sample
of it (hard edges), so that a mask never disagrees with what one sees.

Units are pixels of the finished picture; y grows downwards. Figures are drawn around their own
foot point: ``x`` right of it, ``y`` negative above the ground.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

Outline = NDArray[np.float64]  # (points, 2): x, y
Color = tuple[int, int, int]  # red, green, blue
SUPER = 4  # samples a pixel, in each direction
SUBPIXEL = 4  # fractional bits of the coordinates that cv2.fillPoly takes

NIGHT_TINT: Color = (18, 24, 62)
DARK: Color = (38, 42, 54)
GLASS: Color = (176, 214, 230)
LAMPLIGHT: Color = (255, 214, 120)


class Canvas:
    """Picture, label plane and instance plane of one scene, all ``SUPER`` times enlarged."""

    def __init__(self, width: int, height: int, night: bool = False) -> None:
        shape = height * SUPER, width * SUPER
        self.width, self.height, self.night = width, height, night
        self.picture = np.zeros((*shape, 3), np.float32)
        self.labels = np.zeros(shape, np.uint8)
        self.instances = np.zeros(shape, np.uint8)

    def fill(self, part: Part | None, color: Color, outlines: list[Outline], alpha: float) -> None:
        """Fill outlines by the even-odd rule, so that an outline in another one is a hole.

        Without a ``part`` only the picture changes: shadows, light, markings.
        """
        scaled = [np.rint(o * (SUPER << SUBPIXEL)).astype(np.int32) for o in outlines]
        corners = np.concatenate(scaled) >> SUBPIXEL
        left, top = np.maximum(corners.min(0) - 1, 0)
        right, bottom = np.minimum(corners.max(0) + 2, self.labels.shape[::-1])
        if left >= right or top >= bottom:
            return
        window = np.zeros((bottom - top, right - left), np.uint8)
        offset = (int(-left) << SUBPIXEL, int(-top) << SUBPIXEL)
        cv2.fillPoly(window, [o + offset for o in scaled], 1, shift=SUBPIXEL)
        inside = window.astype(bool)
        view = slice(top, bottom), slice(left, right)
        self.picture[view][inside] += alpha * (
            np.array(color, np.float32) - self.picture[view][inside]
        )
        if part:
            self.labels[view][inside] = part.label
            self.instances[view][inside] = part.number

    def finish(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
        """Return the picture (height, width, 3), RGB, and the label and instance planes."""
        size = self.width, self.height
        picture = cv2.resize(self.picture, size, interpolation=cv2.INTER_AREA)
        sample = slice(SUPER // 2, None, SUPER)
        return (
            np.rint(picture).astype(np.uint8),
            np.ascontiguousarray(self.labels[sample, sample]),
            np.ascontiguousarray(self.instances[sample, sample]),
        )


@dataclass(frozen=True)
class Part:
    """What the masks say of a shape: index of the label; number of the instance, 0 for stuff."""

    label: int
    number: int = 0


@dataclass(frozen=True)
class Pen:
    """Fills shapes in a figure's own coordinates."""

    canvas: Canvas
    part: Part | None
    x: float = 0
    y: float = 0
    scale: float = 1
    mirrored: bool = False

    def fill(self, color: Color, *outlines: Outline, alpha: float = 1, glows: bool = False) -> None:
        if self.canvas.night and not glows:
            color = mix(color, NIGHT_TINT, 0.62)
        direction = (-self.scale if self.mirrored else self.scale, self.scale)
        placed = [outline * direction + (self.x, self.y) for outline in outlines]
        self.canvas.fill(self.part, color, placed, alpha)

    def tint(self, color: Color, *outlines: Outline, alpha: float, glows: bool = False) -> None:
        """Change the picture only, and leave the masks as they are."""
        replace(self, part=None).fill(color, *outlines, alpha=alpha, glows=glows)


def mix(color: Color, other: Color, share: float) -> Color:
    """Return ``color`` moved towards ``other`` by a share of 0 to 1."""
    red, green, blue = np.rint(np.add(color, np.subtract(other, color) * share)).astype(int)
    return int(red), int(green), int(blue)


def shade(color: Color, share: float = 0.25) -> Color:
    return mix(color, (20, 24, 48), share)


def light(color: Color, share: float = 0.25) -> Color:
    return mix(color, (255, 255, 255), share)


def polygon(*points: tuple[float, float]) -> Outline:
    return np.array(points, np.float64)


def box(x: float, y: float, width: float, height: float) -> Outline:
    return polygon((x, y), (x + width, y), (x + width, y + height), (x, y + height))


def ellipse(x: float, y: float, rx: float, ry: float | None = None) -> Outline:
    return arc(x, y, rx, rx if ry is None else ry, 0, 360)


def arc(x: float, y: float, rx: float, ry: float, start: float, end: float) -> Outline:
    """Return a part of an ellipse; degrees, clockwise from the right."""
    angle = np.radians(np.linspace(start, end, 48))
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], 1)


def rounded(x: float, y: float, width: float, height: float, radius: float) -> Outline:
    """Return a box with round corners."""
    right, bottom, r = x + width - radius, y + height - radius, radius
    corners = [(right, bottom, 0), (x + r, bottom, 90), (x + r, y + r, 180), (right, y + r, 270)]
    return np.concatenate([arc(cx, cy, r, r, at, at + 90) for cx, cy, at in corners])


def stroke(x0: float, y0: float, x1: float, y1: float, width: float) -> Outline:
    """Return a line with round ends."""
    angle, r = float(np.degrees(np.arctan2(y1 - y0, x1 - x0))), width / 2
    ends = arc(x0, y0, r, r, angle + 90, angle + 270), arc(x1, y1, r, r, angle - 90, angle + 90)
    return np.concatenate(ends)


def ring(x: float, y: float, radius: float, width: float) -> tuple[Outline, Outline]:
    return ellipse(x, y, radius), ellipse(x, y, radius - width)
