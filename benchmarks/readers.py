"""Ask the readers themselves: load each format of ours with their own code, and compare the pixels.

    python -m benchmarks.readers                       # builds their environment, gigabytes, once
    python -m benchmarks.readers --env ENV --only mmdetection
    python -m benchmarks.readers --detectron2 CHECKOUT   # it is in no package index

Exports the example, drawn archives, those of other people beside the checkout, and those named on
the command line. Then `oracles`, in the environment of the readers, says what each reader has of
it. Prints a table in Markdown. Needs this package with its extra ``cli``, and uv or venv.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
from datumaro.components.annotation import AnnotationType
from datumaro.components.dataset import Dataset
from numpy.typing import NDArray
from PIL import ExifTags

import datumaro_segmask
from datumaro_segmask import to_arrays, to_segments
from datumaro_segmask.archive import voc_label_map
from datumaro_segmask.options import FOLDERS, MMSEGMENTATION, NNUNET, ULTRALYTICS

LAYOUTS = FOLDERS, MMSEGMENTATION, ULTRALYTICS, NNUNET
ROOT = Path(__file__).parents[1]
OTHERS = ROOT.parent / "shared/data"
PACKAGES = [
    "torch", "torchvision", "ultralytics", "transformers", "supervision", "pycocotools", "shapely",
    "rfdetr", "sahi>=0.12", "nnunetv2", "mmengine", "mmcv-lite==2.1.0", "terminaltables",
    "prettytable", "ftfy", "regex", "iopath", "fvcore", "omegaconf", "imagesize", "orjson",
    "pyyaml", "setuptools",
]  # fmt: skip
ALONE = ["mmdet==3.3.0", "mmsegmentation==1.2.2", "panopticapi-lite==0.2.0"]
"""They insist on versions that their loaders do not need."""

Plane = NDArray[np.uint8]
LABELS = {"background": (0, 0, 0), "cat": (128, 0, 0), "dog": (0, 128, 0), "line": (128, 128, 0),
          "road": (0, 0, 128), "on": (128, 0, 128)}  # fmt: skip
VOID = (224, 224, 192)


# Archives


def draw(
    path: Path,
    *,
    subsets: Sequence[str] = ("train", "val"),
    suffix: str = "jpg",
    last: bool = False,
    exif: bool = False,
    void: bool = False,
) -> None:
    """Draw an archive of odd corners.

    ``last``: the background is the last label; ``exif``: pictures are stored on a side; ``void``:
    there are pixels of which nobody said what they are.
    """
    names = [*LABELS][1:] + [*LABELS][:1] if last else [*LABELS]
    lines = [f"{name}:{','.join(map(str, LABELS[name]))}::\n" for name in names]
    colors = np.array([LABELS[name] for name in LABELS], np.uint8)
    rng = np.random.default_rng(5)
    lists: dict[str, str] = defaultdict(str)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("labelmap.txt", "".join(lines))
        scenes = [*_scenes(rng)]
        for i, (classes, numbers) in enumerate(scenes):
            item = f"d/i{i}" if i % 3 == 1 else f"d_i{i}"
            lists[subsets[i % len(subsets)]] += f"{item}\n"
            shown = (rng.random((*classes.shape, 3)) * 60 + colors[classes] / 2).astype(np.uint8)
            picture = _picture(shown, suffix, exif)
            file.writestr(f"JPEGImages/{item}.{suffix}", picture)
            if i == len(scenes) - 1:
                continue  # an image without masks
            for kind, plane in (("Class", colors[classes]), ("Object", _voc(numbers))):
                if void:
                    plane[30:40, 20:90] = VOID if kind == "Class" else 0
                data = cv2.imencode(".png", plane[..., ::-1])[1].tobytes()
                file.writestr(f"Segmentation{kind}/{item}.png", data)
        for subset, text in lists.items():
            file.writestr(f"ImageSets/Segmentation/{subset}.txt", text)


def _picture(shown: Plane, suffix: str, exif: bool) -> bytes:
    file, about = io.BytesIO(), PIL.Image.Exif()
    if exif:
        about[ExifTags.Base.Orientation] = 6
        shown = np.rot90(shown)
    image = PIL.Image.fromarray(np.ascontiguousarray(shown))
    image.save(file, "jpeg" if suffix == "jpg" else suffix, exif=about)
    return file.getvalue()


def _voc(numbers: Plane) -> Plane:
    """Return a colour for each instance number, none of them gray."""
    table = np.array([(n * 7 % 256, n * 3 % 256, n) for n in range(256)], np.uint8)
    return table[numbers]


def _scenes(rng: np.random.Generator) -> Iterator[tuple[Plane, Plane]]:
    """Yield class and instance number of each pixel."""

    def empty(height: int = 96, width: int = 120) -> tuple[Plane, Plane]:
        return np.zeros((height, width), np.uint8), np.zeros((height, width), np.uint8)

    # Holes, objects in them, two that touch, stuff around all with holes of its own.
    classes, numbers = empty()
    classes[10:90, 5:110] = 4
    for number, label, (y, x, side) in ((1, 1, (15, 10, 40)), (2, 2, (15, 50, 40)),
                                        (3, 5, (25, 20, 12))):  # fmt: skip
        classes[y : y + side, x : x + side], numbers[y : y + side, x : x + side] = label, number
    classes[60:70, 30:60] = numbers[60:70, 30:60] = 0
    for y, x in ((18, 13), (18, 14), (50, 45), (20, 60), (30, 70)):
        classes[y : y + 4, x : x + 3] = numbers[y : y + 4, x : x + 3] = 0
    yield classes, numbers
    # Many parts: single pixels, some that touch at corners, lines, a checkerboard, the border.
    classes, numbers = empty()
    for k in range(12):
        classes[4 + 3 * k, 5 + 2 * k] = 1
        classes[40 + k, 60 + k] = 2
    classes[:, 119] = classes[95, 20:] = 3
    classes[5:25:2, 80:100:2] = classes[6:25:2, 81:100:2] = 5
    numbers[:] = classes
    yield classes, numbers
    # One instance of two labels (a rider and what is ridden), and shapes over one another.
    classes, numbers = empty(81, 133)
    classes[20:50, 20:60], classes[50:70, 15:70], classes[55:60, 30:50] = 1, 2, 0
    numbers[15:75, 10:75] = (classes[15:75, 10:75] > 0) * 9
    cv2.circle(classes, (100, 40), 25, 1, -1)
    cv2.circle(numbers, (100, 40), 25, 4, -1)
    cv2.line(classes, (70, 5), (130, 78), 3, 1)
    cv2.line(numbers, (70, 5), (130, 78), 7, 1)
    yield classes, numbers
    yield empty()
    # Blobs and noise.
    for size, blur in (((150, 100), 2.0), ((64, 200), 1.0), ((300, 260), 5.0)):
        noise = cv2.GaussianBlur(rng.random(size), (0, 0), blur)
        classes = np.digitize(noise, np.quantile(noise, (0.4, 0.6, 0.75, 0.9, 0.97)))
        classes = classes.astype(np.uint8)
        yield classes, np.where(classes == 4, 0, classes * 3).astype(np.uint8)
    yield empty()


def complete(source: Path, path: Path) -> None:
    """Copy an archive into a zip, with a label map and a picture for every item."""
    names = {p.relative_to(source).as_posix(): p for p in sorted(source.rglob("*")) if p.is_file()}
    with zipfile.ZipFile(path, "w") as file:
        if "labelmap.txt" not in names:
            lines = [f"{x.name}:{','.join(map(str, x.color))}::" for x in voc_label_map().labels]
            file.writestr("labelmap.txt", "\n".join(lines))
        masks = [n for n in names if n.startswith("SegmentationClass/")]
        listed: set[str] = set()
        for name in [n for n in names if n.startswith("ImageSets/Segmentation/")]:
            found = names[name].read_text("utf-8").split()
            listed |= {*found}
            file.writestr(name, "".join(f"{item}\n" for item in found))
        pictured = {n.rpartition(".")[0].partition("/")[2] for n in names if "JPEGImages/" in n}
        for name, place in names.items():
            if name.startswith(("labelmap.txt", "JPEGImages/", "SegmentationClass/",
                                "SegmentationObject/")):  # fmt: skip
                file.write(place, name)
        for name in masks:
            item = name.removeprefix("SegmentationClass/").removesuffix(".png")
            if item not in pictured:
                with PIL.Image.open(names[name]) as image:
                    gray = np.full((*image.size[::-1], 3), 90, np.uint8)
                file.writestr(f"JPEGImages/{item}.jpg", _picture(gray, "jpg", exif=False))


def make_cases(folder: Path, archives: Sequence[Path]) -> list[Path]:
    """Put the archives into folders of their own, and export them in every format."""
    for name in ("example", "corners", "turned", "pngs", "void"):
        (folder / name).mkdir()
    out = str((folder / "example/task.zip").resolve())
    command = [sys.executable, "-m", "datumaro_segmask", "example", "-o", out]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    draw(folder / "corners/task.zip", subsets=("Train", "Validation", "Test"))
    draw(folder / "turned/task.zip", subsets=("default",), exif=True)
    draw(folder / "pngs/task.zip", suffix="png", last=True)
    draw(folder / "void/task.zip", void=True)
    others = [p / "data" for p in sorted(OTHERS.iterdir())] if OTHERS.exists() else []
    for source in [p for p in others if p.is_dir()] + [*archives]:
        case = folder / (source.parent.name if source.name == "data" else source.stem)
        case.mkdir()
        if source.is_dir():
            complete(source, case / "task.zip")
        else:
            shutil.copy(source, case / "task.zip")
    cases = [p for p in folder.iterdir() if p.is_dir()]
    for case in cases:
        export(case)
    return cases


def export(case: Path) -> None:
    """Write all formats of an archive, and its arrays."""
    unknown = "keep" if case.name == "void" else "skip"
    dataset = Dataset.import_from(str(case / "task.zip"), "segmask", unknown=unknown)
    for folder, form, options in (
        ("coco_polygons", "coco_segments", {}),
        ("coco_rle", "coco_segments", {"segmentation": "rle"}),
        ("yolo", "yolo_segments", {}),
        ("panoptic", "panoptic_segments", {}),
        *((f"semantic_{name}", "semantic_masks", {"layout": name}) for name in LAYOUTS),
    ):
        dataset.export(str(case / folder), form, save_media=True, **options)
    names = [label.name for label in dataset.categories()[AnnotationType.label]]
    ground = next((i for i, n in enumerate(names) if n.lower() == "background"), -1)
    void = names.index("ignored") if "ignored" in names else -1
    arrays: dict[str, Any] = {}
    segments: dict[str, dict[int, str]] = {}
    for item in dataset:
        classes, _ = to_arrays(item)
        ids, found = to_segments(item, background=ground)
        arrays[f"ids {item.id}"] = ids
        arrays[f"classes {item.id}"] = np.where(np.isin(classes, (ground, void)), -1, classes)
        segments[item.id] = {number: names[label] for number, (label, _) in found.items()}
    np.savez_compressed(case / "arrays.npz", **arrays)
    about = {"names": names, "segments": segments}
    (case / "arrays.json").write_text(json.dumps(about), "utf-8")


# The environment of the readers


def python_of(env: Path) -> Path:
    """Return the Python of the environment, which is built if it is not there."""
    python = env / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        uv = shutil.which("uv")
        make = [uv, "venv", "-p", "3.11"] if uv else [sys.executable, "-m", "venv"]
        install = [uv, "pip", "install", "-p", str(python)] if uv else [
            str(python), "-m", "pip", "install"
        ]  # fmt: skip
        subprocess.run([*make, str(env)], check=True)
        subprocess.run([*install, *PACKAGES], check=True)
        subprocess.run([*install, "--no-deps", *ALONE], check=True)
    return python


# The table


KNOWN = {
    ("supervision", "coco polygons"),
    ("sahi, sliced", "coco polygons"),
    ("Ultralytics, segment, of several parts", "yolo"),
}
"""What cannot be exact, and docs/training.md says why."""


def table(results: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of the table: a row for each reader and format, over all archives."""
    rows: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for result in results:
        rows[result["reader"], result["format"]].append(result)
    yield "| Reader | Format | | Notes |"
    yield "|---|---|---|---|"
    for (reader, form), found in rows.items():
        missing = [one["missing"] for one in found if "missing" in one]
        if missing:
            yield f"| {reader} | {form} | not tried | {missing[0]} is not installed |"
            continue
        count, exact = (sum(one.get(name, 0) for one in found) for name in ("count", "exact"))
        is_exact = all(one.get("is_exact") for one in found)
        word = f"exact, {count:,}" if is_exact else f"not, {exact:,} of {count:,}"
        yield f"| {reader} | {form} | {word} | {'; '.join(_notes(found, exact, count))} |"


def _notes(found: Sequence[dict[str, Any]], exact: int, count: int) -> Iterator[str]:
    ious = [iou for one in found for iou in one.get("ious", [])]
    if ious:
        yield f"worst IoU {min(ious):.2f}, mean {(sum(ious) + exact) / max(count, 1):.3f}"
    odd = [one["case"] for one in found if not one.get("is_exact")]
    if odd:
        yield f"in {', '.join(odd)}"
    for name in ("fails", "refused"):
        texts = {str(one[name]).replace("|", "/") for one in found if one.get(name)}
        yield from (f"{name} {text}" for text in sorted(texts))
    unasked = sum(one.get("unasked", 0) for one in found)
    if unasked:
        yield f"{unasked} objects that nobody painted"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("archives", nargs="*", type=Path, help="more archives, folders or zips")
    default = Path(tempfile.gettempdir()) / "segmask-readers"
    parser.add_argument("--env", type=Path, default=default, help="default: %(default)s")
    parser.add_argument("--detectron2", type=Path, help="a checkout of its repository")
    parser.add_argument("--only", default="", help="readers and formats that have this in the name")
    parser.add_argument("--keep", type=Path, help="write archives and exports into this folder")
    options = parser.parse_args()
    datumaro_segmask.register()
    python = python_of(options.env)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        cases = make_cases(folder, options.archives)
        paths = [str(ROOT), *([str(options.detectron2)] if options.detectron2 else [])]
        done = subprocess.run(
            [python, ROOT / "benchmarks/oracles.py", "--only", options.only, *sorted(cases)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
    head, *results = map(json.loads, done.stdout.splitlines())
    print(", ".join(f"{name} {version}" for name, version in head["versions"].items()), end="\n\n")
    print("\n".join(table(results)))
    judged = [one for one in results if (one["reader"], one["format"]) not in KNOWN]
    if not all(one.get("is_exact") or "missing" in one for one in judged):
        sys.exit(1)


if __name__ == "__main__":
    main()
