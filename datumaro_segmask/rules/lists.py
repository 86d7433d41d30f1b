"""Rules of the subset lists, and of the ids in them (docs/format.md, sections 1 and 7)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from itertools import combinations

from ..archive import BACKGROUND, has_masks, text_of
from ..errors import counted
from ..storage import layout
from .example import BLOCK, archive, rgb
from .facts import ArchiveFacts, is_skipped
from .rule import ARCHIVE, ERROR, NOTE, WARNING, Finding, Met, Rule, rule
from .voc_xml import RefusedError, boxes_in

_MARK = "\ufeff"
_BOXES = "Annotations"
_MAX_XML_BYTES = 1 << 24
_PARTS_OF_VOC = ("head", "hand", "foot")
_TAG = re.compile(r"(.+?)\s+(-1|0|1)")
_CAR = rgb(BLOCK)
_CARS = {"a": _CAR, "b": _CAR}
_BOX = (
    "<bndbox><xmin>3</xmin><ymin>0</ymin><xmax>9</xmax><ymax>6</ymax></bndbox></object>"
    "</annotation>"
)

SUBSET_LIST = Rule(
    "subset-list", "a subset list breaks a rule", ERROR, ERROR, 1,
    "A list under ImageSets/Segmentation has the id of one item on each line, in UTF-8. An id is a "
    "relative path without a suffix.",
    lambda: archive(lists={"default": "a\n../b\n"}),
)  # fmt: skip

LIST_LINE = Rule(
    "list-line", "lines of lists that are not ids", ERROR, ERROR, 1,
    "A line has a path, columns or quotes around the id of an item. Write only the id.",
    lambda: archive(lists={"default": "JPEGImages/a.jpg SegmentationClass/a.png\n"}),
)  # fmt: skip


@rule(
    ARCHIVE, "no-list", "files among the lists that are not lists", WARNING, ERROR, 1,
    lambda: archive(others={"ImageSets/Segmentation/classes.txt": "car\nroad\n"}), is_logged=True,
)  # fmt: skip
def no_list(facts: ArchiveFacts) -> Iterator[Finding]:
    """A table of classes among the lists is ignored. CVAT reads the lines of a .txt file as items,
    and refuses the archive if no frame has such a name."""
    for file, why in facts.archive.passed_lists:
        if why is not None:
            what = f"this is not a list of items, because {why}, so it is ignored"
            yield Met(file, what, "move it out of the folder of the lists")


@rule(
    ARCHIVE, "list-name", "lists with a wrong file name", WARNING, WARNING, 1,
    lambda: archive(others={"ImageSets/Segmentation/val.csv": "a\n"}), is_logged=True,
)  # fmt: skip
def list_name(facts: ArchiveFacts) -> Iterator[Finding]:
    """A list is a .txt file directly in ImageSets/Segmentation. Files with another suffix, or in a
    sub-folder, are ignored, also by CVAT."""
    for file, why in facts.archive.passed_lists:
        if why is None:
            subset = layout.split_suffix(file.rpartition("/")[2])[0]
            what = f"lists are {layout.LIST_SUFFIX} files in {layout.SUBSETS}, "
            fix = f"if it is one, call it {layout.subset_list(subset)}"
            yield Met(file, f"{what}so this one is ignored", fix)


@rule(
    ARCHIVE, "subset-name", "subsets that are skipped because of their name", None, WARNING, 1,
    lambda: archive(lists={"train": "a\n", "val_2": "a\n"}),
)  # fmt: skip
def subset_name(facts: ArchiveFacts) -> Iterator[Finding]:
    """CVAT and Datumaro's VOC plugin skip a list with `_` in its name, or with a dot at its
    beginning. Its items are left out."""
    if not all(map(is_skipped, facts.own_lists)):
        yield from _skipped(facts)


@rule(
    ARCHIVE, "subset-names", "all subsets are skipped because of their names", None, ERROR, 1,
    lambda: archive(lists={"val_2": "a\n"}),
)  # fmt: skip
def subset_names(facts: ArchiveFacts) -> Iterator[Finding]:
    """CVAT skips lists with `_` in their names, or with a dot at the beginning. If there is no
    other list, it finds no dataset, and refuses the archive."""
    if all(map(is_skipped, facts.own_lists)) and not facts.other_lists:
        yield from _skipped(facts)


def _skipped(facts: ArchiveFacts) -> Iterator[Finding]:
    for name in filter(is_skipped, facts.own_lists):
        why = "has a '_'" if "_" in name else "begins with a dot"
        what = f"CVAT and Datumaro's VOC plugin skip the subset {name!r}: its name {why}"
        plain = name.replace("_", "-").lstrip(".") or "list"
        fix = f"call the list {layout.subset_list(plain)}"
        yield Met(layout.subset_list(name), what, fix, subset=name)


@rule(
    ARCHIVE, "cvat-list-line", "CVAT finds no item for a line of a list", None, ERROR, 1,
    lambda: archive(lists={"default": "a.jpg\n"}),
)  # fmt: skip
def cvat_list_line(facts: ArchiveFacts) -> Iterator[Finding]:
    """CVAT reads the whole line as the id. With a suffix, with `./`, or with a byte-order
    mark at the beginning of the file, no frame has that name, and it refuses the archive."""
    for place, number, line, item_id in _lines(facts):
        if number == 1 and line.startswith(_MARK):
            what = "CVAT reads the byte-order mark at the beginning as part of the id"
            yield Met(place, what, "save the file as UTF-8 without a byte-order mark")
        if "\\" not in item_id and (item_id.startswith("./") or _is_file(facts, item_id)):
            what = f"CVAT reads {item_id!r} as the id, and finds no such item"
            bare = item_id.removeprefix("./")
            bare = layout.split_suffix(bare)[0] if _is_file(facts, bare) else bare
            yield Met(place, what, f"write only the id, {bare!r}")


@rule(
    ARCHIVE, "list-backslash", "lines with backslashes are items without masks", None, WARNING, 1,
    lambda: archive({"s/a": _CAR}, {"s/a": _CAR}, lists={"default": "s\\a\n"}),
)  # fmt: skip
def list_backslash(facts: ArchiveFacts) -> Iterator[Finding]:
    """CVAT looks for a mask whose name has the backslash, finds none, and imports no object."""
    for place, _, _, item_id in _lines(facts):
        if "\\" in item_id:
            what = f"CVAT looks for a mask of the name {item_id!r}, and finds none"
            slashed = item_id.replace("\\", "/")
            yield Met(place, what, f"write '/' between folders, {slashed!r}")


def _lines(facts: ArchiveFacts) -> Iterator[tuple[str, int, str, str]]:
    """Yield place, number, text and content of the lines of all lists, but for comments."""
    for subset in facts.subsets if facts.archive.has_lists else ():
        name = layout.subset_list(subset)
        for number, line in facts.lines_in(name):
            item_id = text_of(line, number)
            if item_id and not item_id.startswith("#"):
                yield f"{name}:{number}", number, line, item_id


def _is_file(facts: ArchiveFacts, item_id: str) -> bool:
    is_file = layout.split_suffix(item_id)[1].lower() in layout.IMAGE_SUFFIXES
    return is_file and not has_masks(facts.storage, item_id)


@rule(
    ARCHIVE, "hash-id", "ids that CVAT reads as comments", None, WARNING, 1,
    lambda: archive({"#1": _CAR, "a": _CAR}, {"#1": _CAR, "a": _CAR}),
)  # fmt: skip
def hash_id(facts: ArchiveFacts) -> Iterator[Finding]:
    """CVAT reads a line that begins with `#` as a comment, and leaves the item out."""
    for subset, ids in facts.subsets.items():
        for item_id in ids:
            if item_id.startswith("#"):
                what = f"CVAT reads the id {item_id!r} as a comment, and leaves the item out"
                fix = "rename the item"
                yield Met(layout.subset_list(subset), what, fix, item_id, subset)


@rule(
    ARCHIVE, "same-id", "items of several subsets", None, WARNING, 1,
    lambda: archive(lists={"train": "a\n", "val": "a\n"}),
)  # fmt: skip
def same_id(facts: ArchiveFacts) -> Iterator[Finding]:
    """A task gets the objects of an item once for each list that names it."""
    seen: dict[str, str] = {}
    for subset, ids in facts.subsets.items() if len(facts.subsets) > 1 else ():
        for item_id in ids:
            if seen.setdefault(item_id, subset) != subset:
                what = f"the item is also in the list of {seen[item_id]!r}, so a task gets its "
                file, fix = layout.subset_list(subset), "leave it in one list"
                yield Met(file, f"{what}objects twice", fix, item_id, subset)


@rule(
    ARCHIVE, "overwritten", "items of one name in several subsets", WARNING, None, 1,
    lambda: archive(_CARS, _CARS, lists={"train": "a\nb\n", "val": "a\n"}), is_logged=True,
)  # fmt: skip
def overwritten(facts: ArchiveFacts) -> Iterator[Finding]:
    """CVAT exports a project into one archive. If two of its tasks have a frame of the same name,
    as all videos have, the masks of one overwrite those of the other, and both subsets get what is
    left. A list that joins others, such as `trainval`, is not reported."""
    subsets = {name: ids for name, ids in facts.subsets.items() if len(ids)}
    if len(subsets) < 2:
        return
    own = {name: ids for name, ids in subsets.items() if not _joins(name, subsets)}
    several: set[str] = set()
    where: tuple[str, str] | None = None
    for one, other in combinations(own, 2):
        both = {i for i in _in_both(own[one], own[other]) if has_masks(facts.storage, i)}
        where = where or ((one, other) if both else None)
        several |= both
    if where is not None:
        first = min(several)
        what = f"{counted(len(several), 'item')} such as {first!r} "
        what += ("is" if len(several) == 1 else "are") + " in several subsets "
        what += f"({where[0]!r} and {where[1]!r}); in a project's export of CVAT one has "
        what += "overwritten the other"
        fix = "if this is one, export its tasks one by one"
        yield Met(layout.subset_list(where[1]), what, fix)


def _in_both(one: Collection[str], other: Collection[str]) -> set[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() & other.keys()
    small, large = sorted((one, other), key=len)
    return {item_id for item_id in small if item_id in large}


def _joins(name: str, subsets: dict[str, Collection[str]]) -> bool:
    """Return whether a list joins others: by its name, or as it has just the ids of several."""
    words = name.lower()
    if words == "all" or sum(other.lower() in words for other in subsets if other != name) > 1:
        return True
    if "trainval" in words.replace("_", "").replace("-", ""):
        return True
    ids = subsets[name]
    parts = [
        other
        for key, other in subsets.items()
        if key != name and len(other) < len(ids) and all(item_id in ids for item_id in other)
    ]
    return len(parts) > 1 and sum(map(len, parts)) == len(ids)


@rule(
    ARCHIVE, "numeric-ids", "ids that CVAT may read as frame numbers", None, NOTE, 1,
    lambda: archive({"1": _CAR}, {"1": _CAR}),
)  # fmt: skip
def numeric_ids(facts: ArchiveFacts) -> Iterator[Finding]:
    """If no frame of the task has the name, CVAT reads an id of digits as the number of a frame."""
    numbers = [
        (item_id, subset)
        for subset, ids in facts.subsets.items()
        for item_id in ids
        if item_id.isascii() and item_id.isdigit()
    ]
    if numbers:
        item_id, subset = numbers[0]
        what = f"{counted(len(numbers), 'id')} such as {item_id!r} can be read as frame "
        what += "numbers, if the task has no frame of that name"
        yield Met(layout.subset_list(subset), what, "make sure that the frames have these names")


@rule(
    ARCHIVE, "voc-lists", "lists of VOC that make CVAT refuse the archive", None, ERROR, 1,
    lambda: archive(others={"ImageSets/Action/default.txt": "a 1\n"}),
)  # fmt: skip
def voc_lists(facts: ArchiveFacts) -> Iterator[Finding]:
    """CVAT also reads the lists of VOC's other tasks: ImageSets/Main, Layout and Action. It refuses
    the archive if a line of them is not an item of the task, or if it cannot read the XML file of
    an item in them: a label that the label map does not have, an incomplete box, or something that
    is not a number. It also refuses a line of Main/LABEL_SUBSET.txt that is not an id and -1, 0 or
    1."""
    for of in facts.other_lists:
        for number, item_id in of.ids:
            if not (facts.archive.has_lists and facts.archive.lists(item_id)) and not has_masks(
                facts.storage, item_id
            ):
                what = f"CVAT reads {item_id!r} as an item, and may find no frame of that name"
                yield Met(f"{of.place}:{number}", what, _take_out(facts))
                break
    for place, tasks in _boxes(facts).items():
        try:
            _shapes_in(facts, place, tasks)
        except RefusedError as refused:
            yield Met(place, str(refused), _take_out(facts))
    for name, place, ids in _tag_files(facts):
        if name == BACKGROUND and _is_tagging(facts, place, ids):
            what = f"this file tags items {name!r}, which is not a label of a task"
            yield Met(place, what, _take_out(facts))
        for number, line in facts.lines_in(place):
            text = line.strip()
            if text and not text.startswith("#") and not _TAG.fullmatch(text):
                what = f"CVAT wants an id and -1, 0 or 1 in each line, and this is {text!r}"
                yield Met(f"{place}:{number}", what, _take_out(facts))
                break


@rule(
    ARCHIVE, "voc-boxes", "boxes, parts and tags that CVAT imports, too", None, WARNING, 1,
    lambda: archive(
        others={
            "ImageSets/Main/default.txt": "a\n",
            "Annotations/a.xml": f"<annotation><object><name>car</name>{_BOX}",
        }
    ),
)  # fmt: skip
def voc_boxes(facts: ArchiveFacts) -> Iterator[Finding]:
    """CVAT also imports what VOC's other lists name: the boxes of XML files, of whole objects
    (Main, and Action if the label has actions) and of objects with parts (Layout), and a tag
    for each line with a 1 in Main/LABEL_SUBSET.txt."""
    for place, tasks in _boxes(facts).items():
        with suppress(RefusedError):
            if _shapes_in(facts, place, tasks):
                yield Met(place, f"CVAT also imports the boxes of {_BOXES}", _take_out(facts))
                break
    for _, place, ids in _tag_files(facts):
        if _is_tagging(facts, place, ids):
            yield Met(place, "CVAT also imports the tags of this file", _take_out(facts))


def _tag_files(facts: ArchiveFacts) -> Iterator[tuple[str, str, set[str]]]:
    """Yield label and place of the files that tag items of ``Main``, and the ids of their list."""
    for of in facts.other_lists:
        for name in _known_names(facts) if of.task == "Main" else ():
            place = f"ImageSets/Main/{name}_{of.subset}{layout.LIST_SUFFIX}"
            if facts.storage.exists(place):
                yield name, place, {item_id for _, item_id in of.ids}


def _is_tagging(facts: ArchiveFacts, place: str, ids: Collection[str]) -> bool:
    found = (_TAG.fullmatch(line.strip()) for _, line in facts.lines_in(place))
    return any(line is not None and line[2] == "1" and line[1] in ids for line in found)


def _take_out(facts: ArchiveFacts) -> str:
    folders = [f"ImageSets/{task}" for task in dict.fromkeys(of.task for of in facts.other_lists)]
    if next(facts.storage.files(_BOXES), None):
        folders.append(_BOXES)
    return f"remove {', '.join(folders)} from the archive"


def _boxes(facts: ArchiveFacts) -> dict[str, set[str]]:
    """Return the XML files of items in VOC's other lists, with the folders of these lists."""
    found: dict[str, set[str]] = {}
    for of in facts.other_lists:
        for _, item_id in of.ids:
            place = f"{_BOXES}/{item_id}.xml"
            if place in found or facts.storage.exists(place):
                found.setdefault(place, set()).add(of.task)
    return found


def _known_names(facts: ArchiveFacts) -> list[str]:
    """Return all that CVAT makes labels of."""
    names = [name for label in facts.label_map.labels for name in (label.name, *label.parts)]
    return names if facts.storage.exists(layout.LABEL_MAP) else [*names, *_PARTS_OF_VOC]


def _shapes_in(facts: ArchiveFacts, place: str, tasks: Collection[str]) -> int:
    """Return how many boxes CVAT makes of an XML file. Raises RefusedError."""
    has_actions = {label.name: bool(label.actions) for label in facts.label_map.labels}
    data = facts.storage.read(place, _MAX_XML_BYTES)
    return boxes_in(data, tasks, {*_known_names(facts)}, has_actions)


@rule(
    ARCHIVE, "main-lists", "CVAT imports no masks", None, WARNING, 1,
    lambda: archive(lists={}, others={"ImageSets/Main/default.txt": "a\n"}),
)  # fmt: skip
def main_lists(facts: ArchiveFacts) -> Iterator[Finding]:
    """CVAT imports masks only by the lists of ImageSets/Segmentation. It takes an archive that has
    only other lists, and imports no masks."""
    others = [f"ImageSets/{task}" for task in dict.fromkeys(o.task for o in facts.other_lists)]
    if others and all(map(is_skipped, facts.own_lists)):
        what = f"CVAT reads only the lists of {' and '.join(others)}, and imports no masks"
        yield Met(others[0], what, f"copy the lists to {layout.SUBSETS}")


@rule(
    ARCHIVE, "no-lists", "there are no subset lists", WARNING, ERROR, 1,
    lambda: archive(lists={}), is_logged=True,
)  # fmt: skip
def no_lists(facts: ArchiveFacts) -> Iterator[Finding]:
    """The lists say which items there are, and which subsets they belong to. Without lists, all
    masks are items of one subset. CVAT refuses such an archive."""
    if facts.archive.has_lists or (facts.for_cvat and facts.other_lists):
        return
    subset = layout.DEFAULT_SUBSET
    count = sum(map(len, facts.subsets.values()))
    what = f"there are no subset lists, so the subset {subset!r} gets {counted(count, 'item')} "
    what += "with masks"
    fix = f"write their ids, one per line, into {layout.subset_list(subset)}"
    yield Met(layout.SUBSETS, what, fix)
