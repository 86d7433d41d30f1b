"""Where shards are written: each whole or not at all, and a manifest of all of them at the end.

While a run goes on, what is known of each finished part lies in the folder `WORK`; a run that was
cut short goes on from there. The manifest comes last: who finds it, finds all parts.

Of two runs the later one ends the earlier. On a disk a lock makes one step of the question whether
the run is still the last, and of what depends on it, so that no shard of the earlier gets in
afterwards. Stores have no locks: there an object that is on its way when the next run begins can.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from operator import methodcaller
from typing import IO, Any, TypeGuard

from ..errors import SegmaskExportError
from ..storage import Store, WriteLock, is_url, layout, open_plain, shown

MANIFEST = "_segmask.json"
WORK = "_segmask"
_JOB = f"{WORK}/job.json"
_RUN = "run"  # its entry that tells runs of one job apart
_SHARD = re.compile(
    r"\.?(part-\d{6,}\.parquet|shard-\d{6,}\.zip|instances_[^/\\]+-\d{6,}\.json)(\..*)?"
)
_UNFINISHED = re.compile(rf"\.{MANIFEST}\.[0-9a-f]{{16}}")  # a manifest of a run that was killed
_COUNTS = ("items", "rows", "bytes", "broken")


class ShardSink:
    """A folder for shards, on the disk or in a store, where an object appears whole by itself.

    What a store refuses is raised as SegmaskExportError, what the disk refuses as OSError.
    """

    def __init__(self, out: str, run: str = "") -> None:
        self._out = out
        self.run = run
        """Tells a run from others in the same place; nothing is put any more when one comes."""
        self._store = Store(out, writes=True) if is_url(out) else None
        self._is_alone = False

    def put(self, name: str, write: Callable[[IO[bytes]], object]) -> int:
        """Let ``write`` fill a file, which then takes its name at once; return its bytes.

        Raises SegmaskExportError where another run has begun, or ended, since.
        """
        if self._store:
            with tempfile.TemporaryDirectory(prefix="segmask-shard-") as folder:
                part = os.path.join(folder, "part")
                size = _fill(part, write)
                self._check_run()
                url = self._store.below(name)
                self._store.demand("write it", url, methodcaller("put_file", part, url))
                return size
        path = os.path.join(self._out, name)
        folder, base = os.path.split(path)
        os.makedirs(folder, exist_ok=True)
        part = os.path.join(folder, f".{base}.{secrets.token_hex(8)}")
        try:
            size = _fill(part, write)
            with self._alone():
                self._check_run()
                os.replace(part, path)
        except BaseException:
            if os.path.exists(part):
                os.unlink(part)
            raise
        return size

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other runs from beginning and ending, and their files from their places."""
        if self._store or self._is_alone:
            yield
            return
        os.makedirs(self._out, exist_ok=True)
        path = os.path.join(self._out, f"{layout.STAGING}shards.lock")
        lock = WriteLock(path, self._out, wait=True)
        self._is_alone = True
        try:
            yield
        finally:
            self._is_alone = False
            lock.release()

    def _check_run(self) -> None:
        if self.run and (self.get_json(_JOB) or {}).get(_RUN) != self.run:
            raise SegmaskExportError(
                "another run has begun here, or has ended, so this one stops",
                shown(self._out),
                "one run at a time",
                "wait for the other one, and repeat the command if its shards are not these",
            )

    def put_json(self, name: str, value: Any) -> None:
        text = json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True)
        self.put(name, lambda file: file.write(text.encode(errors="replace")))

    def get_json(self, name: str) -> dict[str, Any] | None:
        """Return what a file says, None where it is not there; of another kind it is in the way."""
        try:
            if self._store:
                url = self._store.below(name)
                data = self._store.ask("read it", url, methodcaller("cat_file", url))
                if data is None:
                    return None
            else:
                path = os.path.join(self._out, name)
                if os.path.lexists(path) and not os.path.isfile(path):
                    raise self.holds_other_shards()
                with open_plain(path) as file:
                    data = file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            return dict(json.loads(data))
        except (ValueError, TypeError, RecursionError):
            raise self.holds_other_shards() from None

    def _manifest(self) -> dict[str, Any] | None:
        """Return the manifest, None where there is none; a stranger's is in the way."""
        manifest = self.get_json(MANIFEST)
        if manifest is not None and not is_manifest(manifest):
            raise self.holds_other_shards()
        return manifest

    def names(self, folder: str = "") -> list[str]:
        """Return the names in a folder."""
        if self._store:
            url = self._store.below(folder)
            found = self._store.ask("list it", url, methodcaller("ls", url, detail=False)) or ()
            return [name.rstrip("/").rpartition("/")[2] for name in found]
        path = os.path.join(self._out, folder)
        return os.listdir(path) if os.path.isdir(path) else []

    def remove(self, names: Iterable[str]) -> None:
        """Remove files or folders."""
        for name in names:
            if self._store:
                url = self._store.below(name)
                self._store.ask("remove it", url, methodcaller("rm", url, recursive=True))
                continue
            path = os.path.join(self._out, name)
            with suppress(FileNotFoundError):
                is_folder = os.path.isdir(path) and not os.path.islink(path)
                shutil.rmtree(path) if is_folder else os.unlink(path)

    def begin(self, job: Any, overwrite: bool) -> dict[str, Any] | None:
        """Make ready for a job; return its manifest if it is done already.

        Raises SegmaskExportError where the shards of another job are, unless they may go.
        """
        with self._alone():
            if overwrite:
                self.remove([MANIFEST])  # first: who finds it, finds all shards
                self.remove(name for name in self.names() if name == WORK or _is_left(name))
            else:
                manifest = self._manifest()
                before = self.get_json(_JOB) if manifest is None else dict(manifest["job"])
                if before is not None:
                    before.pop(_RUN, None)
                shards = filter(_SHARD.fullmatch, self.names())
                if before != job if before is not None else any(shards):
                    raise self.holds_other_shards()
                if manifest is not None:
                    self.remove([WORK])  # which a run that was cut short at its end has left
                    return manifest
            self._take(job)
        return None

    def _take(self, job: Any) -> None:
        run, self.run = secrets.token_hex(8), ""
        self.put_json(_JOB, {**job, _RUN: run})
        self.run = run

    def lacks(self, manifest: dict[str, Any]) -> bool:
        """Return whether shards of a run that is done are gone; then let it go on without these."""
        there = set(self.names())
        parts = dict(enumerate(manifest["parts"]))
        left = {number: part for number, part in parts.items() if there.issuperset(part["files"])}
        if len(left) == len(parts):
            return False
        with self._alone():
            self._take(manifest["job"])
            for number, part in left.items():
                self.note(number, part)
            self.remove([MANIFEST])
        return True

    def holds_other_shards(self) -> SegmaskExportError:
        """Make the error for a folder with shards that are not to be replaced."""
        return SegmaskExportError(
            "the shards of another run are here, or of the same with other options, or files of "
            "such names",
            shown(self._out),
            "an empty folder, or the run that was cut short",
            "choose another folder, or the option --overwrite (overwrite=True) to replace them",
        )

    def note(self, number: int, result: dict[str, Any]) -> None:
        """Note that a part is done."""
        self.put_json(f"{WORK}/{number:06}.json", result)

    def noted(self) -> dict[int, dict[str, Any]]:
        """Return what was noted of parts that are done and whose files are there, by number."""
        names = [name for name in self.names(WORK) if re.fullmatch(r"\d{6,}\.json", name)]
        found = {int(name[:-5]): self.get_json(f"{WORK}/{name}") for name in names}
        there = set(self.names())
        return {
            number: result
            for number, result in found.items()
            if result is not None and is_part(result) and there.issuperset(result["files"])
        }

    def finish(self, manifest: dict[str, Any]) -> None:
        """Declare the run finished, and remove what is no shard of it."""
        with self._alone():
            self.put_json(MANIFEST, manifest)
            shards = {name for part in manifest["parts"] for name in part["files"]}
            left = [n for n in self.names() if _is_left(n) and n not in shards]
            self.remove([WORK, *left])


def _is_left(name: str) -> bool:
    """Return whether a file may be of an earlier run."""
    return bool(_SHARD.fullmatch(name) or _UNFINISHED.fullmatch(name))


def is_manifest(value: dict[str, Any]) -> bool:
    """Return whether a value is what `ShardSink.finish` writes, whole."""
    parts = value.get("parts")
    return (
        isinstance(value.get("job"), dict)
        and _has_sums(value)
        and isinstance(parts, list)
        and all(isinstance(part, dict) and is_part(part) for part in parts)
    )


def is_part(value: dict[str, Any]) -> bool:
    """Return whether a value is what a run notes of a part; its files are shards in the folder."""
    files, errors = value.get("files"), value.get("errors")
    return (
        _has_sums(value)
        and isinstance(files, list)
        and all(isinstance(name, str) and _SHARD.fullmatch(name) for name in files)
        and isinstance(errors, list)
        and all(isinstance(e, dict) and isinstance(e.get("error"), str) for e in errors)
    )


def _has_sums(value: dict[str, Any]) -> bool:
    labels = value.get("labels")
    return (
        all(_is_count(value.get(key)) for key in _COUNTS)
        and _are_counts(value.get("left_out"))
        and isinstance(labels, dict)
        and all(
            _are_counts(counts) and counts.keys() == {"instances", "pixels"}
            for counts in labels.values()
        )
    )


def _are_counts(value: Any) -> TypeGuard[dict[str, int]]:
    return isinstance(value, dict) and all(map(_is_count, value.values()))


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _fill(path: str, write: Callable[[IO[bytes]], object]) -> int:
    with open(path, "wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
        return file.tell()
