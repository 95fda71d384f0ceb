from __future__ import annotations

import math

import numpy as np
import pytest

from segscale.tasks.training.checkpoint import Best, Checkpoint, decode_checkpoint

ROW = {"epoch": 3, "split": "training", "loss": 0.1, "dice_per_sample": math.nan}
ARRAYS = (np.arange(6, dtype=np.float32).reshape(2, 3), np.array(7, np.uint32), np.zeros((0, 2), np.float16))
FULL = Checkpoint("abc", 3, (ROW,), ARRAYS, ARRAYS[:1], Best(2, 0.75, ARRAYS[1:]))
EMPTY = Checkpoint("abc", 0, (), (), (), None)


def assert_same(found: tuple[np.ndarray, ...], expected: tuple[np.ndarray, ...]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "checkpoint",
    [
        pytest.param(FULL, id="arrays of several types, one scalar, one empty"),
        pytest.param(EMPTY, id="before the first epoch"),
    ],
)
def test_what_was_encoded_comes_back(checkpoint: Checkpoint) -> None:
    found = decode_checkpoint(checkpoint.encode())
    assert (found.training_id, found.epoch) == (checkpoint.training_id, checkpoint.epoch)
    assert_same(found.network, checkpoint.network)
    assert_same(found.optimizer, checkpoint.optimizer)
    assert (found.best is None) == (checkpoint.best is None)
    if found.best and checkpoint.best:
        assert (found.best.epoch, found.best.score) == (2, 0.75)
        assert_same(found.best.weights, checkpoint.best.weights)


def test_undefined_scores_stay_undefined() -> None:
    (row,) = decode_checkpoint(FULL.encode()).rows
    assert math.isnan(row["dice_per_sample"])
    assert row["loss"] == 0.1


def test_more_than_ten_arrays_keep_their_order() -> None:
    arrays = tuple(np.array(number) for number in range(120))
    found = decode_checkpoint(Checkpoint("abc", 1, (), arrays, (), None).encode())
    assert [int(array) for array in found.network] == list(range(120))


def test_objects_are_never_unpickled() -> None:
    with pytest.raises(ValueError, match="Object arrays"):
        Checkpoint("abc", 1, (), (np.array([{}], dtype=object),), (), None).encode()


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 0.999], ids=lambda share: f"cut at {share:.1%}")
def test_a_cut_file_is_refused(share: float) -> None:
    data = FULL.encode()
    with pytest.raises(ValueError, match="is damaged, or no checkpoint"):
        decode_checkpoint(data[: int(share * len(data))])


def test_a_foreign_file_is_refused() -> None:
    with pytest.raises(ValueError, match="is damaged, or no checkpoint"):
        decode_checkpoint(b"PAR1" + bytes(100))
