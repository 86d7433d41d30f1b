"""What stores and the libraries for them raise, told as errors of ours.

Their own texts never stand in a message, as there may be keys in them.
"""

from __future__ import annotations

from typing import Any

from ...errors import (
    ArchiveError,
    MissingFileError,
    SegmaskError,
    SegmaskExportError,
    StoreError,
)

_CUT = ("Payload", "Incomplete", "Disconnected", "Connect")  # in names of errors
_NO_KEYS, _NO_PARAMETERS = "NoCredentialsError", "ParamValidationError"  # of botocore


class WholeFileError(Exception):
    """A server has sent more than the part of a file that was asked for."""


class StoreWriteError(SegmaskExportError):
    """A store does not take what is to be written into it."""


def failed(error: Exception, place: str, what: str, writes: bool = False) -> SegmaskError:
    """Make the error for something that was asked of a store, by one who reads or who writes."""
    if isinstance(error, SegmaskError):
        return error
    why, expected, remedy = _reason(error, writes, place)
    if writes:
        return StoreWriteError(
            f"it cannot be written ({why}; asked to {what})", place, expected, remedy
        )
    kind = MissingFileError if is_gone(error) else StoreError
    return kind(f"the file cannot be read ({why}; asked to {what})", place, expected, remedy)


def unwrapped(error: Exception) -> Exception:
    """Return what went wrong, where fsspec tells it as a missing file, as it does on the web."""
    cause = error.__cause__
    if not isinstance(error, FileNotFoundError) or not isinstance(cause, Exception):
        return error
    of_web = type(cause).__module__.startswith("aiohttp") or isinstance(cause, TimeoutError)
    return cause if of_web and _status(cause) not in (404, 410) else error


def is_final(error: Exception) -> bool:
    """Return whether to ask again would be in vain."""
    if _response(error) is not None:  # botocore has asked five times
        return True
    status = _status(error)
    if status is not None:
        return 400 <= status < 500 and status not in (408, 425, 429)
    finals = (
        FileNotFoundError,
        NotADirectoryError,
        PermissionError,
        IsADirectoryError,
        ValueError,
        NotImplementedError,
        SegmaskError,
    )
    return isinstance(error, finals) or type(error).__name__ in (_NO_KEYS, _NO_PARAMETERS)


def _status(error: Exception) -> int | None:
    """Return the HTTP status in an error of aiohttp or of botocore, None where there is none."""
    response = _response(error) or {}
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    status = getattr(error, "status", status)
    return status if isinstance(status, int) else None


def _response(error: BaseException) -> dict[str, Any] | None:
    """Return what botocore has in its errors, which s3fs makes the cause of errors of its own."""
    response = getattr(error.__cause__ or error, "response", None)
    return response if isinstance(response, dict) else None


def is_gone(error: Exception) -> bool:
    kinds = (FileNotFoundError, NotADirectoryError)
    return isinstance(error, kinds) or _status(error) in (404, 410)


def _reason(error: Exception, writes: bool, place: str) -> tuple[str, str, str]:
    """Return why a store did not do what was asked for, what it should do, and what helps."""
    status, kind = _status(error), type(error).__name__
    if writes and isinstance(error, NotImplementedError):
        return "such a place can only be read", "a store that takes files", "write to another place"
    if writes and is_gone(error):
        return "there is no such place", "a bucket that is there", "check the URL"
    if is_gone(error):
        return "there is no such file", "a file that is there", "check the URL"
    is_denied = isinstance(error, PermissionError) or status in (401, 403)
    is_web = place.lower().startswith("http")
    if is_web and "?" in place and (is_denied or status == 400):  # Google says 400
        return (
            "the store denies access; a signed link expires",
            "a link that has not expired, signed for reading (GET)",
            "get a new link, and put it in quotes, as the shell ends it at '&'",
        )
    if is_web and is_denied:
        return (
            "the store denies access",
            "a file that can be read without signing in",
            "download the file where you are signed in, and give its path",
        )
    if is_denied or kind == _NO_KEYS:
        return (
            "the store denies access" if kind != _NO_KEYS else "no keys to the store are given",
            f"keys that may {'write' if writes else 'read'} it",
            "give them as the store's own library takes them, such as AWS_ACCESS_KEY_ID",
        )
    if isinstance(error, ValueError) or kind == _NO_PARAMETERS or type(error) is IsADirectoryError:
        return (
            f"it is not a URL of a file ({kind})",
            "a URL such as s3://bucket/task.zip",
            "check it",
        )
    if isinstance(error, WholeFileError):
        return (
            "the server always sends the whole file, not the part that was asked for",
            "a server that answers range requests",
            "download the file, and give its path",
        )
    if isinstance(error, EOFError):  # ours
        why = f"the connection was cut: {error}"
    elif isinstance(error, ConnectionError) or any(word in kind for word in _CUT):
        why = f"the connection was cut, or there is none: {kind}"
    elif status is not None:
        why = f"the store answers with status {status}, again and again"
    elif isinstance(error, TimeoutError) or "Timeout" in kind:
        why = "the store does not answer in time"
    else:
        why = f"{kind}, again and again"
    return why, "a store that answers", "try again later, and check the URL and the network"


def package_missing(what: str, place: str, writes: bool = False) -> SegmaskError:
    return (SegmaskExportError if writes else ArchiveError)(
        f"URLs need a package that is not installed ({what})",
        place,
        "fsspec, and the package for this kind of store: s3fs for s3://, gcsfs for gs://",
        "type \"pip install 'datumaro-segmask[remote]' s3fs\", or the package of your store",
    )
