"""Settings that cannot be meant are refused by name."""

from typing import Any

import pytest

from segscale.tasks.metrics.settings import ScoreSettings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tversky_alpha", -0.1),
        ("tversky_beta", float("inf")),
        ("smooth", -1.0),
        ("smooth", float("nan")),
        ("empty", "skip"),
        ("batch_sizes", (0,)),
        ("batch_sizes", (2**63,)),
        ("batch_sizes", (8, 8)),
        ("bootstrap", -1),
        ("confidence", 95),
        ("group_by", "site"),
        ("group_by", ("site", "site")),
        ("group_by", ("",)),
        ("seed", -1),
    ],
)
def test_refuses(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        ScoreSettings(**{name: value})


def test_weights_that_are_both_zero_leave_no_score() -> None:
    with pytest.raises(ValueError, match="at least one above 0"):
        ScoreSettings(tversky_alpha=0, tversky_beta=0)


def test_lists_become_tuples() -> None:
    assert ScoreSettings(batch_sizes=[1, 8]) == ScoreSettings(batch_sizes=(1, 8))  # type: ignore[arg-type]


def test_changes_are_checked_as_settings_are() -> None:
    changed = ScoreSettings(seed=3).changed(smooth=1.0)
    assert changed == ScoreSettings(seed=3, smooth=1.0)
    with pytest.raises(ValueError, match="smooth"):
        changed.changed(smooth=-1.0)
