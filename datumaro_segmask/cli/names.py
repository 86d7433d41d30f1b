"""The labels of masks that are no archive: a file of names, one a line, or a label map."""

from __future__ import annotations

import os
import re

from ..archive import BACKGROUND, BLACK, Label, LabelMap, make_label_map, read_label_map_file
from ..colors import voc_color
from ..errors import LabelMapError, MissingFileError
from ..storage import FolderStorage

# A field behind the name that a label map has and a list of names has not: a colour, or nothing.
_FIELD = re.compile(r":\s*(-?\d+\s*,[^:]*)?(:|$)")


def read_labels_file(path: str) -> LabelMap:
    """Read a label map, or the names of labels: the index of a line is the value in gray masks.

    Names get the VOC colours of their lines, but ``background`` is black, and no other label is.
    Raises LabelMapError or MissingFileError.
    """
    if not os.path.isfile(path):
        what = "names of labels, one a line, or a label map"
        raise MissingFileError("there is no such file", path, what, "check the path")
    folder, name = os.path.split(path)
    data = FolderStorage(folder or os.curdir).read(name)
    text = data.decode("utf-8-sig", "replace")
    lines = [line.strip() for line in text.rstrip().split("\n")]
    if b"\xff\xfe" in data[:2] or "\ufffd" in text or any(_FIELD.search(line) for line in lines):
        return read_label_map_file(path)
    if not text.strip():
        return make_label_map([], path)
    return make_label_map((_label(lines, i, path) for i in range(len(lines))), path)


def _label(lines: list[str], index: int, path: str) -> Label:
    name = lines[index]
    if not name or name.startswith("#"):
        raise LabelMapError(
            "the line is blank" if not name else "the line is a comment",
            f"{path}:{index + 1}",
            "one name a line, for the index of the line is the value in the masks",
            "remove the line, or name the label whose value it is",
        )
    if name.lower() == BACKGROUND:
        return Label(name, BLACK, index, line=index + 1)
    return Label(name, voc_color(index or len(lines)), index, line=index + 1)
