"""What `check` prints of one or several archives: text, JSON, or annotations of GitHub.

docs/cli.md, "check", has the fields and the forms.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from itertools import groupby
from typing import Any, Protocol, TypeAlias

from ...errors import SegmaskImportError, counted, printable, shortened
from ...rules import ERROR, NOTE, RULES, WARNING, Finding
from ...storage import is_url
from .report import alike_of, files_of, first_of, pixels_of, print_report, verdict, without_notes
from .survey import Survey

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
