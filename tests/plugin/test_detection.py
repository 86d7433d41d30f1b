"""Our archives are found, and every other format is found as without us."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from datumaro.components.annotation import Bbox, Caption, Label, Mask, Polygon
from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.environment import DEFAULT_ENVIRONMENT, Environment
from datumaro.components.media import Image

from ..archives import CONTAINERS, archive, as_folder, as_zip, gray, rgb
from ..cases import GOOD, LAYOUT

pytestmark = pytest.mark.usefixtures("registered")
containers = pytest.mark.parametrize("write", CONTAINERS.values(), ids=CONTAINERS)

FILES = archive({"a": rgb("012")}, {"a": rgb("011")})


def detected(path: Path, env: Environment | None = None) -> list[str]:
    """Return all formats that detection is left with, as deep as it looks for an import."""
    return list((env or Environment()).detect_dataset(str(path), depth=2))


VARIANTS = {
    "color": FILES,
    "gray": archive({"a": gray("012")}, {"a": gray("011")}),
    "class-masks-only": archive({"a": rgb("0")}),
    "instance-masks-only": archive({}, {"a": rgb("1")}),
    "no-label-map": archive({"a": rgb("0")}, labels=None),
    "no-lists": archive({"a": rgb("0")}, lists={}),
    "no-masks-at-all": archive({}, lists={"default": "a\n"}),
    "masks-in-sub-folders": archive({"x/y/a": rgb("0")}),
    "with-images": archive({"a": rgb("0")}, images={"a.jpg": b"x", "b.png": b"x"}),
    "one-folder-down": archive({"a": rgb("0")}, root="my task/"),
}


@containers
@pytest.mark.parametrize("files", VARIANTS.values(), ids=VARIANTS)
def test_ours(files: dict[str, bytes], write, tmp_path: Path) -> None:
    path = write(files, tmp_path / "task")
    assert detected(path) == ["segmask"]
    assert len(Dataset.import_from(str(path))) == 1


def test_folder_with_one_zip(tmp_path: Path) -> None:
    as_zip(FILES, tmp_path / "task")
    assert detected(tmp_path) == ["segmask"]


def test_folder_with_brackets_in_its_name(tmp_path: Path) -> None:
    """Which glob takes for a pattern."""
    path = as_folder(FILES, tmp_path / "task [1]")
    assert len(Dataset.import_from(str(path), "segmask")) == 1


@pytest.mark.parametrize("name", LAYOUT)
def test_the_table(name: str, tmp_path: Path) -> None:
    assert "segmask" in detected(as_folder(GOOD[name].files, tmp_path / "task"))


@pytest.mark.parametrize(
    "mark", ["ImageSets/Main/train.txt", "ImageSets/Layout/train.txt", "ImageSets/Action/train.txt",
             "Annotations/a.xml"],
)  # fmt: skip
def test_full_voc_stays_voc(mark: str, tmp_path: Path, without_us: Environment) -> None:
    path = as_folder(FILES | {mark: b"<annotation/>\n"}, tmp_path)
    assert "segmask" not in detected(path)
    assert detected(path) == detected(path, without_us)


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({}, id="empty"),
        pytest.param({"a.png": b"x", "b.txt": b"x"}, id="strange-files"),
        pytest.param({"labelmap.txt": b"a:1,2,3\n"}, id="label-map-only"),
        pytest.param({"ImageSets/Segmentation/default.txt": b"a\n"}, id="list-only"),
        pytest.param({"JPEGImages/a.jpg": b"x"}, id="images-only"),
        pytest.param({"SegmentationClass/readme.md": b"x"}, id="folder-without-masks"),
    ],
)
def test_not_ours(files: dict[str, bytes], tmp_path: Path, without_us: Environment) -> None:
    path = as_folder(files, tmp_path / "task")
    assert detected(path) == detected(path, without_us)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"PK\5\6" + bytes(18), id="zip-of-nothing"),
        pytest.param(b"<html>", id="text"),
        pytest.param(b"PK\3\4" + bytes(100), id="beginning-of-a-zip"),
    ],
)
def test_files_that_are_no_archive(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "task.zip"
    path.write_bytes(data)
    assert "segmask" not in detected(path)


def test_zip_that_leads_out(tmp_path: Path) -> None:
    """Detection never raises; the import says why."""
    path = as_zip(FILES | {"../evil.png": b"x"}, tmp_path / "task")
    assert "segmask" not in detected(path)


FORMATS = [
    "coco", "coco_instances", "voc", "voc_segmentation", "voc_detection", "yolo", "datumaro",
    "cityscapes", "camvid", "cvat", "image_dir", "imagenet_txt", "label_me", "kitti",
    "common_semantic_segmentation", "open_images", "vgg_face2", "widerface",
    "kitti_segmentation", "mapillary_vistas", "ade20k2017", "dota",
]  # fmt: skip


def something() -> Dataset:
    """An item of every kind of annotation that exports easily."""
    image = Image.from_numpy(np.full((8, 8, 3), 90, np.uint8))
    mask = np.zeros((8, 8), bool)
    mask[2:5, 2:6] = True
    annotations = [
        Mask(mask, label=1, group=1),
        Bbox(1, 1, 4, 3, label=1, group=1),
        Polygon([1, 1, 5, 1, 5, 5], label=2, group=2),
        Label(1),
        Caption("a car"),
    ]
    return Dataset.from_iterable(
        [DatasetItem(name, subset="train", media=image, annotations=annotations) for name in "ab"],
        categories=["background", "car", "road"],
        media_type=Image,
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # those of Datumaro's exporters
@pytest.mark.parametrize("name", [f for f in FORMATS if f in DEFAULT_ENVIRONMENT.exporters])
def test_other_formats_are_found_as_without_us(
    name: str, tmp_path: Path, without_us: Environment
) -> None:
    path = tmp_path / "dataset"
    try:
        something().export(str(path), name, save_media=True)
    except Exception as error:  # a format that wants something else is not what is tested here
        pytest.skip(f"{name} cannot export this: {error}")
    try:
        answer = detected(path, without_us)
    except ImportError as error:
        pytest.skip(f"Datumaro cannot detect {name} here: {error}")
    if name in ("voc_segmentation",) and "segmask" in detected(path):
        # The bare layout is ours: without us it is a tie, and Datumaro gives up.
        assert detected(path) == ["segmask"]
        assert len(answer) > 1
    else:
        assert detected(path) == answer
