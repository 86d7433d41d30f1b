"""What is said of an archive that is no error, and errors as findings."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from datumaro_segmask.archive.class_lookup import ClassLookup
from datumaro_segmask.archive.item import scan_items
from datumaro_segmask.archive.labelmap import parse_label_map, voc_label_map
from datumaro_segmask.errors import SegmaskError, SegmaskImportError, UsageError
from datumaro_segmask.png.container import MAX_PIXELS
from datumaro_segmask.rules import RULES, Finding, log_findings, open_archive
from datumaro_segmask.rules.facts import LabelFacts
from datumaro_segmask.storage import layout

from ..archives import PALETTE, archive, as_folder, gray, plane, raw_png, rgb

ROOT = Path(__file__).parents[2]
CITED = re.compile(r"format\.md\W{1,3}sections? (\d+(?:(?:, | to | and )\d+)*)")
PAST_PALETTE = raw_png(plane("021")[..., None], 8, PALETTE, palette=bytes(6))


def test_background_by_name_beside_a_black_label() -> None:
    """CVAT's documentation goes by name, its code by colour."""
    found = parse_label_map("void:0,0,0::\nbackground:9,9,9::\n", "labelmap.txt")
    assert found.background == 1
    (doubt,) = RULES["background"].findings(LabelFacts(found))
    assert (doubt.kind, doubt.file) == ("background", "labelmap.txt")
    for part in ("'background'", "'void'", "black"):
        assert part in doubt.what


def test_reading_an_attribute_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    found = parse_label_map("void:0,0,0::\nbackground:9,9,9::\n", "labelmap.txt")
    with caplog.at_level(logging.DEBUG):
        assert (found.background, found.black) == (1, 0)
    assert not caplog.records


def test_an_import_warns_once_of_the_background(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    labels = "void:0,0,0::\nbackground:9,9,9::\n"
    path = as_folder(archive({"a": rgb("0")}, labels=labels), tmp_path / "task")
    opened = open_archive(str(path))
    ClassLookup(opened.label_map)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert str(path / "labelmap.txt") in caplog.messages[0]


def test_findings_of_a_kind_are_one_line(caplog: pytest.LogCaptureFixture) -> None:
    files = ["c", "a", "b"]
    findings = [Finding("unlisted-masks", file, f"odd {file}", "do it") for file in files]
    log_findings("/x/{}".format, iter(findings))
    log_findings("/x/{}".format, [])
    assert caplog.messages == ["/x/a: odd a (3 items in all). To fix it: do it."]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("car,255,0,0\nroad:1,2,3::\n", ["car,255,0,0"]),
        ("car;255;0;0\n", ["car;255;0;0"]),
        ("car 255 0 0:1,2,3::\n", ["car 255 0 0"]),
        ("0 background\n1 car\n", ["0 background", "1 car"]),
        ("1: car:1,2,3\n2: road:3,4,5\n", ["1: car", "2: road"]),
        ("255 0 0 car\n", ["255 0 0 car"]),
        ("car\uff1a255,0,0\uff1a\uff1a\n", ["car\uff1a255,0,0\uff1a\uff1a"]),
        ("background\n3 wheeler\n2 door\n", []),
        ("lane 1,2\nroute 66\n", []),
        ("car\nroad\n", []),
    ],
)
def test_names_like_lines_of_another_tool(text: str, names: list[str]) -> None:
    found = list(RULES["label-name"].findings(LabelFacts(parse_label_map(text, "labelmap.txt"))))
    assert [repr(name) in finding.what for finding, name in zip(found, names, strict=True)] == [
        True
    ] * len(names)
    assert {finding.kind for finding in found} <= {"label-name"}


def test_voc_labels_are_no_lines_of_another_tool() -> None:
    assert list(RULES["label-name"].findings(LabelFacts(voc_label_map()))) == []


# Reading past faults


def test_a_faulty_line_keeps_its_place() -> None:
    errors: list[SegmaskImportError] = []
    text = "a:0,0,0\nb:300,0,0\na:1,1,1\nc:0,0,0\nd:5,5,5\n"
    found = parse_label_map(text, "labelmap.txt", errors.append)
    assert [(error.kind, error.where) for error in errors] == [
        ("label-map", "labelmap.txt:2"),
        ("label-map", "labelmap.txt:3"),
    ]
    assert [label.name for label in found.labels if not label.is_stand_in] == ["a", "c", "d"]
    assert [label.index for label in found.labels] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("class_mask", "instance_mask", "kinds"),
    [
        (rgb("013"), rgb("011"), ["undeclared-color"]),
        (gray("013"), rgb("011"), ["undeclared-value"]),
        (rgb("013"), rgb("011")[:-20], ["unreadable-mask", "undeclared-color"]),
        (rgb("013")[:-20], rgb("011")[:-20], ["unreadable-mask", "unreadable-mask"]),
        (rgb("013"), b"", ["unreadable-mask", "undeclared-color"]),
        (rgb("013"), rgb("01"), ["mask-size", "undeclared-color"]),
        (rgb("013"), PAST_PALETTE, ["unreadable-mask", "undeclared-color"]),
        (PAST_PALETTE, rgb("011"), ["unreadable-mask"]),
        (rgb("01"), PAST_PALETTE, ["mask-size", "unreadable-mask"]),
    ],
    ids=[
        "colour",
        "value",
        "colour-beside-broken",
        "both-broken",
        "no-png",
        "sizes",
        "broken-pixels",
        "broken-pixels-of-classes",
        "broken-pixels-and-sizes",
    ],
)
def test_all_faults_of_an_item(
    class_mask: bytes, instance_mask: bytes, kinds: list[str], tmp_path: Path
) -> None:
    """Each is told once, whatever else is wrong."""
    files = archive({"a": class_mask}, {"a": instance_mask})
    opened = open_archive(str(as_folder(files, tmp_path / "task")))
    (scan,) = scan_items(opened.storage, ClassLookup(opened.label_map), ["a"], MAX_PIXELS)
    assert [error.kind for error in scan.errors] == kinds


def test_every_file_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults or not; undeclared colours alone are looked at again, to be counted."""
    files = archive({"a": rgb("012")}, {"a": rgb("011")[:-20]})
    opened = open_archive(str(as_folder(files, tmp_path / "task")))
    names: list[str] = []
    read = opened.storage.read

    def noting(name: str) -> bytes:
        names.append(name)
        return read(name)

    monkeypatch.setattr(opened.storage, "read", noting)
    list(scan_items(opened.storage, ClassLookup(opened.label_map), ["a"], MAX_PIXELS))
    assert sorted(names) == [layout.class_mask("a"), layout.instance_mask("a")]


def test_a_label_map_that_cannot_be_read_accuses_no_mask(tmp_path: Path) -> None:
    files = archive({"a": rgb("123"), "b": gray("9"), "c": PAST_PALETTE}, labels="")
    errors: list[SegmaskImportError] = []
    opened = open_archive(str(as_folder(files, tmp_path / "task")), report=errors.append)
    for scan in scan_items(opened.storage, ClassLookup(opened.label_map), "abc", MAX_PIXELS):
        errors += scan.errors
    assert [error.kind for error in errors] == ["label-map", "unreadable-mask"]


# Kinds and sections


def error_classes(base: type[SegmaskError] = SegmaskError) -> list[type[SegmaskError]]:
    """Return the errors that are about an archive, not about what a command was given."""
    below = [kind for part in base.__subclasses__() for kind in error_classes(part)]
    all_of_them = [kind for kind in [base, *below] if hasattr(kind, "section")]
    return [kind for kind in all_of_them if not issubclass(kind, UsageError)]


def test_errors_of_an_import_have_a_kind_that_check_knows() -> None:
    found = {kind.kind for kind in error_classes(SegmaskImportError)} - {"source"}  # of others
    assert found <= set(RULES)


def test_every_cited_section_exists() -> None:
    text = (ROOT / "docs" / "format.md").read_text("utf-8")
    there = set(map(int, re.findall(r"^## (\d+)\.", text, re.M)))
    cited = {kind.section for kind in RULES.values()} | {kind.section for kind in error_classes()}
    for path in (ROOT / "datumaro_segmask").rglob("*.py"):
        source = " ".join(path.read_text("utf-8").split())
        for numbers in re.findall(
            r"format\.md\W{1,3}sections? (\d+(?:(?:, | to | and )\d+)*)", source
        ):
            cited |= set(map(int, re.findall(r"\d+", numbers)))
    assert cited - {0} <= there
