"""Names of labels in JSON and YAML, as other tools write them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ...archive import MAX_LABELS
from ...colors import Rgb
from ...errors import LabelMapError

_MAX_STRUCTURED = 1 << 20  # characters; YAML is slow to read
EXPECTED = "one name per line, a label map, or a list of names in JSON or YAML"
REMEDY = (
    "write the names of the labels, one per line, in the order of their values; if the masks are "
    "in colour, write lines such as 'car:255,0,0::'"
)


class Row(NamedTuple):
    """A label with its value in gray masks, its colour if it has one, and its line."""

    value: int
    name: str
    color: Rgb | None
    line: int


_KEYS = ("names", "classes", "labels", "categories", "id2label", "label_map", "label_names")
_STRUCTURED = re.compile(rf"\s*[\[{{]\s*[\"'\[{{\w\]]|-\s|(.*\n)*?({'|'.join(_KEYS)}):(\s|$)")
_SUFFIXES = (".json", ".yaml", ".yml")


def is_structured(text: str, path: str) -> bool:
    """Return whether a file is JSON or YAML."""
    is_named = os.path.splitext(path)[1].lower() in _SUFFIXES
    return is_named or _STRUCTURED.match(text[:_MAX_STRUCTURED]) is not None


def read_structured(text: str, path: str) -> list[Row]:
    """Return the labels of JSON or YAML: a list of names, or names by their values.

    They may stand under ``names``, ``classes``, ``id2label`` and their like. Raises LabelMapError.
    """
    try:
        found = list(_rows_of(_parsed(text)))
    except (ValueError, TypeError, KeyError, RecursionError):
        found = []
    values = [row.value for row in found]
    if not found or len(set(values)) < len(values) or max(values) >= MAX_LABELS:
        raise LabelMapError(
            "the file is JSON or YAML, but has no list of names", path, EXPECTED, REMEDY
        )
    return found


def _parsed(text: str) -> Any:
    if len(text) > _MAX_STRUCTURED:
        raise ValueError
    try:
        return json.loads(text)
    except ValueError:
        import yaml

        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError from error


def _rows_of(found: Any) -> Iterator[Row]:
    if isinstance(found, Mapping):
        below = next((found[key] for key in _KEYS if key in found), None)
        if below is not None and not isinstance(below, (str, int)):
            yield from _rows_of(below)
            return
        for position, (key, value) in enumerate(found.items(), 1):
            if isinstance(value, int):  # names to values, as in label2id
                key, value = value, key
            yield Row(int(key), _name(value), None, position)
    elif isinstance(found, list):
        for position, entry in enumerate(found):
            value, name, color = position, entry, None
            if isinstance(entry, Mapping):  # categories of COCO
                value, name = int(entry.get("id", position)), entry["name"]
                color = _color_of(entry.get("color"))
            yield Row(value, _name(name), color, position + 1)


def _name(found: Any) -> str:
    if not isinstance(found, str) or not found.strip():
        raise TypeError
    return found.strip()


def _color_of(found: Any) -> Rgb | None:
    if (
        isinstance(found, list)
        and len(found) == 3
        and all(isinstance(value, int) and 0 <= value <= 255 for value in found)
    ):
        red, green, blue = found
        return red, green, blue
    return None
