"""Rules of the files and folders of an archive, and of the zip it lies in (docs/format.md, sections
1 and 7)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import chain, islice

from ..archive import (
    has_masks,
    how_to_save,
    inner_archives,
    masked_ids,
    masks_in,
    masks_of_other_types,
    masks_passed_over,
    passed_folders,
    right_place,
    several_images,
)
from ..errors import counted
from ..storage import Storage, ZipStorage, layout
from .example import BLOCK, archive, bitmap, packed, picture, rgb
from .facts import ArchiveFacts, WholeFacts
from .rule import ARCHIVE, ERROR, NOTE, WARNING, WHOLE, Files, Finding, Met, Rule, rule

_LOOKED_AT = 100_000  # files beside the folders of the layout
_MAC = "__MACOSX"
_MAC_FOLDERS = (_MAC, "__MSOSX")  # which CVAT passes over
_GLOB = re.compile(r"\[.+]")  # what CVAT takes for a pattern in folders above the archive
_MASK_FOLDERS = (layout.CLASS_MASKS, layout.INSTANCE_MASKS)
_CAR = rgb(BLOCK)


def _renamed(files: Files, old: str, new: str) -> Files:
    return {name.replace(old, new): data for name, data in files.items()}


@rule(
    ARCHIVE, "unlisted-masks", "masks that no list names", WARNING, WARNING, 1,
    lambda: archive({"a": _CAR, "b": _CAR}, {"a": _CAR, "b": _CAR}, lists={"default": "a\n"}),
    is_logged=True,
)  # fmt: skip
def unlisted_masks(facts: ArchiveFacts) -> Iterator[Finding]:
    """The lists say which items there are. A mask of an item that no list names is left out."""
    lists = facts.archive.lists

    def is_left_out(item_id: str) -> bool:
        return not lists(item_id) and layout.problem_of_name(item_id) is None

    for item_id, mask in masked_ids(facts.storage, is_left_out) if facts.archive.has_lists else ():
        fix = "add its id to a list to import it"
        below = _folder_too_deep(facts, item_id)
        if below is not None:
            top = mask.partition("/")[0]
            fix = f"move the masks of {top}/{below} up to {top}, because the lists name the items "
            fix += f"without {below + '/'!r}"
        yield Met(mask, "no list names it, so it is left out", fix, item_id)


def _folder_too_deep(facts: ArchiveFacts, item_id: str) -> str | None:
    """Return the folder without which the lists have an id, None if they do not have it."""
    at = item_id.find("/")
    while at >= 0:
        rest = item_id[at + 1 :]
        if facts.archive.lists(rest) and not has_masks(facts.storage, rest):
            return item_id[:at]
        at = item_id.find("/", at + 1)
    return None


@rule(
    ARCHIVE, "mask-type", "files among the masks that are not PNG", ERROR, WARNING, 1,
    lambda: archive(others={"SegmentationClass/b.bmp": bitmap(BLOCK)}), is_logged=True,
)  # fmt: skip
def mask_type(facts: ArchiveFacts) -> Iterator[Finding]:
    """Masks are PNG files. JPEG changes the values of pixels, and CVAT does not look for other
    types."""
    for file in masks_of_other_types(facts.storage):
        what = f"masks are {layout.MASK_SUFFIX} files, so this one is left out"
        yield Met(file, what, how_to_save(file))


MASK_FOLDER = Rule(
    "mask-folder", "all masks are in folders of other names", ERROR, WARNING, 1,
    "The only masks are in a folder whose name is nearly SegmentationClass or SegmentationObject. "
    "The names must be exact.",
    lambda: _renamed(archive(_CAR), "SegmentationClass", "segmentation_class"),
)  # fmt: skip


@rule(
    ARCHIVE, "folder-name", "folders whose names are nearly those of the masks", WARNING, WARNING,
    1, lambda: _renamed(archive(), "SegmentationObject", "SegmentationObjects"), is_logged=True,
)  # fmt: skip
def folder_name(facts: ArchiveFacts) -> Iterator[Finding]:
    """Masks are read only from folders called exactly SegmentationClass and SegmentationObject."""
    if next(masked_ids(facts.storage), None) is None:
        return  # which is an error, `mask-folder`
    listed = facts.archive.lists if facts.archive.has_lists else lambda _: True
    for folder in passed_folders(facts.storage, listed):
        what = f"masks are read only from {folder.usual}, so {counted(folder.masks, 'mask')} here "
        what += ("is" if folder.masks == 1 else "are") + " ignored"
        yield Met(folder.name, what, right_place(folder))


@rule(
    ARCHIVE, "mask-name", "masks whose names CVAT does not find", None, WARNING, 1,
    lambda: _renamed(archive(), "Object/a.png", "Object/a.PNG"),
)  # fmt: skip
def mask_name(facts: ArchiveFacts) -> Iterator[Finding]:
    """CVAT looks for exactly the id and `.png`. It does not find a suffix in capitals, accents in
    another form than in the list, or letters past ASCII in a zip that does not mark its names as
    UTF-8."""
    storage, subsets = facts.storage, facts.subsets.values()
    for folder in _MASK_FOLDERS:
        for item_id, name in masks_in(storage, folder):
            if name.endswith(layout.MASK_SUFFIX) and any(item_id in ids for ids in subsets):
                continue
            forms = layout.forms_of(item_id)
            listed = next((f for f in forms if any(f in ids for ids in subsets)), None)
            usual = f"{folder}/{listed}{layout.MASK_SUFFIX}"
            if listed is not None and not storage.exists(usual):
                what = f"CVAT looks for exactly {usual!r}, and does not find it"
                yield Met(name, what, f"rename the file to {usual!r}", listed)
    if isinstance(storage, ZipStorage):
        for name, theirs in storage.unmarked():
            if "\\" not in theirs and name.startswith(tuple(f"{f}/" for f in _MASK_FOLDERS)):
                what = f"CVAT reads its name as {theirs.rpartition('/')[2]!r}, and does not find it"
                fix = "pack the archive again, with a tool that marks names as UTF-8"
                yield Met(name, what, f"{fix}, such as Python's")


@rule(
    ARCHIVE, "inner-archive", "folders that are archives themselves", WARNING, NOTE, 1,
    lambda: archive(others={f"batch 2/{name}": data for name, data in archive().items()}),
    is_logged=True,
)  # fmt: skip
def inner_archive(facts: ArchiveFacts) -> Iterator[Finding]:
    """A folder of the archive has the layout of an archive itself. It is ignored."""
    for folder in inner_archives(facts.storage):
        what = "this folder is an archive itself, and is ignored"
        fix = "to use it, import it by itself, and join both with 'datum merge'"
        yield Met(folder, what, fix)


@rule(
    ARCHIVE, "zip-backslash", "a zip with backslashes in its names", None, ERROR, 1,
    lambda: packed(_renamed(archive(), "/", "\\")),
)  # fmt: skip
def zip_backslash(facts: ArchiveFacts) -> Iterator[Finding]:
    """Some old tools for Windows write backslashes between the folders in a zip. CVAT reads them
    as letters, and finds no archive."""
    storage = facts.storage
    names = storage.unmarked() if isinstance(storage, ZipStorage) else ()
    for name, theirs in names:
        if "\\" in theirs:
            what = f"CVAT reads the backslashes in {theirs!r} as letters, and finds no folders"
            fix = "pack the archive again, with a tool that writes '/' between folders"
            yield Met(name, what, fix)
            return  # as all names of one tool are alike


@rule(
    ARCHIVE, "zip-root", "an archive that CVAT does not find in the zip", None, ERROR, 1,
    lambda: packed(
        {**_renamed_below("task"), "__MACOSX/._task": b"\0\5\x16\7"},
    ),
)  # fmt: skip
def zip_root(facts: ArchiveFacts) -> Iterator[Finding]:
    """CVAT looks into a folder of the zip if nothing else that is visible is beside it. Finder's
    "Compress" puts a folder `__MACOSX` there. A name that begins with a dot is not visible, and
    neither is an archive in such a folder."""
    storage = facts.storage
    if not isinstance(storage, ZipStorage) or not storage.root:
        return
    folder = storage.root.rstrip("/")
    inside = f"zip the content of the folder {folder!r}, not the folder itself"
    hidden = next((part for part in folder.split("/") if part.startswith(".")), None)
    if hidden is not None:
        what = f"CVAT does not see the folder {hidden!r}, whose name begins with a dot"
        yield Met(folder, what, inside)
        return
    above = folder.rpartition("/")[0]
    if any(part in _MAC_FOLDERS for part in folder.split("/")) or _GLOB.search(above):
        what = f"CVAT does not look into a folder of the name {folder!r}"
        yield Met(folder, what, inside)
        return
    others = sorted({name for name in storage.beside_root() if "/." not in f"/{name}"})
    if others:
        what = f"CVAT finds no archive, because {', '.join(others[:3])}"
        what += (" ..." if len(others) > 3 else "") + f" is beside the folder {folder!r}"
        if others == [_MAC]:
            inside = f"type \"zip -d {shlex.quote(facts.path)} '{_MAC}*'\""
        yield Met(others[0], what, inside)


def _renamed_below(folder: str) -> Files:
    return {f"{folder}/{name}": data for name, data in archive().items()}


@rule(
    ARCHIVE, "doubled-file", "files that a zip has twice", WARNING, None, 1,
    lambda: packed(archive(), "SegmentationClass/a.png"), is_logged=True,
)  # fmt: skip
def doubled_file(facts: ArchiveFacts) -> Iterator[Finding]:
    """The zip has a name twice, with the same content. It can be read; if the two differ, it is an
    error. The program that packed it has a fault."""
    for name in facts.storage.doubled if isinstance(facts.storage, ZipStorage) else ():
        what = "the zip has this file twice, with the same content"
        yield Met(name, what, "pack the archive again")


@rule(
    ARCHIVE, "two-masks", "items with two masks of one kind", ERROR, WARNING, 1,
    lambda: archive(others={"SegmentationClass/a.PNG": rgb("0220 0220")}), is_logged=True,
)  # fmt: skip
def two_masks(facts: ArchiveFacts) -> Iterator[Finding]:
    """Two masks of an item differ only in the spelling of their suffix. The usual spelling is
    used."""
    for other, taken in masks_passed_over(facts.storage):
        what = f"its item has another mask with another suffix, and {taken} is used"
        yield Met(other, what, "remove or rename one of them")


@rule(
    ARCHIVE, "two-images", "items with several images", ERROR, WARNING, 1,
    lambda: archive(images={"a.jpg": picture(), "a.png": rgb(BLOCK)}), is_logged=True,
)  # fmt: skip
def two_images(facts: ArchiveFacts) -> Iterator[Finding]:
    """An item has one image. If there are several, `.jpg` is used, then `.png`, `.jpeg`, and so
    on."""
    for item_id, taken, other in several_images(facts.storage, facts.archive.lists):
        what = f"its item has several images, and {taken} is used"
        yield Met(other, what, "remove all but one", item_id)


@rule(
    ARCHIVE, "no-masks", "no listed item has a mask", WARNING, WARNING, 1,
    lambda: archive({}, lists={"default": "a\n"}), is_logged=True,
)  # fmt: skip
def no_masks(facts: ArchiveFacts) -> Iterator[Finding]:
    """The lists name items, but none of them has a mask. Often the masks have other names than the
    lists, or are elsewhere."""
    count = sum(map(len, facts.subsets.values()))
    if count and not any(facts.archive.lists(item_id) for item_id, _ in masked_ids(facts.storage)):
        what = f"none of the {counted(count, 'listed item')} has a mask"
        folders = f"{layout.CLASS_MASKS} and {layout.INSTANCE_MASKS}"
        fix = f"if there should be some, put them in {folders}, named as the lists name the items"
        masked = [item_id for item_id, _ in islice(masked_ids(facts.storage), _LOOKED_AT)]
        below = next(filter(None, (_folder_too_deep(facts, item_id) for item_id in masked)), None)
        listed = _listed_too_deep(facts, set(masked))
        if below is not None:
            what += f", but masks in {layout.CLASS_MASKS}/{below} have their names"
            fix = f"move the masks of the folders {below!r} one up, to {folders}"
            fix = fix if "/" not in below else fix.replace(" one up,", "")
        elif listed is not None:
            what += f", but masks have the names without {listed + '/'!r}"
            fix = f"move the masks into {folders.replace(' and', f'/{listed} and')}/{listed}, or "
            fix += f"write the ids without {listed + '/'!r} into the lists"
        yield Met(layout.CLASS_MASKS, what, fix)


def _listed_too_deep(facts: ArchiveFacts, masked: set[str]) -> str | None:
    """Return the folder of a listed id without which it has a mask, None if there is none."""
    for ids in facts.subsets.values():
        for item_id in islice(ids, _LOOKED_AT):
            folder, _, name = item_id.rpartition("/")
            if folder and name in masked:
                return folder
    return None


@rule(
    WHOLE, "images-elsewhere", "images that no item has", NOTE, NOTE, 1,
    lambda: archive(others={"images/a.jpg": picture()}),
)  # fmt: skip
def images_elsewhere(facts: WholeFacts) -> Iterator[Finding]:
    """Items have no image, but there are images that belong to no item. The image of an item is in
    JPEGImages, and has the id of the item as its name."""
    if facts.of_archive is None or not facts.lacks_images:
        return
    storage = facts.of_archive.storage
    ids = {
        form: item_id
        for listed in facts.of_archive.subsets.values()
        for item_id in listed
        for form in layout.forms_of(item_id)
    }
    found = [name for name in _pictures(storage) if _stem(name) not in ids]
    if not found:
        return
    by_name = {form.rpartition("/")[2]: item_id for form, item_id in ids.items()}
    fits = next((name for name in sorted(found) if _last(name) in by_name), None)
    what = f"{counted(len(found), 'image')} such as {fits or min(found)} "
    what += ("belongs" if len(found) == 1 else "belong") + " to no item, and items have none"
    fix = f"put images into {layout.IMAGES}, each with the id of its item as its name"
    if fits is not None:
        fix += f"; here {layout.image(by_name[_last(fits)], layout.split_suffix(fits)[1])}"
    yield Met(fits or min(found), what, fix)


@rule(
    WHOLE, "image-type", "images of a type that is not read", NOTE, NOTE, 1,
    lambda: archive(others={"JPEGImages/a.heic": b"ftypheic"}),
)  # fmt: skip
def image_type(facts: WholeFacts) -> Iterator[Finding]:
    """Items have no image, but JPEGImages has files of types that neither Datumaro nor OpenCV reads
    as images: AVIF, HEIC, camera raw, DICOM, NIfTI, NumPy arrays. They are ignored."""
    if facts.of_archive is None or not facts.lacks_images:
        return
    names = facts.of_archive.storage.files(layout.IMAGES)
    found = [name for name in names if name.lower().endswith(layout.UNREAD_IMAGE_SUFFIXES)]
    if found:
        what = f"{counted(len(found), 'image')} such as this one "
        what += ("is" if len(found) == 1 else "are") + " of a type that is not read as an image"
        yield Met(min(found), what, "convert the images to PNG or JPEG, with the same names")


def _pictures(storage: Storage) -> Iterator[str]:
    names = chain(storage.files(layout.IMAGES), islice(storage.other_files(), _LOOKED_AT))
    return filter(_is_picture, names)


def _is_picture(name: str) -> bool:
    """Return whether a file is an image, and is not in a folder of masks."""
    suffix = layout.split_suffix(name)[1].lower()
    folder = name.partition("/")[0]
    return suffix in layout.IMAGE_SUFFIXES and layout.nearest_mask_folder(folder) is None


def _stem(name: str) -> str | None:
    """Return the id that a picture belongs to, None for one that is not among the images."""
    folder = f"{layout.IMAGES}/"
    return layout.split_suffix(name.removeprefix(folder))[0] if name.startswith(folder) else None


def _last(name: str) -> str:
    return layout.split_suffix(name)[0].rpartition("/")[2]


@rule(
    ARCHIVE, "unsafe-path", "names that lead out of the archive", ERROR, ERROR, 1,
    lambda: archive(others={"ImageSets/Segmentation/...txt": "a\n"}), is_logged=True,
)  # fmt: skip
def unsafe_path(facts: ArchiveFacts) -> Iterator[Finding]:
    """A name has `..`, a drive, a backslash or a control character, or a link leads out of the
    archive. Such a name cannot be used on every system, or is an attack."""
    problem_of = layout.problem_of_name
    for item_id, mask in masked_ids(facts.storage, problem_of) if facts.archive.has_lists else ():
        what = f"its name cannot be an id: {problem_of(item_id)}"
        yield Met(mask, what, "rename the file", item_id)


UNREADABLE_FILE = Rule(
    "unreadable-file", "files that cannot be read", ERROR, ERROR, 1,
    "A file cannot be read: it is damaged inside the zip, a broken link, a folder instead of a "
    "file, or this user may not read it.",
    lambda: packed(archive()).replace(b"IDAT", b"IDAU", 1),
)  # fmt: skip
