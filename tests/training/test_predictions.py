"""What models give becomes items: `from_arrays`, `from_segments`, and docs/predictions.md."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.errors import DatasetExportError
from numpy.typing import NDArray
from PIL import Image

from datumaro_segmask import from_arrays, from_segments, to_arrays, write_archive
from datumaro_segmask.errors import ArraysError

from ..archives import plane

pytestmark = pytest.mark.usefixtures("registered")

PAGE = Path(__file__).parents[2] / "docs/predictions.md"
SQUARES = np.stack([plane("1110 1110 0000"), plane("0011 0011 0000")]).astype(bool)
SOFT = np.where(SQUARES, 0.9, 0.01).astype(np.float32)


class Tensor:
    """A tensor of PyTorch on a graphics card, that needs a gradient."""

    def __init__(self, array: Any, state: str = "needs a gradient") -> None:
        self._array, self._state = np.asarray(array), state

    def detach(self) -> Tensor:
        return Tensor(self._array, "on the card")

    def cpu(self) -> Tensor:
        assert self._state == "on the card", "detach it first"
        return Tensor(self._array, "here")

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        assert self._state == "here", self._state
        return self._array if dtype is None else self._array.astype(dtype)

    def __len__(self) -> int:
        return len(self._array)


def shown(item: DatasetItem) -> list[list[int]]:
    rows: list[list[int]] = to_arrays(item)[0].tolist()
    return rows


# Probabilities


@pytest.mark.parametrize(
    ("masks", "typed"),
    [
        pytest.param(SOFT, "masks > 0.5, or threshold=0.5", id="probabilities"),
        pytest.param(SOFT[:, None], "masks > 0.5", id="torchvision"),
        pytest.param(np.where(SQUARES, 5.0, -8.0), "masks > 0, or threshold=0", id="logits"),
        pytest.param((SOFT * 255).astype(np.uint8), "masks > 127", id="gray"),
        pytest.param(SOFT.astype(np.float16), "masks > 0.5", id="half-precision"),
        pytest.param(np.full((2, 3, 4), np.nan, np.float32), "0 and 1", id="nan"),
    ],
)
def test_masks_that_are_not_0_or_1_are_an_error(masks: NDArray[Any], typed: str) -> None:
    with pytest.raises(ValueError, match=re.escape(typed)) as met:
        from_arrays("a", [1, 2], masks)
    assert isinstance(met.value, ArraysError)
    assert "item 'a'" in str(met.value)
    assert "numbers from" in str(met.value)


def test_a_threshold_makes_masks_of_probabilities() -> None:
    assert shown(from_arrays("a", [1, 2], SOFT, threshold=0.5)) == shown(
        from_arrays("a", [1, 2], SQUARES)
    )


@pytest.mark.parametrize("kind", [bool, np.uint8, np.float32, np.int64])
def test_masks_of_0_and_1_are_taken_in_every_type(kind: type) -> None:
    expected = shown(from_arrays("a", [1, 2], SQUARES))
    assert shown(from_arrays("a", [1, 2], SQUARES.astype(kind))) == expected
    assert shown(from_arrays("a", [1, 2], SQUARES.astype(np.uint8) * 255)) == expected


def test_masks_with_an_axis_of_one_channel_are_taken() -> None:
    assert shown(from_arrays("a", [1, 2], SQUARES[:, None])) == [[1, 1, 2, 2]] * 2 + [[-1] * 4]


def test_one_mask_that_was_squeezed_is_taken() -> None:
    assert shown(from_arrays("a", [2], SQUARES[0])) == [[2, 2, 2, -1]] * 2 + [[-1] * 4]


@pytest.mark.parametrize(
    ("classes", "numbers"),
    [
        pytest.param(np.array([[0.2, 0.7]]), None, id="classes"),
        pytest.param(np.array([[1, 1]]), np.array([[0.5, 1]]), id="numbers"),
        pytest.param(np.array([0.4, 1.0]), SQUARES, id="classes-of-masks"),
    ],
)
def test_classes_and_numbers_that_are_not_whole_are_an_error(classes: Any, numbers: Any) -> None:
    with pytest.raises(ArraysError, match="argmax"):
        from_arrays("a", classes, numbers)


def test_scores_and_threshold_of_planes_are_an_error() -> None:
    with pytest.raises(ArraysError, match="belong to masks"):
        from_arrays("a", np.array([[1]]), threshold=0.5)


# Scores


def test_the_highest_score_lies_on_top() -> None:
    found = from_arrays("a", [1, 2], SQUARES, scores=[0.9, 0.3])
    assert shown(found)[0] == [1, 1, 1, 2]
    assert [a.attributes["score"] for a in found.annotations] == [0.9, 0.3]
    assert shown(from_arrays("a", [1, 2], SQUARES, scores=[0.3, 0.9]))[0] == [1, 1, 2, 2]


def test_without_scores_the_small_lie_on_the_large() -> None:
    assert shown(from_arrays("a", [1, 2], SQUARES))[0] == [1, 1, 2, 2]
    assert shown(from_arrays("a", [2, 1], SQUARES[::-1]))[0] == [1, 1, 2, 2]


@pytest.mark.parametrize("scores", [[0.5], [[0.5, 0.5]], [0.5, float("nan")]])
def test_scores_that_do_not_fit_are_an_error(scores: Any) -> None:
    with pytest.raises(ArraysError, match="a number for each mask"):
        from_arrays("a", [1, 2], SQUARES, scores=scores)


# Nothing found

NOTHING: dict[str, tuple[Any, Any]] = {
    "none": ([], None),
    "all-none": (None, None),
    "no-masks": (np.zeros(0, np.int64), np.zeros((0, 3, 4), bool)),
    "torchvision": (np.zeros(0, np.int64), np.zeros((0, 1, 3, 4), np.float32)),
    "plane": (np.zeros(0, np.int64), np.zeros((3, 4))),
    "lists": ([], []),
    "tensors": (Tensor(np.zeros(0)), Tensor(np.zeros((0, 3, 4)))),
}


@pytest.mark.parametrize(("classes", "masks"), NOTHING.values(), ids=NOTHING)
@pytest.mark.parametrize("image", [None, np.zeros((3, 4, 3), np.uint8)], ids=["alone", "image"])
def test_nothing_found_is_an_item_without_objects(
    classes: Any, masks: Any, image: Any, tmp_path: Path
) -> None:
    found = from_arrays("a", classes, masks, scores=[], image=image)
    assert not found.annotations
    if image is not None:
        assert found.media.size == (3, 4)
    write_archive(tmp_path / "out.zip", ["background", "car"], [found])
    assert [item.id for item in Dataset.import_from(str(tmp_path / "out.zip"), "segmask")] == ["a"]


def test_masks_without_classes_are_an_error() -> None:
    with pytest.raises(ArraysError, match="arrays of the shapes"):
        from_arrays("a", None, SQUARES)


# Sizes


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.new("RGB", (4, 3)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.mark.parametrize("kind", ["file", "array", "size"])
@pytest.mark.parametrize("shape", [(1, 4, 4), (0, 4, 4)])
def test_masks_of_another_size_name_both(kind: str, shape: tuple[int, ...], photo: Path) -> None:
    kinds: dict[str, dict[str, Any]] = {
        "file": {"image": photo},
        "array": {"image": np.zeros((3, 4, 3), np.uint8)},
        "size": {"size": (3, 4)},
    }
    with pytest.raises(ArraysError, match=r"4 x 4.*4 x 3.*masks\.xy.*retina_masks=True"):
        from_arrays("a", [1] * shape[0], np.zeros(shape, bool), **kinds[kind])


def test_planes_of_another_size_name_both(photo: Path) -> None:
    with pytest.raises(ArraysError, match=r"4 x 4.*4 x 3"):
        from_arrays("a", np.zeros((4, 4), int), image=photo)
    with pytest.raises(ArraysError, match=r"4 x 4.*4 x 3"):
        from_segments("a", np.zeros((4, 4), int), [], image=photo)


def test_masks_of_a_turned_photograph_fit_either_way(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (4, 3)).save(tmp_path / "a.jpg", exif=exif)
    for shape in ((1, 3, 4), (1, 4, 3)):
        found = from_arrays("a", [1], np.ones(shape, bool), image=tmp_path / "a.jpg")
        assert found.media.data.shape[:2] == shape[1:]


# Polygons


def test_polygons_are_painted_as_ultralytics_paints() -> None:
    rings = [np.array([[0.9, 0.2], [2.7, 0], [2, 1.9], [0, 1]], np.float32), np.zeros((0, 2))]
    found = from_arrays("a", np.array([1.0, 2.0]), rings, size=(3, 4))
    assert shown(found) == [[1, 1, 1, -1]] * 2 + [[-1] * 4]


def test_polygons_without_a_size_are_an_error() -> None:
    with pytest.raises(ArraysError, match=r"size=\(height, width\)"):
        from_arrays("a", [1], [np.zeros((3, 2), np.float32)])


# Segments


def test_segments_of_transformers_count_from_0() -> None:
    ids = np.array([[0, 0, -1, 1]], np.float32)
    infos = [{"id": 0, "label_id": 2, "was_fused": False, "score": 0.9},
             {"id": 1, "label_id": 2, "was_fused": False, "score": 0.8}]  # fmt: skip
    classes, numbers = to_arrays(from_segments("a", ids, infos))
    assert classes.tolist() == [[2, 2, -1, 2]]
    assert numbers.tolist() == [[1, 1, 0, 2]]


def test_segments_that_were_fused_are_stuff() -> None:
    infos = [{"id": 1, "label_id": 0, "was_fused": True}, {"id": 2, "category_id": 1},
             {"id": 3, "category_id": 3, "isthing": False}]  # fmt: skip
    classes, numbers = to_arrays(from_segments("a", np.array([[0, 1, 2, 3]]), infos))
    assert classes.tolist() == [[-1, 0, 1, 3]]
    assert numbers.tolist() == [[0, 0, 2, 0]]


def test_segments_of_nothing() -> None:
    assert not from_segments("a", np.full((3, 4), -1.0), []).annotations


def test_segments_without_a_class_are_an_error() -> None:
    with pytest.raises(ArraysError, match="'id', and 'label_id' or 'category_id'"):
        from_segments("a", np.zeros((3, 4), int), [{"id": 0}])
    with pytest.raises(ArraysError, match="a plane"):
        from_segments("a", np.zeros((1, 3, 4), int), [])


# Archives


def test_an_id_twice_is_an_error_unless_the_same(tmp_path: Path) -> None:
    first, other = (from_arrays("a", [1], mask[None]) for mask in SQUARES)
    write_archive(tmp_path / "same.zip", ["background", "car"], [first, first])
    assert len(Dataset.import_from(str(tmp_path / "same.zip"), "segmask")) == 1
    with pytest.raises(DatasetExportError, match="'a'"):
        write_archive(tmp_path / "two.zip", ["background", "car"], [first, other])
    assert not (tmp_path / "two.zip").exists()


# The recipes, with what each library returns


def recipe(name: str) -> Any:
    """Return a function of docs/predictions.md, which has at most five lines."""
    block = next(
        text
        for text in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
        if f"def {name}(" in text
    )
    assert block.count("\n") <= 5
    names: dict[str, Any] = {
        "Path": Path, "from_arrays": from_arrays, "from_segments": from_segments
    }  # fmt: skip
    exec(block, names)
    return names[name]


LABELS = Tensor(np.array([1, 2]))
SCORES = Tensor(np.array([0.9, 0.4], np.float32))
BY_SCORE = [[1, 1, 1, 2], [1, 1, 1, 2], [-1] * 4]


def test_recipe_of_ultralytics(photo: Path) -> None:
    boxes = SimpleNamespace(cls=Tensor(np.array([1, 2], np.float32)), conf=SCORES)
    rings = [np.array(ring, np.float32) for ring in ([[0, 0], [2, 0], [2, 1], [0, 1]],
                                                     [[2, 0], [3, 0], [3, 1], [2, 1]])]  # fmt: skip
    result = SimpleNamespace(path=str(photo), boxes=boxes, masks=SimpleNamespace(xy=rings))
    found = recipe("of_ultralytics")(result)
    assert (found.id, shown(found)) == ("photo", BY_SCORE)
    boxes = SimpleNamespace(cls=Tensor(np.zeros(0, np.float32)), conf=Tensor(np.zeros(0)))
    nothing = SimpleNamespace(path=str(photo), boxes=boxes, masks=None)
    assert not recipe("of_ultralytics")(nothing).annotations


def test_retina_masks_of_ultralytics(photo: Path) -> None:
    masks = Tensor(SQUARES.astype(np.float32))
    classes = Tensor(np.array([1, 2], np.float32))
    assert shown(from_arrays("a", classes, masks, scores=SCORES, image=photo)) == BY_SCORE


def test_recipe_of_torchvision() -> None:
    output = {"labels": LABELS, "scores": SCORES, "masks": Tensor(SOFT[:, None])}
    assert shown(recipe("of_torchvision")("a", output)) == BY_SCORE
    empty = Tensor(np.zeros((0, 1, 3, 4), np.float32))
    output = {"labels": Tensor(np.zeros(0, int)), "scores": Tensor(np.zeros(0)), "masks": empty}
    assert not recipe("of_torchvision")("a", output).annotations


def test_recipe_of_detectron2() -> None:
    found = SimpleNamespace(pred_classes=LABELS, scores=SCORES, pred_masks=Tensor(SQUARES))
    assert shown(recipe("of_detectron2")("a", {"instances": found})) == BY_SCORE


def test_recipe_of_panoptic_detectron2() -> None:
    ids = Tensor(np.array([[0, 1, 2]], np.int32))
    infos = [{"id": 1, "isthing": True, "score": 0.9, "category_id": 1, "instance_id": 0},
             {"id": 2, "isthing": False, "category_id": 1, "area": 1}]  # fmt: skip
    outputs = {"panoptic_seg": (ids, infos)}
    found = recipe("of_detectron2_panoptic")("a", outputs, ["person", "car"])
    assert shown(found) == [[-1, 1, 3]]


def test_recipe_of_mmdetection() -> None:
    found = SimpleNamespace(labels=LABELS, scores=SCORES, masks=Tensor(SQUARES))
    assert shown(recipe("of_mmdetection")("a", SimpleNamespace(pred_instances=found))) == BY_SCORE


@pytest.mark.parametrize("first", [0, 1], ids=["instance", "panoptic"])
def test_recipe_of_transformers(first: int) -> None:
    ids = Tensor(np.array([[first, first + 1, first - 1]], np.float32))
    infos = [{"id": first + i, "label_id": 1 + i, "was_fused": False, "score": 0.9} for i in (0, 1)]
    result = {"segmentation": ids, "segments_info": infos}
    assert shown(recipe("of_transformers")("a", result)) == [[1, 2, -1]]


def test_recipe_of_semantic_transformers() -> None:
    classes = Tensor(np.array([[1, 0, 2]], np.int64))
    assert shown(recipe("of_transformers_semantic")("a", classes)) == [[1, 0, 2]]


def test_recipe_of_sam() -> None:
    found = [{"segmentation": mask, "area": int(mask.sum()), "bbox": [0, 0, 4, 3]}
             for mask in SQUARES[::-1]]  # fmt: skip
    item = recipe("of_sam")("a", found)
    assert to_arrays(item)[1].tolist()[0] == [2, 2, 1, 1]
    assert not recipe("of_sam")("a", []).annotations


def test_recipe_of_supervision() -> None:
    found = SimpleNamespace(
        class_id=np.array([1, 2]), mask=SQUARES, confidence=np.array([0.9, 0.4], np.float32)
    )
    assert shown(recipe("of_supervision")("a", found)) == BY_SCORE
    empty = SimpleNamespace(class_id=np.array([], int), mask=None, confidence=np.array([]))
    assert not recipe("of_supervision")("a", empty).annotations
