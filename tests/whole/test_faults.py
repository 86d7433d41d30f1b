"""A fault at every change of the disk, in all that writes: what was there, or what is new, whole.

`test_crash` does this with the format itself; here are the exports for training, shards, tables and
pages. After a fault the same command gives what it gives in an empty folder, and files of the user
are as they were. `FAULTS=1` in the environment tries every single change, instead of some.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
from datumaro.components.dataset import Dataset
from datumaro.components.errors import DatasetExportError

import datumaro_segmask
from datumaro_segmask.cli import main
from datumaro_segmask.errors import SegmaskError
from datumaro_segmask.sharding.manifest import MANIFEST, WORK
from datumaro_segmask.storage.journal import journaled, recover
from datumaro_segmask.storage.layout import STAGING

from ..archives import archive, as_folder, jpeg, rgb
from ..disk import failing, killed_at

pytestmark = pytest.mark.usefixtures("registered")

STRIDE = 1 if os.environ.get("FAULTS") else 13
BEFORE = archive(
    {i: rgb("0110 0220") for i in ("a", "sub/b")},
    {i: rgb("0110 0220") for i in ("a", "sub/b")},
    images={"a.jpg": jpeg(2, 4, 10), "sub/b.jpg": jpeg(2, 4, 20)},
    lists={"train": "a\n", "val": "sub/b\n"},
)
AFTER = archive(
    {i: rgb("1110 2222") for i in ("a", "c")},
    {i: rgb("1110 2222") for i in ("a", "c")},
    images={"a.jpg": jpeg(2, 4, 30), "c.jpg": jpeg(2, 4, 40)},
    lists={"train": "a\nc\n"},
)
MINE = {"mine.txt": b"mine", "images/train/mine.txt": b"mine", "instances.json": b"{}"}
FAULTS: dict[str, Callable[[], BaseException]] = {
    "EIO": lambda: OSError(errno.EIO, "Input/output error"),
    "ENOSPC": lambda: OSError(errno.ENOSPC, "No space left on device"),
    "SIGINT": KeyboardInterrupt,
}
if hasattr(os, "fork"):
    FAULTS["kill"] = KeyboardInterrupt  # which is not raised

UNFINISHED = re.compile(
    rf"(.*/)?page\.(html|png)\.[0-9a-f]{{16}}\.part|\.{MANIFEST}\.[0-9a-f]{{16}}"
)
"""A file that nobody looks at."""

Files = dict[str, bytes]


class Failed(Exception):
    """A command has ended with an error."""


@dataclass(frozen=True)
class Work:
    """What writes: from the path of an archive, into a folder. ``is_shards``: as a run of parts."""

    write: Callable[[Path, Path], object]
    is_shards: bool = False


def command(*arguments: object) -> None:
    if main([str(argument) for argument in arguments]) != 0:
        raise Failed


def export(form: str, **options: object) -> Work:
    def write(source: Path, out: Path) -> None:
        dataset = Dataset.import_from(str(source), "segmask")
        dataset.export(str(out), form, save_media=True, **options)

    return Work(write)


def preview(source: Path, out: Path) -> None:
    page = ["-o", out / "page.html", "--inline", 0, "--workers", 1]
    command("preview", source, *page, "--overwrite", "--quiet")


def sheet(source: Path, out: Path) -> None:
    command("preview", source, "-o", out / "page.png", "--workers", 1, "--overwrite", "--quiet")


def shards(kind: str) -> Work:
    def write(source: Path, out: Path) -> None:
        size = ["--shard-items", 1, "--overwrite", "--quiet"]
        command("shard", source, "-o", out, "--to", kind, *size)

    return Work(write, is_shards=True)


def from_masks(name: str) -> Work:
    def write(source: Path, out: Path) -> None:
        images = ["--labels", source / "labelmap.txt", "--images", source / "JPEGImages"]
        masks = source / "SegmentationClass"
        command("from-masks", masks, *images, "-o", out / name, "--overwrite", "--quiet")

    return Work(write)


def from_table(source: Path, out: Path) -> None:
    table = datumaro_segmask.read_table(datumaro_segmask.to_table(str(source)))
    table.write_archive(str(out / "table.zip"))


WORKS = {
    **{f: export(f) for f in ("coco_segments", "yolo_segments", "panoptic_segments")},
    "semantic_masks": export("semantic_masks"),
    "nnunet": export("semantic_masks", layout="nnunet"),
    "segmask in zips": export("segmask", shard_items=1),
    "preview": Work(preview),
    "sheet": Work(sheet),
    "from-masks": from_masks("archive"),
    "from-masks zip": from_masks("archive.zip"),
    "shards of COCO": shards("coco"),
    "shards of zips": shards("segmask"),
}
if find_spec("pyarrow"):
    WORKS["tables"] = shards("parquet")
    WORKS["table to zip"] = Work(from_table)


def files_in(out: Path) -> Files:
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file()
    }


def state(out: Path) -> Files:
    """Return what is there for who reads it: no records, and of a page no more than it names."""
    place = re.compile(re.escape(str(out.parent)).encode() + rb"/(template|fresh|out)")
    found = {
        name: place.sub(b"OUT", data)  # in data.yaml
        for name, data in files_in(out).items()
        if not any(part.startswith((STAGING, ".segmask-files.")) for part in name.split("/"))
        and not name.startswith(f"{WORK}/")
    }
    named = re.search(rb'"folder":"([^"]*)"', found.get("page.html", b""))
    if named:
        folder = named[1].decode()
        found = {
            name.replace(folder, "FOLDER"): data.replace(named[1], b"FOLDER")
            for name, data in found.items()
            if not name.startswith("page_files/") or name.startswith(f"{folder}/")
        }
    return {name: data for name, data in found.items() if not name.endswith("/whole")}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", WORKS)
def test_fault_at_every_change_of_the_disk(name: str, fault: str, tmp_path: Path) -> None:
    work = WORKS[name]
    before, after = (
        as_folder(files, tmp_path / f"{'old' if files is BEFORE else 'new'}/task")
        for files in (BEFORE, AFTER)
    )
    template, out = as_folder(MINE, tmp_path / "template"), tmp_path / "out"
    work.write(before, template)
    fresh = as_folder(MINE, tmp_path / "fresh")
    work.write(after, fresh)
    old, new = state(template), state(fresh)
    assert old != new
    shutil.copytree(template, out)
    with failing(out, 0, KeyboardInterrupt()) as disk:
        work.write(after, out)
    assert state(out) == new
    steps = range(1 + [*FAULTS].index(fault) % STRIDE, -disk.left + 1, STRIDE)
    for step in steps:
        shutil.rmtree(out)
        shutil.copytree(template, out)
        if fault == "kill":
            assert killed_at(out, step, lambda: work.write(after, out))
            for root in (out, out / "archive"):
                if journaled(str(root)):
                    recover(str(root), back=step // STRIDE % 2 == 0)
        else:
            try:
                with failing(out, step, FAULTS[fault]()):
                    work.write(after, out)
            except (OSError, KeyboardInterrupt, SegmaskError, DatasetExportError, Failed):
                assert not [*journaled(str(out)), *journaled(str(out / "archive"))]
        left = state(out)
        if fault == "kill":
            left = {n: d for n, d in left.items() if not UNFINISHED.fullmatch(n)}
        if not work.is_shards:
            assert left in (old, new), (step, sorted({*left.items()} ^ {*new.items()}))
        elif MANIFEST in left:  # who finds it, finds all of its shards
            assert left in (old, new), step
        assert {n: left[n] for n in MINE} == MINE
        work.write(after, out)
        done = state(out)
        assert {n: d for n, d in done.items() if not n.endswith(".part")} == new, step
        unfinished = [n for n in files_in(out) if STAGING in n or n.startswith(f"{WORK}/")]
        assert not unfinished, (step, unfinished)
    print(f"{len(steps)} faults: {name}, {fault}")
