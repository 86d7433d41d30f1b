"""One case for each rule of docs/format.md, sections 1 to 4: an archive, and what it means.

`test_31_archive` runs the table through the archive layer, `test_41_cases` through Datumaro.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from datumaro_segmask.colors import color_to_number, pack
from datumaro_segmask.errors import (
    ArchiveError,
    LabelMapError,
    MaskSizeError,
    PngError,
    SegmaskImportError,
    SubsetListError,
    UndeclaredColorError,
    UnsafePathError,
)

from .archives import (
    COLORS,
    LABELS,
    PALETTE,
    RGB,
    Files,
    archive,
    gray,
    gray_alpha_png,
    jpeg,
    painted,
    palette_png,
    plane,
    png,
    raw_png,
    rgb,
)

Mask: TypeAlias = tuple[str | None, int, str]
"""An annotation: label, group, and its pixels as a picture of 0 and 1."""
ItemKey: TypeAlias = tuple[str, str]
"""Id and subset of an item."""


@dataclass(frozen=True)
class Good:
    """An archive that is read. ``items``: their masks, in the order of the dataset."""

    files: Files
    items: Mapping[ItemKey, list[Mask]]
    options: Mapping[str, Any] = field(default_factory=dict)
    sizes: Mapping[str, tuple[int, int] | None] = field(default_factory=dict)
    logs: tuple[str, ...] = ()  # what the one warning says; none is logged if empty
    by_caller: bool = False  # whether it is Datumaro's side that logs


@dataclass(frozen=True)
class Bad:
    """An archive that is not. ``says``: parts of the message, the file first.

    ``item``: whose masks are broken, so that the others can be read; None for the archive.
    """

    files: Files
    error: type[SegmaskImportError]
    says: tuple[str, ...]
    item: ItemKey | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def moved(files: Files, begin: str, to: str) -> Files:
    """Return an archive with the files whose names begin so in another place; but not its lists."""
    return {
        (to + name.removeprefix(begin) if name.startswith(begin) else name): data
        for name, data in files.items()
    }


def only(*masks: Mask, item_id: str = "a") -> dict[ItemKey, list[Mask]]:
    return {(item_id, "default"): list(masks)}


CAR_ROAD = only(("car", 0, "010 010"), ("road", 0, "001 001"))
CLASSES = "012 012"
A = {"a": rgb(CLASSES)}
STRANGE = png(np.array([[(1, 2, 3), (0, 0, 32)]], np.uint8))  # no colour that VOC counts to
STRANGE_NUMBER = int(color_to_number(pack(np.array([1, 2, 3]))))

LAYOUT = {
    "folder-one-down": Good(archive(A, root="my task/"), CAR_ROAD),
    "folder-two-down": Good(archive(A, root="x/y/"), CAR_ROAD),
    "ids-with-folders-dots-spaces": Good(
        archive({"a/b/img 0.0.0_0": rgb("1")}), only(("car", 0, "1"), item_id="a/b/img 0.0.0_0")
    ),
    "ids-of-any-letters": Good(
        archive({"猫/Straße": rgb("1")}), only(("car", 0, "1"), item_id="猫/Straße")
    ),
    "id-listed-with-a-suffix": Good(archive(A, lists={"default": "a.jpg\n"}), CAR_ROAD),
    "id-that-ends-like-an-image": Good(
        archive({"a.jpg": rgb("1")}), only(("car", 0, "1"), item_id="a.jpg")
    ),
    "windows-list": Good(archive(A, lists={"default": "\ufeffa\r\n"}), CAR_ROAD),
    "list-and-label-map-of-an-old-mac": Good(
        archive({**A, "b": rgb("1")}, labels=LABELS.replace("\n", "\r"), lists={"x": "b\ra\r"}),
        {("b", "x"): [("car", 0, "1")], ("a", "x"): CAR_ROAD[("a", "default")]},
    ),
    "subset-name-with-underscore": Good(
        archive({"a": rgb("1")}, lists={"train_v2": "a\n"}), {("a", "train_v2"): [("car", 0, "1")]}
    ),
    "subset-name-of-any-letters": Good(
        archive({"a": rgb("1")}, lists={"тест 2.1": "a\n"}), {("a", "тест 2.1"): [("car", 0, "1")]}
    ),
    "order-of-the-list": Good(
        archive({"a": rgb("0"), "b": rgb("1")}, lists={"default": "b\na\n"}),
        {("b", "default"): [("car", 0, "1")], ("a", "default"): []},
    ),
    "same-id-in-two-subsets": Good(
        archive({"a": rgb("1")}, lists={"train": "a\n", "val": "a\n"}),
        {("a", "train"): [("car", 0, "1")], ("a", "val"): [("car", 0, "1")]},
        logs=("val.txt", "1 item such as 'a' is in several subsets", "tasks one by one"),
    ),
    "duplicate-line": Good(archive(A, lists={"default": "a\na\n"}), CAR_ROAD),
    "listed-without-masks": Good(
        archive(A, lists={"default": "x\na\ny\n"}),
        {("x", "default"): [], **CAR_ROAD, ("y", "default"): []},
        sizes={"x": None, "a": (2, 3)},
    ),
    "empty-list": Good(archive(A, lists={"default": "a\n", "val": ""}), CAR_ROAD),
    "unlisted-masks": Good(
        archive({**A, "b": rgb("1"), "c": b"broken"}, {"c": b"broken"}, lists={"default": "a\n"}),
        CAR_ROAD,
        logs=("SegmentationClass/b.png", "no list names it", "2 items in all", "add its id"),
    ),
    "no-lists": Good(
        archive({"b": rgb("1"), "c/d": rgb("2")}, {"c/d": gray("3")}, lists={}),
        {("b", "default"): [("car", 0, "1")], ("c/d", "default"): [("road", 3, "1")]},
        logs=("no subset lists", "2 items with masks", "default.txt"),
    ),
    "strangers": Good(
        archive(A)
        | {
            "__MACOSX/ImageSets/Segmentation/._default.txt": b"\0",
            "ImageSets/Segmentation/._default.txt": b"\0\xff",
            "ImageSets/Segmentation/.DS_Store": b"\0",
            "ImageSets/Segmentation/readme.md": b"x",
            "SegmentationClass/Thumbs.db": b"\0",
            "SegmentationClass/._a.png": b"\0",
            "SegmentationClass/notes.docx": b"\0",
        },
        CAR_ROAD,
    ),
    "masks-of-other-types": Good(
        archive(A)
        | {"SegmentationClass/b.BMP": b"x", "SegmentationObject/a.tif": b"x"}
        | {"SegmentationClass/c.jpg": b"x", "SegmentationClass/d.npy": b"x"},
        CAR_ROAD,
        logs=("SegmentationClass/b.BMP", ".png files", "4 items in all", "save it as PNG"),
    ),
    "suffixes-in-any-case": Good(
        {place.replace("a.png", "a.PNG"): data for place, data in archive(A).items()}
        | {"JPEGImages/a.Tga": jpeg(2, 3)},
        CAR_ROAD,
        sizes={"a": (2, 3)},
    ),
    "suffixes-in-any-case-without-lists": Good(
        {"SegmentationClass/a.Png": rgb(CLASSES), "labelmap.txt": LABELS.encode()},
        CAR_ROAD,
        logs=("no subset lists", "1 item with masks"),
    ),
    "accents-apart": Good(
        archive(
            {"e\u0301": rgb("1")},
            {"\u00e9": rgb("1")},
            lists={"default": "\u00e9\n"},
            images={"e\u0301.jpg": jpeg(1, 1)},
        ),
        {("\u00e9", "default"): [("car", 1, "1")]},
    ),
    "table-of-classes-among-the-lists": Good(
        archive(A, lists={"default": "a\n", "class": "background\ncar\nroad\n"}),
        CAR_ROAD,
        logs=("Segmentation/class.txt", "not a list of items", "names of labels", "ignored"),
    ),
    "no-instance-masks": Good(archive(A), CAR_ROAD),
    "instance-mask-of-some-items-only": Good(
        archive({"a": rgb("1"), "b": rgb("1")}, {"a": rgb("1")}),
        {("a", "default"): [("car", 1, "1")], ("b", "default"): [("car", 0, "1")]},
    ),
    "image-with-a-size": Good(
        archive({"a": rgb(CLASSES)}, images={"a.jpg": jpeg(2, 3)}), CAR_ROAD, sizes={"a": (2, 3)}
    ),
    "image-without-masks": Good(
        archive(lists={"default": "a\n"}, images={"a.JPG": jpeg(4, 7)}),
        {("a", "default"): []},
        sizes={"a": (4, 7)},
        logs=("SegmentationClass: none of the 1 listed item has a mask", "named as the lists"),
    ),
    "two-masks-of-one-item": Good(
        archive(A, A)
        | {f"Segmentation{kind}/a.PNG": rgb("1") for kind in ("Class", "Object")}
        | {"SegmentationClass/x.txt": b""},
        only(("car", 1, "010 010"), ("road", 2, "001 001")),
        logs=("SegmentationClass/a.PNG", "another mask", "a.png is used (2 items in all)"),
    ),
    "archive-inside": Good(
        archive(A) | archive({"c": rgb("1")}, root="batch 2/"),
        CAR_ROAD,
        logs=("batch 2: ", "an archive itself", "datum merge"),
    ),
    "image-whose-size-cannot-be-read": Good(
        archive(A, images={"a.jpg": b"\xff\xd8\xff\xe0cut"}), CAR_ROAD, sizes={"a": (2, 3)}
    ),
    "misnamed-folder-of-instances": Good(
        moved(archive(A, A), "SegmentationObject/", "SegmentationObjects/"),
        CAR_ROAD,
        logs=(
            "SegmentationObjects: ",
            "1 mask here is ignored",
            "rename it to exactly SegmentationObject",
        ),
    ),
    "folder-with-more-masks-beside": Good(
        archive(A, lists={"default": "a\nb\nc\n"})
        | {f"SegmentationClassAug/{i}.PNG": rgb("1") for i in "abcx"},
        {**CAR_ROAD, ("b", "default"): [], ("c", "default"): []},
        logs=("SegmentationClassAug: ", "2 masks here are", "move them into SegmentationClass."),
    ),
    "items-with-several-images": Good(
        archive(
            {**A, "b": rgb(CLASSES), "\u00e9": rgb("1"), "x/a": rgb("1")},
            images={"a.png": jpeg(2, 3), "a.jpg": jpeg(2, 3), "a.Tiff": b"x", "b.jpg": jpeg(2, 3)}
            | {"e\u0301.png": b"x", "\u00e9.jpeg": jpeg(1, 1), "x/b.png": b"x", "z.bmp": b"x"}
            | {"z.jpg": b"x", "x/a.md": b"x", "x/a.jpg": jpeg(1, 1)},
        ),
        {
            **CAR_ROAD,
            ("b", "default"): CAR_ROAD[("a", "default")],
            ("x/a", "default"): [("car", 0, "1")],
            ("\u00e9", "default"): [("car", 0, "1")],
        },
        sizes={"a": (2, 3)},
        logs=(
            "JPEGImages/a.",
            "several images, and ",
            "a.jpg is used (2 items in all)",
            "all but",
        ),
    ),
}

LABEL_MAP = {
    "voc-labels-where-there-is-no-label-map": Good(
        archive({"a": rgb("0170")}, labels=None),
        only(("aeroplane", 0, "0100"), ("car", 0, "0010")),
    ),
    "voc-ignored-is-255": Good(
        archive({"a": png(np.array([[0, 1, 255]], np.uint8))}, labels=None),
        only(("aeroplane", 0, "010"), ("ignored", 0, "001")),
    ),
    "label-map-as-people-write-it": Good(
        archive(
            {"a": rgb("0123")},
            labels="\ufeff# mine\r\nbackground:0,0,0\r\n\r\n car : 128 , 0 , 0 :: # red\r\n"
            "a:b:0,128,0\r\nbike\r\n",
        ),
        only(("car", 0, "0100"), ("a:b", 0, "0010"), ("bike", 0, "0001")),
    ),
    "order-is-not-that-of-names": Good(
        archive({"a": gray("012")}, labels="z:1,1,1\nbackground:0,0,0\na:2,2,2\n"),
        only(("z", 0, "100"), ("a", 0, "001")),
    ),
    "background-by-name-not-by-line": Good(
        archive({"a": rgb("012")}, labels="car:128,0,0::\nbackground:0,128,0::\n"),
        only(("car", 0, "010")),
    ),
    "background-in-any-case": Good(
        archive({"a": rgb("012")}, labels="BackGround:128,0,0::\ncar:0,128,0::\n"),
        only(("car", 0, "001")),
    ),
    "background-by-black": Good(
        archive({"a": rgb("01")}, labels="nothing:0,0,0::\ncar:128,0,0::\n"),
        only(("car", 0, "01")),
    ),
    "background-by-name-beside-black": Good(
        archive({"a": rgb("01")}, labels="void:0,0,0::\nbackground:128,0,0::\n"),
        only(("void", 0, "10")),
        logs=("'background'", "'void'", "black"),
    ),
    "keep-background": Good(
        archive(A),
        only(("background", 0, "100 100"), ("car", 0, "010 010"), ("road", 0, "001 001")),
        {"keep_background": True},
    ),
    "two-labels-of-one-colour": Good(
        archive({"a": rgb("012")}, labels="car:128,0,0::\nvan:128,0,0::\nroad:0,128,0::\n"),
        only(("van", 0, "010"), ("road", 0, "001")),
        logs=("labelmap.txt:2", "'van'", "'car'", "128,0,0", "as in CVAT"),
    ),
    "two-labels-of-one-colour-in-gray": Good(
        archive({"a": gray("01")}, labels="car:128,0,0::\nvan:128,0,0::\n"),
        only(("car", 0, "10"), ("van", 0, "01")),
        logs=("labelmap.txt:2", "'van'", "'car'"),
    ),
    "label-as-black-as-the-background": Good(
        archive(
            {"a": rgb("0011"), "b": rgb("01")},
            {"a": rgb("0100")},
            labels="background:0,0,0::\ncar:128,0,0::\nnight:0,0,0::\n",
        ),
        {
            ("a", "default"): [("car", 0, "0011"), ("night", 1, "0100")],
            ("b", "default"): [("car", 0, "01")],
        },
        logs=("labelmap.txt:3", "'night'", "'background'", "where there is an instance"),
    ),
    "background-behind-a-label-as-black": Good(
        archive(
            {"a": rgb("001")}, {"a": rgb("022")}, labels="a:0,0,0\nbackground:0,0,0\nc:128,0,0"
        ),
        only(("c", 2, "001")),
        logs=("labelmap.txt:2", "'background'", "'a'"),
    ),
    "label-as-black-and-background-kept": Good(
        archive(
            {"a": rgb("001")}, {"a": rgb("020")}, labels="background:0,0,0\ncar:128,0,0\nb:0,0,0\n"
        ),
        only(("background", 0, "100"), ("car", 0, "001"), ("b", 2, "010")),
        options={"keep_background": True},
        logs=("labelmap.txt:3",),
    ),
    "file-that-looks-like-a-label-map": Good(
        archive({"a": gray("01")}, labels=None)
        | {"Class_Names.TXT": b"background\ncar\n", "notes.txt": b"x"},
        only(("aeroplane", 0, "01")),
        logs=("Class_Names.TXT", "not called labelmap.txt", "labels of VOC", "labelmap.txt"),
    ),
    "label-map-in-another-case": Good(
        archive({"a": gray("01")}, labels=None, root="x/")
        | {"x/LabelMap.txt": b"background\ncar\n"},
        only(("aeroplane", 0, "01")),
        logs=("LabelMap.txt", "call it labelmap.txt"),
    ),
    "label-map-one-folder-up": Good(
        archive({"a": gray("01")}, labels=None, root="x/") | {"labelmap.txt": b"background\ncar\n"},
        only(("aeroplane", 0, "01")),
        logs=(
            "labelmap.txt: ",
            "one folder above",
            "labels of VOC are used",
            "beside the folder Segm",
        ),
    ),
    "copy-of-a-label-map": Good(
        archive({"a": gray("01")}, labels=None) | {"labelmap.txt.bak": b"x"},
        only(("aeroplane", 0, "01")),
        logs=("labelmap.txt.bak", "labels of VOC"),
    ),
    "background-by-black-default": Good(
        archive({"a": gray("01")}, labels="car\nroad\n"),
        only(("road", 0, "01")),
        logs=("labelmap.txt:1", "'car' is used as the background", "into a line before 'car'"),
    ),
    "black-label-that-has-no-name-of-a-background": Good(
        archive({"a": rgb("01")}, labels="car:0,0,0::\nroad:128,0,0::\n"),
        only(("road", 0, "01")),
    ),
    "numbers-before-all-names-but-the-background": Good(
        archive({"a": rgb("01")}, labels="background:0,0,0::\n1 car:128,0,0::\n"),
        only(("1 car", 0, "01")),
        logs=("labelmap.txt:2", "another tool"),
    ),
    **{
        f"names-with-colours-{how}": Good(
            archive({"a": gray("01")}, labels=f"{line.replace('car', 'x')}\n{line}\n"),
            only((line, 0, "01")),
            logs=("labelmap.txt:1", "another tool", "2 items in all"),
        )
        for how, line in {
            "tabs": "car\t128,0,0",
            "wide": "car\uff1a128,0,0",
            "equals": "car=128,0,0",
            "brackets": "car (128, 0, 0)",
            "hex": "car #800000",
        }.items()
    },
    "names-like-lines-of-another-tool": Good(
        archive({"a": gray("01")}, labels="background,0,0,0\ncar,128,0,0\n"),
        only(("car,128,0,0", 0, "01")),
        logs=("labelmap.txt:1", "another tool", "2 items in all", "write '"),
    ),
    "gray-among-colour": Good(
        archive({"a": rgb("012"), "b": gray("01"), "c": gray("00")}),
        {
            ("a", "default"): [("car", 0, "010"), ("road", 0, "001")],
            ("b", "default"): [("car", 0, "01")],
            ("c", "default"): [],
        },
        logs=("SegmentationClass/b.png", "SegmentationClass/a.png", "in the colours"),
        by_caller=True,
    ),
    "palettes-read-in-two-ways": Good(
        archive(
            {
                "a": palette_png(plane("01"), [[0, 128, 0], [128, 0, 0]]),
                "b": palette_png(plane("01"), [[0, 0, 0], [9, 9, 9]]),
            }
        ),
        {
            ("a", "default"): [("car", 0, "01"), ("road", 0, "10")],
            ("b", "default"): [("car", 0, "01")],
        },
        logs=("SegmentationClass/b.png", "SegmentationClass/a.png"),
        by_caller=True,
    ),
    "blank-gray-among-colour": Good(
        archive(
            {"a": gray("00"), "b": rgb("01")},
            labels="car:128,0,0::\nroad:0,128,0::\nbackground:0,0,0::\n",
        ),
        {("a", "default"): [], ("b", "default"): [("car", 0, "01")]},
    ),
    "blank-gray-among-gray": Good(
        archive(
            {"a": gray("00"), "b": gray("02")},
            labels="car:128,0,0::\nroad:0,128,0::\nbackground:0,0,0::\n",
        ),
        {("a", "default"): [("car", 0, "11")], ("b", "default"): [("car", 0, "10")]},
    ),
    "gray-by-colour-where-no-line-fits": Good(
        archive(
            {"a": png(np.array([[0, 255, 255]], np.uint8))},
            labels="background:0,0,0::\ncar:255,255,255::\n",
        ),
        only(("car", 0, "011")),
    ),
    "gray-of-four-bits-by-colour": Good(
        archive(
            {"a": raw_png(plane("03")[..., None], 4)},
            labels="background:0,0,0::\ncar:51,51,51::\n",
        ),
        only(("car", 0, "01")),
    ),
    "gray-by-line-where-one-fits": Good(
        archive({"a": gray("012")}, labels="a:1,1,1::\nb:2,2,2::\nbackground:0,0,0::\n"),
        only(("a", 0, "100"), ("b", 0, "010")),
    ),
    "black-that-no-line-declares": Good(
        archive({"a": rgb("01")}, labels="car:128,0,0::\n"), only(("car", 0, "01"))
    ),
    "void-that-no-line-declares": Good(
        archive({"a": png(np.array([[(224, 224, 192), (128, 0, 0)]], np.uint8))}),
        only(("car", 0, "01")),
    ),
    "void-that-a-line-declares": Good(
        archive(
            {"a": png(np.array([[(224, 224, 192), (128, 0, 0)]], np.uint8))},
            labels=LABELS + "edge:224,224,192::\n",
        ),
        only(("car", 0, "01"), ("edge", 0, "10")),
    ),
    "ignore-index": Good(
        archive({"a": png(np.array([[0, 1, 255]], np.uint8))}),
        only(("car", 0, "010")),
        {"ignore_index": 255},
    ),
    "300-labels": Good(
        archive(
            {"a": png(np.array([[1, 255, 256, 299]], np.uint16))},
            labels="".join(f"label {n}\n" for n in range(300)),
        ),
        only(
            ("label 1", 0, "1000"),
            ("label 255", 0, "0100"),
            ("label 256", 0, "0010"),
            ("label 299", 0, "0001"),
        ),
        logs=("labelmap.txt:1", "'label 0' is used as the background"),
    ),
}

_ALPHA = np.concatenate([painted(CLASSES), np.array([[[0], [9], [255]]] * 2, np.uint8)], axis=2)
_16_BITS = painted(CLASSES).astype(np.uint16) << 8 | 0x5A

PIXELS = {
    "rgb": Good(archive({"a": rgb(CLASSES)}), CAR_ROAD),
    "rgba": Good(archive({"a": png(_ALPHA)}), CAR_ROAD),
    "rgb-16-bits": Good(archive({"a": png(_16_BITS)}), CAR_ROAD),
    "rgb-interlaced": Good(
        archive({"a": raw_png(painted(CLASSES), 8, RGB, interlaced=True)}), CAR_ROAD
    ),
    "palette-by-colour": Good(
        archive({"a": palette_png(plane("210 210"), COLORS[[2, 1, 0]].tolist())}), CAR_ROAD
    ),
    "palette-by-colour-4-bits": Good(
        archive({"a": palette_png(plane("210 210"), COLORS[[2, 1, 0]].tolist(), bits=4)}), CAR_ROAD
    ),
    "palette-by-index": Good(
        archive({"a": palette_png(plane(CLASSES), [[9, 9, 9], [8, 8, 8], [7, 7, 7]])}), CAR_ROAD
    ),
    "palette-with-unused-strange-colours": Good(
        archive({"a": palette_png(plane("210 210"), [*COLORS[[2, 1, 0]].tolist(), [9, 9, 9]])}),
        CAR_ROAD,
    ),
    "palette-interlaced": Good(
        archive(
            {
                "a": raw_png(
                    plane(CLASSES)[..., None],
                    2,
                    PALETTE,
                    interlaced=True,
                    palette=COLORS[:3].tobytes(),
                )
            }
        ),
        CAR_ROAD,
    ),
    **{
        f"gray-{depth}-bits": Good(
            archive({"a": raw_png(plane(CLASSES)[..., None], depth)}), CAR_ROAD
        )
        for depth in (2, 4, 8, 16)
    },
    "gray-1-bit": Good(
        archive({"a": raw_png(plane("0110")[..., None], 1)}), only(("car", 0, "0110"))
    ),
    "gray-alpha": Good(archive({"a": gray_alpha_png(plane(CLASSES), plane("987 654"))}), CAR_ROAD),
    "gray-is-a-line-not-the-colour-on-it": Good(
        archive({"a": gray("01")}, labels="first:1,1,1::\nsecond:9,9,9::\n"),
        only(("first", 0, "10"), ("second", 0, "01")),
    ),
    "gray-class-colour-instance": Good(
        archive({"a": gray(CLASSES)}, {"a": rgb("011 022")}),
        only(
            ("car", 1, "010 000"),
            ("road", 1, "001 000"),
            ("car", 2, "000 010"),
            ("road", 2, "000 001"),
        ),
    ),
    "colour-class-gray-instance": Good(
        archive({"a": rgb("011")}, {"a": gray("012")}), only(("car", 1, "010"), ("car", 2, "001"))
    ),
    "instances-of-a-palette": Good(
        archive({"a": rgb("011")}, {"a": palette_png(plane("210"), COLORS[[7, 1, 0]].tolist())}),
        only(("car", 1, "010"), ("car", 7, "001")),
    ),
    "instances-past-255": Good(
        archive({"a": rgb("111")}, {"a": png(np.array([[256, 257, 65_535]], np.uint16))}),
        only(("car", 256, "100"), ("car", 257, "010"), ("car", 65_535, "001")),
    ),
    "instances-of-any-colour": Good(
        archive({"a": rgb("11")}, {"a": STRANGE}),
        only(("car", 256, "01"), ("car", STRANGE_NUMBER, "10")),
    ),
    "black-is-no-instance": Good(
        archive({"a": rgb("11")}, {"a": rgb("01")}), only(("car", 0, "10"), ("car", 1, "01"))
    ),
}

MASKS = {
    "things-and-stuff": Good(
        archive({"a": rgb("1122 2222")}, {"a": rgb("1200 0000")}),
        only(("road", 0, "0011 1111"), ("car", 1, "1000 0000"), ("car", 2, "0100 0000")),
    ),
    "instance-over-two-classes": Good(
        archive({"a": rgb("1122")}, {"a": rgb("1111")}),
        only(("car", 1, "1100"), ("road", 1, "0011")),
    ),
    "instance-over-background": Good(
        archive({"a": rgb("0110")}, {"a": rgb("1111")}), only(("car", 1, "0110"))
    ),
    "instance-of-background-only": Good(archive({"a": rgb("00")}, {"a": rgb("12")}), only()),
    "parted-instance": Good(
        archive({"a": rgb("1001")}, {"a": rgb("3003")}), only(("car", 3, "1001"))
    ),
    "numbers-with-gaps": Good(
        archive({"a": rgb("111")}, {"a": rgb("907")}),
        only(("car", 0, "010"), ("car", 7, "001"), ("car", 9, "100")),
    ),
    "class-mask-only": Good(
        archive({"a": rgb("1012")}), only(("car", 0, "1010"), ("road", 0, "0001"))
    ),
    "instance-mask-only": Good(
        archive({}, {"a": rgb("0112"), "b": rgb("1")}),
        {
            ("a", "default"): [(None, 1, "0110"), (None, 2, "0001")],
            ("b", "default"): [(None, 1, "1")],
        },
        logs=("'a'", "no class mask", "no label", "reported once"),
        by_caller=True,
    ),
    "empty-class-mask": Good(archive({"a": rgb("00")}), only(), sizes={"a": (1, 2)}),
    "sizes-of-masks": Good(archive({"a": rgb("000 000")}), only(), sizes={"a": (2, 3)}),
}

GOOD: dict[str, Good] = {**LAYOUT, **LABEL_MAP, **PIXELS, **MASKS}


def item(
    mask: bytes, error: type[SegmaskImportError], *says: str, labels: str | None = LABELS
) -> Bad:
    """A class mask that is broken, between two items that are sound."""
    files = archive({"a": rgb("1"), "b": mask, "c": rgb("1")}, labels=labels)
    return Bad(files, error, ("SegmentationClass/b.png", *says), ("b", "default"))


def lists(text: str | bytes, error: type[SegmaskImportError], *says: str) -> Bad:
    return Bad(archive({"a": rgb("1")}, lists={"train": text}), error, says)


def label_map(text: str | bytes, *says: str) -> Bad:
    return Bad(archive({"a": rgb("1")}, labels=text), LabelMapError, says)


SOUND = rgb("012 012")

BAD: dict[str, Bad] = {
    # section 1
    "id-that-leads-out": lists(
        "a\n../../b\n", UnsafePathError, "train.txt:2", "'../../b'", "relative", "rename"
    ),
    "id-that-is-absolute": lists("/etc/passwd\n", UnsafePathError, "train.txt:1", "'/etc/passwd'"),
    "id-that-leads-out-without-suffix": lists("...jpg\n", UnsafePathError, "train.txt:1", "'..'"),
    "list-with-quotes": lists(
        '"a"\n', SubsetListError, "train.txt:1", "has marks beside an id", "only the id, here 'a'"
    ),
    "list-with-commas": lists(
        "x\na,\n", SubsetListError, "train.txt:2", "'a,' has", "only the id, here 'a'"
    ),
    "list-in-one-line": lists(
        "a a\n", SubsetListError, "train.txt:1", "'a a' has columns", "each id into its own line"
    ),
    "list-of-files-in-another-folder": lists(
        "img/a.JPG\n", SubsetListError, "train.txt:1", "has a path", "only the id, here 'a'"
    ),
    "colours-of-16-bits-with-values-of-8": item(
        png(painted("012").astype(np.uint16)), PngError, "values below 256", "with 8 bits",
    ),
    "list-with-columns": lists(
        "a 1\n", SubsetListError, "train.txt:1", "'a 1' has columns", "only the id, here 'a'"
    ),
    "list-of-paths": lists(
        "/data/JPEGImages/a.jpg\n", SubsetListError, "train.txt:1", "a path", "here 'a'"
    ),
    "only-masks-of-other-types": Bad(
        archive({}, lists={}) | {"SegmentationClass/a.bmp": b"x"},
        ArchiveError,
        ("neither subset lists nor masks", "files such as SegmentationClass/a.bmp", "as PNG"),
    ),
    "all-masks-in-a-misnamed-folder": Bad(
        moved(archive(A, A), "Segmentation", "segmentation_"),
        ArchiveError,
        ("segmentation_Class: ", "the only masks are in a folder 'segmentation_Class'", "rename"),
    ),
    "all-masks-in-a-misnamed-folder-without-lists": Bad(
        moved(archive(A, lists={}), "SegmentationClass/", "Segmentationclass/")
        | {"SegmentationObject/readme.md": b"x"},
        ArchiveError,
        ("Segmentationclass: ", "the only masks", "rename it to exactly SegmentationClass"),
    ),
    "list-that-is-no-utf-8": lists(
        b"a\n\xe4\n", SubsetListError, "train.txt:2", "0xe4", "UTF-8", "save the file as"
    ),
    "list-with-a-huge-line": lists(
        "a\n" + "b" * 10_000, SubsetListError, "train.txt:2", "10,000", "one item id", "check"
    ),
    "list-that-is-a-picture": lists(
        rgb("0"), SubsetListError, "train.txt:1", "0x89", "UTF-8", "save the file"
    ),
    "subset-without-a-name": Bad(
        archive({"a": rgb("1")}, lists={"": "a\n"}),
        UnsafePathError,
        ("ImageSets/Segmentation/.txt", "the name is empty"),
    ),
    "subset-that-leads-out": Bad(
        archive({"a": rgb("1")}, lists={"..": "a\n"}),
        UnsafePathError,
        ("ImageSets/Segmentation/...txt", "'..'"),
    ),
    "neither-lists-nor-masks": Bad(
        archive({}, lists={}) | {"SegmentationClass/readme.md": b"x"},
        ArchiveError,
        ("ImageSets/Segmentation", "neither subset lists nor masks", "default.txt", "export"),
    ),
    # section 2
    "colour-of-two-numbers": label_map(
        "a:1,1,1::\ncar:1,2::\n", "labelmap.txt:2", "'1,2' is not a colour", "three whole numbers"
    ),
    "colour-in-words": label_map("car:red::\n", "labelmap.txt:1", "'red'", "car:128,0,0::"),
    "colour-past-255": label_map("car:256,0,0::\n", "labelmap.txt:1", "'256,0,0'", "0 to 255"),
    "colour-below-0": label_map("car:-1,0,0::\n", "labelmap.txt:1", "'-1,0,0'", "0 to 255"),
    "name-twice": label_map(
        "car:1,1,1::\n\ncar:2,2,2::\n", "labelmap.txt:3", "'car'", "line 1", "rename"
    ),
    "empty-label-map": label_map("", "labelmap.txt", "no label", "remove the file"),
    "label-map-of-comments": label_map("# label:color_rgb\n", "labelmap.txt", "no label"),
    "label-map-that-is-no-utf-8": label_map(
        "a:1,1,1\nStraße:2,2,2\n".encode("latin-1"), "labelmap.txt:2", "0xdf", "UTF-8", "save"
    ),
    "undeclared-colour": item(
        png(np.array([[(1, 2, 3), (1, 2, 3), (0, 0, 0)]], np.uint8)),
        UndeclaredColorError,
        "1 colour", "1,2,3 (2 pixels; nearest: background 0,0,0, ", "labelmap.txt",
        "add the line 'name:1,2,3::'",
    ),
    "undeclared-colour-of-the-voc-labels": item(
        png(np.array([[(1, 2, 3)]], np.uint8)),
        UndeclaredColorError,
        "1,2,3 (1 pixel; ", "VOC label map (there is no labelmap.txt)",
        labels=None,
    ),
    "undeclared-colour-below-a-label-map": Bad(
        archive(
            {"a": rgb("1"), "b": png(np.array([[(7, 7, 7)]], np.uint8)), "c": rgb("1")},
            labels=None,
            root="x/y/",
        )
        | {"x/labelmap.txt": b"car:7,7,7::"},
        UndeclaredColorError,
        ("SegmentationClass/b.png", "put the label map ", "one folder above", "beside the folder"),
        ("b", "default"),
    ),
    "undeclared-colour-under-a-palette": item(
        palette_png(plane("033"), [[9, 9, 9]] * 4),
        UndeclaredColorError,
        "9,9,9 (3 pixels; ",
    ),
    "undeclared-value": item(
        gray("0133"), UndeclaredColorError, "3 (2 pixels)", "from 0 to 2", "add the missing lines"
    ),
    "undeclared-value-of-16-bits": item(
        png(np.array([[257]], np.uint16)), UndeclaredColorError, "257 (1 pixel)"
    ),
    "colour-of-a-label-that-is-a-comment": item(
        rgb("123"), UndeclaredColorError, "128,128,0 (1 pixel", "rename the label '#3' in line 4",
        labels=LABELS + "#3:128,128,0::\n",
    ),
    "three-channels-of-an-index": item(
        png(np.array([[(1, 1, 1), (2, 2, 2)]], np.uint8)),
        UndeclaredColorError, "2,2,2 (1 pixel", "with one channel, not three",
    ),
    "index-in-the-first-of-three-channels": item(
        png(np.array([[(1, 0, 0), (2, 0, 0)]], np.uint8)),
        UndeclaredColorError, "2,0,0 (1 pixel", "with one channel, not three",
    ),
    "red-and-blue-swapped": item(
        png(np.array([[(0, 0, 128), (0, 128, 0)]], np.uint8)),
        UndeclaredColorError, "0,0,128 (1 pixel", "swap red and blue",
    ),
    "made-gray": item(
        png(np.array([[0, 38, 75]], np.uint8)), UndeclaredColorError, "38 (1 pixel)", "made gray",
        "save the mask in colour",
    ),
    "made-gray-and-smoothed": item(
        png(np.arange(3, 60, dtype=np.uint8).reshape(3, 19)), UndeclaredColorError, "57 values",
        "stored as JPEG",
    ),
    "gray-past-8-bits-is-no-colour": item(
        png(np.array([[511]], np.uint16)), UndeclaredColorError, "511 (1 pixel)",
        labels=LABELS + "white:255,255,255::\n",
    ),
    "binary-mask-of-0-and-255": item(
        png(np.array([[0, 255]], np.uint8)), UndeclaredColorError, "255 (1 pixel)",
        "import with ignore_index=255",
    ),
    # section 3
    "mask-that-is-empty": item(b"", PngError, "the file is empty", "export or draw"),
    "mask-that-is-a-jpeg": item(
        jpeg(3, 4), PngError, "a JPEG image, not a PNG", "draw it again and save it as PNG"
    ),
    "mask-cut-short": item(SOUND[:-20], PngError, "cut short", "copy or export"),
    "mask-damaged": item(
        SOUND[:45] + b"\xff" + SOUND[46:], PngError, "checksum", "'IDAT'", "copy or export"
    ),
    "index-past-the-palette": item(
        raw_png(plane("013")[..., None], 8, PALETTE, palette=bytes(9)),
        PngError, "index 3", "below 3",
    ),
    "too-many-pixels": Bad(
        archive({"a": rgb("1"), "b": rgb("1111"), "c": rgb("1")}),
        PngError,
        ("SegmentationClass/b.png", "4 x 1 pixels", "at most 3", "option max_pixels"),
        ("b", "default"),
        {"max_pixels": 3},
    ),
    "instance-mask-damaged": Bad(
        archive({"a": rgb("1"), "b": SOUND, "c": rgb("1")}, {"b": SOUND[:-20]}),
        PngError,
        ("SegmentationObject/b.png", "cut short"),
        ("b", "default"),
    ),
    # section 4
    "masks-of-two-sizes": Bad(
        archive({"a": rgb("1"), "b": rgb("11"), "c": rgb("1")}, {"b": rgb("1 1")}),
        MaskSizeError,
        ("SegmentationClass/b.png", "2 x 1", "SegmentationObject/b.png", "1 x 2", "nearest"),
        ("b", "default"),
    ),
    "image-of-another-size": Bad(
        archive({i: rgb("1") for i in "abc"}, images={"b.jpg": jpeg(5, 7)}),
        MaskSizeError,
        ("SegmentationClass/b.png", "1 x 1", "JPEGImages/b.jpg", "7 x 5", "nearest"),
        ("b", "default"),
    ),
    "image-of-another-size-than-the-instance-mask": Bad(
        archive({"a": rgb("1"), "c": rgb("1")}, {"b": rgb("1")}, images={"b.png": jpeg(5, 7)}),
        MaskSizeError,
        ("SegmentationObject/b.png", "1 x 1", "JPEGImages/b.png", "7 x 5"),
        ("b", "default"),
    ),
}  # fmt: skip
