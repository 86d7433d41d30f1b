"""`check`: every case of the table, judged by us and by CVAT, and the report as people see it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from datumaro_segmask.__main__ import main
from datumaro_segmask.cli.check.survey import Survey, check
from datumaro_segmask.errors import SegmaskImportError
from datumaro_segmask.rules import RULES, SEVERITIES, severity_of

from ..archives import (
    COLORS,
    CONTAINERS,
    LABELS,
    Files,
    archive,
    as_folder,
    as_zip,
    gray,
    jpeg,
    painted,
    palette_png,
    plane,
    png,
    rgb,
)
from ..cases import BAD, GOOD, Bad, Good

needs_links = pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege")
STREET = Path(__file__).parents[2] / "examples" / "street.zip"
# Most cases have none, and CVAT minds.
ALONE = {"missing-instance-mask", "no-instance-mask", "thin-objects", "cvat-label-line"}


BIG = rgb("111 111 111")

# What is found in archives that we read; cases that are not listed are clean.
SEGMASK_FINDS = {
    "unlisted-masks": {"unlisted-masks"},
    "masks-of-other-types": {"mask-type"},
    "suffixes-in-any-case-without-lists": {"no-lists"},
    "table-of-classes-among-the-lists": {"no-list"},
    "no-lists": {"no-lists"},
    "same-id-in-two-subsets": {"overwritten"},
    "listed-without-masks": {"listed-without-masks"},
    "image-without-masks": {"listed-without-masks", "no-masks"},
    "image-whose-size-cannot-be-read": {"unreadable-image"},
    "items-with-several-images": {"two-images"},
    "misnamed-folder-of-instances": {"folder-name"},
    "folder-with-more-masks-beside": {"folder-name", "listed-without-masks"},
    "label-map-one-folder-up": {"no-label-map", "label-map-name"},
    "voc-labels-where-there-is-no-label-map": {"no-label-map"},
    "voc-ignored-is-255": {"no-label-map"},
    "background-by-name-beside-black": {"background"},
    "gray-among-colour": {"class-mask-kinds"},
    "palettes-read-in-two-ways": {"class-mask-kinds"},
    "two-labels-of-one-colour": {"duplicate-color", "no-background"},
    "two-labels-of-one-colour-in-gray": {"duplicate-color", "no-background"},
    "label-as-black-as-the-background": {"duplicate-color", "class-without-instance"},
    "background-behind-a-label-as-black": {"duplicate-color", "instance-without-class"},
    "label-as-black-and-background-kept": {"duplicate-color", "class-without-instance"},
    "file-that-looks-like-a-label-map": {"no-label-map", "label-map-name"},
    "label-map-in-another-case": {"no-label-map", "label-map-name"},
    "names-like-lines-of-another-tool": {"label-name"},
    "black-that-no-line-declares": {"no-background"},
    "gray-is-a-line-not-the-colour-on-it": {"no-background"},
    "300-labels": {"background"},
    "background-by-black-default": {"background"},
    "black-label-that-has-no-name-of-a-background": {"black-label"},
    "numbers-before-all-names-but-the-background": {"label-name"},
    "copy-of-a-label-map": {"no-label-map", "label-map-name"},
    "two-masks-of-one-item": {"two-masks"},
    "archive-inside": {"inner-archive", "images-elsewhere"},
    **{name: {"label-name"} for name in GOOD if name.startswith("names-with-colours-")},
    "gray-class-colour-instance": {"instance-over-labels"},
    "instances-past-255": {"instance-number"},
    "instances-of-any-colour": {"instance-number"},
    "black-is-no-instance": {"class-without-instance"},
    "things-and-stuff": {"class-without-instance"},
    "instance-over-two-classes": {"instance-over-labels"},
    "instance-over-background": {"instance-without-class"},
    "instance-of-background-only": {"lost-instance"},
    "numbers-with-gaps": {"class-without-instance"},
    "instance-mask-only": {"missing-class-mask"},
}
CVAT_FINDS = SEGMASK_FINDS | {
    "voc-ignored-is-255": {"no-label-map", "gray-as-no-label"},
    "subset-name-with-underscore": {"subset-names"},
    "id-listed-with-a-suffix": {"cvat-list-line"},
    "windows-list": {"cvat-list-line"},
    "same-id-in-two-subsets": {"same-id"},
    "background-by-name-beside-black": set(),
    "background-by-black-default": set(),
    "palettes-read-in-two-ways": {"class-mask-kinds", "palette-by-index"},
    "gray-by-colour-where-no-line-fits": {"gray-as-no-label"},
    "gray-of-four-bits-by-colour": {"gray-as-no-label"},
    "gray-1-bit": {"gray-as-no-label"},
    "gray-2-bits": {"gray-as-no-label"},
    "gray-4-bits": {"gray-as-no-label"},
    "gray-alpha": {"gray-alpha"},
    "ignore-index": {"gray-as-no-label"},
    "suffixes-in-any-case": {"mask-name"},
    "two-labels-of-one-colour": {"duplicate-color", "no-background", "undeclared-nothing"},
    "suffixes-in-any-case-without-lists": {"no-lists", "mask-name"},
    "accents-apart": {"mask-name", "missing-class-mask"},
    "label-map-as-people-write-it": {"cvat-label-line"},
    "background-by-name-not-by-line": {"undeclared-nothing"},
    "background-in-any-case": {"undeclared-nothing"},
    "black-that-no-line-declares": {"no-background", "undeclared-nothing"},
    "void-that-no-line-declares": {"undeclared-nothing"},
    "300-labels": {"sixteen-bits"},
    "rgb-16-bits": {"sixteen-bits"},
    "palette-by-index": {"palette-by-index"},
    "instances-past-255": {"sixteen-bits"},
}
# What CVAT refuses, where we do not; all else it takes, if with losses.
CVAT_REFUSES = {
    "accents-apart",
    "no-lists",
    "two-labels-of-one-colour",
    "suffixes-in-any-case-without-lists",
    "table-of-classes-among-the-lists",
    "subset-name-with-underscore",
    "id-listed-with-a-suffix",
    "windows-list",
    "instance-of-background-only",
    "palettes-read-in-two-ways",
    "gray-by-colour-where-no-line-fits",
    "gray-of-four-bits-by-colour",
    "gray-1-bit",
    "gray-2-bits",
    "gray-4-bits",
    "gray-alpha",
    "ignore-index",
    "voc-ignored-is-255",
    "background-by-name-not-by-line",
    "background-in-any-case",
    "black-that-no-line-declares",
    "void-that-no-line-declares",
    "palette-by-index",
    "instances-of-any-colour",
    "instance-mask-only",
}
UNREADABLE = {
    "neither-lists-nor-masks",
    "only-masks-of-other-types",
    "all-masks-in-a-misnamed-folder-without-lists",
}
FAULTY = {
    "masks-of-other-types",
    "items-with-several-images",
    "two-masks-of-one-item",
}  # we read them, but something is left out


containers = pytest.mark.parametrize("write", CONTAINERS.values(), ids=CONTAINERS)


def survey_of(case: Good | Bad, folder: Path, for_cvat: bool, write=as_folder) -> Survey:
    options = {k: v for k, v in case.options.items() if k in ("ignore_index", "max_pixels")}
    return check(str(write(case.files, folder / "task")), for_cvat=for_cvat, **options)


def kinds(found: Survey) -> set[str]:
    return {finding.kind for finding in found.findings}


def found_in(files: Files, folder: Path, **options) -> list[tuple[str, str, int | None]]:
    """The findings as tuples of kind, file, pixels."""
    found = check(str(as_folder(files, folder / "task")), **options)
    return [(f.kind, f.file, f.pixels) for f in found.findings]


@containers
@pytest.mark.parametrize("name", GOOD)
def test_what_we_read(name: str, write, tmp_path: Path) -> None:
    found = survey_of(GOOD[name], tmp_path, False, write)
    assert kinds(found) == SEGMASK_FINDS.get(name, set())
    assert (found.totals()["error"] > 0) == (name in FAULTY)
    items = {(i, subset): masks for (i, subset), masks in GOOD[name].items.items()}
    assert sum(count.items for count in found.subsets.values()) == len(items)
    masks = [mask for of_item in items.values() for mask in of_item if mask[0] != "background"]
    pixels = sum(mask[2].count("1") for mask in masks)
    counts = [of for count in found.subsets.values() for of in count.labels.values()]
    assert sum(of.pixels for of in counts) == pixels
    assert sum(of.instances for of in counts) == sum(group > 0 for _, group, _ in masks)


@containers
@pytest.mark.parametrize("name", GOOD)
def test_what_cvat_makes_of_it(name: str, write, tmp_path: Path) -> None:
    case = GOOD[name]
    found = survey_of(case, tmp_path, True, write)
    expected, refused = CVAT_FINDS.get(name, set()), name in CVAT_REFUSES
    if write is as_zip and name == "label-map-one-folder-up":  # so a folder does not stand alone
        expected, refused = expected | {"zip-root"}, True
    assert kinds(found) - ALONE == expected - ALONE
    errors = {f.kind for f in found.findings if severity_of(f, True) == "error"}
    assert bool(errors - ALONE) == refused


@containers
@pytest.mark.parametrize("for_cvat", [False, True], ids=["segmask", "cvat"])
@pytest.mark.parametrize("name", [name for name in BAD if name not in UNREADABLE])
def test_what_we_do_not_read(name: str, for_cvat: bool, write, tmp_path: Path) -> None:
    case = BAD[name]
    found = survey_of(case, tmp_path, for_cvat, write)
    # CVAT does not compare the sizes of images with those of masks, and imports items without any.
    lenient = ("image-of-another-size", "all-masks-in-a-misnamed-folder")
    gravest = "warning" if for_cvat and name.startswith(lenient) else "error"
    assert found.totals()[gravest] > 0
    assert all(finding.what and finding.fix for finding in found.findings)
    if case.item is not None:  # the faults of one item, and the two others are sound
        errors = [
            f
            for f in found.findings
            if severity_of(f, for_cvat) == gravest and f.kind not in ALONE | {"zip-root"}
        ]
        assert {(f.item, f.subset) for f in errors} == {case.item}
        (count,) = found.subsets.values()
        assert (count.items, count.broken) == (3, 1)
        # A size that differs is told of the second file, an import tells it of the first.
        if not any(f.kind.endswith("-size") for f in errors):
            assert errors[0].file == case.says[0]


@pytest.mark.parametrize("name", sorted(UNREADABLE))
def test_what_is_no_archive(name: str, tmp_path: Path) -> None:
    with pytest.raises(SegmaskImportError, match=BAD[name].says[1]):
        survey_of(BAD[name], tmp_path, for_cvat=False)


def test_does_not_stop_at_the_first_fault(tmp_path: Path) -> None:
    """Several faults in each file, in one item, and in several items."""
    files = archive(
        {"a": png(np.array([[(1, 2, 3), (9, 9, 9), (9, 9, 9)]], np.uint8)), "b": rgb("11")},
        {"a": b"broken", "b": rgb("1 1"), "c": rgb("11")[:-9]},
        labels="background:0,0,0\ncar:128,0,0\nbus:128,0,0\ncar:7,7,7\nred\nvan:1,2\n",
        lists={"train": "a\n../x\nb\n/y\nc\n", "val": b"a\n\xe4\n"},
        images={"b.jpg": jpeg(5, 7)},
    )
    assert set(found_in(files, tmp_path)) == {
        ("duplicate-color", "labelmap.txt:3", None),
        ("label-map", "labelmap.txt:4", None),
        ("label-map", "labelmap.txt:6", None),
        ("subset-list", "ImageSets/Segmentation/train.txt:2", None),
        ("subset-list", "ImageSets/Segmentation/train.txt:4", None),
        ("subset-list", "ImageSets/Segmentation/val.txt:2", None),
        ("undeclared-color", "SegmentationClass/a.png", 2),
        ("undeclared-color", "SegmentationClass/a.png", 1),
        ("unreadable-mask", "SegmentationObject/a.png", None),
        ("mask-size", "SegmentationObject/b.png", None),
        ("image-size", "JPEGImages/b.jpg", None),
        ("unreadable-mask", "SegmentationObject/c.png", None),
        ("listed-without-masks", "SegmentationClass/ä.png", None),
        ("overwritten", "ImageSets/Segmentation/val.txt", None),
    }


def test_a_faulty_line_keeps_the_values_of_the_others(tmp_path: Path) -> None:
    files = archive({"a": png(np.array([[0, 2]], np.uint8))}, labels="background\ncar:x\nroad\n")
    assert found_in(files, tmp_path) == [("label-map", "labelmap.txt:2", None)]


def test_pixels_are_counted(tmp_path: Path) -> None:
    files = archive({"a": rgb("1122 1010")}, {"a": rgb("1110 0033")})
    assert found_in(files, tmp_path) == [
        ("instance-over-labels", "SegmentationObject/a.png", 1),
        ("class-without-instance", "SegmentationClass/a.png", 2),
        ("instance-without-class", "SegmentationObject/a.png", 1),
    ]


def test_many_colours_of_one_mask_are_summed_up(tmp_path: Path) -> None:
    shades = np.arange(1, 101, dtype=np.uint8)
    smooth = np.stack([shades, shades, shades], axis=1)[np.newaxis]
    found = check(str(as_folder(archive({"a": png(smooth)}), tmp_path / "task")))
    assert len(found.findings) == 9
    assert sum(finding.pixels or 0 for finding in found.findings) == 100
    assert "smoothing" in found.findings[0].fix


@pytest.mark.parametrize(
    ("labels", "what"),
    [
        ("car:0,0,0::\nbackground:9,9,9::\n", "CVAT goes by the colour and takes 'car'"),
        ("background:9,9,9::\nBackground:8,8,8::\n", "several labels have the name"),
    ],
    ids=["by-colour", "twice"],
)
def test_doubtful_background(labels: str, what: str, tmp_path: Path) -> None:
    mask = png(np.array([[[9, 9, 9]]], np.uint8))
    found = check(str(as_folder(archive({"a": mask}, labels=labels), tmp_path / "task")))
    assert [f.kind for f in found.findings if what in f.what] == ["background"]


def test_nearest_of_the_lines_that_can_be_read(tmp_path: Path) -> None:
    """A line that cannot be read has no colour of its own to be near to."""
    files = archive({"a": rgb("3")}, labels="broken:x,y,z::\ncar:128,0,0::\n")
    found = check(str(as_folder(files, tmp_path / "task")))
    (undeclared,) = [f for f in found.findings if f.kind == "undeclared-color"]
    assert undeclared.what.endswith("nearest: car 128,0,0")


@needs_links
def test_image_that_leads_out(tmp_path: Path) -> None:
    path = as_folder(archive({"a": rgb("1")}), tmp_path / "task")
    (tmp_path / "out.jpg").write_bytes(jpeg(1, 1))
    (path / "JPEGImages").mkdir(exist_ok=True)
    (path / "JPEGImages/a.jpg").symlink_to(tmp_path / "out.jpg")
    found = check(str(path))
    assert [(f.file, f.item) for f in found.findings] == [("JPEGImages/a.jpg", "a")]
    assert "leads out of the dataset" in found.findings[0].what


@needs_links
def test_label_map_that_leads_out(tmp_path: Path) -> None:
    path = as_folder(archive({"a": rgb("1")}), tmp_path / "task")
    (path / "labelmap.txt").rename(tmp_path / "out.txt")
    (path / "labelmap.txt").symlink_to(tmp_path / "out.txt")
    found = check(str(path))
    assert [(f.file, "leads out" in f.what) for f in found.findings] == [("labelmap.txt", True)]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
def test_mask_whose_name_is_no_id(tmp_path: Path) -> None:
    path = as_folder(archive({"a": rgb("1")}), tmp_path / "task")
    (path / "SegmentationClass/b\\c.png").write_bytes(rgb("1"))
    found = check(str(path))
    assert [(f.kind, f.file) for f in found.findings] == [
        ("unsafe-path", "SegmentationClass/b\\c.png")
    ]
    assert "backslash" in found.findings[0].what


def test_damaged_inside_a_zip(tmp_path: Path) -> None:
    path = as_zip(archive({"a": rgb("1"), "b": rgb("1")}), tmp_path / "task", compression=0)
    data = path.read_bytes()
    at = data.index(b"IDAT")
    path.write_bytes(data[: at + 5] + b"\xff" + data[at + 6 :])
    found = check(str(path))
    assert [(f.kind, f.file) for f in found.findings] == [
        ("unreadable-file", "SegmentationClass/a.png")
    ]
    assert found.subsets["default"].labels["car"].pixels == 1


def test_two_images_of_one_item(tmp_path: Path) -> None:
    files = archive({"a": rgb("1")}, images={"a.jpg": jpeg(1, 1), "a.BMP": jpeg(1, 1)})
    assert found_in(files, tmp_path) == [("two-images", "JPEGImages/a.BMP", None)]


@needs_links
@pytest.mark.parametrize("name", ["SegmentationClass/a.png", "JPEGImages/a.jpg"])
@pytest.mark.parametrize("to", ["nowhere.png", "../../../annex/x.png", "a.png", None])
def test_what_is_there_but_no_file(name: str, to: str | None, tmp_path: Path) -> None:
    """git-annex and DVC leave links to nowhere; an unpacker may make a folder of a file."""
    path = as_folder(archive({"b": rgb("1")}, lists={"default": "a\nb\n"}), tmp_path / "task")
    (path / name).parent.mkdir(exist_ok=True)
    if to is None:
        (path / name).mkdir()
    else:
        (path / name).symlink_to(to if to != "a.png" else path / name)
    found = check(str(path))
    errors = [f for f in found.findings if severity_of(f, False) == "error"]
    assert [(f.file, f.item) for f in errors] == [(name, "a")]
    assert found.subsets["default"].broken == 1


LISTS = "ImageSets/Segmentation"
RGBA_MASK = np.dstack([painted("012"), np.array([[0, 255, 0]], np.uint8)])
HIDDEN_INDEX = palette_png(plane("012"), COLORS[:3].tolist(), transparency=2)
NOTES: dict[str, tuple[Files, list[tuple[str, str, int | None]], str]] = {
    "pictures-in-another-folder": (
        archive({"a": rgb("1")})
        | {"images/a.jpg": b"x", "images/b.PNG": b"x", "images/x.txt": b"", "x.md": b""},
        [("images-elsewhere", "images/a.jpg", None)],
        "2 images such as images/a.jpg belong to no item",
    ),
    "pictures-in-folders-of-subsets": (
        archive({"a": rgb("1")}, images={"train/a.jpg": b"x"}),
        [("images-elsewhere", "JPEGImages/train/a.jpg", None)],
        "1 image such as JPEGImages/train/a.jpg belongs to no item",
    ),
    "pictures-beside-the-label-map": (
        archive({"x/a": rgb("1")}) | {"a.png": b"x"},
        [("images-elsewhere", "a.png", None)],
        "to no item, and items have none",
    ),
    "pictures-of-other-names": (
        archive({"a": rgb("1")}, images={"frame_1.jpg": b"x"}),
        [("images-elsewhere", "JPEGImages/frame_1.jpg", None)],
        "such as JPEGImages/frame_1.jpg",
    ),
    "all-have-pictures": (
        archive({"a": rgb("1")}, images={"a.jpg": jpeg(1, 1)}) | {"images/z.jpg": b"x"},
        [],
        "",
    ),
    "colour-under-transparent-pixels": (
        archive({"a": png(RGBA_MASK)}, {"a": rgb("012")}),
        [("transparent-color", "SegmentationClass/a.png", 1)],
        "these pixels are transparent",
    ),
    "transparent-colour-of-a-palette": (
        archive({"a": rgb("012")}, {"a": HIDDEN_INDEX}),
        [("transparent-color", "SegmentationObject/a.png", 1)],
        "but their colour counts",
    ),
    "transparent-background": (
        archive(
            {"a": palette_png(plane("012"), COLORS[:3].tolist(), transparency=0)}, {"a": rgb("012")}
        ),
        [],
        "",
    ),
    "label-that-is-a-comment": (
        archive({"a": rgb("1")}, labels=LABELS + "#3:9,9,9::\n"),
        [("comment-line", "labelmap.txt:4", None)],
        "the line of '#3' is a comment, also for CVAT",
    ),
    "no-masks-at-all": (
        archive(lists={"train": "a\nb\n", "val": "a\n"}) | {"masks/a.png": b"x"},
        [
            ("no-masks", "SegmentationClass", None),
            ("images-elsewhere", "masks/a.png", None),
            ("listed-without-masks", "SegmentationClass/a.png", None),
            ("listed-without-masks", "SegmentationClass/b.png", None),
        ],
        "none of the 3 listed items has a mask",
    ),
    "misnamed-folder": (
        {
            name.replace("Object/", "Objects/"): data
            for name, data in archive({"a": rgb("1")}, {"a": rgb("1")}).items()
        },
        [("folder-name", "SegmentationObjects", None)],
        "so 1 mask here is ignored",
    ),
    "folders-of-other-names-beside": (
        archive({"a": rgb("1")}, {"a": rgb("1")}, images={"a.jpg": jpeg(1, 1)})
        | {"SegmentationClassVisualization/a.png": b"x", "SegmentationObjects/a.png": b"x"},
        [],
        "",
    ),
    "lost-instance": (
        archive({"a": rgb("0011")}, {"a": rgb("2201")}),
        [
            ("lost-instance", "SegmentationObject/a.png", 2),
            ("class-without-instance", "SegmentationClass/a.png", 1),
        ],
        "no pixel of instance 2 has a label",
    ),
    "list-by-another-name": (
        archive({"a": rgb("1")}) | {f"{LISTS}/{n}": b"b\n" for n in ("t.TXT", "u.csv", "x/v.txt")},
        [("list-name", f"{LISTS}/{n}", None) for n in ("t.TXT", "u.csv", "x/v.txt")],
        "lists are .txt files in ImageSets/Segmentation",
    ),
    "label-map-in-a-folder": (
        archive({"a": gray("01")}, labels=None) | {"ImageSets/labelmap.txt": b"background\ncar\n"},
        [
            ("label-map-name", "ImageSets/labelmap.txt", None),
            ("no-label-map", "labelmap.txt", None),
        ],
        "it is not called labelmap.txt",
    ),
    "some-masks": (
        archive({"a": rgb("1")}, lists={"train": "a\nb\n"}),
        [("listed-without-masks", "SegmentationClass/b.png", None)],
        "it has no masks",
    ),
}


@containers
@pytest.mark.parametrize("name", NOTES)
def test_notes(name: str, write, tmp_path: Path) -> None:
    files, expected, what = NOTES[name]
    found = check(str(write(files, tmp_path / "task")))
    assert [(f.kind, f.file, f.pixels) for f in found.findings] == expected
    if expected:
        assert what in found.findings[0].what
    sound = {"images-elsewhere", "transparent-color", "comment-line", "listed-without-masks"}
    sound |= {"class-without-instance", "no-label-map"}
    for finding in found.findings:
        assert severity_of(finding, False) == ("note" if finding.kind in sound else "warning")


def test_where_pictures_would_be_found(tmp_path: Path) -> None:
    files = archive({"b/a": rgb("1")}) | {"images/a.JPG": b"x"}
    (found,) = check(str(as_folder(files, tmp_path / "task"))).findings
    assert found.fix.endswith("here JPEGImages/b/a.JPG")


# The command


@pytest.mark.parametrize("write", CONTAINERS.values(), ids=CONTAINERS)
@pytest.mark.parametrize(
    ("masks", "status"),
    [({"a": rgb("12")}, 0), ({"a": rgb("13")}, 1)],
    ids=["sound", "undeclared"],
)
def test_exit_status(write, masks, status: int, tmp_path: Path, capsys) -> None:
    path = write(archive(masks), tmp_path / "task")
    assert main(["check", str(path)]) == status
    report = capsys.readouterr().out
    assert ("undeclared-color" in report) == bool(status)
    assert main(["check", str(path), "--json"]) == status
    assert json.loads(capsys.readouterr().out)["status"] == status


def test_notes_alone_are_no_fault(capsys) -> None:
    assert main(["check", str(STREET)]) == 0
    report = capsys.readouterr().out
    assert "class pixels without an instance" in report
    assert report.endswith("this archive is sound (11 notes)\n")
    assert main(["check", str(STREET), "--for", "cvat"]) == 1
    assert "CVAT takes this archive, but not as it is" in capsys.readouterr().out


@pytest.mark.parametrize("content", [None, b"no zip"], ids=["nothing-there", "no-zip"])
def test_no_archive(content: bytes | None, tmp_path: Path, capsys) -> None:
    path = tmp_path / "task.zip"
    if content is not None:
        path.write_bytes(content)
    assert main(["check", str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert "To fix it: " in captured.err
    assert main(["check", str(path), "--json"]) == 2
    report = json.loads(capsys.readouterr().out)
    assert report["status"] == 2
    assert report["error"].keys() == {"file", "what", "fix"}


def test_json(tmp_path: Path, capsys) -> None:
    """The fields that docs/cli.md promises."""
    path = as_folder(archive({"a": rgb("113"), "b": rgb("12")}), tmp_path / "task")
    main(["check", str(path), "--json"])
    report = json.loads(capsys.readouterr().out)
    fix = "add the line 'name:128,128,0::' to the label map, or give these pixels a declared colour"
    assert report == {
        "path": str(path),
        "for": "segmask",
        "status": 1,
        "totals": {"error": 1, "warning": 0, "note": 0},
        "findings": [
            {
                "severity": "error",
                "kind": "undeclared-color",
                "file": "SegmentationClass/a.png",
                "what": "no label has the colour 128,128,0; nearest: car 128,0,0, road 0,128,0",
                "fix": fix,
                "item": "a",
                "subset": "default",
                "pixels": 1,
                "value": "128,128,0",
                "section": 2,
            }
        ],
        "subsets": {
            "default": {
                "items": 2,
                "annotated": 1,
                "images": 0,
                "broken": 1,
                "labels": {
                    "car": {"instances": 0, "items": 1, "pixels": 1},
                    "road": {"instances": 0, "items": 1, "pixels": 1},
                },
            }
        },
        "labels": ["background", "car", "road"],
    }


def longest(value) -> int:
    """The length of the longest text in a value of JSON."""
    if isinstance(value, dict):
        value = [*value.values()]
    if isinstance(value, list):
        return max(map(longest, value), default=0)
    return len(value) if isinstance(value, str) else 0


@pytest.mark.parametrize("as_what", ["text", "json", "github"])
def test_names_of_any_length_and_number_make_no_long_messages(
    as_what: str, tmp_path: Path, capsys
) -> None:
    long = "x" * 60_000
    names = [f"l{i}" for i in range(1, 5000)]
    colors = [f"{i >> 8},{i & 255},255" for i in range(5000)]
    lines = [f"{name}:{color}::" for name, color in zip([*names, long], colors, strict=True)]
    labels = "\n".join(["background:0,0,0::", *lines, f"{long}:1,2,3::"])
    label_map = archive({"a": rgb("0")}, labels=labels)
    strange = {**archive({"a": rgb("0110")}), f"SegmentationClass/{long}.png": rgb("1")}
    for files, name in ((label_map, "labels"), (strange, "names")):
        main(["check", str(as_zip(files, tmp_path / name)), "--format", as_what])
        out, err = capsys.readouterr()
        assert "xxxx" in out
        if as_what == "json":
            assert longest(json.loads(out)["findings"]) <= 4010
        else:
            assert max(map(len, out.splitlines())) < 16_000
        assert max(map(len, err.splitlines()), default=0) <= 4100


def test_report_is_short_unless_asked(tmp_path: Path, capsys) -> None:
    ids = [f"{i:02}" for i in range(30)]
    files = archive({i: rgb("1") for i in ids}, {i: rgb("11") for i in ids})
    path = str(as_folder(files, tmp_path / "task"))
    main(["check", path])
    report = capsys.readouterr().out
    assert "SegmentationObject/02.png and 27 more" in report
    main(["check", path, "--all"])
    report = capsys.readouterr().out
    assert all(f"SegmentationObject/{i}.png" in report for i in ids)
    assert " more" not in report


def test_report_of_several_remedies(tmp_path: Path, capsys) -> None:
    """Each stands with its finding where they differ, and no more than ten findings are shown."""
    shades = np.arange(12, dtype=np.uint8)
    masks = {f"{i:02}": png(np.array([[[9, 9, s]]], np.uint8)) for i, s in enumerate(shades)}
    main(["check", str(as_folder(archive(masks), tmp_path / "task"))])
    report = capsys.readouterr().out
    assert report.count("    to fix it: add the line") == 10
    assert "... and 2 more; --all shows them" in report
    assert "\n  to fix it: add the line" not in report  # the first one is not for all


@pytest.mark.parametrize(("forbidden", "colored"), [("", True), ("1", False)])
def test_colours_on_a_terminal(
    forbidden: str, colored: bool, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.setenv("NO_COLOR", forbidden)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    main(["check", str(as_folder(archive({"a": rgb("3")}), tmp_path / "task"))])
    assert ("\033[" in capsys.readouterr().out) == colored


def test_all_labels_in_use(tmp_path: Path, capsys) -> None:
    files = archive({"a": rgb("01")}, labels="background:0,0,0::\ncar:128,0,0::\n")
    main(["check", str(as_folder(files, tmp_path / "task"))])
    assert "labels without pixels" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("files", "for_cvat", "says"),
    [
        (archive({"a": BIG}, {"a": BIG}), (), "this archive is sound"),
        (
            archive({"a": BIG}, {"a": BIG}, labels=LABELS),
            ("--for", "cvat"),
            "CVAT takes this archive as",
        ),
        (
            archive({"a": BIG}, {"a": rgb("0")}, labels=LABELS),
            ("--for", "cvat"),
            "CVAT refuses",
        ),
        (
            archive({"a": BIG}, {"a": rgb("000 000 000")}, labels=LABELS),
            ("--for", "cvat"),
            "CVAT takes this archive, but not as it is",
        ),
        (archive({"a": rgb("1")}, {"b": rgb("1")}), (), "can be read, but look at the warnings"),
        (archive({"a": rgb("3")}, {"a": rgb("1")}), (), "cannot be read as it is"),
    ],
    ids=["sound", "taken", "refused", "taken-with-losses", "doubtful", "unreadable"],
)
def test_verdict(files: Files, for_cvat: tuple[str, ...], says: str, tmp_path: Path, capsys):
    main(["check", str(as_folder(files, tmp_path / "task")), *for_cvat])
    assert says in capsys.readouterr().out


def test_reader_that_has_seen_enough(tmp_path: Path) -> None:
    """Such as `head`: the pipe breaks, and that is no error."""
    path = as_folder(archive({"a": rgb("1")}), tmp_path / "task")
    code = "import sys; from datumaro_segmask.__main__ import main; sys.exit(main())"
    with subprocess.Popen(
        [sys.executable, "-c", code, "check", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_kinds_are_graded() -> None:
    for kind in RULES.values():
        assert {kind.for_cvat, kind.severity} <= {*SEVERITIES, None}
        assert kind.for_cvat or kind.severity


def test_kinds_are_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "cli.md").read_text("utf-8")
    rows = [row.split(" | ") for row in text.splitlines() if row.startswith("| `")]
    found = {row[0].strip("|` "): row[1:4] for row in rows if len(row) == 5}
    assert found == {
        name: [rule.severity or "–", rule.for_cvat or "–", str(rule.section)]
        for name, rule in RULES.items()
    }


# The program as a whole


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_overview(flag: str, capsys) -> None:
    assert main([flag]) == 0
    text = capsys.readouterr().out
    for part in ("check", "preview", "from-masks", "selfcheck", "convert"):
        assert part in text
