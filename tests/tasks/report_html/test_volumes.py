import numpy as np
import pandas as pd
import pytest

from segscale.tasks.report_html.volume_plot import draw_agreement
from segscale.tasks.report_html.volumes import VolumePairs, agreement_of, volume_pairs


def _per_image(reference: list[float], prediction: list[float], status: list[str]) -> pd.DataFrame:
    volumes = {"reference_volume_ml": reference, "prediction_volume_ml": prediction}
    return pd.DataFrame({"class_index": 1, "head": "", "status": status, **volumes})


def test_images_that_failed_or_have_no_spacing_are_no_pairs() -> None:
    table = _per_image([1.0, 2.0, np.nan], [1.5, np.nan, np.nan], ["ok", "failed", "ok"])
    pairs = volume_pairs(table, 1, "")
    assert (pairs.reference_ml.tolist(), pairs.prediction_ml.tolist(), pairs.n_unknown) == ([1.0], [1.5], 1)


def test_a_table_without_volumes_has_no_pairs() -> None:
    table = _per_image([1.0], [1.0], ["ok"])[["class_index", "head", "status"]]
    assert volume_pairs(table, 1, "").reference_ml.size == 0


def test_limits_of_agreement_by_hand() -> None:
    """Differences 1, 2 and 6: mean 3, standard deviation sqrt((4 + 1 + 9) / 2)."""
    found = agreement_of(VolumePairs(np.array([1.0, 2.0, 4.0]), np.array([2.0, 4.0, 10.0]), 0))
    reach = 1.96 * np.sqrt(7)
    assert (found.n_images, found.bias_ml) == (3, 3.0)
    assert (found.low_ml, found.high_ml) == pytest.approx((3 - reach, 3 + reach))


def test_one_image_has_a_bias_and_no_limits() -> None:
    pairs = VolumePairs(np.array([1.0]), np.array([0.5]), 0)
    found = agreement_of(pairs)
    assert found.bias_ml == -0.5
    assert np.isnan([found.low_ml, found.high_ml]).all()
    assert "limits of agreement" not in draw_agreement(pairs, found, "p", "alt")
