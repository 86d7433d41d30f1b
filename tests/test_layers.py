"""Imports run one way: each wing knows only those before it, and each file only what it may.

One reader, no arrow up, no circle, light imports, a free start of Python.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "datumaro_segmask"
WINGS = [
    "options", "errors", "progress", "processes", "arrays", "colors", "signatures", "png",
    "storage", "regions", "archive", "rules", "training", "formats", "sharding", "plugin", "cli",
]  # fmt: skip
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


def test_no_circle() -> None:
    """Between the files of a wing; `static_order` would raise CycleError."""
    modules = {"datumaro_segmask." + dotted(path): path for path in rooms()}

    def module_of(name: str) -> str:
        return name if name in modules else name.rpartition(".")[0]

    graph = {name: {*map(module_of, imports(path))} & {*modules} for name, path in modules.items()}
    assert set(TopologicalSorter(graph).static_order()) == set(modules)


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def calls(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text("utf-8")))
    return {n.func.id for n in nodes if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}


def test_class_lookup_is_made_in_one_place() -> None:
    """Who reads items is handed a `Reader`, and none decides by itself what a pixel means."""
    making = {
        path.relative_to(PACKAGE).as_posix() for path in rooms() if "ClassLookup" in calls(path)
    }
    assert making == {"archive/item.py"}


def test_who_knows_where_a_mask_lies() -> None:
    """The archive and its writer; and storages, which fetch the masks of an item ahead."""
    knowing = {p.relative_to(PACKAGE).as_posix() for p in rooms() if knows_places(p)}
    allowed = {name for name in knowing if name.startswith(("archive/", "storage/"))}
    assert knowing - allowed == {"formats/archive.py"}


def knows_places(path: Path) -> bool:
    """Tell whether a file asks for the place of a mask."""
    nodes = [*ast.walk(ast.parse(path.read_text("utf-8")))]
    asked = {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "layout"
    }
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return bool(asked & {"class_mask", "instance_mask", "mask_places"} or "find_mask" in names)


@pytest.mark.parametrize(
    ("mark", "homes"),
    [
        ("MaskEncoder", {"formats/archive.py"}),  # an archive's masks
        ("label_map_lines", {"formats/archive.py"}),
        ("CocoText", {"formats/coco.py"}),  # COCO's instances
        ("id_colors", {"formats/panoptic.py"}),
        ("YoloCoder", {"formats/yolo.py"}),
        ("_yaml_text", {"formats/data_file.py"}),  # the data.yaml of Ultralytics
        ("ParquetWriter", {"sharding/table.py"}),  # pyarrow's
    ],
)
def test_no_format_is_written_in_two_places(mark: str, homes: set[str]) -> None:
    """What a file of a format is made with is used where the format is written, and there alone."""
    assert {p.relative_to(PACKAGE).as_posix() for p in rooms() if mark in used(p)} == homes


def used(path: Path) -> set[str]:
    """Return the names that a file uses, whatever they are taken from."""
    nodes = [*ast.walk(ast.parse(path.read_text("utf-8")))]
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return attributes | {node.id for node in nodes if isinstance(node, ast.Name)}


def test_light_imports() -> None:
    """What knows no Datumaro does not load it, nor pandas, which comes with it."""
    light = WINGS[: WINGS.index("plugin")]
    names = [f"datumaro_segmask.{dotted(path)}" for path in rooms() if wing_of(path) in light]
    code = f"import sys, {', '.join(names)}; print({{'datumaro', 'pandas'}} & set(sys.modules))"
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    assert done.stdout == "set()\n"


def test_start_of_python_is_free() -> None:
    for name in ("__init__.py", "_startup.py"):
        tree = ast.parse((PACKAGE / name).read_text("utf-8"))
        always = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
        found = {alias.name for node in always for alias in node.names}
        assert found <= {"os", "sys"}
