"""Messages name options as they are typed, by a table."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from datumaro_segmask.errors import OPTIONS, as_typed
from datumaro_segmask.plugin.export.exporter import SegmaskExporter
from datumaro_segmask.plugin.importer import SegmaskImporter
from datumaro_segmask.plugin.training.coco import CocoSegmentsExporter, CocoSegmentsImporter
from datumaro_segmask.plugin.training.semantic import SemanticMasksExporter
from datumaro_segmask.plugin.training.yolo import YoloSegmentsExporter, YoloSegmentsImporter

PACKAGE = Path(__file__).parents[1] / "datumaro_segmask"


def options_there() -> set[str]:
    parsers = [
        plugin.build_cmdline_parser()
        for plugin in (
            SegmaskExporter,
            SegmaskImporter,
            CocoSegmentsExporter,
            YoloSegmentsExporter,
            SemanticMasksExporter,
            CocoSegmentsImporter,
            YoloSegmentsImporter,
        )
    ]
    return {action.dest for parser in parsers for action in parser._actions}


def test_options_that_messages_name_are_there() -> None:
    assert options_there() >= OPTIONS


def test_every_option_that_a_message_names_is_in_the_table() -> None:
    named = set()
    for path in PACKAGE.rglob("*.py"):
        named |= set(
            re.findall(r"\b(?:the option|with|without) ([a-z]+_[a-z_]+)=", path.read_text("utf-8"))
        )
        named |= set(re.findall(r"\bthe option ([a-z_]+) is", path.read_text("utf-8")))
    assert named - {"conv_mask_to_poly"} <= OPTIONS


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("upload with conv_mask_to_poly=False", "upload with conv_mask_to_poly=False"),
        ("with number_stuff=True they are", "with --number-stuff they are"),
        ("the option mask_mode is 'x'", "the option --mask-mode is 'x'"),
        ("labels with white_space", "labels with white_space"),
        ("import with ignore_index=255", "import with --ignore-index 255"),
    ],
)
def test_options_are_typed_by_a_table(
    text: str, typed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["datumaro-segmask"])
    assert as_typed(text) == typed
