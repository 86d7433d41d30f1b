"""Three more targets: readers of what is nearly this format, of lists, labels and headers."""

from __future__ import annotations

import io
import os
import tempfile
import warnings

import numpy as np
from PIL import Image

from datumaro_segmask.archive.files import read_image_head
from datumaro_segmask.archive.labelmap import MAX_LABELS, parse_label_map, voc_label_map
from datumaro_segmask.archive.lists import find_lists
from datumaro_segmask.cli.from_masks.folder import as_png
from datumaro_segmask.cli.from_masks.names import read_labels_file
from datumaro_segmask.png import MaskReader
from datumaro_segmask.signatures import LOSSLESS, kind_of
from datumaro_segmask.storage import layout
from datumaro_segmask.storage.no_archive import not_a_zip, nothing_here

from .memory import Memory, check_names
from .oracle import Finding, check_message

MAX_PIXELS = 1 << 22
SEPARATOR = b"<next file>"
_LABELS = "background:0,0,0::\ncar:128,0,0::\na:0,128,0::\n"
_NAMES = ("names.txt", "names.yaml", "names.json")


def labels_file(data: bytes) -> None:
    """Of names, tables, JSON and YAML come labels with names and values of their own."""
    with tempfile.TemporaryDirectory(prefix="segmask-fuzz-") as folder:
        path = os.path.join(folder, _NAMES[len(data) % len(_NAMES)])
        with open(path, "wb") as file:
            file.write(data)
        found = read_labels_file(path)
    labels = found.label_map.labels
    if len({label.name for label in labels}) < len(labels):
        raise Finding("names are not unique")
    if len({label.index for label in labels}) < len(labels):
        raise Finding("values are not unique")
    if not all(label.name and 0 <= label.index < MAX_LABELS for label in labels):
        raise Finding("a label without a name, or with a value that no mask has")
    if not (found.read_as + (found.doubt() or "")).isprintable():
        raise Finding(f"this could steer a terminal: {found.read_as!r}, {found.doubt()!r}")


def two_lists(data: bytes) -> None:
    """Of two files among the lists, one is passed over at most; ids are safe and stand once."""
    first, _, second = data.partition(SEPARATOR)
    lists = {layout.subset_list("default"): first, layout.subset_list("train"): second}
    masks = {layout.class_mask(item_id): b"" for item_id in ("a", "b c", "d/e", "f.jpg", "#g")}
    label_map = parse_label_map(_LABELS, layout.LABEL_MAP)
    found = find_lists(Memory({**lists, **masks}), label_map)
    if not found:
        raise Finding("no list is left")
    for read in found.values():
        check_names(list(dict.fromkeys(read())))


def header(data: bytes) -> None:
    """What a file is, how large an image, and the pixels of a mask that is no PNG."""
    check_message(not_a_zip(data, "a.zip"))
    check_message(nothing_here("a.zip", _names_in(data), in_zip=True))
    head = read_image_head(Memory({"JPEGImages/a.jpg": data}), "JPEGImages/a.jpg")
    if head is not None and min(head.size) < 1:
        raise Finding(f"the size is {head.size}")
    if kind_of(data) not in LOSSLESS:
        return
    reader = MaskReader(
        as_png(data, "a.bmp", MAX_PIXELS, voc_label_map()), "a.bmp", lambda packed: packed
    )
    ours = np.concatenate(list(reader.blocks()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data)) as image:
            is_fax = image.info.get("compression") in ("group3", "group4", "tiff_ccitt")
            theirs = np.asarray(image)
            is_gray_palette = image.mode == "P" and reader.palette is None
    if is_gray_palette:
        return  # its indices are not its values
    if is_fax:
        return  # of a damaged line libtiff gives whatever lay in memory, another time other pixels
    if reader.palette is None and not reader.header.is_color and theirs.ndim == 2:
        if not np.array_equal(ours, theirs):
            raise Finding("the pixels are other ones")
    elif ours.shape != theirs.shape[:2]:
        raise Finding(f"the size is {ours.shape}, not {theirs.shape}")


def _names_in(data: bytes) -> list[str]:
    return data.decode("utf-8", "replace").split("\n")
