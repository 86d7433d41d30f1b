"""Pictures as their masks lie: those of our imports, and those of other importers.

Source: docs/format.md, section 4.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import IO, Any, TypeAlias

from datumaro.components.media import (
    Image,
    ImageFromBytes,
    ImageFromFile,
    ImageFromNumpy,
    MediaElement,
)

from ..archive import image_head
from ..arrays import Size, turn
from ..storage import Storage, layout, open_plain
from .host import border, decode_as_stored, save_bytes

SizeOfMasks: TypeAlias = Callable[[], Size | None]
"""Asked only where it decides something, for the masks may have to be read for it."""


def size_of_picture(media: MediaElement | None, size_of_masks: SizeOfMasks) -> Size | None:
    """Return the height and width of an item's picture as its masks lie; None if nobody knows."""
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


@border()
def _read_image(storage: Storage, name: str) -> bytes:
    return storage.read(name)
