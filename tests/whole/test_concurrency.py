"""Several readers of one archive, in threads and in processes."""

from __future__ import annotations

import multiprocessing
import pickle
import sys
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetItem

import datumaro_segmask
from datumaro_segmask.plugin.base import SegmaskBase

from ..archives import COLORS, CONTAINERS, archive, jpeg, png

datumaro_segmask.register()

Content: TypeAlias = list[tuple[str, str, list[tuple[int, int, bytes]], bytes]]
"""What there is to compare of items: id, subset, masks (label, group, pixels), image file."""

COUNT = 40


def content(items: object) -> Content:
    assert isinstance(items, (list, Dataset, SegmaskBase))
    return [
        (
            item.id,
            item.subset,
            [(mask.label, mask.group, mask.image.tobytes()) for mask in item.annotations],
            item.media.bytes,
        )
        for item in items
    ]


@pytest.fixture(params=list(CONTAINERS.values()), ids=list(CONTAINERS))
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    rng = np.random.default_rng(0)
    ids = [f"item {i}" for i in range(COUNT)]
    files = archive(
        {i: png(COLORS[rng.integers(0, 3, (9, 11))]) for i in ids},
        {i: png(COLORS[rng.integers(0, 9, (9, 11))]) for i in ids},
        lists={"train": "\n".join(ids[:30]), "val": "\n".join(ids[30:])},
        images={f"{i}.jpg": jpeg(9, 11) for i in ids},
    )
    return str(request.param(files, tmp_path / "x"))


# Functions of the workers, which spawned processes import from here


def read_path(path: str) -> Content:
    return content(Dataset.import_from(path, "segmask"))


def read_base(source: SegmaskBase, _: object = None) -> Content:
    return content(source)


def read_one(source: SegmaskBase, key: tuple[str, str]) -> Content:
    item = source.get(*key)
    assert item is not None
    return content([item])


def read_items(items: list[DatasetItem]) -> Content:
    return content(items)


METHODS = [
    pytest.param(method, marks=[] if method != "fork" else [pytest.mark.filterwarnings(
        "ignore:.*multi-threaded, use of fork.*:DeprecationWarning")])
    for method in multiprocessing.get_all_start_methods()
    if method != "forkserver" and (method != "fork" or sys.platform == "linux")
]  # fmt: skip


def processes(method: str) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method))


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_read_one_archive(path: str, method: str) -> None:
    expected = read_path(path)
    assert len(expected) == COUNT
    with processes(method) as pool:
        assert list(pool.map(read_path, [path] * 2)) == [expected] * 2


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("method", METHODS)
def test_open_source_goes_to_processes(path: str, method: str, stream: bool) -> None:
    """Each opens the zip anew, also where the parent has read from it and a fork shares that."""
    source = SegmaskBase(path, stream=stream)
    expected = read_base(source)
    with processes(method) as pool:
        assert list(pool.map(read_base, [source] * 2)) == [expected] * 2
        halves = [list(pool.map(partial(read_one, source), keys)) for keys in _halves(expected)]
    assert [one for half in halves for (one,) in half] == expected


def _halves(items: Content) -> list[list[tuple[str, str]]]:
    keys = [(item[0], item[1]) for item in items]
    return [keys[: len(keys) // 2], keys[len(keys) // 2 :]]


@pytest.mark.parametrize("method", METHODS)
def test_items_go_to_processes(path: str, method: str) -> None:
    items = list(Dataset.import_from(path, "segmask"))
    with processes(method) as pool:
        assert list(pool.map(read_items, [items[:20], items[20:]])) == [
            content(items[:20]),
            content(items[20:]),
        ]


@pytest.mark.parametrize("options", [{}, {"annotation": "polygon"}], ids=["masks", "polygons"])
def test_items_survive_pickling(path: str, options: dict[str, str]) -> None:
    for item in Dataset.import_from(path, "segmask", **options):
        again = pickle.loads(pickle.dumps(item))
        assert again == item
        assert (again.media.data == item.media.data).all()


def test_pickled_source_holds_no_masks(path: str) -> None:
    source = SegmaskBase(path)
    assert len(pickle.dumps(source)) < 20_000 + 200 * COUNT
    again = pickle.loads(pickle.dumps(source))
    assert again.categories() == source.categories()
    assert read_base(again) == read_base(source)


# Threads

THREADS = 8


def in_threads(work: Callable[[int], Content]) -> list[Content]:
    pool: Executor
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(work, range(THREADS)))


def test_threads_read_one_source(path: str) -> None:
    source = SegmaskBase(path)
    expected = read_path(path)
    assert in_threads(partial(read_base, source)) == [expected] * THREADS


def test_threads_read_items_of_one_source(path: str) -> None:
    source = SegmaskBase(path)
    keys = [(item[0], item[1]) for item in read_path(path)]
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(partial(read_one, source), keys))
    assert [one for (one,) in found] == read_path(path)


def test_threads_read_one_dataset(path: str) -> None:
    dataset = Dataset.import_from(path, "segmask")
    dataset.init_cache()
    expected = read_path(path)
    assert in_threads(lambda _: content(dataset)) == [expected] * THREADS


def test_reading_ahead_gives_the_same(path: str) -> None:
    dataset = Dataset.import_from(path, "segmask", num_workers=4)
    assert content(dataset) == read_path(path)


def test_abandoned_iteration_leaves_the_source_whole(path: str) -> None:
    source = SegmaskBase(path, num_workers=4)
    for _ in range(20):
        next(iter(source))
    assert read_base(source) == read_path(path)
