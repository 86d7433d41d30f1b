"""What a dataset that is saved over its own source keeps of it and what goes: worked out once.

A folder and a zip carry it out alike (see `write`). Ids and subsets only: nothing here knows what
an item is. Source: docs/format.md, section 5.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from .read import Entry


@dataclass
class Listing:
    """What is known of an archive since it was read or written: which entries its lists have.

    ``place`` is the real path of its folder or zip, ``subsets`` are the ids of each list.
    ``unread`` are the entries of which the dataset has no item: an import notes there what it could
    not read. ``pictures`` are the pictures in memory, by their `id`, that have a file in the
    archive; as long as they are held here, no other picture has that `id`. ``reading`` are the
    options of the `Reader` that gave the items, by which masks that have not changed are known.
    """

    place: str
    subsets: Mapping[str, Collection[str]]
    unread: set[Entry] = field(default_factory=set)
    pictures: dict[int, object] = field(default_factory=dict)
    reading: Mapping[str, Any] = field(default_factory=dict)

    def __contains__(self, entry: Entry) -> bool:
        item_id, subset = entry
        return item_id in self.subsets.get(subset, ())


@dataclass(frozen=True)
class Plan:
    """``kept``: entries that stay in their lists though the dataset does not have them.
    ``gone``: ids whose files go. ``empty``: lists without entries, which stay.
    """

    kept: list[Entry]
    gone: list[str]
    empty: list[str]


def plan_save(
    subsets: Mapping[str, Collection[str]],
    known: Listing | None,
    there: Collection[Entry],
    removed: Collection[Entry],
) -> Plan:
    """Plan a save over an archive whose lists have the ids ``subsets`` now.

    ``known`` is that archive when the dataset last saw it, None if nobody knows, ``there`` the
    entries of the dataset, ``removed`` those that it is known to have had. An entry goes if the
    dataset had it and has it no more; what it never had stays: what could not be read, and what
    others have added since.
    """
    kept: list[Entry] = []
    lost: dict[str, None] = {}
    for subset, ids in subsets.items():
        for item_id in ids:
            entry = (item_id, subset)
            if entry in there:
                continue
            had = known is not None and entry in known and entry not in known.unread
            if had or entry in removed:
                lost[item_id] = None
            else:
                kept.append(entry)
    still = {item_id for item_id, _ in [*there, *kept]}
    gone = [item_id for item_id in lost if item_id not in still]
    return Plan(kept, gone, [subset for subset, ids in subsets.items() if not ids])
