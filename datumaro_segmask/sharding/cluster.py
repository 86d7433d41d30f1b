"""A Dask cluster as an executor; the extra ``dask`` installs what that takes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

from ..errors import ArchiveError

_CONNECT = 30  # seconds
_RETRIES = 2  # of a part


@contextmanager
def dask_cluster(address: str) -> Iterator[Executor]:
    """Connect to the scheduler of a cluster. Raises ArchiveError where there is none."""
    try:
        from distributed import Client
    except ImportError as error:
        raise ArchiveError(
            "the option --dask needs a package that is not installed (distributed)",
            "the command line",
            "Dask",
            "type \"pip install 'datumaro-segmask[dask]'\", here and on the workers",
        ) from error
    try:
        client = Client(address, timeout=_CONNECT)
    except (OSError, ValueError) as error:
        raise ArchiveError(
            f"no scheduler answers ({type(error).__name__})",
            address,
            "the address of a Dask scheduler, such as tcp://host:8786",
            "check the address, and that the cluster is up",
        ) from error
    with client:
        yield client.get_executor(pure=False, retries=_RETRIES)
