"""The files of one item of an export: its masks and, if wanted, its image.

Source: docs/format.md, section 5.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from functools import lru_cache, partial

from datumaro.components.annotation import Annotation, Bbox, Mask
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.media import Image, ImageFromBytes, ImageFromFile

from ...archive import ImageHead, MaskEncoder, image_head
from ...arrays import Size
from ...errors import SegmaskExportError, UnpaintableError
from ...formats.pictures import notes_orientation, upright
from ...regions import overlap_of_boxes, paint
from ...rules import CvatLosses
from ...storage import Hashes, layout
from ..annotations import (
    OUTLINES,
    PAINTED,
    Painted,
    Placed,
    is_stuff,
    is_thin_object,
    paint_annotations,
    size_of_mask,
    to_instance,
)
from ..labels import ExportLabels
from ..media import as_masks_lie, size_of_picture

log = logging.getLogger(__name__)

ON_WINDOWS = os.name == "nt"
FOLDS_CASE = ON_WINDOWS or sys.platform == "darwin"

_SAME_EXTENT = 0.9  # of the overlap of two extents over their union
OWN_BOXES = "boxes that are taken for those of other annotations"
NO_IMAGE = "images that the dataset does not have"
TWICE = "items that came again, with the same masks and picture"
_problem_of_subset = lru_cache(maxsize=64)(layout.problem_of_new_subset)  # there are few of them


def in_paint_order(annotations: Sequence[Annotation], left_out: Counter[str]) -> list[Placed]:
    """Return the annotations to paint, those behind first: by z-order, ties by id or position.

    Ids decide if every object has one of its own and none is 0: Datumaro's readers of COCO give the
    annotations in the reverse of the file. Each comes with its position, by which messages call it.
    A box in a group that also has an outline is that object's box and is not painted; nor is one
    without a common group that has the label and the extent of an outline. The types of annotation
    that no mask can show are counted in ``left_out``, and boxes of the second kind.
    """
    outlined = {a.group for a in annotations if isinstance(a, OUTLINES) and a.group}
    painted = []
    for i, annotation in enumerate(annotations):
        if not isinstance(annotation, PAINTED):
            left_out[f"annotations of type {annotation.type.name}"] += 1
        elif not isinstance(annotation, Bbox):
            painted.append((i, annotation))
        elif annotation.group not in outlined:
            if _is_box_of_another(annotation, annotations):
                left_out[OWN_BOXES] += 1
            else:
                painted.append((i, annotation))
    ids = {annotation.id for _, annotation in painted}
    objects = {(annotation.id, annotation.group or -1 - i) for i, annotation in painted}
    by_ids = 0 not in ids and len(ids) == len(objects)  # the parts of an object share its id
    return sorted(painted, key=lambda it: (it[1].z_order, it[1].id if by_ids else 0))


def _is_box_of_another(box: Bbox, annotations: Sequence[Annotation]) -> bool:
    """Tell whether a box has the label and the extent of a mask, polygon or ellipse.

    Datumaro's importers of COCO (annotation id 0) and of VOC give such boxes no group.
    """
    for other in annotations:
        if isinstance(other, OUTLINES) and other.label == box.label:
            with suppress(Exception):  # what is broken about it is said when it is painted
                # Datumaro 1.11 has the box of a mask one pixel too small.
                extent = to_instance(other)[0].bbox if isinstance(other, Mask) else other.get_bbox()
                if overlap_of_boxes(box.get_bbox(), extent) >= _SAME_EXTENT:
                    return True
    return False


class ItemFiles:
    """Makes the files of items, one item at a time, as bytes by their places in the archive.

    ``report`` gets each annotation that cannot be painted; if it returns, the annotation is left
    out. What else does not show in the files is counted in `left_out`, by what it is. What has
    to be known of earlier items is kept on the disk with ``stream``.
    """

    def __init__(
        self,
        labels: ExportLabels,
        encoder: MaskEncoder,
        *,
        empty_masks: bool,
        number_stuff: bool = False,
        report: Callable[[DatasetItem, UnpaintableError], None],
        stream: bool = False,
    ) -> None:
        self._labels = labels
        self._encoder = encoder
        self._empty_masks = empty_masks
        self._number_stuff = number_stuff
        self._report = report
        self._ids, self._contents, self._listed, self._looks = (Hashes() for _ in range(4))
        self._warned = False
        self.left_out: Counter[str] = Counter()
        self.for_cvat = CvatLosses(labels.label_map)

    def masks(self, item: DatasetItem) -> dict[str, bytes]:
        """Return the mask files of an item; none for an item without shapes.

        Raises SegmaskExportError for an item that cannot be painted.
        """
        annotations = in_paint_order(item.annotations, self.left_out)
        self._note_for_cvat(item, [annotation for _, annotation in annotations])
        if not annotations and not self._empty_masks:
            return {}
        size = size_of(item)
        painted = paint_annotations(
            annotations,
            size,
            self._labels,
            self._encoder.background,
            place_of(item),
            partial(self._report, item),
            self.left_out,
            self._number_stuff,
        )
        if painted is None:
            if not self._empty_masks:
                return {}
            painted = Painted(paint([], *size, self._encoder.background), has_labels=True)
        masks = {}
        if painted.has_labels:
            masks[layout.class_mask(item.id)] = self._encoder.labels(painted.planes.labels)
        # An item of "stuff" alone gets no instance mask: beside an empty one, CVAT and Datumaro's
        # VOC plugin take no notice of the class mask.
        if painted.planes.numbers.values.any() or not annotations:
            self.for_cvat.highest = max(
                self.for_cvat.highest, int(painted.planes.numbers.values.max())
            )
            masks[layout.instance_mask(item.id)] = self._encoder.numbers(
                painted.planes.numbers, place_of(item)
            )
        return masks

    def log_losses(self, *, for_cvat: bool) -> None:
        """Log once, with numbers, what does not show in the files, and not in CVAT if told so."""
        for what, count in sorted(self.left_out.items()):
            if count:
                log.warning("Left out of the export: %d %s.", count, what)
        if for_cvat:
            self.for_cvat.log()

    def _note_for_cvat(self, item: DatasetItem, annotations: list[Annotation]) -> None:
        stuff = sum(map(is_stuff, annotations))
        self.for_cvat.add(
            item.id,
            item.subset,
            stuff=0 if self._number_stuff or stuff == len(annotations) else stuff,
            thin=sum(map(is_thin_object, annotations)),
        )

    def check(self, item: DatasetItem, has_masks: bool, *content: Hashable) -> bool:
        """Refuse an item that has no place in the archive beside those before it.

        The same id in two subsets means the same files, so their ``content`` must be the same.
        Returns whether the item is to be listed: not if its subset lists it already.
        """
        problem = layout.problem_of_listed(item.id, has_masks)
        check_names(item, problem, "a list lies directly in its folder")
        itself, whole = hash(item.id), hash((item.id, content))
        listed = hash((item.id, item.subset))
        is_new = itself not in self._ids
        self._check_elsewhere(item, is_new)
        if not is_new and whole not in self._contents:
            whose = "its" if listed in self._listed else "another"
            raise SegmaskExportError(
                f"{whose} subset has an item of this id with other masks or another picture, and "
                "both have the same place in the archive",
                place_of(item),
                "an id of its own for every image",
                "rename the items, for instance with 'datum transform -t rename'",
            )
        is_listed = not is_new and listed in self._listed
        self.left_out[TWICE] += is_listed
        self._ids.add(itself)
        self._contents.add(whole)
        self._listed.add(listed)
        return not is_listed

    def has_listed(self, item_id: str, subset: str) -> bool:
        """Tell whether an item was checked, and had its place."""
        return hash((item_id, subset)) in self._listed

    def _check_elsewhere(self, item: DatasetItem, is_new: bool) -> None:
        """Refuse ids that cannot be files on this system, and warn of those of other systems."""
        problem, is_here = "", ON_WINDOWS
        if not layout.is_for_windows(f"{item.id}{layout.MASK_SUFFIX}"):
            problem = "Windows cannot have a file of this name"
        # Windows and macOS take names for one that differ in case or in how accents are encoded.
        look = unicodedata.normalize("NFC", item.id).casefold()
        # Of an id that looks as it is written, which most do, the id itself is note enough.
        is_plain, look_hash = look == item.id, hash(look)
        if is_new and (look_hash in self._looks or (not is_plain and look_hash in self._ids)):
            problem = "Windows and macOS take it for the file of an id that looks the same"
            is_here = FOLDS_CASE
        if not is_plain:
            self._looks.add(look_hash)
        if problem and is_here:
            raise _unwritable("id", problem, item)
        if problem and not self._warned:
            self._warned = True
            log.warning(
                "%s: %s. It is written, but rename it before the dataset moves there. This is "
                "said once; other ids may be like this one.",
                place_of(item),
                problem,
            )

    def image(self, item: DatasetItem, suffix: str) -> bytes | None:
        """Return the file of an item's image; None for an item without one.

        ``suffix`` decides how it is encoded, with the dot. Raises SegmaskExportError for an image
        that cannot be read or encoded.
        """
        if not isinstance(item.media, Image) or not item.media.has_data:
            self.left_out[NO_IMAGE] += 1
            return None
        return image_data(item, suffix)


def image_data(item: DatasetItem, suffix: str) -> bytes:
    """Return the file of an item's image, encoded as ``suffix`` says.

    Raises SegmaskExportError for an image that cannot be read or encoded.
    """
    if "/" in suffix or layout.problem_of_name(f"name{suffix}"):
        raise SegmaskExportError(
            f"its image has the extension {suffix!r}, which cannot stand in a file name",
            place_of(item),
            "an extension such as '.jpg'",
            "choose one with image_ext, or export without save_media",
        )
    buffer = io.BytesIO()
    try:
        if isinstance(item.media, ImageFromBytes) and item.media.ext == suffix:
            buffer.write(item.media.bytes)  # which Datumaro would decode and encode again
        else:
            as_masks_lie(item.media, partial(size_of, item)).save(buffer, ext=suffix)
    except Exception as error:  # Datumaro's backends raise what they meet, AttributeError too
        raise SegmaskExportError(
            f"its image cannot be saved ({error})",
            place_of(item),
            f"an image that can be read and written as {suffix}",
            "check the file, or export without save_media",
        ) from error
    data = buffer.getvalue()
    check_size(item, image_head(partial(io.BytesIO, data)))
    return data


def upright_image(item: DatasetItem, suffix: str) -> tuple[bytes, bool]:
    """Return the file of an item's image as training wants it, and whether that meant a change.

    Its pixels lie as its masks do, and it notes no other orientation. Raises as `image_data`.
    """
    media = as_masks_lie(item.media, partial(size_of, item))
    if not isinstance(media, (ImageFromBytes, ImageFromFile)) or suffix.lower() != own_suffix(
        media
    ):
        return image_data(item, suffix), False
    orientation: int | None = getattr(media, "turn", None)
    try:
        data = media.bytes
        if data is None:
            raise FileNotFoundError("the file is gone")
        if not notes_orientation(data, orientation):
            check_size(item, image_head(partial(io.BytesIO, data)))
            return data, False
        return upright(data, orientation), True
    except (OSError, ValueError) as error:
        raise SegmaskExportError(
            f"its image cannot be saved ({error})",
            place_of(item),
            f"an image that can be read and written as {suffix}",
            "check the file, or export without save_media",
        ) from error


def own_suffix(media: ImageFromBytes | ImageFromFile) -> str:
    """Return the suffix of a picture's file, in small letters."""
    path = media.path if isinstance(media, ImageFromFile) else ""
    return (layout.split_suffix(os.path.basename(path))[1] or media.ext or "").lower()


def check_size(item: DatasetItem, head: ImageHead | None) -> None:
    """Raise SegmaskExportError for a picture of another size than the dataset says.

    ``head`` is that of its file, None if it cannot be read. Turned or not, it may fit either way.
    """
    masks = (a for a in item.annotations if isinstance(a, Mask))
    said = next((size_of_mask(mask, place_of(item)) for mask in masks), None)
    if isinstance(item.media, Image) and item.media.has_size:
        said = item.media.size
    if head is None or said is None or tuple(said) in (head.shown, head.size):
        return
    raise SegmaskExportError(
        f"its picture has {head.shown} pixels, and the dataset says {Size(*said)}",
        place_of(item),
        "a picture of the size (width x height) of its annotations",
        "scale the picture or the annotations, or export without save_media",
    )


def place_of(item: DatasetItem) -> str:
    """Return how to call an item in a message."""
    return f"item {item.id!r} of subset {item.subset!r}"


def size_of(item: DatasetItem) -> Size:
    """Return height and width of an item in pixels; raises SegmaskExportError if not known."""
    masks = (annotation for annotation in item.annotations if isinstance(annotation, Mask))
    sizes = (Size(*size_of_mask(mask, place_of(item))) for mask in masks)
    size = size_of_picture(item.media, lambda: next(sizes, None)) or next(sizes, None)
    if size is None:
        raise SegmaskExportError(
            "the size of its image is not known",
            place_of(item),
            "an image, or masks, which tell it",
            "give the dataset its images, or make the items with Image.from_file(path, "
            "size=(height, width))",
        )
    return size


def check_names(item: DatasetItem, problem: str | None, nested: str) -> None:
    """Raise SegmaskExportError for an item whose id or subset cannot be written.

    ``problem`` is what is known of the id, ``nested`` why a subset cannot have folders.
    """
    if problem:
        raise _unwritable("id", problem, item)
    problem = _problem_of_subset(item.subset) or (nested if "/" in item.subset else None)
    if problem:
        raise _unwritable("subset", problem, item)


def _unwritable(name: str, problem: str, item: DatasetItem) -> SegmaskExportError:
    return SegmaskExportError(
        f"its {name} cannot be written: {problem}",
        place_of(item),
        "ids and subsets that can be file names and lines of a list",
        f"rename the {name}, for instance with 'datum transform -t rename'",
    )
