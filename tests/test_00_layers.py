"""Every import goes one way: each module knows only the modules above it in this list."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "datumaro_segmask"
BELOW_DATUMARO = [
    "errors", "layout", "memory", "on_disk", "colors", "nonzero", "labelmap", "deflate",
    "png_container", "png_filters", "png", "rle", "runs", "lookup", "components", "chords",
    "polygons", "simplify", "numbering", "column_runs", "geometry", "painting", "png_write",
    "storage", "storage_zip", "storage_open", "storage_write", "archive", "item_read",
    "archive_write",
]  # fmt: skip
OF_DATUMARO = [
    "progress", "options", "export_labels", "masks", "transforms", "base", "importer", "shapes",
    "item_files", "in_place", "exporter",
]  # fmt: skip
WAYS_IN = ["_plugins", "_startup", "__init__", "__main__"]
USE_DATUMARO = {"errors", "colors", "labelmap"}  # for its error classes and its VOC tables

ORDER = BELOW_DATUMARO + OF_DATUMARO
THERE = sorted(path.stem for path in PACKAGE.glob("*.py"))
CLI = [
    "__init__", "findings", "tolerant", "cvat", "items", "survey", "report", "names", "mask_folder",
    "drawing", "page", "sheet",
]  # fmt: skip
COMMANDS = ["check", "preview", "from_masks", "selfcheck"]


def imported(module: str) -> tuple[set[str], set[str]]:
    """Return our own modules and the foreign packages that a module imports, anywhere in it."""
    ours, foreign = set(), set()
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            names = [f"datumaro_segmask.{node.module or alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "datumaro_segmask":
            names = [f"datumaro_segmask.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [str(node.module)]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            if package == "datumaro_segmask":
                ours.add(rest.partition(".")[0])
            else:
                foreign.add(package)
    return ours & set(THERE), foreign


@pytest.mark.parametrize("module", THERE)
def test_module_has_its_place(module: str) -> None:
    assert module in ORDER + WAYS_IN, f"write {module!r} into the list of layers"


@pytest.mark.parametrize("module", [m for m in ORDER if m in THERE])
def test_imports_go_up(module: str) -> None:
    above = set(ORDER[: ORDER.index(module)])
    ours, _ = imported(module)
    assert ours <= above, f"{module} imports {sorted(ours - above)}, which stand below it"


@pytest.mark.parametrize("module", [m for m in BELOW_DATUMARO if m in THERE])
def test_format_does_not_know_datumaro(module: str) -> None:
    _, foreign = imported(module)
    assert "datumaro" not in foreign or module in USE_DATUMARO


@pytest.mark.parametrize("path", sorted((PACKAGE / "cli").glob("*.py")), ids=lambda p: p.stem)
def test_commands_import_one_way(path: Path) -> None:
    """Each module of the commands knows those above it, and no command knows another."""
    tree = ast.parse(path.read_text("utf-8"))
    own = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 1]
    modules = {node.module or "__init__" for node in own}
    above = CLI if path.stem in COMMANDS else CLI[: CLI.index(path.stem)]
    assert modules <= set(above)


@pytest.mark.parametrize("module", [m for m in THERE if m != "__main__"])
def test_nothing_knows_the_commands(module: str) -> None:
    tree = ast.parse((PACKAGE / f"{module}.py").read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(alias.name for alias in node.names)]
            assert not [name for name in names if name.split(".")[0] == "cli"]


def test_startup_imports_nothing_of_weight() -> None:
    """What every start of Python imports; imports inside functions are another matter."""
    for module, allowed in {"__init__": set(), "_startup": {"os", "sys"}}.items():
        tree = ast.parse((PACKAGE / f"{module}.py").read_text("utf-8"))
        names = {a.name for node in tree.body if isinstance(node, ast.Import) for a in node.names}
        assert names == allowed
        assert not [node for node in tree.body if isinstance(node, ast.ImportFrom)]
