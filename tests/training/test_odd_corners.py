"""Odd corners that trainers met: subsets of CVAT, turned photographs, names, void, PNG pictures.

Each is drawn here, and those of others are taken too if they lie beside the checkout.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest
import yaml
from datumaro.components.dataset import Dataset
from PIL import ExifTags

from datumaro_segmask import Masks, to_segments

from ..archives import Files, archive, as_zip, gray, jpeg, painted, plane, png, rgb

pytestmark = pytest.mark.usefixtures("registered")

REAL = Path(__file__).parents[3] / "shared/cases/2/training"
ROWS = "111100002222 111100002222 111100002222 000000000000 000000000000 000000000000"
NAMES = [
    "no", "yes", "1", "null", "x # y", "a b", "it's", '"q"', "~", "café 图", "😀", "on", "1.0",
    "{a}", "[b]", "-", "*", "&z", "%p", "@m", "!t", "|", ">", "true", "a\\b", "tab",
]  # fmt: skip
LABELS = "background:0,0,0::\ncat:128,0,0::\ndog:0,128,0::\n"


def photo(orientation: int) -> bytes:
    """A photograph of 12 x 6 pixels as it is shown, dark at the left, stored as a camera may."""
    shown = np.full((6, 12, 3), 230, np.uint8)
    shown[:, :6] = 20
    stored = np.rot90(shown, 1) if orientation == 6 else shown
    file = io.BytesIO()
    exif = PIL.Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    PIL.Image.fromarray(np.ascontiguousarray(stored)).save(file, "jpeg", exif=exif, quality=95)
    return file.getvalue()


def drawn(name: str) -> Files:
    masks: dict[str, Any] = {"classes": {"p": rgb(ROWS), "q": rgb(ROWS)}}
    masks["instances"] = masks["classes"]
    more: dict[str, Any] = {"labels": LABELS, "lists": {"train": "p\n", "val": "q\n"}}
    more["images"] = {"p.jpg": jpeg(6, 12), "q.jpg": jpeg(6, 12)}
    if name == "cvatsub":
        masks = {kind: {id_: rgb(ROWS) for id_ in "abc"} for kind in masks}
        more["images"] = {f"{id_}.jpg": jpeg(6, 12) for id_ in "abc"}
        more["lists"] = {"Train": "a\n", "Validation": "b\n", "Test": "c\n"}
    elif name == "exif":
        more["images"] = {f"{id_}.jpg": photo(6) for id_ in "pq"}
    elif name == "bglast":
        more["labels"] = "cat:128,0,0::\ndog:0,128,0::\nbackground:0,0,0::\n"
    elif name == "names":
        colors = [(i * 9 + 9, i, 50) for i in range(len(NAMES))]
        strip = np.array([[(0, 0, 0), *colors]], np.uint8)
        masks = {kind: {"p": png(strip), "q": png(strip)} for kind in masks}
        more["images"] = {f"{id_}.jpg": jpeg(1, 27) for id_ in "pq"}
        lines = [f"{name}:{r},{g},{b}::" for name, (r, g, b) in zip(NAMES, colors, strict=True)]
        more["labels"] = "\n".join(["background:0,0,0::", *lines])
    elif name == "ignore255":
        values = plane(ROWS)
        values[5] = 255
        masks = {"classes": {"p": png(values), "q": gray(ROWS)}}
    elif name == "pngs":
        more["images"] = {f"{id_}.png": png(painted(ROWS)) for id_ in "pq"}
    return archive(**masks, **more)


@pytest.fixture(params=["drawn", "real"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    def path_of(name: str) -> Path:
        if request.param == "drawn":
            return as_zip(drawn(name), tmp_path / f"{name}.zip")
        if not (REAL / f"{name}.zip").exists():
            pytest.skip("the archives of others are not there")
        return REAL / f"{name}.zip"

    return path_of


def export(path: Path, out: Path, form: str, **options: Any) -> Path:
    reading = {name: options.pop(name) for name in ("ignore_index", "unknown") if name in options}
    dataset = Dataset.import_from(str(path), "segmask", **reading)
    dataset.export(str(out), form, **{"save_media": True, **options})
    return out


def test_cvat_s_subsets_are_the_splits_of_their_names(source: Any, tmp_path: Path) -> None:
    path = source("cvatsub")
    out = export(path, tmp_path / "out", "yolo_segments")
    about = yaml.safe_load((out / "data.yaml").read_text("utf-8"))
    assert {name: about.get(name) for name in ("train", "val", "test")} == {
        "train": "images/Train",
        "val": "images/Validation",
        "test": "images/Test",
    }
    for split, ids in (("train", ["a"]), ("val", ["b"]), ("test", ["c"])):
        assert Masks(path, split).ids == ids
        assert (out / f"{about[split]}/{ids[0]}.jpg").exists()


@pytest.mark.parametrize("form", ["coco_segments", "yolo_segments", "panoptic_segments"])
def test_pictures_lie_as_their_masks_for_every_reader(
    form: str, source: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = source("exif")
    found = {item.id: item for item in Dataset.import_from(str(path), "segmask")}
    out = export(path, tmp_path / "out", form)
    for item_id, item in found.items():
        [picture] = (out / "images").rglob(f"{item_id}.jpg")
        with PIL.Image.open(picture) as image:
            assert image.getexif().get(ExifTags.Base.Orientation, 1) == 1
            by_pillow = np.asarray(image.convert("RGB")).astype(int)
        by_opencv = cv2.imread(str(picture))
        assert by_opencv is not None
        assert by_pillow.shape[:2] == by_opencv.shape[:2] == item.media.size  # of the masks
        assert np.abs(by_pillow - by_opencv[..., ::-1].astype(int)).mean() < 3
        shown = np.asarray(item.media.data).astype(int)[..., ::-1]
        assert np.abs(by_pillow - shown).mean() < 6
    assert "2 images written upright" in caplog.text


def test_background_may_stand_anywhere(source: Any, tmp_path: Path) -> None:
    path = source("bglast")
    for form, file in (("coco_segments", "instances"), ("panoptic_segments", "panoptic")):
        out = export(path, tmp_path / form, form)
        about = json.loads((out / f"annotations/{file}_train.json").read_text("utf-8"))
        assert [(c["id"], c["name"]) for c in about["categories"]] == [(1, "cat"), (2, "dog")]
    out = export(path, tmp_path / "yolo", "yolo_segments")
    names = yaml.safe_load((out / "data.yaml").read_text("utf-8"))["names"]
    assert names == {0: "cat", 1: "dog"}
    masks = Masks(path, "train")
    assert masks.names == ["background", "cat", "dog"]
    assert {*masks[0][1]["labels"].tolist()} <= {1, 2}
    [item] = [item for item in Dataset.import_from(str(path), "segmask") if item.id == "p"]
    ids, segments = to_segments(item)
    assert {label for label, _ in segments.values()} <= {0, 1}  # as the label map has them
    assert (ids == 0).any()


def test_every_name_is_written_as_it_is(source: Any, tmp_path: Path) -> None:
    path = source("names")
    out = export(path, tmp_path / "yolo", "yolo_segments")
    text = (out / "data.yaml").read_text("utf-8")
    # YAML 1.1 by PyYAML, as Ultralytics reads it, and YAML 1.2, which takes more words for texts.
    ruamel = pytest.importorskip("ruamel.yaml", reason="ruamel.yaml is not installed")
    for found in (yaml.safe_load(text), ruamel.YAML(typ="safe", pure=True).load(text)):
        assert [*found["names"].items()] == [*enumerate(NAMES)]
    for form, file in (("coco_segments", "instances"), ("panoptic_segments", "panoptic")):
        out = export(path, tmp_path / form, form)
        about = json.loads((out / f"annotations/{file}_train.json").read_text("utf-8"))
        assert [c["name"] for c in about["categories"]] == NAMES
    assert Masks(path).names == ["background", *NAMES]


def test_what_nobody_knows_is_no_background(source: Any, tmp_path: Path, caplog: Any) -> None:
    path = source("ignore255")
    with zipfile.ZipFile(path) as files:
        data = files.read("SegmentationClass/p.png")
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert stored is not None
    keeping = {"ignore_index": 255, "unknown": "keep"}
    out = export(path, tmp_path / "out", "segmask", mask_mode="index", **keeping)
    written = cv2.imread(str(out / "SegmentationClass/p.png"), cv2.IMREAD_UNCHANGED)
    assert written is not None
    assert np.array_equal(written, stored)
    caplog.clear()
    export(path, tmp_path / "coco", "coco_segments", **keeping)
    with zipfile.ZipFile(path) as files:
        masks = [files.read(f"SegmentationClass/{name}.png") for name in "pq"]
    planes = [cv2.imdecode(np.frombuffer(m, np.uint8), cv2.IMREAD_UNCHANGED) for m in masks]
    count = sum(int((p == 255).sum()) for p in planes if p is not None)
    assert f"{count:,} unknown pixels" in caplog.text


def test_png_pictures_keep_their_type_and_their_names(source: Any, tmp_path: Path) -> None:
    path = source("pngs")
    for form in ("coco_segments", "panoptic_segments", "yolo_segments"):
        out = export(path, tmp_path / form, form)
        names = sorted(p.name for p in (out / "images").rglob("*") if p.is_file())
        assert len(names) == 2
        assert {name[-4:] for name in names} == {".png"}
        if form != "yolo_segments":
            texts = [p.read_text("utf-8") for p in (out / "annotations").glob("*.json")]
            listed = [image["file_name"] for text in texts for image in json.loads(text)["images"]]
            assert sorted(listed) == names
    image, target = Masks(path)[0]
    assert image.shape[:2] == target["masks"].shape[1:]


def test_semantic_masks_count_the_background_as_0_wherever_it_stands(
    source: Any, tmp_path: Path
) -> None:
    out = export(source("bglast"), tmp_path / "out", "semantic_masks", layout="nnunet")
    labels = json.loads((out / "dataset.json").read_text("utf-8"))["labels"]
    assert labels == {"background": 0, "cat": 1, "dog": 2}
    mask = cv2.imread(str(out / "labelsTr/p.png"), cv2.IMREAD_UNCHANGED)
    assert mask is not None
    with zipfile.ZipFile(source("bglast")) as files:
        data = files.read("SegmentationClass/p.png")
    drawn = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert drawn is not None
    cats, dogs = ((drawn == color).all(axis=-1) for color in ((0, 0, 128), (0, 128, 0)))
    assert np.array_equal(mask, cats * 1 + dogs * 2)


def test_png_pictures_have_one_suffix_for_mmsegmentation(source: Any, tmp_path: Path) -> None:
    out = export(source("pngs"), tmp_path / "out", "semantic_masks", layout="mmsegmentation")
    for file in ("train", "val"):
        for item in (out / f"splits/{file}.txt").read_text("utf-8").split():
            assert (out / f"img_dir/{item}.png").is_file()
            assert (out / f"ann_dir/{item}.png").is_file()
    assert {p.suffix for p in (out / "img_dir").rglob("*") if p.is_file()} == {".png"}
