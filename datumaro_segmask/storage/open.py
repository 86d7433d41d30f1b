"""Where an archive lies: in a folder, in a zip, or up to three folders down in either."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable

from ..errors import ArchiveError, SegmaskImportError
from . import layout
from .journal import journaled, stagings
from .read import FolderStorage, Storage
from .remote.archive import open_remote
from .remote.store import is_url
from .strangers import files_below, no_folder, nothing_here
from .zip.archive import FileSource, ZipStorage
from .zip.directory import ZipDirectory


def open_storage(path: str) -> Storage:
    """Open the archive at ``path``: a folder, or a zip, or a folder that holds nothing but a zip.

    All of them may also lie far away, where ``path`` is a URL (see `remote`). The root may lie up
    to three folders down. Raises ArchiveError where there is none, or more
    than one, or where an export was cut short.
    """
    if is_url(path):
        return open_remote(path, _only_root)
    if os.path.isfile(path):
        return open_zip(path)
    _check_path(path)
    roots = folder_roots(path)
    check_finished(path, *roots)
    lone = None if roots else lone_zip(path)
    if lone is not None:
        return open_zip(lone)
    root = _only_root(roots, path, files_below(path))
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
    """Raise ArchiveError for a folder in which an export was cut short while it moved its files."""
    for root in roots:
        for staging in journaled(root):
            raise ArchiveError(
                "an export into this folder has not ended, so it may mix old and new masks",
                staging,
                "a finished export",
                "wait if it is still at work; if it was cut short, "
                f"'datumaro-segmask recover {shlex.quote(root)}' finishes it, and with --back it "
                "is undone; nothing is lost",
            )


def folder_roots(path: str) -> list[str]:
    """Return the folders, up to three down from ``path``, where an archive's layout begins."""
    level = [path]
    for _ in range(layout.MAX_DEPTH + 1):
        found = [f for f in level if any(os.path.isdir(os.path.join(f, m)) for m in layout.MARKS)]
        if found:
            return found
        level = [sub for folder in level for sub in _folders_in(folder)]
    return []


def _folders_in(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            folders = [entry.path for entry in entries if entry.is_dir()]
    except (OSError, ValueError):  # not to be read, or no path at all: no archive to offer
        return []
    return sorted(f for f in folders if not layout.is_litter(os.path.basename(f)))


def lone_zip(folder: str) -> str | None:
    """Return the path of the only zip in a folder, None where there is none or more than one."""
    try:
        with os.scandir(folder) as entries:
            zips = [e for e in entries if e.name.lower().endswith(".zip") and e.is_file()]
    except (OSError, ValueError):
        return None
    paths = [entry.path for entry in zips if not layout.is_litter(entry.name)]
    return paths[0] if len(paths) == 1 else None


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
            f"{len(roots)} archives lie side by side ({shown})",
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
    """Tell whether an archive is at ``path``, wherever `open_storage` looks; never raises."""
    if not os.path.isfile(path):
        if folder_roots(path):
            return True
        lone = lone_zip(path)
        if lone is None:
            return False
        path = lone
    try:
        return bool(ZipDirectory(FileSource(path)).roots)
    except SegmaskImportError:
        return False
