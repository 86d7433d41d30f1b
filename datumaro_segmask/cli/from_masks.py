"""Make an archive that CVAT imports of a folder of masks, such as the predictions of a model. Gray
masks hold the index of a label, coloured ones its colour. The parts of a label that do not touch
become objects of their own, unless instance masks say what belongs together."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile

from datumaro.components.errors import DatumaroError
from datumaro.components.importer import ImportContext, ImportErrorPolicy

from ..errors import SegmaskExportError
from ..plugin.base import COMPONENTS, SegmaskBase
from ..plugin.exporter import ZIP_NAME, SegmaskExporter
from ..plugin.options import add_component_options
from ..storage import layout
from . import FAULTS, OK
from .check.report import print_findings, printable, verdict
from .check.survey import survey
from .mask_folder import open_mask_folder
from .names import read_labels_file

_SHOWN = 20  # broken masks that are named

EPILOG = """\
The file of --labels has the name of one label a line, and the index of the line (from 0) is its
value in gray masks; 'background' is no object. Or it is a label map, as in an archive.

exit status:
  0  the archive is written, and CVAT takes it as it is
  1  masks cannot be read, and nothing is written; or it is written, but CVAT has something
     against it, which is said
  2  there are no masks or no labels, or the output is there already

example:
  datumaro-segmask from-masks predictions --labels names.txt --min-area 20 -o task.zip
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="DIR", help="Folder of class masks: PNG, here or below")
    parser.add_argument(
        "--labels",
        required=True,
        metavar="FILE",
        help="Names of the labels, one a line, or a label map",
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
        help="Take the folders in DIR for subsets (default: for a part of the ids)",
    )
    parser.add_argument(
        "--ignore-index",
        type=int,
        help="Value of gray masks that means 'no annotation', such as 255 "
        "(default: every value must be the index of a label)",
    )
    add_component_options(parser)
    parser.add_argument(
        "--overwrite", action="store_true", help="Replace OUT (default: stop if it is there)"
    )


class _Collected(ImportErrorPolicy):
    """Notes the errors of items instead of ending at the first."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[DatumaroError] = []

    def _handle_item_error(self, error: DatumaroError) -> None:
        # Datumaro wraps the error, and names the item; ours names the file, and what to do.
        self.errors.append(error.__cause__ or error)


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    if os.path.lexists(options.output) and not options.overwrite:
        raise SegmaskExportError(
            "it is there already",
            options.output,
            "a path where nothing is",
            "choose another one, or give the option --overwrite",
        )
    archive = open_mask_folder(
        options.path,
        read_labels_file(options.labels),
        instances=options.instances,
        images=options.images,
        subset=None if options.subset_folders else options.subset,
    )
    policy = _Collected()
    masks = SegmaskBase(
        archive,
        instances=COMPONENTS,
        connectivity=options.connectivity,
        min_area=options.min_area,
        ignore_index=options.ignore_index,
        ctx=ImportContext(error_policy=policy),
    )
    if not _write(masks, policy, options.output, save_media=options.images is not None):
        return FAULTS
    found = survey(options.output, for_cvat=True)
    print_findings(found, shown=10)
    counts = [of for count in found.subsets.values() for of in count.labels.values()]
    objects = sum(of.instances for of in counts)
    print(f"{printable(options.output)}: {len(masks):,} items, {objects:,} objects; "
          f"{verdict(found)}")  # fmt: skip
    totals = found.totals()
    return FAULTS if totals["error"] or totals["warning"] else OK


def _write(masks: SegmaskBase, policy: _Collected, output: str, save_media: bool) -> bool:
    """Write the archive, whole or not at all; return whether all masks could be read."""
    folder = os.path.dirname(os.path.abspath(output))
    os.makedirs(folder, exist_ok=True)
    as_zip = output.lower().endswith(".zip")
    with tempfile.TemporaryDirectory(dir=folder, prefix=".from-masks-") as work:
        target = os.path.join(work, "archive")
        SegmaskExporter.convert(masks, target, zip=as_zip, save_media=save_media)
        if policy.errors:
            _print_errors(policy.errors, len(masks))
            return False
        if os.path.isdir(output) and not os.path.islink(output):
            shutil.rmtree(output)
        os.replace(os.path.join(target, ZIP_NAME) if as_zip else target, output)
    return True


def _print_errors(errors: list[DatumaroError], items: int) -> None:
    for error in errors[:_SHOWN]:
        print(f"error: {error}", file=sys.stderr)
    if len(errors) > _SHOWN:
        print(f"... and {len(errors) - _SHOWN:,} more", file=sys.stderr)
    print(f"Nothing is written: {len(errors):,} of {items:,} masks cannot be read.",
          file=sys.stderr)  # fmt: skip
