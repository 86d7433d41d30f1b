"""The contact sheet as an HTML page that needs nothing but a browser (docs/cli.md, "preview").

A page of few items holds all it shows. Beside a page of many stands a folder (`place`), from which
the page takes images and masks as they come into view: images as such, masks as scripts, for a
browser loads nothing else from a disk.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

from ...archive import Item, Label
from ...errors import SegmaskImportError
from .. import write_whole
from ..parallel import CHUNK
from .drawing import Entry, Settings, SheetArchive, encode_photo, prefetched, read
from .place import MADE_BY

# In the text of a run-length encoding: what a script would have to escape, and what it never has.
_SCRIPT_SAFE = bytes.maketrans(b"<\\", b"pq")
_SCRIPTS = ["draw.js", "sheet.js", "large.js"]


@dataclass(frozen=True)
class PageItem:
    """One item on the page: what the sheet needs of it always, and its masks and its image.

    ``summary`` and ``detail`` are as page/draw.js has them; ``detail`` is None where it is in the
    folder. ``fault`` says why the item cannot be read, and is empty otherwise.
    """

    summary: list[Any]
    detail: dict[str, Any] | None

    @property
    def fault(self) -> str:
        return str(self.summary[-1])


def make_items(
    settings: Settings, folder: Path | None, number: int, entries: Sequence[Entry]
) -> list[PageItem]:
    """Make a chunk of items; with ``folder``, write their masks and images there."""
    if folder is None:
        made = [_make(settings, *item) for item in prefetched(settings, entries)]
        return [_with_photo(summary, detail, photo) for summary, detail, photo in made]
    summaries, details = [], []
    for i, item in enumerate(prefetched(settings, entries), number * CHUNK):
        summary, detail, photo = _make(settings, *item)
        if photo is not None:
            # Thousands of files in one folder are slow to list on some systems.
            place = f"{i // 1000:03}/{i}.jpg"
            (folder / place).parent.mkdir(exist_ok=True)
            (folder / place).write_bytes(photo)
            detail["photo"] = f"{_address(folder)}/{place}"
        summaries.append(summary)
        details.append(detail)
    script = f"segmaskChunk({number},{as_script(details)});\n"
    write_whole(str(folder / f"masks-{number}.js"), script.encode())
    return [PageItem(summary, None) for summary in summaries]


def write_page(
    path: str,
    title: str,
    labels: Sequence[Label],
    background: int | None,
    items: Iterable[PageItem],
    folder: Path | None,
) -> None:
    """Write the page, with all in it if ``folder`` is None, else with the folder beside it."""
    made = list(items)
    data = {
        "title": title,
        "folder": folder and _address(folder),
        "chunk": CHUNK,
        "background": background,
        "labels": [[label.name, "#" + bytes(label.color).hex()] for label in labels],
        "items": [item.summary for item in made],
        "details": [] if folder else [item.detail for item in made],
    }
    page = files(__package__) / "page"
    html = Template((page / "preview.html").read_text("utf-8")).substitute(
        made_by=MADE_BY,
        style=(page / "preview.css").read_text("utf-8"),
        script="".join((page / name).read_text("utf-8") for name in _SCRIPTS),
        data=as_script(data),
        images="data:" if folder is None else "data: file: http: https: 'self'",
        scripts="" if folder is None else "file: http: https: 'self'",
    )
    write_whole(path, html.encode())


def as_script(value: Any) -> str:
    """Return JSON that can stand between the tags of a script, whatever names it holds."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")


def _address(folder: Path) -> str:
    """Return how a page calls its part of the folder that stands beside it."""
    return quote("/".join(folder.parts[-2:]))


def _make(
    settings: Settings, source: SheetArchive, item_id: str, subset: str
) -> tuple[list[Any], dict[str, Any], bytes | None]:
    try:
        item, data = read(source, item_id)
    except SegmaskImportError as error:
        return [item_id, subset, 0, 0, 0, {}, str(error)], {"shapes": []}, None
    shapes = [
        [i.label, i.number, i.area, i.counts.translate(_SCRIPT_SAFE).decode("ascii")]
        for i in item.instances
    ]
    photo = None if data is None else encode_photo(data, item, settings.side)
    return _summary(item, subset), {"shapes": shapes}, photo


def _summary(item: Item, subset: str) -> list[Any]:
    labels: dict[str, int] = {}
    for instance in item.instances:
        key = as_script(instance.label)
        labels[key] = labels.get(key, 0) + (instance.number > 0)
    instances = len({instance.number for instance in item.instances} - {0})
    return [item.item_id, subset, *(item.size or (0, 0)), instances, labels, ""]


def _with_photo(summary: list[Any], detail: dict[str, Any], photo: bytes | None) -> PageItem:
    if photo is not None:
        encoded = base64.b64encode(photo).decode()
        detail = {**detail, "photo": f"data:image/jpeg;base64,{encoded}"}
    return PageItem(summary, detail)
