"""Print the table of kinds, or write it anew into a page that has one: ``docs/cli.md``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from .table import RULES

HEAD = "| Kind | segmask | CVAT | Section | Found |"


def table_of_kinds() -> list[str]:
    """Return the lines of the table in docs/cli.md."""
    rows = [
        f"| `{rule.kind}` | {rule.severity or '–'} | {rule.for_cvat or '–'} | {rule.section} | "
        f"{rule.title} |"
        for rule in RULES.values()
    ]
    return [HEAD, "|---|---|---|---|---|", *rows]


def main(paths: Sequence[str]) -> None:
    """Print the table, or put it in the place of that of each page."""
    table = "\n".join(table_of_kinds())
    if not paths:
        print(table)
    for path in map(Path, paths):
        lines = path.read_text("utf-8").split("\n")
        first = lines.index(HEAD)
        old = list(takewhile(lambda line: line.startswith("|"), lines[first:]))
        lines[first : first + len(old)] = [table]
        path.write_text("\n".join(lines), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
