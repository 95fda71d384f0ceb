"""Failed images of which no score is known: which they are, and in which strata they lie."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from segscale.tasks.decisions.lost import Lost, lost_images
from segscale.tasks.metrics.pairing import pair_images

IMAGES = pd.DataFrame(
    {
        "image_id": ["i0", "i1", "i2"],
        "site": ["a=b", None, "a=b"],
        "status_a": ["ok", "ok", "failed"],
        "status_b": ["failed"] * 3,
    }
)


@pytest.mark.parametrize(
    ("stratum", "expected", "expected_alone"),
    [
        pytest.param("", (3, 2), (3, 3), id="the whole set"),
        pytest.param("site=a=b", (2, 1), (2, 2), id="a value with a sign of equality"),
        pytest.param("site=", (1, 1), (1, 1), id="no value is a stratum of its own"),
        pytest.param("site=c", (0, 0), (0, 0), id="a site without any"),
        pytest.param("reference_volume=(0,100)", (0, 0), (0, 0), id="sizes that nobody read"),
    ],
)
def test_numbers_by_stratum(stratum: str, expected: tuple[int, int], expected_alone: tuple[int, int]) -> None:
    assert Lost(IMAGES, is_alone=False).numbers(stratum) == expected
    assert Lost(IMAGES, is_alone=True).numbers(stratum) == expected_alone


def test_missing_predictions_are_not_lost(run_of: Callable[..., pd.DataFrame]) -> None:
    base, new = run_of([0.5] * 6, failed=[5]), run_of([0.5] * 6, missing=[0, 1], failed=[2])
    lost = lost_images(pair_images(base, new), base)
    assert lost.images["image_id"].tolist() == ["i2", "i5"]
    assert lost.numbers("") == (2, 1)
    assert lost_images(pair_images(base, base.copy()), base).images["image_id"].tolist() == ["i5"]
