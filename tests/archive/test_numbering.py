"""Which shapes are one instance, and its number (docs/format.md, section 5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datumaro_segmask.archive.numbering import LAST_SHARED, Member, instance_numbers

CAR, ROAD = 1, 2


def mask(group: int = 0, label: int | None = CAR) -> Member:
    return Member(group, label, is_mask=True)


def outline(group: int = 0, label: int | None = CAR) -> Member:
    return Member(group, label, is_mask=False)


# What is special: the shapes in paint order, and the number of each.
CASES: dict[str, tuple[list[Member], list[int]]] = {
    "no-shapes": ([], []),
    "groups-are-the-numbers": ([mask(7), mask(3), mask(255)], [7, 3, 255]),
    "one-group-is-one-instance": ([mask(4), outline(4), mask(4, ROAD)], [4, 4, 4]),
    "outlines-without-group-are-instances": ([outline(), outline()], [1, 2]),
    "shapes-without-group-take-what-is-left": (
        [outline(), mask(1), outline(), mask(3), outline()], [2, 1, 4, 3, 5],
    ),
    "only-mask-of-its-label-is-stuff": ([mask(), mask(0, ROAD)], [0, 0]),
    "stuff-beside-things": ([mask(0, ROAD), mask(1), mask(2)], [0, 1, 2]),
    "stuff-of-the-label-of-a-thing": ([mask(0, CAR), mask(9, CAR)], [0, 9]),
    "two-masks-of-a-label-are-instances": ([mask(), mask(), mask(0, ROAD)], [1, 2, 0]),
    "mask-and-outline-of-a-label-are-instances": ([mask(), outline()], [1, 2]),
    "only-outline-of-its-label-is-an-instance": ([outline()], [1]),
    "masks-without-label-are-instances": ([mask(0, None)], [1]),
    "group-past-255-counts-anew": ([mask(9), mask(256), mask(9), mask(2)], [1, 2, 1, 3]),
    "group-below-zero-counts-anew": ([mask(5), mask(-1)], [1, 2]),
    "stuff-takes-no-number-when-counted-anew": (
        [mask(0, ROAD), mask(300), mask(2)], [0, 1, 2],
    ),
    "255-instances-keep-their-groups": (
        [*(mask(n) for n in range(255, 1, -1)), outline()], [*range(255, 1, -1), 1],
    ),
    "256-instances-count-anew": (
        [*(mask(n) for n in range(255, 0, -1)), outline()], [*range(1, 257)],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("members", "numbers"), CASES.values(), ids=CASES)
def test_numbers(members: list[Member], numbers: list[int]) -> None:
    assert instance_numbers(members) == numbers


some_members = st.lists(
    st.builds(
        Member,
        st.one_of(st.just(0), st.integers(1, 6), st.integers(250, 260)),
        st.one_of(st.none(), st.integers(0, 3)),
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
    assert not [m for m in stuff if m.group or not m.is_mask or m.label is None]
    assert len({m.label for m in stuff}) == len(stuff)
    if any(m.group > LAST_SHARED for m in members):
        assert {n for _, n in things} == {*range(1, len({*things}) + 1)}
    else:
        assert not [n for m, n in zip(members, numbers, strict=True) if m.group and m.group != n]


@given(some_members)
def test_numbers_stay_when_they_are_the_groups(members: list[Member]) -> None:
    """A second export gives what the first gave."""
    numbers = instance_numbers(members)
    again = [Member(n, m.label, m.is_mask) for m, n in zip(members, numbers, strict=True)]
    stuff = {m.label for m, n in zip(members, numbers, strict=True) if not n}
    assert len(stuff) == numbers.count(0)
    assert instance_numbers(again) == numbers
