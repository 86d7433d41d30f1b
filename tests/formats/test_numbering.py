"""Which shapes are one instance, and its number (docs/format.md, section 5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datumaro_segmask.formats.archive import (
    LAST_SHARED,
    Member,
    instance_numbers,
)


def thing(group: int = 0) -> Member:
    return Member(group)


STUFF = Member(0, is_stuff=True)

# What is special: the shapes in paint order, and the number of each.
CASES: dict[str, tuple[list[Member], list[int]]] = {
    "no-shapes": ([], []),
    "groups-are-the-numbers": ([thing(7), thing(3), thing(255)], [7, 3, 255]),
    "one-group-is-one-instance": ([thing(4), thing(4), thing(4)], [4, 4, 4]),
    "shapes-without-group-are-instances": ([thing(), thing()], [1, 2]),
    "a-lone-shape-is-an-instance": ([thing()], [1]),
    "shapes-without-group-take-what-is-left": (
        [thing(), thing(1), thing(), thing(3), thing()], [2, 1, 4, 3, 5],
    ),
    "stuff-beside-things": ([STUFF, thing(1), thing(2), STUFF], [0, 1, 2, 0]),
    "stuff-that-was-given-a-group": ([Member(3, is_stuff=True)], [3]),
    "group-past-255-counts-anew": ([thing(9), thing(256), thing(9), thing(2)], [1, 2, 1, 3]),
    "group-below-zero-counts-anew": ([thing(5), thing(-1)], [1, 2]),
    "stuff-takes-no-number-when-counted-anew": ([STUFF, thing(300), thing(2)], [0, 1, 2]),
    "255-instances-keep-their-groups": (
        [*(thing(n) for n in range(255, 1, -1)), thing()], [*range(255, 1, -1), 1],
    ),
    "256-instances-count-anew": (
        [*(thing(n) for n in range(255, 0, -1)), thing()], [*range(1, 257)],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("members", "numbers"), CASES.values(), ids=CASES)
def test_numbers(members: list[Member], numbers: list[int]) -> None:
    assert instance_numbers(members) == numbers


some_members = st.lists(
    st.builds(
        Member,
        st.one_of(st.just(0), st.integers(1, 6), st.integers(250, 260)),
        st.booleans(),
    ),
    max_size=30,
)


@given(some_members)
def test_groups_and_numbers_go_together(members: list[Member]) -> None:
    numbers = instance_numbers(members)
    assert len(numbers) == len(members)
    things = [
        (m.group or -i, n) for i, (m, n) in enumerate(zip(members, numbers, strict=True), 1) if n
    ]
    assert len({group for group, _ in things}) == len({n for _, n in things}) == len({*things})
    stuff = [m for m, n in zip(members, numbers, strict=True) if not n]
    assert stuff == [m for m in members if m.is_stuff and not m.group]
    if any(m.group > LAST_SHARED for m in members):
        assert {n for _, n in things} == {*range(1, len({*things}) + 1)}
    else:
        assert not [n for m, n in zip(members, numbers, strict=True) if m.group and m.group != n]


@given(some_members)
def test_numbers_stay_when_they_are_the_groups(members: list[Member]) -> None:
    """A second export gives what the first gave."""
    numbers = instance_numbers(members)
    again = [Member(n, m.is_stuff) for m, n in zip(members, numbers, strict=True)]
    assert instance_numbers(again) == numbers
