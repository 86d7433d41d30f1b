"""What lies at a path where no archive is: what it seems to be, and what to type.

Source: docs/format.md, section 1.
"""

from __future__ import annotations

import os
import posixpath
import shlex
from collections.abc import Iterable, Iterator
from itertools import islice

from .. import signatures
from ..errors import ArchiveError, MissingFileError, StoreError, printable
from . import layout
from .disk import open_plain

COPY = "copy or export the archive again, it is damaged"

_LOOKED_AT = 10_000  # files by which a folder or zip is judged
_SHOWN = 3
_LONGEST = 300  # characters of a name that a message can hold
_EXPECTED = (
    f"the folders {layout.CLASS_MASKS} and {layout.SUBSETS}, here or up to "
    f"{layout.MAX_DEPTH} folders down"
)
_EXPORT = (
    "cvat-cli --server-host HOST task export-dataset --format 'Segmentation mask 1.1' "
    "TASK_ID task.zip"
)
_CHECK = "check the path, and that CVAT exported 'Segmentation mask 1.1'"
_PACKED = (".zip", ".7z", ".rar", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")
_FOREIGN = {
    "annotations.xml": "CVAT for images",
    "obj.data": "YOLO",
    "data.yaml": "YOLO",
    "dataset.json": "nnU-Net",
}
_CONVERTED = {"YOLO", "COCO or Datumaro"}  # which `convert` reads by itself
_FOREIGN_FOLDERS = {  # and of which suffix the files in them are
    "annotations": ("COCO or Datumaro", (".json", ".xml")),
    "labels": ("YOLO", (".txt",)),
    "gtFine": ("Cityscapes", ("",)),
}


# A file


def no_zip(why: str, place: str) -> ArchiveError:
    """Make the error for a zip whose directory cannot be read."""
    return ArchiveError(f"the zip cannot be read ({why})", place, "a sound zip", COPY)


def too_large(limit: int, place: str) -> ArchiveError:
    """Make the error for a file that is not read because of its size."""
    return ArchiveError(
        f"the file has more than {limit:,} bytes", place, f"at most {limit:,}", "check what it is"
    )


def unreadable(why: str, place: str) -> MissingFileError:
    """Make the error for a file that is not there, or may not be read."""
    what, remedy = f"the file cannot be read ({why})", "check the path and the permissions"
    return MissingFileError(what, place, "a file that this user may read", remedy)


def gone(what: str, place: str) -> StoreError:
    """Make the error for an archive that is not where it was when it was opened."""
    expected = "an archive that stays where it is while it is read"
    remedy = "put it back, or connect its disk again, and read the archive again"
    return StoreError(what, place, expected, remedy)


def no_folder(place: str) -> ArchiveError:
    """Make the error for what lies in the place of a folder of an archive, and is none."""
    return ArchiveError(
        "this is not a folder, or a link to a missing one",
        place,
        "a folder of files; Git and zips make files of links to folders",
        "copy the folder that is meant here",
    )


def not_a_zip(head: bytes, place: str) -> ArchiveError:
    """Make the error for a file that is no zip, by its first `signatures.HEAD` bytes."""
    kind = signatures.kind_of(head)
    is_named_so = "://" in place or place.lower().endswith(".zip")
    part = None if is_named_so else _part_of_archive(place)
    if part is not None:
        what, remedy = part
        return ArchiveError(what, place, "an archive in a folder or a zip", remedy)
    what = f"the file is {kind}, not a zip" if kind else "the file is not a zip"
    if kind == signatures.ZIP:
        what = "the zip has no end: it was cut short"
    elif kind == signatures.EMPTY:
        what = "the file is empty"
    return ArchiveError(what, place, "an archive in a folder or a zip", _remedy(kind, place))


def _remedy(kind: str | None, place: str) -> str:
    name = posixpath.basename(place.replace(os.sep, "/"))
    if kind is not None and kind in signatures.PACKED - {signatures.ZIP}:
        command, folder = _unpacking(kind, place)
        return f"unpack it ({command}), and give the folder {folder}"
    if kind == signatures.HTML:
        return f"this is a page of a server, to sign in or with an error; export again: {_EXPORT}"
    if kind in (signatures.JSON, signatures.XML):
        return (
            "open it: if it is an error of a server, fetch the file again, and if it has "
            "annotations of another format, 'datum convert -if FORMAT' reads them"
        )
    if kind == signatures.POINTER:
        return f"type 'git lfs pull --include {shlex.quote(name)}', which fetches the file"
    if kind in signatures.LOSSLESS | signatures.LOSSY | {signatures.PNG}:
        return (
            "give the folder of the archive; if it is a folder of masks, 'datumaro-segmask "
            "from-masks DIR --labels names.txt -o task.zip' makes one"
        )
    return "give the path of an archive; if this should be one, copy or export it again"


def _unpacking(kind: str, place: str) -> tuple[str, str]:
    """Return what to type to unpack a file into a folder of its own, and that folder."""
    name = posixpath.basename(place) if "://" in place else place
    folder = posixpath.basename(name.replace(os.sep, "/")).partition(".")[0] or "task"
    file, to = shlex.quote(name), shlex.quote(folder)
    how = {
        signatures.ZIP: f"unzip {file} -d {to}",
        signatures.SEVEN_ZIP: f"7z x {file} -o{to}",
        signatures.RAR: f"unrar x {file} {to}/",
    }
    return how.get(kind, f"mkdir {to} && tar -xf {file} -C {to}"), to


# A folder, or what is in a zip


def files_below(folder: str) -> Iterator[str]:
    """Yield the files in a folder and those in it, relative to it, with ``/``."""
    for path, folders, files in os.walk(folder):
        folders.sort()
        below = os.path.relpath(path, folder).replace(os.sep, "/")
        for name in sorted(files):
            yield name if below == "." else f"{below}/{name}"


def nothing_here(where: str, names: Iterable[str], in_zip: bool) -> ArchiveError:
    """Make the error for a folder or zip without an archive; ``names`` are of the files in it."""
    known = [name for name in islice(names, _LOOKED_AT) if _can_be_shown(name)]
    reasons = (_too_deep, _misnamed, _packed, _inside, _foreign, _loose_masks)
    found = next(filter(None, (reason(where, known, in_zip) for reason in reasons)), None)
    what, fix = found or ("there is no archive of segmentation masks here", _CHECK)
    return ArchiveError(what, where, _EXPECTED, fix)


def _can_be_shown(name: str) -> bool:
    is_sound = layout.problem_of_name(name) is None and not layout.is_litter(name)
    return is_sound and len(printable(name)) <= _LONGEST


_Reason = tuple[str, str] | None


def _too_deep(where: str, names: list[str], in_zip: bool) -> _Reason:
    roots = layout.roots_of(names, max_depth=_LOOKED_AT)
    if not roots:
        return None
    root = roots[0].rstrip("/")
    what = f"the archive is {roots[0].count('/')} folders down, in {root!r}"
    return what, _give(where, root, in_zip)


def _give(where: str, name: str, in_zip: bool) -> str:
    """Return how to give what lies in a folder or a zip in place of it."""
    if not in_zip:
        return f"give the path {shlex.quote(os.path.join(where, *name.split('/')))}"
    command, folder = _unpacking(signatures.ZIP, where)
    return f"unpack it ({command}), and give the path {shlex.quote(f'{folder}/{name}')}"


def _misnamed(where: str, names: list[str], in_zip: bool) -> _Reason:
    """Masks in a folder of nearly the right name, such as ``segmentationclass``."""
    folders = {part for name in names for part in name.split("/")[:-1]}
    for folder in sorted(folders):
        usual = layout.nearest_mask_folder(folder)
        if usual is not None:
            what = f"there is no archive of segmentation masks here, but a folder {folder!r}"
            return what, f"rename it to exactly {usual}"
    return None


def _packed(where: str, names: list[str], in_zip: bool) -> _Reason:
    found = [name for name in names if name.lower().endswith(_PACKED)]
    if not found:
        return None
    shown = ", ".join(found[:_SHOWN]) + (" ..." if len(found) > _SHOWN else "")
    is_one = len(found) == 1
    count = "a packed file" if is_one else f"{len(found)} packed files"
    what = f"there is no archive of segmentation masks here, but {count}: {shown}"
    several = "" if is_one else "; 'datum merge' joins what was imported of several"
    return what, _give(where, found[0], in_zip) + several


def _inside(where: str, names: list[str], in_zip: bool) -> _Reason:
    """A folder of an archive, in place of the archive."""
    return None if in_zip or "://" in where else _part_of_archive(where)


def _part_of_archive(path: str) -> _Reason:
    """A folder or file that an archive has at its root, or one in such a folder."""
    parts = os.path.abspath(path).split(os.sep)
    at = next((i for i, part in enumerate(parts) if part in layout.TOP), None)
    if at is None:
        return None
    remedy = f"give the path {shlex.quote(os.sep.join(parts[:at]) or os.sep)}"
    if not os.path.isfile(path):
        return f"this is the folder {parts[at]} of an archive, and not the archive", remedy
    what = f"this is the file {'/'.join(parts[at:])} of an archive, and not the archive"
    return what, f"the archive is the folder above: {remedy}"


def _foreign(where: str, names: list[str], in_zip: bool) -> _Reason:
    for name in names:
        first, _, rest = name.partition("/")
        of_folder, suffixes = _FOREIGN_FOLDERS.get(first, (None, ()))
        is_theirs = rest and name.lower().endswith(suffixes)
        format_name = _FOREIGN.get(name) or (of_folder if is_theirs else None)
        if format_name:
            what = (
                f"there is no archive of segmentation masks here; {name} belongs to {format_name}"
            )
            if format_name not in _CONVERTED:
                return what, f"export it again, as 'Segmentation mask 1.1': {_EXPORT}"
            unpack, folder = _unpacked(where, in_zip)
            fix = f"unpack it ({unpack}); " if in_zip else ""
            fix += f"'datumaro-segmask convert {shlex.quote(folder)} -f segmask -o archive' makes "
            return what, f"{fix}an archive of it"
    return None


def _unpacked(where: str, in_zip: bool) -> tuple[str, str]:
    """Return what to type to unpack a zip, "" for a folder, and the folder that there is then."""
    if in_zip:
        return _unpacking(signatures.ZIP, where)
    return "", "DIR" if "://" in where else where


def to_unpack(path: str) -> str:
    """Return what to do about a packed file in the place of a folder, "" if it is none."""
    with open_plain(path) as file:
        kind = signatures.kind_of(file.read(signatures.HEAD))
    if kind not in signatures.PACKED:
        return ""
    command, folder = _unpacking(str(kind), path)
    return f"unpack it ({command}), and give the folder {folder}"


def _loose_masks(where: str, names: list[str], in_zip: bool) -> _Reason:
    """PNGs that may be masks; those of FiftyOne lie in ``labels``, the pictures in ``data``."""
    found = [name for name in names if name.lower().endswith(layout.MASK_SUFFIX)]
    if not found:
        return None
    stems = {layout.split_suffix(posixpath.basename(name))[0] for name in found}
    pictures = [
        name
        for name in names
        if name not in found
        and layout.split_suffix(name)[1].lower() in layout.IMAGE_SUFFIXES
        and layout.split_suffix(posixpath.basename(name))[0] in stems
    ]
    unpack, top = _unpacked(where, in_zip)
    command = f"datumaro-segmask from-masks {_only_folder(top, found)}"
    if pictures:
        command += f" --images {_only_folder(top, pictures)}"
    what = f"there is no archive of segmentation masks here, but PNG files such as {found[0]}"
    fix = f"unpack it ({unpack}); " if in_zip else ""
    fix += f"if it is a folder of masks, '{command} --labels names.txt -o task.zip' makes an "
    return what, f"{fix}archive"


def _only_folder(top: str, names: list[str]) -> str:
    """Return, to be typed, the folder that all of the files lie in: ``top``, or one below it."""
    folders = {name.partition("/")[0] if "/" in name else "" for name in names}
    below = folders.pop() if len(folders) == 1 else ""
    return shlex.quote(os.path.join(top, below) if below else top)
