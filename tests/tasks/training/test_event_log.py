"""Event files, read back by TensorFlow, which checks every checksum, and by TensorBoard."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from segscale.tasks.training.event_log import FILE, write_event_log

HISTORY = pd.DataFrame(
    {
        "training_id": "a", "dataset": "made", "epoch": np.repeat([1, 2, 300], 2),
        "split": ["training", "validation"] * 3, "n_images": pd.array([40, 8] * 3, dtype="Int64"),
        "loss": [2.5, 2.0, 1.5, 1.25, np.inf, 1e300], "dice_pooled": [0.25, np.nan, 0.5, 0.75, 0.5, 0.625],
        "best_threshold": [np.nan, 0.5] * 3, "learning_rate": 0.125, "seconds": 2.0,
    }
)  # fmt: skip


def _scalars(path: Path) -> dict[str, dict[int, float]]:
    """Values by tag and step, as TensorFlow reads them."""
    import tensorflow as tf

    found: dict[str, dict[int, float]] = {}
    for event in tf.compat.v1.train.summary_iterator(str(path)):
        for value in event.summary.value:
            steps = found.setdefault(value.tag, {})
            assert event.step not in steps, "a doubled step"
            steps[event.step] = value.simple_value
    return found


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write_event_log(HISTORY, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["training", "validation"]
    assert _scalars(tmp_path / "training" / FILE) == {
        "statistics/n_images": {1: 40.0, 2: 40.0, 300: 40.0},
        "loss/loss": {1: 2.5, 2: 1.5, 300: np.inf},
        "dice/dice_pooled": {1: 0.25, 2: 0.5, 300: 0.5},
        "time/learning_rate": {1: 0.125, 2: 0.125, 300: 0.125},
        "time/seconds": {1: 2.0, 2: 2.0, 300: 2.0},
    }
    validation = _scalars(tmp_path / "validation" / FILE)
    assert validation["dice/dice_pooled"] == {2: 0.75, 300: 0.625}, "what is undefined is left out"
    assert validation["statistics/best_threshold"] == {1: 0.5, 2: 0.5, 300: 0.5}
    assert validation["loss/loss"][300] == np.inf, "beyond float32"


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(HISTORY[:2], id="after the first epoch"),
        pytest.param(HISTORY, id="the same again"),
        pytest.param(HISTORY.assign(loss=7.0), id="another training"),
        pytest.param(pd.concat([HISTORY, HISTORY[-1:].assign(epoch=301)]), id="a resume before the last epoch"),
    ],
)
def test_whatever_lay_there_the_bytes_are_those_of_the_history(before: pd.DataFrame, tmp_path: Path) -> None:
    write_event_log(before, tmp_path / "log")
    write_event_log(HISTORY, tmp_path / "log")
    write_event_log(HISTORY, tmp_path / "new")
    for split in ("training", "validation"):
        assert (tmp_path / "log" / split / FILE).read_bytes() == (tmp_path / "new" / split / FILE).read_bytes()
        assert [path.name for path in (tmp_path / "log" / split).iterdir()] == [FILE]


def test_a_file_cut_by_a_kill_is_completed(tmp_path: Path) -> None:
    write_event_log(HISTORY, tmp_path)
    path = tmp_path / "training" / FILE
    whole, kept = path.read_bytes(), path.stat().st_ino
    path.write_bytes(whole[:-7])
    write_event_log(HISTORY, tmp_path)
    assert path.read_bytes() == whole
    assert path.stat().st_ino == kept, "appended to: a reader that has it open sees the new epochs"


def test_without_validation_there_is_one_file(tmp_path: Path) -> None:
    write_event_log(HISTORY[HISTORY["split"] == "training"], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["training"]


def test_tensorboard_reads_it(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing import event_accumulator as accumulators

    write_event_log(HISTORY, tmp_path)
    log = accumulators.EventAccumulator(str(tmp_path / "validation")).Reload()
    assert [(one.step, one.value) for one in log.Scalars("dice/dice_pooled")] == [(2, 0.75), (300, 0.625)]
    assert [one.wall_time for one in log.Scalars("loss/loss")] == [4.0, 8.0, 12.0]
