"""A folder or a zip to write to: what is there stays whole until what is new is whole.

Source: docs/format.md, section 5.
"""

from __future__ import annotations

import os
import secrets
import shutil
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from typing import IO, Protocol, TypeVar

from ..errors import SegmaskExportError
from . import layout
from .commit import Commit
from .disk import entries, flush_folder
from .ids import TextFile
from .journal import not_replaceable
from .lock import WriteLock, not_writable
from .open import open_zip
from .read import FolderStorage, Storage
from .record import Record
from .remote.store import shown, url_of
from .zip.archive import ZipStorage
from .zip.carry import carry_over, stub

S = TypeVar("S", bound="Sink")

_ASIDE = ".aside"  # end of the name of a folder
ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the same dataset gives the same bytes, whenever


class Sink(Protocol):
    """What an archive is written to. Names are places in the archive, see `layout`.

    One sink at a time writes to a target: a second one raises SegmaskExportError when it is made.
    What is put and discarded is the plan; `finish` carries it out, and keeps all the rest.
    """

    @property
    def there(self) -> Storage | None:
        """The archive in the target that stays, but for what is put or discarded; None if new."""

    def put(self, name: str, data: bytes) -> None:
        """Write one file, whole, over one of the same name; the same may be put again."""

    def put_lines(self, name: str, lines: Iterable[str]) -> None:
        """Write one text in UTF-8, given as lines without their ends, as it comes."""

    def discard(self, name: str) -> None:
        """Remove a file that an earlier export may have left, unless it is put as well."""

    def finish(self) -> None:
        """Let all that was put take its place. Raises SegmaskExportError or OSError."""

    def abandon(self) -> None:
        """Leave everything as it was before."""


@contextmanager
def whole(sink: S) -> Iterator[S]:
    """Let all that is put into a sink take its place at the end, or nothing after an error."""
    try:
        yield sink
        sink.finish()
    except BaseException:
        sink.abandon()
        raise


def check_on_disk(path: str) -> None:
    """Raise SegmaskExportError for a URL, of which a folder called ``s3:`` would be made."""
    url = url_of(path)
    if url is not None:
        raise SegmaskExportError(
            "it cannot be written into a store",
            shown(url),
            "a folder or a zip on the disk",
            "write to the disk and copy it with the store's own program; write_table and "
            "'datumaro-segmask shard' write into stores",
        )


class FolderSink(Commit):
    """Writes an archive into a folder, which is made if it is not there.

    Files of the folder that are neither written nor discarded stay; with ``replace`` those in the
    folders of an archive go, too. With a ``record`` the files that earlier exports wrote, and this
    one does not, are discarded, and it is refused where files of others are in its way.
    """

    def __init__(self, root: str, *, replace: bool = False, record: Record | None = None) -> None:
        check_on_disk(root)
        super().__init__(root, record)
        self._replaces = replace
        for name in layout.TOP if replace else ():
            self.discard_all(name)

    @cached_property
    def there(self) -> Storage | None:
        return None if self._replaces else FolderStorage(self.root)

    def put(self, name: str, data: bytes) -> None:
        self.write(name, [data])

    def put_lines(self, name: str, lines: Iterable[str]) -> None:
        self.write(name, (f"{line}\n".encode() for line in lines))

    def copy(self, name: str, source: str) -> None:
        """Write a copy of the file at ``source``.

        No hard link: two items would share the file, and who edits one picture edits both.
        """
        with open(source, "rb") as file:
            self.write(name, iter(partial(file.read, 1 << 20), b""))

    @contextmanager
    def zip(self, name: str) -> Iterator[Sink]:
        """Give a sink for a zip in the folder, which is finished at the end."""
        file = self.open_new(name)
        with whole(OpenZip(file)) as part:
            yield part
        file.close()


class OpenZip:
    """Writes the files of an archive into a file, as a zip, below the folder ``root`` of it.

    Whoever opened the file closes it, if all is well.
    """

    def __init__(self, file: IO[bytes], root: str = "") -> None:
        self._file = file
        self._root = root
        self._archive = zipfile.ZipFile(file, "w")

    @property
    def there(self) -> Storage | None:
        return None

    def put(self, name: str, data: bytes) -> None:
        entry = zipfile.ZipInfo(self._root + name, ZIP_DATE)
        before = self._archive.NameToInfo.get(entry.filename)
        if before is None:
            self._archive.writestr(entry, data)  # PNG and JPEG are compressed already
        elif (before.file_size, before.CRC) != (len(data), zlib.crc32(data)):
            raise ValueError(f"{name!r} was put before, with other content")

    def put_lines(self, name: str, lines: Iterable[str]) -> None:
        entry = zipfile.ZipInfo(self._root + name, ZIP_DATE)
        entry.compress_type = zipfile.ZIP_DEFLATED
        with self._archive.open(entry, "w") as file:
            for line in lines:
                file.write(f"{line}\n".encode())

    def discard(self, name: str) -> None:
        """Do nothing: a new zip begins empty."""

    def finish(self) -> None:
        self._archive.close()

    def abandon(self) -> None:
        with suppress(OSError, ValueError):  # a full disk takes no directory either
            self._archive.close()
        # Cut short within a file, it would not be closed, and complain when it is deleted.
        self._archive.close = lambda: None  # type: ignore[method-assign]
        with suppress(OSError):
            self._file.close()


class ZipSink(OpenZip):
    """Writes an archive into a zip, which gets its name when it is finished and on the disk.

    With ``update`` it changes the zip that lies there: files that are neither written nor discarded
    stay as they lie in it, packed, and the archive stays in its folder of the zip. Raises
    ArchiveError where there is none.
    """

    def __init__(self, path: str, *, update: bool = False) -> None:
        check_on_disk(path)
        folder, name = os.path.split(os.path.abspath(path))
        folder = os.path.realpath(folder)
        self._path = os.path.join(folder, name)
        self._dropped: set[str] = set()
        if os.path.lexists(self._path) and not os.path.isfile(self._path):
            raise not_replaceable("a folder or a link to nothing", self._path)
        own = os.path.join(folder, f"{layout.STAGING}{zlib.crc32(os.fsencode(name)):08x}")
        try:
            os.makedirs(folder, exist_ok=True)
            self._lock = WriteLock(f"{own}.lock", self._path)
        except PermissionError as error:
            raise not_writable(folder, error) from error
        try:
            for entry in entries(folder):  # what killed exports have left
                if not entry.path.startswith(f"{own}-"):
                    continue
                if entry.is_file(follow_symlinks=False):
                    os.unlink(entry.path)
                elif entry.name.endswith(_ASIDE) and entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
            self._old = open_zip(self._path) if update else None
            private = f"{own}-{secrets.token_hex(8)}"
            self._part, self._aside = f"{private}.part", f"{private}{_ASIDE}"
            file = open(self._part, "xb+")  # noqa: SIM115
            file.writelines(() if self._old is None else stub(self._old))
            super().__init__(file, "" if self._old is None else self._old.root)
        except BaseException as error:
            self._lock.release()
            if isinstance(error, PermissionError):
                raise not_writable(folder, error) from error
            raise

    @property
    def there(self) -> ZipStorage | None:
        return self._old

    def aside(self) -> str:
        """Return a folder where other processes may write files (see `Aside`)."""
        os.makedirs(self._aside, exist_ok=True)
        return self._aside

    def discard(self, name: str) -> None:
        if self._old is not None and self._old.exists(name):
            self._dropped.add(self._root + name)

    def finish(self) -> None:
        self._archive.close()
        self._clear_up()
        if self._old is not None:
            carry_over(self._old, self._file, self._dropped)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if os.path.isfile(self._path):
            os.chmod(self._part, os.stat(self._path).st_mode)
        os.replace(self._part, self._path)
        flush_folder(os.path.dirname(self._path))
        self._lock.release()

    def abandon(self) -> None:
        try:
            super().abandon()
            self._clear_up()
            with suppress(FileNotFoundError):
                os.unlink(self._part)
        finally:
            self._lock.release()

    def _clear_up(self) -> None:
        shutil.rmtree(self._aside, ignore_errors=True)


_BUFFERED = 1 << 14  # lines of all lists together, before they go to the disk


class SubsetLists:
    """The ids of each subset, kept on the disk while the export goes on: there may be millions.

    All lists lie in one file, as there may be thousands of subsets.
    """

    def __init__(self) -> None:
        self._file = TextFile()
        self._pieces: dict[str, list[tuple[int, int]]] = {}  # of each list, from where to where
        self._lines: defaultdict[str, list[str]] = defaultdict(list)
        self._count = 0

    def add(self, subset: str, line: str) -> None:
        """Append a line to the list of a subset."""
        self.declare(subset)
        self._lines[subset].append(line)
        self._count += 1
        if self._count >= _BUFFERED:
            self._flush()

    def declare(self, subset: str) -> None:
        """Let a subset have a list, even if no line is added to it."""
        self._pieces.setdefault(subset, [])

    def texts(self) -> dict[str, Iterable[str]]:
        """Return the lines of each list by its place in the archive; at least one list."""
        if not self._pieces:
            return {layout.subset_list(layout.DEFAULT_SUBSET): []}  # what makes it an archive
        return {layout.subset_list(subset): self.lines(subset) for subset in self._pieces}

    def lines(self, subset: str) -> Iterator[str]:
        """Yield the lines of the list of a subset."""
        self._flush()
        for piece in self._pieces.get(subset, ()):
            yield from self._file.lines(*piece)

    def _flush(self) -> None:
        for subset, lines in self._lines.items():
            self._pieces[subset].append(self._file.append(lines))
        self._lines.clear()
        self._count = 0
