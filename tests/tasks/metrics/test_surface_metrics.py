"""Distances in the tables over images: averaged and never summed, and a missing prediction never makes them better."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from segscale.tasks.metrics.aggregate import MISSING_AS_WORST, PER_SAMPLE_COLUMNS_WITH_DISTANCES, per_sample
from segscale.tasks.metrics.intervals import INFINITE, intervals
from segscale.tasks.metrics.measures import about_measures, with_measures
from segscale.tasks.metrics.panel import Panel, Sample, panel_of
from segscale.tasks.metrics.per_image import PREDICTION_MISSING, REFERENCE_PIXELS
from segscale.tasks.metrics.settings import MissedDistance, ScoreSettings
from segscale.tasks.metrics.statistics import mean
from segscale.tasks.metrics.surface_metrics import (
    BORDERS,
    UNIT,
    WORST,
    percentile_names,
    surface_columns,
    surface_panel,
    with_missed,
)

PATTERN = {
    "sound": (9, 9, 1.5), "false alarm": (0, 7, np.nan), "both empty": (0, 0, np.nan), "overlooked": (5, 0, np.nan),
}  # fmt: skip
"""Border voxels of reference and prediction, and their distance."""
DIAGONALS = (10.0, 80.0, 30.0, 10.0, 500.0, 42.0)
SETTINGS = ScoreSettings(bootstrap=0)


def frames(kinds: list[tuple[str, bool]], **groups: list[Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """per_image and surface of images of these kinds, of which some lack their predictions."""
    images, surfaces = [], []
    for place, (kind, is_missing) in enumerate(kinds):
        reference, prediction, distance = PATTERN[kind]
        counts: dict[str, Any] = dict.fromkeys(
            ("true_positive", "false_positive", "false_negative", "reference_sum"), pd.NA
        )
        if not is_missing:
            shared = min(reference, prediction)
            counts = {"true_positive": shared, "false_positive": prediction - shared,
                      "false_negative": reference - shared, "reference_sum": reference}  # fmt: skip
        about = {"image_id": f"i{place}", "head": "", "class_index": 1, "class_name": "lesion"}
        images.append({
            **about, **counts, "true_negative": pd.NA if is_missing else 50, "status": "failed" if is_missing else "ok",
            PREDICTION_MISSING: is_missing, REFERENCE_PIXELS: reference,
        })  # fmt: skip
        measured = dict.fromkeys((*BORDERS, "hd95", "nsd_2"), np.nan)
        if not is_missing:
            measured = {BORDERS[0]: reference, BORDERS[1]: prediction, "hd95": distance, "nsd_2": 0.75 + 0 * distance}
        surfaces.append({**about, UNIT: "mm", WORST: DIAGONALS[place % len(DIAGONALS)], **measured})
    soft = ("soft_intersection", "soft_prediction_sum", "soft_prediction_squared_sum")
    whole = ["true_positive", "false_positive", "false_negative", "true_negative", "reference_sum", REFERENCE_PIXELS]
    per_image = (
        pd.DataFrame(images).assign(**dict.fromkeys(soft, np.nan), **groups).astype(dict.fromkeys(whole, "Int64"))
    )
    return per_image.astype({PREDICTION_MISSING: "boolean"}), pd.DataFrame(surfaces).astype(
        dict.fromkeys(BORDERS, "Int64")
    )


def panel(kinds: list[tuple[str, bool]], settings: ScoreSettings = SETTINGS, **groups: list[Any]) -> Panel:
    per_image, surface = frames(kinds, **groups)
    return surface_panel(panel_of(per_image), with_missed(surface, settings), settings)


def headlines(kinds: list[tuple[str, bool]]) -> dict[str, float]:
    """The means with missing predictions as the worst, as `per_sample` has them: a test below holds them against it."""
    found = panel(kinds)
    (one,) = found.classes[""]
    sample = Sample(one.counts, one.missed)
    return {metric.name: mean(metric.score(sample.with_missing, SETTINGS)) for metric in found.metrics}


@pytest.mark.parametrize(
    "six",
    [
        pytest.param(("sound", "false alarm", "both empty", "overlooked", "both empty", "sound"), id="of every kind"),
        pytest.param(("both empty", "both empty", "sound", "both empty", "false alarm", "both empty"), id="rare"),
    ],
)
def test_a_deleted_prediction_never_makes_a_headline_better(six: tuple[str, ...]) -> None:
    """Of six images each pattern of missing predictions, and each one more."""
    found = {missing: headlines(list(zip(six, missing, strict=True)))
             for missing in product([False, True], repeat=6)}  # fmt: skip
    for missing, before in found.items():
        for place in (place for place, is_missing in enumerate(missing) if not is_missing):
            after = found[(*missing[:place], True, *missing[place + 1 :])]
            assert after["hd95"] >= before["hd95"] - 1e-9
            assert after["nsd_2"] <= before["nsd_2"] + 1e-12


@hypothesis(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(list(PATTERN)), st.booleans()), min_size=1, max_size=9), st.integers(0, 8))
def test_nor_does_it_of_any_number(kinds: list[tuple[str, bool]], place: int) -> None:
    place %= len(kinds)
    others = kinds[:place], kinds[place + 1 :]
    before, after = (headlines([*others[0], (kinds[place][0], gone), *others[1]]) for gone in (False, True))
    assert not after["hd95"] < before["hd95"] - 1e-9
    assert not after["nsd_2"] > before["nsd_2"] + 1e-12
    if any(not missing for _, missing in kinds):
        table = per_sample(panel(kinds), SETTINGS, PER_SAMPLE_COLUMNS_WITH_DISTANCES)
        rows = table[table["class_name"] == "lesion"].set_index("metric")[MISSING_AS_WORST]
        lacking = [*others[0], (kinds[place][0], kinds[place][1]), *others[1]]
        assert rows.to_dict() == pytest.approx(headlines(lacking), nan_ok=True)


@pytest.mark.parametrize(
    ("missed", "hd95", "nsd"),
    [
        pytest.param("worst", (1.5 + 80 + 10) / 3, 0.25, id="from corner to corner"),
        pytest.param("inf", np.inf, 0.25, id="infinite"),
        pytest.param("nan", 1.5, 0.75, id="left out"),
    ],
)
def test_a_structure_on_one_side_alone(missed: MissedDistance, hd95: float, nsd: float) -> None:
    settings = ScoreSettings(missed_distance=missed, bootstrap=10)
    kinds = [(kind, False) for kind in ("sound", "false alarm", "both empty", "overlooked")]
    found = panel(kinds, settings)
    rows = per_sample(found, settings).set_index(["class_name", "metric"]).loc["lesion"]
    assert rows.loc["hd95", "mean"] == pytest.approx(hd95)
    assert rows.loc["nsd_2", "mean"] == pytest.approx(nsd)
    counts = ["n_reference_empty", "n_prediction_empty", "n_both_empty"]
    assert rows[counts].filter(items=["hd95"], axis=0).to_numpy().tolist() == [[1, 1, 1]]
    assert rows.loc["hd95", "n_defined"] == (1 if missed == "nan" else 3)
    assert rows.loc["hd95", "max"] == {"worst": 80.0, "inf": np.inf, "nan": 1.5}[missed]
    assert set(intervals(found, settings)["aggregation"]) == {"per_sample", "per_sample_missing"}


def test_an_infinite_mean_has_no_interval() -> None:
    settings = ScoreSettings(missed_distance="inf", bootstrap=20)
    kinds = [("sound", False)] * 12 + [("overlooked", False)]
    rows = intervals(panel(kinds, settings), settings).query("class_name == 'lesion'")
    reasons = {metric: set(of_metric["reason"]) for metric, of_metric in rows.groupby("metric")}
    assert reasons == {"hd95": {INFINITE}, "nsd_2": {""}}


def test_distances_of_a_unit_are_averaged_and_missing_ones_are_the_worst() -> None:
    settings = ScoreSettings(bootstrap=0, unit="patient")
    kinds = [("sound", False), ("overlooked", False), ("sound", True), ("sound", False), ("both empty", True)]
    found = panel(kinds, settings, patient=list("ppqqr"))
    rows = per_sample(found, settings, PER_SAMPLE_COLUMNS_WITH_DISTANCES)
    of_units = rows[(rows["unit"] == "patient") & (rows["class_name"] == "lesion")].set_index("metric")
    assert of_units.loc["hd95", "mean"] == pytest.approx(np.mean([(1.5 + 80) / 2, 1.5]))
    # In q a missing one of 30 beside 1.5; r has one that is missing alone, without a structure: the largest of all.
    worst = np.mean([(1.5 + 80) / 2, (30 + 1.5) / 2, max(DIAGONALS[:5])])
    assert of_units.loc["hd95", MISSING_AS_WORST] == pytest.approx(worst)


def test_strata_are_those_of_the_pixels() -> None:
    settings = ScoreSettings(bootstrap=0, group_by=("reference_volume:0,6", "site"))
    kinds = [("sound", False), ("overlooked", False), ("false alarm", True), ("sound", False)]
    rows = per_sample(panel(kinds, settings, site=list("xyxy")), settings)
    rows = rows[(rows["class_name"] == "lesion") & (rows["metric"] == "hd95")].set_index("stratum")
    assert rows.loc["reference_volume=[6,inf)", "mean"] == pytest.approx(1.5)
    assert rows.loc["reference_volume=(0,6)", "mean"] == pytest.approx(80.0)
    assert rows.loc["site=y", "mean"] == pytest.approx((80 + 1.5) / 2)


def test_mm_and_pixels_have_no_mean() -> None:
    per_image, surface = frames([("sound", False), ("sound", False)])
    mixed = surface.assign(**{UNIT: ["mm", "px"]})
    tables = {"per_sample": per_sample(per_image, SETTINGS)}
    found = with_measures(tables, panel_of(per_image), {"surface": mixed}, SETTINGS)
    assert set(found["per_sample"]["metric"]) == set(tables["per_sample"]["metric"])
    (finding,) = about_measures({"surface": mixed}, SETTINGS)
    assert (finding.signature, finding.severity) == ("mixed-distance-units", "error")
    assert finding.evidence == "mm: 1 images, i0 for one; px: 1 images, i1 for one"
    assert list(about_measures({"surface": surface}, SETTINGS)) == []


def test_structures_on_one_side_alone_are_told() -> None:
    _, surface = frames([("sound", False), ("overlooked", False), ("both empty", False), ("sound", True)])
    (finding,) = about_measures({"surface": with_missed(surface, SETTINGS)}, SETTINGS)
    assert (finding.signature, finding.severity) == ("missed-structures", "note")
    assert finding.evidence == (
        "class lesion: 1 of 3 images; mean hd95 40.75, 1.5 over those where it could be measured"
    )  # fmt: skip
    assert finding.cause.endswith("missed_distance = worst stands there")


def test_nothing_asked_for_nothing_changed() -> None:
    per_image, _ = frames([("sound", False), ("overlooked", False)])
    tables = {"per_sample": per_sample(per_image, SETTINGS)}
    found = with_measures(tables, panel_of(per_image), {}, SETTINGS)
    assert found["per_sample"] is tables["per_sample"]


@pytest.mark.parametrize("q", [90.0, 99.5, 100.0])
def test_other_percentiles_are_distances(q: float) -> None:
    names = percentile_names(q)
    assert surface_columns(["image_id", "hd", *names, "nsd_0.5", "boundary_iou", "status"]) == (
        "hd", *names, "nsd_0.5", "boundary_iou",
    )  # fmt: skip
