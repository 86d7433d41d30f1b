"""`check --for cvat`: every row of the table of docs/format.md, section 7, on folder and zip."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from datumaro_segmask.cli.check.survey import check
from datumaro_segmask.errors import ArchiveError
from datumaro_segmask.rules import severity_of

from ..archives import (
    CONTAINERS,
    GRAY,
    LABELS,
    Files,
    archive,
    as_zip,
    gray,
    gray_alpha_png,
    jpeg,
    painted,
    palette_png,
    plane,
    png,
    raw_png,
    rgb,
)

CLASSES, NUMBERS = rgb("111222 111222 111222"), rgb("111222 111222 111222")
MASKS: Mapping[str, Any] = {"classes": {"a": CLASSES}, "instances": {"a": NUMBERS}}
MANY = "".join(f"l{i}:{i},{255 - i % 256},7::\n" for i in range(256))


def sound(**changes: Any) -> Files:
    """An archive that CVAT takes as it is, but for the changes."""
    return archive(**{**MASKS, **changes})


def large(mask: np.ndarray) -> np.ndarray:
    return np.kron(mask, np.ones((3, 3), mask.dtype))


class Row(NamedTuple):
    """What is special about an archive, and all that CVAT has against it, by severity."""

    files: Files
    error: Set[str] = frozenset()
    warning: Set[str] = frozenset()
    note: Set[str] = frozenset()


ALPHA = gray_alpha_png(large(plane("12")), large(plane("12")) * 0 + 255)
ONE_BIT = raw_png(large(plane("01"))[..., None], 1)
FOUR_BITS = raw_png(large(plane("02"))[..., None], 4)
LINES = "".join(f"l{i}:{i},{255 - i},7::\n" for i in range(35))
MAIN = {"ImageSets/Main/default.txt": b"a\n", "Annotations/a.xml": b"<annotation/>"}
BOX = b"<bndbox><xmin>0</xmin><xmax>2.5</xmax><ymin>0</ymin><ymax>2</ymax></bndbox>"
BOXES = b"<annotation><object><name>car</name>" + BOX + b"</object></annotation>"
PARTS = BOXES.replace(b"</object>", b"<part><name>wheel</name>" + BOX + b"</part></object>")
META = b'{"label_map": {"0": "background", "1": "car", "2": "road"}}'

ROWS: dict[str, Row] = {
    "sound": Row(sound()),
    "gray-by-colour": Row(
        sound(
            classes={"a": png(np.full((3, 3), 255, np.uint8))},
            instances={"a": rgb("111 111 111")},
            labels=LABELS + "white:255,255,255::\n",
        ),
        error={"gray-as-no-label"},
    ),
    "palette": Row(sound(classes={"a": palette_png(large(plane("12")), painted("012")[0])})),
    "gray": Row(sound(classes={"a": gray("111222 111222 111222")})),
    "background-last": Row(sound(labels="car:128,0,0::\nroad:0,128,0::\nbackground:0,0,0::\n")),
    "unicode-ids": Row(archive({"д/ö 1.2": CLASSES}, {"д/ö 1.2": NUMBERS})),
    "class-masks-alone-with-background": Row(
        archive({"a": rgb("0001 0001")}), error={"missing-instance-mask"}
    ),
    "class-masks-alone-without-background": Row(
        archive({"a": CLASSES}), note={"no-instance-mask"}
    ),
    "instance-partly-on-background": Row(
        archive({"a": rgb("0111 0111 0111")}, {"a": rgb("1111 1111 1111")}),
        warning={"instance-without-class"},
    ),
    "instance-on-a-background-whose-line-comes-later": Row(
        archive({"a": rgb("0111 0111 0111")}, {"a": rgb("1111 1111 1111")},
                labels="car:128,0,0::\nroad:0,128,0::\nbackground:0,0,0::\n"),
        error={"background-wins"},
        warning={"instance-without-class"},
    ),
    "instance-between-the-lines-of-two-labels": Row(
        archive({"a": rgb("0222 0222 0222")}, {"a": rgb("1111 1111 1111")},
                labels="car:128,0,0::\nbackground:0,0,0::\nroad:0,128,0::\n"),
        warning={"instance-without-class"},
    ),
    "instance-on-background-alone": Row(
        archive({"a": rgb("000111 000111 000111")}, {"a": rgb("111222 111222 111222")}),
        error={"lost-instance"},
    ),
    "stuff-beside-things": Row(
        archive({"a": CLASSES}, {"a": rgb("111000 111000 111000")}),
        warning={"class-without-instance"},
    ),
    "two-fields": Row(sound(labels=LABELS.replace("::", "")), error={"cvat-label-line"}),
    "three-fields": Row(sound(labels=LABELS.replace("::", ":")), error={"cvat-label-line"}),
    "colon-in-a-name": Row(sound(labels=LABELS + "a:b:9,9,9::\n"), error={"cvat-label-line"}),
    "one-bit-to-another-label": Row(
        archive({"a": ONE_BIT}, {"a": rgb("000111 000111 000111")}, labels=MANY),
        warning={"class-without-instance", "gray-as-other-label"},
        note={"no-background"},
    ),
    "one-bit-to-no-label": Row(
        archive({"a": ONE_BIT}, {"a": rgb("000111 000111 000111")}), error={"gray-as-no-label"}
    ),
    "four-bits-to-another-label": Row(
        archive({"a": FOUR_BITS}, {"a": rgb("000111 000111 000111")}, labels=LINES),
        warning={"class-without-instance", "gray-as-other-label"},
        note={"no-background"},
    ),
    "blank-one-bit": Row(
        archive(
            {"a": raw_png(plane("00 00")[..., None], 1, GRAY)}, {"a": gray("00 00")}
        )
    ),
    "gray-with-alpha": Row(sound(classes={"a": ALPHA}), error={"gray-alpha"}),
    "gray-with-alpha-of-instances": Row(sound(instances={"a": ALPHA}), error={"gray-alpha"}),
    "list-with-suffixes": Row(sound(lists={"default": "a.jpg\n"}), error={"cvat-list-line"}),
    "list-of-masks": Row(sound(lists={"default": "a.png\n"}), error={"cvat-list-line"}),
    "list-with-dots": Row(sound(lists={"default": "./a\n"}), error={"cvat-list-line"}),
    "list-with-mark": Row(sound(lists={"default": "\ufeffa\n"}), error={"cvat-list-line"}),
    "list-with-backslashes": Row(
        archive({"s/a": CLASSES}, {"s/a": NUMBERS}, lists={"default": "s\\a\r\n"}),
        warning={"list-backslash"},
    ),
    "id-like-a-comment": Row(
        archive({"#1": CLASSES}, {"#1": NUMBERS}), warning={"hash-id"}
    ),
    "id-like-a-file": Row(archive({"a.jpg": CLASSES}, {"a.jpg": NUMBERS})),
    "ids-of-digits": Row(
        archive({"1": CLASSES, "02": CLASSES}, {"1": NUMBERS, "02": NUMBERS}),
        note={"numeric-ids"},
    ),
    "same-id-in-two-subsets": Row(
        sound(lists={"train": "a\n", "val": "a\n"}), warning={"same-id"}
    ),
    "voc-beside-without-objects": Row(sound() | MAIN),
    "voc-boxes": Row(sound() | MAIN | {"Annotations/a.xml": BOXES}, warning={"voc-boxes"}),
    "voc-boxes-that-no-list-names": Row(sound() | {"Annotations/a.xml": BOXES}),
    "voc-boxes-of-parts": Row(
        sound(labels=LABELS.replace("car:128,0,0:", "car:128,0,0:wheel"))
        | {"ImageSets/Layout/default.txt": b"a 1\n", "Annotations/a.xml": PARTS},
        warning={"voc-boxes"},
    ),
    "voc-boxes-of-a-part-that-is-not-there": Row(
        sound() | {"ImageSets/Layout/default.txt": b"a\n", "Annotations/a.xml": PARTS},
        error={"voc-lists"},
    ),
    "voc-boxes-of-a-label-that-is-not-there": Row(
        sound() | MAIN | {"Annotations/a.xml": BOXES.replace(b"car", b"lorry")},
        error={"voc-lists"},
    ),
    "voc-boxes-of-the-background": Row(
        sound() | MAIN | {"Annotations/a.xml": BOXES.replace(b"car", b"background")},
        error={"voc-lists"},
    ),
    "voc-layout-of-objects-without-parts": Row(
        sound() | {"ImageSets/Layout/default.txt": b"a 1\n", "Annotations/a.xml": BOXES}
    ),
    "voc-action-of-a-label-without-actions": Row(
        sound() | {"ImageSets/Action/default.txt": b"a\n", "Annotations/a.xml": BOXES}
    ),
    "voc-action-of-a-label-with-actions": Row(
        sound(labels=LABELS.replace("car:128,0,0::", "car:128,0,0::runs"))
        | {"ImageSets/Action/default.txt": b"a\n", "Annotations/a.xml": BOXES},
        warning={"voc-boxes"},
    ),
    "voc-tags-in-a-line-that-is-none": Row(
        sound() | MAIN | {"ImageSets/Main/car_default.txt": b"a 2\n"}, error={"voc-lists"}
    ),
    "voc-tags-of-the-background": Row(
        sound() | MAIN | {"ImageSets/Main/background_default.txt": b"a 1\n"},
        error={"voc-lists"}, warning={"voc-boxes"},
    ),
    "voc-tags-of-other-items": Row(
        sound() | MAIN | {"ImageSets/Main/car_default.txt": b"b 1\n"}
    ),
    "voc-tags": Row(
        sound() | MAIN | {"ImageSets/Main/car_default.txt": b"a  1\n"}, warning={"voc-boxes"}
    ),
    "voc-tags-of-nothing": Row(sound() | MAIN | {"ImageSets/Main/car_default.txt": b"a -1\n"}),
    "voc-list-with-columns": Row(
        sound() | {"ImageSets/Action/default.txt": b"a 1\n"}, error={"voc-lists"}
    ),
    "voc-list-of-an-id-without-masks": Row(
        sound() | {"ImageSets/Main/train.txt": b"b\n"}, error={"voc-lists"}
    ),
    "voc-list-that-is-skipped": Row(sound() | {"ImageSets/Main/train_x.txt": b"b\n"}),
    "part-with-the-name-of-a-label": Row(
        sound(labels=LABELS.replace("car:128,0,0:", "car:128,0,0:road")),
        error={"part-is-a-label"},
    ),
    "part-without-a-name": Row(
        sound(labels=LABELS.replace("car:128,0,0:", "car:128,0,0:wheel,")),
        error={"cvat-label-line"},
    ),
    "one-part-of-two-labels": Row(sound(labels=LABELS.replace("0::", "0:wheel:"))),
    "five-fields": Row(
        sound(labels=LABELS.replace("car:128,0,0::", "car:128,0,0:::")), error={"cvat-label-line"}
    ),
    "colour-with-a-plus": Row(sound(labels=LABELS.replace("128,0,0", "+128,0,0"))),
    "colour-in-digits-of-another-script": Row(
        sound(labels=LABELS.replace("128,0,0", "\uff11\uff12\uff18,0,0"))
    ),
    "colour-with-an-underscore": Row(sound(labels=LABELS.replace("128,0,0", "1_28,0,0"))),
    "gray-of-no-line-where-no-instance-is": Row(
        sound(classes={"a": gray("999222 999222 999222")},
              instances={"a": rgb("000222 000222 000222")}),
    ),
    "gray-of-no-line-in-an-instance": Row(
        sound(classes={"a": gray("111999 111999 111999")}), error={"undeclared-value"}
    ),
    "numbers-that-stay-apart-modulo-256": Row(
        sound(instances={"a": png(plane("111222 111222 111222").astype(np.uint16) * 257)})
    ),
    "numbers-that-meet-modulo-256": Row(
        sound(instances={"a": png(np.array([0, 1, 257], np.uint16)[plane(
            "111222 111222 111222")])}),
        warning={"sixteen-bits"},
    ),
    "subset-that-begins-with-a-dot": Row(
        sound(lists={".x": "a\n", "y": "a\n"}), warning={"subset-name", "same-id"}
    ),
    "all-subsets-begin-with-a-dot": Row(sound(lists={".x": "a\n"}), error={"subset-names"}),
    "subset-with-a-colon": Row(sound(lists={"a:b": "a\n"})),
    "main-lists-alone": Row(
        sound(lists={}) | {"ImageSets/Main/default.txt": b"a\n"},
        warning={"main-lists"},
    ),
    "meta-with-other-labels": Row(
        sound() | {"dataset_meta.json": b'{"label_map": {"0": "dog"}}'}, error={"dataset-meta"}
    ),
    "meta-that-is-none": Row(sound() | {"dataset_meta.json": b"[]"}, error={"dataset-meta"}),
    "meta-with-other-colours": Row(
        sound() | {"dataset_meta.json": META[:-1] + b', "segmentation_colors": '
                   b"[[0, 0, 0], [0, 128, 0], [128, 0, 0]]}"}, error={"dataset-meta"}
    ),
    "meta-without-colours-where-those-of-voc-are-others": Row(
        sound(labels=LABELS.replace("0,128,0", "1,1,1"),
              classes={"a": png(np.full((3, 3, 3), 1, np.uint8))},
              instances={"a": rgb("111 111 111")})
        | {"dataset_meta.json": META}, error={"dataset-meta"}
    ),
    "meta-with-the-same-labels": Row(sound() | {"dataset_meta.json": META}),
    "meta-with-the-same-labels-in-another-order": Row(
        sound() | {"dataset_meta.json": b'{"label_map": {"0": "background", "2": "road", "1": "car"'
                   b'}, "segmentation_colors": [[0, 0, 0], [0, 128, 0], [128, 0, 0]]}'}
    ),
    "meta-with-more-labels-that-no-mask-uses": Row(
        sound() | {"dataset_meta.json": META.replace(b"}", b', "3": "bus"}')}
    ),
    "meta-with-another-background-of-the-same-colour": Row(
        sound() | {"dataset_meta.json": META.replace(b"background", b"void")}
    ),
    "meta-without-the-colour-of-the-background": Row(
        sound() | {"dataset_meta.json": b'{"label_map": {"1": "car", "2": "road"}, '
                   b'"segmentation_colors": [[128, 0, 0], [0, 128, 0]]}'}, error={"dataset-meta"}
    ),
    "meta-with-a-part-named-as-a-label": Row(
        sound() | {"dataset_meta.json": META[:-1] + b', "parts": {"1": ["road"]}}'},
        error={"dataset-meta"},
    ),
    "meta-with-a-byte-order-mark": Row(
        sound() | {"dataset_meta.json": b"\xef\xbb\xbf" + META}, error={"dataset-meta"}
    ),
    "table-beside-the-lists": Row(
        sound() | {"ImageSets/Segmentation/x.csv": b"a"}, warning={"list-name"}
    ),
    "one-subset-with-underscore": Row(
        sound(lists={"a": "a\n", "a_b": ""}), warning={"subset-name"}
    ),
    "all-subsets-with-underscore": Row(
        sound(lists={"c_d": "", "a_b": "a\n"}), error={"subset-names"}
    ),
    "256-labels": Row(
        sound(classes={"a": png(np.full((3, 3, 3), (255, 0, 7), np.uint8))}, labels=MANY,
              instances={"a": rgb("111 111 111")}),
        note={"no-background"},
    ),
    "257-labels-in-colour": Row(
        sound(classes={"a": png(np.full((3, 3, 3), (255, 0, 7), np.uint8))},
              labels=MANY + "one:1,1,1::\n", instances={"a": rgb("111 111 111")}),
        note={"no-background"},
    ),
    "257th-label-in-colour": Row(
        sound(classes={"a": png(np.full((3, 3, 3), (1, 1, 1), np.uint8))},
              labels=MANY + "one:1,1,1::\n", instances={"a": rgb("111 111 111")}),
        error={"many-labels"},
        note={"no-background"},
    ),
    "257-labels-in-gray": Row(
        sound(classes={"a": gray("111 111 111")}, instances={"a": rgb("111 111 111")},
              labels=MANY + "one:1,1,1::\n"),
        note={"no-background"},
    ),
    "instance-colour-256": Row(
        sound(classes={"a": rgb("111 111 111")},
              instances={"a": png(np.full((3, 3, 3), (0, 0, 32), np.uint8))}),
        error=set(),
    ),
    "instance-gray-256": Row(
        sound(
            classes={"a": rgb("111 111 111")},
            instances={"a": png(np.full((3, 3), 512, np.uint16))},
        ),
        warning={"sixteen-bits"},
    ),
    "background-by-name-beside-black": Row(
        archive(
            {"a": png(np.full((3, 3, 3), 0, np.uint8))},
            {"a": rgb("111 111 111")},
            labels="background:255,255,255::\ncar:0,0,0::\n",
        )
    ),
    "mark-before-the-background": Row(sound(labels="\ufeff" + LABELS)),
    "mark-before-a-label": Row(
        sound(labels="\ufeffcar:128,0,0::\nroad:0,128,0::\nbackground:0,0,0::\n"),
        error={"cvat-label-line"},
    ),
    "mark-before-the-head": Row(
        sound(labels="\ufeff# label:color_rgb:parts:actions\n" + LABELS), error={"cvat-label-line"}
    ),
    "image-of-another-size": Row(sound(images={"a.jpg": jpeg(5, 7)}), warning={"image-size"}),
    "three-folders-down": Row(
        {f"x/y/z/{name}": data for name, data in sound().items()}
    ),
    "thin-objects": Row(
        archive({"a": rgb("1000 1011 1011 1011")}, {"a": rgb("1000 1022 1022 1022")}),
        error=set(),
        warning={"thin-objects"},
    ),
    "capital-suffixes": Row(
        {name.replace(".png", ".PNG"): data for name, data in sound().items()},
        warning={"mask-name"},
    ),
    "capital-suffix-of-instances": Row(
        {name.replace("Object/a.png", "Object/a.PNG"): data for name, data in sound().items()},
        warning={"mask-name"}, note={"no-instance-mask"},
    ),
    "capital-suffix-of-instances-beside-background": Row(
        {name.replace("Object/a.png", "Object/a.PNG"): data for name, data in
         archive({"a": rgb("000111 000111 000111")}, {"a": rgb("000111 000111 000111")}).items()},
        warning={"mask-name"}, error={"missing-instance-mask"},
    ),
    "capital-suffix-of-classes": Row(
        {name.replace("Class/a.png", "Class/a.PNG"): data for name, data in sound().items()},
        warning={"mask-name"}, error={"missing-class-mask"},
    ),
    "two-labels-of-one-colour": Row(
        sound(labels=LABELS + "van:128,0,0::\n"), warning={"duplicate-color"}
    ),
}  # fmt: skip


@pytest.mark.parametrize("write", CONTAINERS.values(), ids=CONTAINERS)
@pytest.mark.parametrize("name", ROWS)
def test_row(name: str, write: Any, tmp_path: Path) -> None:
    row = ROWS[name]
    found = check(str(write(row.files, tmp_path / "task")), for_cvat=True)
    by_severity: dict[str | None, set[str]] = {"error": set(), "warning": set(), "note": set()}
    for finding in found.findings:
        by_severity[severity_of(finding, True)].add(finding.kind)
        assert finding.what
        assert finding.fix
    assert by_severity == {"error": row.error, "warning": row.warning, "note": row.note}


def test_names_that_zipfile_reads_otherwise(tmp_path: Path) -> None:
    """CVAT unpacks with it. Our own exports mark names as UTF-8."""
    files = sound(lists={"default": "a\n\u00e9\n"})
    files |= {
        f"Segmentation{k}/\u00e9.png": rgb("1000 1011 1011 1011") for k in ("Class", "Object")
    }
    files |= {"JPEGImages/\u00e9.jpg": jpeg(4, 4)}
    path = CONTAINERS["zip"](files, tmp_path / "task")
    names = {"mask-name", "zip-backslash"}
    assert not [f for f in check(str(path), for_cvat=True).findings if f.kind in names]
    data = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = -1
        while (at := data.find(mark, at + 1)) >= 0:
            data[at + flags + 1] &= ~8
    path.write_bytes(data)
    found = [f for f in check(str(path), for_cvat=True).findings if f.kind in names]
    assert {f.file for f in found} == {f"Segmentation{k}/\u00e9.png" for k in ("Class", "Object")}
    theirs = {name.rpartition("/")[2] for name in zipfile.ZipFile(path).namelist()}
    assert {f.what.split("'")[1] for f in found} <= theirs
    assert severity_of(found[0], True) == "warning"


def test_backslashes_in_a_zip(tmp_path: Path) -> None:
    files = {f"x\\{name}".replace("/", "\\"): data for name, data in sound().items()}
    found = check(str(CONTAINERS["zip"](files, tmp_path / "task")), for_cvat=True)
    errors = [f.kind for f in found.findings if severity_of(f, True) == "error"]
    assert errors == ["zip-backslash"]
    assert not check(str(tmp_path / "task.zip")).findings


XML_FAULTS = {
    "other-root": (b"annotation", b"boxes"),
    "size": (b"<object>", b"<size><width>3.5</width></size><object>"),
    "file-name": (b"<object>", b"<filename/><object>"),
    "no-label": (b"<name>car</name>", b""),
    "spaces": (b">car<", b"> car<"),
    "no-box": (BOX, b""),
    "empty-box": (BOX, b"<bndbox/>"),
    "half-a-box": (b"<ymax>2</ymax>", b""),
    "number": (b"2.5", b"2,5"),
    "flag": (BOX, BOX + b"<difficult>yes</difficult>"),
    "point": (BOX, BOX + b"<point><x>1</x></point>"),
    "action": (BOX, BOX + b"<actions><runs>2</runs></actions>"),
    "part": (BOX, BOX + b"<part><name>hub</name>" + BOX + b"</part>"),
    "attribute": (BOX, BOX + b"<attributes><attribute><name>x</name></attribute></attributes>"),
    "no-xml": (b"</annotation>", b""),
    "entity": (b"<annotation>", b'<!DOCTYPE a [<!ENTITY e "car">]><annotation>'),
}


@pytest.mark.parametrize("name", XML_FAULTS)
def test_xml_for_which_cvat_refuses_the_archive(name: str, tmp_path: Path) -> None:
    old, new = XML_FAULTS[name]
    files = sound() | MAIN | {"Annotations/a.xml": BOXES.replace(old, new)}
    found = check(str(CONTAINERS["zip"](files, tmp_path / "task")), for_cvat=True).findings
    assert [(f.kind, f.file) for f in found] == [("voc-lists", "Annotations/a.xml")]


def test_thin_objects_are_those_of_which_no_polygon_comes(tmp_path: Path) -> None:
    """Diagonal ones too; Datumaro's own function is the judge, as in CVAT."""
    numbers = np.zeros((60, 60), np.uint8)
    numbers[:20, :20] += np.eye(20, dtype=np.uint8)  # vanishes
    numbers[0:20, 40:42] = 2  # vanishes
    numbers[40:43, 0:20] = 3  # keeps a part
    numbers[30:60, 30] = numbers[59, 30:60] = 4  # an L: keeps a part
    files = archive({"a": png(np.minimum(numbers, 1))}, {"a": png(numbers)})
    found = check(str(CONTAINERS["zip"](files, tmp_path / "task")), for_cvat=True)
    (thin,) = [finding for finding in found.findings if finding.kind == "thin-objects"]
    assert thin.what.startswith("2 objects (20 x 20, 2 x 20) and thin parts of 1 object would")


def test_thin_parts_of_objects_are_counted_in_pixels(tmp_path: Path) -> None:
    """A square of 30 x 30 keeps all but its border, and a line beside it vanishes."""
    numbers = np.zeros((60, 60), np.uint8)
    numbers[:30, :30] = 1
    numbers[40, :40] = 1
    numbers[50:60, 50:60] = 2
    files = archive({"a": png(np.minimum(numbers, 1))}, {"a": png(numbers)})
    found = check(str(CONTAINERS["zip"](files, tmp_path / "task")), for_cvat=True)
    (thin,) = found.findings
    assert thin.what.startswith("thin parts of 1 object would vanish")
    assert thin.pixels == 40


IN_ZIPS = {
    "finder": (("my task/", "__MACOSX/._my task", "__MACOSX/my task/._a"), {"zip-root"}),
    "picture-beside": (("x/", "preview.jpg"), {"zip-root"}),
    "folder-beside": (("x/", "notes/"), {"zip-root"}),
    "beside-a-folder-in-between": (("x/y/", "x/README.md"), {"zip-root"}),
    "hidden-folder": ((".task/",), {"zip-root"}),
    "folder-of-macs": (("__MSOSX/",), {"zip-root"}),
    "pattern-above": (("t[ab]/x/",), {"zip-root"}),
    "pattern": (("t[ab]/",), set()),
    "marks": (("t?/x/",), set()),
    "hidden-file-beside": (("x/", ".DS_Store", "._x"), set()),
    "beside-the-root": (("", "README.md", "__MACOSX/._a"), set()),
    "three-folders-down": (("x/y/z/",), set()),
}


@pytest.mark.parametrize("name", IN_ZIPS)
def test_how_cvat_finds_the_root_in_a_zip(name: str, tmp_path: Path) -> None:
    (root, *others), kinds = IN_ZIPS[name]
    files = {root + place: data for place, data in sound().items()}
    path = CONTAINERS["zip"](files | dict.fromkeys(others, b""), tmp_path / "task")
    found = check(str(path), for_cvat=True)
    assert {finding.kind for finding in found.findings} == kinds
    assert not check(str(path)).findings


@pytest.mark.parametrize("same", [True, False])
def test_files_that_a_zip_has_twice(same: bool, tmp_path: Path) -> None:
    mask = "SegmentationClass/a.png"
    pairs = [*sound().items(), (mask, CLASSES if same else NUMBERS + b"x")]
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = as_zip(pairs, tmp_path / "task")
    if not same:
        with pytest.raises(ArchiveError, match="twice, and the two differ"):
            check(str(path))
        return
    assert check(str(path), for_cvat=True).findings == []
    (found,) = check(str(path)).findings
    assert (found.kind, found.file) == ("doubled-file", mask)
