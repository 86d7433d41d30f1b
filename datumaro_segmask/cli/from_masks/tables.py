"""Tables of labels that other tools write: with numbers, with colours, in JSON and YAML."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ...archive import MAX_LABELS
from ...colors import Rgb
from ...errors import LabelMapError

_MAX_STRUCTURED = 1 << 20  # characters; YAML is slow to read
_EXPECTED = "one name a line, a label map, or a table of names with their values or colours"
_REMEDY = "write the names of the labels, one a line, in the order of their values"


class Row(NamedTuple):
    """A label with its value in gray masks, its colour if it has one, and its line."""

    value: int
    name: str
    color: Rgb | None
    line: int


# Lines

_COMMA = r"\s*[,;\t ]\s*"
_COLOR = rf"(?P<r>\d{{1,3}}){_COMMA}(?P<g>\d{{1,3}}){_COMMA}(?P<b>\d{{1,3}})"
_VALUE = r"(?P<value>-?\d{1,5})"
_NAME = r"(?P<name>\S.*?)"
_SHAPES = {
    "a table of values, names and colours": rf"{_VALUE}{_COMMA}{_NAME}{_COMMA}{_COLOR}",
    "a table of names and colours": rf"{_NAME}{_COMMA}{_COLOR}",
    "a table of colours and names": rf"{_COLOR}{_COMMA}{_NAME}",
    "a table of values and names": rf"{_VALUE}(?:\s*[,;:.)=|\t-]\s*|\s+){_NAME}",
    "a table of names and values": rf"{_NAME}\s*[,;:=\t]\s*{_VALUE}",
}
_PATTERNS = {what: re.compile(rf"{shape}\s*[,;]?") for what, shape in _SHAPES.items()}
_HEAD = re.compile(r"name|class|label|category|\bid\b|value|index|colou?r", re.I)


def read_table(lines: Sequence[str], path: str) -> tuple[list[Row], str, str] | None:
    """Return the labels of a table, its path, and what it is; None where the lines are no table.

    Raises LabelMapError for a table that is not understood.
    """
    numbered = [(n, line) for n, line in enumerate(lines, 1) if line and not line.startswith("#")]
    for what, pattern in _PATTERNS.items():
        for head in (0, 1):
            rows = _rows(numbered[head:], pattern)
            if rows and (not head or _is_head(numbered[0][1], pattern)):
                return rows, path, what
    if any("\t" in line for _, line in numbered) or (
        len(numbered) == 1 and len(re.split(r"[,;]", numbered[0][1])) > 2
    ):
        first = numbered[0]
        raise LabelMapError(
            f"the line {first[1][:80]!r} has columns that mean nothing here",
            f"{path}:{first[0]}",
            _EXPECTED,
            _REMEDY,
        )
    return None


def _is_head(line: str, pattern: re.Pattern[str]) -> bool:
    return _HEAD.search(line) is not None and not re.search(r"\d", line)


def _rows(lines: Sequence[tuple[int, str]], pattern: re.Pattern[str]) -> list[Row]:
    """Return the labels if all lines fit a pattern, else nothing."""
    rows = []
    for position, (number, line) in enumerate(lines):
        match = pattern.fullmatch(line)
        if match is None:
            return []
        found = match.groupdict()
        color = None
        if "r" in found:
            color = int(found["r"]), int(found["g"]), int(found["b"])
            if max(color) > 255:
                return []
        value = int(found["value"]) if "value" in found else position
        if re.fullmatch(r"[\d\s,;]+", found["name"]):  # another column, and no name
            return []
        name = found["name"].strip("\"' ")
        if not name:
            return []
        rows.append(Row(value, name, color, number))
    values = [row.value for row in rows if row.value >= 0]
    return rows if len(values) == len(set(values)) and max(values, default=0) < MAX_LABELS else []


# JSON and YAML

_KEYS = ("names", "classes", "labels", "categories", "id2label", "label_map", "label_names")
_STRUCTURED = re.compile(rf"\s*[\[{{]\s*[\"'\[{{\w\]]|-\s|(.*\n)*?({'|'.join(_KEYS)}):(\s|$)")
_SUFFIXES = (".json", ".yaml", ".yml")


def is_structured(text: str, path: str) -> bool:
    """Tell whether a file is JSON or YAML."""
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
            "the file is JSON or YAML, but holds no list of names", path, _EXPECTED, _REMEDY
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
