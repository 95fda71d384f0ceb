"""The price of a precision: against pandas and scipy, by hand, and where nothing can be said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from segscale.errors import ArgumentError
from segscale.tasks.metrics.per_image import score_images
from segscale.tasks.metrics.price import price
from segscale.tasks.metrics.settings import ScoreSettings

Frames = Callable[..., pd.DataFrame]
Rows = Callable[..., pd.Series]
SETTINGS = ScoreSettings(bootstrap=200)
EMPTY, FOUND, WRONG = (0, 0, 0), (8, 2, 2), (0, 3, 0)


def scored(frame_of: Frames, counts: list[tuple[int, int, int]], **columns: Any) -> pd.DataFrame:
    n_images = len(counts)
    named = {"reference_sha256": [f"r{place}" for place in range(n_images)]}
    named["image_sha256"] = [f"i{place}" for place in range(n_images)]
    return score_images(frame_of(counts, error="", threshold=0.5, **named, **columns), SETTINGS)


def labels_of(alike: list[float], flipped: list[int]) -> pd.DataFrame:
    return pd.DataFrame({
        "image_id": [f"image{place}" for place in range(len(alike))], "class_index": 1, "labels_dice": alike,
        "n_pixels": 100, "n_flipped": flipped,
    })  # fmt: skip


def drawn(n_images: int) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]:
    """Counts of two precisions over the same references of 20 pixels."""
    generator = np.random.default_rng(3)
    hits = generator.integers(10, 19, (n_images, 2))
    misses = generator.integers(0, 9, (n_images, 2))
    full, reduced = ([(int(hit), int(fp), 20 - int(hit)) for hit, fp in zip(*side, strict=True)]
                     for side in zip(hits.T, misses.T, strict=True))  # fmt: skip
    return full, reduced


def test_intervals_agree_with_scipy(frame_of: Frames, row_of: Rows) -> None:
    counts = drawn(40)
    full, reduced = (scored(frame_of, one) for one in counts)
    flipped = [place % 7 for place in range(40)]
    alike = np.linspace(0.9, 1.0, 40)
    settings = ScoreSettings(bootstrap=5000)
    found = price(full, reduced, labels_of(alike.tolist(), flipped), settings)
    dice = [np.array([2 * tp / (2 * tp + fp + fn) for tp, fp, fn in one]) for one in counts]
    change = dice[1] - dice[0]
    np.testing.assert_allclose(found.images["change"], change, atol=1e-12)
    expected: dict[tuple[str, str], tuple[Any, Any]] = {
        ("per_sample", "change"): (change, np.mean),
        ("image_mean", "change"): (np.abs(change), np.mean),
        ("image_95", "change"): (np.abs(change), lambda values, axis: np.quantile(values, 0.95, axis=axis)),
        ("labels_dice", "value"): (alike, np.mean),
        ("flipped", "value"): (np.array(flipped) / 100, np.mean),
    }
    for (measure, column), (values, statistic) in expected.items():
        row = row_of(found.measures, measure=measure)
        theirs = stats.bootstrap(
            (values,), statistic, n_resamples=20_000, method="percentile", rng=1
        ).confidence_interval
        width = theirs.high - theirs.low
        assert row[column] == pytest.approx(float(statistic(values, axis=0))), measure
        assert row["low"] == pytest.approx(theirs.low, abs=0.08 * width), measure
        assert row["high"] == pytest.approx(theirs.high, abs=0.08 * width), measure
        assert row["interval_reason"] == ""
    worst = row_of(found.measures, measure="image_worst")
    assert worst["image_id"] == f"image{np.abs(change).argmax()}"
    assert worst["change"] == pytest.approx(np.abs(change).max())
    assert np.isnan(worst["low"])
    pooled = row_of(found.measures, measure="pooled")
    sums = [np.array(one).sum(axis=0) for one in counts]
    by_hand = [2 * tp / (2 * tp + fp + fn) for tp, fp, fn in sums]
    assert [pooled["full"], pooled["value"]] == pytest.approx(by_hand)
    assert pooled["low"] < pooled["change"] < pooled["high"]


@pytest.mark.parametrize(
    ("full", "reduced", "size"),
    [
        pytest.param(FOUND, FOUND, 0.0, id="the same counts change nothing"),
        pytest.param(FOUND, (7, 2, 3), 0.8 - 14 / 19, id="a change has no sign"),
        pytest.param(EMPTY, WRONG, 1.0, id="it alone finds something where nothing is"),
        pytest.param(WRONG, EMPTY, 1.0, id="it alone finds nothing where nothing is"),
        pytest.param(EMPTY, EMPTY, np.nan, id="undefined in both"),
    ],
)
def test_what_an_image_changes_by(frame_of: Frames, full: Any, reduced: Any, size: float) -> None:
    before, after = (scored(frame_of, [one, FOUND]) for one in (full, reduced))
    found = price(before, after, labels_of([1.0, 1.0], [0, 0]), SETTINGS)
    assert found.images["size"].iloc[0] == pytest.approx(size, nan_ok=True)


def test_failed_images_are_left_out_of_everything(frame_of: Frames, row_of: Rows) -> None:
    full = scored(frame_of, [FOUND] * 4)
    reduced = scored(frame_of, [FOUND] * 4, failed=[1])
    found = price(full, reduced, labels_of([1.0, 0.0, 1.0, 1.0], [0, 100, 0, 4]), SETTINGS)
    assert found.images["image_id"].to_list() == ["image0", "image2", "image3"]
    assert set(found.measures["n_images"]) == {3}
    assert row_of(found.measures, measure="flipped")["value"] == pytest.approx(4 / 300)
    assert row_of(found.measures, measure="labels_dice")["value"] == 1.0


@pytest.mark.parametrize(
    ("settings", "columns", "reason"),
    [
        pytest.param(SETTINGS, {}, "9 units to be measured, fewer than 10", id="few images"),
        pytest.param(
            SETTINGS.changed(cluster_by="site"), {"site": list("aaabbbccc")}, "3 units to be measured, fewer than 10",
            id="few clusters",
        ),
        pytest.param(
            SETTINGS.changed(cluster_by="site"), {"site": [None, *"abbbcccd"]}, "site is missing for 1 images",
            id="an image of no cluster",
        ),
    ],
)  # fmt: skip
def test_where_there_are_no_intervals(
    frame_of: Frames, settings: ScoreSettings, columns: dict[str, Any], reason: str
) -> None:
    before, after = (scored(frame_of, one, **columns) for one in drawn(9))
    found = price(before, after, labels_of([0.9] * 9, [1] * 9), settings)
    others = found.measures[found.measures["measure"] != "image_worst"]
    assert set(others["interval_reason"]) == {reason}
    assert others["low"].isna().all()


def test_clusters_are_drawn_as_a_whole(frame_of: Frames, row_of: Rows) -> None:
    """Of images that come in equal pairs a cluster tells what one of them tells, so intervals are wider."""
    full, reduced = ([one for one in side for _ in range(2)] for side in drawn(20))
    columns = {"patient": [f"p{place // 2}" for place in range(40)]}
    before, after = (scored(frame_of, one, **columns) for one in (full, reduced))
    labels = labels_of([0.9] * 40, [place // 2 % 5 for place in range(40)])
    by_patient = price(before, after, labels, ScoreSettings(bootstrap=2000, cluster_by="patient")).measures
    by_image = price(before, after, labels, ScoreSettings(bootstrap=2000)).measures
    for measure in ("image_mean", "flipped", "per_sample"):
        widths = [row["high"] - row["low"] for row in (row_of(one, measure=measure) for one in (by_patient, by_image))]
        assert widths[0] == pytest.approx(np.sqrt(2) * widths[1], rel=0.15), measure


def test_without_a_sound_image_there_is_no_price(frame_of: Frames) -> None:
    before, after = (scored(frame_of, [FOUND], failed=[0]) for _ in range(2))
    with pytest.raises((ArgumentError, ValueError)):
        price(before, after, labels_of([1.0], [0]), SETTINGS)
