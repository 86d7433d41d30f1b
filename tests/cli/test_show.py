"""`show`: any item of Datumaro as the picture that `preview` makes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from datumaro.components.annotation import (
    AnnotationType,
    Bbox,
    LabelCategories,
    Mask,
    MaskCategories,
    Polygon,
)
from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.media import Image
from PIL import Image as Pillow

import datumaro_segmask
from datumaro_segmask.errors import SegmaskExportError

STREET = Path(__file__).parents[2] / "examples/street.zip"


def colors(picture: Pillow.Image) -> set[tuple[int, ...]]:
    return {color for _, color in picture.getcolors(1 << 24) or [] if isinstance(color, tuple)}


def test_item_of_an_archive(registered: None) -> None:
    dataset = Dataset.import_from(str(STREET), "segmask")
    item = next(iter(dataset))
    picture = datumaro_segmask.show(item, dataset)
    assert picture.mode == "RGB"
    assert {(51, 221, 255), (36, 179, 83), (140, 120, 240)} <= colors(picture)  # car, tree, sky
    assert picture._repr_png_()  # what a notebook asks for
    alone = datumaro_segmask.show(item)
    assert alone.size == picture.size
    assert {(0, 128, 0), (128, 128, 0)} <= colors(alone)  # of VOC


def test_any_annotations() -> None:
    item = DatasetItem(
        "odd: name?",
        media=Image.from_numpy(np.full((20, 40, 3), 200, np.uint8)),
        annotations=[
            Polygon([0, 0, 10, 0, 10, 10], label=0),
            Bbox(20, 5, 10, 10, label=2, group=7),
            Mask(np.eye(20, 40, dtype=bool), label=1),
        ],
    )
    found = colors(datumaro_segmask.show(item))
    assert (200, 200, 200) in found
    assert len(found & {(128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128)}) == 3


def test_item_without_masks() -> None:
    item = DatasetItem("a", media=Image.from_numpy(np.full((20, 40, 3), 7, np.uint8)))
    assert (7, 7, 7) in colors(datumaro_segmask.show(item))


def test_nothing_is_said_of_cvat_and_options_of_exports(
    caplog: pytest.LogCaptureFixture, registered: None
) -> None:
    """The labels share a colour, and black is another one than the background."""
    labels = LabelCategories.from_iterable(["background", "sky", "car"])
    colors = MaskCategories({0: (1, 2, 3), 1: (0, 0, 0), 2: (1, 2, 3)})
    dataset = Dataset.from_iterable(
        [DatasetItem("a", annotations=[Mask(np.eye(9, dtype=bool), label=2)])],
        categories={AnnotationType.label: labels, AnnotationType.mask: colors},
    )
    datumaro_segmask.show(next(iter(dataset)), dataset)
    assert not caplog.records


def test_image_that_cannot_be_drawn() -> None:
    media = Image.from_numpy(np.zeros((9, 9, 5), np.uint8))
    item = DatasetItem("a", media=media, annotations=[Mask(np.eye(9, dtype=bool), label=2)])
    with pytest.raises(SegmaskExportError, match="cannot be drawn") as raised:
        datumaro_segmask.show(item)
    assert "save_media" not in str(raised.value)


def test_nothing_is_said_of_temporary_folders(tmp_path: Path) -> None:
    """Where Matplotlib, which writes the letters, cannot keep its list of fonts."""
    code = """if True:
        import numpy as np
        import datumaro_segmask
        from datumaro.components.annotation import Mask
        from datumaro.components.dataset_base import DatasetItem
        item = DatasetItem("a", annotations=[Mask(np.eye(9, dtype=bool), label=0)])
        datumaro_segmask.show(item)
    """
    (tmp_path / "file").touch()
    environment = {**os.environ, "MPLCONFIGDIR": str(tmp_path / "file/below"),
                   "PYTHONPATH": str(STREET.parents[1])}  # fmt: skip
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


def test_item_of_unknown_size() -> None:
    with pytest.raises(SegmaskExportError):
        datumaro_segmask.show(DatasetItem("a", annotations=[Bbox(1, 1, 2, 2, label=0)]))


def test_names_are_imported_when_they_are_asked_for() -> None:
    code = """if True:
        import sys, datumaro_segmask
        before = sorted(name for name in sys.modules if name.startswith('datumaro'))
        assert set(before) <= {'datumaro_segmask', 'datumaro_segmask._startup'}, before
        assert 'numpy' not in sys.modules
        for name in datumaro_segmask.__all__:
            getattr(datumaro_segmask, name)
        assert set(datumaro_segmask._MODULES) < set(datumaro_segmask.__all__)
        assert set(datumaro_segmask.__all__) < set(dir(datumaro_segmask))
    """
    root = Path(__file__).parents[2]
    environment = {"PYTHONPATH": str(root), "DATUMARO_SEGMASK_AUTOLOAD": "0"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=root)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        datumaro_segmask.nothing  # noqa: B018
