"""Import, export, import: the same labels, groups and masks, pixel for pixel."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import pytest
from datumaro.components.annotation import (
    AnnotationType,
    LabelCategories,
    MaskCategories,
    RleMask,
)
from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.media import Image
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from pycocotools import mask as mask_utils

from datumaro_segmask.options import MASK_MODES
from datumaro_segmask.plugin.annotations import SegmaskMask

from ..archives import archive, as_folder, png, rgb
from ..export_cases import files_of
from .test_golden import sets

pytestmark = pytest.mark.usefixtures("registered")

Rgb: TypeAlias = tuple[int, int, int]
Mask: TypeAlias = tuple[str, int, bytes]  # label, group, RLE

EXAMPLE = Path(__file__).parents[2] / "examples/street.zip"
modes = pytest.mark.parametrize("mask_mode", MASK_MODES)
containers = pytest.mark.parametrize("zipped", [False, True], ids=["tree", "zip"])


def load(path: Path) -> Dataset:
    return Dataset.import_from(str(path), "segmask")


@cache
def real(path: Path) -> tuple[Dataset, dict[tuple[str, str], list[Mask]]]:
    """Return an archive that is read once for all tests, and its masks."""
    dataset = load(path)
    dataset.init_cache()
    return dataset, masks_of(dataset)


def labels_of(dataset: Dataset) -> list[tuple[str, Rgb]]:
    names = dataset.categories()[AnnotationType.label].items
    colors = dataset.categories()[AnnotationType.mask].colormap
    return [(label.name, colors[i]) for i, label in enumerate(names)]


def masks_of(dataset: Dataset) -> dict[tuple[str, str], list[Mask]]:
    names = [label.name for label in dataset.categories()[AnnotationType.label].items]
    return {
        (item.id, item.subset): sorted(
            (names[a.label], a.group, a.rle["counts"]) for a in item.annotations
        )
        for item in dataset
    }


def check_round_trip(path: Path, folder: Path, mask_mode: str, zipped: bool) -> None:
    dataset, masks = real(path)
    dataset.export(str(folder / "x"), "segmask", mask_mode=mask_mode, zip=zipped)
    again = load(folder / "x")
    assert labels_of(again) == labels_of(dataset)
    assert masks_of(again) == masks


# Archives that others made


@sets
@containers
@modes
def test_real_archives(folder: Path, mask_mode: str, zipped: bool, tmp_path: Path) -> None:
    expected = json.loads((folder / "expected.json").read_text("utf-8"))
    check_round_trip(folder / expected.get("path", "data"), tmp_path, mask_mode, zipped)


@containers
@modes
def test_example(mask_mode: str, zipped: bool, tmp_path: Path) -> None:
    check_round_trip(EXAMPLE, tmp_path, mask_mode, zipped)


# Random datasets

SUFFIXES = ["", "", "", ".jpg", ".png", ".tar.gz", "."]
words = (
    st.text("aZ0 .-_#,é猫ß", min_size=1, max_size=5)
    .map(str.strip)
    .filter(lambda word: word.strip(". ") and not word.startswith("._"))
)
ids = st.builds(
    lambda folders, suffix: ("/".join(folders) + suffix).lstrip("# "),
    st.lists(words, min_size=1, max_size=3),
    st.sampled_from(SUFFIXES),
).filter(lambda item_id: all(part.strip(". ") for part in item_id.split("/")))
colors = st.tuples(*3 * [st.integers(0, 255)]).filter(any)
label_names = st.lists(
    st.sampled_from(["background", "car", "a:b", "Straße 5", "no #1", "猫", "x,y"]),
    min_size=1,
    unique=True,
)


@st.composite
def items(draw: Callable[[Any], Any], item_id: str, labels: list[str]) -> DatasetItem:
    """Return an item as the importer makes them: a mask for each pair of label and group."""
    subset = draw(st.sampled_from(["default", "train_v2", "вал 1.0"]))
    things = [i for i, name in enumerate(labels) if name != "background"]
    if not things or draw(st.integers(0, 4)) == 0:
        return DatasetItem(item_id, subset=subset)
    size = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    planes = [
        draw(arrays.arrays(np.int64, size, elements=values, fill=values))
        for values in (
            st.sampled_from([-1, *things]),
            st.sampled_from([0, 0, *draw(st.lists(st.integers(1, 255), min_size=1, max_size=4))]),
        )
    ]
    return DatasetItem(item_id, subset=subset, annotations=rle_masks(*planes))


def rle_masks(labels: NDArray[Any], numbers: NDArray[Any]) -> list[RleMask]:
    pairs = {(n, i) for n, i in zip(numbers.flat, labels.flat, strict=True) if i >= 0}
    return [
        (RleMask if n else cast(Any, SegmaskMask))(  # only our importer makes stuff
            mask_utils.encode(np.asfortranarray((numbers == n) & (labels == i), np.uint8)),
            label=int(i),
            group=int(n),
        )
        for n, i in sorted(pairs)
    ]


@st.composite
def datasets(draw: Callable[[Any], Any]) -> Dataset:
    labels = draw(label_names)
    colormap = draw(
        st.none()
        | st.dictionaries(st.sampled_from(range(len(labels))), colors, max_size=len(labels))
    )
    names = draw(st.lists(ids, max_size=4, unique_by=str.casefold))
    categories: dict[AnnotationType, Any] = {
        AnnotationType.label: LabelCategories.from_iterable(labels)
    }
    if colormap is not None:
        assume(len({*colormap.values()}) == len(colormap))
        categories[AnnotationType.mask] = MaskCategories(colormap)
    return Dataset.from_iterable(
        [draw(items(name, labels)) for name in names], categories=categories, media_type=Image
    )


@given(datasets(), st.sampled_from([*MASK_MODES]), st.booleans())
def test_random_datasets(dataset: Dataset, mask_mode: str, zipped: bool) -> None:
    names = [label.name for label in dataset.categories()[AnnotationType.label].items]
    colormap = dataset.categories().get(AnnotationType.mask, MaskCategories()).colormap
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "x")
        dataset.export(str(target), "segmask", mask_mode=mask_mode, zip=zipped)
        if not len(dataset):
            return
        again = load(target)
        assert masks_of(again) == masks_of(dataset)
        written = dict(labels_of(again))
        assert [*written] == (names if "background" in names else ["background", *names])
        assert {i: written[name] for i, name in enumerate(names) if i in colormap} == colormap
        if "background" not in names:
            assert written["background"] == (0, 0, 0)
        # What it gave once it gives again, file by file.
        again.export(str(Path(folder, "y")), "segmask", mask_mode=mask_mode, zip=zipped)
        assert files_of(Path(folder, "y")) == files_of(target)


@settings(max_examples=6)
@given(
    arrays.arrays(np.int64, (18, 20), elements=st.integers(0, 1 << 23)),
    arrays.arrays(np.int64, (18, 20), elements=st.integers(-1, 2)),
    st.sampled_from([*MASK_MODES]),
)
def test_more_than_255_instances(
    numbers: NDArray[Any], labels: NDArray[Any], mask_mode: str
) -> None:
    """Groups count from 1 in their order then; everything else stays."""
    shapes = rle_masks(labels % 3, np.arange(360).reshape(18, 20) % 300 * 5 + numbers)
    shapes = [shape for shape in shapes if shape.group]
    dataset = Dataset.from_iterable(
        [DatasetItem("a", annotations=shapes)], categories=["car", "road", "sky"], media_type=Image
    )
    rank = {group: i for i, group in enumerate(sorted({a.group for a in shapes}), 1)}
    assert len(rank) > 255
    expected = {
        key: sorted((label, rank[group], counts) for label, group, counts in masks)
        for key, masks in masks_of(dataset).items()
    }
    with tempfile.TemporaryDirectory() as folder:
        dataset.export(str(Path(folder, "x")), "segmask", mask_mode=mask_mode)
        again = load(Path(folder, "x"))
        assert masks_of(again) == expected
        again.export(str(Path(folder, "y")), "segmask", mask_mode=mask_mode)
        assert masks_of(load(Path(folder, "y"))) == expected


def test_instance_colours_of_ones_own_become_the_first_numbers(tmp_path: Path) -> None:
    """Colours that VOC does not count to are read, and written so that every tool reads them."""
    pixels = np.array([[(1, 2, 3), (0, 0, 0), (250, 7, 9), (1, 2, 3)]], np.uint8)
    given = as_folder(archive({"a": rgb("1112")}, {"a": png(pixels)}), tmp_path / "x")
    before = masks_of(load(given))["a", "default"]
    assert min(group for _, group, _ in before if group) > 255
    load(given).export(str(tmp_path / "y"), "segmask")
    after = masks_of(load(tmp_path / "y"))["a", "default"]
    assert [(label, counts) for label, _, counts in after] == [
        (label, counts) for label, _, counts in before
    ]
    assert sorted({group for _, group, _ in after}) == [0, 1, 2]
