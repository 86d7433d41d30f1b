"""One writer at a time: who comes second gets an error that names the first."""

from __future__ import annotations

import logging
import os
import stat
import time
from contextlib import suppress

from ..errors import SegmaskExportError
from .disk import is_link

log = logging.getLogger(__name__)

_FLAGS = os.O_CREAT | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)  # Windows has no such links
_NOTE = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class WriteLock:
    """Keeps other writers away from ``target`` while it is held; ``path`` is the file that says so.

    Taken when made. Raises SegmaskExportError at once where another process or thread has it; with
    ``wait`` it is short, and waited for. On a file system that has no locks it lets go on, with a
    warning unless it is a short one. The system frees the lock of a process that is killed.
    """

    def __init__(self, path: str, target: str, *, wait: bool = False) -> None:
        import socket

        from filelock import FileLock

        self._path = path
        self._lock = FileLock(path, thread_local=False)
        self._who = f"{path[: -len('.lock')]}.writer"
        try:
            self._take(target, wait)
            with suppress(OSError):
                os.unlink(self._who)  # of one that was killed; or a link, to wherever it leads
            with suppress(OSError), open(self._who, "x", encoding="utf-8") as file:
                since = time.strftime("%Y-%m-%d %H:%M:%S")
                file.write(f"process {os.getpid()} on {socket.gethostname()}, since {since}")
        except BaseException:
            self.release()
            raise

    def _take(self, target: str, wait: bool) -> None:
        from filelock import Timeout

        path = self._path
        while True:
            with suppress(OSError):
                _remove_planted(path)
                os.close(os.open(path, _FLAGS, 0o666))
            before = _identity(path)
            try:
                self._lock.acquire(timeout=-1 if wait else 0)
            except Timeout:
                raise _busy(target, self._who) from None
            except (OSError, NotImplementedError) as error:
                if not os.access(os.path.dirname(path), os.W_OK):
                    raise not_writable(target, error) from error
                log.log(
                    logging.DEBUG if wait else logging.WARNING,
                    "%s: it cannot be locked here (%s), so nothing keeps a second export out. "
                    "Write into it from one place at a time.",
                    target,
                    error,
                )
                break
            # The one before us may have removed the file between our opening and our locking it.
            if before is not None and before == _identity(path):
                break
            self._lock.release()

    def release(self) -> None:
        """Let the next writer in, and leave nothing behind. Again is harmless."""
        if not self._lock.is_locked:
            return
        try:
            for path in (self._who, self._path):
                with suppress(OSError):  # Windows keeps a file that is open
                    os.unlink(path)
        finally:  # Ctrl-C comes at any moment, and the next writer may be in this process
            self._lock.release()
        if os.name == "nt":
            with suppress(OSError):
                os.unlink(self._path)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _remove_planted(path: str) -> None:
    """Remove a link, a pipe, or another name of a file: to lock a file is to empty it."""
    with suppress(FileNotFoundError):
        status = os.lstat(path)
        if is_link(status) or not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            os.unlink(path)


def _busy(target: str, who: str) -> SegmaskExportError:
    try:
        # No link is followed, and no pipe waited for, that somebody has put there.
        with open(os.open(who, _NOTE), encoding="utf-8", errors="replace") as file:
            writer = file.read(200)
    except OSError:  # it has just begun, or has just ended
        writer = ""
    return SegmaskExportError(
        f"another export is writing there ({writer or 'it does not say which'})",
        target,
        "one export at a time",
        "wait until it has ended, or export to another place",
    )


def not_writable(target: str, error: Exception) -> SegmaskExportError:
    """Make the error for a folder that nothing can be written to."""
    reason = getattr(error, "strerror", None) or str(error)
    return SegmaskExportError(
        f"nothing can be written there ({reason})",
        target,
        "a folder that this user may write to",
        "check the permissions, or export to another folder",
    )
