"""The table of cases through Datumaro (docs/format.md, sections 1 to 4)."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from datumaro.components.annotation import AnnotationType
from datumaro.components.dataset import Dataset, StreamDataset
from datumaro.components.errors import DatasetImportError
from datumaro.components.importer import ImportErrorPolicy

from datumaro_segmask.errors import SegmaskError

from ..archives import CONTAINERS, picture
from ..cases import BAD, GOOD, Bad, Good, ItemKey, Mask

pytestmark = pytest.mark.usefixtures("registered")
containers = pytest.mark.parametrize("write", CONTAINERS.values(), ids=CONTAINERS)
datasets = pytest.mark.parametrize("kind", [Dataset, StreamDataset])


def masks_of(dataset: Dataset) -> dict[ItemKey, list[Mask]]:
    names = [label.name for label in dataset.categories()[AnnotationType.label].items]
    return {
        (item.id, item.subset): [
            (None if a.label is None else names[a.label], a.group, picture(a.image))
            for a in item.annotations
        ]
        for item in dataset
    }


class Lenient(ImportErrorPolicy):
    """Skips broken items, and keeps what was said of them."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []

    def _handle_item_error(self, error: Exception) -> None:
        self.errors.append(error)


def chain(error: BaseException) -> list[BaseException]:
    """Return an error and its causes: what a traceback shows."""
    found = [error]
    while found[-1].__cause__ is not None:
        found.append(found[-1].__cause__)
    return found


def check_message(case: Bad, error: BaseException, path: Path) -> None:
    (ours,) = [e for e in chain(error) if isinstance(e, SegmaskError)]
    assert isinstance(ours, case.error)
    text = str(ours)
    assert [part for part in case.says if part not in text.replace("\\", "/")] == []
    assert str(path) in text
    assert "To fix it: " in text


@datasets
@containers
@pytest.mark.parametrize("case", GOOD.values(), ids=GOOD)
def test_good(
    case: Good, write, kind: type[Dataset], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(case.files, tmp_path / "task")
    dataset = kind.import_from(str(path), "segmask", **case.options)
    found = masks_of(dataset)
    assert found == case.items
    assert list(found) == list(case.items)
    sizes = {item.id: item.media and item.media.size for item in dataset}
    assert {item_id: sizes[item_id] for item_id in case.sizes} == case.sizes
    warnings = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(warnings) == bool(case.logs)
    for record in warnings:
        assert [part for part in case.logs if part not in record.getMessage()] == []


@datasets
@containers
@pytest.mark.parametrize("case", BAD.values(), ids=BAD)
def test_strict(case: Bad, write, kind: type[Dataset], tmp_path: Path) -> None:
    path = write(case.files, tmp_path / "task")
    with pytest.raises(DatasetImportError) as caught:  # noqa: PT012, at once or when it is read
        dataset = kind.import_from(str(path), "segmask", **case.options)
        assert case.item, "what is wrong with the whole archive is said before an item is read"
        masks_of(dataset)
    check_message(case, caught.value, path)
    if case.item:
        assert str(case.item) in str(caught.value)
    else:
        assert isinstance(caught.value, case.error), "the message must not be a cause only"


@containers
@pytest.mark.parametrize("name", [name for name in BAD if BAD[name].item])
def test_strict_policy_that_is_given(name: str, write, tmp_path: Path) -> None:
    """Datumaro then reads all at once."""
    case = BAD[name]
    path = write(case.files, tmp_path / "task")
    with pytest.raises(DatasetImportError) as caught:
        Dataset.import_from(str(path), "segmask", error_policy=ImportErrorPolicy(), **case.options)
    check_message(case, caught.value, path)


@datasets
@containers
@pytest.mark.parametrize("name", [name for name in BAD if BAD[name].item])
def test_lenient(name: str, write, kind: type[Dataset], tmp_path: Path) -> None:
    case, policy = BAD[name], Lenient()
    path = write(case.files, tmp_path / "task")
    dataset = kind.import_from(str(path), "segmask", error_policy=policy, **case.options)
    found = masks_of(dataset)
    assert [item_id for item_id, _ in found] == ["a", "c"]
    errors = {str(e): e for e in policy.errors}
    if kind is Dataset:  # a stream reads an item as often as it is asked for
        assert len(policy.errors) == 1
    (error,) = errors.values()
    assert str(case.item) in str(error)
    check_message(case, error, path)


def test_lenient_reads_on_after_many_kinds_of_damage(tmp_path: Path) -> None:
    """A folder with every broken item of the table at once, each reported once."""
    files, policy = dict(GOOD["rgb"].files), Lenient()
    broken = {name: case for name, case in BAD.items() if case.item and not case.options}
    broken.pop("undeclared-colour-of-the-voc-labels")
    broken.pop("undeclared-colour-below-a-label-map")
    listed = ["a"]
    for name, case in broken.items():
        for folder in ("SegmentationClass", "SegmentationObject"):
            if f"{folder}/b.png" in case.files:
                files[f"{folder}/{name}.png"] = case.files[f"{folder}/b.png"]
        for suffix in ("jpg", "png"):
            if f"JPEGImages/b.{suffix}" in case.files:
                files[f"JPEGImages/{name}.{suffix}"] = case.files[f"JPEGImages/b.{suffix}"]
        listed += [name, "a"]
    files["ImageSets/Segmentation/default.txt"] = "\n".join(listed).encode()
    path = CONTAINERS["folder"](files, tmp_path / "task")
    dataset = Dataset.import_from(str(path), "segmask", error_policy=policy)
    assert [item.id for item in dataset] == ["a"]
    said = [str(error) for error in policy.errors]
    assert len(said) == len(broken) > 10
    assert [name for name, text in zip(broken, said, strict=True) if f"'{name}'" not in text] == []
