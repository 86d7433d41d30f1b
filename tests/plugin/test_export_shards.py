"""An export to many zips, each of which is an archive of its own."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from datumaro.components.annotation import Mask
from datumaro.components.dataset import Dataset, StreamDataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.errors import DatumaroError
from datumaro.components.media import Image

import datumaro_segmask
from datumaro_segmask.cli import main

from ..archives import archive, as_folder, rgb
from ..disk import Killed, failing
from ..processes import command

datumaro_segmask.register()


def dataset(count: int) -> Dataset:
    mask = np.zeros((6, 6), bool)
    mask[1:5, 1:4] = True
    items = [
        DatasetItem(
            f"i{number}",
            subset="train" if number % 2 else "val",
            annotations=[Mask(mask, label=1, group=number + 1)],
            media=Image.from_numpy(np.full((6, 6, 3), number, np.uint8)),
        )
        for number in range(count)
    ]
    return Dataset.from_iterable(items, categories=["background", "car"])


def ids_in(path: Path) -> list[str]:
    return sorted(item.id for item in Dataset.import_from(str(path), "segmask"))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("items", "size", "expected"),
    [(5, 2, [2, 2, 1]), (4, 2, [2, 2]), (2, 5, [2]), (3, 1, [1, 1, 1]), (0, 2, [0])],
)
def test_each_shard_is_an_archive(
    items: int, size: int, expected: list[int], tmp_path: Path
) -> None:
    dataset(items).export(str(tmp_path / "out"), "segmask", shard_items=size, save_media=True)
    names = [f"segmask-{number:06}.zip" for number in range(len(expected))]
    assert names_in(tmp_path / "out") == names
    found = [ids_in(tmp_path / "out" / name) for name in names]
    assert [len(ids) for ids in found] == expected
    assert sorted(i for ids in found for i in ids) == [f"i{number}" for number in range(items)]
    for name in names if items else []:
        shard = str(tmp_path / "out" / name)
        assert main(["check", shard, "--for", "cvat", "--quiet"]) == 0
        for item in Dataset.import_from(shard, "segmask"):
            assert item.media.data[0, 0, 0] == int(item.id[1:])
            assert [(m.label, m.image.sum()) for m in item.annotations] == [(1, 12)]


def test_same_bytes_again(tmp_path: Path) -> None:
    for name in ("one", "two"):
        dataset(5).export(str(tmp_path / name), "segmask", shard_items=2)
    for name in names_in(tmp_path / "one"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_streams(tmp_path: Path) -> None:
    mask = rgb("01")
    source = as_folder(archive(dict.fromkeys("abc", mask)), tmp_path / "source")
    StreamDataset.import_from(str(source), "segmask").export(
        str(tmp_path / "out"), "segmask", shard_items=2
    )
    assert [len(ids_in(path)) for path in sorted((tmp_path / "out").iterdir())] == [2, 1]


def test_old_shards_go_and_other_files_stay(tmp_path: Path) -> None:
    dataset(5).export(str(tmp_path), "segmask", shard_items=1)
    (tmp_path / "segmask-mine.zip").write_bytes(b"mine")
    (tmp_path / "notes.txt").write_text("mine")
    dataset(3).export(str(tmp_path), "segmask", shard_items=2)
    assert names_in(tmp_path) == [
        "notes.txt", "segmask-000000.zip", "segmask-000001.zip", "segmask-mine.zip"
    ]  # fmt: skip


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("segmask-*.zip")}


def old_and_new(tmp_path: Path) -> tuple[Path, dict[str, bytes], dict[str, bytes]]:
    """A folder with shards, what is in it, and what an export of another dataset gives there."""
    dataset(5).export(str(tmp_path / "new"), "segmask", shard_items=1)
    dataset(4).export(str(tmp_path / "out"), "segmask", shard_items=2)
    return tmp_path / "out", shards(tmp_path / "out"), shards(tmp_path / "new")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_all_or_none(error: BaseException, tmp_path: Path) -> None:
    """Whichever change of the disk fails, all shards are the old ones, or all are the new."""
    out, old, new = old_and_new(tmp_path)
    ends = []
    for at in range(1, 1000):
        with failing(out, at, error) as disk, suppress(OSError, KeyboardInterrupt, DatumaroError):
            dataset(5).export(str(out), "segmask", shard_items=1)
        assert shards(out) in (old, new)
        ends.append(shards(out) == new)
        if disk.left > 0:
            break
        dataset(4).export(str(out), "segmask", shard_items=2)
    assert len(ends) > 20
    assert sum(ends) < len(ends) / 2


def test_killed_while_the_shards_move(tmp_path: Path) -> None:
    out, old, new = old_and_new(tmp_path)
    recovered = []
    for at in range(1, 1000):
        with failing(out, at, Killed()) as disk, suppress(Killed):
            dataset(5).export(str(out), "segmask", shard_items=1)
        if disk.left > 0:
            break
        recovered.append(shards(out) not in (old, new))
        assert main(["recover", str(out), "--quiet"]) in (0, 1)
        assert shards(out) in (old, new)
        dataset(4).export(str(out), "segmask", shard_items=2)
    assert sum(recovered) > 2


@pytest.mark.parametrize("path", ["x/segmask-000000.zip", "x"])
def test_not_over_its_own_source(path: str, tmp_path: Path) -> None:
    """The only copy of the pictures would go with the zip."""
    dataset(2).export(str(tmp_path / "x"), "segmask", shard_items=5, save_media=True)
    before = (tmp_path / "x/segmask-000000.zip").read_bytes()
    source = Dataset.import_from(str(tmp_path / path), "segmask")
    with pytest.raises(DatumaroError, match="the dataset was imported from there"):
        source.export(str(tmp_path / "x"), "segmask", shard_items=1)
    assert (tmp_path / "x/segmask-000000.zip").read_bytes() == before
    assert names_in(tmp_path / "x") == ["segmask-000000.zip"]


def test_a_number_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(DatumaroError, match="the option shard_items is -1"):
        dataset(1).export(str(tmp_path / "out"), "segmask", shard_items=-1)
    assert not (tmp_path / "out").exists()


def test_on_the_command_line(tmp_path: Path) -> None:
    as_folder(archive(dict.fromkeys("abc", rgb("01"))), tmp_path / "source")
    for options in (
        "-i source -if segmask -f voc_segmentation -o voc",
        "-i voc -if voc_segmentation -f segmask -o out -- --shard-items 2",
    ):
        done = command("convert", *options.split(), module="datumaro", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert names_in(tmp_path / "out") == ["segmask-000000.zip", "segmask-000001.zip"]
