"""Bytes and names made to harm: each is refused with a message that helps, or does no harm.

The rules of every part are tested beside it (`test_10_layout` to `test_31_archive`). Here whole
archives go through Datumaro, so that nothing on the way lets them pass.
"""

from __future__ import annotations

import itertools
import os
import random
import struct
import sys
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from datumaro.components.annotation import Mask
from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.errors import DatumaroError
from datumaro.components.media import Image

import datumaro_segmask
from datumaro_segmask.archive import lists as archive_module
from datumaro_segmask.archive import subset_lists
from datumaro_segmask.archive.subset_lists import MAX_LINES
from datumaro_segmask.arrays import keep_freed_memory
from datumaro_segmask.errors import (
    ArchiveError,
    LabelMapError,
    MaskLimitError,
    MissingFileError,
    PngError,
    SegmaskError,
    SegmaskExportError,
    SegmaskImportError,
    SubsetListError,
    UnsafePathError,
)
from datumaro_segmask.plugin.base import SegmaskBase
from datumaro_segmask.png.container import MAX_PIXELS
from datumaro_segmask.storage import read as storage
from datumaro_segmask.storage.zip import directory as zip_directory

from ..archives import (
    GRAY,
    LABELS,
    PALETTE,
    RGBA,
    archive,
    as_folder,
    as_zip,
    chunk,
    gray,
    header,
    plane,
    png,
    png_of,
    raw_png,
    rgb,
)

datumaro_segmask.register()
keep_freed_memory()  # else the block that it frees would count for the first archive

GOOD = {"a": rgb("012 012")}
FILES = archive(GOOD)
CLASS_MASK = "SegmentationClass/a.png"
LIST = "ImageSets/Segmentation/default.txt"

Build: TypeAlias = Callable[[Path], Path]
"""Makes an archive in an empty folder and returns its path."""

needs_links = pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")


def load(path: Path, **options: Any) -> Dataset:
    dataset = Dataset.import_from(str(path), "segmask", **options)
    dataset.init_cache()
    return dataset


def import_error(path: Path, **options: Any) -> SegmaskImportError:
    """Import what cannot be imported; return our error, which Datumaro may have wrapped."""
    with pytest.raises(DatumaroError) as caught:
        load(path, **options)
    error: BaseException | None = caught.value
    while error is not None and not isinstance(error, SegmaskImportError):
        error = error.__cause__
    assert error is not None, f"not one of ours: {caught.value!r}"
    return error


def check_message(error: SegmaskError, *says: str) -> None:
    """Every error says what was met, where, what was expected and what to do."""
    assert all((error.what, error.where, error.expected, error.remedy))
    for part in says:
        assert part in str(error)


# Names that lead out of the dataset

LEADING_OUT = {
    "up": "../evil",
    "up-in-the-middle": "b/../../evil",
    "up-at-the-end": "b/..",
    "up-with-spaces-that-windows-drops": "b/.. /evil",
    "many-dots-that-windows-drops": ".../evil",
    "absolute": "/etc/passwd",
    "drive": "C:/evil",
    "drive-without-a-slash": "c:evil",
    "network-share": "//server/share/evil",
    "backslash-up": "..\\evil",
    "backslash-absolute": "\\evil",
    "backslash-drive": "C:\\evil",
    "backslash-share": "\\\\server\\share\\evil",
    "nul": "a\0.png",
    "escape": "a\x1b[2Jb",
    "empty-part": "b//c",
}


@pytest.mark.parametrize("make", [as_folder, as_zip], ids=["folder", "zip"])
@pytest.mark.parametrize("name", LEADING_OUT.values(), ids=LEADING_OUT)
def test_id_in_a_list_that_leads_out(name: str, make: Any, tmp_path: Path) -> None:
    path = make(archive(GOOD, lists={"default": f"a\n{name}\n"}), tmp_path / "x")
    error = import_error(path)
    assert isinstance(error, UnsafePathError)
    check_message(error, str(path), "default.txt:2: the name", "rename the item")


@pytest.mark.parametrize("name", LEADING_OUT.values(), ids=LEADING_OUT)
def test_zip_member_that_leads_out(name: str, tmp_path: Path) -> None:
    if "\0" in name:
        pytest.skip("zipfile ends names at NUL, when it writes them and when it reads them")
    path = as_zip({**FILES, name: b"x"}, tmp_path / "x")
    error = import_error(path)
    assert isinstance(error, UnsafePathError)
    check_message(error, "x.zip: the name")


def test_zip_member_with_nul_ends_there(tmp_path: Path) -> None:
    """A name that looks harmless up to NUL is just that name, whatever stands behind it."""
    path = as_zip({**FILES, "SegmentationClass/b.pngXXX.exe": gray("1")}, tmp_path / "x")
    data = path.read_bytes().replace(b"b.pngXXX.exe", b"b.png\0..\\exe")
    path.write_bytes(data)
    assert [item.id for item in load(path)] == ["a"]


def test_files_outside_are_not_read(tmp_path: Path) -> None:
    """The list names a mask that is there, beside the dataset."""
    path = as_folder(archive(GOOD, lists={"default": "../../secret\n"}), tmp_path / "x")
    (tmp_path / "secret.png").write_bytes(rgb("1"))
    assert isinstance(import_error(path), UnsafePathError)


@needs_links
@pytest.mark.parametrize("link", ["SegmentationClass", CLASS_MASK, "labelmap.txt", LIST])
def test_link_that_leads_out(link: str, tmp_path: Path) -> None:
    path = as_folder(FILES, tmp_path / "x")
    (path / link).rename(tmp_path / "outside")
    (path / link).symlink_to(tmp_path / "outside")
    error = import_error(path)
    assert isinstance(error, UnsafePathError)
    check_message(error, link, "leads out of the dataset", str(tmp_path / "outside"), "a copy")


@needs_links
def test_image_link_that_leads_out(tmp_path: Path) -> None:
    path = as_folder(archive(GOOD, images={"a.png": gray("111 111")}), tmp_path / "x")
    (path / "JPEGImages/a.png").rename(tmp_path / "outside.png")
    (path / "JPEGImages/a.png").symlink_to(tmp_path / "outside.png")
    check_message(import_error(path), "JPEGImages", "leads out of the dataset")


@needs_links
def test_link_that_stays_inside(tmp_path: Path) -> None:
    path = as_folder(FILES, tmp_path / "x")
    (path / "SegmentationClass/b.png").symlink_to("a.png")
    (path / LIST).write_text("a\nb\n")
    assert [len(item.annotations) for item in load(path)] == [2, 2]


@needs_links
def test_link_in_circles(tmp_path: Path) -> None:
    path = as_folder(FILES, tmp_path / "x")
    (path / "SegmentationClass/loop").symlink_to(".", target_is_directory=True)
    (path / "SegmentationClass/self.png").symlink_to("self.png")
    assert [item.id for item in load(path)] == ["a"]


@needs_links
def test_link_in_a_zip_is_a_text(tmp_path: Path) -> None:
    """What Unix packs as a link is a file that holds a path, and nothing follows it."""
    link = zipfile.ZipInfo(CLASS_MASK)
    link.create_system, link.external_attr = 3, 0o120777 << 16
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr(LIST, "a\n")
        target.writestr("labelmap.txt", LABELS)
        target.writestr(link, "/etc/passwd")
    check_message(import_error(path), CLASS_MASK, "the file is not a PNG")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes there")
@pytest.mark.parametrize("name", [LIST, CLASS_MASK, "labelmap.txt"])
def test_pipe_is_not_waited_for(name: str, tmp_path: Path) -> None:
    path = as_folder({k: v for k, v in FILES.items() if k != name}, tmp_path / "x")
    (path / name).parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path / name)
    error = import_error(path)
    assert isinstance(error, MissingFileError)
    check_message(error, name, "it is not a file")


# Export


def item(item_id: str, subset: str = "default", **media: Any) -> DatasetItem:
    image = media.pop("media", None) or Image.from_numpy(np.zeros((2, 3, 3), np.uint8), **media)
    mask = Mask(plane("011 011").astype(bool), label=1, group=1)
    made = DatasetItem("a", annotations=[mask], media=image)
    # Datumaro 1.13 refuses some of these names itself; 1.11 none.
    object.__setattr__(made, "id", item_id)
    object.__setattr__(made, "subset", subset)
    return made


def export(
    path: Path,
    *items: DatasetItem,
    labels: tuple[str, ...] = ("background", "car"),
    **options: Any,
) -> None:
    Dataset.from_iterable(list(items), categories=list(labels)).export(
        str(path), "segmask", **options
    )


def export_error(path: Path, *items: DatasetItem, **options: Any) -> SegmaskExportError:
    with pytest.raises(DatumaroError) as caught:
        export(path, *items, **options)
    error: BaseException | None = caught.value
    while error is not None and not isinstance(error, SegmaskExportError):
        error = error.__cause__
    assert error is not None, f"not one of ours: {caught.value!r}"
    return error


def files_in(path: Path) -> list[str]:
    return sorted(str(p.relative_to(path)) for p in path.rglob("*") if not p.is_dir())


@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("name", LEADING_OUT.values(), ids=LEADING_OUT)
def test_export_of_an_id_that_leads_out(name: str, zipped: bool, tmp_path: Path) -> None:
    error = export_error(tmp_path / "in" / "x", item(name), save_media=True, zip=zipped)
    check_message(error, repr(name), "its id cannot be written", "rename the id")
    assert files_in(tmp_path) == []


NO_SUBSETS = {"folder": "a/b", **LEADING_OUT}
del NO_SUBSETS["drive-without-a-slash"]  # CVAT exports subsets of such names


@pytest.mark.parametrize("name", NO_SUBSETS.values(), ids=NO_SUBSETS)
def test_export_of_a_subset_that_leads_out(name: str, tmp_path: Path) -> None:
    error = export_error(tmp_path / "in" / "x", item("a", name))
    check_message(error, "its subset cannot be written", "rename the subset")
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("extension", ["./../../../evil", ".jpg/../../evil", ".png\0", ".\\evil"])
def test_export_of_an_image_extension_that_leads_out(extension: str, tmp_path: Path) -> None:
    image = Image.from_bytes(gray("111 111"), ext=extension)
    error = export_error(tmp_path / "in" / "x", item("a", media=image), save_media=True)
    check_message(error, "item 'a'", repr(extension), "cannot stand in a file name")
    assert files_in(tmp_path) == []


def test_export_of_an_image_that_is_none(tmp_path: Path) -> None:
    """Its size is asked for, and Datumaro would have to decode it."""
    broken = DatasetItem("a", media=Image.from_bytes(b"\x89PNG\r\n\x1a\n" + noise(50)))
    error = export_error(tmp_path / "x", broken, empty_masks=True)
    check_message(error, "item 'a'", "the size of its image is not known")


def test_export_of_an_image_of_no_kind(tmp_path: Path) -> None:
    image = Image.from_numpy(np.zeros((2, 3, 3), np.uint8), ext=".exe")
    error = export_error(tmp_path / "x", item("a", media=image), save_media=True)
    check_message(error, "item 'a'", "written as .exe")


@needs_links
@pytest.mark.parametrize("folder", ["SegmentationClass", "SegmentationObject", "JPEGImages"])
def test_export_through_a_link_that_leads_out(folder: str, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "x" / folder).symlink_to(tmp_path / "outside", target_is_directory=True)
    error = export_error(tmp_path / "x", item("a"), save_media=True)
    check_message(error, folder, "leads out of the dataset", "remove the link")
    assert files_in(tmp_path / "outside") == []


@needs_links
def test_export_does_not_write_through_links_of_files(tmp_path: Path) -> None:
    """A link where a mask goes is replaced, and what it showed stays as it was."""
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / "x/SegmentationClass").mkdir(parents=True)
    (tmp_path / "x" / CLASS_MASK).symlink_to(tmp_path / "victim")
    export(tmp_path / "x", item("a"))
    assert (tmp_path / "victim").read_bytes() == b"precious"
    assert len(load(tmp_path / "x").get("a").annotations) == 1


@pytest.mark.parametrize("name", ["two\nlines", "car:1,2,3", " car", "car #1 # x", "x" * 99_999])
def test_export_of_labels_that_are_hardly_a_line(name: str, tmp_path: Path) -> None:
    """Each is refused, or comes back as the very same name."""
    try:
        export(tmp_path / "x", item("a"), labels=("background", name))
    except DatumaroError as error:
        assert "label" in str(error)
        assert not (tmp_path / "x/labelmap.txt").exists()
    else:
        labels = load(tmp_path / "x").categories().values()
        assert name in [label.name for label in next(iter(labels))]


# Zips


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def patched(path: Path, mark: bytes, offset: int, value: bytes, *, last: bool = True) -> Path:
    """Overwrite bytes at ``offset`` from the last (or first) place of ``mark`` in a file."""
    data = path.read_bytes()
    at = (data.rindex if last else data.index)(mark) + offset
    path.write_bytes(data[:at] + value + data[at + len(value) :])
    return path


def zip_with_declared_size(folder: Path, size: int) -> Path:
    path = as_zip(FILES | {CLASS_MASK: bytes(5000)}, folder / "x")
    return patched(path, CLASS_MASK.encode(), -46 + 24, struct.pack("<I", size))


def zip_of_overlapping_files(folder: Path) -> Path:
    """Two entries of the directory share the bytes of one file, as a zip bomb does."""
    files = archive({"a": rgb("012 012"), "b": rgb("0")})
    path = as_zip(files, folder / "x")
    data = path.read_bytes()
    entry = data.rindex(CLASS_MASK.encode()) - 46
    return patched(path, b"SegmentationClass/b.png", -46 + 42, data[entry + 42 : entry + 46])


def zip64(folder: Path) -> Path:
    path = folder / "x.zip"
    with zipfile.ZipFile(path, "w") as target:
        for name, data in FILES.items():
            with target.open(name, "w", force_zip64=True) as file:
                file.write(data)
    return path


@dataclass(frozen=True)
class Bad:
    build: Build
    error: type[SegmaskImportError]
    says: tuple[str, ...]


def zipped(files: Any) -> Build:
    return lambda folder: as_zip(files, folder / "x")


BAD_ZIPS = {
    "empty-file": Bad(lambda f: _written(f / "x.zip", b""), ArchiveError, ("the file is empty",)),
    "no-zip": Bad(lambda f: _written(f / "x.zip", noise(999)), ArchiveError, ("is not a zip",)),
    "no-archive-inside": Bad(zipped({"a.txt": b"x"}), ArchiveError, ("no archive of segm",)),
    "truncated": Bad(
        lambda f: _cut(as_zip(FILES, f / "x"), 40), ArchiveError, ("the zip has no end", "copy or")
    ),
    "name-twice": Bad(
        zipped([*FILES.items(), (CLASS_MASK, b"other")]), ArchiveError, (CLASS_MASK, "twice")
    ),
    "name-twice-with-backslashes": Bad(
        zipped({**FILES, CLASS_MASK.replace("/", "\\"): b"other"}), ArchiveError, ("twice",)
    ),
    "encrypted": Bad(
        lambda f: patched(as_zip(FILES, f / "x"), b"PK\1\2", 8, b"\1", last=False),
        ArchiveError,
        ("is encrypted", "unpack it with the password"),
    ),
    "unknown-compression": Bad(
        lambda f: patched(as_zip(FILES, f / "x"), b"SegmentationClass/a.png", -46 + 10, b"\x63\0"),
        ArchiveError,
        (CLASS_MASK, "the method number 99"),
    ),
    "larger-than-declared": Bad(
        lambda f: zip_with_declared_size(f, 100), ArchiveError, (CLASS_MASK, "damaged inside")
    ),
    "smaller-than-declared": Bad(
        lambda f: zip_with_declared_size(f, 6000), SegmaskImportError, (CLASS_MASK,)
    ),
    "declares-4-gigabytes": Bad(
        lambda f: zip_with_declared_size(f, 0xFFFFFFF0),
        ArchiveError,
        (CLASS_MASK, "more than 268,435,456 bytes"),
    ),
    "overlapping-files": Bad(
        zip_of_overlapping_files, ArchiveError, ("SegmentationClass/b.png", "damaged inside")
    ),
    "thousandfold-compression": Bad(
        zipped(FILES | {CLASS_MASK: bytes(storage.MAX_FILE_BYTES + 1)}),
        ArchiveError,
        (CLASS_MASK, "more than 268,435,456 bytes"),
    ),
    "thousandfold-list": Bad(
        lambda f: patched(
            as_zip(FILES, f / "x"), LIST.encode(), -46 + 24,
            struct.pack("<I", archive_module.MAX_LIST_BYTES + 1),
        ),
        ArchiveError,
        (LIST, "more than 2,147,483,648 bytes"),
    ),
    "thousandfold-label-map": Bad(
        zipped(FILES | {"labelmap.txt": bytes(archive_module.MAX_LABEL_MAP_BYTES + 1)}),
        ArchiveError,
        ("labelmap.txt", "more than 16,777,216 bytes"),
    ),
    "directory-past-the-end": Bad(
        lambda f: patched(as_zip(FILES, f / "x"), b"PK\5\6", 16, b"\xff\xff\xff\x7f"),
        ArchiveError,
        ("a sound zip",),
    ),
    "damaged-file": Bad(
        lambda f: patched(
            as_zip(FILES | {CLASS_MASK: noise(900)}, f / "x", zipfile.ZIP_STORED),
            CLASS_MASK.encode(), 300, b"\0\1\2\3", last=False,
        ),
        ArchiveError,
        (CLASS_MASK, "Bad CRC-32", "copy or export"),
    ),
}  # fmt: skip


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _cut(path: Path, size: int) -> Path:
    return _written(path, path.read_bytes()[:-size])


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@pytest.mark.parametrize("case", BAD_ZIPS.values(), ids=BAD_ZIPS)
def test_bad_zip(case: Bad, tmp_path: Path) -> None:
    path = case.build(tmp_path)
    tracemalloc.start()
    error = import_error(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(error, case.error)
    check_message(error, str(path), *case.says)
    assert most < 32 << 20


def test_too_many_zip_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_directory, "MAX_ZIP_ENTRIES", 2)
    error = import_error(as_zip(FILES, tmp_path / "x"))
    check_message(error, "the zip has 3 entries", "at most 2", "import the folder")


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(zip64, id="zip64"),
        pytest.param(
            lambda f: _written(f / "x.zip", as_zip(FILES, f / "y").read_bytes() + noise(300)),
            id="data-behind",
        ),
        pytest.param(
            lambda f: _written(f / "x.zip", noise(300) + as_zip(FILES, f / "y").read_bytes()),
            id="data-before",
        ),
        pytest.param(zipped(FILES | {"empty/": b""}), id="folder-entries"),
        pytest.param(lambda f: as_zip(FILES, f / "x", zipfile.ZIP_LZMA), id="lzma"),
        pytest.param(lambda f: as_zip(FILES, f / "x", zipfile.ZIP_BZIP2), id="bzip2"),
    ],
)
def test_odd_zip_that_is_sound(build: Build, tmp_path: Path) -> None:
    assert [len(item.annotations) for item in load(build(tmp_path))] == [2]


# PNGs

STREAM = zlib.compress(bytes(4 * 3))
DATA, END = chunk(b"IDAT", STREAM), chunk(b"IEND")


def without_checksum(data: bytes) -> bytes:
    return data[:-4] + bytes([data[-4] ^ 1]) + data[-3:]


BAD_PNGS = {
    "no-png": (b"GIF89a" + bytes(50), ("a GIF image, not a PNG", "save it as PNG")),
    "larger-than-max-pixels": (
        png_of(header(32769, 32768), DATA, END),
        ("32,769 x 32,768 pixels", f"at most {MAX_PIXELS:,}", "raise the option max_pixels"),
    ),
    "as-large-as-can-be-said": (
        png_of(header((1 << 31) - 1, (1 << 31) - 1), DATA, END),
        ("2,147,483,647 x 2,147,483,647 pixels",),
    ),
    "one-long-row": (
        png_of(header(1_000_001, 1), DATA, END), ("at most 1,000,000 columns", "tiles")
    ),
    "one-long-column": (
        png_of(header(1, 1_000_001), DATA, END), ("at most 1,000,000 columns", "tiles")
    ),
    "fewer-pixels-than-the-header-says": (
        png_of(header(32768, 32768), DATA, END), ("compressed pixels end too early", "copy or")
    ),
    "fewer-interlaced-pixels": (
        png_of(header(8192, 8192, 8, GRAY, 0, 0, 1), DATA, END), ("end too early",)
    ),
    "wide-pixels": (png_of(header(32768, 32768, 16, RGBA), DATA, END), ("end too early",)),
    "broken-stream": (
        png_of(header(3, 3), chunk(b"IDAT", noise(60)), END), ("compressed pixels are broken",)
    ),
    "checksum-of-the-header": (
        png_of(without_checksum(header(3, 3)), DATA, END), ("checksum of its header",)
    ),
    "checksum-of-the-pixels": (
        png_of(header(3, 3), without_checksum(DATA), END), ("checksum of its 'IDAT' chunk",)
    ),
    "checksum-of-the-stream": (
        png_of(header(3, 3), chunk(b"IDAT", STREAM[:-1] + b"\xff"), END), ("pixels are broken",)
    ),
    "no-end": (png_of(header(3, 3), DATA), ("in the middle of the image", "was cut short")),
    "length-past-the-end": (
        png_of(header(3, 3), b"\x7f\xff\xff\xff" + DATA[4:], END), ("in the middle of the image",)
    ),
    "pixels-before-the-palette": (
        png_of(header(3, 3, 8, PALETTE), DATA, chunk(b"PLTE", bytes(9)), END),
        ("'PLTE'", "wrong place"),
    ),
    "pixels-before-the-header": (png_of(DATA, header(3, 3), END), ("not begin with a PNG header",)),
    "pixels-in-two-places": (
        png_of(header(3, 3), DATA, chunk(b"tEXt"), DATA, END), ("'IDAT'", "wrong place")
    ),
    "index-past-the-palette": (
        png_of(header(2, 1, 8, PALETTE), chunk(b"PLTE", bytes(6)),
               chunk(b"IDAT", zlib.compress(b"\0\0\2")), END),
        ("palette index 2", "below 2, as the palette has 2 colours"),
    ),
    "unknown-filter": (
        png_of(header(2, 1), chunk(b"IDAT", zlib.compress(b"\5\0\0")), END), ("the filter 5",)
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["class mask", "instance mask"])
@pytest.mark.parametrize(("data", "says"), BAD_PNGS.values(), ids=BAD_PNGS)
def test_bad_png(data: bytes, says: tuple[str, ...], kind: str, tmp_path: Path) -> None:
    """Nothing is allocated for what a header merely claims, and the file is named."""
    is_class = kind == "class mask"
    files = archive({"a": data}) if is_class else archive(None, {"a": data})
    path = as_folder(files, tmp_path / "x")
    tracemalloc.start()
    error = import_error(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(error, PngError)
    check_message(error, f"Segmentation{'Class' if is_class else 'Object'}", "a.png", *says)
    assert most < 32 << 20


def test_stream_that_goes_on_behind_the_pixels(tmp_path: Path) -> None:
    """Of a stream that would fill the memory no more is inflated than the header asks for."""
    bomb = chunk(b"IDAT", zlib.compress(bytes(64 << 20)))
    path = as_folder(archive({"a": png_of(header(3, 3), bomb, END)}), tmp_path / "x")
    tracemalloc.start()
    assert load(path).get("a").annotations == []
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 8 << 20


def test_max_pixels_is_an_option(tmp_path: Path) -> None:
    path = as_folder(FILES, tmp_path / "x")
    check_message(import_error(path, max_pixels=5), CLASS_MASK, "at most 5 pixels", "max_pixels")
    assert len(load(path, max_pixels=6)) == 1


def checkers(side: int) -> bytes:
    """Each pixel differs from those beside it, and all compress to nearly nothing."""
    return raw_png((np.indices((side, side)).sum(axis=0) % 2)[..., None], 1, GRAY)


def test_more_runs_than_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of 100 kB can hold a billion runs; the true limit is tried by hand."""
    path = as_folder(archive({"a": checkers(100)}), tmp_path / "x")
    assert len(load(path).get("a").annotations) == 1
    monkeypatch.setattr("datumaro_segmask.regions.scan.MAX_RUNS", 9_999)
    error = import_error(path)
    assert isinstance(error, MaskLimitError)
    check_message(error, CLASS_MASK, "10,000 runs", "at most 9,999", "not a photograph")


def test_more_instances_than_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So can it hold a billion instances."""
    numbers = raw_png(np.arange(100 * 100).reshape(100, 100, 1), 16, GRAY, filters=(1,))
    path = as_folder(archive(None, {"a": numbers}), tmp_path / "x")
    assert len(load(path).get("a").annotations) == 9_999
    monkeypatch.setattr("datumaro_segmask.regions.scan.MAX_INSTANCES", 9_998)
    error = import_error(path)
    assert isinstance(error, MaskLimitError)
    check_message(error, "SegmentationObject", "9,999 instances", "at most 9,998")


def test_more_colors_than_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A photograph in place of a mask: to list its colours helps nobody."""
    rows, columns = np.indices((20, 20))
    photograph = png((np.dstack([rows, columns, rows // 2]) * 7 + 1).astype(np.uint8))
    path = as_folder(archive({"a": photograph}), tmp_path / "x")
    check_message(import_error(path), CLASS_MASK, "400 colours of the mask are not in", "395 more")
    monkeypatch.setattr("datumaro_segmask.archive.undeclared.MAX_VALUES", 399)
    error = import_error(path)
    assert isinstance(error, MaskLimitError)
    check_message(error, CLASS_MASK, "the mask has 400 colours", "not a photograph")


# Text


def lines_of(count: int) -> str:
    return "".join(f"{number}\n" for number in range(count))


BAD_TEXTS = {
    "list-not-utf-8": (LIST, b"a\nstra\xdfe\n", SubsetListError, ("txt:2: byte 6 (0xdf)", "UTF-8")),
    "list-in-utf-16": (LIST, "a\nb\n".encode("utf-16"), SubsetListError, ("txt:1", "not UTF-8")),
    "list-is-an-image": (LIST, rgb("1"), SubsetListError, ("default.txt:1", "not UTF-8")),
    "list-with-a-huge-line": (
        LIST, b"a\n" + b"b" * 4097, SubsetListError, ("txt:2: the line has 4,097", "a list of")
    ),
    "list-of-one-huge-line": (
        LIST, b"b" * 10_000_000, SubsetListError, ("txt:1: the line has 1,048,576 bytes or more",)
    ),
    "label-map-not-utf-8": (
        "labelmap.txt", b"stra\xdfe:1,2,3::\n", LabelMapError, ("txt:1: byte 4 (0xdf)", "UTF-8")
    ),
    "label-map-is-an-image": ("labelmap.txt", rgb("1"), LabelMapError, ("labelmap.txt:1", "UTF-8")),
    "label-map-with-a-huge-line": (
        "labelmap.txt", b"a:" + b" " * 100_000, LabelMapError, ("txt:1: the line has 100,002",)
    ),
    "label-map-with-too-many-labels": (
        "labelmap.txt", lines_of(65_537).encode(), LabelMapError, ("65,537 labels", "65,536")
    ),
    "label-map-with-a-name-twice": (
        "labelmap.txt", b"a:1,2,3\na:4,5,6\n", LabelMapError, ("txt:2: the label 'a'", "line 1")
    ),
    "label-map-with-a-color-past-255": (
        "labelmap.txt", b"a:1,2,256\n", LabelMapError, ("txt:1: the colour", "past 255", "write")
    ),
    "label-map-with-an-endless-number": (
        "labelmap.txt", b"a:1,2," + b"9" * 5000, LabelMapError, ("txt:1", "is not a colour")
    ),
    "label-map-without-a-name": ("labelmap.txt", b":1,2,3\n", LabelMapError, ("no label name",)),
    "label-map-empty": ("labelmap.txt", b"", LabelMapError, ("declares no label", "remove")),
}  # fmt: skip


@pytest.mark.parametrize(("name", "data", "error", "says"), BAD_TEXTS.values(), ids=BAD_TEXTS)
def test_bad_text(
    name: str, data: bytes, error: type[SegmaskImportError], says: tuple[str, ...], tmp_path: Path
) -> None:
    path = as_folder(FILES | {name: data}, tmp_path / "x")
    found = import_error(path)
    assert isinstance(found, error)
    check_message(found, str(path / name), *says)
    assert len(str(found)) < 1000


def test_list_with_too_many_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_LINES > 10_000_000
    monkeypatch.setattr(subset_lists, "MAX_LINES", 1000)
    path = as_folder(FILES | {LIST: b"\n" * 1001}, tmp_path / "x")
    check_message(import_error(path), "default.txt:1001: ", "more than 1,000 lines", "split it")


def test_one_line_that_inflates_to_megabytes(tmp_path: Path) -> None:
    """No more of it is read than the longest line may have."""
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as target:
        with target.open(LIST, "w") as file:
            for _ in range(1 << 5):
                file.write(bytes(1 << 20))
        target.writestr(CLASS_MASK, GOOD["a"])
    tracemalloc.start()
    error = import_error(tmp_path / "x.zip")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    check_message(error, "default.txt:1: the line has 1,048,576 bytes or more")
    assert most < 16 << 20


def test_list_of_a_hundred_thousand_lines(tmp_path: Path) -> None:
    """Of a million by hand, see docs/reliability.md."""
    path = as_folder(archive(GOOD, lists={"default": lines_of(100_000) + "a\n"}), tmp_path / "x")
    source = SegmaskBase(str(path))
    assert len(source) == 100_001
    assert [found.id for found in itertools.islice(source, 2)] == ["0", "1"]
