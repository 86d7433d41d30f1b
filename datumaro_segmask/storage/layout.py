"""Names and places in the archive: ids, subset lists, safe joining (docs/format.md, section 1).

Strings only: nothing here looks at a disk.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from ..errors import UnsafePathError

LABEL_MAP = "labelmap.txt"
SUBSETS = "ImageSets/Segmentation"
CLASS_MASKS = "SegmentationClass"
INSTANCE_MASKS = "SegmentationObject"
IMAGES = "JPEGImages"
TOP = (LABEL_MAP, "ImageSets", CLASS_MASKS, INSTANCE_MASKS, IMAGES)
"""All that an archive has at its root."""

MARKS = (CLASS_MASKS, INSTANCE_MASKS, SUBSETS)
"""The folders of which any makes the one it lies in the root of an archive, wherever that is."""

FOLDERS = (*MARKS, IMAGES)

STAGING = ".segmask-export-"
"""How the names begin of what an export keeps in its target for itself (see `commit`)."""

MAX_DEPTH = 3
"""Folders between the path that is given and the root of the archive."""

DEFAULT_SUBSET = "default"
MASK_SUFFIX = ".png"
MASK_PATTERN = ".[pP][nN][gG]"
"""The suffix of masks as a pattern for file names, in any case."""
LIST_SUFFIX = ".txt"
IMAGE_SUFFIXES = (
    *(".jpg", ".png", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif"),
    *(".dib", ".exr", ".hdr", ".jp2", ".jpe", ".pbm", ".pfm", ".pgm", ".pic", ".pnm", ".ppm"),
    *(".pxm", ".ras", ".sr", ".tga"),
)
"""The suffixes of images: those that Datumaro takes, and ``.gif``."""

UNREAD_IMAGE_SUFFIXES = (
    *(".avif", ".heic", ".heif", ".jxl", ".svg", ".psd", ".pdf", ".raw"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"),
    *(".dcm", ".nii", ".nii.gz", ".nrrd", ".mha", ".mhd", ".npy", ".npz", ".mat", ".h5", ".fits"),
    *(".czi", ".svs", ".ndpi", ".mp4", ".avi", ".mov", ".mkv"),
)
"""The suffixes of pictures that are not read as images."""

OTHER_MASK_SUFFIXES = {*IMAGE_SUFFIXES, ".npy", ".npz", ".mat"} - {MASK_SUFFIX}
"""The suffixes of files that are meant as masks, though the format does not know them."""

LIKE_MASKS = {MASK_SUFFIX, *OTHER_MASK_SUFFIXES}

MAX_NAME = 250  # bytes; file systems have 255, with the suffix
MAX_FOLDERS = 100  # in a new name; Python makes and removes folders one in the other
MAX_LINE = 4096  # characters; file systems stop at 255 a name and about 4,096 a path

_SHOWN = 200  # characters of a name in messages

_LITTER = re.compile(
    r"(^|/)(__MACOSX|\.DS_Store|Thumbs\.db|desktop\.ini|\.segmask-export-[^/]*|\._[^/]*)(/|$)", re.I
)
_MARKS_OF_LITTER = (
    "__macosx", ".ds_store", "thumbs.db", "desktop.ini", ".segmask-export-", "._",
)  # fmt: skip
_JOURNAL = re.compile(r"(^|/)\.segmask-export-[^/]*/journal$")
_UNSAFE_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")
_DRIVE = re.compile(r"^[A-Za-z]:")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_NOT_ON_WINDOWS = re.compile(
    r"""[<>:"|?*]|[. ](/|$)|(^|/)(CON|PRN|AUX|NUL|(COM|LPT)[0-9\u00b9\u00b2\u00b3])\s*([./]|$)""",
    re.I,
)
_EMPTY_PART = re.compile(r"(^|/)[. ]*(/|$)")


def class_mask(item_id: str) -> str:
    """Return the place of an item's class mask, relative to the root of the archive."""
    return f"{CLASS_MASKS}/{item_id}{MASK_SUFFIX}"


def instance_mask(item_id: str) -> str:
    """Return the place of an item's instance mask, relative to the root of the archive."""
    return f"{INSTANCE_MASKS}/{item_id}{MASK_SUFFIX}"


def mask_places(folder: str, item_id: str) -> Iterator[str]:
    """Yield the places where the mask of an item may lie in a folder of masks, the usual first.

    The suffix may be written in any case, and what was packed on macOS has its accents apart.
    """
    for form in forms_of(item_id):
        for suffix in _MASK_CASES:
            yield f"{folder}/{form}{suffix}"


def forms_of(name: str) -> list[str]:
    """Return a name and what looks the same: with accents as one letter (NFC), or apart (NFD)."""
    if name.isascii():
        return [name]
    return list(dict.fromkeys([name, *(unicodedata.normalize(f, name) for f in ("NFC", "NFD"))]))


def _cases(suffix: str) -> list[str]:
    """Return a suffix in small letters, in capitals, and in every other mixture of the two."""
    letters = itertools.product(*({c, c.upper()} for c in suffix))
    mixed = sorted(map("".join, letters), reverse=True)
    return list(dict.fromkeys([suffix, suffix.upper(), suffix.title(), *mixed]))


_MASK_CASES = _cases(MASK_SUFFIX)


def image(item_id: str, suffix: str) -> str:
    """Return the place of an item's image; ``suffix`` includes the dot."""
    return f"{IMAGES}/{item_id}{suffix}"


def nearest_mask_folder(folder: str) -> str | None:
    """Return the folder of masks whose name that of a folder nearly is, or is, None if none."""
    names = {name.lower(): name for name in (CLASS_MASKS, INSTANCE_MASKS)}
    near = get_close_matches(folder.lower().strip(), names, 1, 0.85)
    return names[near[0]] if near else None


def subset_list(subset: str) -> str:
    """Return the place of the list of a subset's items."""
    return f"{SUBSETS}/{subset}{LIST_SUFFIX}"


def subset_of(place: str) -> str | None:
    """Return the subset whose list is at a place of the archive, None where that is no list."""
    subset = place.removeprefix(f"{SUBSETS}/").removesuffix(LIST_SUFFIX)
    is_list = place == subset_list(subset) and "/" not in subset
    return subset if is_list else None


def is_inside_folder(name: str) -> bool:
    """Return whether a file lies in one of the folders for lists, masks and images."""
    return name.startswith(tuple(f"{folder}/" for folder in FOLDERS))


def is_litter(name: str) -> bool:
    """Return whether a path is litter that operating systems leave in folders and zips."""
    return _LITTER.search(name) is not None


def may_have_litter(text: str) -> bool:
    """Return whether any of many paths, one a line, may be litter; quicker than to ask for each."""
    small = text.lower()
    return any(mark in small for mark in _MARKS_OF_LITTER)


def is_journal(name: str) -> bool:
    """Return whether a path is the journal of an export that has not ended (see `journal`)."""
    return STAGING in name and _JOURNAL.search(name) is not None


def split_suffix(name: str) -> tuple[str, str]:
    """Split off the suffix of the last part of a path (``a.b/c.png`` -> ``a.b/c``, ``.png``)."""
    stem, dot, suffix = name.rpartition(".")
    if not dot or "/" in suffix or stem.endswith("/") or not stem:
        return name, ""
    return stem, dot + suffix


def problem_of_name(name: str) -> str | None:
    """Say why a relative path must not be used, or return None where it may.

    The rule is the strictest of the systems that an archive may be unpacked on: no way up or
    out, no absolute path, no drive, no control character.
    """
    if not name:
        return "the name is empty"
    if _UNSAFE_CHARACTER.search(name):
        return "it has a control character"
    if "\\" in name:
        return "it has a backslash, which Windows takes for a path separator"
    if name.startswith("/") or _DRIVE.search(name):
        return "it is an absolute path or has a drive letter"
    # Windows drops dots and spaces at the end of a name, so ".. " is ".." there.
    if _EMPTY_PART.search(name):
        return "a part of the path is empty, '.' or '..'"
    return None


def problem_of_new_name(name: str) -> str | None:
    """Say why a file of this name must not be made, suffix aside, or return None."""
    if _SURROGATE.search(name):
        return "it is not valid Unicode"
    if any(len(part.encode()) > MAX_NAME for part in name.split("/")):
        return f"a part of it is longer than {MAX_NAME} bytes in UTF-8"
    if is_litter(name + MASK_SUFFIX):
        return "files of such a name are what systems leave behind, and are ignored"
    if name.count("/") > MAX_FOLDERS:
        return f"it has more than {MAX_FOLDERS} folders"
    return problem_of_name(name)


def is_for_windows(name: str) -> bool:
    """Return whether Windows, too, can have a file of this name; `problem_of_name` has none."""
    return _NOT_ON_WINDOWS.search(name) is None


def check_name(name: str, where: str, kind: str | None = None) -> str:
    """Return ``name`` if it stays inside the archive; else raise UnsafePathError."""
    problem = problem_of_name(name)
    if problem:
        raise UnsafePathError(
            f"the name {name[:_SHOWN]!r} cannot be used: {problem}",
            where,
            "a path relative to the root of the archive, with '/' between folders",
            "rename the item",
            kind=kind,
        )
    return name


def check_subset(subset: str, where: str) -> str:
    """Return the name of a subset if its list stays in its folder; else raise UnsafePathError.

    ``a:b`` is one, as CVAT exports it: in the name of its list no drive stands at the beginning.
    """
    check_name(_DRIVE.sub("x", subset), where)
    return subset


def problem_of_new_subset(subset: str) -> str | None:
    """Say why a list for a subset must not be made, or return None."""
    return problem_of_new_name(_DRIVE.sub("x", subset))


def list_line(item_id: str, has_mask: bool) -> str:
    """Return the line that `parse_subset_list` takes for ``item_id``, without newline."""
    if not has_mask and split_suffix(item_id)[1].lower() in IMAGE_SUFFIXES:
        return item_id + MASK_SUFFIX
    return item_id


def problem_of_listed(item_id: str, has_mask: bool) -> str | None:
    """Say why a subset list cannot hold an id, or return None where it can."""
    if item_id != item_id.strip():
        return "an id in a list cannot begin or end with white space"
    if item_id.startswith("\ufeff"):
        return "it begins with a byte-order mark"
    if item_id.startswith("#") and not has_mask:
        return "a line that begins with '#' is a comment"
    if len(item_id) > MAX_LINE - len(MASK_SUFFIX):
        return f"it is longer than {MAX_LINE - len(MASK_SUFFIX)} characters"
    return problem_of_new_name(item_id)


def roots_of(names: Iterable[str], max_depth: int = MAX_DEPTH) -> list[str]:
    """Return the folders, among those of ``names``, in which an archive's layout begins.

    A root ends in ``/`` but for the top, which is ``""``. Only the shallowest level that has masks
    counts, or that has lists if there are no masks. ``names``: file paths relative to the top, with
    ``/``.
    """
    masks = tuple(f"{mark}/" for mark in MARKS if mark != SUBSETS)
    marks = (*masks, f"{SUBSETS}/")
    roots: dict[tuple[bool, int], set[str]] = {}
    known: tuple[str, ...] = ()  # where nearly all names of a large archive begin
    for name in names:
        if name.startswith(known) or is_litter(name):
            continue
        parts = name.split("/")
        for depth in range(min(len(parts) - 1, max_depth + 1)):
            rest = "/".join(parts[depth:])
            if rest.startswith(marks):
                root = "".join(f"{part}/" for part in parts[:depth])
                lacks_masks = not rest.startswith(masks)
                roots.setdefault((lacks_masks, depth), set()).add(root)
                if not lacks_masks:
                    known = known or tuple(root + mark for mark in marks)
                break
    return sorted(roots[min(roots)]) if roots else []
