"""What an export says of CVAT, and to whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datumaro.components.annotation import AnnotationType
from datumaro.components.dataset import Dataset
from datumaro.components.errors import DatasetImportError

from datumaro_segmask import read_table, to_table
from datumaro_segmask.archive import Item, make_label_map
from datumaro_segmask.archive.labelmap import Label
from datumaro_segmask.arrays import Size
from datumaro_segmask.formats.archive import CvatLosses
from datumaro_segmask.regions import Instance
from datumaro_segmask.rules import is_thin, open_archive

from ..archives import archive, as_folder, rgb

ODD = "background:0,0,0::\na:b:128,0,0::\nroad:0,128,0:background:\n"
SAYS = (
    "1 label with a colon in the name, such as 'a:b'",
    "1 part named as a label, such as 'background'",
    "1 subset with '_' in the name, or a dot at its beginning, such as '.x'",
)


def labels(*made: Label) -> Any:
    return make_label_map(made, "x")


def many(count: int) -> Any:
    return labels(*(Label(f"l{i}", (i % 256, i // 256, 9), i, line=i + 1) for i in range(count)))


def test_losses_in_cvat() -> None:
    losses = CvatLosses(many(300))
    losses.add(("#a", "train_v2"), stuff=2, thin=1)
    losses.add(("b", "val"), stuff=1, thin=0)
    losses.highest = 256
    lines = list(losses.lines())
    for line, part in zip(
        lines,
        [
            "3 masks of stuff",
            "1 id with",
            "1 subset with '_'",
            "300 labels",
            "up to 256",
            "1 object",
        ],
        strict=True,
    ):
        assert part in line
    assert "number_stuff" in lines[0]
    assert "'train_v2'" in lines[2]
    assert list(CvatLosses(many(256), highest=255).lines()) == []


@pytest.mark.parametrize(("color", "says"), [((9, 9, 9), True), ((224, 224, 192), False)])
def test_void_that_no_label_has(color: Any, says: bool) -> None:
    void = Instance(None, 0, b"03", 3, (0, 0, 3, 1), is_unknown=True)
    car = Instance(0, 1, b"03", 9, (0, 0, 3, 3))
    losses = CvatLosses(labels(Label("car", (1, 2, 3), 0, line=1), Label("x", color, 1, line=2)))
    losses.add_item(("a", "train"), Item("a", Size(3, 3), None, [car, void]))
    found = [*losses.lines()]
    assert len(found) == says
    assert all(line.startswith("3 pixels in the colour of VOC's void") for line in found)


@pytest.mark.parametrize(
    ("width", "height", "thin"), [(20, 2, True), (1, 1, True), (2, 30, True), (3, 3, False)]
)
def test_thin(width: int, height: int, thin: bool) -> None:
    assert is_thin(width, height) == thin


def odd_archive(folder: Path) -> str:
    masks = {"a": rgb("111 111 111")}
    return str(as_folder(archive(masks, masks, labels=ODD, lists={".x": "a\n"}), folder))


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [text for text in caplog.messages if text.startswith("CVAT will not read all of this")]


@pytest.mark.parametrize("options", [{"zip": True}, {"shard_items": 1}], ids=str)
def test_what_cvat_refuses_is_said_of_what_is_likely_to_be_uploaded(
    options: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = Dataset.import_from(odd_archive(tmp_path / "in"), "segmask")
    label_map = str(tmp_path / "in/labelmap.txt")  # of a dataset's labels Datumaro has no parts
    found.export(str(tmp_path / "out"), "segmask", label_map=label_map, **options)
    (text,) = said(caplog)
    for part in SAYS:
        assert part in text


def test_who_splits_or_saves_is_not_told_of_cvat(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = Dataset.import_from(odd_archive(tmp_path / "in"), "segmask")
    found.export(str(tmp_path / "out"), "segmask")
    found.export(str(tmp_path / "out"), "coco_segments")
    assert not said(caplog)


@pytest.mark.parametrize(("out", "is_told"), [("out.zip", True), ("out", False)])
def test_a_table_written_as_a_zip(
    out: str, is_told: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = read_table(to_table(odd_archive(tmp_path / "in")))
    table.write_archive(str(tmp_path / out))
    texts = said(caplog)
    assert len(texts) == is_told
    for part in SAYS if is_told else ():
        assert part in texts[0]


@pytest.mark.parametrize("subset", ["a:b", "train:b"])
@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
def test_a_subset_with_a_colon_is_no_drive(subset: str, zipped: bool, tmp_path: Path) -> None:
    """Datumaro 1.13 takes a letter and a colon for a drive, and says so; tables do not mind."""
    files = archive({"a": rgb("1")}, lists={subset: "a\n"})
    source, target = str(as_folder(files, tmp_path / "in")), str(tmp_path / "out")
    try:
        found = Dataset.import_from(source, "segmask")
    except DatasetImportError as error:
        assert subset == "a:b"
        for part in ("'a:b'", "a:b.txt", "rename the list"):
            assert part in str(error)
    else:
        found.export(target, "segmask", zip=zipped)
        again = Dataset.import_from(target, "segmask")
        assert [(item.id, item.subset) for item in again] == [("a", subset)]
    out = f"{target}.zip" if zipped else f"{target}-table"
    read_table(to_table(source)).write_archive(out)
    assert list(open_archive(out).subsets) == [subset]


@pytest.mark.parametrize(
    "end", ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"], ids=repr
)
@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
def test_label_names_with_line_ends_of_unicode_stay_one_label(
    end: str, zipped: bool, tmp_path: Path
) -> None:
    name = f"a{end}b"
    labels = f"background:0,0,0::\n{name}:128,0,0::\n"
    files = archive({"a": rgb("1")}, {"a": rgb("1")}, labels=labels)
    source, target = as_folder(files, tmp_path / "in"), tmp_path / "out"
    Dataset.import_from(str(source), "segmask").export(str(target), "segmask", zip=zipped)
    table = tmp_path / "table.zip" if zipped else tmp_path / "table"
    read_table(to_table(str(source))).write_archive(str(table))
    for place in (source, target, table):
        found = Dataset.import_from(str(place), "segmask").categories()[AnnotationType.label]
        assert [label.name for label in found] == ["background", name]
