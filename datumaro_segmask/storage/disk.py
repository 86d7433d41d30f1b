"""What names on a disk are asked and told everywhere: to join, to list, to flush them."""

from __future__ import annotations

import os
from collections.abc import Iterator


def at(*parts: str) -> str:
    """Join paths, the last of which is a place in an archive."""
    return os.path.join(*parts[:-1], *parts[-1].split("/"))


def is_inside(path: str, root: str) -> bool:
    """Tell whether a real path is ``root``, a real path too, or lies below it."""
    return path == root or path.startswith(os.path.join(root, ""))


def entries(folder: str) -> Iterator[os.DirEntry[str]]:
    """Yield what a folder holds, one by one: there may be a million."""
    with os.scandir(folder) as found:
        yield from found


def flush_folder(path: str) -> None:
    """Wait until the names in a folder are on the disk."""
    if os.name == "nt":  # which cannot open a folder, and keeps the order of its changes
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
