"""Faults of a disk: counts what changes below a folder, and fails at one of the changes."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from datumaro.components import dataset

from datumaro_segmask.storage.write import FolderSink, ZipSink

_EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "test.fsync")
_FOLDER = {"os.rename": 2, "os.mkdir": 2}
"""Which argument is the descriptor of the folder that a name begins in, -1 for none."""


class Killed(BaseException):
    """The process is gone: nothing of it runs any more."""


class _Disk:
    """Sees the changes by Python's audit events, which every way to a file goes through."""

    def __init__(self) -> None:
        self.root: str | None = None
        self.left = 0
        self.error: BaseException = Killed()
        sys.addaudithook(self)

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if self.root is None or event not in _EVENTS:
            return
        if event != "test.fsync" and self.root not in _place(event, args):
            return
        if event == "open" and not int(args[2] or 0) & (os.O_WRONLY | os.O_RDWR):
            return
        self.left -= 1
        if self.left == 0:
            self.root = None
            raise self.error


def _place(event: str, args: tuple[Any, ...]) -> str:
    folder = args[_FOLDER[event]] if event in _FOLDER else -1
    place = str(args[0])
    return place if folder == -1 else os.path.join(os.readlink(f"/proc/self/fd/{folder}"), place)


_disk: _Disk | None = None  # one for all tests: an audit hook stays as long as the process


@contextmanager
def failing(root: Path, at: int, error: BaseException) -> Iterator[_Disk]:
    """Raise ``error`` at the change number ``at``, from 1, below ``root``; at none with 0.

    What is yielded has ``left``, which is 0 once the error has been raised.
    """
    global _disk
    _disk = _disk or _Disk()
    fsync = os.fsync

    def seen(descriptor: int) -> None:
        sys.audit("test.fsync", descriptor)
        fsync(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", seen)
        if isinstance(error, Killed):  # a killed process cleans nothing up
            patch.setattr(FolderSink, "abandon", _let_go_of_folder)
            patch.setattr(ZipSink, "abandon", _let_go_of_zip)
            patch.setattr(shutil, "rmtree", _refuse(shutil.rmtree, _disk))
            # Datumaro 1.11 has it by name, of shutil or of GitPython.
            patch.setattr(dataset, "rmtree", shutil.rmtree, raising=False)
        _disk.left, _disk.error, _disk.root = at, error, str(root)
        try:
            yield _disk
        finally:
            _disk.root = None


def _refuse(rmtree: Any, disk: _Disk) -> Any:
    def remove(path: Any, *args: Any, **options: Any) -> None:
        if disk.left > 0 and disk.root is not None:  # alive
            rmtree(path, *args, **options)

    return remove


def _let_go_of_folder(sink: Any) -> None:
    """Free what the system frees: files that are open, and the lock."""
    commit = sink._commit
    commit._removals.close()
    commit._lock._lock.release()


def _let_go_of_zip(sink: Any) -> None:
    sink._archive._didModify = False  # or closing would still write the directory
    sink._archive.close()
    sink._file.close()
    sink._lock._lock.release()
