"""Convert a dataset to another format: 'datum convert', with the options of the import that it
lacks. They are those of the formats 'segmask', 'yolo_segments' and 'coco_segments'; all others are
passed on to Datumaro."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from .._bridge import import_with
from ..errors import SegmaskImportError
from ..plugin.base import COMPONENTS, POLYGON
from ..plugin.coco_import import CocoSegmentsImporter
from ..plugin.importer import NAME, add_import_options
from ..plugin.yolo_import import YoloSegmentsImporter
from . import run_datum

FOR_TRAINING = ("coco_segments", "yolo_segments")
"""Formats that leave the background out unless they, too, are told to keep it."""

PASSES_ON = True
"""What this command does not know goes to Datumaro."""

EPILOG = """\
--tolerance implies '--annotation polygon'; --connectivity and --min-area imply '--instances
components'.

options of 'datum convert':
  -i PATH               Dataset to read (default: this folder)
  -if FORMAT            Its format (default: found by looking)
  -f FORMAT             Format to write, such as coco_segments, yolo_segments, segmask
  -o DIR                Folder to write to
  --overwrite           Write into DIR even if it is not empty
  -e, --filter XPATH    Items or annotations to take, see 'datum filter --help'
  -- OPTIONS            Options of the format to write; '-- -h' explains them

examples:
  datumaro-segmask convert -i task.zip --ignore-index 255 -f coco_segments -o coco -- --save-media
  datumaro-segmask convert -i runs/segment/predict --images photos --names data.yaml \
      --min-score 0.5 -f segmask -o out -- --zip
"""

OTHERS = (YoloSegmentsImporter, CocoSegmentsImporter)
"""The importers of other formats than ``segmask``."""


def add_options(parser: argparse.ArgumentParser) -> None:
    add_import_options(parser)
    known: set[str] = set()
    for other in OTHERS:
        other.add_options(parser, but=known)
        known |= _names(other.add_options)


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    chosen, rest = _chosen(options), list(options.rest)
    if "keep_background" in chosen and set(rest) & {*FOR_TRAINING}:
        rest += ["--keep-background"] if "--" in rest else ["--", "--keep-background"]
    options_of = {NAME: _names(add_import_options)}
    options_of |= {other.NAME: _names(other.add_options) for other in OTHERS}
    with import_with(chosen, options_of, partial(_refuse, chosen, options_of)):
        return run_datum(["convert", *rest])


def _chosen(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options of the import that were given, and what they mean nothing without."""
    parser = argparse.ArgumentParser()
    add_options(parser)
    defaults = vars(parser.parse_args([]))
    chosen = {
        name: getattr(options, name)
        for name, default in defaults.items()
        if getattr(options, name) != default
    }
    if "tolerance" in chosen:
        chosen.setdefault("annotation", POLYGON)
    if chosen.keys() & {"connectivity", "min_area"}:
        chosen.setdefault("instances", COMPONENTS)
    return chosen


def _names(add: Callable[[argparse.ArgumentParser], None]) -> set[str]:
    """Return the names of the options that a function adds."""
    parser = argparse.ArgumentParser()
    add(parser)
    return {*vars(parser.parse_args([]))}


def _refuse(
    chosen: Collection[str], options_of: Mapping[str, Collection[str]], found: str
) -> SegmaskImportError:
    able = [repr(name) for name, known in options_of.items() if {*chosen} <= {*known}]
    lacking = sorted({*chosen} - {*options_of.get(found, ())})
    which = f"not the option {lacking[0]}" if found in options_of else (
        "none of the options of an import that were given"
    )  # fmt: skip
    return SegmaskImportError(
        f"the format is {found!r}, which has {which}",
        "the input",
        f"a dataset of the format {' or '.join(able)}" if able else "options of one format",
        "leave them out, or name the format with -if",
    )
