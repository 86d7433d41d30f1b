"""Each rule: its example is found, as grave as it says, and its remedies make it better."""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from datumaro.components.dataset import Dataset
from datumaro.util.mask_tools import mask_to_polygons

from datumaro_segmask.__main__ import main
from datumaro_segmask.cli.check.survey import check
from datumaro_segmask.rules import RULES, SEVERITIES, Finding, severity_of, write_example
from datumaro_segmask.rules.cvat import polygons_of_cvat
from datumaro_segmask.storage import layout

from ..archives import LABELS, Files, archive, as_folder, jpeg, plane, png, rgb

BIG = rgb("111222 111222 111222")


def found_in(path: str, for_cvat: bool) -> list[Finding]:
    return check(path, for_cvat=for_cvat).findings


@pytest.mark.parametrize("for_cvat", [False, True], ids=["segmask", "cvat"])
@pytest.mark.parametrize("kind", RULES)
def test_example_is_found(kind: str, for_cvat: bool, tmp_path: Path) -> None:
    """And nothing graver than what the rule says of it, as far as it is the only fault."""
    rule = RULES[kind]
    found = found_in(write_example(rule.example(), str(tmp_path)), for_cvat)
    severity = rule.severity_for(for_cvat)
    assert {severity_of(f, for_cvat) for f in found if f.kind == kind} == {severity} - {None}
    assert [f for f in found if not (f.what and f.fix)] == []


def test_rules_are_whole() -> None:
    for kind, rule in RULES.items():
        assert {rule.severity, rule.for_cvat} <= {*SEVERITIES, None}
        assert rule.severity or rule.for_cvat, kind
        assert rule.kind == kind
        assert rule.text != rule.title
        assert rule.text.endswith(".")


# Remedies: what names a line, a file or a command is done, and the next look is better.


def write_line(path: str, finding: Finding, line: str) -> None:
    place, _, number = finding.file.rpartition(":")
    file = Path(path, place)
    lines = file.read_text("utf-8").split("\n")
    lines[int(number) - 1] = line
    file.write_text("\n".join(lines), "utf-8")


def write_numbered(path: str, _: Finding, line: str, number: str) -> None:
    file = Path(path, layout.LABEL_MAP)
    lines = file.read_text("utf-8").split("\n")
    lines[int(number) - 1] = line
    file.write_text("\n".join(lines), "utf-8")


def add_label(path: str, _: Finding, line: str) -> None:
    file = Path(path, layout.LABEL_MAP)
    text = file.read_text("utf-8")
    first = line.startswith("background") or "first line" in _.fix
    file.write_text(f"{line}\n{text}" if first else f"{text.rstrip()}\n{line}\n", "utf-8")


def write_id(path: str, finding: Finding, item_id: str) -> None:
    write_line(path, finding, item_id)


def remove(path: str, finding: Finding) -> None:
    Path(path, finding.file).unlink()


def remove_folders(path: str, _: Finding, folders: str) -> None:
    for folder in folders.split(", "):
        for file in Path(path, folder).rglob("*"):
            file.unlink()


def rename(path: str, finding: Finding, name: str) -> None:
    os.makedirs(os.path.dirname(os.path.join(path, name)), exist_ok=True)
    Path(path, finding.file).rename(Path(path, name))


def zip_delete(path: str, _: Finding, command: str) -> None:
    """As Info-ZIP does it; `zip` is not on every machine."""
    program, option, target, pattern = shlex.split(command)
    assert (program, option, target) == ("zip", "-d", path)
    with zipfile.ZipFile(path) as source:
        files = {name: source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(path, "w") as out:
        for name, data in files.items():
            if not name.startswith(pattern.rstrip("*")):
                out.writestr(name, data)


def write_list(path: str, finding: Finding, name: str) -> None:
    ids = [file.stem for file in Path(path, layout.CLASS_MASKS).iterdir()]
    file = Path(path, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{item_id}\n" for item_id in ids))


def copy_lists(path: str, finding: Finding, name: str) -> None:
    shutil.copytree(Path(path, finding.file), Path(path, name), dirs_exist_ok=True)


def convert(path: str, _: Finding, command: str) -> None:
    """What is written takes the place of the archive."""
    line = command.replace("'ARCHIVE'", repr(path)).replace("'NEW'", repr(f"{path}-new"))
    eval(line, {"Dataset": Dataset})
    shutil.rmtree(path)
    shutil.move(f"{path}-new", path)


def make_masks(path: str, _: Finding, command: str) -> None:
    before = os.getcwd()
    os.chdir(path)
    try:
        assert main(shlex.split(command)[1:]) in (0, 1)
    finally:
        os.chdir(before)
    packed = Path(path, "task.zip").read_bytes()
    shutil.rmtree(path)
    with zipfile.ZipFile(io.BytesIO(packed)) as made:
        made.extractall(path)


REMEDIES: list[tuple[str, Callable[..., None]]] = [
    (r"write '(.+)' into line (\d+) of the label map", write_numbered),
    (r"write '([^']*:.*)'", write_line),
    (r"add the line '(.*?)'(?: to the label map)?(?:, or .*|, and .*)?", add_label),
    (r"(?:if it is not the background, )?add the line '(.*?)'.*", add_label),
    (r"write only the id,(?: here)? '(.*)'", write_id),
    (r"write '/' between folders, '(.*)'", write_id),
    (r"remove the file", remove),
    (r"remove (.*) from the archive", remove_folders),
    (r"rename the file to '(.*)'", rename),
    (r"(?:if it is (?:one|a label map), )?call (?:it|the list) (\S+?)(?:, with .*)?", rename),
    (r"if it is a folder of masks, rename it to exactly (\w+)", rename),
    (r"write their ids, one per line, into (\S+)", write_list),
    (r"copy the lists to (\S+)", copy_lists),
    (r"in Python, (Dataset\..*\)) numbers the .*", convert),
    (r".*'(datumaro-segmask from-masks .*? -o task.zip)'.*", make_masks),
    (r"type \"(zip -d .*)\"", zip_delete),
]
PROSE = {
    # what only whoever made the archive can do; and no line or command to type
    "duplicate-color", "comment-line", "no-label-map", "background", "label-map", "subset-list",
    "no-list", "hash-id", "same-id", "overwritten", "numeric-ids",
    "unlisted-masks", "inner-archive", "zip-backslash", "doubled-file", "two-masks",
    "two-images", "no-masks", "images-elsewhere", "image-type", "unsafe-path", "unreadable-file",
    "unreadable-mask", "unreadable-image", "mask-size", "image-size", "image-as-stored",
    "listed-without-masks", "missing-class-mask", "undeclared-value", "class-mask-kinds",
    "transparent-color", "lost-instance", "instance-over-labels",
    "class-without-instance", "instance-without-class", "palette-by-index", "many-labels",
    "gray-as-no-label", "gray-as-other-label", "gray-alpha",
    "background-wins", "thin-objects",
}  # fmt: skip


def applied(path: str, finding: Finding) -> bool:
    for pattern, apply in REMEDIES:
        met = re.fullmatch(pattern, finding.fix)
        if met:
            apply(path, finding, *met.groups())
            return True
    return False


def check_remedies(path: str, kind: str, for_cvat: bool) -> bool:
    """Do what the findings of a kind say, one after the other; tell whether there was anything."""
    before = found_in(path, for_cvat)
    tried = [f for f in before if f.kind == kind and applied(path, f)]
    if not tried:
        return False
    after = found_in(path, for_cvat)
    assert [f for f in after if f.kind == kind and f in tried] == []
    assert len([f for f in after if f.kind == kind]) <= len(before) - len(tried)
    grave = [Counter(severity_of(f, for_cvat) for f in found) for found in (before, after)]
    assert grave[1]["error"] <= grave[0]["error"], after
    assert (
        not grave[0]["error"]
        or grave[1]["error"] < grave[0]["error"]
        or kind in {f.kind for f in before if severity_of(f, for_cvat) != "error"}
    )
    return True


@pytest.mark.parametrize("kind", RULES)
def test_remedy_of_the_example_makes_it_better(kind: str, tmp_path: Path) -> None:
    path = write_example(RULES[kind].example(), str(tmp_path))
    is_tried = check_remedies(path, kind, RULES[kind].severity is None)
    assert is_tried != (kind in PROSE)


LINES = {
    "five-fields": ("car:128,0,0:::", "cvat-label-line", "car:128,0,0::"),
    "six-fields": ("car:128,0,0::::", "cvat-label-line", "car:128,0,0::"),
    "two-fields": ("car:128,0,0", "cvat-label-line", "car:128,0,0::"),
    "parts-stay": ("car:128,0,0:wheel", "cvat-label-line", "car:128,0,0:wheel:"),
    "colon-in-the-name": ("a:b:128,0,0::", "cvat-label-line", "a b:128,0,0::"),
    "colour-first": ("128 0 0 car", "label-name", "car:128,0,0::"),
    "colour-first-with-commas": ("128,0,0 car", "label-name", "car:128,0,0::"),
    "colour-last": ("car 128 0 0", "label-name", "car:128,0,0::"),
    "colour-in-hex": ("car #800000", "label-name", "car:128,0,0::"),
    "equals-sign": ("car=128,0,0", "label-name", "car:128,0,0::"),
    "wide-colons": ("car\uff1a128,0,0\uff1a\uff1a", "label-name", "car:128,0,0::"),
    "name-and-colour-twice": ("car 128 0 0:128,0,0::", "label-name", "car:128,0,0::"),
    "plus": ("car:+128,0,0::", "odd-color", "car:128,0,0::"),
}


@pytest.mark.parametrize("for_cvat", [False, True], ids=["segmask", "cvat"])
@pytest.mark.parametrize("name", LINES)
def test_remedy_of_a_line_of_the_label_map(name: str, for_cvat: bool, tmp_path: Path) -> None:
    """Whichever kind finds it, the line is then as CVAT writes it."""
    line, kind, fixed = LINES[name]
    labels = f"background:0,0,0::\n{line}\nroad:0,128,0::\n"
    path = str(as_folder(archive({"a": BIG}, {"a": BIG}, labels=labels), tmp_path / "task"))
    if RULES[kind].severity_for(for_cvat) is None:
        kind = ""
    while (found := [f for f in found_in(path, for_cvat) if f.file == "labelmap.txt:2"]) != []:
        kind = kind if kind in {f.kind for f in found} else found[0].kind
        assert check_remedies(path, kind, for_cvat)
    if RULES[LINES[name][1]].severity_for(for_cvat) is not None:
        assert Path(path, "labelmap.txt").read_text("utf-8").split("\n")[1] == fixed
    assert found_in(path, for_cvat) == []


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (LABELS.replace("0,0,0", "9,9,9", 1), "into line 1 of the label map"),
        (LABELS.replace("background:0,0,0::\n", ""), "add the line 'background:0,0,0::'"),
    ],
    ids=["of-another-colour", "none"],
)
def test_no_second_line_of_the_background(labels: str, says: str, tmp_path: Path) -> None:
    masks = {"a": rgb("000111 000111 000111")}
    path = str(as_folder(archive(masks, masks, labels=labels), tmp_path / "task"))
    (found,) = [f for f in found_in(path, True) if f.kind == "undeclared-nothing"]
    assert says in found.fix
    assert check_remedies(path, "undeclared-nothing", True)
    assert Path(path, "labelmap.txt").read_text("utf-8").lower().count("background") == 1


def test_folders_of_fiftyone_become_an_archive_by_the_command(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: Files = {"data/a.jpg": jpeg(3, 6), "labels/a.png": BIG, "names.txt": b"background\nx\n"}
    path = as_folder(files, tmp_path / "51")
    monkeypatch.chdir(tmp_path)
    assert main(["check", str(path)]) == 2
    said = capsys.readouterr().err
    assert "YOLO" not in said
    (command,) = re.findall(r"'datumaro-segmask (from-masks [^\n]*? -o task.zip)'", said)
    (tmp_path / "names.txt").write_text(LABELS)
    assert main(shlex.split(command)) == 0
    assert "2 objects" in capsys.readouterr().out
    assert "JPEGImages/a.jpg" in zipfile.ZipFile("task.zip").namelist()


def test_polygons_of_cvat_are_those_that_datumaro_makes() -> None:
    random = np.random.default_rng(5)
    seen = 0
    for density in (0.3, 0.5, 0.7, 0.9) * 25:
        pixels = np.pad(random.random((9, 12)) < density, 1).astype(np.uint8)
        ours, theirs = polygons_of_cvat(pixels), mask_to_polygons(pixels)
        assert [ring.tolist() for ring in ours] == [ring.tolist() for ring in theirs]
        seen += len(theirs)
    assert seen > 100


@pytest.mark.parametrize(
    "suffix", [".avif", ".HEIC", ".dcm", ".nii.gz", ".npy", ".dng", ".psd", ".mp4"]
)
def test_pictures_of_types_that_are_not_read_are_a_note(suffix: str, tmp_path: Path) -> None:
    files = archive({"a": BIG}, {"a": BIG})
    path = str(as_folder({**files, f"JPEGImages/a{suffix}": b"no image"}, tmp_path / "task"))
    found = found_in(path, for_cvat=False)
    assert {f.kind for f in found} == {"image-type"}
    assert found[0].file == f"JPEGImages/a{suffix}"


@pytest.mark.parametrize("line", ["a,car", "a;car;1", "a.jpg,car", "JPEGImages/a.jpg,car"])
def test_a_list_in_csv_is_an_error_with_the_remedy(line: str, tmp_path: Path) -> None:
    files = archive({"a": BIG}, {"a": BIG}, lists={"default": f"{line}\n"})
    found = found_in(str(as_folder(files, tmp_path / "task")), for_cvat=False)
    fixes = [f.fix for f in found if f.kind == "list-line"]
    assert fixes == ["write only the id, here 'a'"]


@pytest.mark.parametrize("below", ["train", "masks/x"])
def test_masks_too_deep_name_the_folder(below: str, tmp_path: Path) -> None:
    masks = {f"{below}/a": BIG}
    files = archive(masks, masks, lists={"default": "a\n"})
    found = {f.kind: f for f in found_in(str(as_folder(files, tmp_path / "task")), False)}
    assert f"masks in SegmentationClass/{below} have their names" in found["no-masks"].what
    assert f"without '{below}/'" in found["unlisted-masks"].fix


def test_lists_too_deep_name_the_folder(tmp_path: Path) -> None:
    files = archive({"a": BIG}, {"a": BIG}, lists={"default": "train/a\n"})
    found = {f.kind: f for f in found_in(str(as_folder(files, tmp_path / "task")), False)}
    assert "masks have the names without 'train/'" in found["no-masks"].what
    assert "into SegmentationClass/train and SegmentationObject/train" in found["no-masks"].fix


@pytest.mark.parametrize(
    "line", ["image_id,split", "filename;label", "image_id", "File Name,Class"]
)
def test_the_head_of_a_table_is_no_item(line: str, tmp_path: Path) -> None:
    files = archive({"a": BIG}, {"a": BIG}, lists={"default": f"{line}\na\n"})
    (found,) = found_in(str(as_folder(files, tmp_path / "task")), for_cvat=False)
    assert (found.kind, found.fix) == ("list-line", "remove the line")
    files = archive({line: BIG}, {line: BIG})
    assert found_in(str(as_folder(files, tmp_path / "item")), for_cvat=False) == []


def test_white_under_transparent_pixels_says_so(tmp_path: Path) -> None:
    """As drawing programs write it where nothing was drawn."""
    table = np.array([(255, 255, 255, 0), (128, 0, 0, 255)], np.uint8)
    mask = png(table[plane("000111 000111 000111")])
    files = archive({"a": mask}, {"a": rgb("000111 000111 000111")})
    (found,) = found_in(str(as_folder(files, tmp_path / "task")), for_cvat=False)
    assert (found.kind, found.value) == ("undeclared-color", "255,255,255")
    assert found.fix.startswith("save the mask without alpha")
    table[0, 3] = 1
    files["SegmentationClass/a.png"] = png(table[plane("000111 000111 000111")])
    (found,) = found_in(str(as_folder(files, tmp_path / "seen")), for_cvat=False)
    assert "alpha" not in found.fix
