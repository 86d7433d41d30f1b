"""What is measured through Datumaro: our format and its own, each as a task of the same shape."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from .sources import as_dataset, mask_files, mask_items, polygon_items

Options = dict[str, Any]


class Task:
    """One thing to time: ``__init__`` prepares (not timed), ``run`` does it, ``inspect`` looks.

    ``folder`` is a workload. ``run`` may write below ``out``, an empty folder. ``inspect`` returns
    numbers about what ``run`` gave or wrote, and is not timed either.
    """

    imports: ClassVar[tuple[str, ...]] = ()  # modules without which the task is left out

    def __init__(self, folder: Path, options: Options) -> None:
        self.folder = folder
        self.options = options

    def run(self, out: Path) -> Any:
        raise NotImplementedError

    def inspect(self, result: Any, out: Path) -> dict[str, float]:
        return {}


class Import(Task):
    """Open a dataset in a format and iterate all its items."""

    def run(self, out: Path) -> dict[str, float]:
        from datumaro.components.dataset import Dataset, StreamDataset

        kind = StreamDataset if self.options.get("stream") else Dataset
        items = annotations = 0
        for item in kind.import_from(str(self.folder), self.options["format"]):
            items += 1
            annotations += len(item.annotations)
        return {"items": items, "annotations": annotations}

    def inspect(self, result: dict[str, float], out: Path) -> dict[str, float]:
        return result


class Convert(Task):
    """Open a dataset in a format and export it in another, as COCO instances if not told."""

    def run(self, out: Path) -> None:
        from datumaro.components.dataset import Dataset, StreamDataset

        kind = StreamDataset if self.options.get("stream") else Dataset
        dataset = kind.import_from(str(self.folder), self.options["format"])
        target, how = self.options.get("to", "coco_instances"), self.options.get("how", {})
        dataset.export(str(out), target, save_media=False, **how)

    def inspect(self, result: None, out: Path) -> dict[str, float]:
        files = [file for file in out.rglob("*.*") if file.suffix in (".json", ".txt")]
        size = sum(file.stat().st_size for file in files)
        if not (out / "annotations").exists():
            count = sum(len(file.read_text().splitlines()) for file in files)
        else:
            content = json.loads((out / "annotations" / "instances_train.json").read_text())
            count = len(content["annotations"])
        return {"annotations": count, "bytes": size}


class Export(Task):
    """Write a dataset of polygons in a format, through transforms where the format needs them."""

    def __init__(self, folder: Path, options: Options) -> None:
        super().__init__(folder, options)
        self.items = polygon_items(folder)

    def run(self, out: Path) -> None:
        dataset = as_dataset(self.items, self.folder)
        for transform in self.options.get("transforms", ()):
            dataset.transform(transform)
        dataset.export(str(out), self.options["format"], save_media=False, **self.options["how"])

    def inspect(self, result: None, out: Path) -> dict[str, float]:
        files = [file for pair in mask_files(out) for file in pair]
        if len(files) != 2 * len(self.items):
            raise RuntimeError(f"{len(files)} masks were written for {len(self.items)} items")
        return {"bytes": sum(file.stat().st_size for file in files)}


class ToPolygons(Task):
    """Turn the masks of a dataset to polygons with a transform."""

    def __init__(self, folder: Path, options: Options) -> None:
        super().__init__(folder, options)
        self.items = mask_items(folder)

    def run(self, out: Path) -> list[Any]:
        dataset = as_dataset(self.items, self.folder)
        dataset.transform(self.options["transform"])
        return list(dataset)

    def inspect(self, result: list[Any], out: Path) -> dict[str, float]:
        """Paint the polygons of each instance again and compare."""
        ious: list[float] = []
        vertices = 0
        for before, after in zip(self.items, result, strict=True):
            polygons: dict[int, list[list[float]]] = {}
            for annotation in after.annotations:
                polygons.setdefault(annotation.group, []).append(annotation.points)
                vertices += len(annotation.points) // 2
            ious += [_iou(mask.rle, polygons.get(mask.group, [])) for mask in before.annotations]
        return {
            "iou_mean": float(np.mean(ious)),
            "iou_min": float(np.min(ious)),
            "vertices": vertices / len(ious),
        }


def _iou(rle: dict[str, Any], polygons: list[list[float]]) -> float:
    from pycocotools import mask as mask_utils

    if not polygons:
        return 0.0
    height, width = rle["size"]
    painted = mask_utils.merge(mask_utils.frPyObjects(polygons, height, width))
    return float(mask_utils.iou([painted], [rle], [0])[0, 0])
