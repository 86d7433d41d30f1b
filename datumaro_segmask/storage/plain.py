"""Files of others that are read as a whole, none of which may be a pipe: to open one is to wait."""

from __future__ import annotations

import errno
import os
import stat
from typing import IO

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def open_plain(path: str) -> IO[bytes]:
    """Open a plain file, or a link to one, to read it; raises OSError for all else."""
    descriptor = os.open(path, _FLAGS)  # waits for no pipe
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a file", path)
    return open(descriptor, "rb")
