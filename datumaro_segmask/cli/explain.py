"""Print a section of the format's rules (docs/format.md), or explain a kind of finding by the name
that `check` prints, with an example; or all of the rules, or the list of what can be explained."""

from __future__ import annotations

import argparse
import re
import shutil
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np

from ..colors import color_to_number, pack
from ..errors import UsageError
from ..rules import RULES, Rule, write_example
from ..storage import layout
from . import OK

EPILOG = """\
examples:
  datumaro-segmask explain
  datumaro-segmask explain 2
  datumaro-segmask explain thin-objects
"""

_WIDTH = 100  # characters of a line where the output is no terminal
_NARROWEST = 8  # characters of a column
_LARGEST = 18, 40  # rows and columns of a mask that is drawn
_LINK = re.compile(r"!?\[([^]]*)\]\([^)]*\)")
_TEXTS = (".txt", ".json", ".xml")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "topic",
        nargs="?",
        metavar="TOPIC",
        help="Kind of a finding, as 'check' prints it; number of a section of the rules; or 'all' "
        "of the rules (default: list them)",
    )


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    text = shipped("docs/format.md").read_text("utf-8")
    found, topic = sections(text), options.topic
    width = min(shutil.get_terminal_size((_WIDTH, 24)).columns, 120)
    if topic is None:
        print("\n".join(f"{number}  {body.splitlines()[0]}" for number, body in found.items()))
        print("\nKinds of findings:")
        print(textwrap.fill(", ".join(RULES), width, break_on_hyphens=False))
        print("\n'datumaro-segmask explain NUMBER' or 'explain KIND' explains one of them.")
    elif topic in RULES:
        print("\n".join(_explained(RULES[topic], width)))
    elif topic == "all":
        print("\n".join(rendered(text, width)).strip())
    elif topic in found:
        print("\n".join(rendered(f"{topic}. {found[topic]}", width)).strip())
    else:
        near = get_close_matches(topic, RULES, 1)
        raise UsageError(
            "there is no such section or kind",
            topic,
            f"a number from 1 to {len(found)}, a kind that 'check' prints, or 'all'",
            f"'datumaro-segmask explain{f' {near[0]}' if near else ''}'"
            + (" may be meant" if near else " lists them"),
        )
    return OK


def sections(text: str) -> dict[str, str]:
    """Return the sections of docs/format.md by their numbers, each from its title on."""
    parts = re.split(r"^## (\d+)\. ", text, flags=re.MULTILINE)
    return {number: body.strip() for number, body in zip(parts[1::2], parts[2::2], strict=True)}


def shipped(place: str) -> Path:
    """Return a file that an installed package has beside its code, a checkout in its own place."""
    installed = Path(__file__).parent / "shipped" / Path(place).name
    return installed if installed.is_file() else Path(__file__).parents[2] / place


# A kind


def _explained(rule: Rule, width: int) -> Iterator[str]:
    yield f"{rule.kind}: {rule.title}"
    yield ""
    for who, severity in (("segmask", rule.severity), ("CVAT", rule.for_cvat)):
        yield f"  {who:8} {severity or 'no finding'}"
    explain = f"'datumaro-segmask explain {rule.section}'"
    yield f"  {'rule':8} docs/format.md, section {rule.section} ({explain})"
    yield ""
    yield textwrap.fill(_plain(" ".join(rule.text.split())), width)
    yield ""
    yield "Example:"
    with tempfile.TemporaryDirectory() as folder:
        path = write_example(rule.example(), folder)
        yield from _shown_archive(rule)
        yield ""
        yield from _findings(rule, path, width)


def _shown_archive(rule: Rule) -> Iterator[str]:
    """Show the files of an example: texts as they are, masks as digits."""
    made = rule.example()
    if isinstance(made, bytes):
        yield "  a zip that is odd itself"
        return
    for name, data in made.items():
        lines = [""]
        if name.endswith(_TEXTS):
            lines = data.decode("utf-8", "replace").splitlines()
        elif name.lower().endswith(layout.MASK_SUFFIX):
            lines = list(_drawn(data))
        yield f"  {name}"
        yield from (f"    {line}" for line in lines[: _LARGEST[0]] if line)
        if len(lines) > _LARGEST[0]:
            yield f"    ... {len(lines) - _LARGEST[0]} more lines"


def _drawn(data: bytes) -> Iterator[str]:
    """Draw a small mask: of each pixel the digit of its colour or value, a dot for nothing."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        yield "(no picture)"
        return
    values = pixels if pixels.ndim == 2 else color_to_number(pack(pixels[..., 2::-1]))
    height, width = values.shape
    if height > _LARGEST[0] or width > _LARGEST[1] or values.max() > 9:
        yield f"({width} x {height} pixels, values {', '.join(map(str, np.unique(values)[:5]))})"
        return
    for row in values:
        yield "".join(str(value) if value else "." for value in row)


def _findings(rule: Rule, path: str, width: int) -> Iterator[str]:
    from .check.survey import check  # and with it Datumaro

    for_cvat = rule.severity is None
    found = check(path, for_cvat=for_cvat).findings
    yield f"'check{' --for cvat' if for_cvat else ''}' says of it:"
    for finding in found:
        if finding.kind == rule.kind:
            fix = finding.fix.replace(path, Path(path).name)
            text = f"{finding.severity}: {finding.file}: {finding.what}. To fix it: {fix}."
            yield textwrap.fill(text, width, initial_indent="  ", subsequent_indent="    ")


# Markdown, for a terminal


def rendered(text: str, width: int) -> Iterator[str]:
    """Yield the lines of a page of Markdown as a terminal of this width shows them."""
    for is_blank, lines in groupby(_laid_out(text, width), lambda line: not line):
        yield from [""] if is_blank else lines


def _laid_out(text: str, width: int) -> Iterator[str]:
    in_code = False
    for is_table, group in groupby(text.splitlines(), lambda line: line.startswith("|")):
        lines = list(group)
        if is_table and not in_code:
            yield from _table([_cells(line) for line in lines if set(line) - set("|-: ")], width)
            continue
        paragraph: list[str] = []
        for line in [*lines, ""]:
            if in_code or line.startswith(("```", "    ", "#", "* ", "![")) or not line.strip():
                yield from _filled(paragraph, width)
                paragraph = []
            if line.startswith("```"):
                in_code = not in_code
            elif in_code or line.startswith("    "):
                yield line
            elif line.startswith("!["):
                continue
            elif line.strip():
                paragraph.append(_plain(line.lstrip("#").strip()))
            else:
                yield ""


def _filled(paragraph: Sequence[str], width: int) -> Iterator[str]:
    if paragraph:
        yield textwrap.fill(" ".join(paragraph), width, break_long_words=False)


def _plain(text: str) -> str:
    return _LINK.sub(r"\1", text).replace("`", "").replace("**", "").replace("\\|", "|")


def _cells(line: str) -> list[str]:
    return [_plain(cell.strip()) for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def _table(rows: list[list[str]], width: int) -> Iterator[str]:
    """Lay out a table in columns that fit, with a rule below its head."""
    columns = [[row[i] if i < len(row) else "" for row in rows] for i in range(len(rows[0]))]
    widths = [max(map(len, column)) for column in columns]
    room = width - 2 * (len(widths) - 1)
    while sum(widths) > room and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    for number, row in enumerate(zip(*columns, strict=True)):
        cells = [textwrap.wrap(c, w) or [""] for c, w in zip(row, widths, strict=True)]
        for i in range(max(map(len, cells))):
            parts = [cell[i] if i < len(cell) else "" for cell in cells]
            yield "  ".join(p.ljust(w) for p, w in zip(parts, widths, strict=True)).rstrip()
        if number == 0:
            yield "  ".join("-" * w for w in widths)
