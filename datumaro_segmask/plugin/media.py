"""Pictures as their masks lie: those of our imports, and those of other importers; their files.

Source: docs/format.md, section 4.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from functools import partial
from typing import IO, Any, TypeAlias

from datumaro.components.annotation import Mask
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.media import (
    Image,
    ImageFromBytes,
    ImageFromFile,
    ImageFromNumpy,
    MediaElement,
)

from ..archive import ImageHead, image_head
from ..arrays import Size, turn
from ..errors import SegmaskExportError
from ..formats import place_of_entry
from ..formats.pictures import notes_orientation, upright
from ..storage import Storage, layout, open_plain
from .annotations import size_of_mask
from .host import datumaro_errors, decode_as_stored, save_bytes

SizeOfMasks: TypeAlias = Callable[[], Size | None]
"""Asked only where it decides something, for the masks may have to be read for it."""


def size_of_picture(media: MediaElement | None, size_of_masks: SizeOfMasks) -> Size | None:
    """Return the height and width of an item's picture as its masks lie; None if not known."""
    if not isinstance(media, Image):
        return None
    if not media.has_size:
        media = as_masks_lie(media, size_of_masks)
    try:
        size = media.size
    except Exception:  # Datumaro 1.13 raises AttributeError for an image that is no image
        return None
    return None if size is None else Size(int(size[0]), int(size[1]))


def as_masks_lie(media: Image, size_of_masks: SizeOfMasks) -> Image:
    """Return a picture of any importer; one that is turned by EXIF data as its masks lie.

    Those in files, that is: a picture in memory has lost these data.
    """
    if not isinstance(media, ImageFromFile) or isinstance(media, TurnedImage):
        return media
    path = media.path
    try:
        head = image_head(partial(open_plain, path))
    except OSError:  # what is wrong with it is said when it is read
        return media
    if head is None or head.orientation is None:
        return media
    turned = head.turn_to_fit(size_of_masks() if head.shown != head.size else None)
    return TurnedImage(path, head.size if turned == 1 else head.shown, turned or 1)


class MissingImage(ImageFromNumpy):
    """What stands for the image of an item that has none: its height and width in pixels."""

    def __init__(self, item_id: str, size: tuple[int, int]) -> None:
        super().__init__(None, size=size)
        self.item_id = item_id


class StoredImage(ImageFromBytes):
    """An image inside a zip, which is read when it is asked for.

    ``name`` is its place in the archive; ``size`` and ``turn`` are those of `archive.Item`.
    """

    def __init__(self, storage: Storage, name: str, size: Size | None, turn: int | None) -> None:
        read = partial(_read_image, storage, name)
        super().__init__(read, ext=layout.split_suffix(name)[1], size=size)
        self.storage, self.name = storage, name
        self.turn = turn

    @property
    def data(self) -> Any:
        """The image as its masks lie: (height, width, channels), as Datumaro orders these."""
        if self.turn is None:
            return super().data
        return turn(decode_as_stored(self.bytes, self._dtype), self.turn)

    def save(self, fp: str | IO[bytes], ext: str | None = None, **options: Any) -> None:
        """Write the file as it lies in the zip, if its type stays and EXIF data do not turn it.

        ``fp``: a path or a file; ``ext``: the type for a file; ``options``: of Datumaro 1.11. Any
        other picture is encoded, as Datumaro's own ``ImageFromBytes`` always is.
        """
        if self.turn is not None or self._get_ext_to_save(fp, ext) != self.ext:
            super().save(fp, ext, **options)
            return
        save_bytes(self.bytes, fp, **options)


class TurnedImage(ImageFromFile):
    """An image file that its EXIF data turns, or would turn; the rest as `StoredImage`."""

    def __init__(self, path: str, size: Size | None, turn: int) -> None:
        super().__init__(path, size=size)
        self.turn = turn

    @property
    def data(self) -> Any:
        """As `StoredImage.data`; None if the file is gone."""
        data = self.bytes
        return None if data is None else turn(decode_as_stored(data, self._dtype), self.turn)


def image_in_file(path: str, size: Size | None, turn: int | None) -> Image:
    """Return the image of an item that lies in a file; ``turn`` as for `StoredImage`."""
    return Image.from_file(path, size=size) if turn is None else TurnedImage(path, size, turn)


@datumaro_errors()
def _read_image(storage: Storage, name: str) -> bytes:
    return storage.read(name)


def place_of(item: DatasetItem) -> str:
    """Return how to call an item in a message."""
    return place_of_entry((item.id, item.subset))


def size_of(item: DatasetItem) -> Size:
    """Return height and width of an item in pixels; raises SegmaskExportError if not known."""
    masks = (annotation for annotation in item.annotations if isinstance(annotation, Mask))
    sizes = (Size(*size_of_mask(mask, place_of(item))) for mask in masks)
    size = size_of_picture(item.media, lambda: next(sizes, None)) or next(sizes, None)
    if size is None:
        raise SegmaskExportError(
            "the size of its image is not known",
            place_of(item),
            "an image or masks, which have it",
            "give the dataset its images, or make the items with Image.from_file(path, "
            "size=(height, width))",
        )
    return size


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
        raise _cannot_be_saved(item, suffix, error) from error
    data = buffer.getvalue()
    check_size(item, image_head(partial(io.BytesIO, data)))
    return data


def _cannot_be_saved(item: DatasetItem, suffix: str, error: Exception) -> SegmaskExportError:
    return SegmaskExportError(
        f"its image cannot be saved ({error})",
        place_of(item),
        f"an image that can be read and written as {suffix}",
        "check the file, or export without save_media",
    )


def upright_image(item: DatasetItem, suffix: str) -> tuple[bytes, bool]:
    """Return the file of an item's image as training wants it, and whether that meant a change.

    Its pixels lie as its masks do, and it notes no other orientation. Raises as `image_data`.
    """
    media = as_masks_lie(item.media, partial(size_of, item))
    in_file = isinstance(media, (ImageFromBytes, ImageFromFile))
    if not in_file or suffix.lower() != file_suffix(media).lower():
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
        raise _cannot_be_saved(item, suffix, error) from error


def file_suffix(media: MediaElement) -> str:
    """Return the suffix of a picture's file as it stands there, empty if there is none.

    Datumaro's own ``ext`` is in small letters.
    """
    place = media.name if isinstance(media, StoredImage) else getattr(media, "path", None) or ""
    return layout.split_suffix(os.path.basename(place))[1] or getattr(media, "ext", None) or ""


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
        f"its image has {head.shown} pixels, and the dataset says {Size(*said)}",
        place_of(item),
        "an image of the size (width x height) of its annotations",
        "scale the image or the annotations, or export without save_media",
    )
