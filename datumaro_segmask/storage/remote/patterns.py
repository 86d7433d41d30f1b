"""URLs with ``*``, ``?``, ``[…]`` and ``**``, as `glob` has them for paths.

fsspec's own ``glob`` leaves out what it cannot list, so folders are listed one by one here.
"""

from __future__ import annotations

import glob
from fnmatch import fnmatchcase
from functools import partial
from typing import Any
from urllib.parse import unquote

from .file import info_of, list_of
from .store import Store, without_query


def has_pattern(url: str) -> bool:
    """Tell whether a URL is a pattern; the question mark of a query is none."""
    return glob.has_magic(without_query(url).partition("://")[2])


def matching(url: str) -> list[str]:
    """Return the URLs of what a pattern fits. Raises SegmaskImportError."""
    store = Store(url)
    is_web = store.root.startswith(("http://", "https://"))
    begin, *parts = store.root.split("/")
    level = [begin]
    for number, part in enumerate(parts, 1):
        if not glob.has_magic(part):
            level = [f"{path}/{part}" for path in level]
        elif part == "**":
            level = _with_all_below(store, level)
        else:
            names = [entry["name"].rstrip("/") for path in level for entry in _listed(store, path)]
            level = [name for name in names if _fits(name, part, is_web)]
        if number == len(parts):
            level = [p for p in level if store.ask("look for it", p, partial(info_of, p))]
    return store.ask("name it", store.root, partial(_urls, level)) or []


def _fits(path: str, part: str, is_web: bool) -> bool:
    name = path.rpartition("/")[2]
    name = unquote(name) if is_web else name
    return fnmatchcase(name, part) and (part.startswith(".") or not name.startswith("."))


def _with_all_below(store: Store, level: list[str]) -> list[str]:
    found: list[str] = []
    while level:
        found += level
        entries = [entry for path in level for entry in _listed(store, path)]
        level = [e["name"].rstrip("/") for e in entries if e["type"] == "directory"]
    return found


def _listed(store: Store, path: str) -> list[dict[str, Any]]:
    return store.ask("list", path, partial(list_of, path)) or []


def _urls(paths: list[str], system: Any) -> list[str]:
    return [system.unstrip_protocol(path) for path in paths]
