"""Objects in COCO's words, read by pycocotools (docs/training.md)."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from pycocotools import mask as mask_utils
from pycocotools.cocoeval import COCOeval

from datumaro_segmask.arrays import Size
from datumaro_segmask.formats.coco import (
    CocoText,
    own_texts,
)
from datumaro_segmask.options import SEGMENTATIONS
from datumaro_segmask.regions import Instance, polygons_to_rle
from datumaro_segmask.training import simplified

from ..archives import plane
from ..regions.test_polygons import cropped
from .scenes import (
    MANY,
    REAL_ARCHIVES,
    annotation_lines,
    decode,
    instance_of,
    object_lines,
    parse,
    random_scenes,
    read_coco,
    real_scenes,
)

SQUARE = instance_of(plane("000 011 011"), label=1)
SIZE = Size(3, 3)


def text_of(scenes: Iterable[tuple[list[Instance], Size]], segmentation: str) -> str:
    """Return the whole file of some images."""
    text, count = CocoText(), 1
    for image_id, (segments, size) in enumerate(scenes, 1):
        text.add_image(image_id, f"{image_id}.jpg", size)
        text.add_objects(image_id, count, [*object_lines(segments, size, segmentation)])
        count += len(segments)
    return "\n".join(text.lines([("a", ""), ("b", ""), ("c", "")]))


def assert_pixels_come_back(scenes: list[tuple[list[Instance], Size]], segmentation: str) -> None:
    coco = read_coco(json.loads(text_of(scenes, segmentation)))
    assert len(coco.imgs) == len(scenes)
    for image_id, (segments, size) in enumerate(scenes, 1):
        annotations = coco.imgToAnns[image_id]
        assert len(annotations) == len(segments)
        for annotation, segment in zip(annotations, segments, strict=True):
            mask = coco.annToMask(annotation)
            assert np.array_equal(mask, decode(segment, size))
            assert annotation["area"] == mask.sum()
            rle = mask_utils.encode(np.asfortranarray(mask))
            assert annotation["bbox"] == mask_utils.toBbox(rle).tolist()
            assert annotation["category_id"] == (segment.label or 0) + 1
            assert annotation["iscrowd"] == 0
    assert len(coco.anns) == sum(len(segments) for segments, _ in scenes)  # no id twice


@pytest.mark.parametrize("segmentation", SEGMENTATIONS)
def test_random_images_come_back(segmentation: str) -> None:
    assert_pixels_come_back(list(random_scenes(MANY)), segmentation)


@pytest.mark.skipif(not REAL_ARCHIVES.is_dir(), reason="the real archives are not here")
@pytest.mark.parametrize("segmentation", SEGMENTATIONS)
def test_real_masks_come_back(segmentation: str) -> None:
    scenes = list(real_scenes())
    assert sum(len(segments) for segments, _ in scenes) > 500
    assert_pixels_come_back(scenes, segmentation)


def test_annotation_word_for_word() -> None:
    (polygons,) = annotation_lines([SQUARE], SIZE, 7, 5, "polygons")
    assert polygons == (
        '{"id":5,"image_id":7,"category_id":2,"segmentation":[[1,1,1,3,3,3,3,1]],'
        '"area":4,"bbox":[1,1,2,2],"iscrowd":0}'
    )
    (rle,) = parse([*annotation_lines([SQUARE], SIZE, 7, 5, "rle")])
    assert rle["segmentation"] == {"size": [3, 3], "counts": SQUARE.counts.decode()}


def test_outlines_that_were_given_are_kept() -> None:
    outline = [1.0, 1.0, 3.0, 1.0, 3.0, 3.0, 1.0, 3.25]
    segment = replace(SQUARE, outlines=[outline])
    (polygons,) = parse([*annotation_lines([segment], SIZE, 1, 1, "polygons")])
    assert polygons["segmentation"] == [outline]
    (rle,) = parse([*annotation_lines([segment], SIZE, 1, 1, "rle")])
    assert isinstance(rle["segmentation"], dict)


@pytest.mark.parametrize("segmentation", SEGMENTATIONS)
def test_crowd_has_an_rle(segmentation: str) -> None:
    (crowd,) = parse(
        [*annotation_lines([replace(SQUARE, is_crowd=True)], SIZE, 1, 1, segmentation)]
    )
    assert crowd["iscrowd"] == 1
    assert crowd["segmentation"]["counts"] == SQUARE.counts.decode()


def test_parts_are_rings_of_their_own_and_holes_divide_them() -> None:
    parts = instance_of(plane("11011 11011"))
    ring = instance_of(plane("111 101 111"))
    lines = [
        *annotation_lines([parts], Size(2, 5), 1, 1, "polygons"),
        *annotation_lines([ring], SIZE, 1, 1, "polygons"),
    ]
    assert [len(found["segmentation"]) for found in parse(lines)] == [2, 2]


def test_crops_and_slices_by_shapely_are_those_of_the_masks() -> None:
    """As detectron2, mmdetection and sahi cut polygons; of simplified ones, what they cover."""
    rng = np.random.default_rng(3)
    for number, (segments, size) in enumerate(random_scenes(MANY)):
        y, x = (int(value) for value in rng.integers(0, size))
        rows, columns = (
            int(value) for value in rng.integers(1, (size.height - y + 1, size.width - x + 1))
        )
        lines = annotation_lines(segments, size, number, 1, "polygons")
        for found, segment in zip(parse([*lines]), segments, strict=True):
            rings = [np.reshape(ring, (-1, 2)) for ring in found["segmentation"]]
            assert shapely.is_valid([shapely.Polygon(ring) for ring in rings]).all()
            crop = polygons_to_rle(cropped(rings, x, y, rows, columns), rows, columns)
            mask = decode(segment, size)[y : y + rows, x : x + columns]
            assert np.array_equal(mask_utils.decode(crop), mask)


def test_text_of_nothing() -> None:
    assert json.loads(text_of([], "rle"))["images"] == []


def test_texts_are_known_by_their_heads(tmp_path: Path) -> None:
    own = text_of([([SQUARE], SIZE)], "rle")
    files = {
        "annotations/a.json": own,
        "annotations/deep/b.json": own,
        "annotations/theirs.json": '{"info": {"description": "COCO 2017"}',
        "annotations/short.json": "",
        "annotations/a.txt": own,
        "c.json": own,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    assert sorted(own_texts(str(tmp_path))) == ["annotations/a.json", "annotations/deep/b.json"]
    assert list(own_texts(str(tmp_path / "gone"))) == []


def test_simplified_polygons_have_the_area_that_they_cover() -> None:
    before, after = 0, 0
    for segments, size in random_scenes(300):
        simple = simplified(segments, size, 1.5)
        assert [s.label for s in simple] == [s.label for s in segments]
        coco = read_coco(json.loads(text_of([(simple, size)], "polygons")))
        for annotation, old in zip(coco.anns.values(), segments, strict=True):
            assert annotation["area"] == coco.annToMask(annotation).sum() > 0
            after += sum(map(len, annotation["segmentation"]))
            rings = [shapely.Polygon(np.reshape(r, (-1, 2))) for r in annotation["segmentation"]]
            assert shapely.is_valid(rings).all()
            (exact,) = parse([*annotation_lines([old], size, 1, 1, "polygons")])
            before += sum(map(len, exact["segmentation"]))
    assert after < 0.9 * before


@pytest.mark.parametrize("segmentation", SEGMENTATIONS)
def test_perfect_predictions_have_ap_1(segmentation: str) -> None:
    with redirect_stdout(io.StringIO()):
        truth = read_coco(json.loads(text_of(random_scenes(200), segmentation)))
        predictions = [{**annotation, "score": 0.9} for annotation in truth.anns.values()]
        evaluation = COCOeval(truth, truth.loadRes(predictions), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert evaluation.stats[0] == 1.0
