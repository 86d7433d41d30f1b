"""What the writers share: the classes that training code counts by, and what is left out."""

from __future__ import annotations

import logging
import zlib
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from ..archive import Item, LabelMap
from ..errors import SegmaskExportError, as_typed, counted, numbered, printable
from ..regions import Instance
from ..storage import Aside, Entry, FolderSink, Hashes, Sink, layout

log = logging.getLogger(__name__)

WITHOUT_SIZE = "items with neither image nor masks, whose size is unknown"
WITHOUT_LABEL = "instances without a label, which training cannot use"
OF_BACKGROUND = "instances of what is the background in another archive"
OF_UNKNOWN = "unknown pixels, which no object can have"
_SLASH = "__"  # stands for one in flat names
WITHOUT_IMAGE = "images that the dataset does not have"
TWICE_IN_A_SPLIT = "items in several subsets of a split, with the same masks and image"
_problem_of_subset = lru_cache(maxsize=64)(layout.problem_of_new_subset)  # there are few of them


@dataclass(frozen=True)
class Classes:
    """The classes of training code: the labels in their order, without the background.

    ``positions``: the class of each label, from 0; None for the background. ``names`` and
    ``parents`` (empty for none) are those of each class.
    """

    positions: tuple[int | None, ...]
    names: tuple[str, ...]
    parents: tuple[str, ...]

    @classmethod
    def of(
        cls, names: Sequence[str], background: int | None, parents: Sequence[str] = ()
    ) -> Classes:
        """Return the classes of labels; ``background`` is the position of the one that is none."""
        kept = [i for i in range(len(names)) if i != background]
        numbers = {label: number for number, label in enumerate(kept)}
        return cls(
            tuple(numbers.get(i) for i in range(len(names))),
            tuple(names[i] for i in kept),
            tuple(parents[i] if parents else "" for i in kept),
        )

    @classmethod
    def of_label_map(cls, label_map: LabelMap) -> Classes:
        """Return the classes of a label map."""
        return cls.of([label.name for label in label_map.labels], label_map.background)

    def objects(self, instances: Iterable[Instance], left_out: Counter[str]) -> list[Instance]:
        """Return the instances that have a class, with it for their label; count the others."""
        objects = []
        for instance in instances:
            if instance.is_unknown:
                left_out[OF_UNKNOWN] += instance.area
                continue
            label = None if instance.label is None else self.positions[instance.label]
            if label is None:
                left_out[WITHOUT_LABEL if instance.label is None else OF_BACKGROUND] += 1
            else:
                objects.append(replace(instance, label=label))
        return objects


def place_of_entry(entry: Entry) -> str:
    """Return how to call an item in a message."""
    item_id, subset = entry
    return f"item {item_id!r} of subset {subset!r}"


def two_in_one_split(entry: Entry, split: str) -> SegmaskExportError:
    """Make the error of an item whose place in a split is taken by that of another subset."""
    return SegmaskExportError(
        f"another subset has an item of this id, and both are in the split {split!r}",
        place_of_entry(entry),
        "a different id for every image of a split",
        "rename the items, for instance with 'datum transform -t rename'",
    )


class Places:
    """What lies where in an export: an item may come again, but no other one of its id.

    So it is where subsets become one split, of which one had the items of the others, too.
    """

    def __init__(self) -> None:
        self._taken = Hashes()

    def take(self, folder: str, name: str, content: Hashable) -> bool | None:
        """Return whether the place is free; if not, False for the same ``content``, else None."""
        place, whole = hash((folder, name)), hash((folder, name, content))
        if place in self._taken:
            return False if whole in self._taken else None
        self._taken.add(place)
        self._taken.add(whole)
        return True

    def is_new(self, entry: Entry, folder: str, content: Hashable, left_out: Counter[str]) -> bool:
        """Return whether an item is new in its folder; count it if it came before.

        Raises SegmaskExportError for another one of its id.
        """
        is_free = self.take(folder, entry[0], content)
        if is_free is None:
            raise two_in_one_split(entry, folder)
        if not is_free:
            left_out[TWICE_IN_A_SPLIT] += 1
        return is_free


def content_of(image: bytes | Aside | None) -> Hashable:
    """Return what tells an image from another one."""
    return image.content if isinstance(image, Aside) else image


def flat_name(item_id: str) -> str:
    """Return an id as a name without folders, another one for every id: ``a/b`` is ``a__b``.

    An id that could be taken for that of another one gets a checksum, such as ``a__b-1fb0d0fa``.
    """
    name = item_id.replace("/", _SLASH)
    is_plain = name.replace(_SLASH, "/") == item_id
    return name if is_plain else f"{name}-{zlib.crc32(item_id.encode()):08x}"


def check_names(entry: Entry, problem: str | None, nested: str) -> None:
    """Raise SegmaskExportError for an item whose id or subset cannot be written.

    ``problem`` is what is known of the id, ``nested`` why a subset cannot have folders.
    """
    if problem:
        raise unwritable("id", problem, entry)
    subset = entry[1]
    problem = _problem_of_subset(subset) or (nested if "/" in subset else None)
    if problem:
        raise unwritable("subset", problem, entry)


def unwritable(name: str, problem: str, entry: Entry) -> SegmaskExportError:
    """Make the error of an item whose id or subset, called ``name``, cannot be written."""
    return SegmaskExportError(
        f"its {name} cannot be written: {problem}",
        place_of_entry(entry),
        "ids and subsets that can be file names and lines of a list",
        f"rename the {name}, for instance with 'datum transform -t rename'",
    )


def file_name_of(item: Item) -> str:
    """Return the place of an item's image below the folder of images, whether it has one or not."""
    return (item.image or layout.image(item.item_id, ".jpg")).removeprefix(f"{layout.IMAGES}/")


def put_image(sink: Sink, place: str, image: bytes | Aside | None, has_images: bool = True) -> None:
    """Write the file of an image, of which another process may have written the bytes.

    ``has_images``: images were to be written; else the file stays that an earlier export wrote.
    """
    if isinstance(image, bytes):
        sink.put(place, image)
    elif isinstance(sink, FolderSink):
        if image is not None:
            sink.take(place, image)
        elif not has_images:
            sink.keep(place)
    elif image is not None:
        sink.put(place, image.fetch())


def put_listed_image(
    sink: Sink,
    place: str,
    image: bytes | Aside | None,
    has_images: bool,
    left_out: Counter[str],
) -> None:
    """Write an image as `put_image`, or count it if the dataset has none to be written."""
    put_image(sink, place, image, has_images)
    if image is None and has_images:
        left_out[WITHOUT_IMAGE] += 1


class Missing:
    """The pictures that are not written, to be named in a message."""

    _SHOWN = 5

    def __init__(self) -> None:
        self._count = 0
        self._named: list[str] = []

    def put(
        self, sink: FolderSink, place: str, image: bytes | Aside | None, has_images: bool
    ) -> None:
        """Write a picture, or note that there is none; ``has_images`` as for `say`."""
        put_image(sink, place, image, has_images)
        if image is None:
            self._count += 1
            self._named += [place] if len(self._named) < self._SHOWN else []

    def say(self, root: str, *, has_images: bool) -> None:
        """Log once what is missing below ``root``; ``has_images``: images were to be written."""
        if self._count:
            more = self._count - len(self._named)
            log.warning(
                "%s not in %s yet: %s%s. %s", counted(self._count, "image"), root,
                printable(", ".join(self._named)), f" and {more} more" if more else "",
                "The dataset does not have them: add them yourself." if has_images
                else as_typed("Add them yourself, or export with save_media=True."),
            )  # fmt: skip


def log_left_out(left_out: Counter[str]) -> None:
    """Log once, with numbers, what has no place in what was written."""
    for what, count in sorted(left_out.items()):
        if count:
            log.warning("Left out of the export: %s.", as_typed(numbered(count, what)))
