"""What may be asked of a gate, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from segscale.errors import ArgumentError
from segscale.tasks.decisions.questions import asked

DICE = {"dice": 0.01}


def test_questions_of_the_whole_set_and_of_strata() -> None:
    found = asked({"dice": 0.01, "iou": 0.02}, {"sensitivity": 0.8}, ["dice"], ["pooled", "per_sample"])
    whole = [(one.kind, one.metric.name, one.aggregation, one.bound) for one in found.of_whole]
    assert whole == [
        ("better", "dice", "per_sample", 0.0), ("better", "dice", "pooled", 0.0),
        ("not worse", "iou", "per_sample", -0.02), ("not worse", "iou", "pooled", -0.02),
        ("floor", "sensitivity", "per_sample", 0.8), ("floor", "sensitivity", "pooled", 0.8),
    ]  # fmt: skip
    assert [one.kind for one in found.of_strata] == ["not worse"] * 4 + ["floor"] * 2
    assert [one.bound for one in found.of_strata[:2]] == [-0.01, -0.01]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"margins": {"dcie": 0.1}}, "got 'dcie'; did you mean dice", id="a metric with a slip"),
        pytest.param({"margins": {"volume_difference": 0.1}}, "more is better", id="of which less is better"),
        pytest.param({"floors": {"hd95": 5.0}}, "got 'hd95'", id="a distance"),
        pytest.param({"margins": {"dice": -0.01}}, "margin: expected a number above 0", id="a negative margin"),
        pytest.param({"margins": {"dice": 0.0}}, "margin: expected a number above 0", id="none: that is superiority"),
        pytest.param({"margins": {"dice": 1.0}}, "below 1 for dice, got 1.0", id="a margin of everything"),
        pytest.param({"floors": {"dice": 85.0}}, "floor: expected a number from 0 to 1", id="a floor in percent"),
        pytest.param({"superior": ["iou"]}, "expected a metric that has a margin (dice)", id="without a margin"),
        pytest.param({"aggregations": ["mean"]}, "expected per_sample, pooled, got 'mean'", id="an unknown one"),
        pytest.param({"aggregations": []}, "nothing is asked", id="no aggregation"),
        pytest.param({"margins": {}}, "nothing is asked", id="neither margin nor floor"),
    ],
)
def test_what_is_refused(changes: dict[str, Any], words: str) -> None:
    given = {"margins": DICE, "floors": {}, "superior": [], "aggregations": ["per_sample"], **changes}
    with pytest.raises(ArgumentError) as refused:
        asked(**given)
    assert words in str(refused.value)
