"""Who is compared with whom, and on what."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass

from . import peers, tasks
from .measure import Candidate
from .workloads import GRAY, PALETTE, RGB

OURS, DATUMARO = "segmask", "Datumaro"
OURS_FORMAT, THEIR_FORMAT = "segmask", "voc_segmentation"
DECODE, ENCODE = "cv2.imdecode alone", "cv2.imencode alone"
IMPORT = "import alone"
SLOW = {  # minutes on the workload `dense`
    ("import", "pycocotools loop"),
    ("import", "supervision loop"),
    ("polygons", DATUMARO),
}


@dataclass(frozen=True)
class Section:
    """One table: for each variant the folder of the workload that is read, and the candidates."""

    name: str
    title: str
    variants: dict[str, str]
    candidates: dict[str, tuple[Candidate, ...]]
    unit: str = "image"  # what a time is divided by
    fresh: bool = False


def _same(variants: tuple[str, ...], *candidates: Candidate) -> dict[str, tuple[Candidate, ...]]:
    return dict.fromkeys(variants, candidates)


def _read(task: str) -> tuple[Candidate, Candidate]:
    return (
        Candidate(OURS, task, {"format": OURS_FORMAT}),
        Candidate(DATUMARO, task, {"format": THEIR_FORMAT}),
    )


def _write(mode: str, last: str, colormap: bool) -> tuple[Candidate, ...]:
    return (
        Candidate(OURS, "Export", {"format": OURS_FORMAT, "how": {"mask_mode": mode}}),
        Candidate(
            DATUMARO,
            "Export",
            {
                "format": THEIR_FORMAT,
                "transforms": ["polygons_to_masks"],
                "how": {"apply_colormap": colormap},
            },
        ),
        Candidate(last, "EncodePngs", {"mode": mode}),
    )


def _train(target: str, **how: str) -> tuple[Candidate, ...]:
    return (
        Candidate(OURS, "Convert", {"format": OURS_FORMAT, "to": target, "how": how}),
        Candidate(DATUMARO, "Convert", {"format": THEIR_FORMAT}),
        Candidate(IMPORT, "Import", {"format": OURS_FORMAT}),
    )


MASKS = (RGB, PALETTE, GRAY)
SECTIONS = {
    section.name: section
    for section in (
        Section(
            "import",
            "Import: masks to annotations, all items iterated",
            dict(zip(MASKS, MASKS, strict=True)),
            _same(
                MASKS,
                *_read("Import"),
                Candidate(DECODE, "DecodePngs"),
                Candidate("pycocotools loop", "PycocotoolsLoop"),
                Candidate("supervision loop", "SupervisionLoop"),
            ),
        ),
        Section(
            "convert",
            "Convert to coco_instances: import and export, in a process that has Datumaro loaded",
            {RGB: RGB},
            _same((RGB,), *_read("Convert")),
            fresh=True,
        ),
        Section(
            "training",
            "What trainers read, import included (Datumaro: coco_instances, by voc_segmentation)",
            dict.fromkeys(("coco, rle", "coco, polygons", "yolo"), RGB),
            {
                "coco, rle": _train("coco_segments", segmentation="rle"),
                "coco, polygons": _train("coco_segments"),
                "yolo": _train("yolo_segments"),
            },
            fresh=True,
        ),
        Section(
            "command",
            "`datum convert` to coco_instances, from the start of the interpreter to its end",
            {RGB: RGB},
            _same((RGB,), *_read("Command")),
            fresh=True,
        ),
        Section(
            "export",
            "Export: polygons to masks (Datumaro: polygons_to_masks, then voc_segmentation)",
            {"color": RGB, "palette": RGB, "index": RGB},
            {
                "color": _write("color", ENCODE, True),
                "palette": _write("palette", "Pillow alone", True),
                "index": _write("index", ENCODE, False),
            },
        ),
        Section(
            "polygons",
            "Masks to polygons (masks_to_exact_polygons; Datumaro: masks_to_polygons)",
            {RGB: RGB},
            _same(
                (RGB,),
                Candidate(OURS, "ToPolygons", {"transform": "masks_to_exact_polygons"}),
                Candidate(DATUMARO, "ToPolygons", {"transform": "masks_to_polygons"}),
            ),
            unit="instance",
        ),
    )
}


def candidates_of(
    section: Section, variant: str, workload: str, quick: bool
) -> Iterator[Candidate]:
    """Yield those that are installed, and not too slow where there is no time."""
    for candidate in section.candidates[variant]:
        kind = getattr(tasks, candidate.task, None) or getattr(peers, candidate.task)
        installed = all(importlib.util.find_spec(name) for name in kind.imports)
        slow = workload == "dense" and (section.name, candidate.name) in SLOW
        if installed and not (quick and slow):
            yield candidate
