"""`check --for cvat`: every row of the table of docs/format.md, section 7, on folder and zip."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from datumaro_segmask.cli.check.kinds import severity_of
from datumaro_segmask.cli.check.survey import survey

from ..archives import (
    CONTAINERS,
    GRAY,
    LABELS,
    Files,
    archive,
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
    "instance-on-background": Row(
        archive({"a": rgb("0111 0111 0111")}, {"a": rgb("1111 1111 1111")}),
        error={"instance-without-class"},
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
    "voc-beside": Row(sound() | MAIN, warning={"voc-boxes"}),
    "main-lists-alone": Row(
        sound(lists={}) | {"ImageSets/Main/default.txt": b"a\n"},
        error={"no-lists"},
        warning={"main-lists"},
    ),
    "meta-with-other-labels": Row(
        sound() | {"dataset_meta.json": b'{"label_map": {"0": "dog"}}'}, error={"dataset-meta"}
    ),
    "meta-that-is-none": Row(sound() | {"dataset_meta.json": b"[]"}, error={"dataset-meta"}),
    "meta-with-the-same-labels": Row(sound() | {"dataset_meta.json": META}),
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
            instances={"a": png(np.full((3, 3), 256, np.uint16))},
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
    "capital-suffix": Row(
        {name.replace("Object/a.png", "Object/a.PNG"): data for name, data in sound().items()},
        warning={"mask-name"},
    ),
    "two-labels-of-one-colour": Row(
        sound(labels=LABELS + "van:128,0,0::\n"), warning={"duplicate-color"}
    ),
}  # fmt: skip


@pytest.mark.parametrize("write", CONTAINERS.values(), ids=CONTAINERS)
@pytest.mark.parametrize("name", ROWS)
def test_row(name: str, write: Any, tmp_path: Path) -> None:
    row = ROWS[name]
    found = survey(str(write(row.files, tmp_path / "task")), for_cvat=True)
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
    assert not [f for f in survey(str(path), for_cvat=True).findings if f.kind in names]
    data = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = -1
        while (at := data.find(mark, at + 1)) >= 0:
            data[at + flags + 1] &= ~8
    path.write_bytes(data)
    found = [f for f in survey(str(path), for_cvat=True).findings if f.kind in names]
    assert {f.file for f in found} == {f"Segmentation{k}/\u00e9.png" for k in ("Class", "Object")}
    theirs = {name.rpartition("/")[2] for name in zipfile.ZipFile(path).namelist()}
    assert {f.what.split("'")[1] for f in found} <= theirs
    assert severity_of(found[0], True) == "warning"


def test_backslashes_in_a_zip(tmp_path: Path) -> None:
    files = {f"x\\{name}".replace("/", "\\"): data for name, data in sound().items()}
    found = survey(str(CONTAINERS["zip"](files, tmp_path / "task")), for_cvat=True)
    errors = [f.kind for f in found.findings if severity_of(f, True) == "error"]
    assert errors == ["zip-backslash"]
    assert not survey(str(tmp_path / "task.zip")).findings


def test_thin_objects_are_those_of_which_no_polygon_comes(tmp_path: Path) -> None:
    """Diagonal ones too; Datumaro's own function is the judge, as in CVAT."""
    numbers = np.zeros((60, 60), np.uint8)
    numbers[:20, :20] += np.eye(20, dtype=np.uint8)  # vanishes
    numbers[0:20, 40:42] = 2  # vanishes
    numbers[40:43, 0:20] = 3  # keeps a part
    numbers[30:60, 30] = numbers[59, 30:60] = 4  # an L: keeps a part
    files = archive({"a": png(np.minimum(numbers, 1))}, {"a": png(numbers)})
    found = survey(str(CONTAINERS["zip"](files, tmp_path / "task")), for_cvat=True)
    (thin,) = [finding for finding in found.findings if finding.kind == "thin-objects"]
    assert thin.what.startswith("2 objects would vanish")
    assert thin.pixels == 20 + 40
