"""An editor completes what our public functions return, and the first example of the API runs."""

from __future__ import annotations

import importlib.util
import inspect
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import datumaro_segmask

PACKAGE = Path(datumaro_segmask.__file__).parent
MODULES = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name not in ("__init__.py", "__main__.py")
]


def functions(module: object, name: str) -> Iterator[tuple[str, Any]]:
    for own, value in vars(module).items():
        if own.startswith("_") or getattr(value, "__module__", None) != name:
            continue
        if inspect.isfunction(value):
            yield f"{name}.{own}", value
        elif inspect.isclass(value):
            yield from (
                (f"{name}.{own}.{method}", function)
                for method, function in vars(value).items()
                if inspect.isfunction(function) and not method.startswith("_")
            )


def test_the_package_says_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()


@pytest.mark.parametrize("name", MODULES)
def test_public_functions_say_what_they_return(name: str) -> None:
    if name == "datumaro_segmask.experimental":
        pytest.importorskip("datumaro.experimental.legacy", reason="needs Datumaro 1.13")
        pytest.importorskip("polars", reason="needs polars, as datumaro.experimental does")
    untyped = [
        place
        for place, function in functions(importlib.import_module(name), name)
        if function.__annotations__.get("return", "Any") == "Any"
    ]
    # Datumaro's own methods, of whose results the types are its affair.
    assert [p for p in untyped if not p.endswith((".get_bbox", ".exec_module"))] == []


def test_example_of_the_api(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, registered: None
) -> None:
    shutil.copy(PACKAGE.parent / "examples/street.zip", tmp_path / "task.zip")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", datumaro_segmask.__doc__ or "", re.DOTALL)
    exec(code, {})
    assert len(capsys.readouterr().out.splitlines()) > 100
    assert (tmp_path / "item.png").is_file()
    assert (tmp_path / "out/SegmentationClass/street_01.png").is_file()


def test_what_the_api_lists_is_there() -> None:
    names = re.findall(r"\(#datumaro_segmask\.([\w.]+)\)", datumaro_segmask.__doc__ or "")
    assert len(names) > 5
    for name in names:
        module, _, attribute = f"datumaro_segmask.{name}".rpartition(".")
        found = hasattr(importlib.import_module(module), attribute)
        assert found or importlib.util.find_spec(f"{module}.{attribute}")
