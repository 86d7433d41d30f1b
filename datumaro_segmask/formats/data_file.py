"""``data.yaml``, by which Ultralytics finds the images of a tree, and what is odd about it.

Source: docs/training.md, sections 3 and 9.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence

import yaml

from ..errors import as_typed, printable
from ..storage import FolderSink, open_plain
from ..training import TEST, TRAIN, VAL, Splits

log = logging.getLogger(__name__)

IMAGES = "images"
DATA_FILE = "data.yaml"
_HEAD = "# Written by datumaro-segmask, "
_CACHE = ".cache"  # what Ultralytics calls a folder of labels by, to remember what is in it


def put_data_file(
    sink: FolderSink,
    name: str,
    root: str,
    splits: Splits,
    folder_of: Callable[[str], str],
    names: Sequence[str],
    **more: str,
) -> None:
    """Write ``data.yaml`` of the format ``name``, and say what it does not name.

    ``root``: where the tree will lie; ``folder_of`` gives the folder of a subset below ``images``;
    ``more`` are further lines.
    """
    folders = {
        split: [*dict.fromkeys(f"{IMAGES}/{folder_of(s)}" for s in subsets)]
        for split, subsets in splits.subsets.items()
    }
    _say_what_is_odd(splits)
    # Ultralytics insists on both; a test set stands for neither.
    val = folders[VAL] or folders[TRAIN] or [f"{IMAGES}/{VAL}"]
    named = {TRAIN: folders[TRAIN] or [f"{IMAGES}/{TRAIN}"], VAL: val}
    named |= {TEST: folders[TEST]} if folders[TEST] else {}
    sink.put_lines(DATA_FILE, data_file(name, os.path.abspath(root), named, names, **more))


def data_file(
    name: str, path: str, splits: Mapping[str, Sequence[str]], names: Sequence[str], **more: str
) -> Iterator[str]:
    """Yield the lines of ``data.yaml``: ``path``, the folders of images of each split, ``names``.

    ``name``: the format; ``path``: where the whole tree lies; ``splits``: for each, such as
    ``train``, its folders.
    """
    yield f"{_HEAD}{name}"
    # A relative path would be one from wherever Ultralytics is started.
    yield "# 'path' is where this folder was written: remove the line if you move the folder."
    about: dict[str, object] = {"path": path}
    about |= {split: own[0] if len(own) == 1 else [*own] for split, own in splits.items()}
    about |= {**more, "names": dict(enumerate(names))}
    yield _yaml_text(about)


def has_own_data_file(root: str, name: str) -> bool:
    """Return whether a folder has a ``data.yaml`` that was written here, of the format ``name``."""
    head = f"{_HEAD}{name}".encode()
    try:
        with open_plain(os.path.join(root, DATA_FILE)) as file:
            return file.read(len(head)) == head
    except OSError:
        return False


def discard_caches(sink: FolderSink, folder: str) -> None:
    """Discard what Ultralytics remembers of the labels in a folder, which it tells by their sizes.

    A cache lies beside the folder of its labels.
    """
    for place, _, names in os.walk(os.path.join(sink.root, folder)):
        for name in names:
            labels = os.path.join(place, name.removesuffix(_CACHE))
            if name.endswith(_CACHE) and os.path.isdir(labels):
                found = os.path.relpath(os.path.join(place, name), sink.root)
                sink.discard(found.replace(os.sep, "/"))


def say_what_is_left_out(splits: Splits, where: str) -> None:
    """Say which subsets ``where`` does not name, and which splits have subsets of two meanings."""
    if splits.unused:
        log.warning(
            "%s does not name %s, because other subsets have the same items.",
            where,
            _listed(splits.unused),
        )
    for split in splits.mixed:
        log.warning(
            "The split %r has subsets of different meaning: %s.",
            split,
            _listed(splits.subsets[split]),
        )


def _say_what_is_odd(splits: Splits) -> None:
    if not splits.subsets[TRAIN]:
        log.warning(
            as_typed(
                "There is no split 'train', so %s names a folder that does not exist. Name a "
                "subset with the option split, as in 'part1=train', or split the dataset "
                "first: datum transform -t random_split"
            ),
            DATA_FILE,
        )
    elif not splits.subsets[VAL]:
        log.warning(
            as_typed(
                "There is no split 'val', which Ultralytics needs, so %s names the images of %s "
                "for it, and validation scores will look too good. Name a subset with the option "
                "split, as in 'part2=val', or split the dataset first: datum transform -t "
                "random_split"
            ),
            DATA_FILE,
            _listed(splits.subsets[TRAIN]),
        )
    say_what_is_left_out(splits, DATA_FILE)


def _listed(subsets: Sequence[str]) -> str:
    return printable(", ".join(map(repr, subsets)))


class _Quoted(str):
    """A text that is written in quotes."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(
    _Quoted,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style='"'),
)


def _yaml_text(value: Mapping[str, object]) -> str:
    """Return YAML whose texts are in quotes, because YAML 1.1 and 1.2 take others for numbers."""

    def quoted(part: object) -> object:
        if isinstance(part, str):
            return _Quoted(part)
        if isinstance(part, Mapping):
            return {key: quoted(inner) for key, inner in part.items()}
        return [*map(quoted, part)] if isinstance(part, list) else part

    text: str = yaml.dump(
        quoted(value), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=float("inf")
    )
    return text.rstrip("\n")
