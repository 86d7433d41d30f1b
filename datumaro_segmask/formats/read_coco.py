"""COCO instances as many programs write them, and COCO results; one file per subset.

Polygons are painted by pycocotools from the very numbers of the file. Source: docs/predictions.md.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import orjson

from ..arrays import Size
from ..errors import SourceError, UnpaintableError, counted
from ..regions import Geometry, Instance, Polygon, Rle
from ..storage import layout, open_plain, to_unpack
from ..training import cover
from .coco import ANNOTATIONS, IMAGES

ROBOFLOW = "_annotations.coco.json"
_INSTANCES = "instances_"
_TASKS = (
    _INSTANCES, "person_keypoints_", "stuff_", "labels_", "captions_", "panoptic_", "image_info_",
)  # fmt: skip
_NO_SUBSETS = {
    "annotations", "coco", "data", "dataset", "gt", "instances", "labels", "result", "results",
}  # fmt: skip
"""Names of files that name no subset."""
_PICTURE_FOLDERS = (IMAGES, "data", layout.IMAGES)
_MOST = 50  # JSON files that are looked at in a folder
_MAX_CATEGORIES = 1 << 20  # bytes
_MARKS = (b'"images"', b'"annotations"', b'"categories"', b'"segmentation"')
_RESULT_MARKS = (b'"image_id"', b'"category_id"', b'"segmentation"')


@dataclass(frozen=True, slots=True)
class CocoImage:
    """An image, and the entries of its annotations by their position in their file."""

    item_id: str
    image_id: int | str
    file_name: str
    size: Size | None
    entries: Sequence[tuple[int, Mapping[str, Any]]]
    where: str


@dataclass(frozen=True, slots=True)
class CocoFile:
    """One file: images by item id. ``labels``: the position of each category id among the names.

    ``folders``: where pictures may lie, the first that counts first. ``source``: what messages call
    the list of the entries, such as ``a.json: annotations``.
    """

    subset: str
    labels: Mapping[int, int]
    images: Mapping[str, CocoImage]
    folders: Sequence[str]
    source: str


@dataclass(frozen=True, slots=True)
class CocoDataset:
    """Files by subset. ``labels``: names and parents. ``notes`` say what was ignored."""

    labels: Mapping[str, str]
    files: Mapping[str, CocoFile]
    notes: Sequence[str]


@dataclass(frozen=True, slots=True)
class CocoObject:
    """One annotation: either pixels or a box (x, y, width, height in pixels)."""

    label: int
    instance: Instance | None
    box: tuple[float, float, float, float] | None
    annotation_id: int
    score: float | None
    is_crowd: bool
    attributes: Mapping[str, Any]


# Data sets


def open_coco(path: str, images: str = "", gt: str = "") -> CocoDataset:
    """Read the files of a dataset, or results and the dataset that they belong to.

    ``path``: a folder, the JSON of a dataset, or one of results. ``images``: the folder of the
    pictures. ``gt``: the JSON of the dataset for results; without it, the one that lies beside
    them and has all their images. Raises SourceError.
    """
    results: Sequence[tuple[int, Mapping[str, Any]]] | None = None
    found: list[str] = []
    if os.path.isfile(path):
        content = _load(path)
        if isinstance(content, list):
            results = [*enumerate(content)]
            _check_results(results, path)
            place = gt or _gt_of(path, {entry["image_id"] for _, entry in results})
            content = _load(place)
        else:
            place = path
        loaded = {place: _dataset(content, place)}
    else:
        loaded, found = _found(path)
    notes, labels = [*found], dict[str, str]()
    files: dict[str, CocoFile] = {}
    places: dict[str, str] = {}
    for place, content in loaded.items():
        entries = results if results is not None else [*enumerate(content.get("annotations") or ())]
        source = f"{path}: results" if results is not None else f"{place}: annotations"
        positions, labels, said = _positions(content["categories"], entries, place, labels)
        notes += said
        file, said = _file(place, content, entries, source, positions, images, len(loaded) == 1)
        notes += said
        if file.subset in files and content == loaded[places[file.subset]]:
            notes.append(f"{place} is left out, because {places[file.subset]} is the same")
            continue
        if file.subset in files:
            raise SourceError(
                f"two files are the subset {file.subset!r}",
                place,
                "one file per subset",
                "give the path of one of them",
            )
        files[file.subset], places[file.subset] = file, place
    return CocoDataset(labels, files, notes)


def has_coco(path: str) -> bool:
    """Return whether a path is COCO with segmentations that no format of Datumaro finds.

    Never raises, and parses nothing: the files are searched for the names of COCO's fields.
    """
    path = os.fspath(path)
    try:
        if os.path.isfile(path):
            return path.lower().endswith(".json") and (
                _holds(path, _MARKS) or (_begins_with_list(path) and _holds(path, _RESULT_MARKS))
            )
        places = [*islice(_json_files(path), _MOST)]
        if any(map(_is_datumaros, places)):
            return False
        return any(_holds(place, _MARKS) for place in places)
    except (OSError, ValueError):
        return False


def has_doubled_names(path: str) -> bool:
    """Return whether a folder is COCO with two categories of one name, which Datumaro cannot read.

    Roboflow writes a first category with the name of the project. Never raises; parses the
    categories alone.
    """
    try:
        places = [*islice(_json_files(os.fspath(path)), _MOST)]
        return any(_holds(place, _MARKS) and _doubles_names(place) for place in places)
    except (OSError, ValueError):
        return False


def _doubles_names(place: str) -> bool:
    with open_plain(place) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        begin = data.find(b"[", data.find(b'"categories"'))
        text = data[begin : begin + _MAX_CATEGORIES].decode("utf-8", "replace")
    categories, _ = json.JSONDecoder().raw_decode(text)
    names = [each.get("name") for each in categories if isinstance(each, dict)]
    return len({*map(str, names)}) < len(names)


def _is_datumaros(place: str) -> bool:
    folder, name = os.path.split(place)
    is_task = os.path.basename(folder) == ANNOTATIONS and name.startswith(_TASKS)
    return is_task or name == ROBOFLOW


def _holds(path: str, marks: Sequence[bytes]) -> bool:
    if not os.path.getsize(path):
        return False
    with open_plain(path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return all(data.find(mark) >= 0 for mark in marks)


def _begins_with_list(path: str) -> bool:
    with open_plain(path) as file:
        return file.read(100).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")


def _json_files(root: str) -> Iterator[str]:
    """Yield the JSON files where COCO's lie: at the top, in ``annotations``, one a folder."""
    folders = [root, os.path.join(root, ANNOTATIONS)]
    for folder in filter(os.path.isdir, folders):
        for name in sorted(os.listdir(folder)):
            if name.lower().endswith(".json") and not layout.is_litter(name):
                yield os.path.join(folder, name)
    for name in sorted(os.listdir(root)):
        place = os.path.join(root, name, ROBOFLOW)
        if os.path.isfile(place):
            yield place


def _found(root: str) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return the datasets of a folder, by the paths of their files, and what is to be noted."""
    for _ in range(layout.MAX_DEPTH):
        places = [*islice(_json_files(root), _MOST)]
        inner = [entry for entry in os.scandir(root) if not layout.is_litter(entry.name)]
        if places or len(inner) != 1 or not inner[0].is_dir():
            break
        root = inner[0].path
    instances = [place for place in places if os.path.basename(place).startswith(_INSTANCES)]
    loaded, notes = {}, []
    for place in instances or places:
        content = _load(place)
        if _is_dataset(content):
            loaded[place] = content
        elif isinstance(content, list) and content and _is_result(content[0]):
            notes.append(f"{place} has results: give its path to import them")
    if not loaded:
        raise SourceError(
            "there is no JSON of COCO instances" + "".join(f"; {note}" for note in notes),
            root,
            "annotations/instances_train.json, annotations.json or train/_annotations.coco.json, "
            "with images, annotations and categories",
            "give the path of the file",
        )
    return loaded, notes


def _gt_of(results: str, image_ids: set[Any]) -> str:
    """Return the dataset beside results that has all their images."""
    here = os.path.dirname(os.path.abspath(results))
    above = os.path.dirname(here)
    places = [
        place
        for folder in (here, above)
        for place in _json_files(folder)
        if not os.path.samefile(place, results) and _holds(place, (b'"images"', b'"categories"'))
    ]
    datasets = {place: content for place in places[:_MOST] if _is_dataset(content := _load(place))}
    fitting = [
        place
        for place, content in datasets.items()
        if image_ids <= {image.get("id") for image in content["images"]}
    ]
    if len(fitting) != 1:
        where = "beside the results, in 'annotations' there, or one folder above"
        what = f"{counted(len(fitting), 'dataset')} {where} have all their images"
        raise SourceError(
            what + "".join(f"; {place}" for place in fitting),
            results,
            "one dataset, for names, sizes and images",
            "import with gt=FILE, the JSON of the dataset",
        )
    return fitting[0]


def _load(path: str) -> Any:
    try:
        with open_plain(path) as file:
            return orjson.loads(file.read().removeprefix(b"\xef\xbb\xbf"))
    except OSError as error:
        what = error.strerror or type(error).__name__
        raise SourceError(f"the file cannot be read ({what})", path) from error
    except orjson.JSONDecodeError as error:
        if remedy := to_unpack(path):
            raise SourceError("this is a packed file", path, "JSON, or a folder", remedy) from None
        raise SourceError(
            f"this is not JSON: {error.msg}",
            f"{path}:{error.lineno}",
            "JSON",
            "write or copy the file again",
        ) from error


def _is_dataset(content: Any) -> bool:
    """Return whether a JSON has objects; captions, and panoptic segments, are others."""
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        return False
    if not isinstance(content.get("categories"), list):
        return False
    annotations = content.get("annotations")
    first = annotations[0] if isinstance(annotations, list) and annotations else {}
    return annotations is not None and "segments_info" not in first


def _is_result(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("image_id"), (int, str))
        and "category_id" in entry
    )


def _dataset(content: Any, place: str) -> dict[str, Any]:
    if not _is_dataset(content):
        raise SourceError(
            "this is not a dataset of COCO instances",
            place,
            "an object with images, annotations and categories, or a list of results",
            "check the path",
        )
    dataset: dict[str, Any] = content
    return dataset


def _check_results(results: Sequence[tuple[int, Any]], path: str) -> None:
    for i, entry in results:
        if not _is_result(entry):
            raise SourceError(
                "this is not a result",
                f"{path}: results[{i}]",
                "an object with image_id and category_id",
            )


def _file(
    place: str,
    content: Mapping[str, Any],
    entries: Sequence[tuple[int, Any]],
    source: str,
    positions: Mapping[int, int],
    images: str,
    is_alone: bool,
) -> tuple[CocoFile, list[str]]:
    """Return a file whose categories are these labels, and what is to be noted."""
    subset, notes = _subset_of(place, is_alone), list[str]()
    by_image: dict[Any, list[tuple[int, Mapping[str, Any]]]] = {}
    keypoints = 0
    for i, entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("image_id"), (int, str)):
            raise SourceError(
                "this is not an annotation of an image",
                place_of_entry(source, i, entry),
                "an object with image_id and category_id",
            )
        by_image.setdefault(entry["image_id"], []).append((i, entry))
        keypoints += bool(entry.get("num_keypoints") or entry.get("keypoints"))
    found: dict[str, CocoImage] = {}
    for i, image in enumerate(content["images"]):
        made = _image(image, f"{place}: images[{i}]")
        if made.item_id in found:
            raise SourceError(
                f"the file name {made.file_name!r} gives an id that another image has, "
                f"{made.item_id!r}",
                made.where,
                "a different name for each image, without its suffix",
                "rename one of the images",
            )
        # What nobody takes out is left: annotations of images that are not there.
        found[made.item_id] = replace(made, entries=by_image.pop(made.image_id, []))
    if by_image:
        i, entry = next(iter(by_image.values()))[0]
        notes.append(
            f"{counted(sum(map(len, by_image.values())), 'annotation')} left out, because their "
            f"images are not in {place}; the first is {place_of_entry(source, i, entry)}"
        )
    if keypoints:
        notes.append(f"{place}: the keypoints of {counted(keypoints, 'annotation')} are left out")
    return CocoFile(subset, positions, found, _folders(place, subset, images), source), notes


def _subset_of(place: str, is_alone: bool) -> str:
    folder, name = os.path.split(os.path.abspath(place))
    if name == ROBOFLOW:
        return os.path.basename(folder)
    stem = os.path.splitext(name)[0]
    for task in _TASKS:
        stem = stem.removeprefix(task)
    return layout.DEFAULT_SUBSET if is_alone and stem.lower() in _NO_SUBSETS else stem


def _positions(
    categories: Sequence[Any],
    entries: Sequence[tuple[int, Any]],
    place: str,
    known: Mapping[str, str],
) -> tuple[dict[int, int], dict[str, str], list[str]]:
    """Return the label of each category id, all labels, and what is to be noted.

    ``known``: the labels of the files before. Of two categories of one name one may be used, as in
    exports of Roboflow.
    """
    ids = (entry.get("category_id") for _, entry in entries if isinstance(entry, dict))
    used = {number for number in ids if isinstance(number, int)}
    labels, notes = {**known}, list[str]()
    positions: dict[int, int] = {}
    names: dict[str, int] = {}
    order = {name: i for i, name in enumerate(labels)}
    for i, category in enumerate(categories):
        where = f"{place}: categories[{i}]"
        if not isinstance(category, dict) or not {"id", "name"} <= category.keys():
            raise SourceError("this is not a category", where, "an object with id and name")
        number, name = category["id"], str(category["name"])
        if not isinstance(number, int):
            raise SourceError(f"the id is {number!r}", where, "a whole number")
        own = "a different id and name for each"
        if number in positions:
            raise SourceError(f"two categories have the id {number}", where, own, "rename one")
        if name in names and {number, names[name]} <= used:
            what = f"the categories {names[name]} and {number} are both called {name!r}"
            raise SourceError(what, where, own, "rename one")
        if name in names:
            notes.append(f"{where}: two categories are called {name!r}, and one has no objects")
        if name not in order:
            order[name] = len(order)
            labels[name] = str(category.get("supercategory") or "")
        elif name in names and number in used:
            labels[name] = str(category.get("supercategory") or "")
        if name not in names or number in used:
            names[name] = number
        positions[number] = order[name]
    return positions, labels, notes


def _image(image: Any, where: str) -> CocoImage:
    """Return an image without its entries."""
    if not isinstance(image, dict) or not isinstance(image.get("file_name"), str):
        raise SourceError("this is not an image", where, "an object with id and file_name")
    if not isinstance(image.get("id"), (int, str)):
        raise SourceError("the image has no id", where, "an id, by which annotations name it")
    width, height = image.get("width"), image.get("height")
    size = None
    if isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0:
        size = Size(height, width)
    file_name = image["file_name"].replace("\\", "/")
    item_id = layout.split_suffix(file_name)[0]
    if layout.problem_of_name(item_id):  # an absolute path of another machine, or one with ..
        item_id = item_id.rpartition("/")[2]
    return CocoImage(item_id, image["id"], file_name, size, (), where)


def _folders(place: str, subset: str, images: str) -> list[str]:
    if images:
        return [os.path.abspath(os.path.join(images, inner)) for inner in (subset, "")]
    here = os.path.dirname(os.path.abspath(place))
    root = os.path.dirname(here) if os.path.basename(here) == ANNOTATIONS else here
    stem = os.path.splitext(os.path.basename(place))[0]
    inner = [os.path.join(IMAGES, subset), *_PICTURE_FOLDERS, subset, stem, ""]
    return [*(os.path.join(root, folder) for folder in inner), here]


# Images and annotations


def picture_of(file: CocoFile, image: CocoImage) -> str | None:
    """Return the path of an image's picture, None if it is nowhere where pictures lie."""
    names = dict.fromkeys([image.file_name, image.file_name.rpartition("/")[2]])
    places = (os.path.join(folder, name) for name in names for folder in file.folders)
    return next((os.path.normpath(place) for place in places if os.path.isfile(place)), None)


def read_objects(
    file: CocoFile, image: CocoImage, size: Size, report: Callable[[SourceError], None]
) -> list[CocoObject]:
    """Return the objects of an image of this size, in the order of the file.

    An entry that is broken goes to ``report`` and, if that returns, is left out. A segmentation
    without a pixel gives an object with neither pixels nor a box.
    """
    objects: dict[int, CocoObject] = {}
    geometries: dict[int, list[Geometry]] = {}
    wheres: dict[int, str] = {}
    for i, entry in image.entries:
        wheres[i] = place_of_entry(file.source, i, entry)
        try:
            objects[i] = _object(entry, file.labels, wheres[i])
            if objects[i].box is None:
                geometries[i] = _geometries(entry["segmentation"], wheres[i])
        except SourceError as error:
            objects.pop(i, None)
            report(error)
    instances, sound = _covered(geometries, wheres, size, report)
    return [
        replace(found, instance=replace(instances[i], label=found.label))
        if i in instances
        else found
        for i, found in objects.items()
        if found.box is not None or i in sound
    ]


def place_of_entry(source: str, index: int, entry: Any) -> str:
    """Return how to call an annotation of a file in a message."""
    number = f" (id {entry['id']})" if isinstance(entry, dict) and "id" in entry else ""
    return f"{source}[{index}]{number}"


def _covered(
    geometries: Mapping[int, list[Geometry]],
    wheres: Mapping[int, str],
    size: Size,
    report: Callable[[SourceError], None],
) -> tuple[dict[int, Instance], set[int]]:
    """Return the pixels of each entry that covers some, and the entries that have sound shapes."""
    entry_at = {where: i for i, where in wheres.items()}
    sound = {*geometries}
    while True:
        shapes = [(i, geometry) for i in geometries if i in sound for geometry in geometries[i]]
        places = [wheres[i] for i, _ in shapes]
        try:
            owners = [i for i, _ in shapes]
            return cover([shape for _, shape in shapes], owners, places, size), sound
        except UnpaintableError as error:
            report(SourceError(error.what, error.where, error.expected, error.remedy))
            sound.remove(entry_at[error.where])


def _object(entry: Mapping[str, Any], labels: Mapping[int, int], where: str) -> CocoObject:
    category = entry.get("category_id")
    if not isinstance(category, int) or category not in labels:
        raise SourceError(
            f"category_id is {category!r}",
            where,
            f"one of the ids {', '.join(map(str, labels))}",
            "correct the annotation, or add the category",
        )
    score = entry.get("score")
    if score is not None and (isinstance(score, bool) or not isinstance(score, (int, float))):
        raise SourceError(f"score is {score!r}", where, "a number")
    is_outlined = entry.get("segmentation") not in (None, [], {}, [[]])
    box = None if is_outlined else _box(entry.get("bbox"), where)
    number = entry.get("id", 0)
    attributes = entry.get("attributes")
    return CocoObject(
        labels[category],
        None,
        box,
        number if isinstance(number, int) else 0,
        None if score is None else float(score),
        bool(entry.get("iscrowd")),
        attributes if isinstance(attributes, dict) else {},
    )


def _box(bbox: Any, where: str) -> tuple[float, float, float, float]:
    numbers = _numbers(bbox if isinstance(bbox, list) else [], where, "bbox")
    if numbers.size != 4 or not np.isfinite(numbers).all() or (numbers[2:] < 0).any():
        raise SourceError(
            f"there is no segmentation, and bbox is {bbox!r}",
            where,
            "a segmentation, or a box of x, y, width, height",
            "remove the annotation or complete it",
        )
    x, y, width, height = numbers.tolist()
    return x, y, width, height


def _geometries(segmentation: Any, where: str) -> list[Geometry]:
    if isinstance(segmentation, dict):
        size, counts = segmentation.get("size"), segmentation.get("counts")
        if not isinstance(size, list) or not isinstance(counts, (str, list)):
            raise SourceError("segmentation is not an RLE", where, "an object with size and counts")
        if isinstance(counts, list) and not all(type(count) is int for count in counts):
            raise SourceError("the counts of segmentation are not numbers", where, "whole numbers")
        return [Rle(size, counts)]
    if not isinstance(segmentation, list) or not segmentation:
        raise SourceError(f"segmentation is {segmentation!r}", where, "polygons or an RLE")
    rings = segmentation if isinstance(segmentation[0], list) else [segmentation]
    return [Polygon(_numbers(ring, where, "segmentation")) for ring in rings]


def _numbers(values: Any, where: str, field: str) -> Any:
    try:
        return np.array(values, np.float64).ravel()
    except (TypeError, ValueError):
        raise SourceError(f"{field} has something that is not a number", where, "numbers") from None
