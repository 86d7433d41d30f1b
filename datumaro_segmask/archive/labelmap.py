"""``labelmap.txt`` and the labels it declares (docs/format.md, section 2).

Works on strings; `lists` reads the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property

from ..colors import BLACK, COLORS, VOID, Rgb, text_of, voc_color
from ..errors import LabelMapError, Report, counted, stop
from ..storage import LABEL_MAP

BACKGROUND = "background"
VOC_LABELS = (
    *(BACKGROUND, "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair"),
    *("cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
"""The labels of the VOC dataset but for ``ignored``; a test holds them against Datumaro's."""
_OF_VOID = ("ignored", "ignore", "void", "border", "unlabeled", "unlabelled", "unknown")
MAX_LABELS = 1 << 16  # as many values as a 16-bit gray mask has

MAX_LINE = 1 << 16  # characters; parts and actions are lists
_MAX_LINES = 1 << 20
_SHOWN = 80  # characters of a line in messages

_NUMBER = r"[-+]?\d+(?:_\d+)*"  # what Python, and so CVAT, takes for a number
_COLOR_SHAPE = re.compile(rf"{_NUMBER}\s*,\s*{_NUMBER}\s*,\s*{_NUMBER}")
_COLOR_FIELD = re.compile(rf":\s*{_COLOR_SHAPE.pattern}\s*(?=:|\s#|$)")
_LABEL_IN_COMMENT = re.compile(rf"#[^\s#:][^:]*:\s*{_COLOR_SHAPE.pattern}\s*(:.*)?")
_INTEGER = re.compile(r"\+?\d+(_\d+)*")
_MAX_DIGITS = 9
_COMMENT = re.compile(r"\s#")
_COMMENT_IN_NAME = re.compile(r"\s#(?=\s|$)")
_REMEDY_COLOR = "write the colour as three whole numbers, as in 'car:128,0,0::'"


@dataclass(frozen=True)
class Label:
    """One line of the label map.

    ``index`` is its value in gray class masks: the index of its line, but for the label
    ``ignored`` of the VOC dataset, which has 255. ``is_stand_in`` marks what keeps the place of a
    line that could not be read, so that the indices of the others stay what they are. ``line`` is
    the number of the line in the file, from 1, or 0; without ``has_color`` none is written there.
    """

    name: str
    color: Rgb
    index: int
    parts: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    is_stand_in: bool = False
    has_color: bool = field(default=True, compare=False)
    line: int = field(default=0, compare=False)

    @property
    def as_line(self) -> str:
        """The line of the label map that declares it, as CVAT writes it."""
        fields = self.name, text_of(self.color), ",".join(self.parts), ",".join(self.actions)
        return ":".join(fields)

    @property
    def is_void(self) -> bool:
        """Whether it is VOC's void, as ``ignored``: by its colour, and by a name that says so."""
        return self.color == VOID and self.name.lower() in _OF_VOID


@dataclass(frozen=True)
class LabelMap:
    """The labels of an archive, in the order of the file; names are unique, colours need not be.

    There are none if the label map could not be read, which was reported. ``comments``: lines that
    would be labels without the ``#`` before them. ``elsewhere``: a file that seems to be the label
    map of an archive without one.
    """

    labels: tuple[Label, ...]
    where: str = LABEL_MAP
    comments: tuple[Label, ...] = field(default=(), compare=False)
    elsewhere: str | None = field(default=None, compare=False)

    @cached_property
    def background(self) -> int | None:
        """Position of the background label, if there is one.

        It is the label named ``background``, exactly or else in any case, or else the black
        one. CVAT's documentation says so; its code looks for black first, which
        the rule `background` tells. Source: docs/format.md, section 2.
        """
        named = find_background([label.name for label in self.labels])
        return self.black if named is None else named

    @property
    def black(self) -> int | None:
        """Position of the black label, if there is one."""
        return next((i for i, label in enumerate(self.labels) if label.color == BLACK), None)

    def position(self, name: str) -> int | None:
        """Return the position of a label by its exact name."""
        return self._positions.get(name)

    def is_like(self, other: LabelMap) -> bool:
        """Return whether Datumaro sees the same in both: no parts, and actions in no order."""
        return [_seen(label) for label in self.labels] == [_seen(label) for label in other.labels]

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {label.name: i for i, label in enumerate(self.labels)}


def _seen(label: Label) -> tuple[object, ...]:
    return label.name, label.color, label.index, frozenset(label.actions)


def find_background(names: Sequence[str]) -> int | None:
    """Return the position of the name ``background``, exactly or else in any case."""
    if BACKGROUND in names:
        return names.index(BACKGROUND)
    return next((i for i, name in enumerate(names) if name.lower() == BACKGROUND), None)


def voc_label_map() -> LabelMap:
    """Return the labels of the VOC dataset, which are used if an archive has no label map."""
    labels = [Label(name, voc_color(index), index) for index, name in enumerate(VOC_LABELS)]
    ignored = Label("ignored", VOID, 255)
    return LabelMap((*labels, ignored), "the VOC label map (there is no labelmap.txt)")


def make_label_map(lines: Iterable[Label], where: str, report: Report = stop) -> LabelMap:
    """Return a checked `LabelMap` of labels.

    A name that is there twice goes to ``report``, as LabelMapError. No or too many labels raise it.
    """
    by_name: dict[str, int] = {}
    labels: list[Label] = []
    for label in lines:
        if len(labels) == MAX_LABELS:
            raise LabelMapError(
                f"the file declares {counted(MAX_LABELS + 1, 'label')} or more",
                where,
                f"at most {MAX_LABELS:,}, as many as a gray mask has values",
                "split the label map",
            )
        first = by_name.setdefault(label.name, label.line)
        if first == label.line:
            labels.append(label)
            continue
        report(
            LabelMapError(
                f"the label {label.name[:_SHOWN]!r} is there twice",
                f"{where}:{label.line}",
                f"each label once (the first is in line {first})",
                "remove or rename one of them",
            )
        )
        labels.append(_stand_in(label.line, label.index))
    if not labels:
        raise LabelMapError(
            "the file declares no label",
            where,
            "one line 'name:r,g,b::' for each label",
            "write the labels into it, or remove the file if the VOC labels are meant",
        )
    return LabelMap(tuple(labels), where)


def _stand_in(line: int, index: int) -> Label:
    # A colour that hardly any mask has: the last ones of VOC's.
    return Label(f"(line {line})", voc_color(COLORS - 1 - line), index, is_stand_in=True, line=line)


def parse_label_map(text: str, where: str, report: Report = stop) -> LabelMap:
    """Parse the text of a label map.

    It accepts what people write: a byte-order mark, CRLF, blank and comment lines, trailing
    `` # comments``, spaces around fields, one to four fields, no colour (which becomes the VOC
    colour of the line's index), colons in names. A wrong line goes to ``report`` as a
    LabelMapError, and keeps its place. A file without labels raises LabelMapError. Source:
    docs/format.md, section 2.
    """
    comments: list[Label] = []
    found = make_label_map(_parse_lines(text, where, report, comments.append), where, report)
    return replace(found, comments=tuple(comments))


def lines_of(text: str) -> list[str]:
    """Return the lines of a label map, from Windows and old Macs too, without byte-order mark."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _parse_lines(
    text: str, where: str, report: Report, comment: Callable[[Label], None]
) -> Iterator[Label]:
    """Yield the labels; ``comment`` gets those of lines that are comments, of some of them."""
    if text.count("\n") > _MAX_LINES:
        raise LabelMapError(
            f"the file has more than {_MAX_LINES:,} lines",
            where,
            f"one label per line, at most {MAX_LABELS:,}",
            "check that this file is a label map",
        )
    index, comments = 0, 0
    for number, raw in enumerate(lines_of(text), 1):
        if not raw or raw.isspace():
            continue
        try:
            label = _parse_line(raw, index, f"{where}:{number}")
        except LabelMapError as error:
            report(error)
            label = _stand_in(number, index)
        if label is not None:
            index += 1
            yield replace(label, line=number)
        elif _LABEL_IN_COMMENT.fullmatch(raw.strip()) and comments < MAX_LABELS:
            with suppress(LabelMapError):
                label = _parse_line(raw.strip().lstrip("#"), index, where)
                if label is not None:
                    comments += 1
                    comment(replace(label, line=number))


def _without_comment(line: str) -> str:
    """Cut off a trailing comment, which begins with ``#`` after white space.

    Names hold such, too ("lot #5"). So it is looked for behind the colour; in the name of a line
    without colour it must also have white space behind it.
    """
    color = _COLOR_FIELD.search(line)
    name_end = color.end() if color else line.find(":") + 1 or len(line)
    comment = _COMMENT.search(line, name_end)
    if not color:
        comment = _COMMENT_IN_NAME.search(line, 0, name_end) or comment
    return line[: comment.start()] if comment else line


def _parse_line(raw: str, index: int, where: str) -> Label | None:
    """Return the label of a line, None for a blank line or a comment."""
    if len(raw) > MAX_LINE:
        raise LabelMapError(
            f"the line has {len(raw):,} characters",
            where,
            f"one label per line, of at most {MAX_LINE:,} characters",
            "check that this file is a label map",
        )
    line = _without_comment(raw.strip()).strip()
    if not line or line.startswith("#"):
        return None
    parts = line.split(":")
    fields = [part.strip() for part in parts]
    at = _color_field(fields)
    name = ":".join(parts[:at]).strip()
    if not name:
        raise LabelMapError(
            f"the line {line[:_SHOWN]!r} has no label name",
            where,
            "'name:r,g,b:parts:actions'",
            "write the name before the first colon",
        )
    rest = fields[at:] + [""] * 3
    color = _parse_color(rest[0], where) if rest[0] else voc_color(index)
    texts = _split(rest[1]), _split(rest[2])
    return Label(name, color, index, *texts, has_color=bool(rest[0]))


def _color_field(fields: Sequence[str]) -> int:
    """Return where the colour stands: as far right as four fields allow, for names have colons.

    Further left it is the colour if more than two fields follow, but those past four are empty.
    """
    usual = [len(fields) - back for back in (3, 2, 1) if back < len(fields)]
    further = [at for at in range(len(fields) - 4, 0, -1) if not any(fields[at + 3 :])]
    numbers = (at for at in (*usual, *further) if _COLOR_SHAPE.fullmatch(fields[at]))
    return next(numbers, usual[0] if usual else 1)


def _parse_color(field: str, where: str) -> Rgb:
    values = [value.strip() for value in field.split(",")]
    if len(values) != 3 or not all(_is_integer(value) for value in values):
        raise LabelMapError(
            f"{field[:_SHOWN]!r} is not a colour",
            where,
            "three whole numbers from 0 to 255, 'r,g,b'",
            _REMEDY_COLOR,
        )
    red, green, blue = (int(value) for value in values)
    if max(red, green, blue) > 255:
        raise LabelMapError(
            f"the colour {field!r} has a value past 255",
            where,
            "three whole numbers from 0 to 255",
            _REMEDY_COLOR,
        )
    return red, green, blue


def _is_integer(text: str) -> bool:
    return len(text) <= _MAX_DIGITS and _INTEGER.fullmatch(text) is not None


def _split(field: str) -> tuple[str, ...]:
    return tuple(part for part in (part.strip() for part in field.split(",")) if part)


def shared_colors(label_map: LabelMap) -> Iterator[tuple[Label, Label]]:
    """Yield each label that has the colour of an earlier one, after the last earlier one.

    CVAT lets annotators choose such colours, and gives the pixels to the last label of a colour.
    """
    last: dict[Rgb, Label] = {}
    for label in label_map.labels:
        if label.color in last:
            yield last[label.color], label
        last[label.color] = label


def with_own_colors(labels: Iterable[Label], where: str) -> LabelMap:
    """Return labels as a label map in which masks in colour can tell them apart.

    The first label of a colour keeps it, the others get a free one. Black belongs to the
    background: a label of that name chooses first, and no other label gets black.
    """
    found = [*labels]
    background = find_background([label.name for label in found])
    taken = {BLACK, *(label.color for label in found)}
    free = free_colors(taken)
    seen = set() if background is None else {found[background].color}
    colors = []
    for i, label in enumerate(found):
        colors.append(next(free) if label.color in seen and i != background else label.color)
        seen.add(colors[-1])
    return LabelMap(
        tuple(
            replace(label, color=color, index=i)
            for i, (label, color) in enumerate(zip(found, colors, strict=True))
        ),
        where,
    )


def free_colors(taken: Collection[Rgb]) -> Iterator[Rgb]:
    """Yield the colours of VOC, in their order, that are not ``taken``."""
    return (color for color in map(voc_color, range(COLORS)) if color not in taken)


def join_label_maps(label_maps: Sequence[LabelMap]) -> LabelMap:
    """Return the labels of all maps in their order, each with a free colour."""
    if len({label_map.labels for label_map in label_maps}) == 1:
        return label_maps[0]
    labels: dict[str, Label] = {}
    for label_map in label_maps:
        for label in label_map.labels:
            labels.setdefault(label.name, label)
    return with_own_colors(labels.values(), "the labels of all archives")
