"""The options that Python and the command line share: type, range, default, and what they do.

An option is declared here and nowhere else, as a field of what has it. Its keyword in Python, its
place in a parser, the check of its value and its row in docs/options.md come from that.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import argparse


class Option(NamedTuple):
    """One option. ``unset`` says what its default None means; ``choices`` what each value means.

    ``least`` and ``most`` are the smallest and the largest number, ``is_path`` marks what is made
    absolute when it is typed.
    """

    name: str
    kind: type
    default: Any
    text: str
    choices: Mapping[Any, str]
    least: float | None
    most: float | None
    unset: str
    is_path: bool

    @property
    def expected(self) -> str:
        """What a value has to be, as messages say it."""
        if self.choices:
            return f"one of {', '.join(map(repr, self.choices))}"
        return expected(self.kind, self.least, self.most)

    @property
    def shown_default(self) -> str:
        """The default, as help texts and pages say it."""
        if self.default in (None, ""):
            return self.unset
        if self.kind is bool:
            return "no"
        if self.kind is str:
            return str(self.default)
        return f"{self.default:,}".removesuffix(".0")

    def fits(self, value: object) -> bool:
        """Whether the option may have this value."""
        if value is None:
            return self.default is None
        if self.choices:
            return isinstance(value, Hashable) and value in self.choices
        if self.kind is bool:
            return isinstance(value, Hashable) and value in (True, False)
        if self.kind is str:
            return isinstance(value, (str, os.PathLike))
        return is_number(value, self.kind, self.least, self.most)


def _option(
    default: Any,
    text: str,
    choices: Mapping[Any, str] | None = None,
    *,
    least: float | None = None,
    most: float | None = None,
    unset: str = "none",
    is_path: bool = False,
) -> Any:
    about = {"text": text, "choices": choices or {}, "least": least, "most": most}
    return field(default=default, metadata={**about, "unset": unset, "is_path": is_path})


_TYPES = {"bool": bool, "int": int, "float": float, "str": str}


def options_of(declared: type) -> Iterator[Option]:
    """Yield the options that a class of this module declares."""
    for one in fields(declared):
        kind = _TYPES[str(one.type).removesuffix(" | None")]
        yield Option(one.name, kind, one.default, **one.metadata)


def names_of(declared: type) -> list[str]:
    """Return the names of the options that a class of this module declares."""
    return [option.name for option in options_of(declared)]


# What is declared

MASK, POLYGON = "mask", "polygon"
FROM_MASKS, COMPONENTS = "masks", "components"
SKIP, KEEP = "skip", "keep"
CONNECTIVITIES = {8: "at a corner or an edge", 4: "only at an edge"}
MAX_PIXELS = 1 << 30  # 32,768 by 32,768
PART_ITEMS = 2000
COLOR, PALETTE, INDEX = "color", "palette", "index"
MASK_MODES = {
    COLOR: "RGB, as CVAT writes",
    PALETTE: "the same colours in a smaller file",
    INDEX: "gray; the value is the label's line in labelmap.txt",
}
SOURCE, VOC = "source", "voc"
OBJECT, CROWD = "object", "crowd"
STUFF = {OBJECT: "one object per label", CROWD: "a region that trainers ignore", SKIP: "nothing"}
FOLDERS, MMSEGMENTATION, ULTRALYTICS, NNUNET = "folders", "mmsegmentation", "ultralytics", "nnunet"
LAYOUTS = {FOLDERS: "for your own scripts", MMSEGMENTATION: "", ULTRALYTICS: "", NNUNET: ""}
POLYGONS, RLE = "polygons", "rle"
SEGMENTATIONS = {
    POLYGONS: "every reader takes them, and pycocotools paints the same pixels",
    RLE: "compressed, less than half the size",
}


def _tolerance() -> Any:
    return _option(
        0.0,
        "Simplify polygons by at most N pixels; 0 is exact. Masks that touch still share a border",
        least=0,
    )


def _connectivity() -> Any:
    return _option(8, "Where the pixels of one component touch", CONNECTIVITIES)


def _min_area() -> Any:
    return _option(0, "Leave out components of fewer pixels", least=0)


def _ignore_index() -> Any:
    return _option(
        None,
        'Value of gray class masks that means "no annotation", often 255',
        least=0,
        most=65_535,
        unset="every value must be a line of the label map",
    )


def _max_pixels() -> Any:
    return _option(MAX_PIXELS, "Refuse masks with more pixels", least=1)


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """An import of ``segmask``."""

    annotation: str = _option(
        MASK, "Kind of the annotations", {MASK: "", POLYGON: "exact, with the same pixels"}
    )
    tolerance: float = _tolerance()
    instances: str = _option(
        FROM_MASKS,
        "Where instances come from",
        {
            FROM_MASKS: "only the instance masks",
            COMPONENTS: "also one per connected component of the pixels without an instance",
        },
    )
    connectivity: int = _connectivity()
    min_area: int = _min_area()
    keep_background: bool = _option(False, "Make objects of the background, too")
    ignore_index: int | None = _ignore_index()
    unknown: str = _option(
        SKIP,
        "What becomes of pixels of the ignored value, and of VOC's void",
        {
            SKIP: "nothing, like the background",
            KEEP: "a region of their own, which training ignores if the format allows it",
        },
    )
    max_pixels: int = _max_pixels()
    num_workers: int = _option(0, "Threads that read items ahead; useful for large masks", least=0)


READING = ("ignore_index", "max_pixels")
"""The import options of whatever reads masks."""
OF_COMPONENTS = ("connectivity", "min_area")


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """Numbers that plain functions take, such as `check`, `write_table` and `Masks`."""

    ignore_index: int | None = _ignore_index()
    max_pixels: int = _max_pixels()
    jobs: int = _option(1, "Processes", least=1)
    shard_items: int = _option(PART_ITEMS, "Items per shard", least=1, most=1 << 20)


def _min_score() -> Any:
    return _option(0.0, "Leave out predictions with a lower score")


@dataclass(frozen=True, kw_only=True)
class CocoImportOptions:
    """An import of ``coco_segments``."""

    min_score: float = _min_score()
    images: str | None = _option(
        None, "Folder of the images", unset="found beside the JSON", is_path=True
    )
    gt: str | None = _option(
        None,
        "JSON of the dataset that the results belong to",
        unset="found beside them",
        is_path=True,
    )


@dataclass(frozen=True, kw_only=True)
class YoloImportOptions:
    """An import of ``yolo_segments``."""

    min_score: float = _min_score()
    images: str | None = _option(
        None,
        "Folder of the images, for predicted labels",
        unset="found beside the labels",
        is_path=True,
    )
    names: str | None = _option(
        None,
        "Data file, or text with one name per line",
        unset="found beside the labels",
        is_path=True,
    )


IMPORTS = {
    "segmask": ImportOptions,
    "yolo_segments": YoloImportOptions,
    "coco_segments": CocoImportOptions,
}
"""The options of the imports, by the name of the format."""


@dataclass(frozen=True, kw_only=True)
class PolygonOptions:
    """The transform ``masks_to_exact_polygons``."""

    tolerance: float = _tolerance()


@dataclass(frozen=True, kw_only=True)
class ComponentOptions:
    """The transform ``split_components``."""

    connectivity: int = _connectivity()
    min_area: int = _min_area()
    grouped: bool = _option(False, "Split masks that have a group, too")


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Any export of ours: options that all of Datumaro's exports have."""

    save_media: bool | None = _option(None, "Write the images, too", unset="no")
    image_ext: str | None = _option(
        None, "Suffix of the images that are written", unset="that of the image"
    )
    save_dataset_meta: bool = _option(False, "Also write Datumaro's file with the labels")


OF_DATUMARO = ("save_media", "image_ext", "save_dataset_meta")


@dataclass(frozen=True, kw_only=True)
class SegmaskExportOptions(ExportOptions):
    """An export to ``segmask``."""

    mask_mode: str = _option(COLOR, "Kind of the mask files", MASK_MODES)
    label_map: str = _option(
        SOURCE,
        "Labels to write: 'source' (those of the dataset, in their order), 'voc', or a label map "
        "file, which sets the order, the colours, and which labels stay",
    )
    ignore_label: str | None = _option(
        None,
        "Label that gets the value 255 in 'index' masks and the last line of the "
        "label map; the others count from 0 without a gap",
    )
    empty_masks: bool = _option(False, "Write masks for items without shapes, too")
    number_stuff: bool = _option(
        False,
        "Make instances of 'stuff' (masks of pixels without an instance), because CVAT needs them",
    )
    zip: bool = _option(False, "Write one zip for CVAT into the folder: segmask.zip")
    shard_items: int = _option(
        0,
        "Write zips of N items each into the folder: segmask-000000.zip and so on. Upload each to "
        "its own CVAT job or task, because an upload replaces all annotations; 0 does not split",
        least=0,
    )


def _stuff(*values: str) -> Any:
    choices = {value: STUFF[value] for value in values}
    return _option(OBJECT, "What becomes of pixels of a label without an instance", choices)


def _split() -> Any:
    return _option(
        "",
        "Which subset becomes which split, as in 'train2017=train,val2017=val'",
        unset="by their names, such as Train, valid or test-dev; all others are trained on",
    )


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(ExportOptions):
    """An export for training."""

    stuff: str = _stuff(OBJECT, CROWD, SKIP)
    keep_background: bool = _option(False, "Make the background a class, too")
    flat_names: bool = _option(
        False,
        "Write no sub-folders: 'a/b' becomes 'a__b', for readers that do not look into sub-folders",
    )


@dataclass(frozen=True, kw_only=True)
class CocoExportOptions(TrainingOptions):
    """An export to ``coco_segments``."""

    segmentation: str = _option(POLYGONS, "How masks are written", SEGMENTATIONS)
    tolerance: float = _tolerance()


@dataclass(frozen=True, kw_only=True)
class YoloExportOptions(TrainingOptions):
    """An export to ``yolo_segments``."""

    stuff: str = _stuff(OBJECT, SKIP)
    split: str = _split()


@dataclass(frozen=True, kw_only=True)
class PanopticExportOptions(TrainingOptions):
    """An export to ``panoptic_segments``."""


@dataclass(frozen=True, kw_only=True)
class SemanticExportOptions(TrainingOptions):
    """An export to ``semantic_masks``."""

    stuff: str = _stuff(OBJECT)
    layout: str = _option(FOLDERS, "Who will read it", LAYOUTS)
    ignore_label: str | None = _option(
        None,
        "Label that training ignores, like unknown pixels; 'background' if scenes are labelled "
        "completely",
        unset="none but VOC's 'ignored'",
    )
    split: str = _split()


EXPORTS = {
    "segmask": SegmaskExportOptions,
    "coco_segments": CocoExportOptions,
    "yolo_segments": YoloExportOptions,
    "panoptic_segments": PanopticExportOptions,
    "semantic_masks": SemanticExportOptions,
}
"""The options of the exports, by the name of the format."""


# What is made of it


def fault_of(declared: type, given: Mapping[str, object]) -> tuple[str, str, str] | None:
    """Return what is wrong with options, what would be right, and what to type; None if nothing."""
    known = {option.name: option for option in options_of(declared)}
    for name, value in given.items():
        option = known.get(name)
        if option is None:
            near = get_close_matches(name, known, 1)
            remedy = f"type {near[0]!r}" if near else "leave it out"
            return f"there is no option {name!r}", f"one of {', '.join(sorted(known))}", remedy
        if not option.fits(value):
            remedy = "choose one of them" if option.choices else "choose another value"
            return f"the option {name} is {value!r}", option.expected, remedy
    return None


def is_number(
    value: object, kind: type, least: float | None = None, most: float | None = None
) -> bool:
    """Whether a value is a number of this kind, ``int`` or ``float``, and within the limits."""
    if isinstance(value, bool):
        return False
    if kind is int:
        try:
            number: float = operator.index(value)  # type: ignore[arg-type]
        except TypeError:
            return False
    elif isinstance(value, Real) and math.isfinite(value):
        number = float(value)
    else:
        return False
    return (least is None or number >= least) and (most is None or number <= most)


def expected(kind: type, least: float | None = None, most: float | None = None) -> str:
    """Return how messages name what is wanted."""
    if kind in (bool, str):
        return "True or False" if kind is bool else "a text"
    what = "a whole number" if kind is int else "a number"
    if most is not None:
        return f"{what} from {least:,} to {most:,}"
    return what if least is None else f"{what}, {least:,} or more"


def number_type(
    kind: type = int, least: float | None = None, most: float | None = None
) -> Callable[[str], Any]:
    """Return the ``type`` of a number for `argparse`."""

    def parsed(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if not is_number(value, kind, least, most):
            import argparse

            raise argparse.ArgumentTypeError(f"{text!r} is not {expected(kind, least, most)}")
        return value

    return parsed


def add_to(
    parser: argparse._ActionsContainer,
    declared: type,
    only: Collection[str] = (),
    but: Collection[str] = (),
) -> None:
    """Add options to a parser: all that are declared, or ``only`` some, ``but`` not others."""
    for option in options_of(declared):
        if option.name not in but and (not only or option.name in only):
            _add(parser, option)


def _add(parser: argparse._ActionsContainer, option: Option) -> None:
    flag, text = f"--{option.name.replace('_', '-')}", option.text
    if option.choices:
        meanings = (f"{value!r}{what and f' ({what})'}" for value, what in option.choices.items())
        text += f": {' or '.join(meanings)}"
    if option.kind is bool:
        help_text = f"{text} (default: {option.shown_default})"
        parser.add_argument(flag, action="store_true", help=help_text)
        return
    kind: Any = os.path.abspath if option.is_path else str
    if option.kind in (int, float):
        kind = number_type(option.kind, option.least, option.most)
    metavar = "PATH" if option.is_path else None
    if option.kind in (int, float) and not option.choices:
        metavar = "N"
    parser.add_argument(
        flag,
        type=kind,
        default=option.default,
        choices=[*option.choices] or None,
        metavar=metavar,
        help=f"{text} (default: {option.shown_default})",
    )


def nearest_option(parser: argparse.ArgumentParser, typed: str) -> str | None:
    """Return the option that may be meant by one that there is not, None if none is like it."""
    known = {n.replace("_", "-"): n for a in parser._actions for n in a.option_strings}
    near = get_close_matches(typed.partition("=")[0].lower().replace("_", "-"), known, 1)
    return known[near[0]] if near else None
