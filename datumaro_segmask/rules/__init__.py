"""What is odd about an archive, for us and for CVAT; knows no reports.

A rule is one thing, in the module of what it is about: its name, how grave it is, what it says, an
example, and what finds it.
"""

from .cvat import is_thin
from .example import write_example
from .facts import ArchiveFacts, WholeFacts, is_skipped
from .judge import (
    RULES,
    findings_of,
    judge_archive,
    judge_items,
    judge_whole,
    log_background,
    log_findings,
    open_archive,
    severity_of,
)
from .rule import ERROR, NOTE, SEVERITIES, WARNING, Finding, Rule

__all__ = [
    "ERROR", "NOTE", "RULES", "SEVERITIES", "WARNING", "ArchiveFacts", "Finding", "Rule",
    "WholeFacts", "findings_of", "is_skipped", "is_thin", "judge_archive", "judge_items",
    "judge_whole", "log_background", "log_findings", "open_archive", "severity_of", "write_example",
]  # fmt: skip
