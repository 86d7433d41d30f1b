"""Which files of an archive belong to an item, and how large its image is and how it lies.

Source: docs/format.md, sections 1 and 4.
"""

from __future__ import annotations

import io
import shlex
import unicodedata
from collections.abc import Callable, Iterator, Set
from contextlib import AbstractContextManager
from functools import partial
from itertools import islice
from typing import IO, NamedTuple

from ..arrays import Size
from ..errors import MaskSizeError, Report, reporting
from ..png import PALETTE, RGB, RGBA
from ..signatures import PNG_HEAD, TIFF_HEADS
from ..storage import MAX_FILE_BYTES, Hashes, Storage, ZipStorage, layout

_PROBED = 1000
_FOLDERS = 20  # that are looked into for another archive
_HEADER_END = 26  # bytes of a PNG up to its colour type

# Bytes read of an image to learn its size: enough for most, for those of cameras, for nearly all.
_HEADS = (1 << 12, (1 << 16) - (1 << 12), (1 << 18) - (1 << 16))


def find_mask(storage: Storage, folder: str, item_id: str) -> str | None:
    """Return the place of an item's mask in a folder of masks, or None."""
    return next(filter(storage.exists, layout.mask_places(folder, item_id)), None)


def has_masks(storage: Storage, item_id: str) -> bool:
    """Return whether an item has a class mask or an instance mask."""
    folders = layout.CLASS_MASKS, layout.INSTANCE_MASKS
    return any(find_mask(storage, folder, item_id) for folder in folders)


def find_image(storage: Storage, item_id: str) -> str | None:
    """Return the place of an item's image, the first where there are several, or None."""
    return next(filter(None, map(storage.image, layout.forms_of(item_id))), None)


def several_images(
    storage: Storage, listed: Callable[[str], bool]
) -> Iterator[tuple[str, str, str]]:
    """Yield each listed id that has several images, the one that is taken, and another of them.

    The images are listed once, or twice if there are such ids.
    """
    seen, twice = Hashes(), set()
    for stem, _ in _image_stems(storage):
        key = hash(stem)
        if key in seen:
            twice.add(stem)
        seen.add(key)
    for stem, name in _image_stems(storage) if twice else ():
        if stem in twice:
            item_id = next(filter(listed, layout.forms_of(stem)), None)
            taken = None if item_id is None else find_image(storage, item_id)
            if item_id is not None and taken is not None and name != taken:
                twice.discard(stem)
                yield item_id, taken, name


def _image_stems(storage: Storage) -> Iterator[tuple[str, str]]:
    """Yield what an image would have for an id, with accents as one letter, and its place."""
    for name in storage.files(layout.IMAGES):
        stem, suffix = layout.split_suffix(name.removeprefix(f"{layout.IMAGES}/"))
        if suffix.lower() in layout.IMAGE_SUFFIXES:
            yield stem if stem.isascii() else unicodedata.normalize("NFC", stem), name


def masks_in(storage: Storage, folder: str) -> Iterator[tuple[str, str]]:
    """Yield the id of each mask in a folder of masks, and its place."""
    begin = len(folder) + 1
    for name in storage.files(folder):
        item_id, suffix = layout.split_suffix(name[begin:])
        if suffix == layout.MASK_SUFFIX or suffix.lower() == layout.MASK_SUFFIX:
            yield item_id, name


def masks_of_other_types(storage: Storage) -> Iterator[str]:
    """Yield the files in the folders of masks that are no masks by their suffix."""
    for folder in (layout.CLASS_MASKS, layout.INSTANCE_MASKS):
        suffixes = _suffixes_in(storage, folder)
        others = {s for s in suffixes if s.lower() in layout.OTHER_MASK_SUFFIXES}
        names = storage.files(folder) if others else ()
        yield from (name for name in names if layout.split_suffix(name)[1] in others)


def how_to_save(file: str) -> str:
    """Return what to do about a file among the masks that is no PNG by its suffix."""
    suffix = layout.split_suffix(file)[1].lower()
    if suffix in (".jpg", ".jpeg"):
        return "draw it again and save it as PNG, because JPEG has changed its values"
    if suffix in (".bmp", ".tif", ".tiff"):
        folder = file.partition("/")[0]
        return (
            f"save it as PNG; 'datumaro-segmask from-masks {folder} --labels {layout.LABEL_MAP} "
            "-o task.zip' makes an archive of such masks"
        )
    return "save it as PNG, or move it elsewhere if it is not a mask"


def masks_passed_over(storage: Storage) -> Iterator[tuple[str, str]]:
    """Yield each mask that is not taken, and the one that is: their suffixes differ in case."""
    for folder in (layout.CLASS_MASKS, layout.INSTANCE_MASKS):
        twice: dict[str, str] = {}
        suffixes = _suffixes_in(storage, folder) - {layout.MASK_SUFFIX}
        is_odd = any(suffix.lower() == layout.MASK_SUFFIX for suffix in suffixes)
        for item_id, name in masks_in(storage, folder) if is_odd else ():
            if not name.endswith(layout.MASK_SUFFIX):
                taken = find_mask(storage, folder, item_id)
                if taken is not None and taken != name:
                    twice[taken] = name
        # Where the case of letters does not count, the one that is taken may be the other.
        names = storage.files(folder) if twice else ()
        yield from ((twice[name], name) for name in names if name in twice)


def _suffixes_in(storage: Storage, folder: str) -> Set[str]:
    """Return the suffixes, as they are written, of the files of a folder that look like masks."""
    if isinstance(storage, ZipStorage):
        return storage.suffixes(folder)  # which it knows already
    found = {layout.split_suffix(name)[1] for name in storage.files(folder)}
    return {suffix for suffix in found if suffix.lower() in layout.LIKE_MASKS}


def masked_ids(
    storage: Storage, wanted: Callable[[str], object] = lambda _: True
) -> Iterator[tuple[str, str]]:
    """Yield the id of every item that has a mask, once, and the first of its masks.

    Only ids that are ``wanted``, which is asked before anything else is looked up.
    """
    for item_id, name in masks_in(storage, layout.CLASS_MASKS):
        if wanted(item_id):
            yield item_id, name
    for item_id, name in masks_in(storage, layout.INSTANCE_MASKS):
        if wanted(item_id) and not find_mask(storage, layout.CLASS_MASKS, item_id):
            yield item_id, name


class PassedFolder(NamedTuple):
    """A folder that is called nearly as the folder of masks ``usual``, and so is ignored.

    It has ``masks`` masks that the other, which ``has_masks`` of its own or not, has not.
    """

    name: str
    usual: str
    masks: int
    has_masks: bool


def passed_folders(
    storage: Storage, listed: Callable[[str], bool] = lambda _: True
) -> Iterator[PassedFolder]:
    """Yield the folders for whose names items of those ``listed`` lack masks."""
    for folder in storage.folders():
        usual = layout.nearest_mask_folder(folder)
        if usual is None or usual == folder:
            continue
        ids = (i for i, _ in masks_in(storage, folder) if any(map(listed, layout.forms_of(i))))
        lacking = sum(find_mask(storage, usual, item_id) is None for item_id in ids)
        if lacking:
            has_masks = next(masks_in(storage, usual), None) is not None
            yield PassedFolder(folder, usual, lacking, has_masks)


def right_place(folder: PassedFolder) -> str:
    """Return what to do about a folder of masks that is ignored because of its name."""
    if folder.has_masks:
        return f"to use its masks, move them into {folder.usual}"
    return f"if it is a folder of masks, rename it to exactly {folder.usual}"


def inner_archives(storage: Storage) -> Iterator[str]:
    """Yield the folders at the root, of the first of them, that are archives themselves."""
    others = (name for name in storage.folders() if name not in layout.TOP)
    for folder in islice(others, _FOLDERS):
        if any(next(storage.files(f"{folder}/{mark}"), None) for mark in layout.MARKS):
            yield folder


def has_colored_masks(storage: Storage) -> bool:
    """Return whether any of the first class masks of an archive is in colour, by their headers."""
    for name in islice(storage.files(layout.CLASS_MASKS), _PROBED):
        with reporting(lambda _: None), storage.open(name) as file:
            head = file.read(_HEADER_END)
            if head[1:4] == b"PNG" and head[-1] in (RGB, RGBA, PALETTE):
                return True
    return False


class ImageHead(NamedTuple):
    """The height and width of an image as its pixels are stored, and how it says that they lie.

    ``orientation`` is that of EXIF, 2 to 8, None where the image is shown as it is stored.
    ``is_turned`` marks a TIFF that lies on its side: whatever decodes it turns it, so ``size`` is
    the one that is shown.
    """

    size: Size
    orientation: int | None
    is_turned: bool = False

    @property
    def shown(self) -> Size:
        """The height and width of the image as it is shown."""
        return self.size.on_its_side if (self.orientation or 1) > 4 else self.size

    def turn_to_fit(self, size: Size | None) -> int | None:
        """Return the orientation in which it lies as masks of this size: as shown, if that fits.

        1 where only the stored pixels fit, None where there is nothing to turn.
        """
        stored_alone = size == self.size and size != self.shown
        return 1 if stored_alone else self.orientation


def read_image_head(storage: Storage, name: str) -> ImageHead | None:
    """Return size and orientation of an image from its header, None where that cannot be read."""
    return image_head(partial(storage.open, name))


def fitting_head(storage: Storage, name: str, head: ImageHead, size: Size) -> ImageHead:
    """Return the head of an image, of a PNG whose EXIF data stand behind the pixels with these.

    They are looked for, in the whole file, only where masks of ``size`` do not fit else.
    """
    if size != head.size.on_its_side or size == head.size or head.orientation is not None:
        return head
    with storage.open(name) as file:
        if file.read(len(PNG_HEAD)) != PNG_HEAD:
            return head
    return ImageHead(head.size, _orientation(storage.read(name)))


def image_head(open_file: Callable[[], AbstractContextManager[IO[bytes]]]) -> ImageHead | None:
    """As `read_image_head`, for a picture that lies in no archive."""
    data = b""
    with open_file() as file:
        for more in (*_HEADS, MAX_FILE_BYTES):
            # The directory of a TIFF may stand at its end.
            if more == MAX_FILE_BYTES and not data.startswith(TIFF_HEADS):
                break
            data += file.read(more)
            head = _parse_image_head(data)
            if head is None:
                continue
            if _holds_exif(data):
                return ImageHead(head.size, _orientation(data + file.read(MAX_FILE_BYTES)))
            return head
    return None


def _parse_image_head(data: bytes) -> ImageHead | None:
    import imagesize

    try:
        info = imagesize.get_info(io.BytesIO(data), dpi=False, colors=False, channels=False)
    except Exception:  # of any kind, for bytes that are no image
        return None
    if min(info.width, info.height) <= 0:
        return None
    size = Size(int(info.height), int(info.width))
    # imagesize tells the size as shown. What OpenCV and Pillow decode of a TIFF is turned already.
    if data.startswith(TIFF_HEADS):
        return ImageHead(size, None, is_turned=5 <= info.rotation <= 8)
    if not 2 <= info.rotation <= 8:
        return ImageHead(size, None)
    shown = ImageHead(size, info.rotation)
    return ImageHead(shown.shown, info.rotation)


def _holds_exif(data: bytes) -> bool:
    """Return whether the head of a PNG or WebP says that EXIF data follow, perhaps far away."""
    is_png = data.startswith(PNG_HEAD) and b"eXIf" in data
    is_webp = data[8:16] == b"WEBPVP8X" and len(data) > 20
    return is_png or (is_webp and data[20] & 8 != 0)


def _orientation(data: bytes) -> int | None:
    import PIL.Image
    from PIL import ExifTags

    try:
        with PIL.Image.open(io.BytesIO(data)) as image:
            orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # Pillow's own and many others, for EXIF data that is broken
        return None
    return orientation if orientation in range(2, 9) else None


def check_sizes(
    storage: Storage, sizes: dict[str, Size], head: ImageHead | None, report: Report
) -> None:
    """Report MaskSizeError for each file of an item that has not the size of the first.

    ``sizes`` are by place, and ``head`` is that of the image.
    """
    first, expected = next(iter(sizes.items()), ("", None))
    for name, size in sizes.items():
        if size == expected or expected is None:
            continue
        role = "class mask" if first.startswith(layout.CLASS_MASKS) else "instance mask"
        is_image = name.startswith(layout.IMAGES)
        what = f"the size is {size}, that of the {role} is {expected}"
        remedy = "export the item again, or scale the masks without smoothing (nearest neighbour)"
        if is_image and head is not None and head.is_turned and size.on_its_side == expected:
            what += ", and it fits only without the orientation that is noted in the TIFF"
            remedy = "turn the masks, or remove the note from the TIFF; 'exiftool -Orientation= "
            remedy += f"{shlex.quote(name)}' does so"
        kind = "image-size" if is_image else "mask-size"
        of_first = f"the size (width x height) of {first}"
        report(MaskSizeError(what, storage.place(name), of_first, remedy, kind=kind))
