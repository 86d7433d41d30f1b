"""What the readers' own loaders make of our exports, beside what was painted: run by `readers`.

Runs in the environment of the readers, which has no Datumaro. What was painted is read by Pillow,
without a line of this package. A reader is a function of a `Case`, which returns a `Verdict`.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import logging
import os
import sys
import types
import warnings
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

Mask = Any  # (height, width) bool
Object = tuple[str, Mask]  # the name of its label, and its pixels
VOID = (224, 224, 192)
UNKNOWN = "(unknown)"


# What was painted


@dataclass
class Painted:
    """An image of an archive: its objects, and for each pixel a label, or None."""

    subset: str
    shape: tuple[int, int]
    objects: list[Object]
    names: Any  # (height, width) of texts; '' where nothing is
    void: Any = False  # (height, width) bool: where nobody said what is there


def painted(path: Path) -> dict[str, Painted]:
    """Read an archive by Pillow: each pair of instance and label is an object, and so is stuff."""
    with zipfile.ZipFile(path) as files:
        labels = _labels(files)
        lists = [n for n in files.namelist() if n.startswith("ImageSets/Segmentation/")]
        return {
            item: _painted(files, item, Path(name).stem, labels)
            for name in lists
            for item in files.read(name).decode().split("\n")
            if item
        }


def _labels(files: zipfile.ZipFile) -> dict[tuple[int, ...], str]:
    lines = [x for x in files.read("labelmap.txt").decode().split("\n") if x and x[0] != "#"]
    parts = [line.split(":") for line in lines]
    return {tuple(map(int, color.split(","))): name for name, color, *_ in parts}


def _painted(
    files: zipfile.ZipFile, item: str, subset: str, labels: dict[tuple[int, ...], str]
) -> Painted:
    colors, numbers = (_pixels(files, f"Segmentation{kind}/{item}.png") for kind in
                       ("Class", "Object"))  # fmt: skip
    if colors is None:
        [picture] = [n for n in files.namelist() if n.startswith(f"JPEGImages/{item}.")]
        with files.open(picture) as file, Image.open(file) as image:
            width, height = ImageOps.exif_transpose(image).size
        return Painted(subset, (height, width), [], np.full((height, width), ""))
    names = np.full(colors.shape[:2], "", f"<U{max(map(len, labels.values()))}")
    for color, name in labels.items():
        if name.lower() != "background" and color != VOID:
            names[(colors == color).all(axis=-1)] = name
    number = np.zeros(names.shape, int)
    if numbers is not None:
        number = numbers.astype(int) @ [65536, 256, 1]
    pairs = {(n, c) for n, c in zip(number.ravel().tolist(), names.ravel().tolist(), strict=True)}
    objects = [(c, (number == n) & (names == c)) for n, c in sorted(pairs) if c]
    return Painted(subset, names.shape, objects, names, (colors == VOID).all(axis=-1))


def _pixels(files: zipfile.ZipFile, name: str) -> Any:
    if name not in files.namelist():
        return None
    with files.open(name) as file, Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


# What a reader has of it


@dataclass
class Verdict:
    """How many objects, or images, a reader has as they were painted.

    ``unasked``: objects that were never painted; ``ious``: of those that are not exact;
    ``refused``: what the reader does not take, and says so.
    """

    exact: int = 0
    count: int = 0
    unasked: int = 0
    ious: list[float] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def __add__(self, other: Verdict) -> Verdict:
        return Verdict(
            self.exact + other.exact,
            self.count + other.count,
            self.unasked + other.unasked,
            self.ious + other.ious,
            self.refused + other.refused,
        )

    @property
    def is_exact(self) -> bool:
        return self.exact == self.count and not self.unasked


def same_objects(wanted: Iterable[Object], found: Iterable[Object]) -> Verdict:
    """Count objects that have the same label and the very same pixels."""
    wanted, rest = [*wanted], [(name, np.asarray(mask) != 0) for name, mask in found]
    open_ones = []
    for name, mask in wanted:
        same = (
            i for i, (other, its) in enumerate(rest) if other == name and np.array_equal(its, mask)
        )
        place = next(same, None)
        if place is None:
            open_ones.append((name, mask))
        else:
            del rest[place]
    ious = [
        max((iou(mask, its) for other, its in rest if other == name), default=0.0)
        for name, mask in open_ones
    ]
    unasked = max(0, len(rest) - len(open_ones))
    return Verdict(len(wanted) - len(open_ones), len(wanted), unasked, ious)


def iou(one: Mask, other: Mask) -> float:
    if one.shape != other.shape:
        return 0.0
    return float((one & other).sum() / max((one | other).sum(), 1))


def same_planes(wanted: Any, found: Any) -> Verdict:
    """Count images whose every pixel has the same class."""
    found = np.asarray(found)
    if wanted.shape != found.shape:
        return Verdict(0, 1, ious=[0.0])
    share = float((wanted == found).mean())
    return Verdict(1, 1) if share == 1 else Verdict(0, 1, ious=[share])


class Case:
    """An archive, and what was exported of it: ``root`` has a folder of each format."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.archive = root / "task.zip"
        self.keeps_void = root.name == "void"  # as it was imported

    @cached_property
    def painted(self) -> dict[str, Painted]:
        return painted(self.archive)

    @cached_property
    def subsets(self) -> list[str]:
        return [*dict.fromkeys(one.subset for one in self.painted.values())]

    @cached_property
    def names(self) -> list[str]:
        """The labels, in their order, without the background."""
        with zipfile.ZipFile(self.archive) as files:
            labels = _labels(files)
        return [n for color, n in labels.items() if n.lower() != "background" and color != VOID]

    def wanted(self, subset: str) -> dict[str, Painted]:
        return {item: one for item, one in self.painted.items() if one.subset == subset}

    def coco(self, form: str, subset: str) -> tuple[Path, Path]:
        """Return the JSON of a subset and the folder of its pictures."""
        file = self.root / form / f"annotations/instances_{subset}.json"
        return file, self.root / form / f"images/{subset}"


def judge(wanted: dict[str, Painted], found: dict[str, list[Object]]) -> Verdict:
    """Compare the objects of all images of a subset."""
    total = Verdict()
    for item, one in wanted.items():
        total += same_objects(one.objects, found.pop(item, []))
    return total + Verdict(unasked=sum(map(len, found.values())))


def item_of(name: str | Path) -> str:
    """Return the id of the item whose picture is called so, in folders or not."""
    return str(name).rpartition(".")[0]


Reader = Callable[[Case], Verdict]
READERS: dict[tuple[str, str], Reader] = {}
"""By the name of the reader and the format, with its options, that it reads."""


def reads(reader: str, form: str) -> Callable[[Reader], Reader]:
    """Register a function that loads ``form`` by ``reader``."""

    def register(function: Reader) -> Reader:
        READERS[reader, form] = function
        return function

    return register


def of_subsets(form: str, load: Callable[[Case, Path, Path], dict[str, list[Object]]]) -> Reader:
    """Return a reader of COCO files, subset by subset."""

    def run(case: Case) -> Verdict:
        total = Verdict()
        for subset in case.subsets:
            total += judge(case.wanted(subset), load(case, *case.coco(form, subset)))
        return total

    return run


def both(reader: str, load: Callable[..., dict[str, list[Object]]], *forms: str) -> None:
    for form in forms:
        READERS[reader, form] = of_subsets(form.replace(" ", "_"), load)


# COCO


def _coco_api(file: Path) -> Any:
    from pycocotools.coco import COCO

    return COCO(str(file))


def by_pycocotools(case: Case, file: Path, images: Path) -> dict[str, list[Object]]:
    coco = _coco_api(file)
    return {
        item_of(image["file_name"]): [
            (coco.cats[one["category_id"]]["name"], coco.annToMask(one))
            for one in coco.imgToAnns[number]
        ]
        for number, image in coco.imgs.items()
    }


def by_torchvision(case: Case, file: Path, images: Path) -> dict[str, list[Object]]:
    from torchvision.datasets import CocoDetection, wrap_dataset_for_transforms_v2

    dataset = CocoDetection(str(images), str(file))
    wrapped = wrap_dataset_for_transforms_v2(dataset, target_keys=["masks", "labels", "boxes"])
    found = {}
    for place, number in enumerate(dataset.ids):
        image, target = wrapped[place]
        name = dataset.coco.imgs[number]["file_name"]
        masks = target.get("masks", [])
        labels = [dataset.coco.cats[int(label)]["name"] for label in target.get("labels", [])]
        assert all(mask.shape == image.size[::-1] for mask in masks)
        found[item_of(name)] = [*zip(labels, map(np.asarray, masks), strict=True)]
    return found


def _by_detectron2(
    case: Case, file: Path, images: Path, form: str, crop: Any = None
) -> dict[str, list[Object]]:
    from detectron2.data import DatasetMapper, MetadataCatalog, transforms
    from detectron2.data.datasets import load_coco_json
    from detectron2.structures.masks import polygons_to_bitmask

    name = f"{case.root.name}-{file.parent.parent.name}-{file.stem}"
    records = load_coco_json(str(file), str(images), name)
    classes = MetadataCatalog.get(name).thing_classes
    found = {}
    for record in records:
        item = item_of(Path(record["file_name"]).relative_to(images).as_posix())
        if not record["annotations"]:
            found[item] = []  # its own loader leaves such images out
            continue
        cut = (
            []
            if crop is None
            else [transforms.CropTransform(*crop(record["height"], record["width"]))]
        )
        mapper = DatasetMapper(
            is_train=True, augmentations=cut, image_format="BGR", use_instance_mask=True,
            instance_mask_format=form, recompute_boxes=crop is not None,
        )  # fmt: skip
        loaded = mapper(record)
        instances, shape = loaded["instances"], loaded["image"].shape[1:]
        if not len(instances):
            found[item] = []
            continue
        masks = instances.gt_masks
        planes = (
            [polygons_to_bitmask(one, *shape) for one in masks.polygons]
            if form == "polygon"
            else masks.tensor.numpy()
        )
        labels = [classes[label] for label in instances.gt_classes.tolist()]
        found[item] = [*zip(labels, planes, strict=True)]
    return found


def by_detectron2(case: Case, file: Path, images: Path) -> dict[str, list[Object]]:
    is_rle = "rle" in file.parent.parent.name
    return _by_detectron2(case, file, images, "bitmask" if is_rle else "polygon")


def _mmdet_dataset(case: Case, file: Path, images: Path, *, poly2mask: bool) -> Any:
    from mmdet.datasets import CocoDataset
    from mmengine.registry import init_default_scope

    init_default_scope("mmdet")
    return CocoDataset(
        ann_file=str(file),
        data_prefix={"img": str(images)},
        metainfo={"classes": tuple(case.names)},
        pipeline=[
            {"type": "LoadImageFromFile"},
            {"type": "LoadAnnotations", "with_bbox": True, "with_mask": True,
             "poly2mask": poly2mask},
        ],
    )  # fmt: skip


def _by_mmdetection(
    case: Case, file: Path, images: Path, *, poly2mask: bool, crop: Any = None
) -> dict[str, list[Object]]:
    found: dict[str, list[Object]] = {}
    for loaded in _mmdet_dataset(case, file, images, poly2mask=poly2mask):
        masks = loaded["gt_masks"]
        if crop is not None:
            x, y, width, height = crop(*loaded["ori_shape"])
            masks = masks.crop(np.array([x, y, x + width, y + height]))
        item = item_of(Path(loaded["img_path"]).relative_to(images).as_posix())
        kept = ~loaded["gt_ignore_flags"]
        assert loaded["img"].shape[:2] == loaded["ori_shape"]
        found[item] = [
            (case.names[label], mask)
            for label, mask, is_kept in zip(
                loaded["gt_bboxes_labels"], masks.to_ndarray(), kept, strict=True
            )
            if is_kept
        ]
    return found


def by_mmdetection(case: Case, file: Path, images: Path) -> dict[str, list[Object]]:
    return _by_mmdetection(case, file, images, poly2mask=True)


def by_detr(case: Case, file: Path, images: Path) -> dict[str, list[Object]]:
    from transformers import DetrImageProcessor

    processor = DetrImageProcessor(do_resize=False, do_pad=False, format="coco_detection")
    coco = _coco_api(file)
    names = ["", *case.names]  # category ids go in as they are: num_labels is n + 1
    found = {}
    for number, image in coco.imgs.items():
        with Image.open(images / image["file_name"]) as picture:
            made = processor(
                images=picture.convert("RGB"),
                annotations={"image_id": number, "annotations": coco.imgToAnns[number]},
                return_segmentation_masks=True,
                return_tensors="pt",
            )
        [target] = made["labels"]
        masks, labels = target["masks"].numpy(), target["class_labels"].tolist()
        assert made["pixel_values"].shape[2:] == (image["height"], image["width"])
        found[item_of(image["file_name"])] = [
            (names[label], mask) for label, mask in zip(labels, masks, strict=True)
        ]
    return found


def by_rfdetr(case: Case, file: Path, images: Path) -> dict[str, list[Object]]:
    from rfdetr.datasets.coco import CocoDetection

    dataset = CocoDetection(images, file, None, include_masks=True, remap_category_ids=True)
    return {
        item_of(dataset.coco.imgs[number]["file_name"]): [
            (case.names[label], mask)
            for label, mask in zip(
                dataset[place][1]["labels"].tolist(),
                dataset[place][1]["masks"].numpy(),
                strict=True,
            )
        ]
        for place, number in enumerate(dataset.ids)
    }


def by_supervision(case: Case, file: Path, images: Path) -> dict[str, list[Object]]:
    import supervision

    dataset = supervision.DetectionDataset.from_coco(str(images), str(file), force_masks=True)
    found = {}
    for path, _, detections in dataset:
        masks = [] if detections.mask is None else np.asarray(detections.mask)
        labels = [dataset.classes[label] for label in detections.class_id]
        found[item_of(Path(path).relative_to(images).as_posix())] = [
            *zip(labels, masks, strict=True)
        ]
    return found


both("pycocotools", by_pycocotools, "coco polygons", "coco rle")
both("torchvision", by_torchvision, "coco polygons", "coco rle")
both("detectron2", by_detectron2, "coco polygons", "coco rle")
both("mmdetection", by_mmdetection, "coco polygons", "coco rle")
both("transformers, DETR", by_detr, "coco polygons")
both("RF-DETR", by_rfdetr, "coco polygons", "coco rle")
both("supervision", by_supervision, "coco polygons", "coco rle")


@reads("COCOeval", "coco polygons")
def by_cocoeval(case: Case) -> Verdict:
    """What was painted, given as predictions, has AP 1."""
    from pycocotools import mask as mask_utils
    from pycocotools.cocoeval import COCOeval

    total = Verdict()
    for subset in case.subsets:
        file, _ = case.coco("coco_polygons", subset)
        coco = _coco_api(file)
        ids = {item_of(image["file_name"]): number for number, image in coco.imgs.items()}
        numbers = {category["name"]: number for number, category in coco.cats.items()}
        results = [
            {
                "image_id": ids[item], "category_id": numbers[name], "score": 1.0,
                "segmentation": mask_utils.encode(np.asfortranarray(mask.astype(np.uint8))),
            }
            for item, one in case.wanted(subset).items()
            for name, mask in one.objects
        ]  # fmt: skip
        if not results:
            continue
        run = COCOeval(coco, coco.loadRes(results), "segm")
        run.params.maxDets = [1, 10, 1000]
        run.evaluate()
        run.accumulate()
        found = run.eval["precision"][..., 0, -1]  # of all areas, and of most detections
        precision = float(found[found > -1].mean())
        total += Verdict(1, 1) if precision > 1 - 1e-9 else Verdict(0, 1, ious=[precision])
    return total


# Crops


def window(height: int, width: int) -> tuple[int, int, int, int]:
    """Return x, y, width, height of a crop that cuts through the middle."""
    x, y = width // 5, height // 4
    return x, y, max(1, width // 2), max(1, height // 2)


def cropped(wanted: dict[str, Painted]) -> dict[str, Painted]:
    result = {}
    for item, one in wanted.items():
        x, y, width, height = window(*one.shape)
        cuts = [(name, mask[y : y + height, x : x + width]) for name, mask in one.objects]
        kept = [(name, mask) for name, mask in cuts if mask.any()]
        result[item] = Painted(one.subset, (height, width), kept, None)
    return result


def in_crops(load: Callable[..., dict[str, list[Object]]]) -> Reader:
    def run(case: Case) -> Verdict:
        total = Verdict()
        for subset in case.subsets:
            found = load(case, *case.coco("coco_polygons", subset))
            shown = {
                item: [(name, mask) for name, mask in objects if np.asarray(mask).any()]
                for item, objects in found.items()
            }
            total += judge(cropped(case.wanted(subset)), shown)
        return total

    return run


READERS["detectron2, cropped", "coco polygons"] = in_crops(
    lambda case, file, images: _by_detectron2(case, file, images, "polygon", window)
)
READERS["mmdetection, cropped", "coco polygons"] = in_crops(
    lambda case, file, images: _by_mmdetection(case, file, images, poly2mask=False, crop=window)
)


@reads("sahi, sliced", "coco polygons")
def by_sahi(case: Case) -> Verdict:
    from pycocotools import mask as mask_utils
    from sahi.slicing import slice_coco

    total = Verdict()
    for subset in case.subsets:
        file, images = case.coco("coco_polygons", subset)
        side = max(16, min(one.shape[0] for one in case.wanted(subset).values()) * 2 // 3)
        sliced, _ = slice_coco(
            str(file), str(images), "", slice_height=side, slice_width=side,
            overlap_height_ratio=0.0, overlap_width_ratio=0.0, min_area_ratio=0.0,
        )  # fmt: skip
        names = {category["id"]: category["name"] for category in sliced["categories"]}
        found = defaultdict(list)
        for one in sliced["annotations"]:
            found[one["image_id"]].append(one)
        items = [item_of(one["file_name"]) for one in json.loads(file.read_text("utf-8"))["images"]]
        for image in sliced["images"]:
            _, place, *corners = image["file_name"].rpartition(".")[0].rsplit("_", 5)
            x, y, right, bottom = map(int, corners)
            cuts = [
                (n, mask[y:bottom, x:right]) for n, mask in case.painted[items[int(place)]].objects
            ]
            size = image["height"], image["width"]
            masks = [
                (
                    names[one["category_id"]],
                    mask_utils.decode(
                        mask_utils.merge(mask_utils.frPyObjects(one["segmentation"], *size))
                    ),
                )
                for one in found[image["id"]]
                if one["segmentation"]  # of what only touches the slice there is none
            ]
            total += same_objects([cut for cut in cuts if cut[1].any()], masks)
    return total


# Arrays


@reads("PyTorch, Masks", "the archive")
def by_masks(case: Case) -> Verdict:
    from torch.utils.data import DataLoader

    from datumaro_segmask import Masks

    total = Verdict()
    for subset in case.subsets:
        masks = Masks(case.archive, subset)
        loader = DataLoader(masks, num_workers=2, collate_fn=lambda batch: batch[0])  # type: ignore[arg-type]
        found = {}
        for image, target in loader:
            item = masks.ids[target["image_id"]]
            assert image.shape[:2] == case.painted[item].shape
            labels = [masks.names[label] for label in target["labels"]]
            found[item] = [*zip(labels, target["masks"], strict=True)]
        total += judge(case.wanted(subset), found)
    return total


def _by_mask2former(case: Case, of_item: Callable[[str], tuple[Any, dict[int, str]]]) -> Verdict:
    from transformers import Mask2FormerImageProcessor

    processor = Mask2FormerImageProcessor(do_resize=False, ignore_index=0)
    total = Verdict()
    for item, one in case.painted.items():
        ids, name_of = of_item(item)
        numbers = {number: case.names.index(name) for number, name in name_of.items()}
        made = processor(
            [np.zeros((3, *one.shape), np.uint8)],
            segmentation_maps=[ids],
            instance_id_to_semantic_id=[numbers],
            return_tensors="pt",
        )
        labels = [case.names[int(label)] for label in made["class_labels"][0]]
        masks = made["mask_labels"][0].numpy()
        total += same_objects(one.objects, zip(labels, masks, strict=True))
    return total


@reads("transformers, Mask2Former", "to_segments")
def by_mask2former(case: Case) -> Verdict:
    arrays = np.load(case.root / "arrays.npz")
    about = json.loads((case.root / "arrays.json").read_text("utf-8"))

    def of_item(item: str) -> tuple[Any, dict[int, str]]:
        return arrays[f"ids {item}"], {int(n): name for n, name in about["segments"][item].items()}

    return _by_mask2former(case, of_item)


@reads("transformers, SegFormer", "to_arrays")
def by_segformer(case: Case) -> Verdict:
    from transformers import SegformerImageProcessor

    arrays = np.load(case.root / "arrays.npz")
    about = json.loads((case.root / "arrays.json").read_text("utf-8"))
    names = np.array(["", *about["names"]])
    processor = SegformerImageProcessor(do_resize=False, do_reduce_labels=False)
    total = Verdict()
    for item, one in case.painted.items():
        made = processor(
            [np.zeros((3, *one.shape), np.uint8)],
            segmentation_maps=[arrays[f"classes {item}"] + 1],
            return_tensors="pt",
        )
        total += same_planes(one.names, names[made["labels"][0].numpy()])
    return total


# A class for every pixel


def _judge_planes(case: Case, found: dict[str, Any], classes: Iterable[str]) -> Verdict:
    """Compare the classes of all images of an archive, by item."""
    kept = {"background": "", "ignore": UNKNOWN}  # nnU-Net has a class for it
    names = np.full(1 << 16, UNKNOWN, object)
    for value, name in enumerate(classes):
        names[value] = kept.get(name, name)
    total = Verdict(unasked=len({*found} - {*case.painted}))
    for item, one in case.painted.items():
        values = found.get(item)
        if values is None:
            total += Verdict(0, 1, ious=[0.0])
            continue
        wanted = one.names.astype(object)
        wanted[one.void & case.keeps_void] = UNKNOWN
        total += same_planes(wanted, names[np.asarray(values)])
    return total


@reads("transformers, SegFormer", "semantic folders")
def by_segformer_of_folders(case: Case) -> Verdict:
    from transformers import SegformerImageProcessor

    root = case.root / "semantic_folders"
    classes = json.loads((root / "id2label.json").read_text("utf-8")).values()
    processor = SegformerImageProcessor(do_resize=False, do_reduce_labels=False)
    found = {}
    for path in sorted((root / "masks").rglob("*.png")):
        place = path.relative_to(root / "masks")
        [picture] = (root / "images" / place.parent).glob(f"{place.stem}.*")
        with Image.open(picture) as image, Image.open(path) as mask:
            made = processor(image.convert("RGB"), segmentation_maps=mask, return_tensors="pt")
        assert made["pixel_values"].shape[2:] == made["labels"].shape[1:]
        found[Path(*place.parts[1:]).with_suffix("").as_posix()] = made["labels"][0].numpy()
    return _judge_planes(case, found, classes)


@reads("mmsegmentation", "semantic mmsegmentation")
def by_mmsegmentation(case: Case) -> Verdict:
    from mmengine.registry import init_default_scope
    from mmseg.datasets import BaseSegDataset

    init_default_scope("mmseg")
    root = case.root / "semantic_mmsegmentation"
    about = json.loads((root / "metainfo.json").read_text("utf-8"))
    suffixes = {path.suffix for path in (root / "img_dir").rglob("*") if path.is_file()}
    [suffix] = suffixes
    found = {}
    for file in sorted((root / "splits").iterdir()):
        dataset = BaseSegDataset(
            data_root=str(root),
            data_prefix={"img_path": "img_dir", "seg_map_path": "ann_dir"},
            ann_file=f"splits/{file.name}",
            img_suffix=suffix,
            metainfo=about,
            pipeline=[{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}],
        )
        for loaded in dataset:
            place = Path(loaded["img_path"]).relative_to(root / "img_dir")
            assert loaded["img"].shape[:2] == loaded["gt_seg_map"].shape
            item = Path(*place.parts[1:]).with_suffix("").as_posix()
            found[item] = loaded["gt_seg_map"]
    return _judge_planes(case, found, about["classes"])


@reads("Ultralytics, semantic", "semantic ultralytics")
def by_ultralytics_semantic(case: Case) -> Verdict:
    from ultralytics.data.dataset import SemanticDataset
    from ultralytics.data.utils import check_det_dataset

    file = case.root / "semantic_ultralytics/data.yaml"
    data = check_det_dataset(str(file), autodownload=False)
    found = {}
    for folder in _ultralytics_folders(data):
        dataset = SemanticDataset(img_path=folder, data=data, augment=False, imgsz=640)
        for place, label in enumerate(dataset.labels):
            item = item_of(Path(label["im_file"]).relative_to(folder).as_posix())
            found[item] = dataset.load_mask(place)
    return _judge_planes(case, found, data["names"].values())


@reads("nnU-Net", "semantic nnunet")
def by_nnunet(case: Case) -> Verdict:
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        os.environ.setdefault(name, str(case.root))
    from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity
    from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO

    root = case.root / "semantic_nnunet"
    verify_dataset_integrity(str(root), num_processes=1)
    about = json.loads((root / "dataset.json").read_text("utf-8"))
    reader, found = NaturalImage2DIO(), {}
    items = {item.replace("/", "__"): item for item in case.painted}
    for end in ("Tr", "Ts"):
        for path in sorted((root / f"labels{end}").glob("*.png")):
            pixels, _ = reader.read_images([str(root / f"images{end}/{path.stem}_0000.png")])
            values, _ = reader.read_seg(str(path))
            assert pixels.shape == (3, *values.shape[1:])
            found[items[path.stem]] = values[0, 0].astype(int)
    return _judge_planes(case, found, about["labels"])


# Panoptic


def _panoptic(case: Case, subset: str) -> tuple[Path, Path, Path]:
    root = case.root / "panoptic"
    annotations = root / "annotations"
    return (
        annotations / f"panoptic_{subset}.json",
        annotations / f"panoptic_{subset}",
        (root / f"images/{subset}"),
    )


@reads("transformers, Mask2Former", "panoptic")
def by_mask2former_of_pngs(case: Case) -> Verdict:
    known = {}
    for subset in case.subsets:
        file, folder, _ = _panoptic(case, subset)
        about = json.loads(file.read_text("utf-8"))
        names = {category["id"]: category["name"] for category in about["categories"]}
        for one in about["annotations"]:
            with Image.open(folder / one["file_name"]) as image:
                ids = np.asarray(image).astype(np.int64) @ [1, 256, 65536]
            segments = {s["id"]: names[s["category_id"]] for s in one["segments_info"]}
            known[item_of(one["file_name"])] = ids, segments
    return _by_mask2former(case, known.__getitem__)


@reads("transformers, DETR", "panoptic")
def by_panoptic_detr(case: Case) -> Verdict:
    from transformers import DetrImageProcessor

    processor = DetrImageProcessor(do_resize=False, do_pad=False, format="coco_panoptic")
    total = Verdict()
    for subset in case.subsets:
        file, folder, images = _panoptic(case, subset)
        about = json.loads(file.read_text("utf-8"))
        names = {category["id"]: category["name"] for category in about["categories"]}
        found = {}
        for image, one in zip(about["images"], about["annotations"], strict=True):
            item = item_of(one["file_name"])
            if not one["segments_info"]:
                found[item] = []  # DETR's own code takes no image without a segment
                continue
            with Image.open(images / image["file_name"]) as picture:
                made = processor(
                    images=picture.convert("RGB"), annotations=one, masks_path=folder,
                    return_tensors="pt",
                )  # fmt: skip
            [target] = made["labels"]
            labels = [names[label] for label in target["class_labels"].tolist()]
            found[item] = [*zip(labels, target["masks"].numpy(), strict=True)]
        total += judge(case.wanted(subset), found)
    return total


@reads("detectron2", "panoptic")
def by_panoptic_detectron2(case: Case) -> Verdict:
    from detectron2.data.datasets.coco_panoptic import load_coco_panoptic_json

    total = Verdict()
    for subset in case.subsets:
        file, folder, images = _panoptic(case, subset)
        categories = json.loads(file.read_text("utf-8"))["categories"]
        meta = {
            f"{kind}_dataset_id_to_contiguous_id": {
                one["id"]: one["id"] for one in categories if one["isthing"] == is_thing
            }
            for kind, is_thing in (("thing", 1), ("stuff", 0))
        }
        names = {one["id"]: one["name"] for one in categories}
        found = {}
        try:
            records = load_coco_panoptic_json(str(file), str(images), str(folder), meta)
        except AssertionError:
            return total + Verdict(refused=["pictures that are not .jpg"])
        for record in records:
            with Image.open(record["pan_seg_file_name"]) as image:
                ids = np.asarray(image).astype(np.int64) @ [1, 256, 65536]
            item = item_of(Path(record["file_name"]).relative_to(images).as_posix())
            found[item] = [
                (names[one["category_id"]], ids == one["id"]) for one in record["segments_info"]
            ]
        total += judge(case.wanted(subset), found)
    return total


@reads("mmdetection", "panoptic")
def by_panoptic_mmdetection(case: Case) -> Verdict:
    from mmdet.datasets import CocoPanopticDataset
    from mmengine.registry import init_default_scope

    init_default_scope("mmdet")
    total = Verdict()
    for subset in case.subsets:
        file, folder, images = _panoptic(case, subset)
        categories = json.loads(file.read_text("utf-8"))["categories"]
        things = [one["name"] for one in categories if one["isthing"]]
        stuff = [one["name"] for one in categories if not one["isthing"]]
        dataset = CocoPanopticDataset(
            ann_file=str(file),
            data_prefix={"img": str(images), "seg": str(folder)},
            metainfo={
                "classes": (*things, *stuff),
                "thing_classes": tuple(things),
                "stuff_classes": tuple(stuff),
            },
            pipeline=[{"type": "LoadImageFromFile"}, {"type": "LoadPanopticAnnotations"}],
            test_mode=True,
        )
        for loaded in dataset:
            item = item_of(Path(loaded["img_path"]).relative_to(images).as_posix())
            one = case.painted[item]
            names = np.array([*things, *stuff, ""])
            classes = np.where(loaded["gt_seg_map"] == 255, -1, loaded["gt_seg_map"])
            total += same_planes(one.names, names[classes])
            labels = [things[label] for label in loaded["gt_bboxes_labels"]]
            total += same_objects(
                [found for found in one.objects if found[0] in things],
                zip(labels, loaded["gt_masks"].to_ndarray(), strict=True),
            )
    return total


# YOLO


@reads("Ultralytics, segment", "yolo")
def by_ultralytics(case: Case) -> Verdict:
    """Objects of one part; what bridges cost the others is in docs/training.md."""
    return _by_ultralytics(case, alone=True)


@reads("Ultralytics, segment, of several parts", "yolo")
def by_ultralytics_of_parts(case: Case) -> Verdict:
    return _by_ultralytics(case, alone=False)


def _by_ultralytics(case: Case, *, alone: bool) -> Verdict:
    import cv2
    from ultralytics.data.utils import check_det_dataset, polygon2mask

    total = Verdict()
    data = check_det_dataset(str(case.root / "yolo/data.yaml"), autodownload=False)
    for folder in _ultralytics_folders(data):
        found = {}
        for label in _ultralytics_labels(folder, data, "segment"):
            item = item_of(Path(label["im_file"]).relative_to(folder).as_posix())
            height, width = label["shape"]
            scale = np.array([width, height], np.float32)
            found[item] = [
                (data["names"][int(number)], polygon2mask((height, width), [ring * scale]))
                for number, ring in zip(label["cls"].ravel(), label["segments"], strict=True)
            ]
        wanted = {item: case.painted[item] for item in found}
        for item, one in wanted.items():
            ones = [
                (name, mask, cv2.connectedComponents(mask.astype(np.uint8))[0] == 2)
                for name, mask in one.objects
            ]
            rest = found[item]
            if len(rest) != len(ones):
                total += Verdict(0, abs(len(rest) - len(ones)))
            asked = [(name, mask) for name, mask, is_alone in ones if is_alone == alone]
            verdict = same_objects(asked, rest)
            total += Verdict(verdict.exact, verdict.count, ious=verdict.ious)
    return total


def _ultralytics_folders(data: dict[str, Any]) -> list[str]:
    splits = [data.get(split) or [] for split in ("train", "val", "test")]
    folders = [[split] if isinstance(split, str) else split for split in splits]
    return [*dict.fromkeys(chain.from_iterable(folders))]


def _ultralytics_labels(folder: str, data: dict[str, Any], task: str) -> list[dict[str, Any]]:
    from ultralytics.data.dataset import YOLODataset

    dataset = YOLODataset(img_path=folder, data=data, task=task, augment=False, imgsz=640)
    return list(dataset.labels)


@reads("Ultralytics, detect, to a pixel", "yolo")
def by_ultralytics_boxes(case: Case) -> Verdict:
    """The boxes, to a pixel: Ultralytics takes them of the rings through the pixels' centres."""
    from ultralytics.data.utils import check_det_dataset

    total = Verdict()
    data = check_det_dataset(str(case.root / "yolo/data.yaml"), autodownload=False)
    for folder in _ultralytics_folders(data):
        for label in _ultralytics_labels(folder, data, "detect"):
            item = item_of(Path(label["im_file"]).relative_to(folder).as_posix())
            height, width = label["shape"]
            found = []
            for number, (x, y, w, h) in zip(label["cls"].ravel(), label["bboxes"], strict=True):
                edges = (x - w / 2) * width, (y - h / 2) * height, w * width, h * height
                found.append((data["names"][int(number)], edges))
            objects = case.painted[item].objects
            exact = 0
            for (name, mask), (other, edges) in zip(_ordered(objects), _ordered_boxes(found),
                                                    strict=True):  # fmt: skip
                rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
                true = columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1
                exact += name == other and bool(np.abs(np.subtract(true, edges)).max() <= 1.001)
            total += Verdict(exact, len(objects))
    return total


def _ordered(objects: list[Object]) -> list[Object]:
    def key(one: Object) -> Any:
        rows, columns = one[1].any(1).nonzero()[0], one[1].any(0).nonzero()[0]
        return one[0], int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])

    return sorted(objects, key=key)


def _ordered_boxes(boxes: list[Any]) -> list[Any]:
    def key(one: Any) -> Any:
        x, y, w, h = one[1]
        return one[0], int(x), int(y), round(x + w - 0.5), round(y + h - 0.5)

    return sorted(boxes, key=key)


# The call


class _Extension(types.ModuleType):
    """What stands for the compiled part of mmcv, which loaders never call."""

    __file__ = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*_: Any, **__: Any) -> None:
            raise RuntimeError(f"mmcv-lite has no {name}")

        return missing


def run(cases: Iterable[Path], chosen: str) -> Iterator[dict[str, Any]]:
    """Yield the verdict of each reader on each case."""
    for root in cases:
        case = Case(root)
        for (reader, form), function in READERS.items():
            if chosen and chosen not in f"{reader}, {form}":
                continue
            result: dict[str, Any] = {"case": root.name, "reader": reader, "format": form}
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    verdict = function(case)
            except ModuleNotFoundError as error:
                yield result | {"missing": error.name}
                continue
            except Exception as error:  # what any reader may raise
                if os.environ.get("DEBUG"):
                    raise
                yield result | {"fails": f"{type(error).__name__}: {error}"[:300]}
                continue
            yield result | {
                "exact": verdict.exact, "count": verdict.count, "unasked": verdict.unasked,
                "ious": verdict.ious, "refused": sorted({*verdict.refused}),
                "is_exact": verdict.is_exact,
            }  # fmt: skip


VERSIONS = ["torch", "torchvision", "ultralytics", "transformers", "supervision", "pycocotools",
            "mmdet", "mmsegmentation", "nnunetv2", "rfdetr", "sahi", "shapely"]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="+", type=Path)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    sys.modules["mmcv._ext"] = _Extension("mmcv._ext")
    metadata = importlib.import_module("importlib.metadata")
    found = {}
    for name in VERSIONS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    print(json.dumps({"versions": found}), flush=True)
    for result in run(options.cases, options.only):
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
