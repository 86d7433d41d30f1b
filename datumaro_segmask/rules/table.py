"""All rules, in the order of a report; the names of their kinds are stable."""

from __future__ import annotations

from . import cvat, files, labels, lists, masks
from .rule import Finding, Rule

RULES: dict[str, Rule] = {
    rule.kind: rule
    for module in (labels, lists, files, masks, cvat)
    for rule in vars(module).values()
    if isinstance(rule, Rule)
}


def severity_of(finding: Finding, for_cvat: bool) -> str | None:
    """Return how grave a finding is, None where it is nothing."""
    return RULES[finding.kind].severity_for(for_cvat)


def rules_of(looks_at: str) -> list[Rule]:
    """Return the rules that look at archives, at items, or at all of the items."""
    return [rule for rule in RULES.values() if rule.looks_at == looks_at]
