"""Strata by the size of the reference: edges, empty references, and those that nobody could read."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segscale.errors import ArgumentError
from segscale.tasks.metrics.aggregate import per_sample
from segscale.tasks.metrics.gap import gap
from segscale.tasks.metrics.panel import panel_of
from segscale.tasks.metrics.per_image import PREDICTION_MISSING, REFERENCE_PIXELS
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.metrics.size_strata import UNKNOWN, SizeStrata
from segscale.tasks.metrics.units import with_units

Frames = Callable[..., pd.DataFrame]
Rows = Callable[..., pd.Series]


@pytest.mark.parametrize(
    ("size", "stratum"),
    [
        pytest.param(0, "0", id="empty"),
        pytest.param(1, "(0,100)", id="one pixel"),
        pytest.param(99, "(0,100)", id="below an edge"),
        pytest.param(100, "[100,1000)", id="on an edge"),
        pytest.param(1000, "[1000,inf)", id="on the last"),
        pytest.param(10**9, "[1000,inf)", id="large"),
        pytest.param(UNKNOWN, "unknown", id="never read"),
    ],
)
@pytest.mark.parametrize("entry", ["reference_volume:0,100,1000", "reference_volume:100,1e3"])
def test_bins_hold_their_lower_edge(entry: str, size: int, stratum: str) -> None:
    bins = SizeStrata.parse(entry)
    assert bins.names[bins.places(np.array([size]))[0]] == stratum


@pytest.mark.parametrize("edges", ["", "a", "1,", "5,5", "9,3", "-1,3", "nan", "0,inf"])
def test_edges_that_are_none_are_refused(edges: str) -> None:
    with pytest.raises(ArgumentError, match=r"group_by: expected edges in pixels.*reference_volume:0,100,1000, got"):
        SizeStrata.parse(f"reference_volume:{edges}")
    with pytest.raises(ValueError, match="expected edges in pixels"):
        ScoreSettings(group_by=(f"reference_volume:{edges}",))


@pytest.mark.parametrize("other", ["reference_volume:7", "reference_volume"])
def test_sizes_are_asked_for_once(other: str) -> None:
    with pytest.raises(ValueError, match="expected reference_volume once"):
        ScoreSettings(group_by=("reference_volume:0,5", other))


def test_fractions_are_written_as_they_are() -> None:
    assert SizeStrata.parse("reference_volume:0.5").names == ("0", "(0,0.5)", "[0.5,inf)", "unknown")


@given(sizes=st.lists(st.integers(0, 40), min_size=1, max_size=20), edges=st.sets(st.integers(0, 40), min_size=1))
def test_means_of_bins_are_those_of_pandas(frame_of: Frames, sizes: list[int], edges: set[int]) -> None:
    entry = f"reference_volume:{','.join(map(str, sorted(edges)))}"
    counts = [(size // 3, size % 5, size - size // 3) for size in sizes]
    table = per_sample(frame_of(counts), ScoreSettings(group_by=(entry,)))
    rows = table[(table["class_index"] == 1) & (table["metric"] == "dice") & (table["stratum"] != "")]
    dice = pd.Series([2 * tp / (2 * tp + fp + fn) if tp + fp + fn else np.nan for tp, fp, fn in counts])
    cuts = [0, *sorted(edges - {0}), np.inf]
    bins = pd.cut(pd.Series(sizes).where(pd.Series(sizes) > 0), cuts, right=False)
    expected = [dice[np.array(sizes) == 0]] * (0 in sizes) + [
        dice[bins == one] for one in sorted(bins.dropna().unique())
    ]
    assert rows["n_images"].tolist() == [len(one) for one in expected]
    np.testing.assert_allclose(rows["mean"], [one.mean() for one in expected], rtol=1e-12)


def test_no_image_is_lost(frame_of: Frames) -> None:
    counts = [(5, 0, 0), (0, 3, 0), (0, 0, 50), (1, 1, 1), (2, 2, 2)]
    whole, frame = frame_of(counts), frame_of(counts, failed=[2, 4])
    # The third lacks a prediction alone, the reference of the last was never read.
    about = {PREDICTION_MISSING: frame["image_id"] == "image2",
             REFERENCE_PIXELS: whole["reference_sum"].mask(frame["image_id"] == "image4")}  # fmt: skip
    frame = frame.assign(**about).astype({PREDICTION_MISSING: "boolean"})
    table = per_sample(frame, ScoreSettings(group_by=("reference_volume:0,5,40",)))
    rows = table[(table["class_index"] == 1) & (table["metric"] == "dice")].set_index("stratum")
    assert rows["n_images"].to_dict() == {
        "": 5, "reference_volume=0": 1, "reference_volume=(0,5)": 1, "reference_volume=[5,40)": 1,
        "reference_volume=[40,inf)": 1, "reference_volume=unknown": 1,
    }  # fmt: skip
    counted = rows[["n_failed", "n_missing", "mean_missing_as_zero"]].to_dict("index")
    assert counted["reference_volume=[40,inf)"] == {"n_failed": 1, "n_missing": 1, "mean_missing_as_zero": 0.0}
    assert (rows["n_failed"]["reference_volume=unknown"], rows["n_missing"]["reference_volume=unknown"]) == (1, 0)


def test_several_classes_are_added_up(frame_of: Frames) -> None:
    two = frame_of([(5, 0, 0), (0, 3, 0)])
    third = two[two["class_index"] == 1].assign(class_index=2, class_name="edge", reference_sum=7, false_negative=7)
    third = third.assign(true_positive=0, false_positive=0)
    strata = panel_of(pd.concat([two, third])).strata(("reference_volume:10",))
    assert [(one.name, one.images.tolist()) for one in strata[1:]] == [
        ("reference_volume=(0,10)", [1]), ("reference_volume=[10,inf)", [0]),
    ]  # fmt: skip


def test_a_unit_has_the_size_of_its_images_together(frame_of: Frames, row_of: Rows) -> None:
    frame = frame_of([(5, 0, 0), (0, 0, 6), (8, 0, 0)], patient=["a", "a", "b"])
    settings = ScoreSettings(unit="patient", group_by=("reference_volume:10",))
    table = per_sample(frame, settings)
    rows = table[(table["class_index"] == 1) & (table["metric"] == "dice")].set_index(["unit", "stratum"])["n_images"]
    assert rows.loc["image"].to_dict() == {"": 3, "reference_volume=(0,10)": 3}
    assert rows.loc["patient"].to_dict() == {"": 2, "reference_volume=(0,10)": 1, "reference_volume=[10,inf)": 1}
    # The steps of a stratum of units are of all images of these units, whatever their own sizes.
    step = row_of(gap(frame, settings), step="image_to_unit", stratum="reference_volume=[10,inf)", class_index=1,
                  metric="dice")  # fmt: skip
    assert (step["per_sample_mean"], step["unit_mean"]) == (0.5, pytest.approx(10 / 16))


SPACING = ("spacing_d_mm", "spacing_h_mm", "spacing_w_mm")


def test_sizes_are_volumes_where_voxels_have_a_spacing(frame_of: Frames) -> None:
    """Three images of 10 foreground pixels each: of 1 mm3, of 8 mm3, and of no spacing."""
    frame = frame_of([(10, 0, 0)] * 3, patient=["a", "b", "b"])
    sides = frame["image_id"].map(dict(zip(frame["image_id"].unique(), (1.0, 2.0, np.nan), strict=True)))
    frame = frame.assign(**dict.fromkeys(SPACING, sides))
    settings = ScoreSettings(unit="patient", group_by=("reference_volume:50",))
    panel = panel_of(frame)
    assert [(one.name, one.images.tolist()) for one in panel.strata(settings.group_by)[1:]] == [
        ("reference_volume_mm3=(0,50)", [0]),
        ("reference_volume_mm3=[50,inf)", [1]),
        ("reference_volume_mm3=unknown", [2]),
    ]  # fmt: skip
    units = with_units(panel, settings).units
    assert units is not None
    assert [(one.name, one.images.tolist()) for one in units.panel.strata(settings.group_by)[1:]] == [
        ("reference_volume_mm3=(0,50)", [0]), ("reference_volume_mm3=[50,inf)", [1]),
    ]  # fmt: skip
