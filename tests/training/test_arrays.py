"""Arrays out of items and archives, and archives of arrays (docs/training.md)."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from datumaro.components.annotation import AnnotationType, Bbox, Polygon
from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.errors import DatasetExportError
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image

import datumaro_segmask
from datumaro_segmask import Masks, from_arrays, to_arrays, write_archive
from datumaro_segmask.colors import voc_color
from datumaro_segmask.errors import MissingFileError, SegmaskError

from ..archives import CONTAINERS, archive, as_folder, as_zip, jpeg, painted, plane, png, rgb
from ..cases import GOOD, Good
from ..export_cases import item, mask

pytestmark = pytest.mark.usefixtures("registered")

LABELS = ["background", "car", "road"]
ROOT = Path(__file__).parents[2]


# to_arrays


@pytest.mark.parametrize("case", GOOD.values(), ids=GOOD)
def test_arrays_of_an_import(case: Good, tmp_path: Path) -> None:
    path = as_folder(case.files, tmp_path / "task")
    dataset = Dataset.import_from(str(path), "segmask", **case.options)
    names = [label.name for label in dataset.categories()[AnnotationType.label].items]
    for found in dataset:
        if found.media is None:
            continue  # listed, but without masks and image
        classes, numbers = to_arrays(found)
        expected = np.full((2, *found.media.size), -1)
        expected[1] = 0
        for label, number, rows in case.items[found.id, found.subset]:
            expected[0][plane(rows) == 1] = -1 if label is None else names.index(label)
            expected[1][plane(rows) == 1] = number
        assert classes.tolist() == expected[0].tolist()
        assert numbers.tolist() == expected[1].tolist()


def numbers_by_pillow(data: bytes, known: list[tuple[int, int, int]]) -> NDArray[np.int64]:
    """Return the position of each pixel's colour in a list."""
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image.convert("RGB")).astype(np.int64) @ [1 << 16, 1 << 8, 1]
    packed = np.array(known) @ [1 << 16, 1 << 8, 1]
    order = np.argsort(packed)
    found = order[np.searchsorted(packed[order], pixels)]
    assert (packed[found] == pixels).all()
    return np.asarray(found)


def test_arrays_are_what_pillow_reads() -> None:
    path = ROOT / "examples/street.zip"
    dataset = Dataset.import_from(str(path), "segmask")
    with zipfile.ZipFile(path) as files:
        lines = files.read("labelmap.txt").decode().splitlines()[1:]
        colors = [tuple(map(int, line.split(":")[1].split(","))) for line in lines]
        background = [line.split(":")[0] for line in lines].index("background")
        for found in dataset:
            if not found.annotations:
                continue  # listed, but without masks
            classes, numbers = to_arrays(found, background=background)
            seen = numbers_by_pillow(files.read(f"SegmentationClass/{found.id}.png"), colors)  # type: ignore[arg-type]
            assert np.array_equal(classes, seen)
            known = [voc_color(number) for number in range(256)]
            seen = numbers_by_pillow(files.read(f"SegmentationObject/{found.id}.png"), known)
            assert np.array_equal(numbers, seen)


def test_later_annotations_lie_on_top() -> None:
    found = item(
        mask("0110 0110", 1, z_order=2),
        Polygon([0, 0, 4, 0, 4, 1, 0, 1], label=2, group=7),
        Bbox(3, 1, 1, 1, label=2),
    )
    classes, numbers = to_arrays(found)
    assert classes.tolist() == [[2, 1, 1, 2], [-1, 1, 1, 2]]
    assert numbers.tolist() == [[7, 2, 2, 7], [0, 2, 2, 1]]


def test_background_cuts_holes() -> None:
    found = item(mask("1111 1111", 1, group=3), mask("0100 0000", 0, z_order=1))
    classes, numbers = to_arrays(found, background=0)
    assert classes.tolist() == [[1, 0, 1, 1], [1, 1, 1, 1]]
    assert numbers.tolist() == [[3, 0, 3, 3], [3, 3, 3, 3]]


def test_item_without_annotations() -> None:
    classes, numbers = to_arrays(item(size=(2, 3)), background=4)
    assert classes.tolist() == [[4] * 3] * 2
    assert not numbers.any()


# from_arrays


planes = arrays.array_shapes(min_dims=2, max_dims=2, max_side=9).flatmap(
    lambda shape: st.tuples(
        arrays.arrays(np.int64, shape, elements=st.integers(-1, 3)),
        arrays.arrays(np.int64, shape, elements=st.integers(0, 300)),
    )
)


@given(planes)
def test_there_and_back(pair: tuple[NDArray[np.int64], NDArray[np.int64]]) -> None:
    classes, numbers = pair
    again = to_arrays(from_arrays("a", classes, numbers))
    assert np.array_equal(again[0], classes)
    assert np.array_equal(again[1], np.where(classes < 0, 0, numbers))


def test_components_without_numbers() -> None:
    classes = plane("1101 0002").astype(int) - 1
    _, numbers = to_arrays(from_arrays("a", classes))
    assert len(set(numbers[classes == 0].tolist())) == 2
    assert numbers[1, 3] not in (0, *numbers[classes == 0])


def test_ignored_class() -> None:
    found = from_arrays("a", np.array([[1, 255, 0]], np.uint8), ignore_index=255)
    assert to_arrays(found)[0].tolist() == [[1, -1, 0]]


def test_stack_of_masks_may_overlap() -> None:
    masks = np.stack([plane("1110 1110"), plane("0011 0011")])
    found = from_arrays("a", np.array([2, 1]), masks, subset="val")
    assert found.subset == "val"
    classes, numbers = to_arrays(found)
    assert classes.tolist() == [[2, 2, 1, 1]] * 2
    assert numbers.tolist() == [[1, 1, 2, 2]] * 2


@pytest.mark.parametrize(
    ("classes", "numbers"),
    [
        pytest.param(np.zeros((2, 3)), np.zeros((3, 2)), id="other-size"),
        pytest.param(np.zeros(2), np.zeros((3, 4, 4)), id="other-number"),
        pytest.param(np.zeros(2), None, id="no-masks"),
        pytest.param(np.zeros((1, 2, 3)), None, id="too-many-axes"),
    ],
)
def test_arrays_that_do_not_fit(classes: NDArray[np.int64], numbers: NDArray[np.int64]) -> None:
    with pytest.raises(ValueError, match="arrays of the shapes"):
        from_arrays("a", classes, numbers)


# write_archive


def predictions(count: int = 3) -> Iterator[DatasetItem]:
    for number in range(count):
        yield from_arrays(f"image_{number}", plane("0110 0120"), plane("0220 0230"))


@pytest.mark.parametrize("name", ["out.zip", "out"])
def test_archive_of_predictions(name: str, tmp_path: Path) -> None:
    write_archive(tmp_path / "new" / name, LABELS, predictions())
    assert [path.name for path in (tmp_path / "new").iterdir()] == [name]
    back = Dataset.import_from(str(tmp_path / "new" / name), "segmask")
    assert [found.id for found in back] == ["image_0", "image_1", "image_2"]
    classes, numbers = to_arrays(next(iter(back)), background=0)
    assert classes.tolist() == plane("0110 0120").tolist()
    assert numbers.tolist() == plane("0220 0230").tolist()


def test_cvat_has_nothing_against_predictions(tmp_path: Path) -> None:
    large = np.ones((3, 3), np.uint8)  # what is thinner vanishes in CVAT's polygons
    planes = [np.kron(plane(text), large) for text in ("0110 0120", "0220 0230")]
    write_archive(tmp_path / "out.zip", LABELS, [from_arrays("a", *planes)])
    command = [sys.executable, "-m", "datumaro_segmask", "check", "--for", "cvat", "out.zip"]
    env = {"PYTHONPATH": str(ROOT), "PATH": ""}
    done = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_labels_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("background:0,0,0::\ncar:1,2,3::\nroad:4,5,6::\n")
    write_archive(tmp_path / "out", str(tmp_path / "labels.txt"), predictions())
    assert "car:1,2,3::" in (tmp_path / "out/labelmap.txt").read_text()


def test_predictions_with_images(tmp_path: Path) -> None:
    image = np.zeros((2, 4, 3), np.uint8)
    image[..., 0] = 250  # red
    found = from_arrays("a", plane("0110 0120"), plane("0220 0230"), image=image)
    write_archive(tmp_path / "out", LABELS, [found], save_media=True)
    stored, _ = Masks(tmp_path / "out")[0]
    assert stored[..., 0].mean() > 200 > 50 > stored[..., 2].mean()


def test_error_leaves_no_archive(tmp_path: Path) -> None:
    def items() -> Iterator[DatasetItem]:
        yield from predictions(1)
        yield item(mask("1000 0000", 9), id="b")

    with pytest.raises(DatasetExportError, match="its label is 9"):
        write_archive(tmp_path / "out.zip", LABELS, items())
    assert list(tmp_path.iterdir()) == []


# Masks


FILES = archive(
    {"a": rgb("0110 0120"), "b": rgb("000"), "c": rgb("01")},
    {"a": rgb("0220 0230"), "b": rgb("000"), "c": rgb("00")},
    lists={"train": "a\nb\n", "val": "c\n"},
    images={"a.png": png(painted("0110 0120")), "b.jpg": jpeg(1, 3)},
)


@pytest.fixture(params=CONTAINERS)
def task(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return CONTAINERS[request.param](FILES, tmp_path / "task")


def test_masks_for_training(task: Path) -> None:
    masks = Masks(task, "train")
    assert (len(masks), masks.ids, masks.names) == (2, ["a", "b"], ["background", "car", "road"])
    image, target = masks[0]
    assert image.tolist() == painted("0110 0120").tolist()
    assert target["masks"].dtype == bool
    assert target["masks"].astype(int).tolist() == [
        plane("0110 0100").tolist(),
        plane("0000 0010").tolist(),
    ]
    assert target["labels"].tolist() == [1, 2]
    assert target["boxes"].tolist() == [[1, 0, 3, 2], [2, 1, 3, 2]]
    assert target["area"].tolist() == [3, 1]
    assert target["numbers"].tolist() == [2, 3]
    assert target["iscrowd"].tolist() == [0, 0]
    assert target["image_id"] == 0


def test_item_without_objects_has_empty_arrays(task: Path) -> None:
    image, target = Masks(task, "train")[-1]
    assert image.shape == (1, 3, 3)
    assert target["masks"].shape == (0, 1, 3)
    assert target["boxes"].shape == (0, 4)
    assert target["labels"].shape == (0,)
    assert target["image_id"] == 1


def test_masks_go_to_workers(task: Path) -> None:
    masks = pickle.loads(pickle.dumps(Masks(task)))
    assert masks[0][1]["labels"].tolist() == [1, 2]


def test_masks_are_a_sequence(task: Path) -> None:
    masks = Masks(task, "train")
    assert [target["image_id"] for _, target in masks] == [0, 1]
    with pytest.raises(IndexError):
        masks[2]


def test_item_without_image_is_an_error(task: Path) -> None:
    with pytest.raises(MissingFileError, match="'c' has no image"):
        Masks(task, "val")[0]


@pytest.mark.parametrize(
    ("subset", "ids"),
    [
        ("train", ["a"]),
        ("Training", ["a"]),
        ("val", ["b"]),
        ("TEST", ["c"]),
        ("Test", ["c"]),
        (None, ["a", "b", "c"]),
    ],
)
def test_subsets_are_found_by_meaning(subset: str | None, ids: list[str], tmp_path: Path) -> None:
    files = FILES | archive(lists={"Train": "a\n", "Validation": "b\n", "Test": "c\n"})
    names = [name for name in files if not name.endswith(("train.txt", "val.txt"))]
    path = as_folder({name: files[name] for name in names}, tmp_path / "task")
    assert sorted(Masks(path, subset).ids) == ids


def test_a_task_without_subsets_is_trained_on(tmp_path: Path) -> None:
    files = archive({"a": rgb("01")}, lists={"default": "a\n"})
    assert Masks(as_folder(files, tmp_path / "task"), "train").ids == ["a"]


def test_an_item_of_two_subsets_is_there_once(tmp_path: Path) -> None:
    files = archive({"a": rgb("01")}, lists={"train": "a\n", "trainval": "a\n"})
    assert Masks(as_folder(files, tmp_path / "task")).ids == ["a"]


@pytest.mark.parametrize(
    ("subset", "says"),
    [
        ("test", r"no subset 'test', and none that means it.*'train', 'val'.*--random-split"),
        ("Trains", r"no subset 'Trains'.*type 'train'"),
        ("train2017", r"no subset 'train2017'.*type 'train'"),
        ("x", r"no subset 'x'.*one of 'train', 'val'"),
    ],
)
def test_a_subset_that_is_not_there(subset: str, says: str, task: Path) -> None:
    with pytest.raises(KeyError, match=says):
        Masks(task, subset)


def test_a_slice_is_a_dataset_of_some_items(task: Path) -> None:
    masks = Masks(task)
    part = masks[1:]
    assert (len(masks), part.ids) == (3, ["b", "c"])
    assert part[0][1]["image_id"] == 0
    assert pickle.loads(pickle.dumps(part)).ids == part.ids


def test_a_data_set_says_what_it_is(task: Path) -> None:
    assert repr(Masks(task, "train")) == f"<Masks of {task}, train: 2 images, 2 labels>"


def test_image_lies_as_the_masks_do(tmp_path: Path) -> None:
    """A camera that was turned: stored wide, shown high; masks of either are met."""
    photo = np.zeros((40, 80, 3), np.uint8)
    photo[:, 60:] = 255
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # turn to the right
    Image.fromarray(photo).save(file, "jpeg", exif=exif)
    for height, width in ((40, 80), (80, 40)):
        pixels = np.zeros((height, width), np.uint8)
        pixels[0, 0] = 1
        files = archive({"a": png(pixels)}, images={"a.jpg": file.getvalue()})
        masks = Masks(as_zip(files, tmp_path / f"{height}"))
        image, target = masks[0]
        assert image.shape[:2] == target["masks"].shape[1:] == (height, width)
        bright = image[-10:] if height > width else image[:, -10:]
        assert bright.mean() > 200


@pytest.mark.parametrize("data", [b"no image", b""])
def test_broken_image_is_an_error(data: bytes, tmp_path: Path) -> None:
    files = archive({"a": rgb("01")}, images={"a.jpg": data})
    with pytest.raises(SegmaskError, match="it is not an image"):
        Masks(as_folder(files, tmp_path / "task"))[0]


# The door


def test_names_come_when_they_are_asked_for() -> None:
    code = (
        "import sys, datumaro_segmask; before = set(sys.modules); datumaro_segmask.Masks; "
        "assert not {'numpy', 'datumaro'} & before; assert 'datumaro' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    assert set(datumaro_segmask.__all__) >= {"Masks", "from_arrays", "to_arrays", "write_archive"}
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        datumaro_segmask.nothing  # noqa: B018


def test_torch_takes_the_arrays(task: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    loader = torch.utils.data.DataLoader(
        Masks(task, "train"), num_workers=2, collate_fn=lambda batch: batch
    )
    for ((image, target),) in loader:
        assert torch.as_tensor(image).shape[2] == 3
        assert torch.as_tensor(target["masks"]).dtype == torch.bool
