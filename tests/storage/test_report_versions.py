from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from segscale.errors import VersionError
from segscale.storage.report_versions import CURRENT, STEPS, Step, parse_version, upgrade


def _rename(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    return frame.rename(columns={"mean": "average"}) if name == "per_sample" else frame


def _add(_: str, frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(added=1)


MADE_UP: Mapping[int, Step] = {1: _rename, 2: _add}
TABLE = pd.DataFrame({"mean": [0.5]})


@pytest.mark.parametrize(
    ("name", "version", "columns"),
    [
        pytest.param("per_sample", 3, ["mean"], id="today's stays"),
        pytest.param("per_sample", 2, ["mean", "added"], id="one step"),
        pytest.param("per_sample", 1, ["average", "added"], id="one step after the other"),
        pytest.param("gap", 1, ["mean", "added"], id="a step sees which table it has"),
    ],
)
def test_older_tables_become_todays(name: str, version: int, columns: list[str]) -> None:
    assert list(upgrade(name, TABLE, version, MADE_UP, current=3)) == columns


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(None, "foreign: expected a table of a Segscale report", id="no version at all"),
        pytest.param("newest", r"expected a schema_version from 1 to 3, got 'newest'", id="no number"),
        pytest.param("0", "expected a schema_version from 1 to 3, got '0'", id="before the first"),
        pytest.param("4", "has schema_version 4, this Segscale reads up to 3: install a newer one", id="too new"),
    ],
)
def test_other_versions_are_refused_in_one_line(text: str | None, words: str) -> None:
    with pytest.raises(VersionError, match=words) as caught:
        parse_version(text, MADE_UP, current=3)
    assert "\n" not in str(caught.value)


def test_there_is_a_step_from_every_version_there_was() -> None:
    assert set(STEPS) == set(range(1, CURRENT))
    assert parse_version(str(CURRENT)) == CURRENT


FIRST = {
    "per_image": pd.DataFrame(
        {
            "image_id": ["a", "b"],
            "depth": pd.array([1, 5], "Int64"),
            "width": [3, 4],
            "reference_sum": pd.array([7, None], "Int64"),
            "status": ["ok", "failed"],
            "error": ["", "why"],
        }
    ),
    "per_sample": pd.DataFrame(
        {
            "stratum": ["", "site=x"],
            "mean": [0.5, 0.75],
            "mean_failed_as_zero": [0.25, 0.75],
            "n_images": [2, 2],
            "n_failed": pd.array([1, 0], "Int64"),
        }
    ),
    "batch_summed": pd.DataFrame(
        {
            "stratum": "",
            "pooled": [False, True, True],
            "mean": [0.5, 0.6, 0.7],
            "shuffle_std": [0.1, 0.0, 0.0],
            "n_failed": pd.array([0, 0, 1], "Int64"),
        }
    ),
}


def test_what_the_first_version_knew_not_stays_unknown() -> None:
    found = {name: upgrade(name, frame, 1) for name, frame in FIRST.items()}
    for name, frame in FIRST.items():
        pd.testing.assert_frame_equal(found[name][list(frame)], frame)
    images, means, sums = found["per_image"], found["per_sample"], found["batch_summed"]
    assert images["prediction_missing"].tolist() == [False, pd.NA]
    assert images["reference_pixels"].tolist() == [7, pd.NA]
    assert means["n_missing"].tolist() == [pd.NA, 0]
    assert means["mean_missing_as_zero"].isna().tolist() == [True, False]
    assert means["mean_missing_as_zero"][1] == 0.75
    assert sums["n_missing"].tolist() == [0, 0, pd.NA]
    assert sums["pooled_missing_as_missed"].isna().tolist() == [True, False, True]
    assert sums["pooled_missing_as_missed"][1] == 0.6
    assert upgrade("failures", TABLE, 1) is TABLE


def test_what_the_second_version_knew_is_of_images() -> None:
    keys = {"stratum": [""], "metric": ["dice"]}
    means = pd.DataFrame({**keys, "mean_missing_as_zero": [0.5], "n_missing": [0]})
    found = upgrade("per_sample", means, 2)
    assert list(found) == [
        "unit", "stratum", "metric", "mean_missing_as_zero", "mean_of_folds", "n_missing", "n_folds",
    ]  # fmt: skip
    assert found["unit"].tolist() == ["image"]
    assert found["mean_of_folds"].isna().all()
    assert found["n_folds"].isna().all()
    of_gap = {"per_sample_mean": [0.5, np.nan], "gap": [0.25, np.nan], "undefined_term": [0.0, np.nan]}
    gaps = upgrade("gap", pd.DataFrame({"stratum": "", "metric": "dice", **of_gap}), 2)
    assert gaps["step"].tolist() == ["image_to_pooled"] * 2
    pd.testing.assert_series_equal(gaps["unit_mean"], gaps["per_sample_mean"], check_names=False)
    np.testing.assert_array_equal(gaps["count_term"], [0.0, np.nan])
    for name in ("batch_summed", "intervals"):
        assert list(upgrade(name, pd.DataFrame({"stratum": [""]}), 2)) == ["unit", "stratum"]


def test_what_the_third_version_knew_is_of_pictures_or_lies_along_d() -> None:
    images = FIRST["per_image"].assign(depth=pd.array([1, None], "Int64"))
    images = pd.concat([images, images.assign(depth=pd.array([5, 5], "Int64"))], ignore_index=True)
    found = upgrade("per_image", images, 3)
    along = list(found)[list(found).index("width") + 1 :][:4]
    assert along == ["spacing_d_mm", "spacing_h_mm", "spacing_w_mm", "slice_axis"]
    assert found["slice_axis"].tolist() == ["", "", "d", "d"]
    assert found[[*along[:3], "reference_volume_ml", "prediction_volume_ml"]].isna().all(axis=None)
    assert upgrade("per_sample", TABLE, 3) is TABLE
