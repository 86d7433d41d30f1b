"""Which items of an archive are drawn."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterator, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import partial
from itertools import islice

from ...archive import Archive
from ...errors import SegmaskImportError, UsageError
from ...options import number_type
from ..parallel import in_chunks
from .drawing import Settings
from .page import Entry


def add_choice_options(parser: argparse.ArgumentParser, on_sheet: int) -> None:
    """Add ``--item``, ``--subset``, ``--label`` and ``--max-items``."""
    chosen = parser.add_argument_group("items (each option may be given several times)")
    chosen.add_argument(
        "--item",
        action="append",
        metavar="ID",
        help="Draw the item of this id; * stands for any letters (default: all items)",
    )
    chosen.add_argument(
        "--subset", action="append", metavar="NAME", help="Draw this subset (default: all)"
    )
    chosen.add_argument(
        "--label", action="append", metavar="NAME", help="Draw items with this label (default: any)"
    )
    chosen.add_argument(
        "--max-items",
        type=number_type(least=1),
        metavar="N",
        help=f"Draw the first N of them only (default: all on a page, {on_sheet} in a PNG)",
    )


def choose(
    archive: Archive, settings: Settings, options: argparse.Namespace, limit: int | None
) -> tuple[list[Entry], int]:
    """Return the items to draw, and how many more were chosen but are past the limit.

    Raises UsageError for what is not in the archive.
    """
    labels = [label.name for label in archive.label_map.labels]
    _check("subset", options.subset, archive.subsets)
    _check("label", options.label, labels)
    entries = [
        (item_id, subset)
        for subset, ids in archive.subsets.items()
        if not options.subset or subset in options.subset
        for item_id in ids
        if not options.item or any(_is_meant(item_id, wanted) for wanted in options.item)
    ]
    if not entries and options.item:
        _check("item", options.item, [i for ids in archive.subsets.values() for i in ids])
    if options.label:
        wanted = {labels.index(name) for name in options.label}
        entries = list(_with_labels(settings, entries, wanted, options.workers))
    if not entries and (options.item or options.subset or options.label):
        raise UsageError(
            "no item has all that the options ask for",
            "the options --item, --subset and --label",
            remedy="leave one of them out",
        )
    return list(islice(entries, limit)), max(0, len(entries) - (limit or len(entries)))


def _is_meant(item_id: str, wanted: str) -> bool:
    return item_id == wanted or fnmatchcase(item_id, wanted)


def _check(kind: str, wanted: Sequence[str] | None, there: Collection[str]) -> None:
    for name in wanted or []:
        if name not in there:
            near = get_close_matches(name, there, 3) or list(there)[:3]
            raise UsageError(
                f"no {kind} of the archive is called {name!r}",
                f"the option --{kind}",
                f"one of its {len(there):,}, such as {', '.join(map(repr, near))}",
                "choose one of them",
            )


def _with_labels(
    settings: Settings, entries: list[Entry], wanted: set[int], workers: int
) -> Iterator[Entry]:
    task = partial(_have_labels, settings, wanted)
    found = in_chunks(task, entries, "Looking for labels", workers)
    return (entry for entry, has_label in zip(entries, found, strict=True) if has_label)


def _have_labels(
    settings: Settings, wanted: set[int], number: int, entries: Sequence[Entry]
) -> list[bool]:
    ahead = settings.reader.storage.ahead(entries)
    return [_has_label(settings, item_id, wanted) for item_id, _ in ahead]


def _has_label(settings: Settings, item_id: str, wanted: set[int]) -> bool:
    try:
        item = settings.reader.read(item_id)
    except SegmaskImportError:  # nobody knows which labels it has, and the sheet says why
        return True
    return any(instance.label in wanted for instance in item.instances)
