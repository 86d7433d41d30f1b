"""Semantic segmentation: a class for every pixel, as the trainers have it that read a PNG an image.

Class 0 is the background, wherever it stands among the labels, and the others follow in their
order. What is unknown is 255, in nnU-Net the class ``ignore``. Source: docs/training.md, section 9.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .. import colors
from ..archive import BACKGROUND, Item, LabelMap
from ..errors import EXPORT, SegmaskExportError, check_options
from ..options import FOLDERS, MMSEGMENTATION, NNUNET, ULTRALYTICS, SemanticExportOptions
from ..png import encode_gray
from ..regions import Instance, Rle, Shape, paint
from ..storage import Aside, Entry, FolderSink, Hashes, Record, SubsetLists
from ..storage import layout as names
from ..training import TEST, TRAIN, VAL, Splits, meaning_of, split_subsets
from .common import (
    TWICE_IN_A_SPLIT,
    WITHOUT_LABEL,
    WITHOUT_SIZE,
    Missing,
    Places,
    content_of,
    file_name_of,
    flat_name,
    two_in_one_split,
)
from .data_file import IMAGES, discard_caches, put_data_file, say_what_is_left_out

NAME = "semantic_masks"
_IGNORE = "ignore"
_UNKNOWN = 255
_TRAINING, _TESTING = "Tr", "Ts"  # ends of nnU-Net's folders
_CASE = "_0000"  # nnU-Net's number of the one file of an image, which has all its channels


@dataclass(frozen=True)
class _Places:
    """The folders of a layout."""

    images: str
    masks: str


_PLACES = {
    FOLDERS: _Places("images/{}", "masks/{}"),
    MMSEGMENTATION: _Places("img_dir/{}", "ann_dir/{}"),
    ULTRALYTICS: _Places("images/{}", "masks/{}"),
    NNUNET: _Places("images{}", "labels{}"),
}


class SemanticImage(NamedTuple):
    """An image and its mask; ``has_unknown``: whether pixels of it are unknown."""

    file_name: str
    png: bytes
    has_unknown: bool


@dataclass(frozen=True)
class PixelClasses:
    """The classes of pixels: ``names`` by value; ``values``: that of each label.

    ``ground`` is the value of pixels that no label has, ``unknown`` that of those which training
    ignores; both are none of the names' where the background is ignored.
    """

    names: tuple[str, ...]
    values: tuple[int, ...]
    ground: int
    unknown: int

    @classmethod
    def of(cls, label_map: LabelMap, ignored: Collection[int], layout: str) -> PixelClasses:
        """Return the classes of a label map. ``ignored``: positions of labels that are unknown.

        Raises SegmaskExportError for labels that the layout has no values for.
        """
        background = label_map.background
        own = [i for i in range(len(label_map.labels)) if i not in {background, *ignored}]
        # nnU-Net insists on a background.
        is_ground_ignored = background in ignored
        first = 0 if is_ground_ignored and layout != NNUNET else 1
        found = [BACKGROUND] * first + [label_map.labels[i].name for i in own]
        unknown = len(found) if layout == NNUNET else _UNKNOWN
        if layout == NNUNET and _IGNORE in found:
            raise SegmaskExportError(
                f"a label is called {_IGNORE!r}, which is nnU-Net's name for unknown pixels",
                label_map.where,
                "another name",
                f"export with ignore_label={_IGNORE} if it means that; else rename it: "
                f"'datum transform -t remap_labels'",
            )
        if layout != NNUNET and len(found) > _UNKNOWN:
            raise SegmaskExportError(
                f"there are {len(found):,} classes",
                label_map.where,
                f"at most {_UNKNOWN}, because {_UNKNOWN} means unknown pixels",
                "join labels, with 'datum transform -t remap_labels'",
            )
        ground = unknown if is_ground_ignored else 0
        values = [unknown if i in ignored else ground for i in range(len(label_map.labels))]
        for value, i in enumerate(own, first):
            values[i] = value
        return cls(tuple(found), tuple(values), ground, unknown)

    def value(self, instance: Instance) -> int:
        """Return the value of an instance; one without a label is unknown."""
        return self.unknown if instance.label is None else self.values[instance.label]


class SemanticCoder:
    """Makes masks of painted items."""

    def __init__(self, classes: PixelClasses) -> None:
        self._classes = classes

    def code(self, item: Item, left_out: Counter[str]) -> SemanticImage | None:
        if item.size is None:
            left_out[WITHOUT_SIZE] += 1
            return None
        classes, size = self._classes, [*item.size]
        left_out[WITHOUT_LABEL] += sum(
            instance.label is None and not instance.is_unknown for instance in item.instances
        )
        shapes = [Shape(Rle(size, one.counts), classes.value(one), 0) for one in item.instances]
        plane = paint(shapes, *item.size, classes.ground).labels
        seen = plane.values[plane.changes.shape]
        bits = 8 if classes.unknown <= _UNKNOWN else 16
        has_unknown = bool((seen == classes.unknown).any())
        return SemanticImage(file_name_of(item), encode_gray(plane, bits), has_unknown)

    def end(self, coded: Sequence[SemanticImage | None]) -> list[SemanticImage | None]:
        return [*coded]


class SemanticWriter:
    """Writes painted items as a mask of classes each, in one of `options.LAYOUTS`.

    ``ignored``: positions in the label map of labels that become unknown. ``split_of``: the split
    of single subsets; the others go by their meaning (`training.splits`). ``has_images``: whether
    the images are to be written, too; nnU-Net wants them as `pictures.rgb_png` makes them, and
    mmsegmentation all with one suffix. ``root``: where the tree will lie, if it is not the folder
    of ``sink``. Raises SegmaskExportError for labels that the
    layout cannot have.
    """

    def __init__(
        self,
        sink: FolderSink,
        label_map: LabelMap,
        *,
        layout: str = FOLDERS,
        ignored: Collection[int] = (),
        split_of: Mapping[str, str] | None = None,
        has_images: bool = False,
        root: str | None = None,
    ) -> None:
        check_options(SemanticExportOptions, {"layout": layout}, EXPORT)
        self._sink = sink
        self._root = sink.root if root is None else root
        self._map = label_map
        self._layout = layout
        self._places = _PLACES[layout]
        self._classes = PixelClasses.of(label_map, ignored, layout)
        self.coder = SemanticCoder(self._classes)
        self._split_of = dict(split_of or {})
        self._has_images = has_images
        self._lists = SubsetLists()
        self._subsets: dict[str, None] = {}  # in their order
        self._taken = Places()
        self._missing = Missing()
        self._training = 0
        self._has_unknown = False
        self.left_out: Counter[str] = Counter()

    def add(self, entry: Entry, item: Item, image: bytes | None = None) -> None:
        """Write the mask of an item, and its image if it is given.

        Raises SegmaskExportError for another item of an id that its split has already.
        """
        self.put(entry, self.coder.code(item, self.left_out), image)

    def put(
        self, entry: Entry, coded: SemanticImage | None, image: bytes | Aside | None = None
    ) -> None:
        """Write what `coder` made of an item; nothing for None. Raises as `add`."""
        if coded is None:
            return
        subset = entry[1]
        folder = self._folder_of(subset)
        name, is_new = self._name(entry, folder, (coded.png, content_of(image)))
        self._subsets[subset] = None
        self._has_unknown |= coded.has_unknown
        self._lists.add(subset, name if self._layout == NNUNET else f"{folder}/{name}")
        if not is_new:
            self.left_out[TWICE_IN_A_SPLIT] += 1
            return
        suffix = names.split_suffix(coded.file_name)[1]
        if self._layout == NNUNET:
            suffix = f"{_CASE}{suffix}"
            is_there = image is not None or not self._has_images
            self._training += is_there and folder == _TRAINING
        place = f"{self._places.images.format(folder)}/{name}{suffix}"
        self._missing.put(self._sink, place, image, self._has_images)
        self._sink.put(f"{self._places.masks.format(folder)}/{name}.png", coded.png)

    def _name(self, entry: Entry, folder: str, content: Hashable) -> tuple[str, bool]:
        """Return the name of an item in its folder, and whether the item is new there."""
        item_id, subset = entry
        choices = [item_id]
        if self._layout == NNUNET:  # all subsets that are no test set share a folder
            choices = [flat_name(item_id), flat_name(f"{subset}/{item_id}")]
        elif self._layout == ULTRALYTICS and IMAGES in item_id.split("/")[:-1]:
            choices = [flat_name(item_id)]  # it looks for masks beside the last folder of that name
        for name in choices:
            is_new = self._taken.take(folder, name, content)
            if is_new is not None:
                return name, is_new
        raise two_in_one_split(entry, folder)

    def _folder_of(self, subset: str) -> str:
        """Return the folder of a subset: of its split, or of its own name if that means nothing."""
        found = self._split_of.get(subset) or meaning_of(subset)
        if self._layout == NNUNET:
            return _TESTING if found == TEST else _TRAINING
        return found or (TRAIN if subset == names.DEFAULT_SUBSET else subset)

    def finish(self) -> None:
        """Write what the layout has beside the masks, and say what is odd and what is missing."""
        splits = split_subsets(self._subsets, self._split_of)
        if self._layout == ULTRALYTICS:
            discard_caches(self._sink, "masks")
            put_data_file(
                self._sink,
                NAME,
                self._root,
                splits,
                self._folder_of,
                self._classes.names,
                masks_dir="masks",
            )
        else:
            for name, lines in self._texts(splits):
                self._sink.put_lines(name, lines)
            say_what_is_left_out(splits, self._root)
        self._missing.say(self._root, has_images=self._has_images)

    def _texts(self, splits: Splits) -> Iterator[tuple[str, Iterable[str]]]:
        if self._layout == FOLDERS:
            yield "id2label.json", _json(dict(enumerate(self._classes.names)))
        elif self._layout == MMSEGMENTATION:
            for split, subsets in splits.subsets.items():
                if subsets:
                    yield f"splits/{split}.txt", self._listed(subsets)
            yield "metainfo.json", _json(self._metainfo())
        else:
            yield "dataset.json", _json(self._about_nnunet())
            if splits.subsets[TRAIN] and splits.subsets[VAL]:
                val = [*self._listed(splits.subsets[VAL])]
                held = {*val}
                train = [n for n in self._listed(splits.subsets[TRAIN]) if n not in held]
                yield "splits_final.json", _json([{"train": train, "val": val}])

    def _listed(self, subsets: Sequence[str]) -> Iterator[str]:
        """Yield the names of the items of some subsets, each once."""
        seen = Hashes()
        for name in (name for subset in subsets for name in self._lists.lines(subset)):
            if hash(name) not in seen:
                seen.add(hash(name))
                yield name

    def _metainfo(self) -> dict[str, object]:
        labels = zip(self._classes.values, self._map.labels, strict=True)
        color_of = {value: label.color for value, label in labels}
        palette = [color_of.get(value, colors.BLACK) for value in range(len(self._classes.names))]
        return {"classes": self._classes.names, "palette": palette}

    def _about_nnunet(self) -> dict[str, object]:
        labels = {name: value for value, name in enumerate(self._classes.names)}
        if self._has_unknown:
            labels[_IGNORE] = self._classes.unknown
        return {
            "channel_names": {"0": "R", "1": "G", "2": "B"},
            "labels": labels,
            "numTraining": self._training,
            "file_ending": ".png",
        }


def record_of(layout: str) -> Record:
    """Return how exports into a folder know what earlier ones wrote."""
    images = _PLACES[layout].images.partition("/")[0] if layout != NNUNET else ""
    return Record(NAME, alone=images)  # one mask would serve two pictures


def _json(value: object) -> list[str]:
    return [json.dumps(value)]
