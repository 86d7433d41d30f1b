"""Items in, items out: every good archive, by every way in, through every way out.

What comes out is compared with what tests/cases.py says is in the archive: ids, subsets, names of
labels, instance numbers, pixels, sizes. And nothing else is written, and nothing else is said: the
names of files and the lines of the log are compared whole.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias
from unicodedata import normalize

import cv2
import numpy as np
import pytest
from datumaro.components.annotation import AnnotationType
from datumaro.components.dataset import Dataset
from datumaro.components.errors import DatasetExportError
from pycocotools import mask as mask_utils

from datumaro_segmask import (
    from_arrays,
    read_table,
    to_arrays,
    to_table,
    write_archive,
)
from datumaro_segmask.archive import open_archive
from datumaro_segmask.arrays import Size
from datumaro_segmask.errors import counted, numbered
from datumaro_segmask.plugin.base import SegmaskBase
from datumaro_segmask.rules import is_thin
from datumaro_segmask.sharding import (
    CocoShards,
    MaskTable,
    ParquetShards,
    Reading,
    ZipShards,
    make_plan,
    run,
)

from ..archives import as_folder, as_zip, picture, plane
from ..cases import GOOD, Good, ItemKey, Mask
from ..storage.stores import put, zipped
from ..training.scenes import paint_yolo, parts_of

pytestmark = pytest.mark.usefixtures("registered")

TOP = (
    "SegmentationClass/",
    "SegmentationObject/",
    "JPEGImages/",
    "ImageSets/Segmentation/",
    "labelmap.txt",
)

Content: TypeAlias = dict[ItemKey, list[Mask]]
"""The masks of each item, sorted; an item without masks has none."""


@dataclass(frozen=True)
class Source:
    """A case as an archive at a path, which may be a URL.

    ``labels`` are the names of its labels. ``lines`` is what is said of it when it is opened,
    ``of_items`` what Datumaro's side says of its items. ``sized`` are the items that have a mask
    or an image.
    """

    way_in: str
    name: str
    case: Good
    path: str
    labels: list[str]
    lines: list[str]
    of_items: list[str]
    sized: list[ItemKey]
    suffixes: dict[str, str]

    @property
    def ignore_index(self) -> int | None:
        return self.case.options.get("ignore_index")

    def suffix(self, item_id: str) -> str:
        """Return the suffix of an item's image; .jpg if there is none."""
        return self.suffixes.get(item_id) or ".jpg"

    @property
    def known(self) -> Content:
        """What is in the archive; the background, which an import may keep, is no object."""
        background = "background" if "keep_background" in self.case.options else ""
        return {
            key: sorted((m for m in masks if m[0] != background), key=str)
            for key, masks in self.case.items.items()
        }

    def dataset(self) -> Dataset:
        return Dataset.import_from(self.path, "segmask", **self.case.options)


# What is expected


def renumbered(content: Content) -> Content:
    """Return it as an export numbers it: from 1 on where a number is past 255."""
    found = {}
    for key, masks in content.items():
        numbers = sorted({number for _, number, _ in masks if number})
        ranks = {0: 0} | {number: rank for rank, number in enumerate(numbers, 1)}
        past = numbers and numbers[-1] > 255
        found[key] = sorted(
            ((label, ranks[n] if past else n, mask) for label, n, mask in masks), key=str
        )
    return found


def files_of(content: Content, images: Iterable[str] = ()) -> list[str]:
    """Return the files of an archive with this content, and no others."""
    files = {"labelmap.txt", *images, *([] if content else [f"{TOP[3]}default.txt"])}
    for (item_id, subset), masks in content.items():
        files.add(f"ImageSets/Segmentation/{subset}.txt")
        if any(label is not None for label, _, _ in masks):
            files.add(f"SegmentationClass/{item_id}.png")
        if any(number for _, number, _ in masks):
            files.add(f"SegmentationObject/{item_id}.png")
    return sorted(files)


def as_they_lie(case: Good) -> list[list[str]]:
    """Return the files of each item and its list, by the names that they have in a shard."""
    mask = next((name for name in case.files if TOP[0] in name or TOP[1] in name), TOP[0])
    root = mask[: mask.index("Segmentation")]
    places = [name.removeprefix(root) for name in case.files if name.startswith(root)]
    there = {normalize("NFC", usual(name)): usual(name) for name in places}
    shards = []
    for item_id, subset in case.items:
        masks = [f"{folder}{item_id}.png" for folder in TOP[:2]]
        images = [f"JPEGImages/{item_id}{suffix}" for suffix in (".jpg", ".png", ".jpeg", ".tga")]
        image = next((n for n in images if n in there.values()), None)  # by rank
        image = image or next((n for n in images if n in there), None)
        found = [normalize("NFC", p) for p in places if usual(normalize("NFC", p)) == image]
        names = [*filter(there.__contains__, masks), f"{TOP[3]}{subset}.txt", *found]
        shards.append(sorted(names + ["labelmap.txt"] * ("labelmap.txt" in places)))
    return shards


def usual(name: str) -> str:
    """Return a name with its suffix in small letters."""
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}{dot}{suffix.lower()}"


def for_cvat(source: Source, content: Content, labels: int | None = None) -> list[str]:
    """Return what an export says that CVAT will not read."""
    stuff = sum(
        sum(label is not None and not number for label, number, _ in masks)
        for masks in content.values()
        if any(number for _, number, _ in masks)
    )
    subsets = sorted({subset for _, subset in content if "_" in subset})
    thin = sum(is_thin(*extent(m)) for masks in content.values() for _, n, m in masks if n)
    highest = max((number for masks in content.values() for _, number, _ in masks), default=0)
    lines = [
        f"1 label with a colon in the name, such as {name!r}, for which it refuses the archive"
        for name in source.labels
        if ":" in name
    ]
    if stuff:
        lines.append(
            f"{stuff} mask{'s' * (stuff > 1)} of stuff beside instances, which it leaves out "
            "(with number_stuff=True they are instances)"
        )
    if subsets:
        lines.append(
            "1 subset with '_' in the name, or a dot at its beginning, such as "
            f"{subsets[0]!r}, which it skips"
        )
    labels = labels or len(source.labels)
    if labels > 256:
        lines.append(f"{labels} labels, of which it can read 256")
    if highest > 255:
        lines.append(f"instance numbers up to {highest:,}, of which it can read 255")
    if thin:
        lines.append(
            f"{thin} object{'s' * (thin > 1)} one or two pixels thin, which vanish when it "
            "turns them into polygons (upload with conv_mask_to_poly=False)"
        )
    past = [
        f"item {item_id!r} of subset {subset!r} has the instance number {highest}. All are kept, "
        "but CVAT and the VOC formats of Datumaro cannot read files with numbers past 255. This is "
        "reported once."
        for (item_id, subset), masks in content.items()
        if highest > 255 and any(number == highest for _, number, _ in masks)
    ]
    return past + ([f"CVAT will not read all of this: {'; '.join(lines)}."] if lines else [])


def without_place(source: Source, noun: str) -> list[str]:
    """Return what training code makes nothing of, as an export says it."""
    masks = [mask for of_item in source.case.items.values() for mask in of_item]
    ground = sum(label == "background" for label, _, _ in masks) * (noun == "annotations")
    bare = sum(label is None for label, _, _ in masks)
    left_out = {
        f"{noun} of the background (with keep_background=True they are objects)": ground,
        f"{noun} without a label, which training cannot use": bare,
        "items with neither image nor masks, whose size is unknown": len(source.case.items)
        - len(source.sized),
    }
    return [f"Left out of the export: {numbered(n, what)}." for what, n in left_out.items() if n]


def said_of_yolo(source: Source) -> list[str]:
    subsets = [subset for _, subset in source.case.items]
    first = next((s for s in subsets if s in ("default", "train")), subsets[0])
    images = [
        f"images/{'train' if s == 'default' else s}/{item_id}{source.suffix(item_id)}"
        for item_id, s in source.case.items
    ]
    more = f" and {len(images) - 5} more" if len(images) > 5 else ""
    return [
        f"There is no split 'val', which Ultralytics needs, so data.yaml names the images "
        f"of {first!r} for it, and validation scores will look too good. Name a subset with the "
        "option split, as in 'part2=val', or split the dataset first: datum transform -t "
        "random_split"
    ] * ("val" not in subsets) + [
        f"{counted(len(images), 'image')} not in OUT/x yet: {', '.join(images[:5])}{more}. "
        "Add them yourself, or export with save_media=True."
    ]


def unread(source: Source) -> list[str]:
    """Return what is said of a table without an item: `to_table` has no ``ignore_index``."""
    return [
        "the table: 1 item left out, unreadable when the table was made; the column 'error' says "
        "why."
    ] * (source.ignore_index is not None)


def known_to_table(source: Source) -> Content:
    return {} if source.ignore_index else source.known


RECOLORED = (
    "1 label had the colour of an earlier label, and got another (such as {!r}). To choose the "
    "colours, give a label map with the option label_map."
)
OF_LABELS = {
    "two-labels-of-one-colour": [RECOLORED.format("van")],
    "two-labels-of-one-colour-in-gray": [RECOLORED.format("van")],
    "label-as-black-as-the-background": [RECOLORED.format("night")],
    "label-as-black-and-background-kept": [RECOLORED.format("b")],
    "background-behind-a-label-as-black": [
        RECOLORED.format("background"),
        "the labels of the dataset: 'background' is the background by its name, but CVAT goes by "
        "the colour and takes 'a', which is black. To fix it: make the background black, "
        "also in the masks.",
    ],
    "background-by-name-beside-black": [
        "the labels of the dataset: 'background' is the background by its name, but CVAT goes by "
        "the colour and takes 'void', which is black. To fix it: make the background black, "
        "also in the masks."
    ],
}
"""What an export says of labels that masks in colour, or CVAT, cannot tell apart, by case."""


def extent(mask: str) -> tuple[int, int]:
    rows, columns = plane(mask).nonzero()
    return int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1


# What came


def content_of(source: SegmaskBase | Dataset) -> Content:
    names = [label.name for label in source.categories()[AnnotationType.label].items]
    return {
        (item.id, item.subset): sorted(
            (
                (None if a.label is None else names[a.label], a.group, picture(a.image))
                for a in item.annotations
            ),
            key=str,
        )
        for item in source
    }


def of_archive(path: Path, ignore_index: int | None = None) -> tuple[Content, list[str]]:
    """Return the content of an archive that was written, and its files."""
    files = names_in(path)
    assert sorted({*files}) == files, "a file is twice in the zip"
    return content_of(SegmaskBase(str(path), ignore_index=ignore_index)), files


def of_archives(paths: Iterable[Path], ignore_index: int | None = None) -> Content:
    found: Content = {}
    for path in paths:
        content, _ = of_archive(path, ignore_index)
        assert not found.keys() & content.keys()
        found |= content
    return found


def names_in(path: Path) -> list[str]:
    if path.is_file():
        with zipfile.ZipFile(path) as file:
            return sorted(file.namelist())
    return sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())


def of_table(table: MaskTable) -> Content:
    names = [label.name for label in table.label_map.labels]
    found = {}
    for entry, item in table:
        found[entry] = sorted(
            (
                (
                    None if i.label is None else names[i.label],
                    i.number,
                    picture(mask_utils.decode({"size": list(item.size or ()), "counts": i.counts})),
                )
                for i in item.instances
            ),
            key=str,
        )
    return found


def of_coco(files: Iterable[Path]) -> dict[str, list[tuple[str, str]]]:
    """Return the label and the pixels of each object, by the image without its suffix."""
    found: dict[str, list[tuple[str, str]]] = {}
    for file in files:
        coco = json.loads(file.read_text("utf-8"))
        names = {category["id"]: category["name"] for category in coco["categories"]}
        images = {image["id"]: image for image in coco["images"]}
        subset = re.sub(r"^instances_|-\d{6}$", "", file.stem)
        key = {
            i: normalize("NFC", f"{subset}/{image['file_name'].rpartition('.')[0]}")
            for i, image in images.items()
        }
        found |= {key[i]: [] for i in images}
        for a in coco["annotations"]:
            size = images[a["image_id"]]["height"], images[a["image_id"]]["width"]
            rle = mask_utils.merge(mask_utils.frPyObjects(a["segmentation"], *size))
            mask = picture(mask_utils.decode(rle))
            found[key[a["image_id"]]].append((names[a["category_id"]], mask))
            assert a["iscrowd"] == 0
    return {item: sorted(objects) for item, objects in found.items()}


def objects_of(content: Content) -> dict[str, list[tuple[str, str]]]:
    """Return what training code makes of it: an object for each label of an instance."""
    return {
        f"{subset}/{item_id}": sorted((label, m) for label, _, m in masks if label is not None)
        for (item_id, subset), masks in content.items()
    }


# Ways in

WAYS_IN: dict[str, Callable[[Good, Path], str]] = {
    "folder": lambda case, folder: str(as_folder(case.files, folder / "task")),
    "zip": lambda case, folder: str(as_zip(case.files, folder / "task")),
    "store": lambda case, folder: (
        put(f"memory://matrix/{folder.name}", {"task.zip": zipped(case.files, folder / "task")})
        + "/task.zip"
    ),
}


Way: TypeAlias = Iterator[list[str]]

# Ways out: each makes something of a source in a folder, yields what it has to say beside what is
# said of the archive itself, and then checks what came.


def shard_segmask(source: Source, out: Path) -> Way:
    run(make_plan(source.path, 1), ZipShards(), str(out), reading=Reading(source.ignore_index))
    yield []
    zips = sorted(out.glob("*.zip"))
    check(of_archives(zips, source.ignore_index), source.known)
    check([names_in(path) for path in zips], as_they_lie(source.case))
    check_shards(out, "shard-{:06}.zip", source)


def shard_parquet(source: Source, out: Path) -> Way:
    run(make_plan(source.path, 1), ParquetShards(), str(out), reading=Reading(source.ignore_index))
    yield []
    check(of_table(read_table(str(out))), source.known)
    check_shards(out, "part-{:06}.parquet", source)


def shard_coco(source: Source, out: Path) -> Way:
    run(make_plan(source.path, 1), CocoShards(), str(out), reading=Reading(source.ignore_index))
    yield []
    check_objects(of_coco(out.glob("instances_*.json")), source)


def table(source: Source, out: Path) -> Way:
    found = of_table(read_table(to_table(source.path)))
    yield unread(source)
    check(found, {} if source.ignore_index else source.known)
    check(names_in(out), [])


def table_to_archive(source: Source, out: Path) -> Way:
    read_table(to_table(source.path)).write_archive(str(out / "x"))
    yield unread(source) + not_of_cvat(for_cvat(source, known_to_table(source)))
    check_archive(out / "x", known_to_table(source))


def table_to_zip(source: Source, out: Path) -> Way:
    read_table(to_table(source.path)).write_archive(str(out / "x.zip"))
    yield unread(source) + for_cvat(source, known_to_table(source))
    check_archive(out / "x.zip", known_to_table(source))


def table_to_coco(source: Source, out: Path) -> Way:
    read_table(to_table(source.path)).write_coco(str(out / "x"))
    yield unread(source) + without_place(source, "instances")
    if not source.ignore_index:
        check_objects(of_coco((out / "x").rglob("*.json")), source)


def export_folder(source: Source, out: Path) -> Way:
    source.dataset().export(str(out / "x"), "segmask")
    yield not_of_cvat(said_of_export(source))
    check_archive(out / "x", renumbered(source.known))


def export_zip(source: Source, out: Path) -> Way:
    source.dataset().export(str(out / "x"), "segmask", zip=True)
    yield said_of_export(source)
    check(names_in(out / "x"), ["segmask.zip"])
    check_archive(out / "x" / "segmask.zip", renumbered(source.known))


def export_shards(source: Source, out: Path) -> Way:
    source.dataset().export(str(out / "x"), "segmask", shard_items=1)
    yield said_of_export(source)
    zips = sorted((out / "x").iterdir())
    check([p.name for p in zips], [f"segmask-{n:06}.zip" for n in range(len(source.case.items))])
    check(of_archives(zips), renumbered(source.known))


def export_coco(source: Source, out: Path) -> Way:
    source.dataset().export(str(out / "x"), "coco_segments")
    yield source.of_items + without_place(source, "annotations")
    check_objects(of_coco((out / "x").rglob("*.json")), source)


def export_yolo(source: Source, out: Path) -> Way:
    source.dataset().export(str(out / "x"), "yolo_segments")
    left_out = without_place(source, "annotations")
    yield source.of_items + said_of_yolo(source) + [t for t in left_out if "neither image" not in t]
    check_yolo(out / "x", source)


def export_semantic(source: Source, out: Path) -> Way:
    if len(source.labels) > 255:
        with pytest.raises(DatasetExportError, match="labels"):  # as a mask has 8 bits
            source.dataset().export(str(out / "x"), "semantic_masks")
        yield source.of_items
        return
    source.dataset().export(str(out / "x"), "semantic_masks")
    bare = sum(label is None for masks in source.known.values() for label, _, _ in masks)
    unsized = len(source.case.items) - len(source.sized)
    left_out = {
        "instances without a label, which training cannot use": bare,
        "items with neither image nor masks, whose size is unknown": unsized,
    }
    places = [f"images/{split_of(s)}/{i}{source.suffix(i)}" for i, s in source.sized]
    more = f" and {len(places) - 5} more" if len(places) > 5 else ""
    missing = f"{counted(len(places), 'image')} not in OUT/x yet: {', '.join(places[:5])}{more}. "
    yield [
        *(OF_LABELS.get(source.name, []) + source.of_items),
        *[f"{missing}Add them yourself, or export with save_media=True."] * bool(places),
        *(f"Left out of the export: {numbered(n, what)}." for what, n in left_out.items() if n),
    ]
    check_semantic(out / "x", source)


def split_of(subset: str) -> str:
    return {"default": "train", "train_v2": "train"}.get(subset, subset)


def save(source: Source, out: Path) -> Way:
    """In place, on a copy: with nothing changed, nothing changes."""
    path = out / Path(source.path).name
    is_folder = Path(source.path).is_dir()
    (shutil.copytree if is_folder else shutil.copy)(source.path, path)
    before = content_in(path)
    dataset = Dataset.import_from(str(path), "segmask", **source.case.options)
    dataset.save()
    yield OF_LABELS.get(source.name, []) + source.of_items
    after = content_in(path)
    has_lists = any("ImageSets/" in name for name in before)
    lists = [] if has_lists else [f"{TOP[3]}default.txt"]
    check(sorted(after), sorted([*before, *lists]))
    # Labels of one colour get a colour each, and so all masks are drawn anew.
    may_change = TOP[:2] + TOP[4:] if source.name in OF_LABELS else (f"{TOP[3]}",)
    check([n for n in before if before[n] != after[n] and not n.startswith(may_change)], [])
    kept = {key: sorted(masks, key=str) for key, masks in source.case.items.items()}
    check(content_of(SegmaskBase(str(path), **source.case.options)), kept)


def dataset_to_table(source: Source, out: Path) -> Way:
    found = of_table(read_table(to_table(source.dataset())))
    yield OF_LABELS.get(source.name, []) + source.of_items
    check(found, renumbered(source.known))


def items_to_archive(source: Source, out: Path) -> Way:
    dataset = source.dataset()
    write_archive(out / "x", source.labels, dataset)
    yield not_of_cvat(said_of_names(source, source.known))
    check_archive(out / "x", renumbered(source.known))


def predictions_to_zip(source: Source, out: Path) -> Way:
    """As a model gives them: planes of classes and of instance numbers."""
    dataset = source.dataset()
    items = [
        from_arrays(item.id, *to_arrays(item), subset=item.subset)
        for item in dataset
        if item.media is not None
    ]
    write_archive(out / "x.zip", source.labels, items)
    sized = {key: [m for m in source.known[key] if m[0]] for key in source.sized}
    yield said_of_names(source, sized)
    check_archive(out / "x.zip", renumbered(sized))


WAYS_OUT: dict[str, Callable[[Source, Path], Way]] = {
    "shard-segmask": shard_segmask,
    "shard-parquet": shard_parquet,
    "shard-coco": shard_coco,
    "table": table,
    "table-archive": table_to_archive,
    "table-zip": table_to_zip,
    "table-coco": table_to_coco,
    "export": export_folder,
    "export-zip": export_zip,
    "export-shards": export_shards,
    "export-coco": export_coco,
    "export-yolo": export_yolo,
    "export-semantic": export_semantic,
    "save": save,
    "dataset-table": dataset_to_table,
    "items-archive": items_to_archive,
    "predictions-zip": predictions_to_zip,
}


def check(found: Any, expected: Any) -> None:
    if found != expected:
        raise AssertionError(f"{found!r}, and not {expected!r}")


def check_archive(path: Path, expected: Content) -> None:
    content, files = of_archive(path)
    check(content, expected)
    check(files, files_of(expected))


def check_yolo(out: Path, source: Source) -> None:
    """A line paints a mask of one part exactly, and covers one of several."""
    lines = (out / "data.yaml").read_text("utf-8").splitlines()
    names = [line.partition(": ")[2].strip('"') for line in lines if line.startswith("  ")]
    expected = objects_of(source.known)
    files = [".segmask-files.yolo_segments", "data.yaml"]
    for key, objects in expected.items():
        subset, _, item_id = key.partition("/")
        split = "train" if subset == "default" else subset
        files.append(f"labels/{split}/{item_id}.txt")
        texts = (out / files[-1]).read_text("utf-8").splitlines()
        pixels = [plane(mask) for _, mask in objects]
        found = sorted((json.loads(f'"{names[int(t.split()[0])]}"'), t) for t in texts)
        assert [name for name, _ in found] == [label for label, _ in objects]
        for label in {label for label, _ in objects}:
            left = [mask for (name, _), mask in zip(objects, pixels, strict=True) if name == label]
            for _, text in (pair for pair in found if pair[0] == label):
                painted = paint_yolo(text, Size(*left[0].shape))
                fits = [
                    (painted == mask).all() if parts_of(mask) == 1 else (painted >= mask).all()
                    for mask in left
                ]
                left.pop(fits.index(True))
    check(names_in(out), sorted(files))


def check_semantic(out: Path, source: Source) -> None:
    """Class 0 is the background, the labels follow, 255 is what has none or is VOC's void."""
    archive = SegmaskBase(source.path, **source.case.options)
    names = [label.name for label in archive.categories()[AnnotationType.label].items]
    ground = open_archive(source.path).label_map.background
    own = [n for i, n in enumerate(names) if i != ground and n != "ignored"]
    value_of = {**{name: i for i, name in enumerate(own, 1)}, None: 255, "ignored": 255}
    about = json.loads((out / "id2label.json").read_text())
    check([*about.values()], ["background", *own])
    masks, expected = {}, {}
    for item_id, subset in source.sized:
        name = f"masks/{split_of(subset)}/{item_id}.png"
        mask = cv2.imread(str(out / name), cv2.IMREAD_UNCHANGED)
        assert mask is not None
        masks[name] = mask.tolist()
        whole = np.zeros(mask.shape, int)
        for label, _, pixels in source.known[item_id, subset]:
            whole[plane(pixels) > 0] = value_of[label]
        expected[name] = whole.tolist()
    check(masks, expected)
    check(names_in(out), sorted([*masks, ".segmask-files.semantic_masks", "id2label.json"]))


def check_shards(out: Path, name: str, source: Source) -> None:
    shards = [name.format(number) for number in range(len(source.case.items))]
    check(names_in(out), sorted(["_segmask.json", *shards]))


def check_objects(found: dict[str, list[tuple[str, str]]], source: Source) -> None:
    check(found, objects_of({key: source.known[key] for key in source.sized}))


def content_in(path: Path) -> dict[str, bytes]:
    if path.is_file():
        with zipfile.ZipFile(path) as file:
            return {name: file.read(name) for name in file.namelist()}
    return {name: (path / name).read_bytes() for name in names_in(path)}


def said_of_export(source: Source) -> list[str]:
    of_masks = for_cvat(source, renumbered(source.known))
    return OF_LABELS.get(source.name, []) + source.of_items + of_masks


def not_of_cvat(lines: list[str]) -> list[str]:
    """Return what is said of a folder, which nobody uploads as it is."""
    return [line for line in lines if not line.startswith("CVAT will not read")]


def said_of_names(source: Source, content: Content) -> list[str]:
    """Return what is said where the names of the labels are all that is known of them."""
    labels = len(source.labels) + ("background" not in map(str.lower, source.labels))
    return source.of_items + for_cvat(source, renumbered(content), labels)


def suffix_of(media: Any) -> str:
    return getattr(media, "ext", "") or Path(getattr(media, "path", None) or "").suffix


class Lines(logging.Handler):
    """Collects what is logged, with ``places`` by their short names."""

    def __init__(self, places: Mapping[str, str]) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._places = places

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        for place, short in self._places.items():
            line = line.replace(place, short)
        self.lines.append(line)

    def __enter__(self) -> Lines:
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self)


@pytest.fixture(scope="module")
def sources(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Source]:
    folder, found = tmp_path_factory.mktemp(request.param), {}
    for number, (name, case) in enumerate(GOOD.items()):
        path = WAYS_IN[request.param](case, folder / str(number))
        with Lines({path: "IN"}) as log:
            archive = SegmaskBase(path, **case.options)
        with Lines({path: "IN"}) as of_items:
            items = [*archive]
        assert len(items) == len(case.items)
        suffixes = {item.id: suffix_of(item.media) for item in items}
        sized = [(item.id, item.subset) for item in items if item.media is not None]
        labels = [label.name for label in archive.categories()[AnnotationType.label].items]
        found[name] = Source(
            request.param, name, case, path, labels, log.lines, of_items.lines, sized, suffixes
        )
    return found


OF_STORES = ("shard-segmask", "shard-parquet", "shard-coco", "table", "export-zip", "export-coco")
NOT_AGAIN = (
    *("table-zip", "table-coco", "export-shards", "export-yolo", "export-semantic"),
    "items-archive",
)
WAYS = [
    (way_in, way_out)
    for way_in in WAYS_IN
    for way_out in WAYS_OUT
    if (way_in != "store" or way_out in OF_STORES) and (way_in != "zip" or way_out not in NOT_AGAIN)
]
"""All from a folder. What comes of a table, or of a dataset in memory, is not tried three times."""


def some(sources: dict[str, Source], way_out: str) -> dict[str, Source]:
    """Return every second archive that is no folder, and to the next way out the others."""
    if next(iter(sources.values())).way_in == "folder" or os.environ.get("FAULTS"):
        return sources
    return dict(islice(sources.items(), [*WAYS_OUT].index(way_out) % 2, None, 2))


@pytest.mark.parametrize(("sources", "way_out"), WAYS, indirect=["sources"])
def test_every_way(
    sources: dict[str, Source],
    way_out: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    faults = {}
    for number, (name, source) in enumerate(some(sources, way_out).items()):
        out = tmp_path / str(number)
        copy = str(out / Path(source.path).name)
        out.mkdir()
        try:
            way = WAYS_OUT[way_out](source, out)
            with Lines({source.path: "IN", copy: "IN", str(out): "OUT"}) as log:
                (said,) = islice(way, 1)
            check(log.lines, source.lines + said)
            assert not list(way)
        except Exception as error:
            faults[name] = f"{type(error).__name__}: {error}"
    assert capsys.readouterr() == ("", "")
    assert not faults, "\n".join(f"{name}: {fault}" for name, fault in faults.items())
