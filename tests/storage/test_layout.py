"""Ids, subset lists, safe names, roots (docs/format.md, section 1)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datumaro_segmask.archive.subset_lists import parse_subset_list, why_no_list
from datumaro_segmask.errors import SegmaskImportError, SubsetListError, UnsafePathError
from datumaro_segmask.storage import layout
from datumaro_segmask.storage.layout import (
    check_name,
    is_litter,
    list_line,
    problem_of_listed,
    problem_of_name,
    roots_of,
    split_suffix,
)
from datumaro_segmask.storage.open import archive_roots
from datumaro_segmask.storage.zip.records import decode_name

from ..archives import as_folder

WHERE = "ImageSets/Segmentation/default.txt"


def parse(text: str, *masked: str) -> list[str]:
    return list(parse_subset_list(text.split("\n"), WHERE, set(masked).__contains__))


GOOD_LISTS: dict[str, tuple[str, list[str], list[str]]] = {
    # what is special: text, ids with masks, ids that come out
    "plain": ("a\nb\n", [], ["a", "b"]),
    "order-of-the-file": ("b\na\n", [], ["b", "a"]),
    "no-newline-at-end": ("a\nb", [], ["a", "b"]),
    "empty": ("", [], []),
    "blank-lines": ("\n\na\n \n\nb\n\n", [], ["a", "b"]),
    "duplicate-comes-twice": ("a\nb\na\n", [], ["a", "b", "a"]),
    "windows-newlines": ("a\r\nb\r\n", [], ["a", "b"]),
    "byte-order-mark": ("\ufeffa\nb\n", [], ["a", "b"]),
    "white-space-around": ("  a \t\nb  \n", [], ["a", "b"]),
    "spaces-inside": ("img 1\n", [], ["img 1"]),
    "dots-inside": ("img 0.0.0_0\n", [], ["img 0.0.0_0"]),
    "sub-folders": ("a/b/img 0.0.0_0\n", [], ["a/b/img 0.0.0_0"]),
    "windows-sub-folders": ("a\\b\\c\n", [], ["a/b/c"]),
    "here-prefix": ("./a\n", [], ["a"]),
    "any-letters": ("Straße/猫 😺\nصورة\n", [], ["Straße/猫 😺", "صورة"]),
    "case-differs-only": ("img\nIMG\n", [], ["img", "IMG"]),
    "image-suffix": ("img.jpg\nb.PNG\n", [], ["img", "b"]),
    "image-suffix-in-the-id": ("img.jpg\n", ["img.jpg"], ["img.jpg"]),
    "suffix-of-no-image": ("img.v2\n", [], ["img.v2"]),
    "suffix-and-none": ("img.jpg\nimg\n", [], ["img", "img"]),
    "dot-file": (".png\n", [], [".png"]),
    "comment": ("# made by hand\na\n", [], ["a"]),
    "comment-like-id": ("#1\na\n", ["#1"], ["#1", "a"]),
    "spaced-separator": ("a\u00a0b\n", [], ["a\u00a0b"]),
}


@pytest.mark.parametrize(("text", "masked", "ids"), GOOD_LISTS.values(), ids=GOOD_LISTS)
def test_list(text: str, masked: list[str], ids: list[str]) -> None:
    assert parse(text, *masked) == ids


BAD_LISTS: dict[str, tuple[str, type[SegmaskImportError], int, str]] = {
    # what is special: text, error, its line, what the message says
    "up": ("a\n../b\n", UnsafePathError, 2, "'../b'"),
    "up-inside": ("a/../../b\n", UnsafePathError, 1, "'.' or '..'"),
    "up-by-backslash": ("..\\b\n", UnsafePathError, 1, "'.' or '..'"),
    "up-once-the-suffix-is-gone": ("...png\n", UnsafePathError, 1, "'..'"),
    "here-once-the-suffix-is-gone": ("a/..jpg\n", UnsafePathError, 1, "'a/.'"),
    "windows-drops-the-space": ("a/.. /b\n", UnsafePathError, 1, "'.' or '..'"),
    "absolute": ("/etc/passwd\n", UnsafePathError, 1, "an absolute path"),
    "share": ("\\\\server\\share\n", UnsafePathError, 1, "an absolute path"),
    "drive": ("C:\\a\n", UnsafePathError, 1, "an absolute path"),
    "drive-without-slash": ("c:a\n", UnsafePathError, 1, "an absolute path"),
    "double-slash": ("a//b\n", UnsafePathError, 1, "empty"),
    "nul": ("a\x00b\n", UnsafePathError, 1, "control character"),
    "tab-inside": ("a\tb\n", SubsetListError, 1, "write only the id, here 'a'"),
    "old-mac-newlines": ("a\rb\r", UnsafePathError, 1, "control character"),
    "litter": ("a\n._b\n", SubsetListError, 2, "what systems leave behind"),
    "litter-of-a-folder": ("__MACOSX/b.png\n", SubsetListError, 1, "what systems leave behind"),
    "huge-line": ("a\n" + "x" * 5000, SubsetListError, 2, "5,000 characters"),
}


@pytest.mark.parametrize(("text", "kind", "line", "says"), BAD_LISTS.values(), ids=BAD_LISTS)
def test_bad_list(text: str, kind: type[SegmaskImportError], line: int, says: str) -> None:
    with pytest.raises(kind) as caught:
        parse(text)
    assert caught.value.where == f"{WHERE}:{line}"
    assert says in str(caught.value)
    assert "Expected " in str(caught.value)
    assert "To fix it: " in str(caught.value)


def test_many_lines() -> None:
    ids = [f"folder/{n}" for n in range(100_000)]
    assert parse("".join(f"{item_id}.jpg\n" for item_id in ids)) == ids


ids = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30) | st.from_regex(
    r"\A[#./ a]{0,4}[a-z#]{1,3}(\.jpg|\.png|\.tar)?\Z"
)


@given(ids, st.booleans())
def test_line_gives_the_id_back(item_id: str, has_mask: bool) -> None:
    problem = problem_of_listed(item_id, has_mask)
    line = list_line(item_id, has_mask) + "\n"
    if problem:
        return
    assert parse(line, *[item_id] * has_mask) == [item_id]


@pytest.mark.parametrize(
    ("item_id", "has_mask", "says"),
    [
        pytest.param(" a", True, "white space", id="space-first"),
        pytest.param("a ", True, "white space", id="space-last"),
        pytest.param("\ufeffa", True, "byte-order mark", id="byte-order-mark"),
        pytest.param("#a", False, "comment", id="comment-without-mask"),
        pytest.param("x" * 4093, True, "longer than 4092", id="too-long"),
        pytest.param("a\nb", True, "control character", id="newline"),
        pytest.param("../a", True, "'..'", id="up"),
        pytest.param("", True, "empty", id="empty"),
    ],
)
def test_ids_that_no_list_holds(item_id: str, has_mask: bool, says: str) -> None:
    assert says in str(problem_of_listed(item_id, has_mask))


@given(st.text(max_size=200), st.booleans())
def test_any_text_gives_safe_ids_or_an_error(text: str, masked: bool) -> None:
    try:
        found = list(parse_subset_list(text.split("\n"), WHERE, lambda _: masked))
    except SegmaskImportError:
        return
    assert not [item_id for item_id in found if problem_of_name(item_id)]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("name", "stem", "suffix"),
    [
        ("a.png", "a", ".png"),
        ("a.b/c", "a.b/c", ""),
        ("a.b/c.png", "a.b/c", ".png"),
        ("a.tar.gz", "a.tar", ".gz"),
        (".png", ".png", ""),
        ("a/.png", "a/.png", ""),
        ("a.", "a", "."),
        ("", "", ""),
    ],
)
def test_split_suffix(name: str, stem: str, suffix: str) -> None:
    assert split_suffix(name) == (stem, suffix)


def test_check_name_returns_what_is_safe() -> None:
    assert check_name("a/b c.d", "x") == "a/b c.d"
    with pytest.raises(UnsafePathError, match=r"^list: the name 'a\\\\b'.*backslash.*rename"):
        check_name("a\\b", "list")


@pytest.mark.parametrize(
    "name", ["__MACOSX/a.png", "a/.DS_Store", "a/Thumbs.db", "THUMBS.DB", "a/._b.png", "._a/b"]
)
def test_stranger(name: str) -> None:
    assert is_litter(name)


@pytest.mark.parametrize("name", ["a.png", "x__MACOSX/a", "a._b", "a/.hidden", "Thumbs.db.png"])
def test_no_stranger(name: str) -> None:
    assert not is_litter(name)


@pytest.mark.parametrize(
    ("names", "roots"),
    [
        pytest.param(["SegmentationClass/a.png"], [""], id="top"),
        pytest.param(["ImageSets/Segmentation/default.txt"], [""], id="list-only"),
        pytest.param(["SegmentationObject/a/b.png"], [""], id="instances-only"),
        pytest.param(["my task/SegmentationClass/a.png"], ["my task/"], id="one-down"),
        pytest.param(["x/y/SegmentationClass/a.png"], ["x/y/"], id="two-down"),
        pytest.param(["x/y/z/SegmentationClass/a.png"], ["x/y/z/"], id="three-down"),
        pytest.param(["1/2/3/4/SegmentationClass/a.png"], [], id="four-down-is-too-far"),
        pytest.param(["SegmentationClass"], [], id="a-file-of-that-name"),
        pytest.param(["labelmap.txt", "JPEGImages/a.jpg"], [], id="no-masks-no-lists"),
        pytest.param(["__MACOSX/SegmentationClass/._a.png"], [], id="stranger"),
        pytest.param(
            ["b/SegmentationClass/a.png", "a/SegmentationClass/a.png"], ["a/", "b/"], id="two"
        ),
        pytest.param(
            ["SegmentationClass/a.png", "backup/SegmentationClass/a.png"], [""], id="shallowest"
        ),
        pytest.param(
            ["ImageSets/Segmentation/a.txt", "x/y/SegmentationClass/a.png"],
            ["x/y/"],
            id="masks-below-lists",
        ),
        pytest.param(
            ["x/ImageSets/Segmentation/a.txt", "y/SegmentationObject/a.png"],
            ["y/"],
            id="masks-beside-lists",
        ),
        pytest.param(
            ["x/ImageSets/Segmentation/a.txt", "x/SegmentationClass/a.png"], ["x/"], id="both"
        ),
        pytest.param(
            ["SegmentationClass/SegmentationClass/a.png"], [""], id="item-in-a-like-named-folder"
        ),
    ],
)
def test_roots(names: list[str], roots: list[str], tmp_path: Path) -> None:
    """In the names of a zip, and in folders."""
    assert roots_of(names) == roots
    as_folder(dict.fromkeys(names, b""), tmp_path)
    assert archive_roots(str(tmp_path)) == [str(tmp_path / root) for root in roots]


def test_places() -> None:
    places: dict[str, Any] = {
        "SegmentationClass/a/b.png": layout.class_mask("a/b"),
        "SegmentationObject/a/b.png": layout.instance_mask("a/b"),
        "JPEGImages/a/b.JPG": layout.image("a/b", ".JPG"),
        "ImageSets/Segmentation/train_v2.txt": layout.subset_list("train_v2"),
    }
    assert list(places) == list(places.values())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x\na 1\n", "write only the id, here 'a'"),
        ("x\na -1 2\n", "has columns"),
        ("x\na\t1\n", "write only the id, here 'a'"),
        ("x\nJPEGImages/a.jpg SegmentationClass/a.png\n", "write only the id, here 'a'"),
        ("x\n/JPEGImages/a.jpg /SegmentationClass/a.png\n", "write only the id, here 'a'"),
        ("x\n/data/voc/JPEGImages/b/c.JPG\n", "write only the id, here 'b/c'"),
        ("x\nC:\\voc\\SegmentationClass\\a.png\n", "write only the id, here 'a'"),
        ("x\n/elsewhere/a.jpg\n", "has a path"),
    ],
)
def test_lines_that_hold_more_than_an_id(text: str, says: str) -> None:
    with pytest.raises(SubsetListError, match=r"the line .* has") as caught:
        parse(text, "a", "b/c")
    assert (caught.value.kind, caught.value.where) == ("list-line", f"{WHERE}:2")
    assert says in str(caught.value)
    assert "rename" not in str(caught.value)


def test_names_with_spaces_and_commas_are_ids() -> None:
    names = ["a", "a (2)", "a, b", "a b", "2, 3", "b 1"]
    assert parse("\n".join(names), "a") == names
    assert parse("a 1\nSegmentationClass/a\n", "a", "a 1", "SegmentationClass/a") == [
        "a 1",
        "SegmentationClass/a",
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("car\nroad\n", "names of labels"),
        ("# classes\n\ncar\n", "names of labels"),
        ("1,car\n2,road\n", "columns"),
        ("car 12\nroad 3\n", "columns"),
        ("car\t12\n", "columns"),
        ("car\ntruck\n", None),
        ("name,number\ncar,12\nroad,3\n", "columns"),
        ("car 12\nx\n", None),
        ("car 12\nx y\nx z\n", None),
        ("x 1\ny 2\n", None),
        ("x, y\n", None),
        ("frame 1\n", None),
        ("car\na\n", None),
        ("a 1\nb 2\n", None),
        ("a\t1\n", None),
        ("x 1\nJPEGImages/a.jpg 1\n", None),
        ("", None),
        ("# nothing\n", None),
    ],
)
def test_tables_among_the_lists(text: str, why: str | None) -> None:
    found = why_no_list(text.split("\n"), {"car", "road"}, {"a"}.__contains__)
    assert (found is None) == (why is None)
    assert why is None or why in str(found)


def test_names_in_zips() -> None:
    """Without the flag a name is UTF-8 where it is valid UTF-8, else cp437."""
    meant = "größe/Ünï.png"
    for flag in (0, 1 << 11):
        assert decode_name(meant.encode(), flag, "z", "cp437") == meant
    assert decode_name("größe.png".encode("cp437"), 0, "z", "cp437") == "größe.png"


def test_places_of_an_item() -> None:
    assert next(layout.mask_places("SegmentationClass", "a")) == "SegmentationClass/a.png"
    places = set(layout.mask_places("SegmentationClass", "a"))
    assert len(places) == 8
    assert {"SegmentationClass/a.PNG", "SegmentationClass/a.Png"} < places
    composed, apart = "\u00e9", "e\u0301"
    assert layout.forms_of(composed) == [composed, apart]
    assert layout.forms_of(apart) == [apart, composed]


def test_suffixes_of_images_are_datumaros() -> None:
    from datumaro.util.image import IMAGE_EXTENSIONS

    assert set(IMAGE_EXTENSIONS) - set(layout.IMAGE_SUFFIXES) == set()


def test_ids_of_a_hundred_folders_are_written_and_of_more_are_not() -> None:
    assert layout.problem_of_new_name("a/" * 100 + "a") is None
    assert layout.problem_of_new_name("a/" * 101 + "a") == "it has more than 100 folders"


def test_a_list_that_repeats_a_line_asks_once_whether_it_names_an_item() -> None:
    asked = []

    def exists(name: str) -> bool:
        asked.append(name)
        return True

    lines = ["a.jpg", "#b", "a.jpg"] * 100
    assert [*parse_subset_list(lines, "list", exists)] == ["a.jpg", "#b", "a.jpg"] * 100
    assert len(asked) < 10
