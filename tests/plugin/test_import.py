"""What Datumaro sees of an archive: labels, media, subsets, options, streams, processes."""

from __future__ import annotations

import multiprocessing
import pickle
from pathlib import Path

import numpy as np
import pytest
from datumaro.components.annotation import AnnotationType, Mask
from datumaro.components.dataset import Dataset, StreamDataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.errors import DatasetImportError, DatasetNotFoundError
from datumaro.components.media import Image
from datumaro.components.progress_reporting import ProgressReporter

from datumaro_segmask.errors import SegmaskImportError
from datumaro_segmask.plugin.base import SegmaskBase
from datumaro_segmask.plugin.host import as_datumaros
from datumaro_segmask.plugin.importer import SegmaskImporter

from ..archives import CONTAINERS, LABELS, archive, as_folder, as_zip, jpeg, rgb
from ..cases import BAD

pytestmark = pytest.mark.usefixtures("registered")
containers = pytest.mark.parametrize("write", CONTAINERS.values(), ids=CONTAINERS)

FILES = archive(
    {"a": rgb("012"), "b": rgb("000"), "c/d": rgb("11 22")},
    {"a": rgb("012")},
    lists={"train": "a\nb\n", "val": "c/d\n"},
    images={"a.jpg": jpeg(1, 3)},
)


def load(path: Path, **options) -> Dataset:
    return Dataset.import_from(str(path), "segmask", **options)


@containers
def test_categories(write, tmp_path: Path) -> None:
    text = LABELS + "person:9,8,7:head,foot:walk,run\n"
    dataset = load(write(archive({"a": rgb("0")}, labels=text), tmp_path / "task"))
    labels = dataset.categories()[AnnotationType.label]
    assert [label.name for label in labels.items] == ["background", "car", "road", "person"]
    assert labels[3].attributes == {"walk", "run"}
    colors = dataset.categories()[AnnotationType.mask].colormap
    assert colors == {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (9, 8, 7)}


@containers
def test_media(write, tmp_path: Path) -> None:
    dataset = load(write(FILES, tmp_path / "task"))
    with_image, without = dataset.get("a", "train").media, dataset.get("c/d", "val").media
    assert with_image.size == (1, 3)
    assert with_image.data.shape[:2] == (1, 3)
    assert with_image.bytes == jpeg(1, 3)
    assert with_image.ext == ".jpg"
    assert without.size == (2, 2)
    assert not without.has_data
    assert isinstance(without, Image)


@containers
def test_media_are_not_read_before_someone_asks(write, tmp_path: Path) -> None:
    files = {**FILES, "JPEGImages/a.jpg": jpeg(1, 3)[:300] + b"cut"}
    assert load(write(files, tmp_path / "task")).get("a", "train").media.size == (1, 3)


@containers
def test_random_access_and_subsets(write, tmp_path: Path) -> None:
    base = SegmaskBase(str(write(FILES, tmp_path / "task")))
    assert len(base) == 3
    found = base.get("c/d", "val")
    assert found is not None
    assert found.id == "c/d"
    assert base.get("c/d") is None
    assert base.get("gone", "val") is None
    assert base.get("a", "gone") is None
    assert list(base.subsets()) == ["train", "val"]
    train = base.get_subset("train")
    assert [item.id for item in train] == ["a", "b"]
    assert list(train.subsets()) == ["train"]
    assert len(train) == 2
    assert len(base) == 3
    with pytest.raises(KeyError, match=r"no subset 'gone', there are \['train', 'val'\]"):
        base.get_subset("gone")


def test_masks_are_read_when_they_are_asked_for(tmp_path: Path) -> None:
    path = as_folder(FILES, tmp_path)
    base = SegmaskBase(str(path))
    for mask in path.rglob("*.png"):
        mask.write_bytes(rgb("222" if mask.stem in "ab" else "22 22"))
    assert {a.label for item in base for a in item.annotations} == {2}


@containers
def test_iterates_again(write, tmp_path: Path) -> None:
    base = SegmaskBase(str(write(FILES, tmp_path / "task")))
    first, second = list(base), list(base)
    assert [item.id for item in first] == [item.id for item in second] == ["a", "b", "c/d"]
    assert [item.annotations for item in first] == [item.annotations for item in second]


@containers
def test_stream(write, tmp_path: Path) -> None:
    dataset = StreamDataset.import_from(str(write(FILES, tmp_path / "task")), "segmask")
    assert dataset.is_stream
    assert [(item.id, item.subset) for item in dataset] == [
        ("a", "train"), ("b", "train"), ("c/d", "val"),
    ]  # fmt: skip


@containers
def test_options(write, tmp_path: Path) -> None:
    path = write(FILES, tmp_path / "task")
    kept = load(path, keep_background=True).get("b", "train").annotations
    assert [(a.label, a.get_area()) for a in kept] == [(0, 3)]
    with pytest.raises(DatasetImportError) as caught:
        load(path, ignore_index=-1)
    assert "ignore_index is -1" in str(caught.value)


def test_options_of_the_command_line() -> None:
    parsed = SegmaskImporter.parse_cmdline(
        ["--keep-background", "--ignore-index", "255", "--max-pixels", "10"]
    )
    assert {name: parsed[name] for name in ("keep_background", "ignore_index", "max_pixels")} == {
        "keep_background": True,
        "ignore_index": 255,
        "max_pixels": 10,
    }


def test_defaults_are_the_same_everywhere(tmp_path: Path) -> None:
    """In Python and on the command line."""
    base = SegmaskBase(str(as_folder(FILES, tmp_path)), **SegmaskImporter.parse_cmdline([]))
    assert [item.annotations for item in base] == [
        item.annotations for item in SegmaskBase(str(tmp_path))
    ]


def test_help_explains_every_option() -> None:
    text = SegmaskImporter.build_cmdline_parser().format_help()
    assert text.count("(default: ") >= 3


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError):
        load(tmp_path / "gone")
    with pytest.raises(DatasetImportError, match="there is no archive of segmentation masks here"):
        load(tmp_path)


@containers
def test_progress(write, tmp_path: Path) -> None:
    class Counting(ProgressReporter):
        seen: list[int] = []  # noqa: RUF012

        def split(self, count):
            return [self] * count

        def iter(self, iterable, *, total=None, desc=None):
            self.seen.append(total)
            yield from iterable

    dataset = load(write(FILES, tmp_path / "task"), progress_reporter=Counting())
    assert len(dataset) == 3
    assert Counting.seen == [3]


@containers
def test_items_pickle(write, tmp_path: Path) -> None:
    items = list(SegmaskBase(str(write(FILES, tmp_path / "task"))))
    again = pickle.loads(pickle.dumps(items))
    assert again == items
    assert again[0].media.bytes == jpeg(1, 3)


def areas_of(base: SegmaskBase) -> list[int]:
    return [a.get_area() for item in base for a in item.annotations]


@containers
def test_dataset_in_a_spawned_process(write, tmp_path: Path) -> None:
    base = SegmaskBase(str(write(FILES, tmp_path / "task")))
    expected = areas_of(base)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(areas_of, (base,)) == expected == [1, 1, 2, 2]


def test_size_from_the_mask_reaches_coco(tmp_path: Path) -> None:
    """Upstream writes 0 x 0 where no images were saved."""
    dataset = load(as_zip(FILES, tmp_path / "task"))
    dataset.export(str(tmp_path / "coco"), "coco_instances")
    found = Dataset.import_from(str(tmp_path / "coco"), "coco_instances")
    sizes = {item.id: item.media.size for item in found}
    assert sizes == {"a": (1, 3), "b": (1, 3), "c/d": (2, 2)}


@containers
def test_coco_and_back(write, tmp_path: Path) -> None:
    """The pixels survive another format."""
    dataset = load(write(FILES, tmp_path / "task"))
    dataset.export(str(tmp_path / "coco"), "coco_instances", segmentation_mode="mask")
    again = Dataset.import_from(str(tmp_path / "coco"), "coco_instances")
    for item in dataset:
        masks = [a for a in again.get(item.id, item.subset).annotations if isinstance(a, Mask)]
        assert sorted((a.label, a.image.tolist()) for a in item.annotations) == sorted(
            (a.label, a.image.tolist()) for a in masks
        )


def test_merges_with_another_dataset(tmp_path: Path) -> None:
    ours = load(as_folder(FILES, tmp_path))
    other = Dataset.from_iterable(
        [DatasetItem("z", subset="train", media=Image.from_numpy(np.zeros((2, 2, 3), np.uint8)))],
        categories=ours.categories(),
        media_type=Image,
    )
    assert len(Dataset.from_extractors(ours, other)) == 4


def test_errors_of_the_table_are_datumaros() -> None:
    errors = [as_datumaros(case.error("", "")) for case in BAD.values()]
    assert all(isinstance(error, DatasetImportError) for error in errors)


def test_option_that_is_no_choice(tmp_path: Path) -> None:
    path = as_folder(archive({"a": rgb("1")}), tmp_path / "x")
    with pytest.raises(SegmaskImportError, match=r"connectivity is 6.*one of 8, 4"):
        SegmaskBase(str(path), connectivity=6)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"anotation": "polygon"}, "no option 'anotation'.*To fix it: type 'annotation'"),
        ({"xyzzy": 1}, "no option 'xyzzy'.*one of annotation, connectivity.*leave it out"),
        ({"annotation": "polygons"}, "annotation is 'polygons'.*one of 'mask', 'polygon'"),
    ],
    ids=["name", "other-name", "value"],
)
def test_option_with_a_typing_error_is_told_in_the_message_itself(
    options: dict[str, object], reason: str, tmp_path: Path
) -> None:
    path = as_folder(FILES, tmp_path / "task")
    for load_with in (Dataset, StreamDataset):
        with pytest.raises(SegmaskImportError, match=reason) as caught:
            load_with.import_from(str(path), "segmask", **options)
        assert "format.md" not in str(caught.value)
