"""The table of exports through Datumaro (docs/format.md, section 5), read back by three readers.

They are Pillow, with a parser of label maps in three lines; our importer; and Datumaro's own
``voc_segmentation``.
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import PIL.Image
import pytest
from datumaro.components.annotation import AnnotationType, Bbox, Mask, RleMask
from datumaro.components.dataset import Dataset, StreamDataset
from datumaro.components.dataset_base import CategoriesInfo, DatasetBase, DatasetItem
from datumaro.components.errors import (
    AnnotationExportError,
    DatasetExportError,
    ItemExportError,
)
from datumaro.components.exporter import ExportErrorPolicy
from datumaro.components.media import Image
from numpy.typing import NDArray

from datumaro_segmask.errors import SegmaskError, SegmaskExportError
from datumaro_segmask.formats.archive import MaskEncoder
from datumaro_segmask.plugin.labels import make_export_labels
from datumaro_segmask.regions import Rle, Shape, paint

from ..archives import archive, as_folder, gray, jpeg, painted, picture, plane, png
from ..export_cases import (
    BAD,
    CAR,
    DIGIT_OF,
    FINE,
    FINE_MASKS,
    GOOD,
    LABELS,
    OPTIONS,
    ROAD,
    Export,
    Masks,
    Refusal,
    box,
    dataset,
    files_of,
    item,
    mask,
    rle,
)

pytestmark = pytest.mark.usefixtures("registered")

Pixels = NDArray[Any]
HEADER = "# label:color_rgb:parts:actions"
LISTS = "ImageSets/Segmentation/"


def export(folder: Path, case: Export) -> dict[str, bytes]:
    made = dataset(case.items, case.labels, case.colors)
    made.export(str(folder), "segmask", **case.options)
    return files_of(folder)


def lists_of(files: Mapping[str, bytes]) -> dict[str, list[str]]:
    return {
        name.removeprefix(LISTS).removesuffix(".txt"): data.decode().split("\n")[:-1]
        for name, data in files.items()
        if name.startswith(LISTS)
    }


# Pillow


def colors_of(files: Mapping[str, bytes]) -> dict[tuple[int, ...], int]:
    """Return the position of each label by its colour, as another program reads them."""
    header, *lines = files["labelmap.txt"].decode().splitlines()
    assert header == HEADER
    fields = [line.rsplit(":", 3) for line in lines]
    return {tuple(map(int, color.split(","))): i for i, (_, color, _, _) in enumerate(fields)}


def by_pillow(data: bytes, digit_of: Mapping[tuple[int, ...], int]) -> tuple[str, str]:
    """Return the mode of a mask and its picture."""
    with PIL.Image.open(io.BytesIO(data)) as image:
        image.load()
    if image.mode in ("L", "I;16", "I"):
        return image.mode, picture(np.asarray(image))
    pixels = np.asarray(image.convert("RGB")).tolist()
    values = np.array([[digit_of[tuple(color)] for color in row] for row in pixels])
    return image.mode, picture(values)


def masks_by_pillow(files: Mapping[str, bytes]) -> tuple[dict[str, Masks], set[tuple[str, str]]]:
    """Return the pictures of all masks, by item, and the modes of the files, by folder."""
    found: dict[str, list[str | None]] = {}
    modes = set()
    digits = {"SegmentationClass": colors_of(files), "SegmentationObject": DIGIT_OF}
    for name, data in files.items():
        folder, _, rest = name.partition("/")
        if folder in digits:
            mode, pixels = by_pillow(data, digits[folder])
            found.setdefault(rest.removesuffix(".png"), [None, None])[
                folder == "SegmentationObject"
            ] = pixels
            modes.add((folder, mode))
    return {name: (masks[0], masks[1]) for name, masks in found.items()}, modes


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """All warnings but the one of objects that are too thin for CVAT, as most are here."""
    texts = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    return [text for text in texts if not text.startswith("CVAT will not read all of this: ")]


@pytest.mark.parametrize("case", GOOD.values(), ids=GOOD)
def test_as_pillow_reads_it(case: Export, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = export(tmp_path / "x", case)
    masks, modes = masks_by_pillow(files)
    assert masks == dict(case.masks)
    folders = ("SegmentationClass", "SegmentationObject")
    assert modes <= {*zip(folders, case.modes, strict=True)}
    assert files["labelmap.txt"].decode().splitlines() == [HEADER, *case.label_map]
    assert lists_of(files) == case.lists
    warned = warnings_of(caplog)
    assert len(warned) == len(case.logs)
    assert [text for text in case.logs if not any(text in line for line in warned)] == []


# Our importer


def planes_of(found: DatasetItem, background: int) -> Masks:
    """Return the pictures that the masks of an imported item make."""
    if not found.annotations:
        return None, None
    labels = np.full(found.media.size, background, int)
    numbers = np.zeros(found.media.size, int)
    for annotation in found.annotations:
        pixels = annotation.image > 0
        assert not numbers[pixels].any()
        assert (labels[pixels] == background).all()
        labels[pixels] = background if annotation.label is None else annotation.label
        numbers[pixels] = annotation.group
    has_labels = any(annotation.label is not None for annotation in found.annotations)
    return picture(labels) if has_labels else None, picture(numbers) if numbers.any() else None


def without_empty(masks: Mapping[str, Masks], background: str) -> dict[str, Masks]:
    """Return masks as an importer knows them, which cannot tell empty ones from none."""

    def known(pixels: str | None, empty: str) -> str | None:
        return None if pixels is None or {*pixels} <= {empty, " "} else pixels

    return {
        name: (known(labels, background), known(numbers, "0"))
        for name, (labels, numbers) in masks.items()
    }


@pytest.mark.parametrize("case", GOOD.values(), ids=GOOD)
def test_as_we_read_it(case: Export, tmp_path: Path) -> None:
    export(tmp_path / "x", case)
    again = Dataset.import_from(str(tmp_path / "x"), "segmask")
    names = [label.name for label in again.categories()[AnnotationType.label].items]
    assert names == [line.rsplit(":", 3)[0] for line in case.label_map]
    background = next(i for i, name in enumerate(names) if name.lower() in ("background", "void"))
    expected = without_empty(case.masks, str(background))
    assert {(i.id, i.subset) for i in again} == {(i.id, i.subset) for i in case.items}
    for found in again:
        assert planes_of(found, background) == expected.get(found.id, (None, None))


# Datumaro's own reader

VOC_MISREADS = {
    "names-of-any-letters": "it takes no colon in a name",
    "ids-that-look-like-something-else": "it takes '#c' for a comment, and never adds a suffix",
    "subsets": "it passes over subsets with '_'",
    "zip": "it reads no zip",
    "no-labels": "it ends with a TypeError",
}


def voc_planes(found: DatasetItem, background: int, size: tuple[int, ...]) -> Masks:
    labels, numbers = np.full(size, background), np.zeros(size, int)
    for annotation in found.annotations:
        pixels = annotation.image > 0
        labels[pixels] = annotation.label
        numbers[pixels] = annotation.group
    return picture(labels), picture(numbers) if numbers.any() else None


def as_voc_sees(masks: Masks) -> Masks:
    """Return masks without what Datumaro's reader makes of them by its rules.

    It drops class pixels beside instances, and gives each instance its highest label.
    """
    if masks[0] is None or masks[1] is None:
        return masks
    labels, numbers = plane(masks[0]), plane(masks[1])
    if not numbers.any():
        return masks[0], None
    background = labels.max() + 1
    seen = np.full(labels.shape, background)
    for number in np.unique(numbers[numbers > 0]):
        seen[numbers == number] = labels[numbers == number].max()
    return picture(seen), masks[1]


@pytest.mark.parametrize("name", [name for name in GOOD if name not in VOC_MISREADS])
def test_as_voc_segmentation_reads_it(name: str, tmp_path: Path) -> None:
    case = GOOD[name]
    export(tmp_path / "x", case)
    again = Dataset.import_from(str(tmp_path / "x"), "voc_segmentation")
    names = [label.name for label in again.categories()[AnnotationType.label].items]
    assert names == [line.split(":")[0] for line in case.label_map]
    assert {(i.id, i.subset) for i in again} == {(i.id, i.subset) for i in case.items}
    background = next(i for i, n in enumerate(names) if n.lower() in ("background", "void"))
    for found in again:
        if found.id not in case.masks or not found.annotations:
            assert not found.annotations
            continue
        labels, numbers = as_voc_sees(case.masks[found.id])
        blank = max(map(int, (labels or "").replace(" ", "")))
        size = plane(labels or "").shape
        seen = voc_planes(found, blank if numbers else background, size)
        assert seen == (labels, numbers)


# Options


@pytest.mark.parametrize(
    ("ignored", "values", "lines"),
    [
        pytest.param("background", (255, 0, 1), ["car", "road", "background"], id="first"),
        pytest.param("car", (0, 255, 1), ["background", "road", "car"], id="between"),
        pytest.param("road", (0, 1, 255), ["background", "car", "road"], id="last"),
    ],
)
def test_ignored_label_leaves_no_gap(
    ignored: str, values: tuple[int, ...], lines: list[str], tmp_path: Path
) -> None:
    made = dataset([item(mask("1100 1100", ROAD, 2), rle("0100 0100", CAR, 3))])
    made.export(str(tmp_path), "segmask", mask_mode="index", ignore_label=ignored)
    with PIL.Image.open(tmp_path / "SegmentationClass/a.png") as image:
        found = np.asarray(image)
    assert found.tolist() == np.array(values)[plane("2100 2100")].tolist()
    label_map = (tmp_path / "labelmap.txt").read_text().splitlines()
    assert [line.partition(":")[0] for line in label_map[1:]] == lines
    again = Dataset.import_from(str(tmp_path), "segmask", ignore_index=255)
    masks = {(lines[a.label], a.group): picture(a.image) for i in again for a in i.annotations}
    expected = {("car", 3): "0100 0100", ("road", 2): "1000 1000"}
    assert masks == {key: rows for key, rows in expected.items() if key[0] != ignored}


def many_labels(count: int) -> list[str]:
    return ["background", *(f"label {n}" for n in range(1, count))]


# What is special: the mode, the number of labels and of instances, and the modes of the files.
WIDTHS = {
    "palette-of-256-labels": ("palette", 256, 255, "P", "P"),
    "palette-of-257-labels": ("palette", 257, 3, "RGB", "P"),
    "palette-of-256-instances": ("palette", 3, 256, "P", "RGB"),
    "index-of-256-labels": ("index", 256, 255, "L", "L"),
    "index-of-257-labels": ("index", 257, 3, "I;16", "L"),
    "index-of-256-instances": ("index", 3, 256, "L", "I;16"),
    "color-of-600-of-both": ("color", 600, 600, "RGB", "RGB"),
}


@pytest.mark.parametrize(
    ("mask_mode", "labels", "count", "class_mode", "instance_mode"), WIDTHS.values(), ids=WIDTHS
)
def test_many(
    mask_mode: str,
    labels: int,
    count: int,
    class_mode: str,
    instance_mode: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No number wraps, and files that others cannot read get one warning."""
    shapes = [
        Bbox(i % 30, i // 30, 1, 1, label=labels - 1 - i % (labels - 1)) for i in range(count)
    ]
    case = Export(
        [item(*shapes, size=(20, 30)), item(*shapes, id="b", size=(20, 30))],
        {},
        labels=many_labels(labels),
        options={"mask_mode": mask_mode},
    )
    files = export(tmp_path / "x", case)
    for folder, mode in (("Class", class_mode), ("Object", instance_mode)):
        with PIL.Image.open(io.BytesIO(files[f"Segmentation{folder}/a.png"])) as image:
            assert image.mode == mode
    warned = warnings_of(caplog)
    assert len(warned) == (count > 255)
    for text in warned:
        assert f"item 'a' of subset 'default' has the instance number {count}" in text
        assert "cannot read files with numbers past 255" in text
    for found in Dataset.import_from(str(tmp_path / "x"), "segmask"):
        seen = {a.group: (a.label, [int(v) for v in a.get_bbox()]) for a in found.annotations}
        assert seen == {
            i: (shape.label, [int(v) for v in shape.get_bbox()])
            for i, shape in enumerate(shapes, 1)
        }


def test_more_instances_than_gray_masks_have_values() -> None:
    labels = make_export_labels({}, "source").label_map
    nothing = Rle((1, 1), [0, 1])
    numbers = paint([Shape(nothing, 0, 1 << 16)], 1, 1, 0).numbers
    with pytest.raises(SegmaskExportError) as caught:
        MaskEncoder(labels, "index", None).numbers(numbers, "item 'b'")
    assert str(caught.value) == (
        "item 'b': it has 65,536 instances. Expected at most 65,535 in gray masks. "
        "To fix it: use the mask mode 'color'. "
        "(docs/format.md, section 5: 'datumaro-segmask explain 5')"
    )


def test_ignored_label_needs_the_value_255_for_itself(tmp_path: Path) -> None:
    made = dataset([item()], many_labels(257))
    with pytest.raises(SegmaskExportError) as caught:
        made.export(str(tmp_path / "x"), "segmask", mask_mode="index", ignore_label="label 7")
    assert "the value 255 is the index of a label, so 'label 7' cannot have it" in str(caught.value)
    fewer = dataset([item()], many_labels(256))
    fewer.export(str(tmp_path / "y"), "segmask", mask_mode="index", ignore_label="label 7")


LABEL_FILE = "road:7,8,9::\n\n# a comment\nbackground:0,0,0::\ncar::\n"


@pytest.mark.parametrize("mask_mode", ["color", "palette", "index"])
def test_label_map_file(mask_mode: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It fixes order, colours, and which labels stay."""
    path = tmp_path / "labels.txt"
    path.write_text(LABEL_FILE)
    shapes = [box(x, 0, 1, 1, label, group=x + 1) for x, label in enumerate((0, 1, 3, 2))]
    made = dataset([item(*shapes)], ["background", "car", "road", "tree"])
    made.export(str(tmp_path / "x"), "segmask", label_map=str(path), mask_mode=mask_mode)
    files = files_of(tmp_path / "x")
    assert files["labelmap.txt"].decode().splitlines() == [
        HEADER, "road:7,8,9::", "background:0,0,0::", "car:0,128,0::",
    ]  # fmt: skip
    assert masks_by_pillow(files)[0] == {"a": ("1210 1111", "0204 0000")}
    assert warnings_of(caplog) == [
        "Left out of the export: 1 annotation whose label the label map does not have."
    ]


def test_label_map_without_background(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("car:9,9,9::\n")
    dataset([item(box(1, 0, 2, 1))]).export(
        str(tmp_path / "x"), "segmask", label_map=str(path), mask_mode="palette"
    )
    with PIL.Image.open(tmp_path / "x/SegmentationClass/a.png") as image:
        assert np.asarray(image.convert("RGB"))[0].tolist() == [[0] * 3, [9] * 3, [9] * 3, [0] * 3]
    (found,) = Dataset.import_from(str(tmp_path / "x"), "segmask")
    assert [(a.label, picture(a.image)) for a in found.annotations] == [(0, "0110 0000")]


def test_voc_labels(tmp_path: Path) -> None:
    made = dataset([item(box(0, 0, 2, 1, 0), box(2, 0, 2, 1, 1))], ["person", "aeroplane"])
    made.export(str(tmp_path / "x"), "segmask", label_map="voc", mask_mode="index")
    with PIL.Image.open(tmp_path / "x/SegmentationClass/a.png") as image:
        assert np.asarray(image).tolist() == [[15, 15, 1, 1], [0, 0, 0, 0]]


# Images


@pytest.mark.parametrize("zipped", [False, True], ids=["tree", "zip"])
def test_images(zipped: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "given.jpg"
    path.write_bytes(jpeg(2, 4, shade=33))
    items = [
        DatasetItem("from/file", media=Image.from_file(str(path)), annotations=[FINE]),
        DatasetItem("bytes", media=Image.from_bytes(jpeg(2, 4), ext=".jpg"), annotations=[FINE]),
        DatasetItem("pixels", media=Image.from_numpy(np.full((2, 4, 3), 7, np.uint8))),
        DatasetItem("size-only", media=Image.from_numpy(None, size=(2, 4)), annotations=[FINE]),
        DatasetItem("gone", media=Image.from_file("gone.jpg", size=(2, 4)), annotations=[FINE]),
        DatasetItem("nothing"),
    ]
    dataset(items).export(str(tmp_path / "x"), "segmask", save_media=True, zip=zipped)
    files = files_of(tmp_path / "x")
    images = {name: data for name, data in files.items() if name.startswith("JPEGImages/")}
    assert {*images} == {f"JPEGImages/{name}.jpg" for name in ("from/file", "bytes", "pixels")}
    assert images["JPEGImages/from/file.jpg"] == path.read_bytes()
    assert images["JPEGImages/bytes.jpg"] == jpeg(2, 4)
    assert warnings_of(caplog) == [
        "Left out of the export: 3 images that the dataset does not have."
    ]


def test_images_of_another_kind(tmp_path: Path) -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    made = dataset([DatasetItem("a", media=Image.from_numpy(pixels), annotations=[FINE])])
    made.export(str(tmp_path / "x"), "segmask", save_media=True, image_ext=".png")
    (found,) = Dataset.import_from(str(tmp_path / "x"), "segmask")
    assert found.media.path.endswith("a.png")
    assert (found.media.data == pixels).all()


def test_extension_that_leads_out(tmp_path: Path) -> None:
    with pytest.raises(SegmaskExportError) as caught:
        dataset([item(FINE)]).export(
            str(tmp_path / "x"), "segmask", save_media=True, image_ext="/../x.jpg"
        )
    says = ["item 'a' of subset 'default'", "the extension '/../x.jpg'", "image_ext"]
    check_message(caught.value, SegmaskExportError, says)


def test_no_images_unless_asked_for(tmp_path: Path) -> None:
    dataset([item(FINE)]).export(str(tmp_path / "x"), "segmask")
    assert not (tmp_path / "x/JPEGImages").exists()


# What is written


@pytest.mark.parametrize("zipped", [False, True], ids=["tree", "zip"])
def test_same_dataset_gives_the_same_bytes(zipped: bool, tmp_path: Path) -> None:
    written = []
    for name in ("x", "y"):
        folder = tmp_path / name
        dataset([item(FINE), item(id="b", subset="val")]).export(str(folder), "segmask", zip=zipped)
        written.append({p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()})
    assert written[0] == written[1]


def test_no_annotation_is_changed(tmp_path: Path) -> None:
    shapes = [mask("1100 1100"), rle("0011 0011", ROAD, 300), box(0, 0, 2, 2, z_order=4)]
    made = dataset([item(*shapes)])
    before = [(a.label, a.group, a.z_order, a.id) for a in shapes]
    made.export(str(tmp_path / "x"), "segmask")
    (found,) = made
    assert found.annotations == shapes
    assert [(a.label, a.group, a.z_order, a.id) for a in shapes] == before


def test_saving_in_place_keeps_what_datumaro_does_not_know(tmp_path: Path) -> None:
    """A label map has parts, and its actions an order."""
    labels = "background:0,0,0::\ncar:128,0,0:door,wheel:turn,drive\n"
    path = as_folder(archive({"a": gray("01"), "b": gray("10")}, labels=labels), tmp_path)
    before = files_of(path)
    made = Dataset.import_from(str(path), "segmask")
    made.save()
    assert files_of(path) == before
    made.remove("b")
    made.save()
    assert files_of(path) == {
        **{name: data for name, data in before.items() if "b.png" not in name},
        f"{LISTS}default.txt": b"a\n",
    }


def test_stream(tmp_path: Path) -> None:
    dataset([item(FINE), item(id="b")]).export(str(tmp_path / "x"), "segmask")
    stream = StreamDataset.import_from(str(tmp_path / "x"), "segmask")
    stream.export(str(tmp_path / "y"), "segmask", mask_mode="palette")
    assert masks_by_pillow(files_of(tmp_path / "y"))[0] == {"a": FINE_MASKS}


def test_empty_dataset(tmp_path: Path) -> None:
    dataset([]).export(str(tmp_path / "x"), "segmask")
    files = files_of(tmp_path / "x")
    assert sorted(files) == ["ImageSets/Segmentation/default.txt", "labelmap.txt"]
    again = Dataset.import_from(str(tmp_path / "x"), "segmask")
    assert len(again) == 0
    assert [label.name for label in again.categories()[AnnotationType.label]] == [*LABELS]


# Refusals


class Lenient(ExportErrorPolicy):
    """Leaves out what cannot be written, and keeps what was said of it."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []

    def _handle_item_error(self, error: Exception) -> None:
        assert type(error) is ItemExportError
        self.errors.append(error)

    def _handle_annotation_error(self, error: Exception) -> None:
        assert type(error) is AnnotationExportError
        self.errors.append(error)


def broken(case: Refusal) -> Dataset:
    return dataset([item(FINE), case.bad, item(FINE, id="c")])


class Stream(DatasetBase):
    """Another dataset, read item by item."""

    def __init__(self, source: Dataset) -> None:
        super().__init__(subsets=list(source.subsets()), media_type=Image)
        self._source = source

    @property
    def is_stream(self) -> bool:
        return True

    def categories(self) -> CategoriesInfo:
        return self._source.categories()

    def __iter__(self) -> Iterator[DatasetItem]:
        return iter(self._source)


Make: TypeAlias = Callable[[Dataset], Dataset]


def streamed(source: Dataset) -> Dataset:
    return StreamDataset(Stream(source))


def check_message(error: BaseException, kind: type[Exception], says: Any) -> None:
    assert isinstance(error, kind)
    assert isinstance(error, SegmaskError)
    assert isinstance(error, DatasetExportError) or kind.__name__ == "LabelMapError"
    text = str(error)
    assert [part for part in says if part not in text] == []
    assert all((error.what, error.where, error.expected, error.remedy))


@pytest.mark.parametrize("policy", [None, ExportErrorPolicy()], ids=["default", "given"])
@pytest.mark.parametrize("case", BAD.values(), ids=BAD)
def test_strict(case: Refusal, policy: ExportErrorPolicy | None, tmp_path: Path) -> None:
    with pytest.raises(SegmaskExportError) as caught:
        broken(case).export(str(tmp_path / "x"), "segmask", error_policy=policy, **case.options)
    check_message(caught.value, case.error, case.says)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("make", [lambda whole: whole, streamed], ids=["whole", "stream"])
@pytest.mark.parametrize("zipped", [False, True], ids=["tree", "zip"])
@pytest.mark.parametrize("case", BAD.values(), ids=BAD)
def test_lenient(case: Refusal, zipped: bool, make: Make, tmp_path: Path) -> None:
    policy = Lenient()
    make(broken(case)).export(
        str(tmp_path / "x"), "segmask", error_policy=policy, zip=zipped, **case.options
    )
    (error,) = policy.errors
    key = (case.bad.id, case.bad.subset)
    assert error.item_id == key  # type: ignore[attr-defined]
    assert error.__cause__ is not None
    check_message(error.__cause__, case.error, case.says)
    files = files_of(tmp_path / "x")
    left = {} if case.left is None else {case.bad.id: case.left}
    expected = {"a": FINE_MASKS, **left, "c": FINE_MASKS}
    assert masks_by_pillow(files)[0] == {n: m for n, m in expected.items() if m != (None, None)}
    names = ["a", "c"] if case.left is None else ["a", case.bad.id, "c"]
    assert lists_of(files) == {"default": names}


@pytest.mark.parametrize("ids", [("a", "a.png/b"), ("a.png/b", "a")])
def test_file_where_a_folder_is_needed(ids: tuple[str, str], tmp_path: Path) -> None:
    items = [item(FINE, id=item_id) for item_id in ids]
    policy = Lenient()
    dataset(items).export(str(tmp_path / "x"), "segmask", error_policy=policy)
    assert masks_by_pillow(files_of(tmp_path / "x"))[0] == {ids[0]: FINE_MASKS}
    (error,) = policy.errors
    assert "needs a folder" in str(error.__cause__)
    assert "rename" in str(error.__cause__)
    with pytest.raises(SegmaskExportError, match="needs a folder"):
        dataset(items).export(str(tmp_path / "y"), "segmask")
    assert files_of(tmp_path / "y") == {}


def test_lenient_leaves_out_every_broken_annotation_of_an_item(tmp_path: Path) -> None:
    """Each is reported once, and what is sound keeps its numbers."""
    bad = [case.bad.annotations for case in BAD.values() if case.left == FINE_MASKS]
    wrong = [annotation for found in bad for annotation in found if annotation is not FINE]
    shapes = [rle("0001 0000", ROAD, 2), *wrong, FINE]
    policy = Lenient()
    dataset([item(*shapes)]).export(str(tmp_path / "x"), "segmask", error_policy=policy)
    masks = masks_by_pillow(files_of(tmp_path / "x"))[0]
    assert masks == {"a": ("1102 1100", "1102 1100")}
    said = {str(error.__cause__) for error in policy.errors}
    assert len(said) == len(policy.errors) == len([a for a in wrong if a.type.name != "points"])


@pytest.mark.parametrize(("options", "kind", "says", "labels"), OPTIONS.values(), ids=OPTIONS)
def test_options_that_are_none(
    options: dict[str, Any],
    kind: type[SegmaskError],
    says: list[str],
    labels: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are refused before anything is written."""
    monkeypatch.chdir(tmp_path)
    Path("labels.txt").write_text(labels)
    with pytest.raises(kind) as caught:
        dataset([item(FINE)]).export("x", "segmask", **options)
    check_message(caught.value, kind, says)
    assert not Path("x/SegmentationClass").exists()


@pytest.mark.parametrize("name", ["a\nb", " a", "#a"], ids=repr)
def test_label_that_no_line_can_hold(name: str, tmp_path: Path) -> None:
    made = dataset([item(FINE)], ["background", "car", name])
    with pytest.raises(SegmaskExportError) as caught:
        made.export(str(tmp_path / "x"), "segmask")
    says = [f"the label {name!r} cannot be written", "the labels of the dataset", "rename"]
    check_message(caught.value, SegmaskExportError, says)


def test_mask_annotations_are_read_once(tmp_path: Path) -> None:
    """Masks may be lazy, and each decoding be slow."""
    calls = []

    def pixels() -> Pixels:
        calls.append(1)
        return plane("1100 1100").astype(bool)

    dataset([item(Mask(pixels, label=CAR, group=1))]).export(str(tmp_path / "x"), "segmask")
    assert len(calls) == 1
    assert isinstance(FINE, Mask)
    assert not isinstance(FINE, RleMask)


def test_subset_that_cvat_skips_is_said_of_items_without_shapes_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = archive({}, lists={"a_b": "x\n"})
    found = Dataset.import_from(str(as_folder(source, tmp_path / "in")), "segmask")
    found.export(str(tmp_path / "out"), "segmask", zip=True)
    (text,) = [text for text in caplog.messages if text.startswith("CVAT will not read")]
    assert text.endswith(
        ": 1 subset with '_' in the name, or a dot at its beginning, such as 'a_b', which it skips."
    )


def test_what_cvat_will_not_read_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stuff that an import made, thin objects, ids and subsets; and number_stuff."""
    masks = {"#1": png(painted("1122")), "b": png(painted("1122"))}
    source = archive(
        masks, {i: png(painted("1100")) for i in masks}, lists={"a_b": "#1\n", "c": "b\n"}
    )
    found = Dataset.import_from(str(as_folder(source, tmp_path / "in")), "segmask")
    found.export(str(tmp_path / "out"), "segmask", zip=True)
    (text,) = [text for text in caplog.messages if text.startswith("CVAT will not read")]
    for part in ("2 masks of stuff", "1 id with", "1 subset with '_'", "2 objects one or"):
        assert part in text
    again = Dataset.import_from(str(tmp_path / "out"), "segmask")
    assert [[a.group for a in item.annotations] for item in again] == [[0, 1], [0, 1]]
    caplog.clear()
    monkeypatch.setattr(sys, "argv", ["datum"])
    found.export(str(tmp_path / "typed.zip"), "segmask", zip=True)
    assert [text for text in caplog.messages if "with --number-stuff they are" in text]
    caplog.clear()
    found.export(str(tmp_path / "numbered"), "segmask", number_stuff=True, zip=True)
    assert not [text for text in caplog.messages if "of stuff" in text]
    numbered = Dataset.import_from(str(tmp_path / "numbered"), "segmask")
    assert [[a.group for a in item.annotations] for item in numbered] == [[1, 2], [1, 2]]
