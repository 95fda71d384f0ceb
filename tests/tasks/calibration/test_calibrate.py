"""Rows of calibration: as pixels say them, with intervals, and without where nothing can be told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segscale.tasks.calibration.bins import Bins
from segscale.tasks.calibration.calibrate import COLUMNS, Part, errors, of_rows, reliability
from segscale.tasks.calibration.resampling import Clusters
from tests.tasks.calibration.made_pixels import Pixels, true_errors

KEYS = {"unit": "image", "stratum": "", "class_index": 1, "class_name": "lesion", "head": ""}
LOST = {"n_missing": 2, "n_failed": 0, "n_label_maps": 0}


def _images(n: int, seed: int = 0, wrong: float = 0.1) -> Pixels:
    """Images of different sizes in which foreground is more frequent than p by `wrong`, and by a part of each image."""
    generator = np.random.default_rng(seed)
    p = [generator.random(int(size)) for size in generator.integers(50, 400, n)]
    more = [np.clip(one + wrong + generator.normal(0, 0.05), 0, 1) for one in p]
    return Pixels(p, [generator.random(one.size) < share for one, share in zip(p, more, strict=True)])


def _part(images: Pixels, clusters: Clusters | None = None, n_bins: int = 16) -> Part:
    bins = images.bins(n_bins)
    return Part(KEYS, bins, clusters or Clusters(np.arange(bins.size), bins.size), LOST)


def test_over_pixels_and_over_images_as_pixels_say_them() -> None:
    images = _images(30)
    table = of_rows(errors(_part(images), 0.95, 0), COLUMNS)
    rows: dict[Any, Any] = {(row["aggregation"], row["metric"]): row for row in table.to_dict("records")}
    pooled = true_errors(np.concatenate(images.probabilities), np.concatenate(images.references), 16)
    each = [true_errors(p, m, 16) for p, m in zip(images.probabilities, images.references, strict=True)]
    for aggregation, truths in (("pooled", pooled), ("per_sample", np.mean(each, axis=0))):
        for metric, truth in zip(("ece", "ace", "mce"), truths, strict=True):
            row = rows[aggregation, metric]
            assert row["low"] - 1e-9 <= truth <= row["high"] + 1e-9
            assert row["interval_low"] <= row["low"] <= row["high"] <= row["interval_high"]
    bias = [float(p.mean() - m.mean()) for p, m in zip(images.probabilities, images.references, strict=True)]
    assert [rows["per_sample", "bias"][end] for end in ("low", "high")] == pytest.approx([np.mean(bias)] * 2)
    assert (table["reason"] == "").all()
    assert (table["n_missing"] == 2).all()


def test_the_same_seed_gives_the_same_rows_and_another_one_other_ends() -> None:
    first, again, other = (errors(_part(_images(30)), 0.95, seed) for seed in (0, 0, 1))
    assert first == again
    assert first[0]["interval_low"] != other[0]["interval_low"]
    assert first[0]["low"] == other[0]["low"]


@pytest.mark.parametrize(
    ("n", "clusters", "reason"),
    [
        pytest.param(1, None, "1 clusters tell as much as 1.0 of one size, 20 are needed", id="one image"),
        pytest.param(30, 1, "1 clusters tell", id="one patient"),
        pytest.param(30, 10, "10 clusters tell", id="ten patients"),
        pytest.param(0, None, "no image has probabilities", id="all failed, or none in a stratum"),
    ],
)
def test_what_cannot_be_told(n: int, clusters: int | None, reason: str) -> None:
    images = _images(n) if n else Pixels([], [])
    given = None if clusters is None else Clusters(np.arange(n) % clusters, clusters)
    rows = errors(_part(images, given), 0.95, 0)
    assert len(rows) == 8
    for row in rows:
        assert row["reason"].startswith(reason)
        assert np.isnan(row["interval_low"])
        assert np.isnan(row["low"]) == (n == 0)
        assert reason in row["sentence"]


def test_patients_widen_what_their_images_would_say_alone() -> None:
    generator = np.random.default_rng(5)
    p = [generator.random(200) for _ in range(240)]
    shift = np.repeat(generator.normal(0.1, 0.1, 24), 10)
    images = Pixels(p, [generator.random(200) < np.clip(one + d, 0, 1) for one, d in zip(p, shift, strict=True)])
    alone, together = (
        errors(_part(images, clusters), 0.95, 0)[0] for clusters in (None, Clusters(np.repeat(np.arange(24), 10), 24))
    )
    widths = [row["interval_high"] - row["interval_low"] for row in (alone, together)]
    assert widths[1] > 1.5 * widths[0]
    assert (together["n"], together["n_clusters"]) == (240, 24)


def test_more_clusters_than_groups_give_about_the_same_interval() -> None:
    images = _images(1200, wrong=0.2)
    row = errors(_part(images), 0.95, 0)[-1]
    bias = np.array([p.mean() - m.mean() for p, m in zip(images.probabilities, images.references, strict=True)])
    assert row["metric"] == "bias"
    assert row["interval_high"] - row["interval_low"] == pytest.approx(
        2 * 1.96 * bias.std() / np.sqrt(bias.size), rel=0.15
    )


def test_the_reliability_diagram_by_hand() -> None:
    bins = Bins(np.array([[4, 0], [2, 2]]), np.array([[1, 0], [0, 2]]), np.array([1.0, 2.0]))
    table = reliability(Part(KEYS, bins, Clusters(np.array([0, 0]), 1), LOST))
    assert table["from"].tolist() == [0.0, 0.5]
    assert table["observed"].tolist() == pytest.approx([1 / 6, 1.0])
    assert table["observed_per_sample"].tolist() == pytest.approx([1 / 8, 1.0])
    assert table["n"].tolist() == [2, 1]
    assert table["n_clusters"].tolist() == [1, 1]
    assert table[["gap_low", "gap_high"]].to_numpy().ravel().tolist() == pytest.approx([0.0, 1 / 3, 0.0, 0.5])
