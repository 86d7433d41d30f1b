"""The lines of a subset list to ids (docs/format.md, section 1).

Works on strings; `lists` reads the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Set

from ..errors import Report, SegmaskImportError, SubsetListError, stop
from ..storage import layout

MAX_LINES = 1 << 24
_SHOWN = 200  # characters of a name in messages
_KNOWN = 1 << 12  # lines that are remembered, for files that repeat a few
_PROBED = 1 << 16  # lines that are looked at to tell a table: what has more is a list


def parse_subset_list(
    lines: Iterable[str], where: str, exists: Callable[[str], bool], report: Report = stop
) -> Iterator[str]:
    """Yield the ids that the lines of a subset list name, in their order.

    An id that is there twice comes twice. ``exists`` tells whether an id has files: it settles
    the lines that can be read in two ways. ``img.jpg`` means the item ``img`` unless there is a
    mask of an item ``img.jpg``, and a line that begins with ``#`` is a comment (as it is for
    Datumaro) unless there is a mask of that name. A faulty line goes to ``report``, as
    SubsetListError or UnsafePathError that names it. Rules: docs/format.md, section 1.
    """
    known: dict[str, str] = {}
    for number, raw in enumerate(lines, 1):
        if raw in known:
            yield known[raw]
            continue
        place = f"{where}:{number}"
        if number > MAX_LINES:
            raise SubsetListError(
                f"the list has more than {MAX_LINES:,} lines",
                place,
                "the ids of one subset",
                "check that this file is a list of items, or split it into several subsets",
            )
        line = text_of(raw, number)
        if not line or (line.startswith("#") and len(line) <= layout.MAX_LINE and not exists(line)):
            continue
        try:
            if number == 1:
                _check_is_no_head(line, place, exists)
            item_id = _parse_id(line, place, exists)
        except SegmaskImportError as error:
            report(error)
        else:
            if len(known) < _KNOWN:
                known[raw] = item_id
            yield item_id


def text_of(raw: str, number: int) -> str:
    """Return what stands in a line of a list, by its number from 1."""
    return raw.removeprefix("\ufeff" if number == 1 else "").strip()


def _parse_id(line: str, where: str, exists: Callable[[str], bool]) -> str:
    if len(line) > layout.MAX_LINE:
        raise SubsetListError(
            f"the line has {len(line):,} characters",
            where,
            f"one item id per line, of at most {layout.MAX_LINE:,} characters",
            "check that this file is a list of items",
        )
    # Lists written on Windows name sub-folders with backslashes.
    name = line.replace("\\", "/").removeprefix("./")
    _check_is_one_id(name, where, exists)
    item_id = layout.check_name(name, where, SubsetListError.kind)
    stem, suffix = layout.split_suffix(item_id)
    if suffix.lower() in layout.IMAGE_SUFFIXES and not exists(item_id):
        # "...png" is a file name, and ".." what is left
        item_id = layout.check_name(stem, where, SubsetListError.kind)
    if layout.is_litter(item_id + layout.MASK_SUFFIX):
        raise SubsetListError(
            f"the files of {item_id[:_SHOWN]!r} are what systems leave behind",
            where,
            "the id of an item",
            "remove the line, or give the item another name",
        )
    return item_id


def _check_is_no_head(line: str, where: str, exists: Callable[[str], bool]) -> None:
    """Raise SubsetListError for the head of a table, of which an item would come."""
    words = [re.sub(r"[\W_]", "", column.lower()) for column in re.split(r"[,;\t]", line)]
    is_head = words[0] in _HEADS if len(words) == 1 else _HEADS_OF_IDS.issuperset(words)
    if is_head and not _is_id(line, exists):
        raise SubsetListError(
            f"the line {line[:_SHOWN]!r} seems to be the head of a table",
            where,
            "one item id per line, and nothing else",
            "remove the line",
            kind="list-line",
        )


def _check_is_one_id(line: str, where: str, exists: Callable[[str], bool]) -> None:
    """Raise SubsetListError for a path, or columns, in which the id of an item can be seen."""
    item_id = _id_in(line, exists)
    if item_id is not None:
        raise SubsetListError(
            f"the line {line[:_SHOWN]!r} has {_more_than_id(line)}",
            where,
            "one item id per line, and nothing else",
            "write each id into its own line"
            if _are_ids(columns_of(line), exists)
            else f"write only the id, here {item_id[:_SHOWN]!r}",
            kind="list-line",
        )


def _more_than_id(line: str) -> str:
    if any(columns_of(line)[1:]):
        return "columns"
    return "a path" if "/" in line else "marks beside an id"


def _id_in(line: str, exists: Callable[[str], bool]) -> str | None:
    """Return the id that can be seen in a path or in columns, None where the line may be an id.

    A name may hold spaces and commas: "photo (2)" is one beside "photo".
    """
    bare = line.strip("\"'[](),; ")
    if bare != line and not _is_id(line, exists) and _is_id(bare, exists):
        return bare
    first, *rest = columns_of(line)
    has_path = bool(_PATH.search(first)) or ("/" in first and _has_suffix(first))
    is_table = bool(rest) and (
        "\t" in line
        or has_path
        or all(map(_NUMBER.fullmatch, rest))
        or _are_ids([first, *rest], exists)
        or _CSV.fullmatch(line) is not None
    )
    if not (is_table or has_path) or _is_id(line, exists):
        return None
    ids = _ids_in(first)
    there = next((item_id for item_id in ids if _exists(item_id, exists)), None)
    # A tab is in no name. What else is unsafe about a path is said as such.
    return ids[0] if there is None and "\t" in line else there


def _is_id(line: str, exists: Callable[[str], bool]) -> bool:
    stem = layout.split_suffix(line)[0] if _has_suffix(line) else line
    return _exists(line, exists) or _exists(stem, exists)


def _are_ids(columns: list[str], exists: Callable[[str], bool]) -> bool:
    ids = [column for column in columns if column]
    return len(ids) > 1 and all(_is_id(column, exists) for column in ids)


def _exists(name: str, exists: Callable[[str], bool]) -> bool:
    return layout.problem_of_name(name) is None and exists(name)


_PATH = re.compile(rf"(^|/)({layout.IMAGES}|{layout.CLASS_MASKS}|{layout.INSTANCE_MASKS})/|^/|^\w:")
_HEADS = {
    "imageid", "imgid", "itemid", "frameid", "imagename", "imgname", "filename", "imagepath",
    "filepath",
}  # fmt: skip
_HEADS_OF_IDS = _HEADS | {
    "id", "image", "img", "item", "frame", "name", "file", "path", "split", "subset", "set",
    "label", "labels", "class", "classes", "mask", "maskpath", "width", "height", "index",
}  # fmt: skip
_NUMBER = re.compile(r"-?[0-9.]+")
_CSV = re.compile(r"[^\s,;]+([,;][^\s,;]*)+")  # a comma in a name has a space behind it, or before
_COLUMNS = re.compile(r"\s*[\t,;]\s*|\s+")


def columns_of(line: str) -> list[str]:
    """Return the columns of a line, if it is one of a table: by tabs, commas or spaces."""
    return _COLUMNS.split(line)


def _ids_in(path: str) -> list[str]:
    """Return what may be the id in a path, the likeliest first."""
    whole = path.strip("/")
    inside = _PATH.split(whole)[-1]
    stem = layout.split_suffix(inside)[0] if _has_suffix(inside) else inside
    return list(dict.fromkeys([stem, stem.rpartition("/")[2]]))


def _has_suffix(name: str) -> bool:
    return layout.split_suffix(name)[1].lower() in layout.IMAGE_SUFFIXES


def why_no_list(
    lines: Iterable[str], labels: Set[str], exists: Callable[[str], bool]
) -> str | None:
    """Say why a file among the lists is none, or return None where it may be one.

    ``labels`` are the names of the label map. A table of classes often lies beside the lists, and
    its lines would become items. Stops at the first line that names an item that ``exists``.
    """
    is_classes = True
    count = of_labels = 0
    for number, raw in enumerate(lines, 1):
        line = text_of(raw, number)
        if not line or line.startswith("#"):
            continue
        count += 1
        if count > _PROBED or len(line) > layout.MAX_LINE or _is_id(line, exists):
            return None
        columns = columns_of(line)
        if _exists(columns[0], exists) or ("\t" not in line and _id_in(line, exists)):
            return None
        is_classes = is_classes and line in labels
        # An id may hold spaces and commas. A table has tabs, or names a label a line, but a head.
        of_labels += "\t" in line or not labels.isdisjoint(columns)
        is_table = len(columns) > 1 and of_labels >= max(1, count - 1)
        if not (is_table or is_classes or count == 1):
            return None
    if not count or not (is_table or is_classes):
        return None
    return "all its lines are " + ("names of labels" if is_classes else "columns of a table")
