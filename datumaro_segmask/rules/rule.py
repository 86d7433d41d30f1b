"""What a rule is: how grave a finding of it is, what it says, an example, and what finds it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

ERROR, WARNING, NOTE = SEVERITIES = ("error", "warning", "note")

READER, ARCHIVE, ITEM, WHOLE = "reader", "archive", "item", "whole"
"""What a rule looks at: nothing, as whoever reads raises it, or one of the classes of `facts`."""

Files: TypeAlias = Mapping[str, bytes]
Example: TypeAlias = Callable[[], Files | bytes]
"""Makes an archive: its files by their places, or a whole zip where the zip itself is odd."""


@dataclass(frozen=True)
class Finding:
    """One finding.

    ``kind``: a name that does not change (docs/cli.md, "check"). ``file``: the place in the
    archive, with the line if the file has lines (``labelmap.txt:7``). ``what`` says what was found,
    and ``fix`` what to do; their wording may change. ``item``, ``subset``: the item that has the
    file. ``pixels``: how many pixels are concerned, or None. ``value``: the colour (``r,g,b``) or
    gray value that is concerned, or None. ``severity``: ``error``, ``warning`` or ``note``.
    """

    kind: str
    file: str
    what: str
    fix: str
    item: str | None = None
    subset: str | None = None
    pixels: int | None = None
    value: str | None = None
    severity: str = ""


Met = partial(Finding, "")
"""Makes what a rule has met: a finding that gets the kind of the rule."""


@dataclass(frozen=True)
class Rule:
    """One rule, whole.

    ``severity`` is ours and ``for_cvat`` CVAT's; None means that it is no finding. ``section`` is
    that of docs/format.md. ``text`` explains it. An import logs what ``is_logged``. ``find`` looks
    at what ``looks_at`` names; without it, errors of this kind are raised by whoever reads.
    """

    kind: str
    title: str
    severity: str | None
    for_cvat: str | None
    section: int
    text: str
    example: Example
    looks_at: str = READER
    find: Callable[[Any], Iterable[Finding]] | None = None
    is_logged: bool = False

    def findings(self, facts: Any) -> Iterator[Finding]:
        """Yield what the rule finds in the facts that it looks at."""
        if self.find is not None:
            for met in self.find(facts):
                yield replace(met, kind=self.kind)

    def severity_for(self, cvat: bool) -> str | None:
        """Return how grave a finding is, to CVAT or to us."""
        return self.for_cvat if cvat else self.severity


def rule(
    looks_at: str,
    kind: str,
    title: str,
    severity: str | None,
    for_cvat: str | None,
    section: int,
    example: Example,
    *,
    is_logged: bool = False,
) -> Callable[[Callable[[Any], Iterable[Finding]]], Rule]:
    """Make a rule of the function that finds it; the function's docstring explains the rule."""

    def made(find: Callable[[Any], Iterable[Finding]]) -> Rule:
        text = inspect.cleandoc(find.__doc__ or title)
        return Rule(
            kind, title, severity, for_cvat, section, text, example, looks_at, find, is_logged
        )

    return made
