"""Archives in stores: the contract of every storage, then what may go wrong on the way."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
from datumaro.components.importer import ImportContext

from datumaro_segmask.archive.lists import open_archive
from datumaro_segmask.errors import (
    ArchiveError,
    MissingFileError,
    SegmaskError,
    StoreError,
    UnsafePathError,
)
from datumaro_segmask.plugin.base import SegmaskBase
from datumaro_segmask.rules import ArchiveFacts, judge_archive
from datumaro_segmask.storage.layout import STAGING
from datumaro_segmask.storage.open import open_storage
from datumaro_segmask.storage.read import Storage
from datumaro_segmask.storage.remote import faults
from datumaro_segmask.storage.remote import store as store_module
from datumaro_segmask.storage.remote.store import _joined, is_url, shown, url_of

from ..archives import Files, archive, as_folder, as_zip, gray, jpeg
from .contract import FILES, MASK, StorageContract
from .stores import Behaviour, put, web_server, zipped

pytestmark = pytest.mark.skipif(
    find_spec("fsspec") is None, reason="the extra 'remote' is not installed"
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_PAUSE", 0.001)


def in_memory(path: Path) -> str:
    return f"memory://{path.as_posix().strip('/')}"


class TestRemoteFolder(StorageContract):
    def make(self, files: Mapping[str, bytes], path: Path) -> Storage:
        return open_storage(put(in_memory(path), files))


class TestRemoteZip(StorageContract):
    def make(self, files: Mapping[str, bytes], path: Path) -> Storage:
        return open_storage(put(in_memory(path), {"a.zip": zipped(files, path)}) + "/a.zip")


class TestDeepRemoteFolder(StorageContract):
    def make(self, files: Mapping[str, bytes], path: Path) -> Storage:
        deep = {f"x/my task/{name}": data for name, data in files.items()}
        return open_storage(put(in_memory(path), deep))


class OverTheWeb(StorageContract):
    """The client has threads of its own, which no fork takes along while they work."""

    forks = False

    @pytest.fixture(autouse=True)
    def serve(self) -> Iterator[None]:
        self.files: dict[str, bytes] = {}
        with web_server(self.files) as (self.url, self.behaviour):
            yield


class TestWebFolder(OverTheWeb):
    def make(self, files: Mapping[str, bytes], path: Path) -> Storage:
        self.files |= {f"my task/{name}": data for name, data in files.items()}
        return open_storage(f"{self.url}/my%20task")


class TestWebZip(OverTheWeb):
    def make(self, files: Mapping[str, bytes], path: Path) -> Storage:
        self.files["a.zip"] = zipped(files, path)
        return open_storage(f"{self.url}/a.zip?X-Signature=secret")


# S3


COUNT = 24
ITEMS = archive(
    {f"d{i % 3}/{i:02}": gray("01") for i in range(COUNT)},
    {f"d{i % 3}/{i:02}": gray("01") for i in range(COUNT)},
    images={f"d{i % 3}/{i:02}.jpg": jpeg(1, 2) for i in range(COUNT)},
)
IDS = [f"d{i % 3}/{i:02}" for i in range(COUNT)]


def read_all(storage: Storage) -> list[bytes]:
    read = []
    for item_id, _ in storage.prefetch([(item_id, "default") for item_id in IDS]):
        read += [storage.read(f"Segmentation{kind}/{item_id}.png") for kind in ("Class", "Object")]
        image = storage.image(item_id)
        assert image is not None
        with storage.open(image) as file:
            read.append(file.read(100))
    return read


WANTED = [data for _ in IDS for data in (gray("01"), gray("01"), jpeg(1, 2)[:100])]


@pytest.fixture(scope="module")
def urls(s3: object, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The same archive on S3 twice; made once, as writing takes longest."""
    task = zipped(ITEMS, tmp_path_factory.mktemp("zips"))
    return {
        "folder": put("s3://bucket/task", ITEMS),
        "zip": put("s3://bucket/zips", {"task.zip": task}) + "/task.zip",
    }


def test_s3_zip_takes_few_requests(urls: dict[str, str], behaviour: Behaviour) -> None:
    storage = open_storage(urls["zip"])
    assert read_all(storage) == WANTED
    assert sum(behaviour.counts.values()) <= 9  # three to open it, two batches, some to connect


def test_s3_folder_lists_once(urls: dict[str, str], behaviour: Behaviour) -> None:
    storage = open_storage(urls["folder"])
    assert read_all(storage) == WANTED
    assert behaviour.counts["GET"] == 3 * COUNT
    assert behaviour.counts["HEAD"] == 0
    assert behaviour.counts["LIST"] <= 8


FAULTS: dict[str, tuple[int | str, str, bool]] = {
    "denied": (403, "the store denies access", False),
    "gone": (404, "there is no such file", False),
    "broken": (500, "status 500", True),
    "busy": (503, "status 503", True),
    "cut": ("cut", "the connection was cut", True),
}


SIGNED = "?sig=a-signature-that-nobody-shows"


def answer(status: int | str, path: str) -> int | str:
    return status


def message(error: SegmaskError, url: str) -> str:
    """All four parts are there, and no key is."""
    text = str(error)
    assert error.where.startswith(url)
    assert error.expected
    assert error.remedy
    assert "nobody-shows" not in "".join(traceback.format_exception(error))
    return text


@pytest.mark.parametrize(
    ("place", "status", "says"),
    [
        ("https://h/task.zip?...", 403, "get a new link"),
        ("https://h/task.zip?...", 400, "get a new link"),
        ("HTTPS://h/task.zip", 403, "where you are signed in"),
        ("s3://b/task.zip", 403, "AWS_ACCESS_KEY_ID"),
    ],
)
def test_what_helps_where_access_is_denied(place: str, status: int, says: str) -> None:
    class Denied(Exception):
        pass

    denied = Denied()
    denied.status = status  # type: ignore[attr-defined]
    assert says in faults.failed(denied, place, "read it").remedy


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_fault_that_stays(
    fault: str, kind: str, urls: dict[str, str], behaviour: Behaviour
) -> None:
    """One error that says so, for each file that was asked for; never a file less."""
    status, says, _ = FAULTS[fault]
    url = urls[kind]
    storage = open_storage(url)
    name = f"SegmentationClass/{IDS[5]}.png"
    behaviour.fault = partial(answer, status)
    with pytest.raises((MissingFileError, ArchiveError)) as caught:
        read_all(storage)
    assert says in message(caught.value, url)
    with pytest.raises((MissingFileError, ArchiveError)) as caught:
        open_storage(url)
    message(caught.value, url)
    behaviour.calm()
    assert storage.read(name) == gray("01")


@pytest.mark.parametrize("fault", [name for name, (_, _, passes) in FAULTS.items() if passes])
@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_fault_that_passes(
    fault: str, kind: str, urls: dict[str, str], behaviour: Behaviour
) -> None:
    """Every file of a folder fails when it is first asked for, and many parts of a zip."""
    asked: Counter[str] = Counter()

    def at_first(path: str) -> int | str | None:
        asked[path] += 1
        return FAULTS[fault][0] if asked[path] % 4 == 1 else None

    behaviour.fault = at_first
    storage = open_storage(urls[kind])
    assert read_all(storage) == WANTED


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("suffix", [".zip", ""], ids=["zip", "no-suffix"])
def test_web_fault_that_stays(fault: str, suffix: str, tmp_path: Path) -> None:
    """fsspec tells each of them as a missing file."""
    status, says, _ = FAULTS[fault]
    if status == "cut":
        suffix = ".zip"  # to learn whether something is there, nothing is read
    files = {f"a{suffix}": zipped(ITEMS, tmp_path)}
    with web_server(files) as (url, behaviour):
        behaviour.fault = partial(answer, status)
        with pytest.raises((MissingFileError, ArchiveError)) as caught:
            open_storage(f"{url}/a{suffix}{SIGNED}")
        is_store = isinstance(caught.value, StoreError)
        assert is_store == (fault != "gone")
        if is_store or suffix:
            assert says in message(caught.value, url)


def test_nobody_answers() -> None:
    with pytest.raises(StoreError, match="the connection was cut, or there is none"):
        open_storage("http://127.0.0.1:1/a.zip")


def test_slow_store(tmp_path: Path) -> None:
    """It is waited for as long as its library does, and then it is an error."""
    files = {"a.zip": zipped(ITEMS, tmp_path)}
    with web_server(files) as (url, behaviour):
        behaviour.delay = 0.05
        storage = open_storage(f"{url}/a.zip")
        assert read_all(storage) == WANTED


def test_web_server_without_ranges(tmp_path: Path) -> None:
    files = {"a.zip": zipped(ITEMS, tmp_path)}
    with (
        web_server(files, ranges=False) as (url, _),
        pytest.raises(StoreError, match="server"),
    ):
        open_storage(f"{url}/a.zip")


def test_a_folder_of_a_web_server_that_cannot_be_listed_is_not_read_without_it() -> None:
    """fsspec's own search leaves out what it cannot list."""
    files = archive({f"{folder}/{i}": gray("01") for folder in "ab" for i in range(3)})
    asked: Counter[str] = Counter()

    def breaks_off(times: int, path: str) -> int | None:
        asked[path] += 1
        return 503 if path == "SegmentationClass/b" and asked[path] <= times else None

    with web_server(files) as (url, behaviour):
        behaviour.fault = partial(breaks_off, 2)
        assert len(list(open_storage(url).files("SegmentationClass"))) == 6
        behaviour.fault = partial(breaks_off, 10**6)
        with pytest.raises(StoreError, match=r"SegmentationClass/b.*status 503"):
            open_storage(url)


@pytest.mark.parametrize("policy", ["strict", "lenient"])
def test_a_server_that_sends_the_whole_file_at_times_costs_no_item(
    policy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that fails is no fault of an item: no error policy may leave the item out."""
    monkeypatch.setattr(store_module, "_AHEAD_ITEMS", (1,))
    from datumaro_segmask.plugin.host import CollectedErrors

    files = {"a.zip": zipped(archive({f"i{i}": gray("01") for i in range(5)}), tmp_path)}
    asked: Counter[str] = Counter()

    def whole(times: int, path: str) -> str | None:
        asked[path] += 1
        return "whole" if asked[path] % 4 < times else None

    with web_server(files) as (url, behaviour):
        archived = open_archive(f"{url}/a.zip")
        context = ImportContext(error_policy=CollectedErrors() if policy == "lenient" else None)
        behaviour.fault = partial(whole, 2)
        base = SegmaskBase(archived, ctx=context)
        assert [len(item.annotations) for item in base] == [1] * 5
        behaviour.fault = partial(whole, 4)
        with pytest.raises(StoreError, match="always sends the whole file"):
            list(SegmaskBase(archived, ctx=context))


# What cannot be opened


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://", "it is not a URL"),
        ("http://[", "it is not a URL"),
        ("memory://a\0b", "there is no archive of segmentation masks here"),
        ("memory://nothing/here", "there is no archive of segmentation masks here"),
        ("memory://nothing/here.zip", "there is no such file"),
        ("unheardof://a/b", "it is not a URL of a file.*asked to connect"),
        ("gs://bucket/task.zip", "pip install"),
    ],
)
def test_nothing_there(url: str, says: str) -> None:
    if url.startswith("gs") and find_spec("gcsfs"):
        pytest.skip("gcsfs is here")
    with pytest.raises((ArchiveError, MissingFileError), match=says):
        open_storage(url)


def test_without_fsspec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(ArchiveError, match=r"fsspec.*pip install 'datumaro-segmask\[remote\]'"):
        open_storage("s3://bucket/task.zip")


def test_archives_side_by_side() -> None:
    for name in ("one", "two"):
        put(f"memory://side/{name}", FILES)
    with pytest.raises(ArchiveError, match="2 archives are side by side"):
        open_storage("memory://side")


STRANGE: dict[str, tuple[Files, str]] = {
    "zip-in-it": ({"x/task.zip": b"x", "a.txt": b""}, ""),
    "zips": ({"x/a.zip": b"x", "x/b.zip": b"x"}, ""),
    "misnamed": ({"segmentationclass/a.png": b"x"}, ""),
    "yolo": ({"obj.data": b""}, "DIR"),
    "loose-masks": ({"masks/a.png": b""}, "DIR"),
    "too-deep": ({"1/2/3/4/5/SegmentationClass/a.png": b"x"}, ""),
}
"""What is no archive, and what stands in the remedy for the place of a folder that is far away."""


def told(path: str) -> ArchiveError:
    with pytest.raises(ArchiveError) as caught:
        open_storage(path)
    return caught.value


@pytest.mark.parametrize("name", STRANGE)
def test_what_is_no_archive_in_a_zip(name: str, tmp_path: Path) -> None:
    near = as_zip(STRANGE[name][0], tmp_path / "near")
    url = put("memory://strange", {"near.zip": near.read_bytes()})
    here, there = told(str(near)), told(f"{url}/near.zip")
    assert there.what == here.what
    assert there.remedy == here.remedy.replace(str(near), "near.zip")


@pytest.mark.parametrize("name", [name for name in STRANGE if name != "too-deep"])
def test_what_is_no_archive_in_a_folder(name: str, tmp_path: Path) -> None:
    """Folders far away are looked into four levels down, and no further."""
    files, place = STRANGE[name]
    near, url = as_folder(files, tmp_path / "near"), put(in_memory(tmp_path), files)
    here, there = told(str(near)), told(url)
    assert there.what == here.what
    assert there.remedy == here.remedy.replace(str(near), place or url)


def test_lists_alone_make_a_root() -> None:
    url = put("memory://listed", {"x/ImageSets/Segmentation/train.txt": b"a\n"})
    assert [*open_storage(url).files("ImageSets/Segmentation")]


def test_lists_of_another_task_make_none() -> None:
    url = put(
        "memory://main", {"ImageSets/Main/train.txt": b"a\n", "deep/SegmentationClass/a.png": b"x"}
    )
    assert open_storage(url).place("x").endswith("main/deep/x")


def test_copy_of_an_unfinished_export() -> None:
    url = put("memory://cut", {**FILES, f"{STAGING}x/journal": b"", f"{STAGING}x/new/a.png": b""})
    with pytest.raises(ArchiveError, match="had been cut short") as caught:
        open_storage(url)
    assert caught.value.where == f"{url}/{STAGING}x"


def test_copy_of_an_export_that_never_began_to_move() -> None:
    url = put("memory://waiting", {**FILES, f"{STAGING}x/new/a.png": b""})
    assert open_storage(url).read("SegmentationClass/a.png") == FILES["SegmentationClass/a.png"]


def test_masks_in_a_misnamed_folder_and_a_label_map_above() -> None:
    files = archive({"a": gray("01")}, labels=None, root="x/")
    files |= {"labelmap.txt": b"background\ncar\n", "x/Segmentation_Object/a.png": b"x"}
    url = put("memory://misnamed", files)
    noted = judge_archive(ArchiveFacts(open_archive(url)))
    found = [(finding.kind, finding.file) for finding in noted if finding.kind != "no-label-map"]
    assert found == [
        ("label-map-name", "../labelmap.txt"),
        ("folder-name", "Segmentation_Object"),
    ]
    assert open_storage(f"{url}/x").place_above("labelmap.txt") is None  # not ours to look for


def test_lone_zip(tmp_path: Path) -> None:
    url = put("memory://lone", {"task.zip": zipped(FILES, tmp_path), "readme.md": b"x"})
    assert open_storage(url).read(MASK) == gray("01")


def test_zip_of_no_suffix(tmp_path: Path) -> None:
    url = put("memory://bare", {"download": zipped(FILES, tmp_path)})
    assert open_storage(f"{url}/download").read(MASK) == gray("01")


def test_names_that_lead_out() -> None:
    url = put("memory://evil", {**FILES, "SegmentationClass/b\\..\\c.png": b"x"})
    with pytest.raises(UnsafePathError, match="backslash"):
        open_storage(url)


# URLs


@pytest.mark.parametrize("path", ["s3://b/k", "https://h/a.zip", "simplecache::s3://b/k", "GS://b"])
def test_url(path: str) -> None:
    assert is_url(path)


@pytest.mark.parametrize(
    "path", ["a.zip", "/a/b", "C:\\a", "C://a", "a:b", "file:///a", "local:///a", "a::", "1//2"]
)
def test_path_on_this_machine(path: str) -> None:
    assert not is_url(path)
    assert url_of(os.path.abspath(path)) is None


@pytest.mark.parametrize(
    "url", ["s3://b/k", "https://h:80/a b.zip?x=y/z", "simplecache::s3://b/k", "memory://a"]
)
def test_url_that_was_made_absolute(url: str) -> None:
    assert url_of(os.path.abspath(url)) == url_of(url) == url


@pytest.mark.skipif(sys.platform == "win32", reason="no folder has such a name there")
def test_folder_that_looks_like_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    as_folder(FILES, tmp_path / "s3:" / "bucket")
    assert url_of(os.path.abspath("s3://bucket")) is None


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("s3://bucket/a b.zip", "s3://bucket/a b.zip"),
        ("s3://key:se/cr/et@bucket/a.zip", "s3://bucket/a.zip"),
        ("s3://bucket/a:b@c.zip", "s3://bucket/a:b@c.zip"),
        ("https://host:8080/a@b.zip", "https://host:8080/a@b.zip"),
        ("https://user:p@w@host:80/a@b.zip", "https://host:80/a@b.zip"),
        ("s3://key:secret@bucket/a.zip", "s3://bucket/a.zip"),
        ("https://user:p:w@host/a.zip", "https://host/a.zip"),
        ("https://token@host/a.zip", "https://host/a.zip"),
        ("https://host/a.zip?X-Amz-Signature=1&b=2", "https://host/a.zip?..."),
        ("https://host/what?", "https://host/what?"),
        ("abfs://container@account/a", "abfs://container@account/a"),
        ("simplecache::https://user:pw@host/a?s=1", "simplecache::https://host/a?..."),
        ("/a/b?c=d", "/a/b?c=d"),
    ],
)
def test_shown(url: str, text: str) -> None:
    assert shown(url) == text


def test_no_key_in_messages_or_logs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with web_server({}) as (url, behaviour), caplog.at_level(logging.INFO):
        secret = url.replace("//", "//me:hidden@") + "/a.zip?sig=hidden"
        for status in (403, 404, 500):
            behaviour.fault = partial(answer, status)
            with pytest.raises(SegmaskError) as caught:
                open_storage(secret)
            assert "hidden" not in repr(caught.value)
            shown_to_all = traceback.format_exception(caught.value)
            assert "hidden" not in "".join(shown_to_all)
    assert "hidden" not in caplog.text + "".join(capsys.readouterr())


def test_neighbours_are_joined() -> None:
    gap, most = store_module._GAP, store_module._MOST_JOINED
    assert _joined([("a", 0, 10), ("a", 20, 30), ("b", 30, 40)]) == [("a", 0, 30), ("b", 30, 40)]
    assert _joined([("a", 5, 9), ("a", 0, 30), ("a", 5, 9)]) == [("a", 0, 30)]
    assert len(_joined([("a", 0, 10), ("a", 11 + gap, 12 + gap)])) == 2
    assert len(_joined([("a", 0, most), ("a", most, most + 1)])) == 2
    assert _joined([("a", 0, -1), ("b", 0, -1)]) == [("a", 0, -1), ("b", 0, -1)]


def test_the_name_of_a_store_may_be_in_capitals(tmp_path: Path) -> None:
    with web_server({"task.zip": zipped(FILES, tmp_path / "task")}) as (address, _):
        url = f"{address}/task.zip".replace("http", "HTTP", 1)
        assert open_storage(url).exists(MASK)
