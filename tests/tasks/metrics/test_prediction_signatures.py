"""Broken predictions, as the counts of a run show them."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import pytest

from segscale.tasks.metrics.findings import Finding
from segscale.tasks.metrics.panel import panel_of
from segscale.tasks.metrics.prediction_signatures import broken_prediction, cases_of

Frames = Callable[..., pd.DataFrame]


@pytest.fixture
def judge(frame_of: Frames) -> Callable[..., Finding | None]:
    def judge(counts: Sequence[tuple[int, int, int]], **columns: Any) -> Finding | None:
        frame = frame_of(counts, heads=[""])
        foreground = frame["class_index"] == 1
        for name, values in columns.items():
            frame.loc[foreground, name] = values
        (case,) = cases_of(panel_of(frame))
        return broken_prediction(case)

    return judge


@pytest.mark.parametrize(
    ("counts", "columns", "signature", "evidence"),
    [
        pytest.param(
            [(20, 80, 0), (10, 90, 0)], {"soft_prediction_sum": 100.0}, "everything-foreground", "2F/(F+N) = 0.2609",
            id="softmax over one channel: 2 x 30 / (30 + 200)",
        ),
        pytest.param([(0, 0, 5), (0, 0, 0)], {}, "nothing-foreground", "5 are in the references", id="argmax over one"),
        pytest.param(
            [(0, 0, 5), (0, 0, 9)], {"soft_prediction_sum": 12.5}, "nothing-foreground", "probabilities sum to 25",
            id="all below the threshold",
        ),
        pytest.param(
            [(1, 90, 8), (0, 80, 20)], {}, "wrong-channel", "of the opposite prediction 0.9655",
            id="inverted: 56/58",
        ),
        pytest.param(
            [(0, 0, 20)] * 40 + [(1, 0, 19)], {}, "hardly-any-overlap", "pooled Dice 0.0024, background 0.88",
            id="background but for a pixel",
        ),
        pytest.param([(0, 4, 5), (0, 2, 9)], {}, "hardly-any-overlap", "6 of 200 pixels", id="a channel of speckles"),
        pytest.param([(0, 9, 5), (0, 9, 5)], {}, "hardly-any-overlap", "0 in both", id="references of other images"),
    ],
)  # fmt: skip
def test_a_broken_prediction_is_named(
    judge: Callable[..., Finding | None],
    counts: list[tuple[int, int, int]],
    columns: dict[str, Any],
    signature: str,
    evidence: str,
) -> None:
    found = judge(counts, **columns)
    assert found is not None
    assert found.signature == signature
    assert found.severity == "error"
    assert evidence in found.evidence


def test_one_probability_everywhere_by_hand(frame_of: Frames) -> None:
    # F = 46 of 1000 pixels, p = 1/2: soft Dice 46/(500 + 46), of the background 954/(500 + 954), the loss 0.744.
    frame = frame_of([(0, 0, 23), (23, 77, 0)] + [(0, 0, 0)] * 8)
    foreground = frame["class_index"] == 1
    reference = frame["reference_sum"].to_numpy(float)
    frame["soft_intersection"] = reference / 2
    frame["soft_prediction_sum"], frame["soft_prediction_squared_sum"] = 50.0, 25.0
    (case,) = cases_of(panel_of(frame))
    found = broken_prediction(case)
    assert found is not None
    assert foreground.any()
    assert found.signature == "constant-prediction"
    assert "0.5 to 0.5 over 10 images" in found.evidence
    assert "soft Dice 0.0842, background 0.6561" in found.evidence
    assert "is 0.744 per head" in found.evidence


@pytest.mark.parametrize(
    "counts",
    [
        pytest.param([(20, 2, 1), (30, 0, 4)], id="good"),
        pytest.param([(2, 20, 10), (0, 3, 4)], id="bad but honest"),
        pytest.param([(100, 0, 0), (100, 0, 0)], id="the reference is everything"),
        pytest.param([(0, 0, 0), (0, 0, 0)], id="nothing there and nothing found"),
        pytest.param([(0, 4, 0), (0, 1, 0)], id="nothing there and something found"),
    ],
)
def test_a_sound_prediction_has_no_finding(
    judge: Callable[..., Finding | None], counts: list[tuple[int, int, int]]
) -> None:
    assert judge(counts) is None


def test_a_class_of_several_that_is_never_predicted_is_a_warning(frame_of: Frames) -> None:
    frame = frame_of([(20, 2, 1), (30, 0, 4)])
    rare = frame_of([(0, 0, 1), (0, 0, 4)]).query("class_index == 1").assign(class_index=2, class_name="rare")
    cases = cases_of(panel_of(pd.concat([frame, rare])))
    found = [one for one in map(broken_prediction, cases) if one]
    assert [(one.signature, one.severity) for one in found] == [("nothing-foreground", "warning")]
    assert found[0].evidence.startswith("class rare, head 0: no pixel of 2 images")
