"""Which items of an archive are drawn."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Collection, Iterator, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import partial
from itertools import islice

from ...archive import Archive
from ...errors import SegmaskImportError, UsageError
from ...options import number_type
from ..parallel import in_chunks
from .drawing import Entry, Settings, SheetArchive, prefetched


def add_choice_options(parser: argparse.ArgumentParser, on_sheet: int) -> None:
    """Add ``--item``, ``--subset``, ``--label`` and ``--max-items``."""
    chosen = parser.add_argument_group("items (each option may be given several times)")
    chosen.add_argument(
        "--item",
        action="append",
        metavar="ID",
        help="Draw the item with this id; * matches any letters (default: all items)",
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
        help=f"Draw only the first N of them (default: all on a page, {on_sheet} in a PNG)",
    )


def choose(
    archives: Sequence[Archive], settings: Settings, options: argparse.Namespace, limit: int | None
) -> tuple[list[Entry], int]:
    """Return the items to draw, and how many more were chosen but are past the limit.

    Raises UsageError for what is not in the archives.
    """
    labels = [label.name for label in settings.label_map.labels]
    _check("subset", options.subset, {name for archive in archives for name in archive.subsets})
    _check("label", options.label, labels)
    everything = [
        Entry(number, item_id, subset)
        for number, archive in enumerate(archives)
        for subset, ids in archive.subsets.items()
        for item_id in ids
    ]
    for wanted in options.item or []:
        _check_item(wanted, everything, options.subset)
    entries = [
        entry
        for entry in everything
        if (not options.subset or entry.subset in options.subset)
        and (not options.item or any(_is_meant(entry.item_id, wanted) for wanted in options.item))
    ]
    if options.label:
        positions = {labels.index(name) for name in options.label}
        entries = list(_with_labels(settings, entries, positions, options.workers))
        if not entries:
            names = " or ".join(map(repr, options.label))
            given = [f"--{name}" for name in ("item", "subset") if getattr(options, name)]
            of_these = f" chosen by {' and '.join(given)}" if given else ""
            raise UsageError(
                f"no item{of_these} has an object of {names}",
                "the option --label",
                remedy="choose another label" + (f", or leave out {given[-1]}" if given else ""),
            )
    return list(islice(entries, limit)), max(0, len(entries) - (limit or len(entries)))


def _is_meant(item_id: str, wanted: str) -> bool:
    return item_id == wanted or fnmatchcase(item_id, wanted)


def _check_item(wanted: str, entries: Sequence[Entry], subsets: Sequence[str] | None) -> None:
    """Raise UsageError for an id or a pattern that no item has, or none of these subsets."""
    found = {entry.subset for entry in entries if _is_meant(entry.item_id, wanted)}
    if not found:
        _check("item", [wanted], list(dict.fromkeys(entry.item_id for entry in entries)))
    if subsets and not found.intersection(subsets):
        raise UsageError(
            f"no item of {' or '.join(map(repr, subsets))} is called {wanted!r}",
            "the options --item and --subset",
            f"an item of these subsets; {wanted!r} is in {', '.join(map(repr, sorted(found)))}",
            f"type --subset {shlex.quote(min(found))}, or leave --subset out",
        )


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
    return [
        _has_label(source, item_id, wanted) for source, item_id, _ in prefetched(settings, entries)
    ]


def _has_label(archive: SheetArchive, item_id: str, wanted: set[int]) -> bool:
    try:
        item = archive.read(item_id)
    except SegmaskImportError:  # nobody knows which labels it has, and the sheet says why
        return True
    return any(instance.label in wanted for instance in item.instances)
