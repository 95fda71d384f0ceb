"""Maps are monotone and right in the mean, and judged on what they were not made of."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segscale.tasks.calibration.calibrate import Part, recalibration
from segscale.tasks.calibration.recalibration import cross_fit, map_of
from segscale.tasks.calibration.resampling import Clusters
from tests.tasks.calibration.made_pixels import Pixels

KEYS = {"unit": "image", "stratum": "", "class_index": 1, "class_name": "lesion", "head": ""}
LOST = {"n_missing": 0, "n_failed": 0, "n_label_maps": 0}


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0, 1)), min_size=1, max_size=16))
def test_a_map_never_falls_and_keeps_the_share_of_foreground(bins: list[tuple[int, float]]) -> None:
    pixels = np.array([n for n, _ in bins])
    positives = np.array([round(n * share) for n, share in bins])
    found = map_of(pixels, positives)
    assert np.array_equal(np.isnan(found), pixels == 0)
    seen = found[pixels > 0]
    assert (np.diff(seen) >= -1e-12).all()
    assert float((seen * pixels[pixels > 0]).sum()) == pytest.approx(float(positives.sum()))


def _images(distort: float, n: int = 60, seed: int = 0) -> Pixels:
    """Images whose probabilities p are as frequent as p ** distort."""
    generator = np.random.default_rng(seed)
    p = [generator.random(400) for _ in range(n)]
    return Pixels(p, [generator.random(400) < one**distort for one in p])


def _part(images: Pixels, n_bins: int = 64) -> Part:
    bins = images.bins(n_bins)
    return Part(KEYS, bins, Clusters(np.arange(bins.size), bins.size), LOST)


@pytest.mark.parametrize(
    ("distort", "verdict"),
    [(3.0, "better"), (0.3, "better"), (1.0, "cannot tell")],
    ids=["too high", "too low", "fine"],
)
def test_what_a_map_does_to_other_images(distort: float, verdict: str) -> None:
    table, row = recalibration(_part(_images(distort), 16), 0.95, 0)
    assert row["verdict"] == verdict
    assert (row["n_folds"], row["n_unseen"]) == (5, 0)
    middle = (table["from"] + table["to"]) / 2
    assert np.abs(table["probability"] - middle**distort).max() < 0.12
    assert (table["lowest"] <= table["highest"]).all()


def test_the_error_after_is_that_of_pixels_mapped_one_by_one() -> None:
    images = _images(2.0, n=7)
    part = _part(images, 8)
    crossed = cross_fit(part.bins, part.clusters, 3)
    assert crossed is not None
    mapped, bins, references = [], [], []
    for place, p in enumerate(images.probabilities):
        of_bins = np.minimum((p * 8).astype(int), 7)
        others = crossed.folds != crossed.folds[place]
        made = map_of(part.bins.pixels[others].sum(axis=0), part.bins.positives[others].sum(axis=0))
        mapped.append(made[of_bins])
        bins.append(of_bins)
        references.append(images.references[place])
    p, k, m = map(np.concatenate, (mapped, bins, references))
    part_of = np.repeat(crossed.folds, 400)
    truth = 0.0
    for fold in range(5):
        for one in range(8):
            inside = (part_of == fold) & (k == one)
            truth += abs(float(p[inside].sum()) - int(m[inside].sum())) / p.size
    assert recalibration(part, 0.95, 3)[1]["ece_after"] == pytest.approx(truth)


def test_one_cluster_leaves_none_to_try_it_on() -> None:
    bins = _images(2.0, n=5).bins(8)
    table, row = recalibration(Part(KEYS, bins, Clusters(np.zeros(5, np.int64), 1), LOST), 0.95, 0)
    assert np.isnan(row["ece_after"])
    assert row["verdict"] == "cannot tell"
    assert row["sentence"].endswith("cannot tell: pixels of one cluster alone leave none to try the map on.")
    assert table["probability"].notna().all()
    assert table["lowest"].isna().all()


def test_a_bin_that_other_images_never_had_is_counted_and_takes_the_nearest() -> None:
    low, high = np.full(10, 0.1), np.concatenate([np.full(9, 0.1), [0.9]])
    images = Pixels([low, high], [low > 1, high > 0.5])
    _, row = recalibration(_part(images, 4), 0.95, 0)
    assert row["n_unseen"] == 1
    assert row["ece_after"] == pytest.approx(1 / 20)
