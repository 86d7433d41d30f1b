"""labelmap.txt and the labels it declares (docs/format.md, section 2)."""

from __future__ import annotations

import pytest
from datumaro.plugins.data_formats.voc.format import VocLabel, make_voc_label_map
from datumaro.plugins.data_formats.voc.format import parse_label_map as parse_as_datumaro
from hypothesis import given
from hypothesis import strategies as st

from datumaro_segmask.archive import labelmap
from datumaro_segmask.archive.labelmap import (
    MAX_LABELS,
    Label,
    LabelMap,
    parse_label_map,
    shared_colors,
    voc_label_map,
)
from datumaro_segmask.colors import Rgb, voc_color
from datumaro_segmask.errors import LabelMapError, SegmaskExportError
from datumaro_segmask.formats.archive import check_colors, format_label_map

WHERE = "labelmap.txt"
CAR = ("car", (128, 0, 0))


def parse(text: str) -> LabelMap:
    return parse_label_map(text, WHERE)


def summary(text: str) -> list[tuple[str, Rgb]]:
    return [(label.name, label.color) for label in parse(text).labels]


GOOD: dict[str, tuple[str, list[tuple[str, Rgb]]]] = {
    "four-fields": ("car:128,0,0::\n", [CAR]),
    "three-fields": ("car:128,0,0:\n", [CAR]),
    "two-fields": ("car:128,0,0\n", [CAR]),
    "no-newline-at-end": ("car:128,0,0::", [CAR]),
    "as-cvat-writes-it": (
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncar:128,0,0::\n",
        [("background", (0, 0, 0)), CAR],
    ),
    "order-is-line-order": ("z:1,1,1::\na:2,2,2::\n", [("z", (1, 1, 1)), ("a", (2, 2, 2))]),
    "byte-order-mark": ("\ufeffcar:128,0,0::\n", [CAR]),
    "windows-newlines": ("a:1,1,1::\r\ncar:128,0,0::\r\n", [("a", (1, 1, 1)), CAR]),
    "blank-lines": ("\n \n\ncar:128,0,0::\n\t\n", [CAR]),
    "comment-lines": ("# a\n  # b\n#c:1,2,3::\ncar:128,0,0::\n", [CAR]),
    "spaces-around-fields": (" car : 128 , 0 , 0 : a , b : c \n", [CAR]),
    "comment-behind-four-fields": ("car:128,0,0:: # the red one\n", [CAR]),
    "comment-behind-the-color": ("car:128,0,0 # red: the best\n", [CAR]),
    "comment-behind-no-color": ("car: # red\n", [("car", (0, 0, 0))]),
    "comment-behind-a-bare-name": ("car # red\n", [("car", (0, 0, 0))]),
    "comment-without-space": ("car:128,0,0:: #red\n", [CAR]),
    "comment-of-nothing": ("car:128,0,0:: #\n", [CAR]),
    "comment-with-a-color": ("car:128,0,0:: # was car:1,2,3::\n", [CAR]),
    "hash-in-the-name": ("lot #5:128,0,0::\n", [("lot #5", (128, 0, 0))]),
    "spaced-hash-in-the-name": ("lot # 5:128,0,0::\n", [("lot # 5", (128, 0, 0))]),
    "hash-in-a-bare-name": ("lot #5\n", [("lot #5", (0, 0, 0))]),
    "colon-in-the-name": ("a:b:128,0,0::\n", [("a:b", (128, 0, 0))]),
    "colon-in-the-name-two-fields": ("a:b:128,0,0\n", [("a:b", (128, 0, 0))]),
    "colon-and-no-color": ("a:b:::\n", [("a:b", (0, 0, 0))]),
    "color-in-the-name": ("a:1,2,3:4,5,6::\n", [("a:1,2,3", (4, 5, 6))]),
    "color-like-name": ("1,2,3:4,5,6::\n", [("1,2,3", (4, 5, 6))]),
    "spaces-in-the-name": ("traffic light:1,2,3::\n", [("traffic light", (1, 2, 3))]),
    "any-letters": ("猫 😺:1,2,3::\n", [("猫 😺", (1, 2, 3))]),
    "no-color-is-the-voc-color-of-the-line": (
        "background\nplane:::\n# x\nbike::\n",
        [("background", (0, 0, 0)), ("plane", (128, 0, 0)), ("bike", (0, 128, 0))],
    ),
    "white-and-black": ("a:255,255,255::\nb:0,0,0::\n", [("a", (255,) * 3), ("b", (0, 0, 0))]),
    "leading-zeros": ("car:128,000,00::\n", [CAR]),
    "names-that-differ-in-case": ("a:1,1,1::\nA:2,2,2::\n", [("a", (1,) * 3), ("A", (2,) * 3)]),
}


@pytest.mark.parametrize(("text", "labels"), GOOD.values(), ids=GOOD)
def test_label_map(text: str, labels: list[tuple[str, Rgb]]) -> None:
    assert summary(text) == labels


def test_parts_and_actions() -> None:
    (label,) = parse("person:1,2,3: head , foot,:  walk\n").labels
    assert (label.parts, label.actions) == (("head", "foot"), ("walk",))


BAD: dict[str, tuple[str, str, list[str]]] = {
    # what is special: text, place after the name of the file, what the message says
    "two-numbers": ("a:1,1,1::\nb:1,2::\n", ":2", ["'1,2' is not a colour", "three whole numbers"]),
    "four-numbers": ("b:1,2,3,4::\n", ":1", ["'1,2,3,4' is not a colour"]),
    "hex": ("b:#ff0000::\n", ":1", ["'#ff0000' is not a colour"]),
    "words": ("b:red::\n", ":1", ["'red' is not a colour", "car:128,0,0::"]),
    "fractions": ("b:0.5,0,0::\n", ":1", ["'0.5,0,0' is not a colour"]),
    "negative": ("b:-1,0,0::\n", ":1", ["'-1,0,0' is not a colour", "0 to 255"]),
    "past-255": ("b:256,0,0::\n", ":1", ["'256,0,0'", "past 255"]),
    "far-past-255": ("b:70000,0,0::\n", ":1", ["'70000,0,0'", "past 255"]),
    "digits-without-end": ("b:" + "9" * 5000 + ",0,0::\n", ":1", ["is not a colour"]),
    "other-digits": ("b:²,٢,٣::\n", ":1", ["is not a colour"]),
    "name-twice": ("a:1,1,1::\n\nb::\na:2,2,2::\n", ":4", ["'a'", "twice", "in line 1", "rename"]),
    "too-many-lines": ("\n" * (1 << 20) + "\na:1,2,3::", "", ["1,048,576 lines", "65,536"]),
    "no-name": ("a:1,1,1::\n:1,2,3::\n", ":2", ["no label name", "before the first colon"]),
    "only-colons": (":::\n", ":1", ["no label name"]),
    "empty": ("", "", ["no label", "remove the file"]),
    "only-comments": ("# label:color_rgb:parts:actions\n\n", "", ["no label"]),
}


@pytest.mark.parametrize(("text", "place", "says"), BAD.values(), ids=BAD)
def test_bad_label_map(text: str, place: str, says: list[str]) -> None:
    with pytest.raises(LabelMapError) as caught:
        parse(text)
    assert caught.value.where == WHERE + place
    assert [part for part in says if part not in str(caught.value)] == []
    assert "Expected " in str(caught.value)
    assert "To fix it: " in str(caught.value)


def test_too_many_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_LABELS == 1 << 16
    monkeypatch.setattr(labelmap, "MAX_LABELS", 3000)
    assert len(parse("".join(f"{n}\n" for n in range(3000))).labels) == 3000
    with pytest.raises(LabelMapError, match=r"declares 3,001 labels.*at most 3,000"):
        parse("".join(f"{n}\n" for n in range(3001)))


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(":" * 200_000 + " " * 200_000 + "x", id="colons-and-spaces"),
        pytest.param(" #" * 200_000 + "x:1,2,3", id="comments"),
        pytest.param("a" + ":1,1" * 200_000, id="half-colours"),
        pytest.param("a:" + "1" * 400_000, id="digits"),
        pytest.param("a" + " ," * 200_000, id="commas"),
    ],
)
def test_long_lines_take_no_time(line: str) -> None:
    """That is, none that grows with the square of the length: this test would not end."""
    try:
        assert parse(line).labels
    except LabelMapError as error:
        assert len(error.where) < 100


def test_many_labels() -> None:
    """Upstream stops at 256."""
    labels = parse("".join(f"label {n}\n" for n in range(5000))).labels
    assert (labels[4999].name, labels[4999].index) == ("label 4999", 4999)
    assert labels[4999].color == voc_color(4999)
    assert len({label.color for label in labels}) == 5000


@pytest.mark.parametrize(
    ("text", "name"),
    [
        pytest.param("car:1,1,1::\nbackground:0,0,0::\n", "background", id="by-name-not-line-0"),
        pytest.param("car:0,0,1::\nbackground:9,9,9::\n", "background", id="name-of-any-colour"),
        pytest.param("Background:9,9,9::\ncar:1,1,1::\n", "Background", id="in-any-case"),
        pytest.param(
            "BACKGROUND:9,9,9::\nbackground:1,1,1::\n", "background", id="exact-name-first"
        ),
        pytest.param("car:1,1,1::\nnothing:0,0,0::\n", "nothing", id="black"),
        pytest.param("car:1,1,1::\n", None, id="none"),
    ],
)
def test_background(text: str, name: str | None, caplog: pytest.LogCaptureFixture) -> None:
    found = parse(text)
    position = found.background
    assert (None if position is None else found.labels[position].name) == name
    assert not caplog.records


def test_voc_labels() -> None:
    """Those that Datumaro has for archives without a label map; 255 is ``ignored``."""
    found = voc_label_map()
    voc = {name: tuple(color) for name, (color, _, _) in make_voc_label_map().items()}
    assert {label.name: label.color for label in found.labels} == voc
    assert {label.name: label.index for label in found.labels} == {
        label.name: label.value for label in VocLabel
    }
    assert found.background == 0
    assert found.labels[-1] == Label("ignored", (224, 224, 192), 255)


def test_position() -> None:
    found = parse("a\nb\n")
    assert (found.position("b"), found.position("B")) == (1, None)


def test_format_is_what_datumaro_reads(tmp_path) -> None:
    labels = (
        Label("background", (0, 0, 0), 0),
        Label("person 1", (1, 2, 3), 1, ("head", "foot"), ("walk",)),
    )
    text = format_label_map(LabelMap(labels))
    assert text.startswith("# label:color_rgb:parts:actions\nbackground:0,0,0::\n")
    path = tmp_path / "labelmap.txt"
    path.write_text(text, "utf-8")
    assert parse_as_datumaro(str(path)) == {
        "background": [(0, 0, 0), [], []],
        "person 1": [(1, 2, 3), ["head", "foot"], ["walk"]],
    }


words = st.text(st.characters(codec="utf-8", exclude_characters="\n\r\ufeff"), min_size=1)
plain = words.filter(lambda w: w == w.strip() and "," not in w and ":" not in w and "#" not in w)


@st.composite
def label_maps(draw: st.DrawFn, names: st.SearchStrategy[str] = plain) -> LabelMap:
    chosen = draw(st.lists(names, min_size=1, max_size=8, unique=True))
    byte = st.integers(0, 255)
    palette = draw(
        st.lists(st.tuples(byte, byte, byte), min_size=8, max_size=8, unique=True),
    )
    fields = st.lists(plain, max_size=3).map(tuple)
    return LabelMap(
        tuple(
            Label(name, color, index, draw(fields), draw(fields))
            for index, (name, color) in enumerate(zip(chosen, palette, strict=False))
        ),
        WHERE,
    )


@given(label_maps())
def test_parse_gives_back_what_was_formatted(label_map: LabelMap) -> None:
    assert parse(format_label_map(label_map)) == label_map


odd = words | st.from_regex(r"\A[a-z:,# 0-9]{1,12}\Z")


@given(label_maps(odd))
def test_any_name_comes_back_or_is_refused(label_map: LabelMap) -> None:
    try:
        text = format_label_map(label_map)
    except SegmaskExportError:
        return
    assert parse(text) == label_map


@given(st.text(max_size=80) | st.from_regex(r"\A([a-z :,#0-9]{0,20}\n){0,4}\Z"))
def test_any_text_is_a_label_map_or_an_error(text: str) -> None:
    try:
        found = parse(text)
    except LabelMapError as error:
        assert error.where.startswith(WHERE)
    else:
        assert [label.index for label in found.labels] == list(range(len(found.labels)))


@pytest.mark.parametrize(
    "name",
    ["", " a", "a ", "a\nb", "a\rb", "a\r\nb", "#a"],
    ids=[
        "empty",
        "space-first",
        "space-last",
        "newline",
        "lone-return",
        "windows-newline",
        "comment",
    ],
)
def test_names_that_no_line_holds(name: str) -> None:
    label_map = LabelMap((Label(name, (1, 2, 3), 0, ("x",)),), "the dataset")
    with pytest.raises(SegmaskExportError) as caught:
        format_label_map(label_map)
    assert repr(name) in str(caught.value)
    assert "rename the label" in str(caught.value)


def test_labels_of_one_color() -> None:
    found = parse("a:1,2,3::\nb:9,9,9::\nc: 1, 2, 3::\nd:1,2,3::\n")
    assert [(a.name, b.name, b.line) for a, b in shared_colors(found)] == [
        ("a", "c", 3),
        ("c", "d", 4),
    ]
    with pytest.raises(LabelMapError, match=r"labelmap\.txt:3: the colour 1,2,3 of 'c'") as caught:
        check_colors(found)
    assert "'a' (line 1)" in str(caught.value)
    check_colors(voc_label_map())


def test_lines_keep_their_numbers() -> None:
    assert [label.line for label in parse("# head\n\na:1,2,3::\n\nb:2,3,4::\n").labels] == [3, 5]


def test_labels_in_comments_are_kept_apart() -> None:
    text = "# label:color_rgb:parts:actions\n#1:128,0,0::\n# was:9,9,9::\ncar:1,1,1::\n"
    found = parse(text + "#x:2,2\n#2:7,8,9\n")
    assert [label.name for label in found.labels] == ["car"]
    assert [(c.name, c.color, c.line) for c in found.comments] == [
        ("1", (128, 0, 0), 2),
        ("2", (7, 8, 9), 6),
    ]
