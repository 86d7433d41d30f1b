"""Everything of Datumaro's treats our items as it treats the same items of its own.

Each transform, exporter and validator of Datumaro's registry, and its ways to compare, merge and
count, runs on a dataset of ours and on one with plain ``RleMask`` and plain dicts, in files as an
unpacked archive has them. What comes out is equal, the exception included where both fail.
"""

from __future__ import annotations

import contextlib
import io
import random
import re
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from datumaro.components import operations
from datumaro.components.annotation import Annotation, Mask, RleMask
from datumaro.components.comparator import DistanceComparator, TableComparator
from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.environment import Environment
from datumaro.components.hl_ops import HLOps
from datumaro.components.media import Image
from datumaro.components.merge import IntersectMerge, get_merger
from datumaro.util.annotation_util import segment_iou
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import datumaro_segmask
from datumaro_segmask.plugin.annotations import SegmaskMask

from ..archives import archive, as_folder, as_zip, rgb

datumaro_segmask.register()
ENVIRONMENT = Environment()
KINDS = ["folder", "zip"]


# The items


def encoded(suffix: str, dtype: str = "u1") -> bytes:
    """A picture, 6 x 7 pixels, with something in each pixel that encoding anew would change."""
    values = np.random.default_rng(1).integers(0, np.iinfo(dtype).max, (6, 7, 3))
    done, data = cv2.imencode(suffix, values.astype(dtype))
    assert done
    return data.tobytes()


CLASSES = {
    "a": rgb("1112200 1012200 1110000 0000011 0200011 2000000"),
    "b/c": rgb("0110000 0110000 0000000 0000000 2222222 2222222"),
    "d": rgb("1112200 1012200 1110000 0000011 0200011 2000000"),
    "e": rgb("0000000 0000000 0000000 0000000 0000000 0000000"),
}
INSTANCES = {
    "a": rgb("1113300 1013300 1110000 0000022 0300022 3000000"),
    "b/c": rgb("0110000 0110000 0000000 0000000 1111000 0000000"),
    "d": rgb("1111100 1011100 1110000 0000022 0000022 0000000"),
}
PICTURES = {
    "a.jpg": encoded(".jpg"),
    "b/c.png": encoded(".png", "u2"),
    "d.tif": encoded(".tif", "u2"),
    "e.bmp": encoded(".bmp"),
}
FILES = archive(CLASSES, INSTANCES, lists={"train": "a\nd\n", "val": "b/c\ne\n"}, images=PICTURES)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("manners")
    return {"folder": as_folder(FILES, folder / "task"), "zip": as_zip(FILES, folder / "task")}


FIELDS = ("id", "attributes", "group", "object_id", "label", "z_order")


def as_rle(mask: SegmaskMask) -> Mask:
    rle = {"size": [*mask.rle["size"]], "counts": mask.rle["counts"]}
    return RleMask(rle=rle, **{name: getattr(mask, name) for name in FIELDS})


def as_bitmap(mask: SegmaskMask) -> Mask:
    return Mask(mask.image, **{name: getattr(mask, name) for name in FIELDS})


def dataset(path: Path, make: Callable[[SegmaskMask], Mask] = lambda mask: mask) -> Dataset:
    """The items of an archive, with masks of another class."""
    source = Dataset.import_from(str(path), "segmask")
    items = [item.wrap(annotations=[*map(make, item.annotations)]) for item in source]
    return Dataset.from_iterable(items, categories=source.categories(), media_type=Image)


# What comes out


def shown(annotation: Annotation) -> Any:
    """What Datumaro sees of an annotation, but for how a mask is kept."""
    is_mask = isinstance(annotation, Mask)
    fields = {k: v for k, v in annotation.as_dict().items() if k not in ("_image", "_rle")}
    return (
        annotation.type.name,
        str(fields),
        annotation.image.astype(int).tolist() if is_mask else None,
        float(annotation.get_area()) if hasattr(annotation, "get_area") else None,
        [*map(float, annotation.get_bbox())] if isinstance(annotation, RleMask) else None,
    )


def items_of(found: Any) -> list[Any]:
    return [
        (
            item.id,
            item.subset,
            str(item.attributes),
            None if item.media is None else (item.media.size, item.media.data.tolist()),
            [*map(shown, item.annotations)],
        )
        for item in found
    ]


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".segmask-files.")
    }


def outcome(run: Callable[[], Any]) -> Any:
    """Return what a call gives, or how it fails."""
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002  # what Datumaro draws from
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of others: only what comes out is compared
        try:
            return run()
        except Exception as error:
            return type(error).__name__, str(error)


NOT_RUN = {
    "missing_annotation_detection": "needs a model",
    "pseudo_labeling": "needs a model",
    "relevancy_sampler": "needs what a model has found",
    "samautomatic_mask_generation": "needs a server with a model",
    "sambbox_to_instance_mask": "needs a server with a model",
}


def all_of(registry: Any) -> list[Any]:
    return [
        pytest.param(name, marks=pytest.mark.skip(NOT_RUN[name])) if name in NOT_RUN else name
        for name in sorted(registry)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_same_items(kind: str, paths: dict[str, Path]) -> None:
    """The masks differ in their class alone, and are worth a comparison."""
    ours, theirs = dataset(paths[kind]), dataset(paths["folder"], as_rle)
    assert items_of(ours) == items_of(theirs)
    assert [type(a) for item in ours for a in item.annotations] == [SegmaskMask] * 10
    assert [type(a) for item in theirs for a in item.annotations] == [RleMask] * 10
    for a, b in zip(ours, theirs, strict=True):
        assert a.annotations == b.annotations
        assert b.annotations == a.annotations
        assert [x.as_dict() for x in a.annotations] == [x.as_dict() for x in b.annotations]


# Transforms

OPTIONS: dict[str, dict[str, Any]] = {
    "astype_annotations": {"mapping": {}},
    "correct": {"reports": {"validation_reports": []}},
    "crop": {"x": 0, "y": 0, "width": 4, "height": 3},
    "label_random_sampler": {"count": 2, "seed": 1},
    "map_subsets": {"mapping": {"train": "val"}},
    "ndr": {"working_subset": "train", "algorithm": "gradient", "num_cut": 1, "seed": 1},
    "project_infos": {"dst_infos": {"author": "us"}, "overwrite": True},
    "project_labels": {"dst_labels": ["road", "car"]},
    "random_sampler": {"count": 2, "seed": 1},
    "random_split": {"splits": [("x", 0.5), ("y", 0.5)], "seed": 1},
    "remap_labels": {"mapping": {"car": "bus"}, "default": "keep"},
    "remove_annotations": {"ids": [("a", "train", 0)]},
    "remove_attributes": {"ids": [("a", "train")]},
    "remove_items": {"ids": [("a", "train")]},
    "rename": {"regex": "|^|x/|"},
    "resize": {"width": 10, "height": 12},
    "split": {"task": "segmentation", "splits": [("x", 0.5), ("y", 0.5)], "seed": 1},
    "tile": {"grid_size": (2, 2), "overlap": (0, 0), "threshold_drop_ann": 0},
}
FAILING = {
    "clean": "is for tables",
    "crop_covered_segments": "cannot read compressed RLE",
}
"""Transforms of Datumaro that fail on any masks in RLE, the plain ones too."""

AFTER_TILES = ["merge_tile"]
OF_BITMAPS = ["tile", "merge_tile"]
"""Transforms that hand ``image`` to ``wrap``, which an ``RleMask`` does not take and ours does."""

WITH_PATH = ["id_from_image_name"]
"""Transforms that ask for the path of a picture, which one in a zip does not have."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", all_of(ENVIRONMENT.transforms))
def test_transform(name: str, kind: str, paths: dict[str, Path]) -> None:
    def run(source: Dataset) -> Any:
        if name in AFTER_TILES:
            source = source.transform("tile", **OPTIONS["tile"])
        return outcome(lambda: items_of(source.transform(name, **OPTIONS.get(name, {}))))

    ours = run(dataset(paths[kind]))
    theirs = run(dataset(paths["folder"], as_bitmap if name in OF_BITMAPS else as_rle))
    assert isinstance(theirs, tuple) == (name in FAILING), theirs
    if name in OF_BITMAPS:
        ours, theirs = ([without_boxes(item) for item in items] for items in (ours, theirs))
    if name in WITH_PATH and kind == "zip":
        theirs = [
            (old[0], *new[1:])
            for old, new in zip(items_of(dataset(paths[kind])), theirs, strict=True)
        ]
    assert ours == theirs


def without_boxes(item: Any) -> Any:
    """A bitmap of Datumaro 1.11 has a box one pixel too small."""
    *rest, annotations = item
    return *rest, [annotation[:-1] for annotation in annotations]


# Exporters

EXPORT_OPTIONS = {
    # Only masks of ours can say that their pixels belong to no instance.
    "segmask": {"number_stuff": True},
}
FAILING_EXPORTERS = {
    "cityscapes": "makes Pillow write what new ones cannot",
    "kitti": "the same",
    "kitti_segmentation": "the same",
    "icdar_text_segmentation": "asks for attributes of text",
    "kitti_raw": "is for point clouds",
    "mots_png": "asks for attributes of tracks",
    "sly_pointcloud": "is for point clouds",
    "tabular": "is for tables",
}
STUFF_FROM_OURS = ["panoptic_segments"]
"""Exporters that write apart what only masks of ours say: that pixels belong to no instance."""
OWN_ENCODING = ["image_zip"]
"""Exporters that never let a picture save itself, and encode what is not in a file."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", all_of(ENVIRONMENT.exporters))
def test_exporter(name: str, kind: str, paths: dict[str, Path], tmp_path: Path) -> None:
    """The pictures included: those of a zip are written as those of a folder are copied."""
    target = tmp_path / "out"
    results = []
    for source in (dataset(paths[kind]), dataset(paths["folder"], as_rle)):
        options = {"save_media": True, **EXPORT_OPTIONS.get(name, {})}
        failure = outcome(partial(source.export, str(target), name, **options))
        results.append((failure, files_of(target)))
        if target.exists():
            target.rename(tmp_path / f"out-{len(results)}")
    (our_failure, ours), (their_failure, theirs) = results
    assert our_failure == their_failure
    assert their_failure is None or name in FAILING_EXPORTERS, their_failure
    assert ours.keys() == theirs.keys()
    differ = [place for place in ours if ours[place] != theirs[place]]
    if name in STUFF_FROM_OURS:
        assert [place for place in differ if not place.startswith("annotations/")] == []
        return
    assert differ == (["default.zip"] if name in OWN_ENCODING and kind == "zip" else [])


# Operations


def shifted(item: DatasetItem) -> DatasetItem:
    """The item with masks that overlap most of what they were, for what measures overlap."""
    masks = []
    for mask in item.annotations:
        pixels = mask.image.copy()
        pixels[:1] = 0
        masks.append(RleMask(rle=mask_utils.encode(np.asfortranarray(pixels)), label=mask.label))
    return item.wrap(annotations=masks)


def other(paths: dict[str, Path]) -> Dataset:
    source = dataset(paths["folder"], as_rle)
    items = [shifted(item) for item in source]
    return Dataset.from_iterable(items, categories=source.categories(), media_type=Image)


def both(run: Callable[[Dataset], Any], paths: dict[str, Path]) -> tuple[Any, Any, Any]:
    return (
        outcome(lambda: run(dataset(paths["folder"]))),
        outcome(lambda: run(dataset(paths["zip"]))),
        outcome(lambda: run(dataset(paths["folder"], as_rle))),
    )


def assert_alike(results: tuple[Any, Any, Any], *, fails: bool = False) -> None:
    folder, zipped, theirs = results
    assert (isinstance(theirs, tuple) and isinstance(theirs[0], str)) == fails, theirs
    assert folder == theirs
    assert zipped == theirs


@pytest.mark.parametrize("policy", ["union", "intersect", "exact"])
def test_merge(policy: str, paths: dict[str, Path]) -> None:
    def run(source: Dataset) -> Any:
        merger = get_merger(policy)
        merged = merger.merge([source, source if policy == "exact" else other(paths)])
        return items_of(merged), [str(error) for error in merger.errors]

    assert_alike(both(run, paths))


def test_intersect_merge_finds_the_masks_of_one_object(paths: dict[str, Path]) -> None:
    """Also where one of two annotators' datasets is plain, and with a vote."""

    def run(source: Dataset) -> Any:
        merger = IntersectMerge(conf=IntersectMerge.Conf(pairwise_dist=0.2, quorum=2))
        return items_of(merger.merge([source, dataset(paths["zip"])]))

    results = both(run, paths)
    assert_alike(results)
    assert sum(len(item[-1]) for item in results[0]) == 10


def numbers_of(found: Any) -> Any:
    """What was found, whether NumPy's numbers or Python's, and in whatever order a set has."""
    if isinstance(found, dict):
        return {name: numbers_of(value) for name, value in found.items()}
    if isinstance(found, (list, tuple, set)):
        return sorted(map(numbers_of, found), key=repr)
    return found.tolist() if isinstance(found, (np.generic, np.ndarray)) else found


@pytest.mark.parametrize("mode", ["high", "mid"])  # "low" needs a model
def test_compare_tables(mode: str, paths: dict[str, Path]) -> None:
    def run(source: Dataset) -> Any:
        found = TableComparator().compare_datasets(source, other(paths), mode)
        return [part for part in found if part]

    assert_alike(both(run, paths))


@pytest.mark.parametrize("method", ["equality", "distance"])
def test_compare(method: str, paths: dict[str, Path], tmp_path: Path) -> None:
    def run(source: Dataset) -> Any:
        folder = tmp_path / str(len([*tmp_path.iterdir()]))
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            HLOps.compare(source, other(paths), report_dir=str(folder), method=method)
        files = files_of(folder)
        assert any(files.values())
        # The report says which class of mask it met.
        classless = re.compile(rb'"ann": "(\\.|[^"\\])*"')
        return {place: classless.sub(b"", data) for place, data in files.items()}, said.getvalue()

    assert_alike(both(run, paths))


def test_masks_match_by_distance(paths: dict[str, Path]) -> None:
    comparator = DistanceComparator(iou_threshold=0.3)

    def run(source: Dataset) -> Any:
        pairs = zip(source, other(paths), strict=True)
        return [[len(part) for part in comparator.match_masks(one, two)] for one, two in pairs]

    results = both(run, paths)
    assert_alike(results)
    assert sum(matched for matched, *_ in results[0]) >= 4


def test_segment_iou(paths: dict[str, Path]) -> None:
    def run(source: Dataset) -> Any:
        return [
            [segment_iou(one, two) for one in item.annotations for two in item.annotations]
            for item in source
        ]

    assert_alike(both(run, paths))


def test_coco_eval_takes_the_rle(paths: dict[str, Path]) -> None:
    """The masks as results against themselves: every object is found."""

    def run(source: Dataset) -> Any:
        annotations = [
            {
                "id": number,
                "image_id": image,
                "category_id": mask.label,
                "segmentation": mask.rle,
                "area": mask.get_area(),
                "bbox": [*mask.get_bbox()],
                "iscrowd": 0,
                "score": 1.0,
            }
            for number, (image, mask) in enumerate(
                [(i, m) for i, item in enumerate(source) for m in item.annotations], 1
            )
        ]
        truth = COCO()
        truth.dataset = {
            "images": [{"id": i, "height": 6, "width": 7} for i in range(4)],
            "categories": [{"id": 1}, {"id": 2}],
            "annotations": annotations,
            "info": {},
        }
        truth.createIndex()
        scores = COCOeval(truth, truth.loadRes(annotations), "segm")
        scores.evaluate()
        scores.accumulate()
        scores.summarize()
        return scores.stats.tolist()

    results = both(run, paths)
    assert_alike(results)
    assert results[0][0] == pytest.approx(1)


@pytest.mark.parametrize(
    "count", ["compute_ann_statistics", "compute_image_statistics", "mean_std"]
)
def test_statistics(count: str, paths: dict[str, Path]) -> None:
    assert_alike(both(lambda source: [numbers_of(getattr(operations, count)(source))], paths))


@pytest.mark.parametrize("name", all_of(ENVIRONMENT.validators))
def test_validator(name: str, paths: dict[str, Path]) -> None:
    def run(source: Dataset) -> Any:
        validator = ENVIRONMENT.validators[name]
        options = vars(validator.build_cmdline_parser().parse_args([]))
        return [numbers_of(validator(**options).validate(source))]

    assert_alike(both(run, paths), fails=name == "configurable")


@pytest.mark.parametrize(
    "expression", ["/item/annotation[area>3]", '/item/annotation[label="car"]', "/item[width=7]"]
)
def test_filter(expression: str, paths: dict[str, Path]) -> None:
    of_annotations = "annotation" in expression

    def run(source: Dataset) -> Any:
        return items_of(source.filter(expression, filter_annotations=of_annotations))

    assert_alike(both(run, paths))
