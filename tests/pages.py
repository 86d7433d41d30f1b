"""What pages have from the code: ``python -m tests.pages`` writes it, and a test compares it."""

from __future__ import annotations

import re
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path

import cv2
import numpy as np

from datumaro_segmask.cli.check.survey import check
from datumaro_segmask.cli.explain import sections
from datumaro_segmask.colors import color_to_number, pack
from datumaro_segmask.options import EXPORTS, IMPORTS, Option, options_of
from datumaro_segmask.rules import RULES, Rule, write_example
from datumaro_segmask.storage import layout

DOCS = Path(__file__).parents[1] / "docs"

# The table of kinds in docs/cli.md

_HEAD = "| Kind | segmask | CVAT | Section | Found |"


def with_table_of_kinds(page: str) -> str:
    """Return docs/cli.md with the table as the rules have it."""
    rows = [
        f"| `{rule.kind}` | {rule.severity or '–'} | {rule.for_cvat or '–'} | {rule.section} | "
        f"{rule.title} |"
        for rule in RULES.values()
    ]
    return with_table(page, _HEAD, [_HEAD, "|---|---|---|---|---|", *rows])


def with_table(page: str, head: str, table: list[str]) -> str:
    """Return a page with another table in the place of the one that begins with ``head``."""
    lines = page.split("\n")
    first = lines.index(head)
    old = list(takewhile(lambda line: line.startswith("|"), lines[first:]))
    lines[first : first + len(old)] = table
    return "\n".join(lines)


# docs/kinds.md

_KINDS = """\
# Kinds of findings

Each kind of finding that [`check`](cli.md#check) prints, with an example; `datumaro-segmask explain
KIND` prints one of these sections. In the masks of the examples each character is a pixel: a digit
is the number of a label or an instance, and a dot is nothing.
"""

_LARGEST = 18, 40  # rows and columns of a mask that is drawn
_TEXTS = (".txt", ".json", ".xml")
_WIDTH = 100


def page_of_kinds(_: str) -> str:
    """Return docs/kinds.md: each rule with its example, and what `check` says of that."""
    titles = sections((DOCS / "format.md").read_text("utf-8"))
    anchors = {
        int(number): f"{number}-{body.splitlines()[0].lower().replace(' ', '-')}"
        for number, body in titles.items()
    }
    kinds = ("\n".join(_section(rule, anchors[rule.section])) for rule in RULES.values())
    return "\n".join([_KINDS, *kinds])


def _section(rule: Rule, anchor: str) -> Iterator[str]:
    yield f"## {rule.kind}\n"
    yield f"{rule.title[0].upper()}{rule.title[1:]}.\n"
    place = f"[format.md, section {rule.section}](format.md#{anchor})"
    yield "| segmask | CVAT | Rule |"
    yield "|---|---|---|"
    graded = (severity or "no finding" for severity in (rule.severity, rule.for_cvat))
    yield f"| {' | '.join(graded)} | {place}: `datumaro-segmask explain {rule.section}` |\n"
    yield f"{' '.join(rule.text.split())}\n"
    yield "Example:\n"
    yield from ("```text", *_shown_archive(rule), "```", "")
    for_cvat = rule.severity is None
    yield f"`check{' --for cvat' if for_cvat else ''}` says of it:\n"
    yield from ("```text", *_findings(rule, for_cvat), "```", "")


def _shown_archive(rule: Rule) -> Iterator[str]:
    """Show the files of an example: texts as they are, masks as digits."""
    made = rule.example()
    if isinstance(made, bytes):
        yield "a zip that is odd itself"
        return
    for name, data in made.items():
        lines = [""]
        if name.endswith(_TEXTS):
            lines = data.decode("utf-8", "replace").splitlines()
        elif name.lower().endswith(layout.MASK_SUFFIX):
            lines = list(_drawn(data))
        yield name
        yield from (f"  {line}" for line in lines[: _LARGEST[0]] if line)
        if len(lines) > _LARGEST[0]:
            yield f"  ... {len(lines) - _LARGEST[0]} more lines"


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


def _findings(rule: Rule, for_cvat: bool) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        path = write_example(rule.example(), folder)
        found = check(path, for_cvat=for_cvat).findings
    for finding in found:
        if finding.kind == rule.kind:
            fix = finding.fix.replace(path, Path(path).name)
            text = f"{finding.severity}: {finding.file}: {finding.what}. To fix it: {fix}."
            yield from textwrap.wrap(
                text, _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
            )


# The tables of options in docs/options.md


def with_tables_of_options(page: str) -> str:
    """Return docs/options.md with its tables as the options are declared."""
    all_of = [(f"Import of `{name}`", declared) for name, declared in IMPORTS.items()]
    all_of += [(f"Export to `{name}`", declared) for name, declared in EXPORTS.items()]
    for title, declared in all_of:
        head = f"| {title} | Default | |"
        rows = (f"| `{o.name}` | {_default(o)} | {_about(o)} |" for o in options_of(declared))
        page = with_table(page, head, [head, "|---|---|---|", *rows])
    return page


def _default(option: Option) -> str:
    if not option.default or option.kind is not str:
        return option.shown_default
    return f"`{option.default}`"


def _about(option: Option) -> str:
    """Return the text of an option, with what is typed as code."""
    text = re.sub(r"(?<!\w)'([^']+)'(?!\w)", r"`\1`", option.text)
    if option.choices:
        meanings = (f"`{v}`{what and f' ({what})'}" for v, what in option.choices.items())
        text += f": {' or '.join(meanings)}"
    return text


PAGES: dict[str, Callable[[str], str]] = {
    "cli.md": with_table_of_kinds,
    "kinds.md": page_of_kinds,
    "options.md": with_tables_of_options,
}
"""Pages, and what gives each of them its text anew."""

if __name__ == "__main__":
    for name, renewed in PAGES.items():
        path = DOCS / name
        path.write_text(renewed(path.read_text("utf-8") if path.exists() else ""), "utf-8")
