"""Subsets are splits by their meaning, not by their spelling (`training.splits`)."""

import pytest

from datumaro_segmask.errors import SegmaskExportError
from datumaro_segmask.training.splits import (
    TEST,
    TRAIN,
    VAL,
    meaning_of,
    parse_splits,
    split_subsets,
)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *((name, TRAIN) for name in ("train", "Train", "TRAIN", "training", "train2017")),
        *((name, TRAIN) for name in ("train_2017", "train-a", "my_train", "trainSet", "train_0")),
        *((name, VAL) for name in ("val", "Validation", "valid", "dev", "val2017", "VALID_1")),
        *((name, TEST) for name in ("test", "Test", "testing", "test-dev2017", "fold0_test")),
        *((name, TEST) for name in ("train_test", "TestSet", "test2")),
        *((name, None) for name in ("default", "fold0", "trainval", "train_val", "trainval2012")),
        *((name, None) for name in ("", "contest", "latest", "evaluation", "street", "straining")),
    ],
)
def test_what_the_name_of_a_subset_stands_for(name, split):
    assert meaning_of(name) == split


@pytest.mark.parametrize(
    ("subsets", "train", "val", "test"),
    [
        (["Test", "Train", "Validation"], ["Train"], ["Validation"], ["Test"]),
        (["train", "valid", "test"], ["train"], ["valid"], ["test"]),
        (["default"], ["default"], [], []),
        (["fold0", "fold1", "val"], ["fold0", "fold1"], ["val"], []),
        (["train", "default"], ["train", "default"], [], []),
        (["trainval", "val"], ["trainval"], ["val"], []),
        (["trainval2012", "test"], ["trainval2012"], [], ["test"]),
        (["Test"], [], [], ["Test"]),
        (["train2017", "val2017"], ["train2017"], ["val2017"], []),
        ([], [], [], []),
    ],
)
def test_subsets_become_splits_and_a_test_set_is_never_trained_on(subsets, train, val, test):
    found = split_subsets(subsets)
    assert found.subsets == {TRAIN: tuple(train), VAL: tuple(val), TEST: tuple(test)}
    assert (found.unused, found.mixed) == ((), ())


@pytest.mark.parametrize("both", ["trainval", "train_val", "TrainVal"])
def test_trainval_beside_train_is_in_no_split(both):
    found = split_subsets([both, "train", "val"])
    assert found.subsets == {TRAIN: ("train",), VAL: ("val",), TEST: ()}
    assert found.unused == (both,)


def test_the_option_goes_before_the_meaning():
    found = split_subsets(["a", "b", "test"], parse_splits("a=val, test=train"))
    assert found.subsets == {TRAIN: ("b", "test"), VAL: ("a",), TEST: ()}
    assert found.mixed == ()
    assert split_subsets(["trainval", "train"], {"trainval": VAL}).subsets[VAL] == ("trainval",)


def test_subsets_of_different_meaning_in_one_split_are_told_of():
    assert split_subsets(["train", "test"], {"test": TRAIN}).mixed == (TRAIN,)


def test_a_subset_that_is_not_there_is_an_error_that_suggests_one():
    with pytest.raises(SegmaskExportError, match=r"'train', which is not there.*type 'Train'"):
        split_subsets(["Train", "Test"], parse_splits("train=val"))
    with pytest.raises(SegmaskExportError, match=r"'other'.*one of 'Train'.*leave it out"):
        split_subsets(["Train"], {"other": VAL})


@pytest.mark.parametrize("text", ["train", "=train", "a=b", "a=train,b"])
def test_an_option_that_is_no_pairs_is_an_error(text):
    with pytest.raises(SegmaskExportError, match="the option split has"):
        parse_splits(text)


def test_the_option_takes_names_with_the_sign_in_them():
    assert parse_splits("a=b=val, ,c = test") == {"a=b": VAL, "c": TEST}
    assert parse_splits("") == {}
