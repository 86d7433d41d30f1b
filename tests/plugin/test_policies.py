"""Many kinds of damage at once: a lenient import keeps all that is sound, a strict one stops."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from datumaro.components.annotation import Bbox, Mask, Points
from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.errors import DatumaroError, ItemImportError
from datumaro.components.exporter import ExportErrorPolicy
from datumaro.components.importer import ImportErrorPolicy
from datumaro.components.media import Image

import datumaro_segmask
from datumaro_segmask.errors import (
    MaskSizeError,
    PngError,
    SegmaskExportError,
    SegmaskImportError,
    UndeclaredColorError,
)

from ..archives import (
    COLORS,
    CONTAINERS,
    PALETTE,
    Files,
    archive,
    as_folder,
    chunk,
    gray,
    header,
    jpeg,
    palette_png,
    plane,
    png_of,
    raw_png,
    rgb,
)
from ..processes import command

datumaro_segmask.register()

SOUND = rgb("012 012")

# What is special: class mask, instance mask, image; the error, and part of what it says.
Damage = tuple[bytes, bytes | None, bytes | None, type[SegmaskImportError], str]
DAMAGE: Mapping[str, Damage] = {
    "empty-file": (b"", None, None, PngError, "the file is empty"),
    "no-png": (b"<html>404</html>", None, None, PngError, "the file is an HTML page, not a PNG"),
    "cut-short": (SOUND[:-20], None, None, PngError, "in the middle of the image"),
    "wrong-checksum": (SOUND[:50] + b"!" + SOUND[51:], None, None, PngError, "checksum"),
    "undeclared-color": (rgb("019 012"), None, None, UndeclaredColorError, "192,0,0 (1 pixel"),
    "undeclared-value": (gray("019 012"), None, None, UndeclaredColorError, "9 (1 pixel)"),
    "instance-mask-of-another-size": (SOUND, rgb("01 01"), None, MaskSizeError, "3 x 2"),
    "image-of-another-size": (SOUND, None, jpeg(5, 7), MaskSizeError, "7 x 5"),
    "broken-instance-mask": (SOUND, SOUND[:40], None, PngError, "SegmentationObject"),
    "too-many-pixels": (png_of(header(1 << 20, 1 << 20)), None, None, PngError, "1,048,576"),
    "index-past-the-palette": (
        raw_png(plane("02 01")[..., None], 8, PALETTE, palette=bytes(6)),
        None, None, PngError, "palette index 2",
    ),
    "no-pixels": (png_of(header(3, 2), chunk(b"IEND")), None, None, PngError, "no pixels"),
}  # fmt: skip
FINE = {
    "fine-1": SOUND,
    "fine-2": gray("012 012"),
    "fine-3": palette_png(plane("012 012"), COLORS[:3].tolist()),
}
ORDER = ["fine-1", *list(DAMAGE)[:6], "fine-2", *list(DAMAGE)[6:], "no-masks", "fine-3"]


def files() -> Files:
    return archive(
        {**FINE, **{name: damage[0] for name, damage in DAMAGE.items()}},
        {name: damage[1] for name, damage in DAMAGE.items() if damage[1] is not None},
        images={f"{name}.jpg": damage[2] for name, damage in DAMAGE.items() if damage[2]},
        lists={"train": "".join(f"{name}\n" for name in ORDER), "val": "fine-1\n"},
    )


class Lenient(ImportErrorPolicy):
    """Skips broken items, and notes what was reported."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[ItemImportError] = []

    def _handle_item_error(self, error: ItemImportError) -> None:
        self.errors.append(error)


@pytest.fixture(params=list(CONTAINERS.values()), ids=list(CONTAINERS))
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    made: Path = request.param(files(), tmp_path / "x")
    return made


def test_lenient_import_keeps_all_that_is_sound(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    policy = Lenient()
    with caplog.at_level(logging.WARNING):
        dataset = Dataset.import_from(str(path), "segmask", error_policy=policy)
        items = [(item.id, item.subset, len(item.annotations)) for item in dataset]
    assert items == [
        ("fine-1", "train", 2),
        ("fine-2", "train", 2),
        ("no-masks", "train", 0),
        ("fine-3", "train", 2),
        ("fine-1", "val", 2),
    ]
    twice, kinds = caplog.messages  # of subsets and the kinds of masks, not of what is broken
    assert "val.txt" in twice
    assert "SegmentationClass/fine-2.png" in kinds


def test_each_broken_item_is_reported_once(path: Path) -> None:
    policy = Lenient()
    dataset = Dataset.import_from(str(path), "segmask", error_policy=policy)
    for _ in range(2):
        list(dataset)
    assert [error.item_id for error in policy.errors] == [
        (name, "train") for name in ORDER if name in DAMAGE
    ]
    for error in policy.errors:
        cause = error.__cause__
        _, _, _, kind, says = DAMAGE[error.item_id[0]]
        assert isinstance(cause, kind)
        assert all((cause.what, cause.where, cause.expected, cause.remedy))
        assert says in str(cause)
        assert str(path) in str(cause)


def test_strict_import_stops_at_the_first_with_the_whole_story(path: Path) -> None:
    with pytest.raises(DatumaroError) as caught:
        Dataset.import_from(str(path), "segmask").init_cache()
    story = ""
    error: BaseException | None = caught.value
    while error is not None:
        story += f"{error}\n"
        error = error.__cause__
    for part in ("empty-file", str(path), "the file is empty", "a PNG image", "draw this mask"):
        assert part in story


def test_policy_that_stops_after_some(path: Path) -> None:
    """A policy may raise by itself; nothing swallows that."""

    class Enough(Exception):
        pass

    class UpToThree(Lenient):
        def _handle_item_error(self, error: ItemImportError) -> None:
            super()._handle_item_error(error)
            if len(self.errors) == 3:
                raise Enough

    policy = UpToThree()
    with pytest.raises((Enough, DatumaroError)):
        Dataset.import_from(str(path), "segmask", error_policy=policy).init_cache()
    assert len(policy.errors) == 3


def test_warnings_are_few_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """However many items give the same cause."""
    many = {f"{number}": gray("012") for number in range(30)}
    unlisted = {f"unlisted-{number}": gray("012") for number in range(40)}
    made = archive({**unlisted}, many, lists={"default": "".join(f"{i}\n" for i in many)})
    with caplog.at_level(logging.WARNING):
        dataset = Dataset.import_from(str(as_folder(made, tmp_path / "x")), "segmask")
        assert len(list(dataset)) == 30
    assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) <= 2
    text = "\n".join(record.getMessage() for record in caplog.records)
    assert "40 items" in text
    assert "no class mask" in text


# Export


class LenientExport(ExportErrorPolicy):
    def __init__(self) -> None:
        super().__init__()
        self.errors: list[Exception] = []

    def _handle_item_error(self, error: Exception) -> None:
        self.errors.append(error)

    def _handle_annotation_error(self, error: Exception) -> None:
        self.errors.append(error)


def good(item_id: str) -> DatasetItem:
    mask = Mask(plane("011 011").astype(bool), label=1, group=1)
    image = Image.from_numpy(np.zeros((2, 3, 3), np.uint8))
    return DatasetItem(item_id, annotations=[mask], media=image)


def broken_dataset() -> Dataset:
    items = [
        good("a"),
        good("#no\tname"),
        DatasetItem("sizeless", annotations=[Bbox(0, 0, 1, 1, label=1)]),
        good("b"),
    ]
    items[3].annotations += [Points([1, 1], label=1), Points([1, 2], label=1)]
    return Dataset.from_iterable(items, categories=["background", "car"])


def test_lenient_export_writes_all_that_is_sound(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    policy = LenientExport()
    with caplog.at_level(logging.WARNING):
        broken_dataset().export(str(tmp_path / "x"), "segmask", error_policy=policy)
    assert len(policy.errors) == 2
    for error in policy.errors:
        assert isinstance(error.__cause__, SegmaskExportError)
        assert error.__cause__.remedy
    again = Dataset.import_from(str(tmp_path / "x"), "segmask")
    assert [(item.id, len(item.annotations)) for item in again] == [("a", 1), ("b", 1)]
    left_out = [message for message in caplog.messages if "Left out" in message]
    assert len(left_out) == 1
    assert "2 " in left_out[0]


def test_strict_export_stops_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DatumaroError) as caught:
        broken_dataset().export(str(tmp_path / "x"), "segmask")
    assert "no" in str(caught.value)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


# What a source reads only when it is asked for

EXPORTERS = ["segmask", "coco_segments", "yolo_segments"]


def gone() -> np.ndarray:
    raise FileNotFoundError(2, "No such file or directory", "masks/b.png")


def no_image() -> np.ndarray:
    raise TypeError("'NoneType' object is not subscriptable")


def lazy_dataset(read: Callable[[], np.ndarray], *, sized: bool = True) -> Dataset:
    """Items whose second has a mask that cannot be read, alone or beside a sound one."""
    image = Image.from_numpy(np.zeros((2, 3, 3), np.uint8)) if sized else None
    alone = DatasetItem("b", annotations=[Mask(read, label=1, group=1)], media=image)
    beside = good("c")
    beside.annotations.insert(0, Mask(read, label=1, group=2))
    return Dataset.from_iterable([good("a"), alone, beside], categories=["background", "car"])


@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("read", [gone, no_image])
@pytest.mark.parametrize("name", EXPORTERS)
def test_mask_that_its_source_cannot_read(
    name: str, read: Callable[[], np.ndarray], sized: bool, tmp_path: Path
) -> None:
    """By default it ends the export, which leaves nothing; else the rest is exported."""
    out = tmp_path / "out"
    with pytest.raises(SegmaskExportError, match="its mask cannot be read") as caught:
        lazy_dataset(read, sized=sized).export(str(out), name)
    assert isinstance(caught.value, DatumaroError)
    assert "item 'b'" in str(caught.value)
    assert ("masks/b.png" in str(caught.value)) == (read is gone)
    assert not out.exists()
    policy = LenientExport()
    lazy_dataset(read, sized=sized).export(str(out), name, error_policy=policy)
    assert ["its mask cannot be read" in str(e.__cause__) for e in policy.errors] == [True, True]
    if name == "segmask":
        back = {item.id: len(item.annotations) for item in Dataset.import_from(str(out), name)}
        assert back["a"] == back["c"] == 1
        assert not back.get("b")


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("name", EXPORTERS)
def test_what_is_no_fault_of_a_source_passes(
    name: str, error: type[BaseException], tmp_path: Path
) -> None:
    def read() -> np.ndarray:
        raise error

    with pytest.raises(error):
        lazy_dataset(read).export(str(tmp_path / "out"), name)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", EXPORTERS)
def test_picture_that_is_none(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    item = good("a").wrap(media=Image.from_file(str(tmp_path / "a.jpg"), size=(2, 3)))
    dataset = Dataset.from_iterable([item, good("b")], categories=["background", "car"])
    with pytest.raises(SegmaskExportError, match=r"item 'a'.*cannot be saved"):
        dataset.export(str(tmp_path / "out"), name, save_media=True, image_ext=".png")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", EXPORTERS)
def test_shape_without_label_beside_others(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    items = [good("a"), good("b")]
    for item in items:
        item.annotations.append(Bbox(0, 0, 1, 1))
    Dataset.from_iterable(items, categories=["background", "car"]).export(
        str(tmp_path / "out"), name
    )
    said = [r.getMessage() for r in caplog.records if "without a label" in r.getMessage()]
    assert len(said) == 1
    assert "2" in said[0]


def test_source_with_a_mask_that_is_gone(tmp_path: Path) -> None:
    """Through `datum convert`, from a format that reads its masks when they are asked for."""
    source = tmp_path / "open_images"
    Dataset.from_iterable([good("a"), good("b")], categories=["background", "car"]).export(
        str(source), "open_images", save_media=True
    )
    (source / "annotations/images.meta").write_text("a 2 3\nb 2 3\n")
    masks = sorted(source.rglob("masks/*/*.png"))
    assert len(masks) == 2
    masks[1].unlink()
    for name in EXPORTERS:
        done = command("convert", "-i", source, "-if", "open_images", "-f", name,
                       "-o", tmp_path / name, module="datumaro")  # fmt: skip
        assert done.returncode != 0, done.stdout
        assert "its mask cannot be read" in done.stdout + done.stderr
        assert masks[1].name in done.stdout + done.stderr
        assert not (tmp_path / name).exists()
