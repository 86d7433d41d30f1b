"""No item is left out because a disk, a zip or a server fails, whatever the error policy."""

from __future__ import annotations

import json
import pickle
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from datumaro.components.dataset import StreamDataset
from datumaro.components.importer import ImportContext

import datumaro_segmask
from datumaro_segmask.archive import open_archive
from datumaro_segmask.cli import main
from datumaro_segmask.errors import ArchiveError, SegmaskError, StoreError
from datumaro_segmask.plugin.base import SegmaskBase
from datumaro_segmask.plugin.host import CollectedErrors
from datumaro_segmask.sharding import ParquetShards, make_plan, run
from datumaro_segmask.storage import fitting
from datumaro_segmask.storage.remote import store as store_module

from ..archives import LABELS, archive, as_folder, as_zip, gray, jpeg, rgb
from ..storage.stores import put, web_server, zipped

pytestmark = pytest.mark.usefixtures("registered")

IDS = [f"d{i % 2}/i{i}" for i in range(6)]
FILES = archive(
    {i: rgb("0110") for i in IDS},
    {i: rgb("0110") for i in IDS},
    images={f"{i}.jpg": jpeg(1, 4) for i in IDS},
)
remote = pytest.mark.skipif(
    find_spec("fsspec") is None, reason="the extra 'remote' is not installed"
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_PAUSE", 0.001)
    monkeypatch.setattr(store_module, "_AHEAD_ITEMS", (1,))


def lenient() -> ImportContext:
    return ImportContext(error_policy=CollectedErrors())


def with_masks(items: Any) -> int:
    return sum(bool(item.annotations) for item in items)


# What reads: given the path of an archive, it opens it, calls what breaks it, and counts items

Breaks = Callable[[], object]


def a_dataset(path: str, breaks: Breaks) -> int:
    base = SegmaskBase(open_archive(path), ctx=lenient())
    breaks()
    return with_masks(base)


def single_items(path: str, breaks: Breaks) -> int:
    base = SegmaskBase(open_archive(path), ctx=lenient())
    breaks()
    return sum(base.get(i, "default") is not None for i in IDS)


def a_stream(path: str, breaks: Breaks) -> int:
    stream = StreamDataset.import_from(path, "segmask", error_policy=CollectedErrors())
    breaks()
    return with_masks(stream)


def another_process(path: str, breaks: Breaks) -> int:
    opened = pickle.dumps(open_archive(path))
    breaks()
    return with_masks(SegmaskBase(pickle.loads(opened), ctx=lenient()))


def training(path: str, breaks: Breaks) -> int:
    masks = datumaro_segmask.Masks(path)
    opened = pickle.dumps(masks)
    breaks()
    masks = pickle.loads(opened)
    return sum(len(masks[i][1]["labels"]) > 0 for i in range(len(masks)))


def samples(path: str, breaks: Breaks) -> int:
    """Of Datumaro's next API, whose masks are read when they are asked for."""
    pytest.importorskip("datumaro.experimental", reason="Datumaro before 1.13")
    from datumaro_segmask.experimental import load_segmask

    loaded = load_segmask(path)
    breaks()
    return sum(len(sample.instance_masks()) == sample.class_mask().max() == 1 for sample in loaded)


def samples_while_they_load(path: str, breaks: Breaks) -> int:
    pytest.importorskip("datumaro.experimental", reason="Datumaro before 1.13")
    from datumaro_segmask import experimental

    def open_and_break(place: str) -> Any:
        opened = open_archive(place)
        breaks()
        return opened

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experimental, "open_archive", open_and_break)
        return sum(len(sample.labels) for sample in experimental.load_segmask(path))


def shards(path: str, breaks: Breaks) -> int:
    pytest.importorskip("pyarrow")
    plan, out = make_plan(path, 2), Path(path).parent / "shards"
    breaks()
    return int(run(plan, ParquetShards(), str(out))["rows"])


READERS = [
    a_dataset, single_items, a_stream, another_process, training, samples, samples_while_they_load,
    shards,
]  # fmt: skip


def is_all_or_an_error(read: Callable[[str, Breaks], int], path: str, breaks: Breaks) -> None:
    try:
        found = read(path, breaks)
    except Exception as error:
        chain: list[BaseException | None] = [error]
        while chain[-1] is not None:
            chain.append(chain[-1].__cause__)
        assert any(isinstance(link, SegmaskError) for link in chain), repr(error)
    else:
        assert found == len(IDS)


# On the disk


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("kind", ["folder", "zip", "emptied", "masks"])
def test_archive_that_vanishes(
    kind: str, read: Callable[[str, Breaks], int], tmp_path: Path
) -> None:
    """A disk that is disconnected, a folder that is moved, or emptied by somebody else."""
    root = (as_zip if kind == "zip" else as_folder)(FILES, tmp_path / "task")

    def vanish() -> None:
        if kind in ("folder", "zip"):
            root.rename(tmp_path / "away")
        for name in {"emptied": ["*"], "masks": ["SegmentationClass"]}.get(kind, []):
            for path in root.glob(name):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    is_all_or_an_error(read, str(root), vanish)


def test_item_whose_files_alone_are_gone_is_left_out_by_a_lenient_policy(tmp_path: Path) -> None:
    """Nothing but this item is at fault."""
    root = as_folder(FILES, tmp_path / "task")
    base = SegmaskBase(open_archive(root), ctx=lenient())
    mask = root / f"SegmentationClass/{IDS[0]}.png"
    mask.unlink()
    mask.symlink_to("nothing")
    assert with_masks(base) == len(IDS) - 1


@pytest.mark.parametrize("labels", [LABELS, "background:0,0,0::\nroad:0,128,0::\n"])
def test_zip_that_is_another_one_for_another_process(labels: str, tmp_path: Path) -> None:
    """Its bytes are not looked for where those of the first were."""
    path = as_zip(FILES, tmp_path / "task")
    opened = pickle.dumps(open_archive(path).storage)
    more = {**FILES, "labelmap.txt": labels.encode(), "JPEGImages/new.jpg": jpeg(1, 4)}
    as_zip(more, tmp_path / "task")
    storage = pickle.loads(opened)
    for _ in range(2):
        with pytest.raises(StoreError, match="has changed since the archive was opened"):
            storage.read(f"SegmentationClass/{IDS[0]}.png")


# Servers


@pytest.fixture(params=["folder", "zip"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Any, Any]]:
    """The URL of an archive, how the server behaves, and its files."""
    files = {"task.zip": zipped(FILES, tmp_path / "task")}
    if request.param == "folder":
        files = {f"task/{name}": data for name, data in FILES.items()}
    with web_server(files) as (url, behaviour):
        suffix = ".zip?X-Signature=abc" if request.param == "zip" else ""
        yield f"{url}/task{suffix}", behaviour, files


@remote
@pytest.mark.parametrize("read", READERS[:-1])
def test_archive_that_vanishes_from_a_server(
    read: Callable[[str, Breaks], int], served: tuple[str, Any, dict[str, bytes]]
) -> None:
    url, _, files = served
    is_all_or_an_error(read, url, files.clear)


FAULTS = [403, 410, 429, 503, "cut", "whole", "gzip"]


@remote
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("read", READERS[:-1])
@pytest.mark.parametrize("after", [0, 4])
def test_server_that_fails_from_some_request_on(
    fault: int | str, read: Callable[[str, Breaks], int], after: int, served: tuple[str, Any, Any]
) -> None:
    """So does one where the signature of a URL has expired."""
    url, behaviour, _ = served
    seen = Counter[str]()

    def answer(path: str) -> int | str | None:
        seen["all"] += 1
        return fault if seen["all"] > after else None

    def begin() -> None:
        behaviour.fault = answer

    is_all_or_an_error(read, url, begin)


@remote
@pytest.mark.parametrize("fault", [503, "cut", "whole", "gzip"])
@pytest.mark.parametrize("command", ["check", "preview", "shard", "convert"])
def test_commands_read_all_or_end_with_an_error(
    fault: int | str,
    command: str,
    served: tuple[str, Any, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every second request fails, then all to the masks of one item."""
    url, behaviour, _ = served
    asked = Counter[str]()
    options = {
        "check": ["--json"],
        "preview": ["-o", str(tmp_path / "page.html"), "--workers", "1"],
        "shard": ["-o", str(tmp_path / "shards"), "--to", "coco"],
        "convert": ["-f", "coco_segments", "-o", str(tmp_path / "coco"), "--skip-broken"],
    }

    def at_times(path: str) -> int | str | None:
        asked[path] += 1
        return fault if asked[path] % 2 else None

    behaviour.fault = at_times
    assert main([command, url, *options[command], "--quiet"]) == 0
    out, _ = capsys.readouterr()
    if command == "check":
        assert json.loads(out)["subsets"]["default"]["annotated"] == len(IDS)
    elif command in ("shard", "convert"):
        folder = {"shard": "shards", "convert": "coco/annotations"}[command]
        (found,) = (tmp_path / folder).glob("instances_*.json")
        assert len(json.loads(found.read_text())["annotations"]) == len(IDS)
    if fault in (503, "cut"):
        again = [] if command == "check" else ["--overwrite"]
        behaviour.fault = lambda path: fault if path.endswith((".png", ".zip")) else None
        assert main([command, url, *options[command], *again]) != 0


@remote
def test_store_that_fails_while_it_is_asked_whether_masks_are_in_colour() -> None:
    """The answer decides what blank gray masks mean: instances of a label, or background."""
    labels = "car:128,0,0::\nbackground:0,0,0::\n"
    files = archive({"a": gray("0"), "b": rgb("1")}, labels=labels)
    with web_server({f"task/{name}": data for name, data in files.items()}) as (url, behaviour):
        base = SegmaskBase(open_archive(f"{url}/task"), ctx=lenient())
        behaviour.fault = lambda path: 503 if path.endswith("/b.png") else None
        with pytest.raises(StoreError):
            base.get("a", "default")


@remote
def test_pattern_of_urls_takes_all_that_fit_or_is_an_error(tmp_path: Path) -> None:
    """Of fsspec's own search a folder that cannot be listed is missing, and what is in it."""
    task = zipped(FILES, tmp_path / "task")
    places = ["a/task 1.zip", "a/task 2.zip", "b/task 3.zip", "b/c/task 4.zip", "b/.task.zip"]
    files = {f"tasks/{place}": task for place in places}
    asked = Counter[str]()

    def breaks_off(path: str) -> int | None:
        asked[path] += 1
        return 503 if path == "tasks/b" and asked[path] <= 2 else None

    with web_server(files) as (url, behaviour):

        def fit(*patterns: str) -> list[str]:
            return [
                f.removeprefix(f"{url}/tasks/") for f in fitting(f"{url}/{p}" for p in patterns)
            ]

        behaviour.fault = breaks_off
        assert fit("tasks/*/task*.zip") == ["a/task%201.zip", "a/task%202.zip", "b/task%203.zip"]
        assert len(fit("tasks/**/task*.zip")) == 4
        assert fit("tasks/[ab]/task%203.zip") == ["b/task%203.zip"]
        assert len(fit("tasks/*", "tasks/a")) == 2
        behaviour.fault = lambda path: 503 if path == "tasks/b" else None
        with pytest.raises(StoreError, match=r"tasks/b.*status 503"):
            fit("tasks/*/task*.zip")
        behaviour.calm()
        with pytest.raises(ArchiveError, match="no path fits"):
            fit("tasks/*/tusk*.zip")
        assert fitting([f"{url}/a.zip?sig=*x"]) == [f"{url}/a.zip?sig=*x"]
    put("memory://tasks", {"x/a.zip": task, "y/a.zip": task})
    assert fitting(["memory://tasks/*/a.zip"]) == [
        "memory:///tasks/x/a.zip",
        "memory:///tasks/y/a.zip",
    ]
