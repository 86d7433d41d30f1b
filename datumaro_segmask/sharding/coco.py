"""The objects of items as COCO has them, for shards and for tables (docs/training.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import IO, Any

from ..archive import Item, LabelMap
from ..errors import SegmaskExportError, SegmaskImportError
from ..storage import Entry, layout
from ..training import SEGMENTATIONS, CocoText, Segment
from .manifest import Target
from .parts import Part, Source, read_part
from .run import Found, Job, relabeled

WITHOUT_SIZE = "items without image and without masks, whose width and height nobody knows"
WITHOUT_LABEL = "instances without a label, of which training code can make no class"
OF_BACKGROUND = "instances of what is the background in another archive"
_IDS = 10**9  # annotations of a part, at most; a million parts stay exact as floats, too


class CocoFiles:
    """The COCO file of each subset, of items that come one by one and lie on the disk until then.

    As `coco_segments` writes them: an annotation an instance, no crowds, categories from 1 on
    without the background. ``segmentation`` is one of `training.SEGMENTATIONS`, else
    SegmaskExportError is raised. What has no place in COCO is counted in ``left_out``.
    """

    def __init__(self, label_map: LabelMap, segmentation: str, first_id: int = 1) -> None:
        if segmentation not in SEGMENTATIONS:
            raise SegmaskExportError(
                f"the option segmentation is {segmentation!r}",
                "the export",
                f"one of {', '.join(SEGMENTATIONS)}",
                "choose one of them",
            )
        labels = [i for i in range(len(label_map.labels)) if i != label_map.background]
        self._classes = {label: number for number, label in enumerate(labels)}
        self._categories = [(label_map.labels[i].name, "") for i in labels]
        self._segmentation = segmentation
        self._next_id = first_id
        self._texts: dict[str, CocoText] = {}
        self.left_out: Counter[str] = Counter()
        self.annotations = 0

    def __enter__(self) -> CocoFiles:
        return self

    def __exit__(self, *_: object) -> None:
        for text in self._texts.values():
            text.close()

    def add(self, entry: Entry, item: Item, image_id: int) -> None:
        """Append an item; its image has this id in COCO."""
        if item.size is None:
            self.left_out[WITHOUT_SIZE] += 1
            return
        item_id, subset = entry
        place = item.image or layout.image(item_id, ".jpg")
        segments = self._segments(item)
        self.keep(subset)
        text = self._texts[subset]
        objects = text.start(segments, item.size)
        text.add(image_id, place.removeprefix(f"{layout.IMAGES}/"), objects, self._next_id)
        self._next_id += len(segments)
        self.annotations += len(segments)

    def keep(self, subset: str) -> None:
        """Let a subset have a file, even if no item is added to it."""
        if subset not in self._texts:
            self._texts[subset] = CocoText(self._segmentation)

    def _segments(self, item: Item) -> list[Segment]:
        segments = []
        for instance in item.instances:
            label = None if instance.label is None else self._classes.get(instance.label)
            if label is not None:
                segments.append(Segment(replace(instance, label=label)))
            else:
                why = WITHOUT_LABEL if instance.label is None else OF_BACKGROUND
                self.left_out[why] += 1
        return segments

    def texts(self) -> Iterator[tuple[str, Iterator[str]]]:
        """Yield each subset and the lines of its file."""
        for subset, text in self._texts.items():
            yield subset, text.lines(self._categories)


@dataclass(frozen=True)
class CocoShards:
    """COCO files for training, one for each subset of a part: ``instances_train-000000.json``.

    Images and annotations of all shards have ids of their own. Items that cannot be read are left
    out.
    """

    segmentation: str = SEGMENTATIONS[0]
    name: str = "coco"

    def options(self) -> dict[str, Any]:
        return {"segmentation": self.segmentation}

    def write(self, part: Part, source: Source, job: Job, target: Target, found: Found) -> None:
        first_id = part.number * _IDS + 1
        with CocoFiles(job.label_map, self.segmentation, first_id) as files:
            items = relabeled(read_part(part, source, job.reading), found)
            for image_id, (entry, item) in enumerate(items, part.first + 1):
                found.add(entry, item)
                if not isinstance(item, SegmaskImportError):
                    files.add(entry, item, image_id)
            for subset, lines in files.texts():
                name = file_name(f"{subset}-{part.number:06}")
                found.wrote(name, target.put(name, partial(_write, lines)))
            found.rows = files.annotations
            found.left_out = files.left_out


def file_name(subset: str) -> str:
    """Return how COCO names the file of a subset."""
    return f"instances_{subset}.json"


def _write(lines: Iterator[str], file: IO[bytes]) -> None:
    file.writelines(f"{line}\n".encode() for line in lines)
