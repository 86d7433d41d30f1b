"""The boxes that CVAT reads in XML files of VOC, and what it refuses in them.

It reads the files of items in VOC's other lists, in full, and its import ends at the first fault.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from ..archive import BACKGROUND

_FLAGS = ("difficult", "truncated", "occluded")
_SIDES = ("xmin", "xmax", "ymin", "ymax")


class RefusedError(Exception):
    """What CVAT refuses a file for."""


def boxes_in(
    data: bytes, tasks: Collection[str], labels: Collection[str], has_actions: Mapping[str, bool]
) -> int:
    """Return how many boxes CVAT makes of an XML file.

    ``tasks``: the folders of the lists that name its item. ``labels``: the labels and parts of the
    label map; ``has_actions`` tells which of them have actions there. Raises RefusedError.
    """
    if b"<!ENTITY" in data:
        raise RefusedError("CVAT reads no XML that declares entities")
    try:
        root = ElementTree.fromstring(data)
    except ElementTree.ParseError:
        raise RefusedError("CVAT cannot parse this file") from None
    if root.tag != "annotation":
        raise RefusedError(f"CVAT wants an element 'annotation', and this is {root.tag!r}")
    for side in ("size/height", "size/width"):
        _number(root, side, int, is_needed=False)
    name = root.find("filename")
    if name is not None and not name.text:
        raise RefusedError("CVAT wants a name in 'filename', which is empty")
    return sum(_boxes_of(each, tasks, labels, has_actions) for each in root.iterfind("object"))


def _boxes_of(
    element: Element,
    tasks: Collection[str],
    labels: Collection[str],
    has_actions: Mapping[str, bool],
) -> int:
    label = _label(element, labels)
    _check_box(element)
    for flag in _FLAGS:
        _check_flag(element, flag)
    for point in element.findall("point")[:1]:
        _number(point, "x", float)
        _number(point, "y", float)
    actions = element.find("actions")
    if actions is None:
        actions = Element("actions")
    for action in actions:
        _check_flag(actions, action.tag)
    parts = element.findall("part")
    names = [label]
    for part in parts if "Layout" in tasks else parts[:1]:
        names.append(_label(part, labels))
        _check_box(part)
    for attribute in element.findall("attributes//attribute"):
        for field in ("name", "value"):
            if attribute.find(field) is None:
                raise RefusedError(f"CVAT wants {field!r} in each attribute")
    acts = has_actions.get(label, False) or len(actions) > 0
    count = ("Main" in tasks) + ("Layout" in tasks and bool(parts)) + ("Action" in tasks and acts)
    if count and BACKGROUND in (names if "Layout" in tasks else names[:1]):
        raise RefusedError(f"this file names {BACKGROUND!r}, which is not a label of a task")
    return count


def _label(element: Element, labels: Collection[str]) -> str:
    field = element.find("name")
    name = "" if field is None else field.text or ""
    if name not in labels:
        raise RefusedError(f"the label map has no label {name!r}, which this file names")
    return name


def _check_box(element: Element) -> None:
    box = element.find("bndbox")
    if box is None or not len(box):
        raise RefusedError("CVAT wants a box ('bndbox') of each object and part, and one has none")
    for side in _SIDES:
        _number(box, side, float)


def _check_flag(element: Element, field: str) -> None:
    found = element.find(field)
    if found is not None and found.text not in ("0", "1"):
        raise RefusedError(f"CVAT wants 0 or 1 in {field!r}, and there is {found.text!r}")


def _number(
    element: Element, field: str, kind: type[int] | type[float], is_needed: bool = True
) -> None:
    found = element.find(field)
    if found is None and not is_needed:
        return
    text = None if found is None else found.text
    try:
        kind(text or "")
    except ValueError:
        wanted = "a whole number" if kind is int else "a number"
        raise RefusedError(f"CVAT wants {wanted} in {field!r}, and there is {text!r}") from None
