"""The contact sheet as an HTML page that needs nothing but a browser (docs/cli.md, "preview").

A page of few items holds all it shows. Beside a page of many stands a folder, from which the page
takes pictures and outlines as they come into view: pictures as such, outlines as scripts, for a
browser loads nothing else from a disk.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np
from numpy.typing import NDArray

from ...archive.labelmap import Label
from .drawing import Drawing, outline_of, path_of

_THUMB = 320  # pixels of the longer side of a picture in the sheet
_CHUNK = 50  # items whose outlines are in one script
_QUALITY = 82
FIRST_OUTLINES = "outlines-0.js"
"""A file that the folder of every page has."""


def write_page(
    path: str,
    title: str,
    labels: Sequence[Label],
    background: int | None,
    drawings: Iterable[Drawing],
    folder: str | None,
) -> None:
    """Write the page, with all in it if ``folder`` is None, else with a folder of that name."""
    items: list[Any] = []
    details: list[Any] = []
    numbers = count()
    for drawing in drawings:
        items.append(_summary(drawing))
        details.append(_detail(drawing, next(numbers), folder))
        if folder is not None and len(details) == _CHUNK:
            _write_chunk(folder, len(items) - 1, details)
            details = []
    if folder is not None and details:
        _write_chunk(folder, len(items) - 1, details)
    data = {
        "title": title,
        "folder": folder and quote(os.path.basename(folder)),
        "chunk": _CHUNK,
        "background": background,
        "labels": [[label.name, "#" + bytes(label.color).hex()] for label in labels],
        "items": items,
        "details": details if folder is None else [],
    }
    page = files(__package__) / "page"
    parts = {
        "style": (page / "preview.css").read_text("utf-8"),
        "script": (page / "preview.js").read_text("utf-8"),
        "data": as_script(data),
        "images": "data:" if folder is None else "data: file: http: https: 'self'",
        "scripts": "" if folder is None else "file: http: https: 'self'",
    }
    html = (page / "preview.html").read_text("utf-8")
    for name, text in parts.items():
        html = html.replace("{{" + name + "}}", text)
    Path(path).write_text(html, "utf-8")


def as_script(value: Any) -> str:
    """Return JSON that can stand between the tags of a script, whatever names it holds."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")


def _summary(drawing: Drawing) -> list[Any]:
    """Return what the sheet needs of an item that is not in view; see `items` in preview.js."""
    labels: dict[str, int] = {}
    for shape in drawing.shapes:
        key = as_script(shape.label)
        labels[key] = labels.get(key, 0) + (shape.number > 0)
    rows, columns = drawing.plane.shape
    height, width = drawing.size or (0, 0)
    ratio = round(columns / rows, 4)
    about = [drawing.item_id, drawing.subset, height, width, ratio, drawing.instances]
    return [*about, labels, drawing.fault]


def _detail(drawing: Drawing, number: int, folder: str | None) -> dict[str, Any]:
    height, width = drawing.plane.shape
    shapes = []
    for shape in drawing.shapes:
        outline = outline_of(shape.rings)
        entry = [shape.label, shape.number, shape.area, *shape.anchor, path_of(shape.rings)]
        shapes.append([*entry, outline] if outline else entry)
    detail: dict[str, Any] = {"size": [width, height], "shapes": shapes}
    if drawing.photo is not None:
        detail |= dict(_pictures(drawing.photo, number, folder))
    return detail


def _pictures(
    photo: NDArray[np.uint8], number: int, folder: str | None
) -> Iterator[tuple[str, str]]:
    """Yield the addresses of the pictures of a photo; in a folder, it has a small one too."""
    if folder is None:
        yield "photo", f"data:image/jpeg;base64,{base64.b64encode(_jpeg(photo)).decode()}"
        return
    height, width = photo.shape[:2]
    scale = min(1.0, _THUMB / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    # Thousands of files in one folder are slow to list on some systems.
    below = f"{number // 1000:03}"
    os.makedirs(os.path.join(folder, below), exist_ok=True)
    for name, picture in (("photo", photo), ("thumb", small.astype(np.uint8))):
        place = f"{below}/{number}-{name}.jpg"
        Path(folder, place).write_bytes(_jpeg(picture))
        yield name, f"{quote(os.path.basename(folder))}/{place}"


def _jpeg(photo: NDArray[np.uint8]) -> bytes:
    done, data = cv2.imencode(".jpg", photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert done
    return data.tobytes()


def _write_chunk(folder: str, last: int, details: list[Any]) -> None:
    os.makedirs(folder, exist_ok=True)
    number = last // _CHUNK
    script = f"segmaskChunk({number},{as_script(details)});\n"
    Path(folder, f"outlines-{number}.js").write_text(script, "utf-8")
