"""An archive in memory, and what names in it must be like."""

from __future__ import annotations

from collections.abc import Iterator

from datumaro_segmask.errors import MissingFileError
from datumaro_segmask.storage import layout
from datumaro_segmask.storage.read import MAX_FILE_BYTES, Storage

from .oracle import Finding


class Memory(Storage):
    """An archive of files given as bytes (see `datumaro_segmask.storage.read.Storage`)."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files_by_name = files

    def place(self, name: str = "") -> str:
        return name or "memory"

    def other_files(self) -> Iterator[str]:
        return (name for name in self.files_by_name if not layout.is_inside_folder(name))

    def exists(self, name: str) -> bool:
        return name in self.files_by_name

    def read(self, name: str, limit: int = MAX_FILE_BYTES) -> bytes:
        if name not in self.files_by_name:
            raise MissingFileError("it is not there", name, "a file", "look for it")
        return self.files_by_name[name]

    def files(self, folder: str) -> Iterator[str]:
        return (name for name in self.files_by_name if name.startswith(f"{folder}/"))


def check_names(names: list[str]) -> None:
    """Raise Finding for names that lead out of an archive, or stand there twice."""
    for name in names:
        parts = name.replace("\\", "/").split("/")
        has_drive = name[:1].isascii() and name[:1].isalpha() and name[1:2] == ":"
        if "\0" in name or has_drive or not all(part.strip(". ") for part in parts):
            raise Finding(f"the name {name!r} is not safe")
    if len(names) != len(set(names)):
        raise Finding("a name is there twice")
