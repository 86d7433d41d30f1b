"""What is done for one item of a dataset, before a writer has it: of nothing but the item.

So processes may share it, and hand what comes of it to the one that writes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from datumaro.components.dataset_base import DatasetItem
from datumaro.components.media import Image

from ...archive import Item
from ...errors import MaskLimitError, SegmaskExportError, UnpaintableError
from ...formats import check_names
from ...formats.common import flat_name
from ...formats.lines import Coder
from ...storage import layout
from ..export.common import Done
from ..items import Report
from ..media import file_suffix, place_of, upright_image


class Make(Protocol):
    """Makes what is written of an item, as `items` does."""

    def __call__(self, item: DatasetItem, *, left_out: Counter[str], report: Report) -> Item: ...


@dataclass(frozen=True)
class CodedWork:
    """Does for an item what a format needs of it; can be pickled.

    ``image_ext`` and ``default_ext`` are those of Datumaro's exporters. ``picture`` makes the file
    of a picture, as `upright_image`. With ``flat_names`` no id has a folder.
    """

    make: Make
    coder: Coder
    save_media: bool
    image_ext: str | None
    default_ext: str
    picture: Callable[[DatasetItem, str], tuple[bytes, bool]] = upright_image
    flat_names: bool = False

    def __call__(self, item: DatasetItem) -> Done:
        entry, left_out = (item.id, item.subset), Counter[str]()
        unpainted: list[UnpaintableError] = []
        data, is_turned = None, False
        error: SegmaskExportError
        try:
            problem = layout.problem_of_new_name(item.id)
            check_names(entry, problem, "it is a part of a file name")
            made = self.make(item, left_out=left_out, report=unpainted.append)
            own = file_suffix(item.media) if isinstance(item.media, Image) else ""
            suffix = self.image_ext or own or self.default_ext
            name = flat_name(item.id) if self.flat_names else item.id
            made = replace(made, item_id=name, image=f"{layout.IMAGES}/{name}{suffix}")
            if self.save_media and isinstance(item.media, Image) and item.media.has_data:
                data, is_turned = self.picture(item, suffix)
            coded = self.coder.code(made, left_out)
        except SegmaskExportError as unwritable:
            error = unwritable
        except MaskLimitError as limit:
            parts = limit.what, place_of(item), limit.expected, limit.remedy
            error = SegmaskExportError(*parts)
        else:
            source_id = item.attributes.get("id")
            return Done((name, item.subset), coded, data, is_turned, source_id, left_out, unpainted)
        return Done(entry, left_out=left_out, unpainted=unpainted, error=error)

    def end(self, done: Sequence[Done]) -> list[Done]:
        """Return the same with nothing left to be done, as another process is to have it."""
        there = [one for one in done if one.made is not None]
        coded = iter(self.coder.end([one.made for one in there]))
        return [one if one.made is None else replace(one, made=next(coded)) for one in done]
