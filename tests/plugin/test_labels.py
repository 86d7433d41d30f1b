"""The label map of an export (docs/format.md, section 5)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from datumaro.components.annotation import AnnotationType, LabelCategories, MaskCategories
from datumaro.components.dataset_base import CategoriesInfo
from hypothesis import given
from hypothesis import strategies as st

from datumaro_segmask.colors import voc_color
from datumaro_segmask.errors import LabelMapError, SegmaskExportError
from datumaro_segmask.plugin.labels import make_export_labels

from ..archives import COLORS

Rgb = tuple[int, int, int]
BLACK, MAROON, GREEN, OLIVE, NAVY = (tuple(map(int, color)) for color in COLORS[:5])
GRAY = (9, 9, 9)


def categories(names: list[str], colors: Mapping[int, Any] | None = None) -> CategoriesInfo:
    made: CategoriesInfo = {AnnotationType.label: LabelCategories.from_iterable(names)}
    if colors is not None:
        made[AnnotationType.mask] = MaskCategories(dict(colors))
    return made


@dataclass(frozen=True)
class Case:
    """Labels and colours of a dataset, and the lines and background that they become."""

    names: list[str]
    colors: Mapping[int, Any] | None
    written: list[tuple[str, Any]]
    background: str
    warns: bool = False


CASES = {
    "no-labels": Case([], None, [("background", BLACK)], "background"),
    "no-colours": Case(
        ["background", "car", "road"], None,
        [("background", BLACK), ("car", MAROON), ("road", GREEN)], "background",
    ),
    "colours-are-kept": Case(
        ["background", "car"], {0: BLACK, 1: GRAY}, [("background", BLACK), ("car", GRAY)],
        "background",
    ),
    "order-is-kept": Case(
        ["road", "background", "car"], None,
        [("road", MAROON), ("background", BLACK), ("car", GREEN)], "background",
    ),
    "background-comes-first-where-there-is-none": Case(
        ["car", "road"], None,
        [("background", BLACK), ("car", MAROON), ("road", GREEN)], "background",
    ),
    "background-in-another-case": Case(
        ["car", "Background"], None, [("car", MAROON), ("Background", BLACK)], "Background",
    ),
    "background-of-another-colour": Case(
        ["background", "car"], {0: GRAY}, [("background", GRAY), ("car", MAROON)], "background",
    ),
    "black-label-is-the-background": Case(
        ["car", "void"], {0: GRAY, 1: BLACK}, [("car", GRAY), ("void", BLACK)], "void",
    ),
    "background-by-its-name-though-another-is-black": Case(
        ["void", "background"], {0: BLACK}, [("void", BLACK), ("background", MAROON)],
        "background", warns=True,
    ),
    "label-without-colour-gets-the-first-free": Case(
        ["background", "car", "road", "sky"], {0: BLACK, 1: GREEN, 3: MAROON},
        [("background", BLACK), ("car", GREEN), ("road", OLIVE), ("sky", MAROON)], "background",
    ),
    "black-is-free-for-the-background-alone": Case(
        ["car", "background"], {1: GRAY}, [("car", MAROON), ("background", GRAY)], "background",
    ),
    "same-colour-twice": Case(
        ["background", "car", "road", "sky"], {0: BLACK, 1: MAROON, 2: MAROON, 3: GREEN},
        [("background", BLACK), ("car", MAROON), ("road", OLIVE), ("sky", GREEN)], "background",
        warns=True,
    ),
    "colour-of-a-label-that-is-not-there": Case(
        ["background"], {0: BLACK, 5: MAROON}, [("background", BLACK)], "background",
    ),
    "colour-with-alpha": Case(
        ["background", "car"], {1: (*GRAY, 255)}, [("background", BLACK), ("car", GRAY)],
        "background",
    ),
    "colour-of-numpy": Case(
        ["background", "car"], {1: COLORS[3]}, [("background", BLACK), ("car", OLIVE)],
        "background",
    ),
    "more-than-256-labels": Case(
        [str(n) for n in range(400)], None,
        [("background", BLACK), *((str(n), voc_color(n + 1)) for n in range(400))], "background",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_labels_of_the_dataset(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    made = make_export_labels(categories(case.names, case.colors), "source")
    labels = made.label_map.labels
    assert [(label.name, label.color) for label in labels] == case.written
    assert [label.index for label in labels] == [*range(len(labels))]
    assert [labels[made.position(i) or 0].name for i in range(len(case.names))] == case.names
    assert made.label_map.background is not None
    assert labels[made.label_map.background].name == case.background
    assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) == case.warns


@given(
    st.lists(st.sampled_from(["background", "Background", *"abcdefgh"]), unique=True),
    st.dictionaries(st.integers(0, 9), st.sampled_from([BLACK, MAROON, GREEN, GRAY])),
)
def test_every_label_has_a_colour_of_its_own(names: list[str], colors: dict[int, Rgb]) -> None:
    made = make_export_labels(categories(names, colors), "source")
    labels = made.label_map.labels
    assert len({label.color for label in labels}) == len(labels)
    kept = [label.name for label in labels if label.name in names]
    assert kept == names
    background = made.label_map.background
    assert background is not None
    if BLACK not in colors.values():
        assert [label.name for label in labels if label.color == BLACK] in (
            [labels[background].name], [],
        )  # fmt: skip


def test_attributes_are_actions() -> None:
    labels = LabelCategories()
    labels.add("person", attributes={"walk", "run"})
    made = make_export_labels({AnnotationType.label: labels}, "source")
    assert made.label_map.labels[1].actions == ("run", "walk")


def test_no_categories_at_all() -> None:
    made = make_export_labels({}, "source")
    assert [label.name for label in made.label_map.labels] == ["background"]
    assert made.position(None) is None


def test_file_fixes_order_colours_and_labels(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("road:1,2,3::\nbackground:0,0,0::\ncar::\n")
    made = make_export_labels(categories(["background", "car", "tree", "road"]), str(path))
    assert [(label.name, label.color) for label in made.label_map.labels] == [
        ("road", (1, 2, 3)), ("background", BLACK), ("car", GREEN),
    ]  # fmt: skip
    assert [made.position(i) for i in range(4)] == [1, 2, None, 0]


def test_voc() -> None:
    made = make_export_labels(categories(["person", "Person", "background"]), "voc")
    assert len(made.label_map.labels) == 22
    assert made.positions == (15, None, 0)


@pytest.mark.parametrize("label", [-1, 2, 100])
def test_label_that_the_dataset_does_not_have(label: int) -> None:
    made = make_export_labels(categories(["background", "car"]), "source")
    with pytest.raises(IndexError):
        made.position(label)


@pytest.mark.parametrize(
    "path", ["gone.txt", ".", "VOC", ""], ids=["no-file", "folder", "in-capitals", "empty"]
)
def test_option_that_is_no_file(path: str) -> None:
    with pytest.raises(SegmaskExportError) as caught:
        make_export_labels(categories([]), path)
    assert str(caught.value) == (
        f"the export: the option label_map is {path!r}, which is not a file. Expected 'source', "
        "'voc' or the path of a label map. To fix it: check the path. "
        "(docs/format.md, section 5: 'datumaro-segmask explain 5')"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param(b"car:1,2::\n", ":1: '1,2' is not a colour", id="broken-colour"),
        pytest.param(b"car::\ncar::\n", ":2: the label 'car' is there twice", id="twice"),
        pytest.param(b"", ": the file declares no label", id="empty"),
        pytest.param(b"c\xe4r::\n", ":1: byte 1 (0xe4) is not UTF-8", id="not-utf-8"),
    ],
)
def test_broken_file(text: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(text)
    with pytest.raises(LabelMapError) as caught:
        make_export_labels(categories([]), str(path))
    assert f"{path}{says}" in str(caught.value)
    assert "To fix it: " in str(caught.value)


@pytest.mark.parametrize("color", [(300, 0, 0), (-1, 0, 0)], ids=["past-255", "below-0"])
def test_colour_that_is_none(color: Rgb) -> None:
    with pytest.raises(SegmaskExportError) as caught:
        make_export_labels(categories(["background", "car"], {1: color}), "source")
    assert "'car'" in str(caught.value)
    assert str(color) in str(caught.value)
    assert "To fix it: " in str(caught.value)
