"""What an archive says: label map, lists, the masks of an item; knows no Datumaro."""

from .diagnostics import (
    Finding,
    background_doubts,
    black_label,
    comment_doubts,
    log_findings,
    no_background,
    no_label_map,
    two_ways,
)
from .encode import (
    COLOR,
    LAST_SHARED,
    MASK_MODES,
    CvatLosses,
    MaskEncoder,
    Member,
    check_colors,
    format_label_map,
    instance_numbers,
    is_thin,
)
from .files import has_masks, image_head, read_image_head
from .item import Item, Scan, read_item, scan_item
from .labelmap import (
    BACKGROUND,
    BLACK,
    MAX_LABELS,
    Label,
    LabelMap,
    find_background,
    lines_of,
    make_label_map,
    voc_label_map,
    with_own_colors,
)
from .lists import (
    MAX_LIST_BYTES,
    Archive,
    find_lists,
    open_archive,
    read_label_map,
    read_label_map_file,
    unlisted_items,
)
from .meaning import BY_COLOR, BY_INDEX, WAYS, ClassLookup
from .reader import Reader
from .subset_lists import text_of
from .undeclared import findings_of

__all__ = [
    "BACKGROUND", "BLACK", "BY_COLOR", "BY_INDEX", "COLOR", "LAST_SHARED", "MASK_MODES",
    "MAX_LABELS", "MAX_LIST_BYTES", "WAYS", "Archive", "ClassLookup", "CvatLosses", "Finding",
    "Item", "Label", "LabelMap", "MaskEncoder", "Member", "Reader", "Scan", "background_doubts",
    "black_label", "check_colors", "comment_doubts", "find_background",
    "find_lists", "findings_of", "format_label_map", "has_masks", "image_head", "instance_numbers",
    "is_thin", "lines_of", "log_findings", "make_label_map", "no_background", "no_label_map",
    "open_archive", "read_image_head", "read_item", "read_label_map", "read_label_map_file",
    "scan_item", "text_of", "two_ways", "unlisted_items", "voc_label_map", "with_own_colors",
]  # fmt: skip
