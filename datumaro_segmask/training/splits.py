"""What a subset is for, by its name: training, validation or testing.

CVAT's own user interface calls subsets ``Train``, ``Test`` and ``Validation``, Roboflow writes
``valid``, COCO ``train2017``, scripts ``trainval`` or ``fold0``. Every format that knows splits
goes by this one table. Source: docs/training.md, section 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from ..errors import SegmaskExportError, SubsetError

TRAIN, VAL, TEST = SPLITS = ("train", "val", "test")

_WORDS = {
    "train": TRAIN,
    "training": TRAIN,
    "val": VAL,
    "valid": VAL,
    "validation": VAL,
    "dev": VAL,
    "test": TEST,
    "testing": TEST,
}
_BOTH = "trainval"
_WORD = re.compile(r"[^\W\d_]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def meaning_of(subset: str) -> str | None:
    """Return the split that the name of a subset stands for: one of `SPLITS`, or None.

    The words of a name count, in any case: ``Train``, ``val_2017`` and ``test-dev`` are train, val
    and test. A name that says ``test`` is a test set, whatever else it says. ``trainval``, and a
    name that says both, is None, as is any other name.
    """
    words = _words_of(subset)
    found = {_WORDS[word] for word in words if word in _WORDS}
    if TEST in found:
        return TEST
    return found.pop() if len(found) == 1 and _BOTH not in words else None


def _words_of(subset: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(_CAMEL.sub(" ", subset))]


@dataclass(frozen=True)
class Splits:
    """The subsets of each split, in their order, and those that belong to none.

    ``unused``: subsets that hold the items of other subsets once more, as ``trainval`` beside
    ``train``. ``mixed``: splits that were told to hold subsets of different meaning.
    """

    subsets: Mapping[str, tuple[str, ...]]
    unused: tuple[str, ...]
    mixed: tuple[str, ...]


def split_subsets(subsets: Iterable[str], chosen: Mapping[str, str] | None = None) -> Splits:
    """Return which subsets are trained on, which validate and which test.

    ``chosen`` names the split of single subsets and goes before their meaning. What means nothing
    is trained on, ``default`` too; ``trainval`` is if there is no train. Raises SegmaskExportError
    if ``chosen`` names a subset that is not there.
    """
    names, chosen = [*dict.fromkeys(subsets)], chosen or {}
    for subset in chosen:
        if subset not in names:
            raise _no_such_subset(subset, names)
    split_of = {name: chosen.get(name) or meaning_of(name) for name in names}
    has_train = TRAIN in split_of.values()
    unused = []
    for name, split in split_of.items():
        if split is None and has_train and _is_both(name):
            unused.append(name)
        elif split is None:
            split_of[name] = TRAIN
    found = {split: tuple(n for n in names if split_of[n] == split) for split in SPLITS}
    mixed = [s for s, own in found.items() if len({*map(meaning_of, own)} - {None}) > 1]
    return Splits(found, tuple(unused), tuple(mixed))


def subsets_called(name: str, subsets: Iterable[str]) -> tuple[str, ...]:
    """Return the subset of this name, or those of the split that it is a word for.

    ``train`` is ``Train``, ``training`` and ``default``, too, where no subset has the very name.
    Raises SubsetError if there is none.
    """
    names = [*dict.fromkeys(subsets)]
    if name in names:
        return (name,)
    split = _WORDS.get(name.lower(), "")
    found = split_subsets(names).subsets.get(split, ())
    if found:
        return found
    near = _nearest(name, names)
    remedy = f"type {near!r}" if near else "name one of them"
    if split:
        remedy = "split the dataset first: 'datumaro-segmask convert' has --random-split"
    raise SubsetError(
        f"there is no subset {name!r}" + (", and none that means it" if split else ""),
        "the archive",
        f"one of {_listed(names)}",
        remedy,
    )


def parse_splits(text: str) -> dict[str, str]:
    """Return the split of each subset that the option ``split`` names: ``train2017=train,…``.

    Raises SegmaskExportError.
    """
    chosen = {}
    for pair in filter(str.strip, text.split(",")):
        # A subset may have the sign in its name, a split has not.
        subset, equals, split = (part.strip() for part in pair.rpartition("="))
        if not equals or not subset or split not in SPLITS:
            raise SegmaskExportError(
                f"the option split has {pair.strip()!r}",
                "the export",
                "pairs of a subset and 'train', 'val' or 'test', as in 'train2017=train'",
                "correct the option",
            )
        chosen[subset] = split
    return chosen


def _is_both(name: str) -> bool:
    words = _words_of(name)
    return _BOTH in words or {TRAIN, VAL} <= {_WORDS.get(word) for word in words}


def _no_such_subset(subset: str, names: list[str]) -> SegmaskExportError:
    near = _nearest(subset, names)
    return SegmaskExportError(
        f"the option split names the subset {subset!r}, which is not there",
        "the export",
        f"one of {_listed(names) or 'the subsets of the dataset'}",
        f"type {near!r}" if near else "leave it out",
    )


def _nearest(name: str, names: Iterable[str]) -> str | None:
    folded = {known.casefold(): known for known in names}
    return next((folded[near] for near in get_close_matches(name.casefold(), folded, 1)), None)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, sorted(names)))
