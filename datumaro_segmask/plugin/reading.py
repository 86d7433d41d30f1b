"""What the imports of other formats have in common: options, the loop over the items, messages."""

from __future__ import annotations

import copy
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, NamedTuple

from datumaro.components.annotation import Annotation, AnnotationType, Bbox, LabelCategories
from datumaro.components.dataset_base import CategoriesInfo, DatasetBase, DatasetItem
from datumaro.components.errors import DatasetNotFoundError
from datumaro.components.format_detection import FormatDetectionConfidence, FormatDetectionContext
from datumaro.components.importer import ImportContext, Importer
from datumaro.components.media import Image

from ..archive import image_head
from ..arrays import Size
from ..errors import SegmaskImportError, SourceError, check_options, counted, printable
from ..options import options_of
from ..regions import Instance
from ..storage import layout, open_plain
from .annotations import make_mask
from .host import (
    FormatCli,
    datumaro_errors,
    report_imported,
    set_subsets,
    track,
)

log = logging.getLogger(__name__)

REPEATED = "a line that repeats one of the same image"
WITHOUT_PIXELS = "an object without a pixel"


class Found(NamedTuple):
    """An object of a picture of any format: pixels, or a box (x, y, width, height), or neither."""

    label: int
    instance: Instance | None
    box: tuple[float, float, float, float] | None
    annotation_id: int
    score: float | None
    attributes: Mapping[str, Any]


class SourceImporter(FormatCli, Importer):
    """Imports another format through a `SourceBase`; a base class.

    The files are listed once, before the base is made, as in `SegmaskImporter`.
    """

    BASE: ClassVar[type[SourceBase]]
    DETECTS_FILES = True

    @classmethod
    def confidence(cls, path: str) -> FormatDetectionConfidence | None:
        """Return how sure it is that a path is of this format, and nothing of Datumaro reads it.

        None if it is not.
        """
        raise NotImplementedError

    @classmethod
    def detect(cls, context: FormatDetectionContext) -> FormatDetectionConfidence:
        confidence = cls.confidence(os.fspath(context.root_path))
        if confidence is None:
            context.fail(f"must be a dataset of the format {cls.NAME}")
        return confidence

    @datumaro_errors()
    def __call__(
        self, path: str, stream: bool = False, **extra_params: Any
    ) -> list[dict[str, Any]]:
        """Return the one source. Raises DatasetNotFoundError, OptionError and SourceError."""
        if not path or not os.path.exists(path):
            raise DatasetNotFoundError(path, self.NAME)
        check_options(self.OPTIONS, extra_params)
        place = os.path.abspath(path)
        paths = {
            option.name: os.path.abspath(os.fspath(extra_params[option.name]))
            for option in options_of(self.OPTIONS)
            if option.is_path and extra_params.get(option.name)
        }
        opened = self.BASE.open(place, **paths)
        options = {**extra_params, **paths, "opened": opened, "stream": stream}
        return [{"url": place, "format": self.NAME, "options": options}]

    @classmethod
    def find_sources(cls, path: str) -> list[dict[str, Any]]:
        """Return one source for all the files."""
        return [{"url": path, "format": cls.NAME}]

    @property
    def can_stream(self) -> bool:
        return True


class SourceBase(DatasetBase):
    """The items of another format, subset by subset; a base class.

    ``min_score``: objects with a lower score are left out. ``opened``: what `open` returns.
    """

    def __init__(
        self,
        path: str,
        *,
        min_score: float = 0.0,
        stream: bool = False,
        opened: Any = None,
        ctx: ImportContext | None = None,
        **paths: str | None,
    ) -> None:
        given = {name: place for name, place in paths.items() if place}
        with datumaro_errors():
            self._opened = opened or self.open(path, **given)
        self._min_score = min_score
        self._stream = stream
        self._left_out: Counter[str] = Counter()
        self._entries = self.entries(self._opened)
        super().__init__(
            subsets=[*self._entries],
            media_type=Image,
            ann_types={AnnotationType.mask, AnnotationType.bbox},
            ctx=ctx,
        )
        labels = LabelCategories()
        for name, parent in self.labels(self._opened):
            labels.add(name, parent=parent)
        self._categories = {AnnotationType.label: labels}
        for note in self._opened.notes:
            log.warning("%s.", printable(note))

    @classmethod
    def open(cls, path: str, **paths: str) -> Any:
        """List the files of a dataset. Raises SourceError."""
        raise NotImplementedError

    def entries(self, opened: Any) -> Mapping[str, Mapping[str, Any]]:
        """Return what is known of each item, by subset and id."""
        raise NotImplementedError

    def labels(self, opened: Any) -> Sequence[tuple[str, str]]:
        """Return the name and the parent of each label."""
        raise NotImplementedError

    def read(
        self,
        entry: Any,
        subset: str,
        report: Callable[[SegmaskImportError], None],
        left_out: Counter[str],
    ) -> tuple[Image, Size, list[Found], dict[str, Any]]:
        """Return picture, size, objects and attributes of an item; count what is left out.

        An object that is broken goes to ``report``. Raises SourceError.
        """
        raise NotImplementedError

    def categories(self) -> CategoriesInfo:
        return self._categories

    @property
    def is_stream(self) -> bool:
        return self._stream

    def __len__(self) -> int:
        return sum(map(len, self._entries.values()))

    def __iter__(self) -> Iterator[DatasetItem]:
        places = ((subset, item_id) for subset, some in self._entries.items() for item_id in some)
        reporter = self._ctx.progress_reporter
        left_out: Counter[str] = Counter()
        with datumaro_errors():
            for subset, item_id in track(places, reporter, "Importing objects", len(self)):
                item = self._make(item_id, subset, left_out)
                if item is not None:
                    yield item
        self._say(left_out)

    def get(self, id: str, subset: str | None = None) -> DatasetItem | None:
        subset = subset or layout.DEFAULT_SUBSET
        if id in self._entries.get(subset, ()):
            with datumaro_errors():
                return self._make(id, subset, Counter())
        return None

    def get_subset(self, name: str) -> SourceBase:
        """Return the items of one subset alone. Raises KeyError if there is no such subset."""
        part = copy.copy(self)
        part._entries = {name: self._entries[name]}
        set_subsets(part, [name])
        return part

    def _make(self, item_id: str, subset: str, left_out: Counter[str]) -> DatasetItem | None:
        policy = self._ctx.error_policy
        report = partial(
            report_imported, policy.report_annotation_error, item_id=item_id, subset=subset
        )
        try:
            media, size, found, attributes = self.read(
                self._entries[subset][item_id], subset, report, left_out
            )
        except SegmaskImportError as error:
            report_imported(policy.report_item_error, error, item_id, subset)
            return None
        kept = [o for o in found if o.score is None or o.score >= self._min_score]
        left_out[WITHOUT_PIXELS] += sum(o.instance is None and o.box is None for o in kept)
        annotations = annotations_of(kept, size)
        return DatasetItem(
            item_id, subset=subset, media=media, annotations=annotations, attributes=attributes
        )

    def _say(self, left_out: Counter[str]) -> None:
        """Say what an iteration left out, unless one before has said it."""
        for what, count in sorted((left_out - self._left_out).items()):
            log.warning("Left out of the import, %s: %s.", counted(count, "time"), what)
        self._left_out |= left_out


def annotations_of(found: Sequence[Found], size: Size) -> list[Annotation]:
    """Return objects as masks and boxes, in their order, each in a group of its own.

    The highest score lies on top; objects without a score are below those that have one.
    """
    scores = sorted({o.score for o in found if o.score is not None})
    ranks = dict(zip([None, *scores], range(len(scores) + 1), strict=True))
    annotations: list[Annotation] = []
    for number, o in enumerate(found, 1):
        attributes = {**o.attributes, **({} if o.score is None else {"score": o.score})}
        fields: dict[str, Any] = {
            "id": o.annotation_id,
            "attributes": attributes,
            "z_order": ranks[o.score],
        }
        if o.instance is not None:
            # Without a group, a mask of ours would be stuff.
            instance = replace(o.instance, number=number)
            annotations.append(make_mask(instance, *size, **fields))
        elif o.box is not None:
            annotations.append(Bbox(*o.box, label=o.label, group=number, **fields))
    return annotations


def head_of(path: str, where: str) -> tuple[Size, int | None]:
    """Return the size of a picture as it is shown, and its orientation. Raises SourceError."""
    try:
        head = image_head(partial(open_plain, path))
    except OSError as error:
        what = "the image is not there"
        if not isinstance(error, FileNotFoundError):
            what = f"the image cannot be read ({error.strerror})"
        raise SourceError(
            what if where == path else f"{what}: {path}",
            where,
            "an image, because labels are fractions of its size",
            "put the image there, or import the labels with images=FOLDER",
        ) from error
    if head is None:
        raise SourceError("its width and height cannot be read", path, "an image")
    return head.shown, head.orientation
