"""Which shapes of an item are one instance, and which number each instance gets.

Source: docs/format.md, section 5. Integers only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

LAST_SHARED = 255
"""The last instance number that CVAT and Datumaro's VOC plugin can read."""


@dataclass(frozen=True, slots=True)
class Member:
    """What decides about the number of one shape.

    ``group`` is 0 for a shape on its own. ``label`` is the position in the label map or None.
    ``is_mask`` tells masks from outlines.
    """

    group: int
    label: int | None
    is_mask: bool


def instance_numbers(members: Sequence[Member]) -> list[int]:
    """Return the instance number of each shape of an item, given in paint order; 0 for none.

    Shapes of one group are one instance, and a shape without group is one of its own. But the
    only mask of its label that has no group is "stuff", as the importer makes it of class pixels
    without an instance, and gets no number.

    The groups themselves are the numbers where all numbers then fit in 1 to 255, and shapes
    without group take those that are left; otherwise the instances count from 1 in paint order.
    """
    loose = Counter(member.label for member in members if not member.group)

    def is_stuff(member: Member) -> bool:
        alone = not member.group and loose[member.label] == 1
        return alone and member.is_mask and member.label is not None

    keys: list[Hashable] = [
        None if is_stuff(member) else member.group or ("loose", i)
        for i, member in enumerate(members)
    ]
    instances = dict.fromkeys(key for key in keys if key is not None)
    groups = {key for key in instances if isinstance(key, int)}
    if len(instances) <= LAST_SHARED and all(0 < group <= LAST_SHARED for group in groups):
        left = (number for number in range(1, LAST_SHARED + 1) if number not in groups)
        numbers = {key: key if isinstance(key, int) else next(left) for key in instances}
    else:
        numbers = {key: i for i, key in enumerate(instances, 1)}
    return [0 if key is None else numbers[key] for key in keys]
