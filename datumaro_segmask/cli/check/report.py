"""The report of `check` on one archive, as text to act on."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby

from ...archive import BACKGROUND
from ...errors import counted, printable
from ...progress import is_dumb
from ...rules import ERROR, NOTE, RULES, WARNING, Finding
from .survey import NO_LABEL, SubsetCount, Survey

_COLORS = {ERROR: "1;31", WARNING: "1;33", NOTE: "1;36"}
FIRST = 10
"""Findings of a kind that are shown, unless all are."""
_FILES = 3  # named for one and the same fault
_WIDEST = 80  # characters of a column


def print_report(path: str, survey: Survey, shown: int, is_one: bool) -> None:
    """Print the report; of each kind of findings the first ``shown``.

    Of one archive among several, only what needs work is printed, and no counts by label.
    """
    items = sum(count.items for count in survey.subsets.values())
    print(
        f"{printable(path)}: {counted(items, 'item')} in {counted(len(survey.subsets), 'subset')}, "
        f"{counted(len(survey.labels), 'label')}\n"
    )
    print_findings(survey if is_one else without_notes(survey, shown), shown)
    if is_one:
        print("\n".join([*_lines_of_counts(survey), ""]))
    print(verdict(survey))


def without_notes(survey: Survey, shown: int) -> Survey:
    """Return what needs work; all, if all findings are ``shown``."""
    grave = [finding for finding in survey.findings if finding.severity != NOTE]
    return survey if shown > FIRST else replace(survey, findings=grave)


def print_findings(survey: Survey, shown: int) -> None:
    """Print the findings alone, by kind."""
    for kind, group in groupby(survey.findings, key=lambda finding: finding.kind):
        for line in _lines_of_kind(kind, list(group), shown):
            print(line)
        print()


def _lines_of_kind(kind: str, findings: list[Finding], shown: int) -> Iterator[str]:
    severity = findings[0].severity
    pixels = [finding.pixels for finding in findings if finding.pixels is not None]
    total = f" ({counted(sum(pixels), 'pixel')})" if pixels else ""
    more = f"'datumaro-segmask explain {kind}'"
    yield f"{_colored(severity)}: {RULES[kind].title}{total} [{kind}; {more}]"
    alike = alike_of(findings)
    fixes = {fix for _, fix in alike}
    for (what, fix), group in list(alike.items())[:shown]:
        yield f"  {files_of(group, shown)}: {printable(what)}{pixels_of(group)}"
        if len(fixes) > 1:
            yield f"    to fix it: {printable(fix)}"
    if len(alike) > shown:
        yield f"  ... and {len(alike) - shown:,} more; --all shows them"
    if len(fixes) == 1:
        yield f"  to fix it: {printable(findings[0].fix)}"


def alike_of(findings: Iterable[Finding]) -> dict[tuple[str, str], list[Finding]]:
    """Return findings by what they say."""
    alike: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        alike.setdefault((finding.what, finding.fix), []).append(finding)
    return alike


def files_of(findings: list[Finding], shown: int) -> str:
    """Return the files of findings, the first few by name."""
    return first_of(list(dict.fromkeys(finding.file for finding in findings)), shown)


def first_of(names: list[str], shown: int) -> str:
    """Return the first few of some names; all of them if all findings are ``shown``."""
    limit = max(_FILES, shown) if shown > FIRST else _FILES
    text = ", ".join(map(printable, names[:limit]))
    return text if len(names) <= limit else f"{text} and {len(names) - limit:,} more"


def pixels_of(findings: list[Finding]) -> str:
    """Return how many pixels findings are about, as the end of a line."""
    pixels = [finding.pixels for finding in findings if finding.pixels is not None]
    return f" - {counted(sum(pixels), 'pixel')}" if pixels else ""


def _lines_of_counts(survey: Survey) -> Iterator[str]:
    used: set[str] = set()
    for name, count in survey.subsets.items():
        yield _subset_line(name, count)
        used |= count.labels.keys()
        order = [label for label in (*survey.labels, NO_LABEL) if label in count.labels]
        rows = [("label", "instances", "items", "pixels")]
        for label in order:
            of = count.labels[label]
            cells = f"{of.instances:,}", f"{of.items:,}", f"{of.pixels:,}"
            rows.append((printable(label), *cells))
        widths = [min(_WIDEST, max(map(len, column))) for column in zip(*rows, strict=True)]
        for row in rows if len(rows) > 1 else []:
            numbers = "  ".join(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))
            yield f"  {row[0].ljust(widths[0])}  {numbers}"
    used.add(BACKGROUND)  # which never has any
    unused = ", ".join(label for label in survey.labels if label not in used)
    if unused:
        yield f"labels without pixels: {printable(unused)}"


def _subset_line(name: str, count: SubsetCount) -> str:
    broken = f", {count.broken:,} cannot be read" if count.broken else ""
    return (
        f"subset {printable(name)}: {counted(count.items, 'item')}, {count.annotated:,} with "
        f"annotations, {count.images:,} with an image{broken}"
    )


def verdict(survey: Survey) -> str:
    """Return the report in one line."""
    totals = survey.totals()
    found = ", ".join(counted(number, severity) for severity, number in totals.items() if number)
    if survey.for_cvat:
        verdict = "CVAT takes this archive as it is"
        if totals[WARNING]:
            verdict = "CVAT takes this archive, but not as it is"
        if totals[ERROR]:
            verdict = "CVAT refuses this archive"
    else:
        verdict = "this archive is sound"
        if totals[WARNING]:
            verdict = "this archive can be read, but look at the warnings"
        if totals[ERROR]:
            verdict = "this archive cannot be read as it stands"
    return f"{verdict} ({found or 'no findings'})"


def _colored(severity: str) -> str:
    if not sys.stdout.isatty() or is_dumb() or os.environ.get("NO_COLOR"):
        return severity
    return f"\033[{_COLORS[severity]}m{severity}\033[0m"
