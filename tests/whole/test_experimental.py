"""Archives in Datumaro's next API: every mask is that of the import."""

from __future__ import annotations

import multiprocessing
import pickle
import subprocess
import sys
import zipfile
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datumaro.components.dataset import Dataset

import datumaro_segmask
from datumaro_segmask.errors import ArchiveError

from ..archives import CONTAINERS, archive, as_folder, as_zip, jpeg, rgb
from ..sharding.makes import random_files

datumaro_segmask.register()
HERE = find_spec("datumaro.experimental") is not None and find_spec("polars") is not None
needs_it = pytest.mark.skipif(not HERE, reason="Datumaro's experimental part is not here")
SHARED = Path(__file__).parents[2].parent / "shared" / "data"
REAL = sorted({*SHARED.rglob("*.zip"), *(p.parent for p in SHARED.rglob("SegmentationClass"))})
EXAMPLE = Path(__file__).parents[2] / "examples" / "street.zip"


def imported(path: str) -> list[Any]:
    return [
        (item.id, item.subset, [(m.label, m.group, m.image.astype(bool)) for m in item.annotations])
        for item in Dataset.import_from(path, "segmask")
    ]


def same(sample: Any, expected: Any) -> bool:
    item_id, subset, masks = expected
    if (sample.image_info.height, sample.image_info.width) == (0, 0):
        return not masks and not len(sample.labels)
    stack = sample.instance_masks()
    classes = sample.class_mask()
    labels = [3 if label is None else label for label, _, _ in masks]
    return (
        (sample.item_id, sample.subset_name) == (item_id, subset)
        and list(sample.labels) == labels
        and list(sample.instances) == [group for _, group, _ in masks]
        and len(stack) == len(masks)
        and all(np.array_equal(a, m) for a, (_, _, m) in zip(stack, masks, strict=True))
        and all((classes[m] == label).all() for label, _, m in masks if label is not None)
    )


def all_same(dataset: Any, path: str) -> bool:
    expected = imported(path)
    return len(dataset) == len(expected) and all(map(same, dataset, expected))


@needs_it
@pytest.mark.parametrize("make", CONTAINERS.values(), ids=CONTAINERS)
def test_loaded_is_imported(make: Any, tmp_path: Path) -> None:
    from datumaro_segmask.experimental import load_segmask

    path = str(make(random_files(30), tmp_path / "x"))
    dataset = load_segmask(path)
    assert all_same(dataset, path)
    assert all_same(pickle.loads(pickle.dumps(dataset)), path)
    assert {sample.image_info.width for sample in dataset if sample.image} == {11}
    assert dataset[0].image().shape == (9, 11, 3)
    val = load_segmask(path, "val")
    assert [sample.item_id for sample in val] == [i for i, subset, _ in imported(path)
                                                 if subset == "val"]  # fmt: skip
    assert {sample.subset.name for sample in val} == {"VALIDATION"}


@needs_it
@pytest.mark.parametrize("path", [EXAMPLE, *REAL], ids=lambda path: path.name)
def test_real_archives(path: Path) -> None:
    from datumaro_segmask.experimental import load_segmask

    if not path.exists():
        pytest.skip("it is not beside the checkout")
    try:
        imported(str(path))
    except Exception:
        pytest.skip("nobody reads it")
    assert all_same(load_segmask(str(path)), str(path))


def read_some(dataset: Any, numbers: list[int]) -> list[Any]:
    return [
        (
            sample.item_id,
            sample.instance_masks().tobytes(),
            sample.class_mask().tobytes(),
            sample.image().tobytes() if sample.image else None,
        )
        for sample in map(dataset.__getitem__, numbers)
    ]


def unpacked(folder: Path) -> Path:
    with zipfile.ZipFile(EXAMPLE) as example:
        example.extractall(folder)
    return folder


METHODS = [
    method for method in ("spawn", "fork") if method in multiprocessing.get_all_start_methods()
]


@needs_it
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("container", CONTAINERS)
def test_workers_read_it(container: str, method: str, tmp_path: Path) -> None:
    """As the workers of a PyTorch loader do: each gets the dataset, and its indices."""
    from datumaro_segmask.experimental import load_segmask

    path = str(EXAMPLE if container == "zip" else unpacked(tmp_path))
    dataset = load_segmask(path)
    assert all_same(dataset, path)
    every = list(range(len(dataset)))
    expected = read_some(dataset, every)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
        halves = pool.map(read_some, [dataset] * 2, [every[::2], every[1::2]])
        read = [item for half in halves for item in half]
    assert read == expected[::2] + expected[1::2]


@needs_it
def test_converter_keeps_masks(tmp_path: Path) -> None:
    from datumaro.experimental.legacy import convert_from_legacy

    import_module("datumaro_segmask.experimental")  # which registers it

    files = archive(
        {"a": rgb("012 012"), "b": rgb("000 000")},
        {"a": rgb("011 012")},
        images={"a.jpg": jpeg(2, 3), "b.jpg": jpeg(2, 3)},
        lists={"train": "a", "val": "b"},
    )
    path = str(as_folder(files, tmp_path))
    converted = convert_from_legacy(Dataset.import_from(path, "segmask"))
    for sample, (item_id, subset, masks) in zip(converted, imported(path), strict=True):
        assert sample.item_id == item_id
        assert (
            str(sample.subset).lower().endswith({"train": "training", "val": "validation"}[subset])
        )
        assert list(sample.labels) == [label for label, _, _ in masks]
        assert list(sample.instances) == [group for _, group, _ in masks]
        stack = sample.instance_mask_callable()
        assert stack.shape == (len(masks), 2, 3)
        assert all(np.array_equal(a, m) for a, (_, _, m) in zip(stack, masks, strict=True))
    assert pickle.loads(pickle.dumps(converted))[0].instance_mask_callable().sum() == 4


@needs_it
def test_no_such_subset(tmp_path: Path) -> None:
    from datumaro_segmask.experimental import load_segmask

    with pytest.raises(ArchiveError, match=r"no subset 'gone'.*'default'"):
        load_segmask(str(as_zip(archive({"a": rgb("1")}), tmp_path / "x")), "gone")


def test_older_datumaro_says_what_is_needed() -> None:
    script = (
        "import sys; sys.modules['datumaro.experimental'] = None\n"
        "try: import datumaro_segmask.experimental\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "needs Datumaro 1.13 or newer" in done.stdout
    assert "pip install" in done.stdout
