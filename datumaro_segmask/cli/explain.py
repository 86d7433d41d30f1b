"""Explain a kind of finding, by the name that `check` prints, with an example (docs/kinds.md); or
print one section of the rules of the format (docs/format.md), or all of them. Without a topic, list
what can be explained."""

from __future__ import annotations

import argparse
import re
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from itertools import groupby
from pathlib import Path

from ..errors import UsageError
from . import OK

EPILOG = """\
examples:
  datumaro-segmask explain
  datumaro-segmask explain 2
  datumaro-segmask explain thin-objects
"""

_WIDTH = 100  # characters of a line where the output is no terminal
_NARROWEST = 8  # characters of a column
_LINK = re.compile(r"!?\[([^]]*)\]\([^)]*\)")


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
    rules = shipped("docs/format.md").read_text("utf-8")
    kinds = _kinds(shipped("docs/kinds.md").read_text("utf-8"))
    found, topic = sections(rules), options.topic
    width = min(shutil.get_terminal_size((_WIDTH, 24)).columns, 120)
    if topic is None:
        print("\n".join(f"{number}  {body.splitlines()[0]}" for number, body in found.items()))
        print("\nKinds of findings:")
        print(textwrap.fill(", ".join(kinds), width, break_on_hyphens=False))
        print("\n'datumaro-segmask explain NUMBER' or 'explain KIND' explains one of them.")
        return OK
    texts = {**{number: f"{number}. {body}" for number, body in found.items()}, **kinds}
    text = rules if topic == "all" else texts.get(topic)
    if text is None:
        near = get_close_matches(topic, kinds, 1)
        raise UsageError(
            "there is no such section or kind",
            topic,
            f"a number from 1 to {len(found)}, a kind that 'check' prints, or 'all'",
            f"'datumaro-segmask explain{f' {near[0]}' if near else ''}'"
            + (" may be meant" if near else " lists them"),
        )
    print("\n".join(rendered(text, width)).strip())
    return OK


def sections(text: str) -> dict[str, str]:
    """Return the sections of docs/format.md by their numbers, each from its title on."""
    parts = re.split(r"^## (\d+)\. ", text, flags=re.MULTILINE)
    return {number: body.strip() for number, body in zip(parts[1::2], parts[2::2], strict=True)}


def _kinds(text: str) -> dict[str, str]:
    """Return the sections of docs/kinds.md by their titles, which they begin with."""
    parts = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    return {body.split("\n", 1)[0]: body.strip() for body in parts}


def shipped(place: str) -> Path:
    """Return a file that an installed package has beside its code, a checkout in its own place."""
    installed = Path(__file__).parent / "shipped" / Path(place).name
    return installed if installed.is_file() else Path(__file__).parents[2] / place


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
