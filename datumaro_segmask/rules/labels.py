"""Rules of the label map, and of what takes its place (docs/format.md, sections 2 and 7)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from ..archive import (
    BACKGROUND,
    BY_INDEX,
    VOC_LABELS,
    Label,
    shared_colors,
)
from ..colors import BLACK, Rgb, text_of, voc_color
from ..errors import counted
from ..storage import layout
from .example import LABELS, archive, rgb
from .facts import ArchiveFacts, LabelFacts, WholeFacts
from .rule import ARCHIVE, ERROR, NOTE, WARNING, WHOLE, Finding, Met, Rule, rule

_MARK = "\ufeff"
_FIELDS = 4
_META = "dataset_meta.json"
_LOOKED_AT = 100_000  # files in which a label map by another name is looked for
_WIDE_COLON = "\uff1a"
_COLOR_AT_END = re.compile(
    r"(?P<name>.*?\w)[^\w.+-]\W*?(?:"
    r"(?P<r>\d{1,3})\s*(?P<sep>[,;|\t ])\s*(?P<g>\d{1,3})\s*(?P=sep)\s*(?P<b>\d{1,3})"
    r"|#(?P<hex>[0-9a-f]{6}))\W*",
    re.I,
)
_COLOR_AT_BEGIN = re.compile(
    r"\W*(?P<r>\d{1,3})\s*(?P<sep>[,;|\t ])\s*(?P<g>\d{1,3})\s*(?P=sep)\s*(?P<b>\d{1,3})"
    r"[\s,;:|=]+(?P<name>[^\W\d].*)"
)
_COLOR_IN_NAME = re.compile(  # three numbers or six digits at the end, or any line's beginning
    r"[^\w.+-]\s*((\d{1,3})\s*([,;|\t ])\s*\d{1,3}\s*\3\s*\d{1,3}|#[0-9a-f]{6})\W*$"
    r"|:\s*\d{1,3},\d{1,3},\d{1,3}\s*:"
    rf"|{_WIDE_COLON}\s*\d{{1,3}},",
    re.I,
)
_NUMBER_IN_NAME = re.compile(r"(\d{1,5})[\s,;:.)=|-]\s*(?P<name>\D.*)")
_LOOK_ALIKE = re.compile(
    r"(label|class|colou?r|obj|names?\b)[^/]*(\.(txt|csv|tsv|json|names|ya?ml|rtf|pbtxt)|map)"
    r"([._ ~(-](bak|old|orig|copy|backup|save|\d)?[^/]*)?",
    re.I,
)
_ODD_NUMBER = re.compile(r"[+_]|[^\x00-\x7f]")
_NO_LABELS = {
    BACKGROUND, "void", "unlabeled", "unlabelled", "unknown", "none", "nothing", "other", "ignore"
}  # fmt: skip
_VOC_HOLDS = f"the labels of VOC are used: {', '.join(VOC_LABELS[:3])} ..."


def _place(label: Label) -> str:
    return f"{layout.LABEL_MAP}:{label.line}"


def _line(label: Label) -> str:
    """Return the line to write for a label, whose name has no colons."""
    return replace(label, name=label.name.replace(":", " ")).as_line


def _corrected(label: Label) -> Label:
    """Return the label that is meant by a line of another tool, whose name has all of it."""
    name, color = label.name, label.color
    found = _COLOR_AT_BEGIN.fullmatch(name) or _COLOR_AT_END.fullmatch(name)
    number = _NUMBER_IN_NAME.fullmatch(name)
    if _WIDE_COLON in name:
        name, *fields = name.split(_WIDE_COLON)
        color = _rgb(fields[0].split(",")) or color
    elif found and found.groupdict().get("hex"):
        name, digits = found["name"], found["hex"]
        color = int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16)
    elif found:
        name, color = found["name"], _rgb([found["r"], found["g"], found["b"]]) or color
    elif number:
        name = number["name"]
    return replace(label, name=name.strip(" \t,;:.=|-\"'"), color=color)


def _rgb(digits: list[str]) -> Rgb | None:
    try:
        red, green, blue = (int(value) for value in digits)
    except ValueError:
        return None
    return (red, green, blue) if max(red, green, blue) <= 255 else None


LABEL_MAP_RULE = Rule(
    "label-map", "the label map breaks a rule", ERROR, ERROR, 2,
    "Each line of labelmap.txt is `name:r,g,b:parts:actions`. A colour is three whole numbers from "
    "0 to 255, each name is there once, and the text is UTF-8.",
    lambda: archive(labels=f"{LABELS}van:300,0,0::\n"),
)  # fmt: skip


@rule(
    ARCHIVE, "duplicate-color", "two labels have one colour", WARNING, WARNING, 2,
    lambda: archive(labels=f"{LABELS}van:128,0,0::\n"), is_logged=True,
)  # fmt: skip
def duplicate_color(facts: ArchiveFacts) -> Iterator[Finding]:
    """CVAT lets annotators choose one colour for two labels. Their pixels cannot be told apart, so
    the last label of a colour gets all of them. A label that is black like the background gets
    those of instances. Change the colour in CVAT, and export again."""
    labels = facts.label_map.labels
    background = facts.label_map.background
    for first, label in shared_colors(facts.label_map):
        what = f"{label.name!r} has the colour {text_of(label.color)} of {first.name!r}, "
        what += f"so all pixels of that colour are {label.name!r}, as in CVAT"
        if background is not None and first is labels[background]:
            what += " where there is an instance, and background elsewhere"
        yield Met(_place(label), what, "give one of them another colour, also in the masks")


@rule(
    ARCHIVE, "cvat-label-line", "CVAT reads a line of the label map differently", None, ERROR, 2,
    lambda: archive(labels=LABELS.replace("road:0,128,0::", "road:0,128,0")),
)  # fmt: skip
def cvat_label_line(facts: ArchiveFacts) -> Iterator[Finding]:
    """CVAT needs exactly four fields in every line, splits it at each colon, and reads a byte-order
    mark as part of the first name. Each part needs a name, so a comma too many is an error. If a
    line is different, CVAT refuses the archive."""
    lines = facts.label_lines
    if not lines or facts.label_text is None:
        return
    if facts.label_text.startswith(_MARK):
        first = lines[1].partition(":")[0].strip()
        if first and first != BACKGROUND:
            marked = "CVAT reads the byte-order mark at the beginning as part of the line"
            fix = "save the file as UTF-8 without a byte-order mark"
            yield Met(f"{layout.LABEL_MAP}:1", marked, fix)
    fields = {label.line: lines[label.line].split(":") for label in facts.label_map.labels}
    # Where no line has a colour, CVAT too gives each that of its index.
    no_colors = not any(of[1].strip() for of in fields.values() if len(of) > 1)
    foreign = {label.line for label in _foreign(facts)}
    for label in facts.label_map.labels:
        of, what = fields[label.line], None
        if label.is_stand_in:
            continue
        if len(of) != _FIELDS:
            what = f"the line has {counted(len(of), 'field')}, and CVAT needs {_FIELDS}"
        elif of[0] != label.name or not (no_colors or _color(of[1]) == label.color):
            what = f"CVAT reads the name {of[0]!r} and the colour {of[1]!r}"
        elif of[2] and not all(map(str.strip, of[2].split(","))):
            what = f"CVAT makes a label of each part, and one of {of[2]!r} has no name"
        if what:
            right = _corrected(label) if label.line in foreign else label
            yield Met(_place(label), what, f"write {_line(right)!r}")


def _color(field: str) -> tuple[int, ...] | None:
    try:
        return tuple(int(value) for value in field.split(","))
    except ValueError:
        return None


@rule(
    ARCHIVE, "part-is-a-label", "parts that have the name of a label", None, ERROR, 2,
    lambda: archive(labels=LABELS.replace("car:128,0,0:", "car:128,0,0:road")),
)  # fmt: skip
def part_is_a_label(facts: ArchiveFacts) -> Iterator[Finding]:
    """CVAT makes a label of every part, and refuses two labels of one name."""
    names = {label.name for label in facts.label_map.labels}
    for label in facts.label_map.labels:
        for part in label.parts:
            if part in names:
                rest = tuple(other for other in label.parts if other not in names)
                what = f"the part {part!r} of {label.name!r} has the name of a label"
                yield Met(_place(label), what, f"write {_line(replace(label, parts=rest))!r}")
                break


@rule(
    ARCHIVE, "odd-color", "colours that are written oddly", WARNING, None, 2,
    lambda: archive(labels=LABELS.replace("car:128", "car:+128")), is_logged=True,
)  # fmt: skip
def odd_color(facts: ArchiveFacts) -> Iterator[Finding]:
    """Python, and so CVAT, reads `+255`, `2_55` and digits of other scripts as numbers. Other tools
    do not, and the line is probably a mistake."""
    for label in facts.label_map.labels:
        text = facts.label_lines.get(label.line, "") if label.has_color else ""
        fields = [f for f in text.split(":")[1:] if _color(f) == label.color]
        if not label.is_stand_in and any(map(_ODD_NUMBER.search, fields)):
            what = f"the colour of {label.name!r} is written oddly; it is read as "
            what += text_of(label.color)
            yield Met(_place(label), what, f"write {_line(label)!r}")


def _foreign(facts: ArchiveFacts) -> Iterator[Label]:
    """Yield the labels whose names look like lines of another tool: with a number, or a colour."""
    labels = [label for label in facts.label_map.labels if label.line and not label.is_stand_in]
    named = [label for label in labels if label.name.lower() != BACKGROUND]
    numbered = bool(named) and all(map(_numbered, named))
    for label in labels:
        if (numbered and label in named) or _has_color(label.name):
            yield label


def _has_color(name: str) -> bool:
    return bool(_COLOR_IN_NAME.search(name) or _COLOR_AT_BEGIN.fullmatch(name))


def _numbered(label: Label) -> bool:
    begin = _NUMBER_IN_NAME.match(label.name)
    return begin is not None and int(begin[1]) in (label.index, label.index + 1)


@rule(
    ARCHIVE, "label-name", "names that look like lines of another tool", WARNING, WARNING, 2,
    lambda: archive(labels="background:0,0,0::\ncar 128 0 0:128,0,0::\n"), is_logged=True,
)  # fmt: skip
def label_name(facts: ArchiveFacts) -> Iterator[Finding]:
    """A whole line of another tool's table, such as `car 128 0 0` or `1: car`, has become the name
    of a label. Write the name, a colon, and the colour."""
    for label in _foreign(facts):
        what = f"the name {label.name!r} looks like a line of another tool's label map"
        yield Met(_place(label), what, f"write {_line(_corrected(label))!r}")


@rule(
    ARCHIVE, "comment-line", "lines of the label map that are comments", NOTE, NOTE, 2,
    lambda: archive(labels=f"{LABELS}#1:9,9,9::\n"),
)  # fmt: skip
def comment_line(facts: ArchiveFacts) -> Iterator[Finding]:
    """A line that begins with `#` is a comment, also for CVAT, even if it looks like a label."""
    for label in facts.label_map.comments:
        what = f"the line of '#{label.name}' is a comment, also for CVAT, and not a label"
        fix = "if it should be a label, give it a name without '#' at the beginning"
        yield Met(_place(label), what, fix)


@rule(
    ARCHIVE, "label-map-name", "files that look like a label map", WARNING, WARNING, 2,
    lambda: archive(labels=None, others={"class_names.txt": "car\nroad\n"}), is_logged=True,
)  # fmt: skip
def label_map_name(facts: ArchiveFacts) -> Iterator[Finding]:
    """There is no labelmap.txt at the root of the archive, so the labels of the VOC dataset are
    used. Another file may be the label map."""
    storage = facts.storage
    if not storage.exists(layout.LABEL_MAP):
        if storage.place_above(layout.LABEL_MAP):
            what = f"this label map is one folder above the archive, so {_VOC_HOLDS}"
            fix = f"if it belongs to the archive, put it beside the folder {layout.CLASS_MASKS}"
            yield Met(f"../{layout.LABEL_MAP}", what, fix)
        for name in sorted(filter(_is_like_label_map, islice(storage.other_files(), _LOOKED_AT))):
            what = f"it is not called {layout.LABEL_MAP}, so {_VOC_HOLDS}"
            fix = f"if it is a label map, call it {layout.LABEL_MAP}, with one line 'name:r,g,b::' "
            fix += "per label"
            yield Met(name, what, fix)


def _is_like_label_map(file: str) -> bool:
    folder, _, name = file.rpartition("/")
    is_near = "/" not in folder and (name == layout.LABEL_MAP or not folder)
    return is_near and _LOOK_ALIKE.fullmatch(name) is not None


@rule(
    ARCHIVE, "no-label-map", "there is no label map", NOTE, NOTE, 2,
    lambda: archive(rgb("0770"), rgb("0110"), labels=None),
)  # fmt: skip
def no_label_map(facts: ArchiveFacts) -> Iterator[Finding]:
    """Without labelmap.txt the labels of the VOC dataset are used: aeroplane, bicycle, bird and so
    on, in VOC's colours."""
    if not facts.storage.exists(layout.LABEL_MAP):
        what = "there is no label map, so the labels of the VOC dataset are used"
        yield Met(layout.LABEL_MAP, what, "write a label map if you have other labels")


@rule(
    ARCHIVE, "background", "it is unclear which label is the background", WARNING, None, 2,
    lambda: archive(labels="void:0,0,0::\nbackground:9,9,9::\ncar:128,0,0::\n"), is_logged=True,
)  # fmt: skip
def background(facts: ArchiveFacts | LabelFacts) -> Iterator[Finding]:
    """The background is the label of that name, in upper or lower case, or else the black label.
    Here the two differ, several labels have the name, or the first line is black because it has no
    colour."""
    label_map, labels = facts.label_map, facts.label_map.labels
    named = [i for i, label in enumerate(labels) if label.name.lower() == BACKGROUND]
    black, ground = label_map.black, label_map.background
    if black is not None and ground is not None and labels[ground].color != BLACK:
        what = f"{labels[ground].name!r} is the background by its name, but CVAT "
        what += f"goes by the colour and takes {labels[black].name!r}, which is black"
        yield Met(layout.LABEL_MAP, what, "make the background black, also in the masks")
    elif len(named) > 1:
        names = ", ".join(repr(labels[i].name) for i in named)
        what, fix = f"several labels have the name of the background: {names}", "rename all but one"
        yield Met(layout.LABEL_MAP, what, fix)
    label = _black_by_chance(facts)
    if label is not None and not label.has_color:
        what = f"{label.name!r} is used as the background, because it has no colour, "
        what += "and the first line is black then"
        fix = f"if it is not the background, write 'background' into a line before {label.name!r}"
        yield Met(_place(label), what, fix)


@rule(
    ARCHIVE, "black-label", "a label is the background by its colour", NOTE, NOTE, 2,
    lambda: archive(labels="car:0,0,0::\nvan:128,0,0::\n"),
)  # fmt: skip
def black_label(facts: ArchiveFacts) -> Iterator[Finding]:
    """No label is named background, so the black label is the background, whatever its name."""
    label = _black_by_chance(facts)
    if label is not None and label.has_color:
        what = f"{label.name!r} is used as the background, because it is black and no label has "
        fix = "if it is not the background, add the line 'background:0,0,0::', and give "
        fix += f"{label.name!r} its own colour"
        yield Met(_place(label), f"{what}that name", fix)


def _black_by_chance(facts: ArchiveFacts | LabelFacts) -> Label | None:
    """Return the label that is the background though its name says otherwise, None if none is."""
    ground = facts.label_map.background
    label = None if ground is None else facts.label_map.labels[ground]
    words = set() if label is None else {*re.findall(r"[a-z]+", label.name.lower())}
    if label is None or words & _NO_LABELS or _has_color(label.name):  # which is said
        return None
    return label


@rule(
    ARCHIVE, "no-background", "no label is the background", NOTE, NOTE, 2,
    lambda: archive(rgb("11 11"), rgb("11 11"), labels="car:128,0,0::\n"),
)  # fmt: skip
def no_background(facts: ArchiveFacts) -> Iterator[Finding]:
    """No label is named background, and none is black. So black pixels have no label, and 0 in gray
    masks is the first label."""
    label_map = facts.label_map
    if label_map.labels and label_map.background is None:
        what = "no label is named background or black, so black pixels have no label, and 0 in "
        what += f"gray masks is {label_map.labels[0].name!r}"
        fix = "add the line 'background:0,0,0::' to the label map"
        yield Met(layout.LABEL_MAP, what, fix)


@rule(
    WHOLE, "dataset-meta", "a file with labels that CVAT prefers", None, ERROR, 2,
    lambda: archive(others={_META: '{"label_map": {"0": "background", "1": "dog"}}'}),
)  # fmt: skip
def dataset_meta(facts: WholeFacts) -> Iterator[Finding]:
    """CVAT uses the labels and colours of dataset_meta.json instead of those of labelmap.txt. If
    the file has no colours, each label gets the VOC colour of its number. Labels that no mask
    uses do no harm."""
    of = facts.of_archive
    if of is None or not of.storage.exists(_META):
        return
    fix = "remove the file"
    if not of.storage.exists(layout.LABEL_MAP):
        fix = f"write its labels into {layout.LABEL_MAP}, one line 'name:r,g,b::' each, and {fix}"
    try:
        found, parts = _labels_of_meta(of.storage.read(_META))
    except (ValueError, TypeError, KeyError, AttributeError, IndexError):
        what = "CVAT uses the labels of this file instead of the label map, and it cannot be read"
        yield Met(_META, what, fix)
        return
    doubled = sorted(parts & {*found})
    if doubled:
        what = f"CVAT makes a label of each part in this file, and {doubled[0]!r} is also a label"
        yield Met(_META, what, fix)
    label_map = of.label_map
    own = {label.name: label.color for label in label_map.labels}
    last = {color: name for name, color in found.items()}  # which gets the pixels of a colour
    is_same = all(last.get(own[name]) == name for name in own if name in facts.used_labels)
    ground = label_map.background
    is_same &= ground is None or label_map.labels[ground].color in last
    # In masks in colour the order does not count.
    if not is_same or (facts.ways[BY_INDEX] and [*found.items()] != [*own.items()]):
        what = "CVAT uses the labels of this file instead of the label map, and it has "
        yield Met(_META, what + _shown([*found.items()]), fix)


def _labels_of_meta(data: bytes) -> tuple[dict[str, Rgb | None], set[str]]:
    """Return the labels of the file with their colours, and all parts.

    Colours belong to the places in the mapping, whatever its keys are.
    """
    meta = json.loads(data.decode("utf-8"))
    colors = meta.get("segmentation_colors") or []
    found: dict[str, Rgb | None] = dict.fromkeys(map(str, meta.get("labels") or []))
    for at, name in enumerate((meta.get("label_map") or {}).values()):
        color = colors[at] if any(colors) else None
        found[str(name)] = tuple(color) if color is not None else found.get(str(name))
    if not any(found.values()):
        found = {name: voc_color(index) for index, name in enumerate(found)}
    parts = meta.get("parts") or {}
    return found, {str(part) for of in parts.values() for part in of}


def _shown(labels: list[tuple[str, Rgb | None]]) -> str:
    texts = [f"{name!r} {color}" for name, color in labels[:3]]
    return ", ".join(texts) + (" ..." if len(labels) > 3 else "") if texts else "no labels"
