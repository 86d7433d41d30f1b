"""Files of an archive by name, in a folder, a zip or a store, read and written; knows no masks."""

from .disk import at, entries, is_inside, open_plain
from .ids import Hashes, StoredLists
from .journal import recover, stagings
from .layout import LABEL_MAP
from .lock import WriteLock
from .no_archive import to_unpack, unreadable
from .open import (
    absolute,
    archive_roots,
    fitting,
    folder_roots,
    holds_archive,
    is_alone,
    open_storage,
    version,
)
from .plan import Listing, Plan, plan_save
from .read import MAX_FILE_BYTES, Entry, FolderStorage, Storage, image_rank
from .record import Aside, Record
from .remote.file import files_at
from .remote.store import Store, is_url, shown, url_of
from .write import FolderSink, OpenZip, Sink, SubsetLists, ZipSink, check_on_disk, whole
from .zip.archive import ZipStorage

__all__ = [
    "LABEL_MAP", "MAX_FILE_BYTES", "Aside", "Entry", "FolderSink", "FolderStorage", "Hashes",
    "Listing", "OpenZip", "Plan", "Record", "Sink", "Storage", "Store", "StoredLists",
    "SubsetLists", "WriteLock", "ZipSink", "ZipStorage", "absolute", "archive_roots", "at",
    "check_on_disk", "entries", "files_at", "fitting", "folder_roots", "holds_archive",
    "image_rank", "is_alone", "is_inside", "is_url", "open_plain", "open_storage", "plan_save",
    "recover", "shown", "stagings", "to_unpack", "unreadable", "url_of", "version", "whole",
]  # fmt: skip
