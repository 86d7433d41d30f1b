"""What an archive says: label map, lists, the masks of an item; knows no Datumaro."""

from .class_lookup import BY_COLOR, BY_INDEX, WAYS, ClassLookup
from .files import (
    ImageHead,
    has_masks,
    how_to_save,
    image_head,
    inner_archives,
    masked_ids,
    masks_in,
    masks_of_other_types,
    masks_passed_over,
    passed_folders,
    read_image_head,
    right_place,
    several_images,
)
from .item import Item, Reader, Scan, unknown_of, usual_masks
from .labelmap import (
    BACKGROUND,
    MAX_LABELS,
    VOC_LABELS,
    Label,
    LabelMap,
    find_background,
    free_colors,
    join_label_maps,
    lines_of,
    make_label_map,
    parse_label_map,
    shared_colors,
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
from .subset_lists import text_of
from .undeclared import nearest, remedy_of

__all__ = [
    "BACKGROUND", "BY_COLOR", "BY_INDEX", "MAX_LABELS", "MAX_LIST_BYTES", "VOC_LABELS", "WAYS",
    "Archive", "ClassLookup", "ImageHead", "Item", "Label", "LabelMap", "Reader", "Scan",
    "find_background", "find_lists", "free_colors", "has_masks", "how_to_save", "image_head",
    "inner_archives", "join_label_maps", "lines_of", "make_label_map", "masked_ids", "masks_in",
    "masks_of_other_types", "masks_passed_over", "nearest", "open_archive", "parse_label_map",
    "passed_folders", "read_image_head", "read_label_map", "read_label_map_file", "remedy_of",
    "right_place", "several_images", "shared_colors", "text_of", "unknown_of", "unlisted_items",
    "usual_masks", "voc_label_map", "with_own_colors",
]  # fmt: skip
