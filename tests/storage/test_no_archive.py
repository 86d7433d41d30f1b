"""What is no archive: each message says what is there, and what to type."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from datumaro_segmask.errors import ArchiveError
from datumaro_segmask.storage.open import holds_archive, open_storage

from ..archives import Files, archive, as_folder, as_zip, gray, jpeg, png

TASK = archive({"a": gray("01")})
TAR_HEAD = bytes(257) + b"ustar\0"


def plain(text: str) -> str:
    """Without quotes, which paths of Windows get, and with its separators as elsewhere."""
    return text.replace("\\", "/").replace("'", "")


def error_of(path: Path) -> ArchiveError:
    with pytest.raises(ArchiveError) as caught:
        open_storage(str(path))
    assert str(caught.value).startswith(str(path))
    assert caught.value.expected
    assert not holds_archive(str(path))
    return caught.value


def tar_of(files: Files) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return target.getvalue()


FILES = {
    # the name: its bytes, what the message says it is, what to do
    "task.tar.gz": (gzip.compress(tar_of(TASK)), "a gzip archive", "tar -xf {} -C task"),
    "task.tar": (tar_of(TASK), "a tar archive", "mkdir task && tar -xf {} -C task"),
    "task.tar.bz2": (b"BZh91AY&SY", "a bzip2 archive", "tar -xf {}"),
    "task.tar.xz": (b"\xfd7zXZ\0", "an xz archive", "tar -xf {}"),
    "task.tar.zst": (b"\x28\xb5\x2f\xfd", "a Zstandard archive", "tar -xf {}"),
    "task.7z": (b"7z\xbc\xaf\x27\x1c\0\4", "a 7z archive", "7z x {} -otask"),
    "task.rar": (b"Rar!\x1a\7\1\0", "a RAR archive", "unrar x {} task/"),
    "gz.zip": (gzip.compress(b"x"), "a gzip archive", "-C gz"),
    "html.zip": (b"\n<!DOCTYPE html><html>Login</html>", "an HTML page", "cvat-cli"),
    "head.zip": (b"\xef\xbb\xbf<HEAD>", "an HTML page", "task export-dataset"),
    "error.zip": (b'{"detail": "Not found."}', "a JSON file", "an error of a server"),
    "list.zip": (b"[]", "a JSON file", "fetch the file again"),
    "s3.zip": (b"<?xml version='1.0'?><Error/>", "an XML file", "datum convert -if FORMAT"),
    "lfs.zip": (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS", "git lfs pull"),
    "a.png": (png(np.zeros((2, 2), np.uint8)), "a PNG image", "give the folder"),
    "a.jpg": (jpeg(2, 2), "a JPEG image", "from-masks DIR"),
    "a.webp": (b"RIFF\1\2\3\4WEBPVP8 ", "a WebP image", "give the folder"),
    "a.pdf": (b"%PDF-1.7", "a PDF file", "copy or export it again"),
    "empty.zip": (b"", "the file is empty", "copy or export it again"),
    "cut.zip": (b"PK\3\4" + bytes(90), "cut short", "copy or export"),
    "noise.zip": (bytes(range(7, 99)), "the file is not a zip", "give the path of an archive"),
}


@pytest.mark.parametrize("name", FILES)
def test_file(name: str, tmp_path: Path) -> None:
    data, what, remedy = FILES[name]
    path = tmp_path / name
    path.write_bytes(data)
    error = error_of(path)
    assert what in error.what
    assert plain(remedy.format(path)) in plain(error.remedy)


def test_name_with_spaces_is_typed_in_quotes(tmp_path: Path) -> None:
    path = tmp_path / "my task.tar"
    path.write_bytes(TAR_HEAD)
    assert f"mkdir 'my task' && tar -xf '{path}' -C 'my task'" in error_of(path).remedy


DEEP = {f"a/b/c/d e/{name}": data for name, data in TASK.items()}
FOLDERS: dict[str, tuple[Files, str, str]] = {
    "deep": (DEEP, "4 folders down, in 'a/b/c/d e'", "'{}/a/b/c/d e'"),
    "small-letters": (
        {"segmentationclass/a.png": b"", "labelmap.txt": b""},
        "a folder 'segmentationclass'",
        "rename it to exactly SegmentationClass",
    ),
    "old-labelme": (
        {"x/SegmentationClassPNG/a.png": b""}, "'SegmentationClassPNG'",
        "to exactly SegmentationClass",
    ),
    "zips": (
        {"a.zip": b"", "b.zip": b"", "c.zip": b"", "d.ZIP": b"", "._e.zip": b""},
        "4 packed files: a.zip, b.zip, c.zip ...",
        "{}/a.zip",
    ),
    "zip-below": ({"x/a.zip": b""}, "a packed file: x/a.zip", "{}/x/a.zip"),
    "tar": ({"a.tar.gz": b"", "readme.md": b""}, "a packed file: a.tar.gz", "{}/a.tar.gz"),
    "coco": (
        {"annotations/a.json": b""}, "belongs to COCO", "convert {} -f segmask -o archive",
    ),
    "yolo": ({"data.yaml": b""}, "belongs to YOLO", "convert {} -f segmask -o archive"),
    "images": ({"annotations.xml": b""}, "belongs to CVAT for images", "cvat-cli"),
    "masks": ({"x/a.png": b"", "b.PNG": b""}, "PNG files such as", "--labels names.txt"),
    "nothing": ({"readme.md": b""}, "no archive of segmentation masks here", "check the path"),
    "lists-of-another-kind": (
        {"ImageSets/Main/a.txt": b"", "Annotations/a.xml": b""},
        "there is no archive of segmentation masks here",
        "check the path",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FOLDERS)
def test_folder(name: str, tmp_path: Path) -> None:
    files, what, remedy = FOLDERS[name]
    path = as_folder(files, tmp_path / "task")
    error = error_of(path)
    assert what in error.what
    assert plain(remedy.format(path)) in plain(error.remedy)


@pytest.mark.parametrize("name", FOLDERS)
def test_zip(name: str, tmp_path: Path) -> None:
    """What lies in a zip can be given when it is unpacked."""
    files, what, remedy = FOLDERS[name]
    path = as_zip(files, tmp_path / "task")
    error = error_of(path)
    assert what in error.what
    assert plain(remedy.format("task")) in plain(error.remedy)
    if "{}" in remedy:
        assert plain(f"unzip {path} -d task") in plain(error.remedy)


@pytest.mark.parametrize("folder", ["SegmentationClass", "ImageSets/Segmentation", "ImageSets"])
def test_folder_of_an_archive(folder: str, tmp_path: Path) -> None:
    path = as_folder(TASK, tmp_path / "task")
    if folder == "ImageSets":
        (path / "ImageSets/Segmentation").rename(path / "ImageSets/lists")
    error = error_of(path / folder)
    assert folder.partition("/")[0] in error.what
    assert plain(error.remedy) == plain(f"give the path {path}")
