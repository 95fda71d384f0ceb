"""Lesions in the tables over images: counted as pixels are, so that every aggregation is the one of pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from segscale.tasks.metrics.aggregate import batch_summed, per_sample
from segscale.tasks.metrics.gap import gap
from segscale.tasks.metrics.intervals import intervals
from segscale.tasks.metrics.lesion_metrics import LESION_METRICS, lesion_panels, score_lesions
from segscale.tasks.metrics.panel import Panel, panel_of
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.metrics.units import with_units
from tests.tasks.metrics.test_surface_metrics import frames

SETTINGS = ScoreSettings(bootstrap=20, batch_sizes=(1, 2))
Counts = tuple[int, int, int, float]
IMAGES: list[Counts] = [(2, 1, 0, 1.5), (0, 0, 3, 0.0), (1, 0, 1, 0.9), (0, 2, 0, 0.0), (0, 0, 0, 0.0)]
"""True and false positives, false negatives, and the sum of Dice over the true ones."""


def lesions_of(images: list[Counts], sizes: dict[str, float] | None = None) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for place, (tp, fp, fn, dice) in enumerate(images):
        about = {"image_id": f"i{place}", "head": "", "class_index": 1, "volume_mm3": np.nan, "area_mm2": np.nan}
        kinds = [("reference", True)] * tp + [("reference", False)] * fn + [("prediction", False)] * fp
        for number, (side, matched) in enumerate([*kinds, *[("prediction", True)] * tp]):
            share = dice / tp if matched else 0.0
            rows.append({**about, "side": side, "matched": matched, "dice": share, "iou": share / (2 - share),
                         "voxels": 10 * (number + 1), **(sizes or {})})  # fmt: skip
    return pd.DataFrame(rows)


def panels(settings: ScoreSettings = SETTINGS, missing: tuple[int, ...] = (), **groups: list[Any]) -> dict[str, Panel]:
    per_image, _ = frames([("sound", place in missing) for place in range(len(IMAGES))], **groups)
    lesions = lesions_of(IMAGES)
    # Of a missing prediction nothing but the reference is known.
    gone = lesions["image_id"].isin([f"i{place}" for place in missing])
    known = lesions[~(gone & (lesions["side"] == "prediction"))]
    known = known.assign(matched=known["matched"] & ~gone)
    found = dict(lesion_panels(panel_of(per_image), known, settings))
    return {name: with_units(one, settings) for name, one in found.items()}


def values(table: pd.DataFrame, column: str, name: str = "lesion", **keys: Any) -> dict[str, float]:
    rows = table[table["class_name"] == name]
    for key, value in keys.items():
        rows = rows[rows[key] == value]
    return dict(zip(rows["metric"], rows[column], strict=True))


def test_means_over_images_and_over_all_lesions() -> None:
    found = panels()[""]
    means = values(per_sample(found, SETTINGS), "mean")
    assert means["lesion_f1"] == pytest.approx(np.mean([4 / 5, 0, 2 / 3, 0]))
    assert means["lesion_dice"] == pytest.approx(np.mean([1.5 / 3, 0, 0.9 / 2, 0]))
    assert means["lesion_sensitivity"] == pytest.approx(np.mean([1, 0, 1 / 2]))
    assert means["lesion_precision"] == pytest.approx(np.mean([2 / 3, 1, 0]))
    pooled = values(batch_summed(found, SETTINGS), "mean", pooled=True)
    assert pooled["lesion_f1"] == pytest.approx(6 / (6 + 3 + 4))
    iou = 2 * (0.75 / 1.25) + 0.9 / 1.1
    assert pooled["panoptic_quality"] == pytest.approx(iou / (3 + 1.5 + 2))
    assert set(values(gap(found, SETTINGS), "gap")) == {"lesion_f1", "lesion_dice", "panoptic_quality"}
    gaps = values(gap(found, SETTINGS), "gap")
    assert gaps["lesion_f1"] == pytest.approx(pooled["lesion_f1"] - means["lesion_f1"])
    assert set(intervals(found, SETTINGS)["aggregation"]) == {
        "per_sample", "pooled", "per_sample_missing", "pooled_missing",
    }  # fmt: skip


def test_lesions_of_a_missing_prediction_are_missed() -> None:
    found = panels(missing=(0,))[""]
    rows = per_sample(found, SETTINGS)
    assert values(rows, "mean_missing_as_zero")["lesion_f1"] == pytest.approx(np.mean([0, 0, 2 / 3, 0]))
    assert values(rows, "n_missing")["lesion_f1"] == 1
    pooled = values(batch_summed(found, SETTINGS), "pooled_missing_as_missed", pooled=True)
    assert pooled["lesion_f1"] == pytest.approx(2 / (2 + 2 + 4 + 2))


def test_units_are_sums_of_their_images() -> None:
    settings = SETTINGS.changed(unit="patient")
    found = panels(settings, patient=list("ppqqr"))[""]
    of_units = per_sample(found, settings)
    of_units = of_units[of_units["unit"] == "patient"]
    assert values(of_units, "mean")["lesion_f1"] == pytest.approx(np.mean([4 / (4 + 1 + 3), 2 / (2 + 2 + 1)]))
    steps = gap(found, settings).query("metric == 'lesion_f1' and class_name == 'lesion'").set_index("step")["gap"]
    assert steps["image_to_unit"] + steps["unit_to_pooled"] == pytest.approx(steps["image_to_pooled"])


def test_a_lesion_is_in_the_stratum_of_its_own_size() -> None:
    settings = SETTINGS.changed(group_by=("lesion_volume:0,15,25",))
    found = panels(settings)
    assert list(found) == ["", "lesion_volume=(0,15)", "lesion_volume=[15,25)", "lesion_volume=[25,inf)"]
    counts = {name: _counts(one) for name, one in found.items()}
    assert counts[""] == (3, 3, 4)
    parts = [counts[name] for name in list(found)[1:]]
    assert tuple(map(sum, zip(*parts, strict=True))) == counts[""], "each lesion is in one of them"
    # Of each image the first lesion has 10 voxels.
    assert counts["lesion_volume=(0,15)"] == (2, 1, 1)


@pytest.mark.parametrize(
    ("sizes", "name"),
    [
        pytest.param({"volume_mm3": 7.0}, "lesion_volume_mm3", id="of volumes"),
        pytest.param({"area_mm2": 7.0}, "lesion_area_mm2", id="of pictures"),
    ],
)
def test_sizes_are_in_mm_where_there_is_a_spacing(sizes: dict[str, float], name: str) -> None:
    per_image, _ = frames([("sound", False)] * len(IMAGES))
    settings = SETTINGS.changed(group_by=("lesion_volume:0,5",))
    found = lesion_panels(panel_of(per_image), lesions_of(IMAGES, sizes), settings)
    assert [stratum for stratum, _ in found] == ["", f"{name}=[5,inf)"]


def _counts(panel: Panel) -> tuple[int, int, int]:
    counts = panel.classes[""][0].counts
    return int(counts.true_positive.sum()), int(counts.false_positive.sum()), int(counts.false_negative.sum())


def test_scores_of_images_are_those_of_their_means() -> None:
    per_image, _ = frames([("sound", place == 0) for place in range(len(IMAGES))])
    lesions = lesions_of(IMAGES)
    known = lesions[(lesions["image_id"] != "i0") | (lesions["side"] == "reference")]
    scored = score_lesions(per_image, known.assign(matched=known["matched"] & (known["image_id"] != "i0")), SETTINGS)
    assert scored["reference_lesions"].tolist() == [2, 3, 2, 0, 0]
    assert scored["true_positive"].isna().tolist() == [True, False, False, False, False]
    panel = panels(missing=(0,))[""]
    for metric in LESION_METRICS:
        expected = metric.score(panel.classes[""][0].counts, SETTINGS)
        np.testing.assert_array_equal(scored[metric.name].to_numpy()[1:], expected)
        assert np.isnan(scored[metric.name].iloc[0])


def test_no_lesion_anywhere() -> None:
    per_image, _ = frames([("both empty", False)] * 3)
    nothing = lesions_of(IMAGES).iloc[:0]
    ((name, panel),) = lesion_panels(panel_of(per_image), nothing, SETTINGS)
    assert name == ""
    rows = per_sample(panel, SETTINGS)
    assert rows["mean"].isna().all()
    assert values(rows, "n_both_empty")["lesion_f1"] == 3
