"""A conversion, as the command line has asked for it.

Formats of ours are written item by item, as the input is read; Datumaro writes all others.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from difflib import get_close_matches
from fractions import Fraction
from functools import partial
from typing import Any

from datumaro.components.dataset import Dataset, StreamDataset
from datumaro.components.dataset_base import DatasetItem, IDataset
from datumaro.components.environment import DEFAULT_ENVIRONMENT
from datumaro.components.exporter import ExportContext, Exporter, ExportErrorPolicy
from datumaro.components.transformer import ItemTransform

from ..._bridge import import_with
from ...errors import SegmaskImportError, UsageError, counted, printable
from ...options import (
    IMPORTS,
    KEEP,
    NNUNET,
    ULTRALYTICS,
    names_of,
)
from ...plugin.base import SegmaskBase
from ...plugin.export.exporter import SegmaskExporter
from ...plugin.export.in_place import ArchivePlace, ExportTarget
from ...plugin.host import (
    CollectedErrors,
    CollectedExportErrors,
    known_archive,
    source_of,
    without_policy,
)
from ...plugin.importer import NAME
from ...plugin.training.exporter import TrainingExporter
from ...rules import open_archive
from ...storage import absolute
from ...training import TRAIN, split_subsets
from .. import FAULTS, OK, run_datum, unknown_option
from .parts import Counts, Input, LoadedParts, Parts, labels_of

_OF_DATUM = {"filter": "-e", "filter_mode": "--filter-mode"}
_OPTIONS_OF = {name: names_of(declared) for name, declared in IMPORTS.items()}
_HASH_BYTES = 8


def convert(options: argparse.Namespace, chosen: dict[str, Any]) -> int:
    """Convert what the command line names; return the exit status.

    ``chosen`` are the options of the import that were given.
    """
    exporter = exporter_of(options.output_format)
    if exporter is None or options.filter:
        return _by_datumaro(options, chosen)
    path = options.path or options.input
    if path is None:
        raise UsageError(
            "no dataset is given", "the command line", "a path, such as task.zip",
            "type 'datumaro-segmask convert PATH -f FORMAT -o OUT'",
        )  # fmt: skip
    return _Conversion(path, exporter, options, chosen).run()


class _Conversion:
    """A conversion to a format of ours, which reads and writes item by item."""

    def __init__(
        self,
        path: str,
        exporter: type[Exporter],
        options: argparse.Namespace,
        import_options: dict[str, Any],
    ) -> None:
        self._path = path
        self._exporter = exporter
        self._options = options
        self._import_options = import_options
        self._out: str = options.output_dir or f"{os.path.basename(path)}-{exporter.NAME}"
        self._counts = Counts()
        self._broken, self._unwritten = CollectedErrors(), CollectedExportErrors()

    def run(self) -> int:
        as_file = issubclass(self._exporter, SegmaskExporter) and self._out.endswith(".zip")
        _check_target(self._out, self._options.overwrite)
        dataset = self._open()
        base = source_of(dataset)
        splits = self._options.random_split
        split_of: _Splitter | None = None
        if splits:
            split_of = _Splitter.of(dataset, splits, self._options.seed)
            dataset.transform(_InSplits, split_of=split_of)
        dataset.transform(_Counted, counts=self._counts)
        options = self._export_options()
        with ExitStack() as stack:
            parts = self._parts(dataset, base, split_of, stack)
            spread = {"spread": parts} if parts else {}
            policy = self._unwritten if self._options.skip_broken else None
            try:
                if as_file:
                    _write_zip(dataset, self._out, policy, options | spread)
                else:
                    dataset.export(
                        self._out, self._exporter.NAME, error_policy=policy, **options, **spread
                    )
            except BrokenExecutor as broken:
                raise UsageError(
                    "the processes that convert keep dying", printable(self._path),
                    "enough memory for each of them", "give fewer --jobs",
                ) from broken  # fmt: skip
        self._say(options.get("layout"))
        # Each once, though an export may have looked at all items twice.
        errors = dict.fromkeys(map(str, [*self._broken.errors, *self._unwritten.errors]))
        for error in errors:
            print(f"left out: {printable(error)}")
        return FAULTS if errors else OK

    def _open(self) -> Dataset:
        found = self._options.input_format or _detected(self._path)
        _check_format(found, DEFAULT_ENVIRONMENT.importers, "-if", "reads")
        if not self._import_options.keys() <= {*_OPTIONS_OF.get(found, ())}:
            raise _refuse(self._import_options, found)
        if (found, self._exporter.NAME, self._options.unknown) == (NAME, "semantic_masks", None):
            self._import_options["unknown"] = KEEP
        kind = StreamDataset if found in _OPTIONS_OF else Dataset
        policy = {"error_policy": self._broken} if self._options.skip_broken else {}
        dataset: Dataset = kind.import_from(self._path, found, **policy, **self._import_options)
        return dataset

    def _parts(
        self, dataset: Dataset, base: object, split_of: _Splitter | None, stack: ExitStack
    ) -> Parts | LoadedParts | None:
        """Return what does the items in parts, None where the export goes by them."""
        address = self._options.dask
        if not isinstance(base, SegmaskBase):
            if address:
                raise UsageError(
                    "a cluster converts only archives", "--dask", "an archive of masks",
                    "leave it out",
                )  # fmt: skip
            return None if dataset.is_stream else LoadedParts(dataset, self._options.jobs)
        executor = None
        if address:
            from ...sharding import dask_cluster  # and with it pyarrow

            executor = stack.enter_context(dask_cluster(address))
        source = Input(absolute(self._path), self._import_options, base, split_of)
        broken = self._broken if self._options.skip_broken else None
        return Parts(source, self._options.jobs, executor, self._counts, broken)

    def _export_options(self) -> dict[str, Any]:
        parser = self._exporter.build_cmdline_parser()
        defaults = vars(parser.parse_args([]))
        found = {name: getattr(self._options, name, value) for name, value in defaults.items()}
        for name in {*found} & {*self._import_options} - {"keep_background"}:
            found[name] = defaults[name]  # of both; here it is the import's
        known, unknown = parser.parse_known_args(self._options.rest)
        if unknown:
            command = f"datumaro-segmask convert -f {self._exporter.NAME}"
            raise unknown_option(parser, unknown, command)
        after = vars(known)
        found |= {name: value for name, value in after.items() if value != defaults[name]}
        if found.get("save_media") is None:
            found["save_media"] = issubclass(self._exporter, TrainingExporter)
        return found

    def _say(self, layout: str | None) -> None:
        print(f"{printable(self._out)}: {self._exporter.NAME}")
        width = max(map(len, self._counts.images), default=0)
        for subset, images in self._counts.images.items():
            labels = self._counts.labels[subset]
            classes = counted(len(labels), "class")
            print(
                f"  {printable(subset):{width}}  {counted(images, 'image')}, "
                f"{counted(labels.total(), 'object')} of {classes}"
            )
        following = _next_command(self._exporter.NAME, self._out, [*self._counts.images], layout)
        if following:
            print(f"next: {following}")


class _InSplits(ItemTransform):
    """Puts each item into its split."""

    def __init__(self, extractor: IDataset, split_of: _Splitter) -> None:
        super().__init__(extractor)
        self._split_of = split_of

    def transform_item(self, item: DatasetItem) -> DatasetItem:
        return self.wrap_item(item, subset=self._split_of(item.id))


class _Counted(ItemTransform):
    """Counts what is written of each subset."""

    def __init__(self, extractor: IDataset, counts: Counts) -> None:
        super().__init__(extractor)
        self._counts = counts

    def __iter__(self) -> Iterator[DatasetItem]:
        self._counts.clear()  # an export may look at all pictures first
        yield from super().__iter__()

    def transform_item(self, item: DatasetItem) -> DatasetItem:
        self._counts.add(item.subset, labels_of(item))
        return item


@dataclass(frozen=True)
class _Splitter:
    """Gives each id its split, by its place among the hashes of all ids.

    So the splits are as large as they should be, and every split has an item if there are enough.
    ``limits``: the last hash of each split, and its name.
    """

    limits: tuple[tuple[int, str], ...]
    seed: int

    @classmethod
    def of(cls, dataset: Dataset, shares: Mapping[str, Fraction], seed: int) -> _Splitter:
        """Return the one of the ids of a dataset."""
        known = known_archive(dataset)
        ids: Iterable[str]
        if known is not None:
            ids = {item_id for subset in known.subsets.values() for item_id in subset}
        else:
            ids = {item.id for item in dataset}
        hashes = sorted(_hash(item_id, seed) for item_id in ids)
        limits: list[tuple[int, str]] = []
        end, share = 0, Fraction(0)
        for number, (name, part) in enumerate(shares.items(), 1):
            share += part
            left = len(shares) - number
            end = max(end + 1, min(round(share * len(hashes)), len(hashes) - left))
            last = hashes[min(end, len(hashes)) - 1] if left and hashes else 1 << 8 * _HASH_BYTES
            limits.append((last, name))
        return cls(tuple(limits), seed)

    def __call__(self, item_id: str) -> str:
        value = _hash(item_id, self.seed)
        return next(name for last, name in self.limits if value <= last)


def _hash(item_id: str, seed: int) -> int:
    data = f"{seed}:{item_id}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=_HASH_BYTES).digest(), "big")


def _next_command(name: str, out: str, subsets: Sequence[str], layout: str | None) -> str:
    """Return what to type next, with the names of what was written."""
    quoted = shlex.quote(out)
    data = shlex.quote(f"data={os.path.join(out, 'data.yaml')}")
    if name == "yolo_segments":
        return f"yolo segment train {data} model=yolo11n-seg.pt"
    if layout == ULTRALYTICS:
        return f"yolo semantic train {data} model=yolo26n-sem.pt"
    if layout == NNUNET:
        number = re.match(r"Dataset(\d{3})_", os.path.basename(os.path.abspath(out)))
        return f"nnUNetv2_plan_and_preprocess -d {int(number[1])}" if number else (
            f"nnU-Net looks for a folder such as nnUNet_raw/Dataset001_Mine: move {quoted} there"
        )  # fmt: skip
    if name == "coco_segments":
        train = [*split_subsets(subsets).subsets[TRAIN], *subsets]
        if not train:
            return ""
        images = os.path.join(out, "images", train[0])
        file = os.path.join(out, "annotations", f"instances_{train[0]}.json")
        return f"in Python, CocoDetection({images!r}, {file!r})"
    if name == NAME:
        return f"datumaro-segmask check {quoted} --for cvat"
    return ""


def _write_zip(
    dataset: Dataset, path: str, policy: ExportErrorPolicy | None, options: Mapping[str, Any]
) -> None:
    real = os.path.realpath(path)
    chosen = {key: value for key, value in options.items() if key != "zip"}
    context = ExportContext(error_policy=policy)
    exporter = SegmaskExporter(dataset, os.path.dirname(real), ctx=context, **chosen)
    with without_policy():
        exporter.write_to(ExportTarget(ArchivePlace(real, True), in_place=False))


def _check_target(out: str, overwrite: bool) -> None:
    is_there = os.path.isfile(out) or (os.path.isdir(out) and os.listdir(out))
    if is_there and not overwrite:
        raise UsageError(
            "it already exists" if os.path.isfile(out) else "it already exists, and is not empty",
            out,
            "a new path, or the option --overwrite",
            "choose another one with -o, or give the option --overwrite",
        )


_PICTURES = ("image_dir", "image_zip")
"""Formats of Datumaro for pictures alone, which have to be named: nothing would be converted."""


def _detected(path: str) -> str:
    """Return the format of a dataset; says what is wrong with what is no dataset."""
    found = DEFAULT_ENVIRONMENT.detect_dataset(path, depth=2) if os.path.exists(path) else []
    if len(found) > 1:
        raise UsageError(
            f"it may be of several formats ({', '.join(found)})",
            path,
            "one format",
            f"name it, as in '-if {found[0]}'",
        )
    if not found or found[0] in _PICTURES:
        open_archive(path)  # which says what is there, and what to type
        return NAME
    return str(found[0])


def _check_format(name: str, known: Iterable[str], option: str, does: str) -> None:
    """Refuse a name of a format that Datumaro does not know, and suggest a known one."""
    names = {each.lower().replace("-", "_"): each for each in known}
    if name in names.values():
        return
    text = name.lower().replace("-", "_")
    near = get_close_matches(text, names, 1)
    if text.startswith("segmentation mask"):  # as CVAT calls it
        near = [NAME]
    raise UsageError(
        "there is no such format",
        name,
        f"a format that Datumaro {does}",
        f"type '{option} {names[near[0]]}'" if near else "'datum format' lists them",
    )


def exporter_of(name: str | None) -> type[Exporter] | None:
    """Return the exporter of a format of ours, None for one of Datumaro's.

    Raises UsageError for a format that there is not.
    """
    if name is None:
        return None
    exporters = DEFAULT_ENVIRONMENT.exporters
    _check_format(name, exporters, "-f", "writes")
    found = exporters[name]
    found = getattr(found, "get_plugin_cls", lambda: found)()
    return found if found.__module__.startswith(f"{__package__.partition('.')[0]}.") else None


def _by_datumaro(options: argparse.Namespace, chosen: dict[str, Any]) -> int:
    """Run ``datum convert``, with the options of an import that it lacks."""
    for given, name in (("random_split", "--random-split"), ("skip_broken", "--skip-broken")):
        if getattr(options, given):
            raise UsageError(
                "this option works only with formats of this package", name,
                "-f segmask or a format for training, and no filter", "leave it out",
            )  # fmt: skip
    args: list[str] = []
    named = {
        "-i": options.path or options.input,
        "-if": options.input_format,
        "-f": options.output_format,
        "-o": options.output_dir,
        **{option: getattr(options, name) for name, option in _OF_DATUM.items()},
    }
    for option, value in named.items():
        args += [] if value is None else [option, value]
    args += ["--overwrite"] if options.overwrite else []
    rest = [*options.rest]
    rest += ["--save-media"] if options.save_media else []
    exporter = exporter_of(options.output_format)
    if exporter is not None and issubclass(exporter, TrainingExporter):
        rest += ["--keep-background"] if "keep_background" in chosen else []
    if options.input_format is not None:
        _check_format(options.input_format, DEFAULT_ENVIRONMENT.importers, "-if", "reads")
    with import_with(chosen, _OPTIONS_OF, partial(_refuse, chosen)):
        command = ["convert", *args, *(["--", *rest] if rest else [])]
        return run_datum(command, quiet=options.quiet, verbose=options.verbose)


def _refuse(chosen: Collection[str], found: str) -> SegmaskImportError:
    able = [repr(name) for name, known in _OPTIONS_OF.items() if {*chosen} <= {*known}]
    lacking = sorted({*chosen} - {*_OPTIONS_OF.get(found, ())})
    which = f"not the option {lacking[0]}" if found in _OPTIONS_OF else (
        "none of the options that were given"
    )  # fmt: skip
    return SegmaskImportError(
        f"the format is {found!r}, which has {which}",
        "the input",
        f"a dataset of the format {' or '.join(able)}" if able else "options of one format",
        "leave them out, or name the format with -if",
    )
