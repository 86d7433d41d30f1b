"""YOLO segments, as Ultralytics and its users have them: datasets, folders, predictions.

What a data file, a list and a label line mean, and how a ring is painted, is decided as Ultralytics
8.4 does (``data/utils.py``, ``data/base.py``). Source: docs/predictions.md.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from ..arrays import Size
from ..errors import SourceError, counted
from ..regions import Instance
from ..regions.rle import join, runs_of_pixels
from ..storage import layout, open_plain, to_unpack
from ..training import unite
from .data_file import DATA_FILE, IMAGES
from .yolo import LABELS, label_place

PICTURE_SUFFIXES = {
    *layout.IMAGE_SUFFIXES, ".avif", ".dng", ".heic", ".heif", ".mpo",
}  # fmt: skip
"""Those of Ultralytics, and those that an export of ours may write."""

SPLITS = ("train", "val", "test", "minival")
"""The keys of a data file that name pictures, in the order of the subsets."""

TOLERANCE = 0.01
"""How far coordinates may lie outside of 0 to 1."""

_YAML = (".yaml", ".yml")
_NAME_LISTS = ("classes.txt", "obj.names", "classes.names")
_WITHOUT_PICTURES = (
    "for predictions with a confidence at the end of each line, give their folder of labels, with "
    "images=FOLDER"
)
_OF_TWO_RUNS = (
    "if some lines have a confidence and others have none, two runs wrote them, as Ultralytics "
    "appends to what is there: predict again into a new folder"
)
_BOX, _FEWEST = 4, 6  # numbers of a box, and of the smallest ring
_SHOWN = 3  # files that are named in a note
_PROBED_FILES, _PROBED_LINES = 1000, 1000  # of label files, to tell whether they have segments


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture and its label file (None: it has none, and so no objects).

    ``where`` is what names the picture: its own path, or the line of a list.
    """

    path: str
    labels: str | None
    where: str


@dataclass(frozen=True, slots=True)
class YoloDataset:
    """Pictures by subset and item id, and the names of the classes.

    ``may_be_scored``: whether lines may end with a confidence, as those of predictions do.
    ``notes`` say what was ignored.
    """

    names: tuple[str, ...]
    subsets: Mapping[str, Mapping[str, Picture]]
    may_be_scored: bool
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class YoloObject:
    """One line: a class, and either pixels or a box (x, y, width, height in pixels)."""

    label: int
    instance: Instance | None
    box: tuple[float, float, float, float] | None
    score: float | None


@dataclass(frozen=True, slots=True)
class YoloLabels:
    """The objects of a picture in the order of its lines, and how many lines are none.

    ``repeated``: lines that say the same as one before. ``empty``: rings that cover no pixel.
    """

    objects: tuple[YoloObject, ...] = ()
    repeated: int = 0
    empty: int = 0


# Data sets


def open_yolo(path: str, images: str = "", names: str = "") -> YoloDataset:
    """List the pictures of a dataset or of predictions, with their label files.

    ``path``: a data file, the folder that has one, a folder of pictures and labels, or one of
    predicted labels. ``images``: the folder of the pictures that ``path`` has labels for.
    ``names``: a data file, or a text with one name per line. Raises SourceError.
    """
    root, data_file = _root_of(path)
    data = _load_data(data_file) if data_file else {}
    if images:
        found = _predicted(_labels_folder(root), images)
    elif any(data.get(split) for split in SPLITS):
        found = _declared(root, data, data_file)
    else:
        found = _undeclared(root)
    label_files = [
        picture.labels for pictures in found.subsets.values() for picture in pictures.values()
        if picture.labels
    ]  # fmt: skip
    if not label_files:
        raise _no_labels(found, root, _labels_folder(root) if images else None)
    found = replace(found, names=_names(names, data, data_file, root, label_files))
    orphans = _orphans(label_files)
    if not orphans:
        return found
    shown = ", ".join(orphans[:_SHOWN]) + (", …" if len(orphans) > _SHOWN else "")
    note = f"{counted(len(orphans), 'label file')} left out, because no image has the name: "
    return replace(found, notes=(*found.notes, note + shown))


def has_segments(root: str) -> bool:
    """Return whether a folder is a YOLO dataset, or predictions, with segments. Never raises.

    The first label files below it are looked at, until one has a line of a class and a ring. A data
    file with key points makes the lines poses.
    """
    try:
        data_file = _data_file_in(root)
        if data_file and "kpt_shape" in _load_yaml(data_file):
            return False
        return any(map(_holds_segment, islice(_label_files(root), _PROBED_FILES)))
    except (SourceError, OSError, ValueError):
        return False


def _label_files(root: str) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        inner = os.path.relpath(folder, root).split(os.sep)
        folders[:] = sorted(folders) if len(inner) <= layout.MAX_DEPTH else []
        if LABELS in (os.path.basename(os.path.abspath(root)), *inner):
            yield from (os.path.join(folder, name) for name in sorted(files) if _is_text(name))


def _holds_segment(path: str) -> bool:
    with io.TextIOWrapper(open_plain(path), "utf-8-sig", "replace") as file:
        return any(_is_segment(line.split()) for line in islice(file, _PROBED_LINES))


def _is_segment(fields: Sequence[str]) -> bool:
    if len(fields) <= _FEWEST or not fields[0].isdecimal():
        return False
    try:
        points = [float(field) for field in fields[1:]]
    except ValueError:
        return False
    return all(-TOLERANCE <= point <= 1 + TOLERANCE for point in points)


def _root_of(path: str) -> tuple[str, str | None]:
    """Return the folder of a dataset, and its data file if it has one."""
    if os.path.isfile(path):
        if path.lower().endswith(_YAML):
            return os.path.dirname(os.path.abspath(path)), path
        raise SourceError("this is a file", path, "data.yaml, or a folder", to_unpack(path))
    root = os.path.abspath(path)
    for _ in range(layout.MAX_DEPTH):
        data_file = _data_file_in(root)
        if data_file:
            return root, data_file
        entries = [entry for entry in os.scandir(root) if not layout.is_litter(entry.name)]
        if len(entries) != 1 or not entries[0].is_dir() or entries[0].name in (LABELS, IMAGES):
            break
        root = entries[0].path
    return root, None


def _data_file_in(folder: str) -> str | None:
    """Return the data file of a folder: ``data.yaml``, or the one YAML file that names pictures."""
    usual = os.path.join(folder, DATA_FILE)
    if os.path.isfile(usual):
        return usual
    names = [name for name in sorted(os.listdir(folder)) if name.lower().endswith(_YAML)]
    files = [os.path.join(folder, name) for name in names if not layout.is_litter(name)]
    files = [file for file in files if any(split in _load_yaml(file) for split in SPLITS)]
    if len(files) > 1:
        raise SourceError(
            f"{len(files)} files name images: {', '.join(map(os.path.basename, files))}",
            folder,
            "one data file",
            f"give the path of one of them, such as {files[0]!r}",
        )
    return files[0] if files else None


def _load_data(path: str) -> dict[str, Any]:
    data = _load_yaml(path)
    if not data:
        raise SourceError(
            "this is not a mapping", path, "keys such as train, val and names", "correct the file"
        )
    if "kpt_shape" in data:
        raise SourceError(
            "the labels are poses: 'kpt_shape' stands in the file",
            path,
            "labels of segments",
            "leave 'kpt_shape' out if the labels are segments",
        )
    if "val" not in data and "validation" in data:
        data["val"] = data.pop("validation")
    return data


def _load_yaml(path: str) -> dict[str, Any]:
    """Return a mapping whose scalars are all texts, so that a class ``no`` is not false."""
    try:
        data = yaml.load(_text(path), Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else path
        what = getattr(error, "problem", None) or "it cannot be parsed"
        raise SourceError(f"this is not YAML: {what}", where, "YAML", "correct the file") from error
    return data if isinstance(data, dict) else {}


def _text(path: str) -> str:
    try:
        with io.TextIOWrapper(open_plain(path), "utf-8-sig") as file:
            return file.read()
    except OSError as error:
        what = error.strerror or type(error).__name__
        raise SourceError(f"the file cannot be read ({what})", path) from error
    except UnicodeDecodeError as error:
        raise SourceError(
            f"the byte {error.object[error.start]:#04x} at {error.start} is not UTF-8",
            path,
            "text in UTF-8",
            "save the file as UTF-8",
        ) from error


# Names


def _names(
    given: str, data: Mapping[str, Any], data_file: str | None, root: str, labels: Iterable[str]
) -> tuple[str, ...]:
    """Return the names of the classes: those given, of the data file, of a list beside, or made."""
    if given:
        if not given.lower().endswith(_YAML):
            return _unique([line.strip() for line in _text(given).splitlines()], given)
        data, data_file = _load_yaml(given), given
    if data_file and (data.get("names") or data.get("nc")):
        return _unique(_declared_names(data, data_file), data_file)
    folders = (root, _labels_folder(root), os.path.dirname(root))
    for place in (os.path.join(folder, name) for folder in folders for name in _NAME_LISTS):
        if os.path.isfile(place):
            return _unique([line.strip() for line in _text(place).splitlines()], place)
    if given:
        raise SourceError("there are no names in the file", given, "'names', a list or a mapping")
    return tuple(f"class_{number}" for number in range(1 + max(map(_highest_class, labels))))


def _declared_names(data: Mapping[str, Any], where: str) -> list[str]:
    names, count = data.get("names"), data.get("nc")
    if not names:
        if not str(count).isdecimal():
            raise SourceError(f"'nc' is {count!r}", where, "a number of classes")
        return [f"class_{number}" for number in range(int(str(count)))]
    if isinstance(names, dict):
        if {str(number) for number in range(len(names))} != {str(key) for key in names}:
            raise SourceError(
                f"the keys of 'names' are {', '.join(map(str, names))}",
                where,
                f"0 to {len(names) - 1}, for {counted(len(names), 'class')}",
                "number the names without a gap",
            )
        names = [names[str(number)] for number in range(len(names))]
    if not isinstance(names, list):
        raise SourceError(f"'names' is {names!r}", where, "a list or a mapping of names")
    if count and str(count).isdecimal() and int(str(count)) != len(names):
        raise SourceError(
            f"'nc' is {count}, and 'names' has {counted(len(names), 'name')}",
            where,
            "the same number",
            "correct one of them",
        )
    return [str(name) for name in names]


def _unique(names: Sequence[str], where: str) -> tuple[str, ...]:
    while names and not names[-1]:
        names = names[:-1]
    first: dict[str, int] = {}
    for number, name in enumerate(names):
        if not name or name in first:
            what = f"the classes {first[name]} and {number} are both {name!r}" if name else (
                f"the class {number} has no name"
            )  # fmt: skip
            raise SourceError(what, where, "a different name for each class", "rename one")
        first[name] = number
    return tuple(names)


def _highest_class(labels: str) -> int:
    firsts = (line.split()[0] for line in _text(labels).splitlines() if line.strip())
    return max((int(first) for first in firsts if first.isdecimal()), default=-1)


# Pictures


class _Subsets:
    """Pictures as they are found, by subset and id; a picture has one place."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Picture]] = {}
        self._seen: set[str] = set()
        self._texts: dict[str, set[str]] = {}
        self.elsewhere: dict[str, int] = {}
        self.same_id: list[str] = []

    def add(self, subset: str, item_id: str, path: str, labels: str, where: str = "") -> None:
        pictures = self.found.setdefault(subset, {})
        if path in self._seen:
            self.elsewhere[subset] = self.elsewhere.get(subset, 0) + 1
        elif item_id in pictures:
            self.same_id.append(path)
        else:
            self._seen.add(path)
            is_there = os.path.basename(labels) in self._texts_in(os.path.dirname(labels))
            pictures[item_id] = Picture(path, labels if is_there else None, where or path)

    def _texts_in(self, folder: str) -> set[str]:
        if folder not in self._texts:
            self._texts[folder] = set(_texts_in(folder))
        return self._texts[folder]

    def dataset(self, may_be_scored: bool, *notes: str) -> YoloDataset:
        said = [
            f"{counted(count, 'image')} of the split {subset!r} left out, because an earlier "
            "split has them"
            for subset, count in self.elsewhere.items()
        ]
        if self.same_id:
            said.append(
                f"{counted(len(self.same_id), 'image')} left out, because another one of the "
                f"same name has the same labels: {self.same_id[0]}"
            )
        found = {subset: pictures for subset, pictures in self.found.items() if pictures}
        return YoloDataset((), found, may_be_scored, (*notes, *said))


def _declared(root: str, data: Mapping[str, Any], data_file: str | None) -> YoloDataset:
    """Return the pictures that a data file names."""
    where = data_file or root
    bases, subsets, notes = _bases(root, data), _Subsets(), []
    for split in SPLITS:
        entries = data.get(split) or []
        if not isinstance(entries, (str, list)):
            raise SourceError(f"{split!r} is {entries!r}", where, "a path, or a list of paths")
        listed = []
        for entry in [entries] if isinstance(entries, str) else entries:
            place = _place(str(entry), bases)
            if place is None:
                notes.append(f"{where}: {split!r} names {entry!r}, which is not there")
            else:
                listed.append((place, [*_listed(place, bases)]))
                wanted = _parts(str(entry))
                if wanted and _parts(place)[-len(wanted) :] != wanted:
                    notes.append(f"{where}: {split!r} names {entry!r}; {place} is taken")
        base = _common_folder(listed)
        for picture, line in (pair for _, pairs in listed for pair in pairs):
            inner = _slashes(os.path.relpath(picture, base)).removeprefix(f"{IMAGES}/")
            item_id = layout.split_suffix(inner)[0]
            subsets.add(split, item_id, picture, labels_of(picture), line)
    if not any(subsets.found.values()):
        what = "; ".join(note.removeprefix(f"{where}: ") for note in notes)
        raise SourceError(
            what or "the folders that the file names have no images",
            where,
            "paths of folders with images, or of lists of images, relative to this file or "
            "to its 'path'",
            "correct the paths, or put the images there",
        )
    return subsets.dataset(False, *notes)


def _bases(root: str, data: Mapping[str, Any]) -> list[str]:
    """Return the folders that paths of a data file may be relative to, the first that counts first.

    Ultralytics takes ``path`` alone. But that is where the tree was once: of a tree that was moved
    or copied, what lies beside the data file is meant.
    """
    path = os.path.expanduser(str(data.get("path") or ""))
    if not path:
        return [root]
    if not os.path.isabs(path):
        above = os.path.dirname(root)
        return [os.path.normpath(os.path.join(base, path)) for base in (root, above)] + [
            root, os.path.abspath(path)
        ]  # fmt: skip
    is_inside = os.path.normpath(path).startswith(os.path.join(root, ""))
    return [path, root] if is_inside else [root, path]


def _place(entry: str, bases: Sequence[str]) -> str | None:
    """Return the path that an entry of a data file or of a list names, None if it is not there.

    Of a path of another machine, or with backslashes, what lies at its end below a base is meant.
    """
    forms = (entry, entry.removeprefix("../"), entry.removeprefix("data/"))  # the last is CVAT's
    for base in bases:
        for form in forms:
            place = os.path.normpath(os.path.join(base, form))
            if os.path.exists(place):
                return place
    parts = _parts(entry)
    ends = (parts[at:] for at in range(len(parts)) if parts[at:] != [IMAGES])
    places = (os.path.join(base, *end) for end in ends for base in bases)
    return next(filter(os.path.exists, places), None)


def _parts(path: str) -> list[str]:
    """Return the names in a path of any system, but for drives, ``.`` and ``..``."""
    return [name for name in re.split(r"[\\/]+", path) if name.strip(".") and name[-1] != ":"]


def _listed(place: str, bases: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the pictures of a folder or a list, and what names each."""
    if os.path.isdir(place):
        yield from ((picture, "") for picture in _pictures_in(place))
    elif _is_picture(place):
        yield place, ""
    else:
        for number, line in enumerate(_text(place).splitlines(), 1):
            if line.strip() and _is_picture(line.strip()):
                here = [os.path.dirname(place), *bases]
                picture = _place(line.strip(), here)
                yield picture or os.path.join(here[0], line.strip()), f"{place}:{number}"


def _common_folder(listed: Sequence[tuple[str, Sequence[tuple[str, str]]]]) -> str:
    """Return the folder that the ids of a split's pictures are relative to."""
    if len(listed) == 1 and os.path.isdir(listed[0][0]):
        return listed[0][0]
    folders = {os.path.dirname(picture) for _, pairs in listed for picture, _ in pairs}
    return os.path.commonpath(folders) if folders else ""


def _undeclared(root: str) -> YoloDataset:
    """Return the pictures of folders without a data file, those beside predictions among them."""
    top = os.path.dirname(root) if os.path.basename(root) == LABELS else root
    beside = os.path.join(top, LABELS)
    subsets, notes = _Subsets(), []
    places = [(path, _slashes(os.path.relpath(path, top)).split("/")) for path in _pictures_in(top)]
    # Folders below "images" are subsets if all pictures lie in such.
    are_splits = all(len(parts) > 2 for _, parts in places if parts[0] == IMAGES)
    for path, parts in places:
        *folders, name = parts
        if IMAGES in folders:
            at = len(folders) - 1 - folders[::-1].index(IMAGES)
            before, after = folders[:at], folders[at + 1 :]
            if before:
                subset, before = before[-1], before[:-1]
            elif are_splits:
                subset, after = after[0], after[1:]
            else:
                subset = layout.DEFAULT_SUBSET
            item_id, labels = "/".join([*before, *after, name]), labels_of(path)
        else:
            subset, item_id, labels = layout.DEFAULT_SUBSET, "/".join(parts), labels_of(path)
            if os.path.isdir(beside):
                labels = os.path.join(beside, *folders, f"{layout.split_suffix(name)[0]}.txt")
                notes = [
                    f"{top}: the images beside 'labels' are used, but Ultralytics has drawn on "
                    "them. Give images=FOLDER to use the originals"
                ]
        subsets.add(subset, layout.split_suffix(item_id)[0], path, labels)
    return subsets.dataset(True, *notes)


def _predicted(labels: str, images: str) -> YoloDataset:
    """Return the pictures of a folder, with labels by their names."""
    if not os.path.exists(images):
        raise SourceError("there is no such folder", images, "the folder of the images")
    base = os.path.dirname(images) if os.path.isfile(images) else images
    subsets = _Subsets()
    for path in [images] if os.path.isfile(images) else _pictures_in(images):
        item_id = layout.split_suffix(_slashes(os.path.relpath(path, base)))[0]
        text = os.path.join(labels, f"{item_id}.txt")
        if not os.path.isfile(text):  # predictions of a tree lie in one folder
            text = os.path.join(labels, os.path.basename(item_id) + ".txt")
        subsets.add(layout.DEFAULT_SUBSET, item_id, os.path.abspath(path), text)
    return subsets.dataset(True)


def _labels_folder(root: str) -> str:
    inner = os.path.join(root, LABELS)
    return inner if os.path.isdir(inner) else root


def _no_labels(found: YoloDataset, root: str, labels: str | None) -> SourceError:
    """Return the error of pictures without labels; ``labels`` is the folder where these lie."""
    pictures = [picture for some in found.subsets.values() for picture in some.values()]
    packed = [name for name in sorted(os.listdir(root)) if name.lower().endswith(".zip")]
    if not pictures and packed:
        return SourceError(
            f"there are no images, but {', '.join(packed[:_SHOWN])}",
            root,
            "data.yaml, or folders of images and labels",
            to_unpack(os.path.join(root, packed[0])),
        )
    if not pictures:
        return SourceError(
            "there are no images, and YOLO's labels need their sizes",
            root,
            "images beside the labels, as in images/a.jpg and labels/a.txt",
            "import with images=FOLDER, the folder of the images",
        )
    expected, what = labels_of(pictures[0].path), "none of "
    if labels is not None:
        stem = layout.split_suffix(os.path.basename(pictures[0].path))[0]
        expected = os.path.join(labels, f"{stem}.txt")
        there = ", ".join(_texts_in(labels)[:_SHOWN]) or "none"
        what = f"the label files there ({there}) have other names, and none of "
    what += f"{counted(len(pictures), 'image')} has a label file"
    return SourceError(what, root, f"labels such as {expected}", "check the path")


def _orphans(used: Sequence[str]) -> list[str]:
    """Return the label files in the folders of those that pictures have, which no picture has."""
    known = set(used)
    folders = sorted({os.path.dirname(path) for path in used})
    texts = (os.path.join(folder, name) for folder in folders for name in _texts_in(folder))
    return [text for text in texts if text not in known]


def labels_of(picture: str) -> str:
    """Return where Ultralytics looks for the labels of a picture."""
    place = _slashes(picture)
    if f"/{IMAGES}/" in place:
        return os.path.normpath(label_place(place))
    return layout.split_suffix(picture)[0] + ".txt"


def _pictures_in(root: str) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted(files):
            if _is_picture(name) and not layout.is_litter(name):
                yield os.path.join(folder, name)


def _texts_in(folder: str) -> list[str]:
    if not os.path.isdir(folder):
        return []
    return [name for name in sorted(os.listdir(folder)) if _is_text(name)]


def _is_text(name: str) -> bool:
    is_names = name in _NAME_LISTS
    return name.lower().endswith(".txt") and not is_names and not layout.is_litter(name)


def _is_picture(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES


def _slashes(path: str) -> str:
    return path.replace(os.sep, "/")


# Labels


def read_labels(
    path: str, size: Size, classes: int, may_be_scored: bool, report: Callable[[SourceError], None]
) -> YoloLabels:
    """Read a label file of a picture of this size, with that many classes.

    A line that is broken goes to ``report`` and, if that returns, is left out. Raises SourceError
    for a file that cannot be read.
    """
    lines = {
        number: fields
        for number, line in enumerate(_text(path).splitlines(), 1)
        if (fields := line.split())
    }
    # A confidence makes the count of numbers odd, and stands in every line or in none.
    scored = [may_be_scored and len(fields) % 2 == 0 for fields in lines.values()]
    is_scored = all(scored)
    parsed: dict[tuple[int, bytes], _Line] = {}
    repeated = 0
    for number, fields in lines.items():
        try:
            odd = _OF_TWO_RUNS if any(scored) else _WITHOUT_PICTURES
            line = _parse(fields, f"{path}:{number}", classes, is_scored, odd)
        except SourceError as error:
            report(error)
            continue
        repeated += line.key in parsed
        parsed.setdefault(line.key, line)
    found = [*parsed.values()]
    rings = {i: line.numbers.reshape(-1, 2) for i, line in enumerate(found) if not line.is_box}
    instances = paint_rings(rings, size)
    objects = [
        YoloObject(
            line.label,
            replace(instances[i], label=line.label) if i in instances else None,
            _in_pixels(line.numbers, size) if line.is_box else None,
            line.score,
        )
        for i, line in enumerate(found)
        if line.is_box or i in instances
    ]
    return YoloLabels(tuple(objects), repeated, len(found) - len(objects))


@dataclass(frozen=True, slots=True)
class _Line:
    label: int
    numbers: NDArray[np.float64]
    score: float | None

    @property
    def is_box(self) -> bool:
        return self.numbers.size == _BOX

    @property
    def key(self) -> tuple[int, bytes]:
        """What two lines that say the same have in common, to Ultralytics."""
        return self.label, self.numbers.astype(np.float32).tobytes()


def _parse(fields: Sequence[str], where: str, classes: int, is_scored: bool, odd: str) -> _Line:
    try:
        values = np.array(fields, np.float64)
    except ValueError:
        bad = next(field for field in fields if not _is_number(field))
        raise SourceError(
            f"{bad!r} is not a number", where, "a class and coordinates", "correct the line"
        ) from None
    label, numbers = values[0], values[1:]
    if not (0 <= label < classes and label == int(label)):
        raise SourceError(
            f"the class is {fields[0]}",
            where,
            f"a class from 0 to {classes - 1}, because there are {counted(classes, 'name')}",
            "correct the line, or add the class to the names",
        )
    score = None
    if is_scored:
        score, numbers = float(numbers[-1]), numbers[:-1]
        if not 0 <= score <= 1:
            raise SourceError(
                f"the number at the end is {score:g}",
                where,
                "a confidence from 0 to 1",
                "save the predictions without the numbers of tracks",
            )
    if numbers.size != _BOX and (numbers.size < _FEWEST or numbers.size % 2):
        raise SourceError(
            f"there are {counted(len(fields) - 1, 'number')} after the class",
            where,
            "4 of a box, or x and y of three points or more",
            f"correct the line; {odd}",
        )
    sound = (numbers >= -TOLERANCE) & (numbers <= 1 + TOLERANCE)  # NaN is neither
    if numbers.size == _BOX:
        sound[2:] &= numbers[2:] >= 0
    if not sound.all():
        raise SourceError(
            f"the coordinate {fields[1 + int(sound.argmin())]} is outside of the image",
            where,
            "parts of its width and height, from 0 to 1",
            "correct the line; coordinates in pixels have to be divided by width and height",
        )
    return _Line(int(label), numbers, score)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _in_pixels(numbers: NDArray[np.float64], size: Size) -> tuple[float, float, float, float]:
    x, y, width, height = numbers.tolist()
    left, top = (x - width / 2) * size.width, (y - height / 2) * size.height
    return left, top, width * size.width, height * size.height


def paint_rings(rings: Mapping[int, NDArray[np.float64]], size: Size) -> dict[int, Instance]:
    """Return the pixels of rings as Ultralytics paints them; none for a ring that has none.

    ``rings``: (n, 2) x and y as parts of width and height. They are scaled in single precision,
    truncated to whole numbers, and filled with their outline by OpenCV.
    """
    scale = np.array([size.width, size.height], np.float32)
    parts = []
    for number, ring in rings.items():
        points = (ring.astype(np.float32) * scale).astype(np.int32)
        corner = np.maximum(points.min(axis=0), 0)
        columns, rows = np.minimum(points.max(axis=0) + 1, [size.width, size.height]) - corner
        if columns > 0 and rows > 0:
            window = np.zeros((rows, columns), np.uint8)
            cv2.fillPoly(window, [points - corner.astype(np.int32)], 1)
            x, y = corner.tolist()
            parts.append(runs_of_pixels(window, x, y, size.height, number + 1))
    return unite(join(parts), range(max(rings) + 1), size) if parts else {}
