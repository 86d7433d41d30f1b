"""Draw ``street.zip``, the example archive in CVAT's layout "Segmentation mask 1.1".

    python examples/draw_street.py [street.zip] [--preview preview.png]

Six pictures of one street in two subsets. In them: stuff without instances (sky, road, sidewalk)
beside things with them, cars behind people, wheels and a gate that one sees through, cyclists
that are one instance over two labels, a picture in a sub-folder, one that is listed and has no
masks. Two runs with the same libraries give the same bytes.
"""

from __future__ import annotations

import argparse
import zipfile
from pathlib import Path

import cv2
import figures as f
import numpy as np
from numpy.typing import NDArray
from scene import Canvas, Color, Part, Pen, box, ellipse, mix, polygon

WIDTH, HEIGHT = 640, 400
HORIZON, CURB = 264, 294
EPOCH = 1980, 1, 1, 0, 0, 0  # the first date that a zip can hold
COLORS: dict[str, Color] = {  # sorted by name, as CVAT writes them; background is one of them
    "background": (0, 0, 0),
    "bicycle": (250, 50, 183),
    "building": (131, 224, 112),
    "car": (51, 221, 255),
    "person": (255, 96, 55),
    "road": (89, 134, 179),
    "sidewalk": (204, 153, 51),
    "sky": (140, 120, 240),
    "traffic sign": (250, 50, 83),
    "tree": (36, 179, 83),
}
INDEX = {name: index for index, name in enumerate(COLORS)}
SUBSETS = {
    "train": ["street_01", "street_02", "street_03", "night/street_01"],
    "val": ["street_04", "street_05"],
}
ITEMS = [item_id for ids in SUBSETS.values() for item_id in ids]
WITHOUT_MASKS = "street_05"

Plane = NDArray[np.uint8]
WALLS = [(226, 178, 132), (206, 126, 106), (234, 214, 176), (150, 176, 188), (190, 200, 164)]
PAINTS = [(204, 62, 58), (58, 112, 176), (240, 186, 60), (92, 152, 122), (226, 228, 230)]
COATS = [(52, 92, 150), (196, 72, 84), (236, 168, 62), (86, 138, 108), (122, 90, 150)]
TROUSERS = [(58, 64, 86), (98, 84, 74), (46, 54, 70)]
HAIR = [(66, 46, 36), (34, 30, 34), (176, 128, 72), (122, 68, 44)]
SKIN = [(238, 196, 164), (204, 150, 114), (142, 96, 70)]
LEAVES = [(96, 156, 84), (120, 168, 78), (74, 142, 96)]


def stroll(rng: np.random.Generator) -> tuple[Color, Color, Color, Color]:
    """Choose coat, trousers, hair and skin of a person."""
    return choose(rng, COATS), choose(rng, TROUSERS), choose(rng, HAIR), choose(rng, SKIN)


def choose(rng: np.random.Generator, colors: list[Color]) -> Color:
    return colors[int(rng.integers(len(colors)))]


class Street:
    """One scene, drawn from back to front; every thing gets the next instance number."""

    def __init__(self, item_id: str, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.canvas = Canvas(WIDTH, HEIGHT, night=item_id.startswith("night/"))
        self.things = 0

    def stuff(self, label: str) -> Pen:
        return Pen(self.canvas, Part(INDEX[label]))

    def thing(self, label: str, x: float, y: float, scale: float = 1, left: bool = False) -> Pen:
        """Return a pen for a new instance, with its foot at ``x``, ``y``."""
        self.things += 1
        return Pen(self.canvas, Part(INDEX[label], self.things), x, y, scale, left)

    def draw(self) -> None:
        self.draw_sky()
        self.draw_ground()
        self.draw_houses()
        self.draw_sidewalk_life()
        self.draw_traffic()

    def draw_sky(self) -> None:
        night = self.canvas.night
        top, bottom = ((16, 22, 58), (84, 74, 124)) if night else ((98, 172, 226), (224, 240, 246))
        sky = self.stuff("sky")
        for y in range(0, HORIZON, 3):
            sky.fill(mix(top, bottom, y / HORIZON), box(0, y, WIDTH, 3), glows=True)
        x, y = self.rng.uniform((70, 36), (570, 70))
        disc = (250, 244, 214) if night else (255, 226, 130)
        for radius, alpha in ((34, 0.12), (26, 0.2), (18, 1.0)):
            sky.tint(disc, ellipse(x, y, radius), alpha=alpha, glows=True)
        for _ in range(70 if night else 0):
            star = ellipse(self.rng.uniform(0, WIDTH), self.rng.uniform(0, 160), 0.8)
            sky.tint((255, 255, 255), star, alpha=0.8, glows=True)
        for _ in range(0 if night else 4):
            x, y = self.rng.uniform((20, 30), (WIDTH - 20, 110))
            f.cloud(Pen(self.canvas, sky.part, x, y, self.rng.uniform(0.6, 1.2)))
        self.draw_hills()

    def draw_hills(self) -> None:
        x = np.linspace(0, WIDTH, 81)
        for height, color in ((74, (150, 178, 190)), (52, (124, 160, 150))):
            wave = np.sin(x / 60 + self.rng.uniform(0, 6)) + np.sin(x / 23) / 3
            ridge = np.stack([x, HORIZON - height - 14 * wave], 1)
            foot = polygon((WIDTH, HORIZON), (0, HORIZON))
            self.stuff("background").fill(color, np.concatenate([ridge, foot]))

    def draw_ground(self) -> None:
        sidewalk, road = self.stuff("sidewalk"), self.stuff("road")
        sidewalk.fill((206, 198, 186), box(0, HORIZON, WIDTH, CURB - HORIZON))
        for x in range(-60, WIDTH + 60, 26):
            slab = polygon((x, HORIZON), (x + 1, HORIZON), (x - 17, CURB), (x - 18.5, CURB))
            sidewalk.tint((140, 132, 126), slab, alpha=0.5)
        sidewalk.fill((232, 228, 220), box(0, CURB - 4, WIDTH, 4))
        sidewalk.fill((150, 146, 142), box(0, CURB, WIDTH, 3))
        road.fill((96, 100, 110), box(0, CURB + 3, WIDTH, HEIGHT))
        road.tint((70, 74, 84), box(0, CURB + 3, WIDTH, 5), alpha=0.6)
        for x in self.rng.uniform(-60, 0) + 84 * np.arange(9):
            dash = polygon((x, 342), (x + 44, 342), (x + 41, 346), (x - 3, 346))
            road.tint((236, 232, 214), dash, alpha=0.95)

    def draw_houses(self) -> None:
        gate_after = int(self.rng.integers(0, 4))
        x, count = float(-self.rng.uniform(10, 50)), 0
        while x < WIDTH:
            width, floors = self.rng.uniform(84, 128), int(self.rng.integers(3, 6))
            gabled = floors < 5 and self.rng.random() < 0.6
            wall = WALLS[(count * 2 + self.things) % len(WALLS)]
            f.house(self.thing("building", x, HORIZON + 2), width, floors, wall, gabled, self.rng)
            x += width
            if count == gate_after:
                f.gate(self.thing("building", x, HORIZON + 2), (186, 172, 152))
                x += 92
            elif self.rng.random() < 0.35:
                x += self.rng.uniform(14, 40)  # a gap through which the hills are seen
            count += 1

    def draw_sidewalk_life(self) -> None:
        rng = self.rng
        for x in np.arange(rng.uniform(20, 70), WIDTH, 150):
            pen = self.thing("tree", x, CURB - 10, rng.uniform(1.05, 1.35))
            f.tree(pen, choose(rng, LEAVES), rng)
        for x in np.arange(rng.uniform(80, 140), WIDTH, 300):
            f.lamp(Pen(self.canvas, Part(INDEX["background"]), x, CURB - 3, 1.25))
        kinds = rng.permutation(["stop", "limit", "crossing"]).tolist()
        for kind in kinds[:2]:
            f.sign(self.thing("traffic sign", rng.uniform(30, WIDTH - 30), CURB - 3, 1.05), kind)
        for x in np.sort(rng.uniform(20, WIDTH - 20, int(rng.integers(2, 5)))):
            left = bool(rng.random() < 0.5)
            pen = self.thing("person", x, CURB - rng.uniform(6, 14), 0.95, left)
            f.person(pen, *stroll(rng))

    def draw_traffic(self) -> None:
        rng = self.rng
        far = rng.uniform(60, 200)
        for x in (far, far + rng.uniform(190, 330)):
            f.car(self.thing("car", x, 334, 1.2, left=True), choose(rng, PAINTS))
        self.cyclist(rng.uniform(80, 250), 364, 1.2)
        near = rng.uniform(360, 560)
        f.car(self.thing("car", near, 384, 1.65), choose(rng, PAINTS))
        # Somebody crosses the street in front of the car and hides a part of it.
        person = self.thing("person", near + rng.uniform(-50, 40), 394, 1.6, left=True)
        f.person(person, *stroll(rng))

    def cyclist(self, x: float, y: float, scale: float) -> None:
        """Draw one instance over two labels."""
        pen = self.thing("bicycle", x, y, scale)
        f.bicycle(pen, choose(self.rng, PAINTS))
        f.rider(f.relabel(pen, INDEX["person"]), *stroll(self.rng))


def png(colors: Plane) -> bytes:
    """Encode an RGB array."""
    return cv2.imencode(".png", colors[..., ::-1])[1].tobytes()


def jpeg(picture: Plane) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, 88]
    return cv2.imencode(".jpg", picture[..., ::-1], options)[1].tobytes()


def voc_colors() -> Plane:
    """Return the VOC colormap, (256, 3) uint8, RGB."""
    number = np.arange(256)
    colors = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        k, channel = divmod(bit, 3)
        colors[:, channel] |= ((number >> bit & 1) << (7 - k)).astype(np.uint8)
    return colors


def archive_files() -> dict[str, bytes]:
    """Return the content of the archive by path, in the order in which CVAT writes it."""
    lines = ["# label:color_rgb:parts:actions"]
    lines += [f"{name}:{','.join(map(str, color))}::" for name, color in COLORS.items()]
    files = {"labelmap.txt": "\n".join(lines).encode() + b"\n"}
    for subset, ids in SUBSETS.items():
        text = "".join(f"{item_id}\n" for item_id in ids)
        files[f"ImageSets/Segmentation/{subset}.txt"] = text.encode()
    class_colors = np.array(list(COLORS.values()), np.uint8)
    for seed, item_id in enumerate(ITEMS):
        street = Street(item_id, seed)
        street.draw()
        picture, labels, instances = street.canvas.finish()
        files[f"JPEGImages/{item_id}.jpg"] = jpeg(picture)
        if item_id != WITHOUT_MASKS:
            files[f"SegmentationClass/{item_id}.png"] = png(class_colors[labels])
            files[f"SegmentationObject/{item_id}.png"] = png(voc_colors()[instances])
    return files


def write_zip(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system = 3  # Unix; the default depends on where the script runs
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED, 9)


def write_preview(path: Path, files: dict[str, bytes]) -> None:
    """Write picture, class mask and instance mask of every item, one row each."""

    def tile(name: str) -> Plane:
        data = files.get(name)
        if data is None:
            return np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
        return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)

    places = ("JPEGImages/{}.jpg", "SegmentationClass/{}.png", "SegmentationObject/{}.png")
    rows = [np.hstack([tile(place.format(item_id)) for place in places]) for item_id in ITEMS]
    cv2.imwrite(str(path), np.vstack(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(__file__).with_name("street.zip")
    parser.add_argument("output", nargs="?", type=Path, default=default)
    parser.add_argument("--preview", type=Path, help="also write all items side by side")
    arguments = parser.parse_args()
    files = archive_files()
    write_zip(arguments.output, files)
    if arguments.preview:
        write_preview(arguments.preview, files)


if __name__ == "__main__":
    main()
