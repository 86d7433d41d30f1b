"""Faults of a disk: counts what changes below a folder, and fails at one of the changes."""

from __future__ import annotations

import builtins
import io
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from datumaro.components import dataset

from datumaro_segmask.storage.write import FolderSink, ZipSink

_CHANGES = ("rename", "replace", "remove", "unlink", "mkdir", "rmdir", "chmod")


class Killed(BaseException):
    """The process is gone: nothing of it runs any more."""


_STATUS_OF_KILLED = 137


class _Disk:
    """Sees the changes that Python code asks for.

    Not by an audit hook: Python up to 3.11 calls it while it installs a trace function, and a
    thread of coverage that starts meanwhile dies of that, for as long as the process lives.
    """

    def __init__(self, root: Path, at: int, error: BaseException | None) -> None:
        self.root: str | None = str(root)
        self.left = at
        self.error = error

    def see(self, patch: pytest.MonkeyPatch) -> None:
        for name in _CHANGES:
            patch.setattr(os, name, self._seen(getattr(os, name)))
        patch.setattr(os, "fsync", self._seen(os.fsync, lambda descriptor: True))
        patch.setattr(os, "open", self._seen(os.open, self._opens))
        file_open = self._seen(io.open, self._opens_file)
        patch.setattr(io, "open", file_open)
        patch.setattr(builtins, "open", file_open)

    def _seen(self, call: Any, changes: Any = None) -> Any:
        changes = changes or self._is_below

        def counted(*args: Any, **options: Any) -> Any:
            if self.root is not None and changes(*args, **options):
                self.left -= 1
                if self.left == 0:
                    self.root = None
                    if self.error is None:
                        os._exit(_STATUS_OF_KILLED)
                    raise self.error
            return call(*args, **options)

        return counted

    def _is_below(self, path: Any, *_: Any, **options: Any) -> bool:
        folder = options.get("src_dir_fd", options.get("dir_fd"))
        if folder is not None:
            path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)
        return self.root is not None and self.root in str(path)

    def _opens(self, path: Any, flags: int, *_: Any, **options: Any) -> bool:
        return bool(flags & (os.O_WRONLY | os.O_RDWR)) and self._is_below(path, **options)

    def _opens_file(self, path: Any, mode: str = "r", *_: Any, **__: Any) -> bool:
        return self._is_below(path) and not {*mode}.isdisjoint("wxa+")


@contextmanager
def failing(root: Path, at: int, error: BaseException | None) -> Iterator[_Disk]:
    """Raise ``error`` at the change number ``at``, from 1, below ``root``; at none with 0.

    If it is None, this very process ends there, and cleans up nothing.

    What is yielded has ``left``, which is 0 once the error has been raised.
    """
    disk = _Disk(root, at, error)
    with pytest.MonkeyPatch.context() as patch:
        disk.see(patch)
        if isinstance(error, Killed):  # a killed process cleans nothing up
            patch.setattr(FolderSink, "abandon", _let_go_of_folder)
            patch.setattr(ZipSink, "abandon", _let_go_of_zip)
            patch.setattr(shutil, "rmtree", _refuse(shutil.rmtree, disk))
            # Datumaro 1.11 has it by name, of shutil or of GitPython.
            patch.setattr(dataset, "rmtree", shutil.rmtree, raising=False)
        yield disk


def _refuse(rmtree: Any, disk: _Disk) -> Any:
    def remove(path: Any, *args: Any, **options: Any) -> None:
        if disk.left > 0 and disk.root is not None:  # alive
            rmtree(path, *args, **options)

    return remove


def _let_go_of_folder(sink: Any) -> None:
    """Free what the system frees: files that are open, and the lock."""
    sink._removals.close()
    sink._lock._lock.release()


def _let_go_of_zip(sink: Any) -> None:
    sink._archive._didModify = False  # or closing would still write the directory
    sink._archive.close()
    sink._file.close()
    sink._lock._lock.release()


def killed_at(root: Path, at: int, work: Callable[[], object]) -> bool:
    """Do ``work`` in a process that is killed at a change as in `failing`; whether there is one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which are not there then
        process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == _STATUS_OF_KILLED
    try:
        with failing(root, at, None):
            work()
    finally:
        os._exit(0)
