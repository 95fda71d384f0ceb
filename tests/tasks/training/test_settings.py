from __future__ import annotations

from typing import Any

import pytest

from segscale.tasks.training.settings import TrainSettings

SMALL = TrainSettings(epochs=1, filters=(2, 3), patch=8, batch_size=2)


def test_heads_are_averaged_where_no_weights_are_given() -> None:
    settings = SMALL.changed(filters=(2, 3, 4, 5, 6), patch=16)
    assert settings.n_heads == 4
    assert settings.weights_of_heads == (0.25, 0.25, 0.25, 0.25)


def test_head_weights_are_taken_as_given() -> None:
    assert SMALL.changed(filters=(2, 3, 4), head_weights=(0.0, 3.0)).weights_of_heads == (0.0, 3.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"patch": 9}, "multiple of 2", id="patch not divisible"),
        pytest.param({"patch": 0}, "patch", id="no patch"),
        pytest.param({"epochs": 0}, "epochs", id="no epoch"),
        pytest.param({"batch_size": 0}, "batch_size", id="no batch"),
        pytest.param({"steps_per_epoch": -1}, "steps_per_epoch", id="a negative number of steps"),
        pytest.param({"patience": -1}, "patience", id="negative patience"),
        pytest.param({"foreground_share": 1.5}, "foreground_share", id="a share above 1"),
        pytest.param({"n_classes": 3, "class_weights": (0.2, 0.3, 0.5)}, "use softmax", id="sigmoid of three classes"),
        pytest.param({"class_weights": (1.0,)}, "one per class", id="a weight is missing"),
        pytest.param({"head_weights": (0.5, 0.5)}, "one for each head", id="a weight too many"),
        pytest.param({"filters": (2, 3, 4), "head_weights": (1.0, 0.0)}, "last above 0", id="measured only"),
        pytest.param({"head_weights": (-1.0,)}, "head_weights", id="a head is pushed away"),
        pytest.param({"loss": "focal"}, 'loss: expected "dice_cross_entropy"', id="no such loss"),
        pytest.param(
            {"reduction_axes": "batch_summed"},
            'reduction_axes: expected "per_sample" or "batch"',
            id="no such reduction",
        ),
        pytest.param({"schedule": "step"}, 'schedule: expected "cosine" or "constant"', id="no such schedule"),
        pytest.param({"precision": "float64"}, 'precision: expected "float32"', id="no such precision"),
        pytest.param({"keep": "first"}, 'keep: expected "best" or "last"', id="no such epoch to keep"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SMALL.changed(**changes)
