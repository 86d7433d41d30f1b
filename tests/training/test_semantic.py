"""The format `semantic_masks`: each layout as its reader takes it (docs/training.md, section 9).

The readers below do what those of the trainers do with files, and no more.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from datumaro.components.annotation import AnnotationType, LabelCategories, Mask, MaskCategories
from datumaro.components.dataset import Dataset, StreamDataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.errors import DatasetExportError
from datumaro.components.media import Image
from PIL import Image as Pillow

from datumaro_segmask.archive import Label, LabelMap
from datumaro_segmask.errors import SegmaskExportError
from datumaro_segmask.formats.common import flat_name
from datumaro_segmask.formats.semantic import PixelClasses

from ..archives import (
    COLORS,
    RGB,
    Plane,
    archive,
    as_folder,
    as_zip,
    chunk,
    jpeg,
    plane,
    png,
    raw_png,
)
from ..whole.test_datum import run

pytestmark = pytest.mark.usefixtures("registered")

VOID = (224, 224, 192)
MANY = 30
LAYOUTS = ["folders", "mmsegmentation", "ultralytics", "nnunet"]
Cases = dict[str, tuple[Plane, Plane]]
"""The picture (RGB) and the mask of each case of a split, by its name."""


# Readers


def picture_of(path: Path) -> Plane:
    """As PIL has it: without a look at EXIF data."""
    with Pillow.open(path) as image:
        assert image.getexif().get(0x0112, 1) == 1
        return np.asarray(image)


def mask_of(path: Path) -> Plane:
    mask = picture_of(path)
    assert mask.ndim == 2
    assert mask.dtype == np.uint8
    return mask


def read_folders(root: Path, split: str) -> tuple[list[str], Cases]:
    names = {int(k): v for k, v in json.loads((root / "id2label.json").read_text()).items()}
    images = root / "images" / split
    cases = {}
    for path in sorted(images.rglob("*.*")):
        case = path.relative_to(images).with_suffix("").as_posix()
        cases[case] = picture_of(path), mask_of(root / "masks" / split / f"{case}.png")
    return [names[i] for i in range(len(names))], cases


def read_mmsegmentation(root: Path, split: str) -> tuple[list[str], Cases]:
    """A list of names, one suffix for all pictures."""
    (suffix,) = {path.suffix for path in (root / "img_dir").rglob("*.*")}
    about = json.loads((root / "metainfo.json").read_text())
    assert len(about["palette"]) == len(about["classes"])
    cases = {}
    for line in (root / "splits" / f"{split}.txt").read_text("utf-8").splitlines():
        name = line.strip()
        picture = picture_of(root / "img_dir" / f"{name}{suffix}")
        cases[name.partition("/")[2]] = picture, mask_of(root / "ann_dir" / f"{name}.png")
    return about["classes"], cases


def read_ultralytics(root: Path, split: str) -> tuple[list[str], Cases]:
    """The folders of a split in data.yaml; masks where ``masks`` stands for ``images``."""
    about = yaml.safe_load((root / "data.yaml").read_text("utf-8"))
    assert Path(about["path"]) == root
    folders = about[split] if isinstance(about[split], list) else [about[split]]
    cases = {}
    for folder in folders:
        for path in sorted((root / folder).rglob("*.*")):
            case = path.relative_to(root / folder).with_suffix("").as_posix()
            head, tail = str(path).rsplit("/images/", 1)
            place = f"{head}/{about['masks_dir']}/{tail}".rsplit(".", 1)[0]
            cases[case] = picture_of(path), mask_of(Path(f"{place}.png"))
    names = [about["names"][i] for i in range(len(about["names"]))]
    for _, mask in cases.values():
        assert set(np.unique(mask)) <= {*range(len(names)), 255}
    return names, cases


def read_nnunet(root: Path, split: str) -> tuple[list[str], Cases]:
    """As `verify_dataset_integrity`: the top folder alone, three channels, labels in a row."""
    about = json.loads((root / "dataset.json").read_text())
    ending, labels = about["file_ending"], about["labels"]
    assert len(about["channel_names"]) == 3
    assert labels["background"] == 0
    assert [*labels.values()] == [*range(len(labels))]
    found: dict[str, Cases] = {}
    for part in ("Tr", "Ts"):
        names = os.listdir(root / f"images{part}") if (root / f"images{part}").exists() else []
        found[part] = {}
        for name in names:
            case = re.fullmatch(rf"(.+)_\d\d\d\d{re.escape(ending)}", name)
            assert case, name
            picture = picture_of(root / f"images{part}" / name)
            assert picture.shape[2:] == (3,)
            assert picture.dtype == np.uint8
            mask = mask_of(root / f"labels{part}" / f"{case[1]}{ending}")
            assert set(np.unique(mask)) <= {*labels.values()}
            found[part][case[1]] = picture, np.where(mask == labels.get("ignore", 255), 255, mask)
    assert about["numTraining"] == len(found["Tr"])
    has_unknown = any((mask == 255).any() for cases in found.values() for _, mask in cases.values())
    assert ([*labels][-1] == "ignore") == has_unknown  # which changes how nnU-Net trains
    names = [name for name in labels if name != "ignore"]
    if split == "test":
        return names, found["Ts"]
    if (root / "splits_final.json").exists():
        (fold,) = json.loads((root / "splits_final.json").read_text())
        assert {*fold["train"], *fold["val"]} == {*found["Tr"]}
        return names, {case: found["Tr"][case] for case in fold[split]}
    return names, found["Tr"]


READERS: dict[str, Callable[[Path, str], tuple[list[str], Cases]]] = {
    "folders": read_folders,
    "mmsegmentation": read_mmsegmentation,
    "ultralytics": read_ultralytics,
    "nnunet": read_nnunet,
}


def read(root: Path, layout: str, split: str = "train") -> tuple[list[str], Cases]:
    names, cases = READERS[layout](root, split)
    for picture, mask in cases.values():
        assert picture.shape[:2] == mask.shape
    return names, cases


def export(source: Dataset, root: Path, layout: str = "folders", **options: Any) -> Path:
    source.export(str(root), "semantic_masks", layout=layout, save_media=True, **options)
    return root


def rows(pixels: Plane) -> list[list[int]]:
    return [[int(value) for value in row] for row in pixels]


# Random archives, and what a painter makes of them


def random_task(rng: np.random.Generator) -> tuple[dict[str, bytes], list[str], dict[str, Plane]]:
    """An archive, the names of its classes in order, and the classes of each image; 255 unknown."""
    count = int(rng.integers(0, 5))
    labels = [f"label {i}" for i in range(count)]
    name = rng.choice(["background", "Background", "BACKGROUND"])
    labels.insert(int(rng.integers(0, count + 1)), str(name))
    ground = labels.index(str(name))
    colors = [(0, 0, 0) if i == ground else tuple(COLORS[i + 1]) for i in range(len(labels))]
    palette = np.array([*colors, VOID], np.uint8)
    masks, expected = {}, {}
    for number in range(int(rng.integers(1, 4))):
        size = tuple(int(side) for side in rng.integers(1, 9, 2))
        values = rng.integers(0, len(palette), size)
        masks[f"i{number}"] = png(palette[values])
        order = [i for i in range(len(labels)) if i != ground]
        classes = np.zeros(len(palette), int)
        classes[order] = np.arange(1, len(order) + 1)
        classes[-1] = 255
        expected[f"i{number}"] = classes[values]
    lines = [f"{n}:{r},{g},{b}::" for n, (r, g, b) in zip(labels, colors, strict=True)]
    pictures = {f"{i}.png": png(np.full((*p.shape, 3), 7, np.uint8)) for i, p in expected.items()}
    files = archive(
        masks, labels="\n".join(lines) + "\n", lists={"train": "\n".join(masks)}, images=pictures
    )
    return files, ["background", *(n for n in labels if n != name)], expected


@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_is_what_was_painted(layout: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    for i in range(MANY):
        files, names, expected = random_task(rng)
        task = as_folder(files, tmp_path / f"task{i}")
        kind = Dataset if i % 2 else StreamDataset
        source = kind.import_from(str(task), "segmask", unknown="keep")
        found_names, cases = read(export(source, tmp_path / f"out{i}", layout), layout)
        assert found_names == names
        assert {case: rows(mask) for case, (_, mask) in cases.items()} == {
            case: rows(classes) for case, classes in expected.items()
        }


def random_items(rng: np.random.Generator, labels: int) -> Iterator[tuple[DatasetItem, Plane]]:
    """Items of masks that overlap, and the label of each pixel, -1 for none."""
    for number in range(5):
        size = tuple(int(side) for side in rng.integers(1, 9, 2))
        painted = np.full(size, -1)
        masks = []
        for z_order in range(int(rng.integers(0, 5))):
            pixels = rng.random(size) < 0.5
            label = int(rng.integers(labels))
            painted[pixels] = label
            masks.append(Mask(pixels, label=label, z_order=z_order))
        order = rng.permutation(len(masks))
        image = Image.from_numpy(np.zeros((*size, 3), np.uint8))
        item = DatasetItem(
            f"i{number}", subset="train", media=image, annotations=[masks[i] for i in order]
        )
        yield item, painted


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("labels", [["a", "b", "c"], ["a", "background", "b"], ["a", "BackGround"]])
def test_what_lies_on_top_counts(labels: list[str], layout: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(12)
    found = {item.id: (item, painted) for item, painted in random_items(rng, len(labels))}
    source = Dataset.from_iterable([item for item, _ in found.values()], categories=labels)
    names, cases = read(export(source, tmp_path / "out", layout), layout)
    own = [name for name in labels if name.lower() != "background"]
    assert names == ["background", *own]
    value_of = {**{labels.index(name): i for i, name in enumerate(own, 1)}, -1: 0}
    for item_id, (_, painted) in found.items():
        expected = [[value_of.get(label, 0) for label in row] for row in painted.tolist()]
        assert rows(cases[item_id][1]) == expected


# Splits, names, pictures

CLASSES = plane("1122 0012")


def task_of(
    tmp_path: Path, subsets: Mapping[str, Sequence[str]], images: dict[str, bytes] | None = None
) -> Path:
    ids = sorted({item_id for some in subsets.values() for item_id in some})
    files = archive(
        {item_id: png(COLORS[CLASSES]) for item_id in ids},
        lists={name: "".join(f"{item_id}\n" for item_id in some) for name, some in subsets.items()},
        images=images or {f"{item_id}.jpg": jpeg(2, 4) for item_id in ids},
    )
    return as_zip(files, tmp_path / "task")


CVAT = {"Train": ["a", "b"], "Validation": ["c"], "Test": ["d"]}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_subsets_go_by_their_meaning(layout: str, tmp_path: Path) -> None:
    source = Dataset.import_from(str(task_of(tmp_path, CVAT)), "segmask")
    out = export(source, tmp_path / "out", layout)
    for split, ids in (("train", ["a", "b"]), ("val", ["c"]), ("test", ["d"])):
        names, cases = read(out, layout, split)
        assert names == ["background", "car", "road"]
        assert sorted(cases) == ids


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("subset", ["default", "fold0", "trainval"])
def test_what_means_nothing_is_trained_on(subset: str, layout: str, tmp_path: Path) -> None:
    source = Dataset.import_from(str(task_of(tmp_path, {subset: ["a"]})), "segmask")
    out = export(source, tmp_path / "out", layout)
    folder = "train" if subset == "default" or layout != "folders" else subset
    assert [*read(out, layout, folder)[1]] == ["a"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_items_once_more(layout: str, tmp_path: Path, caplog: Any) -> None:
    subsets = {"train": ["a"], "val": ["b"], "trainval": ["a", "b"]}
    source = Dataset.import_from(str(task_of(tmp_path, subsets)), "segmask")
    out = export(source, tmp_path / "out", layout)
    assert [*read(out, layout, "train")[1]] == ["a"]
    assert [*read(out, layout, "val")[1]] == ["b"]
    assert caplog.text.count("does not name 'trainval', because other subsets have the same") == 1


def test_nnunet_does_not_train_on_what_validates(tmp_path: Path) -> None:
    task = task_of(tmp_path, {"all": ["a", "b"], "val": ["b"]})
    out = export(Dataset.import_from(str(task), "segmask"), tmp_path / "out", "nnunet")
    (fold,) = json.loads((out / "splits_final.json").read_text())
    assert fold == {"train": ["a"], "val": ["b"]}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_split_says_otherwise(layout: str, tmp_path: Path) -> None:
    source = Dataset.import_from(str(task_of(tmp_path, CVAT)), "segmask")
    out = export(source, tmp_path / "out", layout, split="Train=test,Test=train")
    assert sorted(read(out, layout, "train")[1]) == ["d"]
    assert sorted(read(out, layout, "test")[1]) == ["a", "b"]
    with pytest.raises(DatasetExportError, match=r"'Trian', which is not there.*type 'Train'"):
        export(source, tmp_path / "other", layout, split="Trian=test")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_id_in_two_subsets_of_a_split(layout: str, tmp_path: Path) -> None:
    """The very same item is there once; another one has no place, or in nnU-Net another name."""

    def item(subset: str, value: int) -> DatasetItem:
        pixels = np.full((2, 3), value, bool)
        picture = Image.from_numpy(np.zeros((2, 3, 3), np.uint8))
        return DatasetItem("a", subset=subset, media=picture, annotations=[Mask(pixels, label=0)])

    same = Dataset.from_iterable([item("fold0=train", 1), item("train", 1)], categories=["car"])
    out = export(same, tmp_path / "same", layout, split="fold0=train=train")
    assert len(read(out, layout)[1]) == 1
    both = Dataset.from_iterable([item("val", 1), item("valid", 0)], categories=["car"])
    if layout == "nnunet":
        assert {*read(export(both, tmp_path / "both", layout), layout)[1]} == {"a", "valid__a"}
        return
    with pytest.raises(DatasetExportError, match="both are in the split 'val'"):
        export(both, tmp_path / "both", layout)


IDS = ["a/b", "a_b", "a__b", "a/_b", "a_/b", "a___b", "x", "x_0000", "x_0000_0000", "a-b", "A/b"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("flat", [False, True])
def test_ids_do_not_clash(flat: bool, layout: str, tmp_path: Path) -> None:
    shades = {item_id: 20 * number for number, item_id in enumerate(IDS, 1)}
    images = {f"{i}.png": png(np.full((2, 4, 3), shade, np.uint8)) for i, shade in shades.items()}
    task = task_of(tmp_path, {"train": IDS}, images)
    source = Dataset.import_from(str(task), "segmask")
    _, cases = read(export(source, tmp_path / "out", layout, flat_names=flat), layout)
    assert sorted(int(picture[0, 0, 0]) for picture, _ in cases.values()) == [*shades.values()]
    if flat or layout == "nnunet":
        assert not any("/" in case for case in cases)
        assert int(cases["a__b"][0][0, 0, 0]) == shades["a/b"]
    else:
        assert {*cases} == {*IDS}


def test_a_folder_of_images_in_an_id(tmp_path: Path) -> None:
    """Ultralytics puts ``masks`` for the last ``images`` of a path."""
    task = task_of(tmp_path, {"train": ["images/a", "images", "x/images"]})
    source = Dataset.import_from(str(task), "segmask")
    _, cases = read(export(source, tmp_path / "out", "ultralytics"), "ultralytics")
    assert {*cases} == {"images__a", "images", "x/images"}


def test_flat_names_are_different_for_every_id() -> None:
    letters = "a_/-"
    ids = [""]
    for _ in range(5):
        ids += [i + letter for i in ids for letter in letters]
    ids = [i for i in dict.fromkeys(ids) if i and "//" not in i and i.strip("/") == i]
    assert len({*map(flat_name, ids)}) == len(ids)
    assert flat_name("street/0001") == "street__0001"
    assert flat_name("frame_000001") == "frame_000001"


def noise(mode: str, suffix: str) -> bytes:
    """A picture of 2 x 4 pixels, of a mode of Pillow's; tRNS is RGB in which a colour is clear."""
    rng = np.random.default_rng(3)
    if mode == "tRNS":
        samples = rng.integers(0, 255, (2, 4, 3))
        clear = samples[0, 0].astype(">u2").tobytes()
        return raw_png(samples, color_type=RGB, extra=chunk(b"tRNS", clear))
    channels = {"L": (), "LA": (2,), "RGB": (3,), "RGBA": (4,), "P": (3,), "I;16": ()}[mode]
    dtype = np.uint16 if mode == "I;16" else np.uint8
    pixels = rng.integers(0, np.iinfo(dtype).max, (2, 4, *channels)).astype(dtype)
    image = Pillow.fromarray(pixels)
    file = io.BytesIO()
    (image.convert("P") if mode == "P" else image).save(
        file, Pillow.registered_extensions()[suffix]
    )
    return file.getvalue()


MODES = ["L", "LA", "RGB", "RGBA", "P", "I;16", "tRNS"]


@pytest.mark.parametrize("mode", MODES)
def test_nnunet_gets_three_channels(mode: str, tmp_path: Path) -> None:
    data = noise(mode, ".png")
    source = Dataset.import_from(
        str(task_of(tmp_path, {"train": ["a"]}, {"a.png": data})), "segmask"
    )
    _, cases = read(export(source, tmp_path / "out", "nnunet"), "nnunet")
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert expected is not None
    assert (cases["a"][0] == expected[..., ::-1]).all()
    with Pillow.open(tmp_path / "out/imagesTr/a_0000.png") as image:
        assert (image.mode, "transparency" in image.info) == ("RGB", False)
    if mode == "RGB":
        assert (tmp_path / "out/imagesTr/a_0000.png").read_bytes() == data


@pytest.mark.parametrize("kind", [Dataset, StreamDataset])
@pytest.mark.parametrize(
    ("suffixes", "one"),
    [
        ([".jpg", ".jpg"], ".jpg"), ([".JPG", ".jpg"], ".jpg"), ([".png", ".png"], ".png"),
        ([".jpg", ".png"], ".png"), ([".bmp", ".jpg"], ".png"),
    ],
)  # fmt: skip
def test_mmsegmentation_gets_one_suffix(
    suffixes: list[str], one: str, kind: Any, tmp_path: Path
) -> None:
    """No pixel changes: what is copied is the same, and what is encoded anew becomes a PNG."""
    data = {f"{i}{s}": noise("RGB", s.lower()) for i, s in zip("ab", suffixes, strict=True)}
    source = kind.import_from(str(task_of(tmp_path, {"train": ["a", "b"]}, data)), "segmask")
    out = export(source, tmp_path / "out", "mmsegmentation")
    _, cases = read(out, "mmsegmentation")
    assert {path.suffix for path in (out / "img_dir").rglob("*.*")} == {one}
    for name, old in data.items():
        before = cv2.imdecode(np.frombuffer(old, np.uint8), cv2.IMREAD_COLOR)
        assert before is not None
        assert (
            abs(cases[name[0]][0].astype(int) - before[..., ::-1]).max() <= 1
        )  # two JPEG decoders
    chosen = export(source, tmp_path / "chosen", "mmsegmentation", image_ext=".bmp")
    assert {path.suffix for path in (chosen / "img_dir").rglob("*.*")} == {".bmp"}


def test_one_suffix_for_another_datasets_stream(tmp_path: Path) -> None:
    task = task_of(tmp_path, {"train": ["a"], "val": ["b"]}, {
        "a.jpg": noise("RGB", ".jpg"), "b.png": noise("RGB", ".png"),
    })  # fmt: skip
    run(tmp_path, "convert", str(task), "-f", "yolo_segments", "-o", "yolo")
    said = run(
        tmp_path, "convert", "yolo", "-f", "semantic_masks", "--layout", "mmsegmentation",
        "-o", "out",
    )  # fmt: skip
    assert {path.suffix for path in (tmp_path / "out/img_dir").rglob("*.*")} == {".png"}
    assert said.count("1 image, 2 objects of 2 classes") == 2


def test_pictures_lie_as_their_masks_do(tmp_path: Path, caplog: Any) -> None:
    pixels = np.zeros((4, 2, 3), np.uint8)
    pixels[0, 0] = 255
    file, exif = io.BytesIO(), Pillow.Exif()
    exif[0x0112] = 8  # shown with the first column on its side
    Pillow.fromarray(pixels).save(file, "PNG", exif=exif)
    for layout in LAYOUTS:
        task = task_of(tmp_path, {"train": ["a"]}, {"a.png": file.getvalue()})
        source = Dataset.import_from(str(task), "segmask")
        _, cases = read(export(source, tmp_path / layout, layout), layout)
        picture, _ = cases["a"]
        assert picture[..., 0].tolist() == [[0, 0, 0, 0], [255, 0, 0, 0]]
    assert caplog.text.count("1 image written upright") == len(LAYOUTS)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_images_without_objects_are_background(layout: str, tmp_path: Path) -> None:
    files = archive(
        {"a": png(COLORS[CLASSES])}, lists={"train": "a\nb\n"},
        images={"a.jpg": jpeg(2, 4), "b.jpg": jpeg(3, 5)},
    )  # fmt: skip
    source = Dataset.import_from(str(as_folder(files, tmp_path / "task")), "segmask")
    _, cases = read(export(source, tmp_path / "out", layout), layout)
    assert rows(cases["b"][1]) == [[0] * 5] * 3


# Labels


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_background_may_be_what_is_ignored(layout: str, tmp_path: Path) -> None:
    source = Dataset.import_from(str(task_of(tmp_path, {"train": ["a"]})), "segmask")
    out = export(source, tmp_path / "out", layout, ignore_label="background")
    names, cases = read(out, layout)
    first = 1 if layout == "nnunet" else 0
    assert names == ["background", "car", "road"][1 - first :]
    expected = np.where(CLASSES == 0, 255, CLASSES.astype(int) - 1 + first)
    assert rows(cases["a"][1]) == rows(expected)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_label_may_be_ignored(layout: str, tmp_path: Path) -> None:
    source = Dataset.import_from(str(task_of(tmp_path, {"train": ["a"]})), "segmask")
    names, cases = read(export(source, tmp_path / "out", layout, ignore_label="car"), layout)
    assert names == ["background", "road"]
    assert rows(cases["a"][1]) == rows(np.array([0, 255, 1])[CLASSES])
    with pytest.raises(DatasetExportError, match=r"ignore_label is 'Car'.*'car', 'road'"):
        export(source, tmp_path / "other", layout, ignore_label="Car")


@pytest.mark.parametrize("unknown", ["skip", "keep"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_void_of_voc_is_no_class(layout: str, unknown: str, tmp_path: Path) -> None:
    """Whether it was read as the label that it is in VOC's label map, or kept apart."""
    mask = np.array([[0, 1, 255], [0, 20, 255]], np.uint8)
    files = archive({"a": png(mask)}, labels=None, images={"a.jpg": jpeg(2, 3)})
    source = Dataset.import_from(
        str(as_folder(files, tmp_path / "task")), "segmask", unknown=unknown
    )
    names, cases = read(export(source, tmp_path / "out", layout), layout)
    assert len(names) == 21
    assert names[20] == "tvmonitor"
    assert rows(cases["a"][1]) == rows(mask)


def test_objects_without_a_label_are_unknown(tmp_path: Path, caplog: Any) -> None:
    files = archive(None, {"a": png(COLORS[CLASSES])}, images={"a.jpg": jpeg(2, 4)})
    source = Dataset.import_from(str(as_folder(files, tmp_path / "task")), "segmask")
    _, cases = read(export(source, tmp_path / "out"), "folders")
    assert rows(cases["a"][1]) == rows(np.where(CLASSES > 0, 255, 0))
    assert "2 instances without a label" in caplog.text


def labels_of(names: Sequence[str]) -> LabelMap:
    made = [Label(name, (i % 256, i // 256, 5 * (i > 0)), i) for i, name in enumerate(names)]
    return LabelMap(tuple(made))


def test_classes_that_have_no_values() -> None:
    most = labels_of(["background", *(f"l{i}" for i in range(254))])
    assert PixelClasses.of(most, [], "folders").values[-1] == 254
    more = labels_of(["background", *(f"l{i}" for i in range(255))])
    with pytest.raises(SegmaskExportError, match=r"there are 256 classes.*at most 255"):
        PixelClasses.of(more, [], "folders")
    assert PixelClasses.of(more, [0], "folders").values[-1] == 254
    assert PixelClasses.of(more, [], "nnunet").unknown == 256
    named = labels_of(["background", "ignore", "car"])
    with pytest.raises(SegmaskExportError, match=r"called 'ignore'.*with ignore_label=ignore"):
        PixelClasses.of(named, [], "nnunet")
    assert PixelClasses.of(named, [1], "nnunet").names == ("background", "car")
    assert PixelClasses.of(named, [], "folders").names == ("background", "ignore", "car")


def test_many_classes_of_nnunet(tmp_path: Path) -> None:
    names = ["background", *(f"l{i}" for i in range(300))]
    categories = {
        AnnotationType.label: LabelCategories.from_iterable(names),
        AnnotationType.mask: MaskCategories({i: (i % 256, i // 256, 9) for i in range(301)}),
    }
    masks = [
        Mask(np.array([[0, 1, 0]], bool), label=300),
        Mask(np.array([[1, 0, 0]], bool), label=1),
    ]
    picture = Image.from_numpy(np.zeros((1, 3, 3), np.uint8))
    item = DatasetItem("a", media=picture, annotations=masks)
    source = Dataset.from_iterable([item], categories=categories)
    export(source, tmp_path / "out", "nnunet")
    mask = cv2.imread(str(tmp_path / "out/labelsTr/a.png"), cv2.IMREAD_UNCHANGED)
    assert mask is not None
    assert mask.tolist() == [[1, 300, 0]]


def test_another_layout_is_an_error(tmp_path: Path) -> None:
    source = Dataset.import_from(str(task_of(tmp_path, {"train": ["a"]})), "segmask")
    with pytest.raises(DatasetExportError, match=r"layout is 'nnUNet'.*'folders', 'mm"):
        export(source, tmp_path / "out", "nnUNet")


# Messages, and exports over earlier ones


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pictures_that_are_not_there_are_named(layout: str, tmp_path: Path, caplog: Any) -> None:
    source = Dataset.import_from(str(task_of(tmp_path, {"train": ["a"], "val": ["b"]})), "segmask")
    with caplog.at_level(logging.WARNING):
        source.export(str(tmp_path / "out"), "semantic_masks", layout=layout)
    place = {
        "folders": "images/train/a.jpg",
        "mmsegmentation": "img_dir/train/a.jpg",
        "ultralytics": "images/train/a.jpg",
        "nnunet": "imagesTr/a_0000.png",
    }[layout]
    (said,) = [r.getMessage() for r in caplog.records]
    assert said.startswith("2 images not in ")
    assert place in said


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_export_replaces_an_earlier_one_of_any_layout(layout: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for earlier in LAYOUTS:
        source = Dataset.import_from(str(task_of(tmp_path, {"train": ["a", "b"]})), "segmask")
        export(source, out, earlier)
        (out / "mine.txt").write_text("mine")
        source = Dataset.import_from(str(task_of(tmp_path, {"train": ["a"]})), "segmask")
        export(source, out, layout)
        export(source, tmp_path / "fresh", layout)
        assert files_below(out) - {"mine.txt"} == files_below(tmp_path / "fresh")
        assert (out / "mine.txt").exists()


def files_below(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_ultralytics_forgets_the_old_masks(tmp_path: Path) -> None:
    source = Dataset.import_from(str(task_of(tmp_path, {"train": ["a"]})), "segmask")
    out = export(source, tmp_path / "out", "ultralytics")
    (out / "masks/train.cache").write_bytes(b"old")
    export(source, out, "ultralytics")
    assert not (out / "masks/train.cache").exists()


# The command lines


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_command_lines(layout: str, tmp_path: Path) -> None:
    mask = np.where(CLASSES == 2, 255, CLASSES)
    files = archive({"a": png(mask)}, lists={"Train": "a\n"}, images={"a.jpg": jpeg(2, 4)})
    as_zip(files, tmp_path / "task")
    said = run(
        tmp_path, "convert", "task.zip", "--ignore-index", "255", "-f", "semantic_masks",
        "--layout", layout, "-o", "Dataset012_street",
    )  # fmt: skip
    out = tmp_path / "Dataset012_street"
    assert rows(read(out, layout)[1]["a"][1]) == rows(mask)
    following = {
        "ultralytics": "yolo semantic train data=Dataset012_street/data.yaml model=yolo26n-sem.pt",
        "nnunet": "nnUNetv2_plan_and_preprocess -d 12",
    }
    assert (f"next: {following.get(layout)}" in said) == (layout in following)
    run(tmp_path, "convert", "-i", "task.zip", "-if", "segmask", "--ignore-index", "255",
        "--unknown", "skip", "-f", "semantic_masks", "-o", "plain", "--", "--layout", layout,
        "--save-media")  # fmt: skip
    assert rows(read(tmp_path / "plain", layout)[1]["a"][1]) == rows(np.where(mask == 1, 1, 0))
