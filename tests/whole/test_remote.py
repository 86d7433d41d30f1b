"""Archives in stores, through Datumaro and our commands: the same masks as from the disk."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from datumaro.components.dataset import Dataset, StreamDataset

import datumaro_segmask
from datumaro_segmask.__main__ import main
from datumaro_segmask.cli import parallel
from datumaro_segmask.errors import SegmaskError

from ..archives import COLORS, archive, as_folder, as_zip, jpeg, png
from ..processes import command, help_at_once
from ..sharding.makes import random_files
from ..storage.stores import put, web_server

pytestmark = pytest.mark.skipif(
    find_spec("fsspec") is None, reason="the extra 'remote' is not installed"
)
datumaro_segmask.register()

IDS = [f"d{i % 3}/item {i}" for i in range(40)]


def files() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    return archive(
        {i: png(COLORS[rng.integers(0, 3, (9, 11))]) for i in IDS},
        {i: png(COLORS[rng.integers(0, 9, (9, 11))]) for i in IDS[5:]},
        lists={"train": "\n".join([*IDS[:30], "without masks"]), "val": "\n".join(IDS[30:])},
        images={f"{i}.jpg": jpeg(9, 11) for i in IDS[::2]},
    )


def content(items: Any) -> list[Any]:
    return [
        (
            item.id,
            item.subset,
            item.media.size if item.media else None,
            [(mask.label, mask.group, mask.image.tobytes()) for mask in item.annotations],
            item.media.bytes if item.media and item.media.has_data else None,
        )
        for item in items
    ]


@pytest.fixture
def on_disk(tmp_path: Path) -> Path:
    return as_folder(files(), tmp_path / "disk")


@pytest.fixture(params=["folder", "zip"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    root = f"memory://whole{tmp_path}"
    if request.param == "folder":
        return put(root, files())
    return put(root, {"a.zip": as_zip(files(), tmp_path / "a").read_bytes()}) + "/a.zip"


@pytest.mark.parametrize("kind", [Dataset, StreamDataset], ids=["whole", "stream"])
def test_import_is_that_of_the_disk(kind: Any, url: str, on_disk: Path) -> None:
    found = kind.import_from(url, "segmask")
    expected = Dataset.import_from(str(on_disk), "segmask")
    assert content(found) == content(expected)
    assert found.categories() == expected.categories()


def test_options_and_single_items(url: str, on_disk: Path) -> None:
    options = {"annotation": "polygon", "num_workers": 3}
    found = Dataset.import_from(url, "segmask", **options)
    expected = Dataset.import_from(str(on_disk), "segmask", **options)
    one, other = found.get(IDS[0], "train"), expected.get(IDS[0], "train")
    assert [a.points for a in one.annotations] == [a.points for a in other.annotations]


def test_exports(url: str, tmp_path: Path) -> None:
    Dataset.import_from(url, "segmask").export(str(tmp_path / "out"), "segmask", save_media=True)
    again = Dataset.import_from(str(tmp_path / "out"), "segmask")
    assert content(again) == content(Dataset.import_from(url, "segmask"))


def test_pickles(url: str) -> None:
    items = list(Dataset.import_from(url, "segmask"))
    assert content(pickle.loads(pickle.dumps(items))) == content(items)


def test_nothing_there_is_our_error() -> None:
    with pytest.raises(SegmaskError, match=r"memory://nowhere.*no archive"):
        Dataset.import_from("memory://nowhere", "segmask")


# Commands, which are processes of their own


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    with web_server({"a.zip": as_zip(files(), tmp_path / "a").read_bytes()}) as (url, _):
        yield f"{url}/a.zip?sig=53cr37"


def test_check(server: str) -> None:
    done = command("check", server, "--json")
    report = json.loads(done.stdout)
    assert report["subsets"]["train"]["items"] == 31
    assert report["path"].endswith("a.zip?...")
    assert "53cr37" not in done.stdout + done.stderr + command("check", server).stdout


def test_preview(server: str, tmp_path: Path) -> None:
    done = command("preview", server, "-o", str(tmp_path / "sheet.html"))
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "sheet.html").read_text("utf-8")
    assert IDS[7] in page
    assert "53cr37" not in page + done.stdout + done.stderr


def drawn(out: Path) -> dict[str, bytes]:
    files = [path for path in out.parent.rglob("*") if path.is_file()]
    return {path.relative_to(out.parent).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("inline", ["5", "200"], ids=["folder-beside", "one-file"])
def test_preview_of_a_folder(inline: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What processes draw of it is what they draw of the same on the disk."""
    help_at_once(monkeypatch)
    task = random_files(parallel.CHUNK + 1)
    on_disk = as_folder(task, tmp_path / "disk")
    with web_server({f"disk/{name}": data for name, data in task.items()}) as (url, _):
        pages: list[dict[str, bytes]] = []
        for source in (str(on_disk), f"{url}/disk"):
            out = tmp_path / f"page-{len(pages)}" / "a.html"
            args = ["preview", source, "-o", str(out), "--inline", inline, "--workers", "2"]
            assert main(args) == 0
            pages.append(drawn(out))
    assert pages[0] == pages[1]
    assert (len(pages[0]) > 1) == (inline == "5")


def test_preview_of_a_folder_that_fails(on_disk: Path, tmp_path: Path, capsys: Any) -> None:
    """An item that a store does not give is told, and the page has all others."""
    task = {f"disk/{name}": data for name, data in files().items()}
    with web_server(task) as (url, behaviour):
        behaviour.fault = lambda path: 403 if f"Class/{IDS[7]}" in path else None
        out = tmp_path / "a.html"
        assert main(["preview", f"{url}/disk", "-o", str(out)]) == 1
    said = capsys.readouterr()
    assert "41 items" in said.out
    assert f"{url}/disk/SegmentationClass/{quote(IDS[7])}.png" in said.err
    assert "the store denies access" in said.err


def test_convert(server: str, on_disk: Path, tmp_path: Path) -> None:
    """Datumaro makes a path of the URL first."""
    for source, out in ((server, "web"), (str(on_disk), "near")):
        done = command("convert", "-i", source, "-if", "segmask", "-f", "coco_segments",
                       "-o", str(tmp_path / out))  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "53cr37" not in done.stdout + done.stderr
    web, near = (
        {path.name: path.read_bytes() for path in (tmp_path / out / "annotations").iterdir()}
        for out in ("web", "near")
    )
    assert sorted(web) == ["instances_train.json", "instances_val.json"]
    assert web == near


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", ["coco_segments", "yolo_segments"])
def test_convert_to_a_store_is_an_error(name: str, on_disk: Path, here: Path) -> None:
    """And not a folder called ``s3:`` with the dataset in it."""
    out = ["-o", "s3://bucket/out"]
    done = command("convert", "-i", str(on_disk), "-if", "segmask", "-f", name, *out)
    assert done.returncode != 0
    assert "s3://bucket/out" in done.stderr
    assert "cannot be written into a store" in done.stderr
    assert files_in(here) == []


@pytest.mark.parametrize("zipped", [False, True])
def test_export_to_a_store_is_an_error(zipped: bool, on_disk: Path, here: Path) -> None:
    dataset = Dataset.import_from(str(on_disk), "segmask")
    with pytest.raises(SegmaskError, match="cannot be written into a store"):
        dataset.export("s3://bucket/out", "segmask", zip=zipped)
    assert files_in(here) == []


def test_page_in_a_store_is_an_error(on_disk: Path, here: Path) -> None:
    done = command("preview", str(on_disk), "-o", "s3://bucket/out.html")
    assert done.returncode == 2
    assert "cannot be written into a store" in done.stderr
    assert files_in(here) == []


CONVERT = """
import json, sys
from datumaro.cli.__main__ import main
import datumaro_segmask
datumaro_segmask.register()
main(["convert", "-i", sys.argv[1], "-if", sys.argv[2], "-f", "coco", "-o", sys.argv[3]])
print(json.dumps(list(sys.modules)))
"""


def test_nothing_of_it_is_imported_by_convert(on_disk: Path, tmp_path: Path) -> None:
    """Nor is any part of fsspec, pyarrow or Dask that Datumaro does not import by itself."""
    modules = []
    for name in ("segmask", "voc_segmentation"):
        run = [sys.executable, "-c", CONVERT, str(on_disk), name, str(tmp_path / name)]
        done = subprocess.run(run, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        modules.append(set(json.loads(done.stdout.splitlines()[-1])))
    ours, theirs = modules
    assert "datumaro_segmask.plugin.base" in ours
    more = sorted(
        name
        for name in ours - theirs
        if name.partition(".")[0]
        in ("fsspec", "s3fs", "aiohttp", "pyarrow", "polars", "dask", "distributed", "asyncio")
        or name.startswith(("datumaro_segmask.sharding", "datumaro_segmask.tables"))
        or name == "datumaro_segmask.experimental"
    )
    assert more == []
