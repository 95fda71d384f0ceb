"""Sentences of a gate: each number with what it is of, and never a word without its margin."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from segscale.tasks.decisions.gate import gate
from segscale.tasks.decisions.questions import asked
from segscale.tasks.metrics.settings import ScoreSettings

SETTINGS = ScoreSettings(bootstrap=0, batch_sizes=(), cluster_by="patient")
BASE = np.linspace(0.5, 0.9, 120)
TURNS = np.where(np.arange(120) // 4 % 2 == 0, 0.012, -0.012)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param(
            {"margins": {"dice": 0.05}},
            "mean dice of lesion, whole set: NEW 0.7000, BASE 0.7000, difference +0.0000, 95% interval -0.0046 to "
            "+0.0046 (120 images of 30 patient): pass, it is not worse by 0.05 or more (adjusted p below 0.0001; "
            "up to 9.5% of patient may do what none here does).",
            id="pass",
        ),
        pytest.param(
            {"margins": {"dice": 0.004}},
            "mean dice of lesion, whole set: NEW 0.7000, BASE 0.7000, difference +0.0000, 95% interval -0.0046 to "
            "+0.0046 (120 images of 30 patient): cannot tell whether it is worse by 0.004 or more, for the interval "
            "holds -0.004; about 46 more patient (about 184 images) would tell if the runs are equally "
            "good, about 46 more patient (about 184 images) would tell if the truth is as measured "
            "(in 80% of such studies).",
            id="cannot tell",
        ),
        pytest.param(
            {"floors": {"dice": 0.95}},
            "mean dice of lesion, whole set: NEW 0.7000, 95% interval 0.6558 to 0.7442 (120 images of 30 patient): "
            "fail, it is not above 0.95 (adjusted p below 0.0001).",
            id="a floor that is not reached",
        ),
    ],
)
def test_a_sentence_has_all_numbers(
    changes: dict[str, dict[str, float]], expected: str, run_of: Callable[..., pd.DataFrame]
) -> None:
    patients = np.arange(120) // 4
    base, new = (run_of(one, patient=patients) for one in (BASE, BASE + TURNS))
    questions = asked(changes.get("margins", {}), changes.get("floors", {}), (), ("per_sample",))
    found = gate(base, new, (SETTINGS, SETTINGS), SETTINGS, questions)
    assert found.strata["sentence"].tolist() == [expected]
    assert "significant" not in found.summary + expected
