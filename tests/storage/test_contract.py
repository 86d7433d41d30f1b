"""Every kind of storage keeps the contract; what is special of each stands in its own file."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from datumaro_segmask.archive import voc_label_map
from datumaro_segmask.cli.from_masks.folder import ScatteredStorage
from datumaro_segmask.storage.open import open_storage
from datumaro_segmask.storage.read import FolderStorage, Storage

from ..archives import as_folder, as_zip
from .contract import StorageContract


class TestFolder(StorageContract):
    def make(self, files: Mapping[str, bytes], path: Path) -> Storage:
        return open_storage(str(as_folder(files, path)))


class TestDeepFolder(StorageContract):
    def make(self, files: Mapping[str, bytes], path: Path) -> Storage:
        as_folder({f"x/my task/{name}": data for name, data in files.items()}, path)
        return open_storage(str(path))


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
class TestZip(StorageContract):
    compression = zipfile.ZIP_DEFLATED

    @pytest.fixture(autouse=True)
    def choose(self, compression: int) -> None:
        self.compression = compression

    def make(self, files: Mapping[str, bytes], path: Path) -> Storage:
        return open_storage(str(as_zip(files, path, self.compression)))


class TestDeepZip(StorageContract):
    def make(self, files: Mapping[str, bytes], path: Path) -> Storage:
        deep = {f"x/my task/{name}": data for name, data in files.items()}
        return open_storage(str(as_zip(deep, path)))


class TestScattered(StorageContract):
    """Half of the files lie in one folder and half in another."""

    def make(self, files: Mapping[str, bytes], path: Path) -> Storage:
        halves = [{n: d for n, d in files.items() if ("Class" in n) == half} for half in (0, 1)]
        folders = [
            FolderStorage(str(as_folder(half, path / f"{i}"))) for i, half in enumerate(halves)
        ]
        found = {
            name: (folder, name)
            for folder, half in zip(folders, halves, strict=True)
            for name in half
            if "._" not in name and "DS_Store" not in name
        }
        return ScatteredStorage(str(path), found, voc_label_map())
