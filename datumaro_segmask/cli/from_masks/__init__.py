"""Make an archive for CVAT from a folder of masks, such as the predictions of a model. Gray masks
have the index of a label, coloured ones its colour. Parts of a label that do not touch become
separate objects, unless instance masks say what belongs together."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import replace

from datumaro.components.dataset_base import DatasetItem
from datumaro.components.importer import ImportContext

from ...errors import UsageError, counted, printable
from ...options import COMPONENTS, OF_COMPONENTS, READING, ImportOptions, add_to
from ...plugin.base import SegmaskBase
from ...plugin.export.exporter import SegmaskExporter
from ...plugin.export.in_place import ArchivePlace, ExportTarget
from ...plugin.host import CollectedErrors
from ...rules import ERROR, NOTE, WARNING
from ...storage import folder_roots, holds_archive, is_inside, layout
from .. import FAULTS, OK, already_there, claim_output
from ..check.report import FIRST, print_findings, verdict
from ..check.survey import check
from .folder import open_mask_folder
from .names import binary_labels, read_labels_file

log = logging.getLogger(__name__)

_THIN = "thin-objects"
_SHOWN = 20  # broken masks that are named

EPILOG = """\
Each line of the file for --labels is the name of a label. The number of the line, from 0, is its
value in gray masks; 'background' is no object. The file may also be a label map, as in an archive,
a table of names with values or colours (CSV, numbered lines), a list of labelme, or names in JSON
or YAML.

exit status:
  0  the archive is written, and CVAT takes it as it is
  1  masks cannot be read, so nothing is written; or it is written, but CVAT will refuse it or
     leave something out, and the report says what
  2  there are no masks or no labels, or the output already exists

example:
  datumaro-segmask from-masks predictions --labels names.txt --min-area 20 -o task.zip
  datumaro-segmask from-masks predictions --binary car -o task.zip
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path", metavar="DIR", help="Folder of class masks: PNG, BMP or TIFF, here or below"
    )
    labels = parser.add_mutually_exclusive_group(required=True)
    labels.add_argument(
        "--labels",
        metavar="FILE",
        help="Names of the labels, one per line, a label map, or a table of names and values",
    )
    labels.add_argument(
        "--binary", metavar="NAME", help="The label of 1 or 255 in masks of black and white"
    )
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="OUT",
        help="Archive to write: a zip if it ends in .zip, else a folder",
    )
    parser.add_argument(
        "--instances",
        metavar="DIR",
        help="Folder of instance masks of the same names (default: connected components)",
    )
    parser.add_argument(
        "--images",
        metavar="DIR",
        help="Folder of images of the same names, to write them too (default: no images)",
    )
    subsets = parser.add_mutually_exclusive_group()
    subsets.add_argument(
        "--subset",
        default=layout.DEFAULT_SUBSET,
        help="Subset of all masks (default: %(default)s)",
    )
    subsets.add_argument(
        "--subset-folders",
        action="store_true",
        help="Use the folders in DIR as subsets (default: as part of the ids)",
    )
    add_to(parser, ImportOptions, (*READING, *OF_COMPONENTS))
    parser.add_argument(
        "--overwrite", action="store_true", help="Replace OUT if it is an archive (default: stop)"
    )


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    target = _target(options)
    labels = binary_labels(options.binary) if options.binary else read_labels_file(options.labels)
    doubt = labels.doubt()
    if doubt:
        log.warning("%s", doubt)
    archive = open_mask_folder(
        options.path,
        labels.label_map,
        instances=options.instances,
        images=options.images,
        subset=None if options.subset_folders else options.subset,
        max_pixels=options.max_pixels,
    )
    claim_output(target.place.path)
    policy = CollectedErrors()
    masks = _AllOrNone(
        archive,
        instances=COMPONENTS,
        connectivity=options.connectivity,
        min_area=options.min_area,
        ignore_index=labels.ignored if options.ignore_index is None else options.ignore_index,
        max_pixels=options.max_pixels,
        ctx=ImportContext(error_policy=policy),
    )
    folder = os.path.dirname(target.place.path)
    try:
        exporter = SegmaskExporter(masks, folder, save_media=options.images is not None)
        exporter.write_to(target, replace=True)
    except _BrokenMasksError:
        _print_errors(policy.errors, len(masks))
        return FAULTS
    if labels.read_as:
        print(f"{printable(options.labels)}: read as {labels.read_as}")
    found = check(options.output, for_cvat=True)
    # Whether thin objects vanish is decided by how the archive is sent, and no fault of it.
    findings = [replace(f, severity=NOTE) if f.kind == _THIN else f for f in found.findings]
    found = replace(found, findings=findings)
    print_findings(found, shown=FIRST)
    counts = [of for count in found.subsets.values() for of in count.labels.values()]
    objects = sum(of.instances for of in counts)
    print(
        f"{printable(options.output)}: {counted(len(masks), 'item')}, "
        f"{counted(objects, 'object')}; {verdict(found)}"
    )
    totals = found.totals()
    return FAULTS if totals[ERROR] or totals[WARNING] else OK


class _BrokenMasksError(Exception):
    """Masks could not be read, so the archive is not written."""


class _AllOrNone(SegmaskBase):
    """Items that end in `_BrokenMasksError` if any of them could not be read."""

    def __iter__(self) -> Iterator[DatasetItem]:
        yield from super().__iter__()
        policy = self._ctx.error_policy
        if isinstance(policy, CollectedErrors) and policy.errors:
            raise _BrokenMasksError


def _target(options: argparse.Namespace) -> ExportTarget:
    """Return what is to be written; raises UsageError where that could cost a file."""
    output = os.path.realpath(options.output)
    is_zip = options.output.lower().endswith(".zip")
    inputs = [options.path, options.instances, options.images, options.labels]
    for given in filter(None, inputs):
        real = os.path.realpath(given)
        inside = not is_zip and os.path.isdir(real) and is_inside(output, real)
        if is_inside(real, output) or inside:
            raise UsageError(
                f"one of the output and the input {given} is inside the other",
                options.output,
                "an output outside of everything that is read",
                "choose another path for the output",
            )
    if os.path.lexists(output) and not _is_empty(output):
        is_archive = os.path.isfile(output) == is_zip and (
            holds_archive(output) if is_zip else folder_roots(output) == [output]
        )
        if not (options.overwrite and is_archive):
            raise already_there(options.output, "archive of masks", is_archive)
    return ExportTarget(ArchivePlace(output, is_zip), in_place=False)


def _is_empty(path: str) -> bool:
    return os.path.isdir(path) and not os.listdir(path)


def _print_errors(errors: list[BaseException], items: int) -> None:
    for error in errors[:_SHOWN]:
        print(f"error: {error}", file=sys.stderr)
    if len(errors) > _SHOWN:
        print(f"... and {len(errors) - _SHOWN:,} more", file=sys.stderr)
    print(f"Nothing is written: {len(errors):,} of {items:,} masks cannot be read.",
          file=sys.stderr)  # fmt: skip
