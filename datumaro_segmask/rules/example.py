"""Small archives to show a rule by: a digit of a picture is a label of three, or an instance."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from ..archive import usual_masks
from ..arrays import Bytes
from ..colors import voc_color
from ..storage import layout
from .rule import Files

LABELS = "background:0,0,0::\ncar:128,0,0::\nroad:0,128,0::\n"
BLOCK = "0110 0110"
"""A car, or an object, on the background: two digits wide, six pixels."""
_SCALE = 3  # pixels of a digit, as thinner objects vanish in CVAT
_DATE = (1980, 1, 1, 0, 0, 0)


def plane(text: str, scale: int = _SCALE) -> Bytes:
    """Return the pixels of a picture of digits, its rows parted by spaces; (height, width)."""
    rows = np.array([[int(digit) for digit in row] for row in text.split()], np.uint8)
    return np.kron(rows, np.ones((scale, scale), np.uint8))


def png(pixels: np.ndarray[Any, Any]) -> bytes:
    """Encode gray, or red, green, blue (and alpha), of 8 or 16 bits as the dtype says."""
    if pixels.ndim == 3:
        pixels = pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
    return cv2.imencode(".png", pixels)[1].tobytes()


def rgb(text: str, scale: int = _SCALE) -> bytes:
    """Draw a picture of digits in the first colours of VOC."""
    table = np.array([voc_color(number) for number in range(10)], np.uint8)
    return png(table[plane(text, scale)])


def bitmap(text: str) -> bytes:
    """Draw a picture of digits as `rgb` does, as a BMP."""
    pixels = cv2.imdecode(np.frombuffer(rgb(text), np.uint8), cv2.IMREAD_COLOR)
    return cv2.imencode(".bmp", np.asarray(pixels))[1].tobytes()


def gray(text: str) -> bytes:
    """Draw a picture of digits as gray values."""
    return png(plane(text))


def pillow(mode: str, pixels: Bytes, palette: Sequence[int] = (), **options: Any) -> bytes:
    """Encode by Pillow: ``P`` with a palette, ``1`` of one bit, ``LA``."""
    import PIL.Image

    file = io.BytesIO()
    if mode == "LA":
        image = PIL.Image.merge("LA", [PIL.Image.fromarray(pixels)] * 2)
    elif mode == "1":
        image = PIL.Image.fromarray(pixels * np.uint8(255)).convert("1")
    else:
        height, width = pixels.shape
        image = PIL.Image.frombytes(mode, (width, height), pixels.tobytes())
        image.putpalette([*palette])
    image.save(file, "PNG", **options)
    return file.getvalue()


def picture(height: int = 6, width: int = 12, **options: Any) -> bytes:
    """Make a photograph of one colour, as a JPEG."""
    import PIL.Image

    file = io.BytesIO()
    PIL.Image.new("RGB", (width, height), (90, 90, 90)).save(file, "JPEG", **options)
    return file.getvalue()


def archive(
    classes: Mapping[str, bytes] | bytes | None = None,
    instances: Mapping[str, bytes] | bytes | None = None,
    *,
    labels: str | None = LABELS,
    lists: Mapping[str, str | bytes] | None = None,
    images: Mapping[str, bytes] | None = None,
    others: Mapping[str, str | bytes] | None = None,
) -> Files:
    """Return the files of an archive: masks by id, or that of an item ``a``; a car without any.

    ``lists`` by subset; all ids are in ``default`` if None. ``others`` are more files by place.
    """
    if classes is None and instances is None:
        classes = instances = rgb(BLOCK)
    by_id = [{"a": m} if isinstance(m, bytes) else dict(m or {}) for m in (classes, instances)]
    ids = dict.fromkeys([*by_id[0], *by_id[1]])
    lists = {"default": "".join(f"{i}\n" for i in ids)} if lists is None else lists
    files: dict[str, str | bytes] = {} if labels is None else {layout.LABEL_MAP: labels}
    files |= {layout.subset_list(subset): text for subset, text in lists.items()}
    for i, masks in enumerate(by_id):
        files |= {usual_masks(item_id)[i]: data for item_id, data in masks.items()}
    files |= {f"{layout.IMAGES}/{name}": data for name, data in (images or {}).items()}
    files |= others or {}
    return {n: data.encode() if isinstance(data, str) else data for n, data in files.items()}


def packed(files: Files, twice: str | None = None) -> bytes:
    """Return a zip of files, with one of them ``twice``; names are marked as UTF-8 where needed."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as target:
        for name, data in [*files.items(), *([(twice, files[twice])] if twice else [])]:
            info = zipfile.ZipInfo("x", _DATE)
            info.filename = name  # as it is: its maker would turn backslashes
            if twice and name in target.namelist():  # of which zipfile would warn
                target.NameToInfo.pop(name, None)
            target.writestr(info, data)
    return file.getvalue()


def write_example(made: Files | bytes, folder: str, name: str = "task") -> str:
    """Write an example into a folder, as a folder or a zip of its own; return its path."""
    path = os.path.join(folder, name)
    if isinstance(made, bytes):
        path += ".zip"
        with open(path, "wb") as file:
            file.write(made)
        return path
    for place, data in made.items():
        target = os.path.join(path, *place.split("/"))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as file:
            file.write(data)
    return path
