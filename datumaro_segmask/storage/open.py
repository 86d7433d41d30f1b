"""Where an archive lies: in a folder, in a zip, or up to three folders down in either."""

from __future__ import annotations

import glob
import os
import shlex
import stat
from collections.abc import Iterable
from contextlib import suppress

from ..errors import ArchiveError, SegmaskExportError, SegmaskImportError
from . import layout
from .journal import check, journaled, stagings
from .no_archive import files_below, no_folder, nothing_here
from .read import FolderStorage, Storage
from .remote.archive import open_remote
from .remote.file import has_pattern, matching
from .remote.store import is_url, shown
from .zip.archive import FileSource, ZipStorage
from .zip.directory import ZipDirectory


def absolute(path: str | os.PathLike[str]) -> str:
    """Return a path that means the same wherever the process goes; a URL stays as it is."""
    path = os.fspath(path)
    return path if not path or is_url(path) else os.path.abspath(path)


def fitting(paths: Iterable[str]) -> list[str]:
    """Return paths, URLs, and what patterns of them fit, in the order of names; each once.

    A path that is there is no pattern. Raises ArchiveError for a pattern that nothing fits.
    """
    return list(dict.fromkeys(match for path in paths for match in _fitting(path)))


def _fitting(path: str) -> list[str]:
    of_url = is_url(path)
    is_pattern = has_pattern(path) if of_url else glob.has_magic(path) and not os.path.exists(path)
    if not is_pattern:
        return [path]
    found = matching(path) if of_url else glob.glob(path)
    if not found:
        raise ArchiveError("no path fits", shown(path), "archives", "check the pattern")
    return sorted(found)


def open_storage(path: str | os.PathLike[str]) -> Storage:
    """Open the archive at ``path``, which lies where `archive_roots` looks.

    It may also lie far away, if ``path`` is a URL (see `remote`). Raises ArchiveError if there is
    none, or more than one, or if an export was cut short.
    """
    path = absolute(path)
    if is_url(path):
        return open_remote(path, _only_root)
    if not os.path.isfile(path):
        _check_path(path)
    roots = archive_roots(path)
    check_finished(path, *roots)
    root = _only_root(roots, path, files_below(path))
    if os.path.isfile(root):
        return open_zip(root)
    for name in layout.FOLDERS:
        _check_folder(os.path.join(root, *name.split("/")))
    return FolderStorage(root)


def _check_path(path: str) -> None:
    expected = "an archive (a folder or a zip) that this user may read"
    if not os.path.exists(path):
        raise ArchiveError("there is no such file or folder", path, expected, "check the path")
    if os.path.isdir(path) and not os.access(path, os.R_OK | os.X_OK):
        what = "the folder may not be read"
        raise ArchiveError(what, path, expected, "change its permissions")


def _check_folder(path: str) -> None:
    """Raise ArchiveError for a folder of the layout that cannot be read, for it is not missing."""
    if not os.path.lexists(path):
        return
    if not os.path.isdir(path):
        raise no_folder(path)
    _check_path(path)


def check_finished(*roots: str) -> None:
    """Raise ArchiveError for a folder in which an export was cut short while it moved its files.

    Only where `recover` would take it, that is what is advised.
    """
    for root in roots:
        for staging in journaled(root):
            with suppress(OSError, SegmaskExportError):  # at work, or what `recover` will tell
                check(staging, back=False)
            raise ArchiveError(
                "an export into this folder has not ended, so it may mix old and new masks",
                staging,
                "a finished export",
                "wait if it is still at work; if it was cut short, "
                f"'datumaro-segmask recover {shlex.quote(root)}' finishes it, and with --back it "
                "is undone; nothing is lost",
            )


def archive_roots(path: str) -> list[str]:
    """Return where archives may begin at ``path``; an import and detection both ask this.

    They are ``path`` itself if it is a file; else the folders, up to three down, that have a
    folder of masks, all of one depth, or lists if no folder has masks; else the only zip in these
    folders. A zip further down counts only if it holds an archive.
    """
    if os.path.isfile(path):
        return [path]
    level, zips, is_near = [path], list[str](), False
    with_lists: list[str] = []
    for depth in range(layout.MAX_DEPTH + 1):
        found = [f for f in level if _has_any(f, (layout.CLASS_MASKS, layout.INSTANCE_MASKS))]
        if found:
            return found
        with_lists = with_lists or [f for f in level if _has_any(f, (layout.SUBSETS,))]
        inside = [_look_into(folder) for folder in level]
        level = [below for folders, _ in inside for below in folders]
        if not zips:
            zips, is_near = [file for _, files in inside for file in files], depth == 0
    if with_lists:
        return with_lists
    return zips if len(zips) == 1 and (is_near or _roots_in_zip(zips[0])) else []


def _has_any(folder: str, marks: Iterable[str]) -> bool:
    return any(os.path.isdir(os.path.join(folder, mark)) for mark in marks)


def folder_roots(path: str) -> list[str]:
    """Return the folders, up to three down from ``path``, where an archive's layout begins."""
    return [root for root in archive_roots(path) if not os.path.isfile(root)]


def _look_into(folder: str) -> tuple[list[str], list[str]]:
    """Return the folders and the zips in a folder; none of either if it cannot be read."""
    folders, zips = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if layout.is_litter(entry.name):
                    continue
                if entry.is_dir():
                    folders.append(entry.path)
                elif entry.name.lower().endswith(".zip") and entry.is_file():
                    zips.append(entry.path)
    except (OSError, ValueError):  # not to be read, or no path at all: no archive to offer
        return [], []
    return sorted(folders), zips


def is_alone(path: str, root: str) -> bool:
    """Whether nothing else lies in ``path`` and the folders down to an archive in it."""
    while root != path:
        root = os.path.dirname(root)
        names = (name for name in os.listdir(root) if not name.startswith("."))
        if sum(not layout.is_litter(name) for name in names) != 1:
            return False
    return True


def _only_root(
    roots: list[str], where: str, names: Iterable[str] = (), in_zip: bool = False
) -> str:
    """Return the one root of those found; ``names`` of all files tell why there is none."""
    if not roots and stagings(where):
        raise ArchiveError(
            "an export into this folder was cut short before its first file was in place",
            where,
            "a finished export",
            "export again",
        )
    if not roots:
        raise nothing_here(where, names, in_zip)
    if len(roots) > 1:
        shown = ", ".join(repr(root.rstrip("/")) for root in roots[:5])
        raise ArchiveError(
            f"{len(roots)} archives are side by side ({shown})",
            where,
            "one archive",
            "import them one by one and join them with 'datum merge'",
        )
    return roots[0]


def open_zip(path: str) -> ZipStorage:
    """Open the archive in a zip on the disk; the rest as `open_storage`."""
    source = FileSource(path)
    directory = ZipDirectory(source)
    root = _only_root(directory.roots, path, directory.names(""), True)
    return ZipStorage(source, directory, root)


def holds_archive(path: str) -> bool:
    """Whether one archive is at ``path``, wherever `open_storage` looks; never raises."""
    roots = archive_roots(path)
    return len(roots) == 1 and (not os.path.isfile(roots[0]) or len(_roots_in_zip(roots[0])) == 1)


def _roots_in_zip(path: str) -> list[str]:
    try:
        return ZipDirectory(FileSource(path)).roots
    except SegmaskImportError:
        return []


def version(path: str) -> str | None:
    """Return what differs when a file has changed; None for what is no file of this machine."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    is_file = stat.S_ISREG(status.st_mode)
    return f"{status.st_size} bytes, {status.st_mtime_ns} ns" if is_file else None
