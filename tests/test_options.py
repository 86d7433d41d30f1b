"""Options are declared once, and a value that is none is refused wherever it is given."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datumaro.cli.__main__ import main as datum
from datumaro.components.dataset import Dataset
from datumaro.components.errors import DatasetExportError

import datumaro_segmask
from datumaro_segmask import cli
from datumaro_segmask.__main__ import main
from datumaro_segmask.errors import ExportOptionError, OptionError
from datumaro_segmask.options import EXPORTS, IMPORTS, Numbers, Option, is_number, options_of
from datumaro_segmask.plugin.export.exporter import SegmaskExporter
from datumaro_segmask.plugin.training.coco import CocoSegmentsExporter
from datumaro_segmask.plugin.transforms import MasksToExactPolygons, SplitComponents

from .archives import archive, as_folder, rgb
from .formats import coco_sets, yolo_sets

datumaro_segmask.register()

# The command line: all numbers of all commands

PARSERS: dict[str, argparse.ArgumentParser] = {
    **{name: cli.parser_of(name) for name in cli.COMMANDS},
    "export to segmask": SegmaskExporter.build_cmdline_parser(),
    "export to coco_segments": CocoSegmentsExporter.build_cmdline_parser(),
    "polygons": MasksToExactPolygons.build_cmdline_parser(),
    "components": SplitComponents.build_cmdline_parser(),
}
NUMBERS = {
    f"{name} {action.option_strings[-1]}": (parser, action)
    for name, parser in PARSERS.items()
    for action in parser._actions
    if getattr(action.type, "__qualname__", "").startswith("number_type.")
}


def test_every_number_is_parsed_by_the_one_helper() -> None:
    parsed = [action.type for parser in PARSERS.values() for action in parser._actions]
    assert not any(one in (int, float) for one in parsed)
    assert len(NUMBERS) > 20


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_that_are_none(name: str) -> None:
    _, action = NUMBERS[name]
    assert callable(action.type)
    for text in ("x", "", "nan", "inf", "-inf", "1e999", "1,000"):
        with pytest.raises(argparse.ArgumentTypeError, match=r"is not a (whole )?number"):
            action.type(text)


LEAST = {
    "check --jobs": 1, "check --max-pixels": 1, "check --ignore-index": 0, "shard --jobs": 1,
    "shard --shard-items": 1, "preview --max-items": 1, "preview --workers": 1, "preview --side": 1,
    "preview --inline": 0, "convert --num-workers": 0, "convert --min-area": 0,
    "convert --tolerance": 0, "from-masks --min-area": 0, "components --min-area": 0,
    "polygons --tolerance": 0,
}  # fmt: skip


@pytest.mark.parametrize("name", LEAST)
def test_numbers_that_are_too_small(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser, action = NUMBERS[name]
    least, flag = LEAST[name], action.option_strings[-1]
    assert callable(action.type)
    assert action.type(str(least)) == least
    with pytest.raises(SystemExit):
        parser.parse_args([flag, str(least - 1)])
    said = capsys.readouterr().err
    limit = rf"(, {least} or more| from {least})"
    assert re.search(rf"{flag}: '{least - 1}' is not a (whole )?number{limit}", said)


# Python

COCO = {"a.json": coco_sets.dataset(coco_sets.annotation(1, 42)), "b.jpg": None, "x/a.jpg": None}


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("options")
    return {
        "segmask": str(as_folder(archive({"a": rgb("1")}), folder / "task")),
        "coco_segments": str(as_folder(coco_sets.files(COCO), folder / "coco")),
        "yolo_segments": str(as_folder(yolo_sets.tree(), folder / "yolo")),
    }


def values_that_are_none(option: Option) -> list[object]:
    if option.choices:
        return ["x", 6, None, [*option.choices]]
    if option.kind is bool:
        return ["no", None, 2]
    if option.kind is str:
        return [5, ["a"]]
    low = [] if option.least is None else [option.least - 1]
    low += [] if option.most is None else [option.most + 1]
    return [
        *low,
        "1",
        float("nan"),
        float("inf"),
        [1],
        True,
        *([0.5] if option.kind is int else []),
    ]


def wrong(options: dict[str, type]) -> list[Any]:
    return [
        pytest.param(name, option, value, id=f"{name}-{option.name}-{value}")
        for name, declared in options.items()
        for option in options_of(declared)
        for value in values_that_are_none(option)
        if not (value is None and option.default is None)
    ]


@pytest.mark.parametrize(("name", "option", "value"), wrong(IMPORTS))
def test_import_refuses_values(
    name: str, option: Option, value: object, paths: dict[str, str]
) -> None:
    with pytest.raises(OptionError) as caught:
        Dataset.import_from(paths[name], name, **{option.name: value})
    assert caught.value.what == f"the option {option.name} is {value!r}"
    assert caught.value.expected == option.expected
    assert caught.value.remedy


@pytest.mark.parametrize(("name", "option", "value"), wrong(EXPORTS))
def test_export_refuses_values(
    name: str, option: Option, value: object, paths: dict[str, str], tmp_path: Path
) -> None:
    """With Datumaro's error, too, and before anything is written."""
    dataset = Dataset.import_from(paths["segmask"], "segmask")
    with pytest.raises(ExportOptionError) as caught:
        dataset.export(str(tmp_path / "out"), name, **{option.name: value})
    assert isinstance(caught.value, DatasetExportError)
    assert caught.value.what == f"the option {option.name} is {value!r}"
    assert caught.value.expected == option.expected
    assert not [*tmp_path.glob("out/*")]


@pytest.mark.parametrize(
    ("name", "typed", "meant"),
    [
        ("segmask", "mask_mod", "type 'mask_mode'"),
        ("segmask", "save_medai", "type 'save_media'"),
        ("coco_segments", "tolerence", "type 'tolerance'"),
        ("yolo_segments", "splits", "type 'split'"),
        ("panoptic_segments", "keep_back", "type 'keep_background'"),
        ("yolo_segments", "xyzzy", "leave it out"),
    ],
)
def test_export_refuses_options_with_the_one_that_is_meant(
    name: str, typed: str, meant: str, paths: dict[str, str], tmp_path: Path
) -> None:
    dataset = Dataset.import_from(paths["segmask"], "segmask")
    with pytest.raises(ExportOptionError) as caught:
        dataset.export(str(tmp_path / "out"), name, **{typed: 1})
    assert caught.value.what == f"there is no option {typed!r}"
    assert caught.value.remedy == meant


TYPED = ["-f", "segmask", "-o", "out", "--", "--mask_mode", "index"]


def test_commands_refuse_options_with_the_one_that_is_meant(
    paths: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", paths["segmask"], *TYPED]) == 2
    said = capsys.readouterr().err
    assert said == ("error: --mask_mode: there is no such option. To fix it: type '--mask-mode'.\n")
    for run in (main, datum):
        with pytest.raises(SystemExit):
            run(["convert", "-i", paths["segmask"], "-e", "/item", *TYPED])
        assert "there is no option --mask_mode: type --mask-mode\n" in capsys.readouterr().err


FUNCTIONS: dict[str, tuple[Callable[..., Any], list[str]]] = {
    "check": (datumaro_segmask.check, ["ignore_index", "max_pixels", "jobs"]),
    "write_table": (partial(datumaro_segmask.write_table, out="out"), ["jobs", "shard_items"]),
    "write_table of a dataset": (
        lambda path, **numbers: datumaro_segmask.write_table(
            Dataset.import_from(path, "segmask"), "out", **numbers
        ),
        ["jobs", "shard_items"],
    ),
    "Masks": (datumaro_segmask.Masks, ["ignore_index", "max_pixels"]),
}


@pytest.mark.parametrize(
    ("function", "option", "value"),
    [
        pytest.param(function, option, value, id=f"{name}-{option.name}-{value}")
        for name, (function, numbers) in FUNCTIONS.items()
        for option in options_of(Numbers)
        if option.name in numbers
        for value in values_that_are_none(option)
    ],
)
def test_function_refuses_numbers(
    function: Callable[..., Any], option: Option, value: object, paths: dict[str, str],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError) as caught:
        function(paths["segmask"], **{option.name: value})
    assert caught.value.what == f"the option {option.name} is {value!r}"
    assert caught.value.expected == option.expected
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("name", ["masks_to_exact_polygons", "split_components"])
def test_transform_refuses_options(name: str, paths: dict[str, str]) -> None:
    dataset = Dataset.import_from(paths["segmask"], "segmask")
    with pytest.raises(OptionError, match=f"the transform {name}: there is no option 'min_aera'"):
        dataset.transform(name, min_aera=3).init_cache()
    dataset = Dataset.import_from(paths["segmask"], "segmask")
    wrong = {"masks_to_exact_polygons": {"tolerance": -1}, "split_components": {"min_area": -1}}
    with pytest.raises(OptionError, match=r"is -1\. Expected a (whole )?number, 0 or more"):
        dataset.transform(name, **wrong[name]).init_cache()


@pytest.mark.parametrize("value", [np.int64(3), np.uint8(3), 3])
def test_numbers_of_numpy_are_numbers(value: object, paths: dict[str, str]) -> None:
    Dataset.import_from(paths["segmask"], "segmask", min_area=value, keep_background=np.True_)
    assert is_number(np.float32(0.5), float, 0)
