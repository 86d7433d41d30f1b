"""Every command and every piece of Python on every page, in order, in one folder a page."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import pytest

import datumaro_segmask
from datumaro_segmask.__main__ import main

from ..archives import archive, as_zip, rgb
from ..processes import python

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/street.zip"

# Datumaro 1.11 refuses to convert a format into itself, and docs/recipes.md says so.
CONVERTS_INTO_ITSELF = tuple(map(int, version("datumaro").split(".")[:2])) > (1, 11)
INTO_ITSELF = {"Index masks in an archive", "Other labels, other colours"}

PAGES = ["README.md", *(f"docs/{p.name}" for p in sorted((ROOT / "docs").glob("*.md")))]
_SECTION = re.compile(r"^## (.+?)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"\s+# .*")


def sections(page: str) -> dict[str, str]:
    return dict(_SECTION.findall((ROOT / page).read_text("utf-8")))


# What each recipe leaves behind.
RESULTS = {
    "COCO": ["coco/annotations/instances_train.json", "coco/images/train/street_01.jpg"],
    "torchvision's reference": [
        "reference/train2017/street_01.jpg",
        "reference/val2017/street_04.jpg",
        "reference/annotations/instances_train2017.json",
        "reference/annotations/instances_val2017.json",
    ],
    "Pascal VOC": ["voc/SegmentationClass/street_01.png", "voc/JPEGImages/street_01.jpg"],
    "YOLO, boxes": ["yolo/data.yaml", "yolo/images/train"],
    "YOLO, segments": ["yolo-segments/data.yaml", "yolo-segments/images/val"],
    "Semantic segmentation": ["semantic/id2label.json", "semantic/masks/train"],
    "mmsegmentation": ["mmseg/splits/train.txt", "mmseg/splits/val.txt", "mmseg/metainfo.json"],
    "Ultralytics, semantic": ["semantic-yolo/data.yaml", "semantic-yolo/masks/val"],
    "nnU-Net": [
        "nnUNet_raw/Dataset001_Street/dataset.json",
        "nnUNet_raw/Dataset001_Street/splits_final.json",
        "nnUNet_raw/Dataset001_Street/labelsTr/street_05.png",  # of an image without objects
    ],
    "Index masks in an archive": [
        "training/SegmentationClass/street_01.png",
        "training/SegmentationClass/street_05.png",  # of an image without objects
    ],
    "Arrays": [],
    "Panoptic segmentation": ["panoptic/annotations/panoptic_train.json"],
    "Other labels, other colours": ["recoloured/labelmap.txt"],
    "Two tasks in one": ["merged/labelmap.txt", "merged/JPEGImages/street_01-1.jpg"],
    "Train and validation": [
        "split/ImageSets/Segmentation/train.txt",
        "split/ImageSets/Segmentation/val.txt",
    ],
    "Predictions to CVAT": ["upload.zip", "memory.zip", "upload/segmask.zip"],
    "To and from a CVAT server": ["called.txt"],
    "Instances from class masks": [
        "parts-coco/annotations/instances_train.json",
        "parts/SegmentationObject/street_01.png",
    ],
    "A PyTorch dataset": [],
}


# What stands for the real package, which would look for a server; it takes the same arguments.
CVAT_SDK = """
from unittest.mock import MagicMock

def make_client(host, *, port=None, credentials=None):
    client = MagicMock()
    task = client.__enter__().tasks.retrieve.return_value
    task.import_annotations = import_annotations
    return client

def import_annotations(format_name, filename, *, conv_mask_to_poly=None):
    assert conv_mask_to_poly is False
    open("called.txt", "w").write(f"{format_name}: {filename}")
"""


# Lines that are not run, by what is in them, and why.
NOT_RUN = {
    r"git clone|pip install|uv tool|pipx": "an installation, which .ci/run and the workflow do",
    r"-m venv": "README's two jobs, which .ci/run and the workflow do",
    r"^yolo ": "Ultralytics is not installed",
    r"s3://|AWS_": "a store, see test_remote.py",
    r"^datum project ": "Datumaro 1.11 with its extra, see test_datum.py",
    r"^datumaro-segmask recover ": "an export that was killed, see test_crash.py",
}
# Blocks that need a package, which are skipped by name without it.
NEEDS = {
    "shtab": "datumaro-segmask completion",
    "torch": "import torch",
    "duckdb": "import duckdb",
    "pandas": "import pandas",
    "polars": "import polars",
    "datumaro.experimental": "datumaro.experimental",
}
BEFORE = {  # what a page leaves to the reader
    "docs/predictions.md": "from datumaro.components.dataset import Dataset\n",
    "docs/scale.md": "from datumaro.components.dataset import Dataset\n"
    "dataset = Dataset.import_from('task.zip', 'segmask')\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The things that the pages speak of."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("webbrowser.open", lambda _: True)
    monkeypatch.setenv("HOME", str(tmp_path))
    for place in (".zfunc", ".local/share/bash-completion/completions"):
        Path(place).mkdir(parents=True)
    as_zip(archive({"b": rgb("1012")}, {"b": rgb("1012")}), Path("tasks/two").resolve())
    for place in ("task.zip", "task2.zip", "tasks/one.zip"):
        Path(place).parent.mkdir(exist_ok=True)
        shutil.copy(EXAMPLE, place)
    Path("names.txt").write_text("background\ncar\nroad\n")
    mask = np.zeros((40, 60), np.uint8)
    mask[5:10, 5:20] = 1
    mask[20:30] = 2
    for place, pixels in {
        "predictions/one.png": mask,
        "splits/train/one.png": mask,
        "silhouettes/one.png": (mask == 1).astype(np.uint8) * 255,
        "images/one.jpg": mask,
    }.items():
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(place, pixels)
    Path("cvat_sdk.py").write_text(CVAT_SDK)
    return tmp_path


def predictions_of_models() -> None:
    """A dataset of YOLO, one of COCO, and what models have said of their pictures."""
    convert = ["convert", "task.zip", "--quiet", "-f"]
    assert main([*convert, "yolo_segments", "-o", "yolo"]) == 0
    assert main([*convert, "coco_segments", "-o", "coco", "--segmentation", "rle"]) == 0
    shutil.copytree("coco/annotations", "annotations")
    shutil.copytree("yolo/images/train", "photos")
    labels = Path("runs/segment/predict/labels")
    labels.mkdir(parents=True)
    for file in Path("yolo/labels/train").glob("*.txt"):
        lines = file.read_text().splitlines()
        (labels / file.name).write_text("".join(f"{line} 0.9\n" for line in lines))
    found = json.loads(Path("annotations/instances_val.json").read_text())["annotations"]
    results = [{**one, "score": 0.9} for one in found]
    Path("results.json").write_text(json.dumps(results))


FIRST = {
    "docs/predictions.md": predictions_of_models,
    "docs/recipes.md": lambda: run_line(f"{_DATUM} coco_instances -o labelled"),
    "docs/scale.md": lambda: run_line(f"{_DATUM} coco -o coco_dir -- --save-media"),
    "docs/tutorial.md": lambda: Path("task.zip").unlink(),
}
_DATUM = "datum convert -i task.zip -if segmask -f"


def run(*words: str) -> None:
    done = python(*words)
    assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"


def run_line(line: str) -> None:
    """Run a line of a shell: a command of ours here, all others in a process."""
    words = shlex.split(line, comments=True)
    if words[0] == "datumaro-segmask" and not set(words) & {">", "|", "&&"}:
        assert main(words[1:]) in ((0, 1) if words[1] == "check" else (0,)), line
        return
    if words[0] == "datum" and not set(line) & set("*>|&"):
        run("-m", "datumaro_segmask", *words[1:])
        return
    ours = f'"{sys.executable}" -m datumaro_segmask'
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    shell = ["sh", "-c", re.sub(r"^(datum|datumaro-segmask) ", f"{ours} ", line)]
    done = subprocess.run(shell, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


def is_run(line: str) -> bool:
    text = _COMMENT.sub("", line)
    return bool(text.strip()) and not any(re.search(pattern, text) for pattern in NOT_RUN)


def is_missing(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is None
    except ModuleNotFoundError:
        return True


def test_every_recipe_has_a_result() -> None:
    assert set(sections("docs/recipes.md")) == set(RESULTS)


def test_no_two_recipes_write_one_place() -> None:
    recipes = sections("docs/recipes.md").values()
    written = [place for text in recipes for place in {*re.findall(r" -o (\S+)", text)}]
    assert len(written) == len({*written}) > 20


def test_what_is_not_run_is_on_a_page() -> None:
    whole = "\n".join((ROOT / page).read_text("utf-8") for page in PAGES)
    for pattern in NOT_RUN:
        assert re.search(pattern, whole, re.MULTILINE), pattern
    for text in NEEDS.values():
        assert text in whole


@pytest.mark.parametrize(
    ("page", "section"),
    [
        ("README.md", "From a CVAT zip to a trained model"),
        ("docs/tutorial.md", "4. Convert it"),
    ],
)
def test_page_shows_what_convert_prints(page: str, section: str, folder: Path, capsys) -> None:
    (_, commands), (_, printed) = _BLOCK.findall(sections(page)[section])
    run_line(commands.splitlines()[0])
    assert capsys.readouterr().out == printed
    splits = re.findall(r"(train|val) .* ([1-9]\d*) objects", printed)
    assert [split for split, _ in splits] == ["train", "val"]  # a val of nothing teaches nobody


def test_workflow_runs_the_jobs_of_readme() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    workflow = (ROOT / ".github/workflows/tests.yml").read_text("utf-8")
    jobs = re.findall(r"^<!-- (main job|tests) -->\n```sh\n(.*)\n```", readme, re.MULTILINE)
    assert [name for name, _ in jobs] == ["main job", "tests"]
    for _, line in jobs:
        for command in line.split(" && ")[1:]:  # after the environment
            typed = command.replace(".venv/bin/", "").replace(
                "pip install -q", "python -m pip install"
            )
            assert f"\n          {typed}" in workflow


@pytest.mark.skipif(os.name == "nt", reason="the line is for a POSIX shell")
def test_release_finds_the_version_to_compare_its_tag_with() -> None:
    workflow = (ROOT / ".github/workflows/release.yml").read_text("utf-8")
    (command,) = re.findall(r'test "v\$\((.*)\)" = "\$GITHUB_REF_NAME"', workflow)
    found = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True).stdout
    assert found.strip() == datumaro_segmask.__version__


@pytest.mark.skipif(os.name == "nt", reason="the blocks are for a POSIX shell")
@pytest.mark.parametrize("page", [p for p in PAGES if _BLOCK.search((ROOT / p).read_text("utf-8"))])
def test_page(page: str, folder: Path) -> None:
    missing = set()
    FIRST.get(page, lambda: None)()
    text = (ROOT / page).read_text("utf-8")
    for title, section in {"": text.partition("\n## ")[0], **sections(page)}.items():
        if title in INTO_ITSELF and not CONVERTS_INTO_ITSELF:
            missing.add("Datumaro 1.12, which converts a format into itself")
            continue
        done = True
        for language, block in _BLOCK.findall(section):
            if language not in ("sh", "python"):
                continue
            if lacks := [p for p, sign in NEEDS.items() if sign in block and is_missing(p)]:
                missing.update(lacks)
                done = False
            elif language == "sh":
                for line in filter(is_run, block.splitlines()):
                    run_line(line)
            else:
                start = "import datumaro_segmask; datumaro_segmask.register()\n"
                run("-c", start + BEFORE.get(page, "") + block)
        for name in RESULTS.get(title, []) if page == "docs/recipes.md" and done else []:
            assert Path(name).exists(), name
    if missing:
        pytest.skip(f"all but what needs {', '.join(sorted(missing))} has been run")


@pytest.mark.skipif(os.name == "nt", reason="the blocks are for a POSIX shell")
@pytest.mark.parametrize(
    ("recipe", "subsets"),
    [
        ("torchvision's reference", ("Train", "Validation")),
        ("YOLO, segments", ("default", "default")),
        ("mmsegmentation", ("Train", "Validation")),
        ("mmsegmentation", ("default", "default")),
    ],
)
def test_recipe_of_other_subsets(recipe: str, subsets: tuple[str, str], folder: Path) -> None:
    """CVAT's own names, and a task without any."""
    lists: dict[str, bytes] = {}
    with zipfile.ZipFile(EXAMPLE) as source, zipfile.ZipFile(folder / "task.zip", "w") as target:
        for name in source.namelist():
            if name.startswith("ImageSets/"):
                place = f"ImageSets/Segmentation/{subsets['val' in name]}.txt"
                lists[place] = lists.get(place, b"") + source.read(name)
            else:
                target.writestr(name, source.read(name))
        for place, data in lists.items():
            target.writestr(place, data)
    section = sections("docs/recipes.md")[recipe]
    for line in [x for kind, block in _BLOCK.findall(section) if kind == "sh"
                 for x in filter(is_run, block.splitlines())]:  # fmt: skip
        run_line(line)
    for name in RESULTS[recipe]:
        assert (folder / name).exists(), name


@pytest.mark.skipif(not CONVERTS_INTO_ITSELF, reason="Datumaro 1.11 does not convert so")
def test_index_masks_hold_the_lines_of_the_label_map(folder: Path) -> None:
    block = re.findall(
        r"```sh\n(.*?)```", sections("docs/recipes.md")["Index masks in an archive"], re.DOTALL
    )[0]
    for line in block.splitlines():
        run_line(line)
    mask = cv2.imread(
        str(folder / "training/SegmentationClass/street_01.png"), cv2.IMREAD_UNCHANGED
    )
    assert mask is not None
    assert mask.ndim == 2
    values = set(mask.ravel().tolist())
    assert {0, 255} <= values <= {0, 1, 2, 3, 255}
