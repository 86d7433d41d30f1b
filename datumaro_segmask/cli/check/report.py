"""What `check` prints of one or several archives: text to act on, JSON, annotations of GitHub.

docs/cli.md, "check", has the fields and the forms.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from itertools import groupby
from typing import Any, Protocol, TypeAlias

from ...archive import BACKGROUND
from ...errors import SegmaskImportError, counted, printable, shortened
from ...progress import is_dumb
from ...rules import ERROR, NOTE, RULES, WARNING, Finding
from ...storage import is_url
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
            verdict = "this archive cannot be read as it is"
    return f"{verdict} ({found or 'no findings'})"


def _colored(severity: str) -> str:
    if not sys.stdout.isatty() or is_dumb() or os.environ.get("NO_COLOR"):
        return severity
    return f"\033[{_COLORS[severity]}m{severity}\033[0m"


# The archives of one run


Outcome: TypeAlias = Survey | SegmaskImportError
"""What is known of an archive: the survey, or why it cannot be opened."""


class Output(Protocol):
    """Takes the archives of one run, one after the other, and then the exit status."""

    def add(self, path: str, status: int, outcome: Outcome) -> None: ...

    def end(self, status: int) -> None: ...


class AsText:
    """A report of each archive, and of several a line at the end."""

    def __init__(self, archives: int, shown: int) -> None:
        self._is_one, self._shown, self._tally = archives == 1, shown, _Tally()

    def add(self, path: str, status: int, outcome: Outcome) -> None:
        """Print the report; raise the error of an archive that is the only one."""
        self._tally.add(path, outcome)
        if isinstance(outcome, Survey):
            print_report(path, outcome, self._shown, self._is_one)
            print(end="" if self._is_one else "\n")
        elif self._is_one:
            raise outcome
        else:
            sys.stdout.flush()  # so that the two come in their order
            print(f"error: {outcome}\n", file=sys.stderr)

    def end(self, status: int) -> None:
        """Print the line."""
        if not self._is_one:
            print(self._tally.line(self._shown))


class AsJson:
    """An object of the one archive, or one that lists those of several; its fields stay."""

    def __init__(self, archives: int, shown: int) -> None:
        self._is_one, self._reports = archives == 1, list[dict[str, Any]]()

    def add(self, path: str, status: int, outcome: Outcome) -> None:
        """Keep the object of an archive."""
        report = _with_survey(outcome) if isinstance(outcome, Survey) else _with_error(outcome)
        self._reports.append({"path": path, "status": status, **report})

    def end(self, status: int) -> None:
        """Print all."""
        whole = {"status": status, "archives": self._reports}
        json.dump(self._reports[0] if self._is_one else whole, sys.stdout, indent=1)
        print()


def _with_survey(survey: Survey) -> dict[str, Any]:
    return {
        "for": "cvat" if survey.for_cvat else "segmask",
        "totals": survey.totals(),
        "findings": [
            {**_shortened(asdict(finding)), "section": RULES[finding.kind].section}
            for finding in survey.findings
        ],
        "subsets": {name: asdict(count) for name, count in survey.subsets.items()},
        "labels": survey.labels,
    }


def _with_error(error: SegmaskImportError) -> dict[str, Any]:
    return {"error": _shortened({"file": error.where, "what": error.what, "fix": error.remedy})}


def _shortened(values: dict[str, Any]) -> dict[str, Any]:
    return {k: shortened(v) if isinstance(v, str) else v for k, v in values.items()}


class AsAnnotations:
    """Commands of GitHub's workflows, which show them beside the files."""

    def __init__(self, archives: int, shown: int) -> None:
        self._shown, self._tally = shown, _Tally()

    def add(self, path: str, status: int, outcome: Outcome) -> None:
        """Print an annotation for each finding that says something new."""
        self._tally.add(path, outcome)
        if not isinstance(outcome, Survey):
            title = f"this archive cannot be opened [{outcome.kind}]"
            print(_annotation(ERROR, path, "", title, str(outcome)))
            return
        survey = without_notes(outcome, self._shown)
        for _, group in groupby(survey.findings, key=lambda finding: finding.kind):
            for findings in list(alike_of(group).values())[: self._shown]:
                print(self._annotated(path, outcome.root, findings))
        print(f"{printable(path)}: {verdict(outcome)}")

    def _annotated(self, path: str, root: str, findings: list[Finding]) -> str:
        first, line = findings[0], ""
        if os.path.isdir(root):
            place, _, line = first.file.partition(":")
            path = os.path.join(root, place)
        what = f"{files_of(findings, self._shown)}: {first.what}{pixels_of(findings)}."
        title = f"{RULES[first.kind].title} [{first.kind}]"
        return _annotation(first.severity, path, line, title, f"{what} To fix it: {first.fix}.")

    def end(self, status: int) -> None:
        """Print the line at the end."""
        print(self._tally.line(self._shown))


def _annotation(severity: str, file: str, line: str, title: str, text: str) -> str:
    if not is_url(file):
        file = os.path.relpath(file).replace(os.sep, "/")
    fields = {"file": file, "line": line, "title": title}
    values = ",".join(f"{n}={_escaped(value, ':,')}" for n, value in fields.items() if value)
    command = {ERROR: "error", WARNING: "warning", NOTE: "notice"}[severity]
    return f"::{command} {values}::{_escaped(printable(text))}"


def _escaped(text: str, more: str = "") -> str:
    return "".join(f"%{ord(c):02X}" if c in f"%\r\n{more}" else c for c in text)


FORMATS: dict[str, Callable[[int, int], Output]] = {
    "text": AsText,
    "json": AsJson,
    "github": AsAnnotations,
}


_SOUND, _UNREAD = "without errors and warnings", "cannot be opened"
_SORTS = {ERROR: "with errors", WARNING: "with warnings"}


class _Tally:
    """What the archives of one run are like, for the line at the end."""

    def __init__(self) -> None:
        self._paths: dict[str, list[str]] = {
            sort: [] for sort in (_SOUND, _SORTS[WARNING], _SORTS[ERROR], _UNREAD)
        }

    def add(self, path: str, outcome: Outcome) -> None:
        sort = _UNREAD
        if isinstance(outcome, Survey):
            totals = outcome.totals()
            sort = next((sort for severity, sort in _SORTS.items() if totals[severity]), _SOUND)
        self._paths[sort].append(path)

    def line(self, shown: int) -> str:
        """Return the line; it names the first few archives of those that need work."""
        parts = []
        for sort, paths in self._paths.items():
            names = "" if sort == _SOUND else f" ({first_of(paths, shown)})"
            if paths:
                parts.append(f"{len(paths):,} {sort}{names}")
        return f"{counted(sum(map(len, self._paths.values())), 'archive')}: {', '.join(parts)}"
