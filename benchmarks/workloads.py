"""Seeded archives: ragged blobs that hide one another, a tenth of them with a hole.

Every workload is written as RGB, palette and gray masks of the same pixels, with the outlines of
the blobs beside them (``polygons.npz``) for the export. Run as a module, it draws the named
workloads into a folder: a process of its own, whose memory is not that of the measurements.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Plane = NDArray[Any]
RGB, PALETTE, GRAY = "rgb", "palette", "gray"
VARIANTS = (RGB, PALETTE, GRAY)
POLYGONS = "polygons.npz"
FACTS = "facts.json"  # how many images and instances there are


@dataclass(frozen=True)
class Workload:
    """What to draw; radii in pixels, instances as visible in the finished masks."""

    name: str
    width: int
    height: int
    images: int
    labels: int
    instances: tuple[int, int]  # fewest and most
    radii: tuple[float, float]
    large: int = 0  # so many with radii of 0.25 to 0.6 of the height, the others mostly small
    noise: float = 1.5  # raggedness of the edge


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("voc", 500, 375, 100, 21, (1, 8), (15, 120)),
        Workload("city", 2048, 1024, 8, 30, (20, 60), (8, 160), large=6, noise=1.0),
        # 245: the peer's colormap holds 255 instances, and all that it writes must be found again.
        Workload("aerial", 4096, 4096, 1, 5, (245, 245), (40, 130)),
        Workload("dense", 4096, 4096, 1, 5, (1477, 1477), (14, 60)),
        Workload("small", 128, 96, 2000, 21, (1, 6), (6, 30)),
        Workload("wide", 20000, 1000, 1, 5, (200, 200), (20, 90)),
        Workload("tiny", 64, 48, 1, 3, (2, 2), (6, 12)),  # to warm up with
    )
}


@dataclass(frozen=True)
class Scene:
    """One image: two planes of (height, width), uint8 and uint16, and the outlines in them."""

    labels: NDArray[np.uint8]
    numbers: NDArray[np.uint16]
    outlines: list[tuple[int, NDArray[np.int32]]]  # label; (points, 2): x, y


def draw_blob(rng: np.random.Generator, radius: float, noise: float) -> NDArray[np.bool_]:
    """Return a ragged blob in a square window of odd size."""
    reach = int(np.ceil(1.7 * radius)) + 2
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    turn, stretch = rng.uniform(0, np.pi), rng.uniform(0.6, 1.6)
    along = x * np.cos(turn) + y * np.sin(turn)
    across = (y * np.cos(turn) - x * np.sin(turn)) * stretch
    angle = np.arctan2(across, along)
    edge = np.full_like(angle, 0.85 * radius)
    for waves in range(2, 7):
        swing = radius * rng.uniform(0, 0.25) / waves
        edge += swing * np.cos(waves * angle + rng.uniform(0, 2 * np.pi))
    grain = cv2.GaussianBlur(rng.standard_normal(x.shape).astype(np.float32), (0, 0), 1.2)
    blob = np.hypot(along, across) + 3 * noise * grain < edge
    if radius > 12 and rng.random() < 0.12:
        hole = radius * rng.uniform(0.15, 0.3)
        blob &= np.hypot(x - 0.2 * radius, y + 0.1 * radius) >= hole
    return np.asarray(blob)


def draw_scene(workload: Workload, rng: np.random.Generator) -> Scene:
    """Draw blobs until as many are seen as there should be."""
    shape = workload.height, workload.width
    labels, numbers = np.zeros(shape, np.uint8), np.zeros(shape, np.uint16)
    outlines: list[tuple[int, NDArray[np.int32]]] = []
    wanted = int(rng.integers(workload.instances[0], workload.instances[1] + 1))
    while True:
        seen = np.unique(numbers[numbers > 0])
        if len(seen) >= wanted:
            break
        for _ in range(wanted - len(seen)):
            radius = _radius(workload, len(outlines), rng)
            label = int(rng.integers(1, workload.labels))
            blob = draw_blob(rng, radius, workload.noise)
            left, top = (rng.uniform(0, 1, 2) * shape[::-1] - blob.shape[0] // 2).astype(int)
            outlines.append((label, _outline(blob, left, top, shape)))
            _paste(blob, left, top, (labels, label), (numbers, len(outlines)))
    compact = np.zeros(len(outlines) + 1, np.uint16)
    compact[seen] = np.arange(1, len(seen) + 1)
    visible = [outlines[number - 1] for number in seen]
    return Scene(labels, compact[numbers], visible)


def _radius(workload: Workload, drawn: int, rng: np.random.Generator) -> float:
    if drawn < workload.large:
        return float(rng.uniform(0.25, 0.6) * workload.height)
    if workload.large:
        return float(np.exp(rng.uniform(*np.log(workload.radii))))
    return float(rng.uniform(*workload.radii))


def _paste(blob: NDArray[np.bool_], left: int, top: int, *planes: tuple[Plane, int]) -> None:
    height, width = planes[0][0].shape
    x, y = max(left, 0), max(top, 0)
    right, bottom = min(left + blob.shape[1], width), min(top + blob.shape[0], height)
    inside = blob[y - top : bottom - top, x - left : right - left]
    for plane, value in planes:
        plane[y:bottom, x:right][inside] = value


def _outline(
    blob: NDArray[np.bool_], left: int, top: int, shape: tuple[int, int]
) -> NDArray[np.int32]:
    """Return the longest outer contour of a blob, inside the image."""
    contours, _ = cv2.findContours(
        blob.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    longest = np.add(max(contours, key=len)[:, 0], (left, top))
    return np.asarray(np.clip(longest, 0, (shape[1] - 1, shape[0] - 1)), np.int32)


def colormap(count: int) -> NDArray[np.uint8]:
    """Return the first colours of the VOC colormap: (count, 3), RGB."""
    number = np.arange(count)
    colors = np.zeros((count, 3), np.uint8)
    for bit in range(24):
        k, channel = divmod(bit, 3)
        colors[:, channel] |= ((number >> bit & 1) << (7 - k)).astype(np.uint8)
    return colors


def encode(plane: Plane, variant: str) -> bytes | None:
    """Return a mask as a PNG; None where the variant cannot hold its numbers."""
    if variant == RGB:
        return cv2.imencode(".png", colormap(int(plane.max()) + 1)[plane][..., ::-1])[1].tobytes()
    if variant == GRAY:
        narrow = plane.astype(np.uint8) if plane.max() < 256 else plane
        return cv2.imencode(".png", narrow)[1].tobytes()
    return _palette_png(plane.astype(np.uint8)) if plane.max() < 256 else None


def _palette_png(plane: NDArray[np.uint8]) -> bytes:
    image = Image.fromarray(plane, "P")
    image.putpalette(colormap(256).tobytes())
    file = io.BytesIO()
    image.save(file, "png")
    return file.getvalue()


def scenes(workload: Workload, seed: int = 0) -> Iterator[tuple[str, Scene]]:
    """Yield ids and scenes; the same for the same workload and seed."""
    for index in range(workload.images):
        rng = np.random.default_rng([seed, index, *workload.name.encode()])
        yield f"image_{index:06d}", draw_scene(workload, rng)


def build(workload: Workload, folder: Path, variants: tuple[str, ...] = VARIANTS) -> None:
    """Write an archive for each variant into ``folder/<workload>-<variant>``."""
    outlines: dict[str, NDArray[np.int32]] = {}
    ids, counts, unfit = [], [], set()
    for item_id, scene in scenes(workload):
        ids.append(item_id)
        counts.append(len(scene.outlines))
        photo = _photo(workload, len(ids))
        for index, (label, points) in enumerate(scene.outlines):
            outlines[f"{item_id}/{index}/{label}"] = points
        for variant in variants:
            masks = {
                "SegmentationClass": encode(scene.labels, variant),
                "SegmentationObject": encode(scene.numbers, variant),
            }
            if None in masks.values():
                unfit.add(variant)
                continue
            root = folder / f"{workload.name}-{variant}"
            write(root / "JPEGImages" / f"{item_id}.jpg", photo)
            for kind, data in masks.items():
                write(root / kind / f"{item_id}.png", data or b"")
    for variant in set(variants) - unfit:
        root = folder / f"{workload.name}-{variant}"
        write_lists(root, ids, workload.labels)
        np.savez(root / POLYGONS, **outlines)  # type: ignore[arg-type]
        write_facts(root, len(ids), sum(counts))


def _photo(workload: Workload, seed: int) -> bytes:
    """Return a JPEG of the images' size; what it shows does not matter."""
    rng = np.random.default_rng(seed)
    rough = rng.integers(0, 256, (workload.height // 16, workload.width // 16, 3), np.uint8)
    size = workload.width, workload.height
    return cv2.imencode(".jpg", cv2.resize(rough, size, interpolation=cv2.INTER_CUBIC))[1].tobytes()


def write_lists(root: Path, ids: list[str], labels: int) -> None:
    names = ["background", *(f"label_{i}" for i in range(1, labels))]
    colors = colormap(labels).tolist()
    lines = ["# label:color_rgb:parts:actions"]
    lines += [f"{n}:{','.join(map(str, c))}::" for n, c in zip(names, colors, strict=True)]
    write(root / "labelmap.txt", "\n".join([*lines, ""]).encode())
    write(root / "ImageSets" / "Segmentation" / "train.txt", "\n".join([*ids, ""]).encode())


def write_facts(root: Path, images: int, instances: int) -> None:
    (root / FACTS).write_text(json.dumps({"images": images, "instances": instances}))


def read_facts(root: Path) -> dict[str, int]:
    return dict(json.loads((root / FACTS).read_text()))


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw workloads.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="+", choices=list(WORKLOADS))
    arguments = parser.parse_args()
    for name in arguments.names:
        build(WORKLOADS[name], arguments.folder)


if __name__ == "__main__":
    main()
