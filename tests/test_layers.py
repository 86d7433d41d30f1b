"""Imports run one way: each wing knows only those before it, and each file only what it may."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "datumaro_segmask"
WINGS = ["errors", "colors", "arrays", "png", "storage", "regions", "archive", "plugin", "cli"]
"""The order of the house; `_bridge`, `_startup`, `__main__` and `__init__` are its doors."""


def imports(path: Path) -> Iterator[str]:
    """Yield what a file imports, anywhere in it, as absolute names."""
    parts = ("datumaro_segmask", *path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = parts[: len(parts) + 1 - node.level] if node.level else ()
            module = [*base, *([node.module] if node.module else [])]
            yield from (".".join([*module, alias.name]) for alias in node.names)


def wing_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def rooms() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if wing_of(path) in WINGS]


def test_no_arrow_runs_up() -> None:
    for path in rooms():
        mine = WINGS.index(wing_of(path))
        for name in imports(path):
            package, _, rest = name.partition(".")
            theirs = rest.partition(".")[0]
            if package == "datumaro_segmask" and theirs in WINGS:
                assert WINGS.index(theirs) <= mine, f"{path} imports {name}"
