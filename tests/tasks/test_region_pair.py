"""Files with a channel for each region, told from those with one for each class, and counted beside a reference."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segscale.errors import DataError
from segscale.tasks.labels import IGNORED, LabelRule
from segscale.tasks.metrics.region_channels import RegionChannel, count_region_channels
from segscale.tasks.prediction_file import Counting, ProbabilityPair, read_prediction
from segscale.tasks.region_pair import RegionPair
from segscale.tasks.slice_counts import count_slices

SIZE = (5, 6, 7)
CHANNELS = (RegionChannel((1, 2, 3), 1), RegionChannel((2, 3), 2), RegionChannel((3,), 3))
REGIONS = ((1, 2, 3), (2, 3))
COUNTING = Counting(0.5, LabelRule(4), regions=REGIONS, region_channels=CHANNELS)
OTHER = RegionChannel((1, 2), 1)
"""A fourth channel: as many as there are classes."""


def reference(n_classes: int = 4) -> NDArray[np.uint8]:
    drawn = np.random.default_rng(1).integers(0, n_classes, SIZE).astype(np.uint8)
    drawn[0, :2] = IGNORED
    return drawn


def channels(n_channels: int = 3, dtype: str = "float32") -> NDArray[Any]:
    """(K, D, H, W), as nnU-Net stores them."""
    return np.random.default_rng(2).random((n_channels, *SIZE)).astype(dtype)


def stored(values: NDArray[Any]) -> bytes:
    """As nnU-Net does it."""
    sink = io.BytesIO()
    np.savez_compressed(sink, probabilities=values)
    return sink.getvalue()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(
    "turned", [pytest.param((0, 1, 2, 3), id="channels before"), pytest.param((1, 2, 3, 0), id="channels behind")]
)
def test_channels_of_regions(dtype: str, turned: tuple[int, ...]) -> None:
    values = channels(dtype=dtype)
    found = read_prediction(reference(), stored(values.transpose(turned)), "a.npz", COUNTING)
    assert isinstance(found.found, RegionPair)
    assert found.said == ("3 channels, taken for those of predictions.regions, in their order",)
    expected = count_region_channels(
        reference(),
        np.moveaxis(values, 0, -1).astype(np.float32),
        CHANNELS,
        n_classes=4,
        threshold=0.5,
        ignore_index=IGNORED,
        regions=REGIONS,
    )
    assert found.count(4, REGIONS) == expected


def test_as_many_channels_as_classes_are_classes() -> None:
    values = channels(4) / channels(4).sum(axis=0)
    found = read_prediction(reference(), stored(values), "a.npz", COUNTING)
    assert isinstance(found.found, ProbabilityPair)
    assert not found.said


@pytest.mark.parametrize("asked", ["", "regions"])
def test_as_many_channels_as_classes_and_as_regions(asked: Any) -> None:
    both = replace(COUNTING, region_channels=(*CHANNELS, OTHER), channels=asked)
    if asked:
        assert isinstance(read_prediction(reference(), stored(channels(4)), "a.npz", both).found, RegionPair)
        return
    with pytest.raises(DataError) as caught:
        read_prediction(reference(), stored(channels(4)), "a.npz", both)
    assert str(caught.value) == (
        "a.npz: 4x5x6x7 may be channels of 4 classes, and of 4 in predictions.regions; say which: "
        'predictions.channels = "regions" for regions, predictions.regions = [] for classes'
    )


def test_one_channel_of_a_region() -> None:
    alone = replace(COUNTING, region_channels=CHANNELS[:1])
    for values in (channels(1), channels(1)[0]):
        found = read_prediction(reference(), stored(values), "a.npz", alone)
        assert found.said == ("1 channel, taken for those of predictions.regions, in their order",)
        binary = np.isin(reference(), (1, 2, 3)) & (reference() != IGNORED)
        assert found.count(4, REGIONS).true_positive[4] == np.count_nonzero(binary & (channels(1)[0] >= 0.5))


def test_one_channel_of_two_classes_may_be_the_foreground() -> None:
    two = Counting(0.5, LabelRule(2), region_channels=(RegionChannel((1,), 1),))
    with pytest.raises(DataError, match=r"may be channels of 2 classes, and of 1 in predictions\.regions"):
        read_prediction(reference(2), stored(channels(1)), "a.npz", two)
    said = replace(two, channels="regions")
    foreground = replace(two, region_channels=())
    counts, expected = (
        read_prediction(reference(2), stored(channels(1)), "a.npz", one).count(2) for one in (said, foreground)
    )
    # The background of the one is what the label map leaves, and has no probability.
    assert counts.true_positive.tolist() == expected.true_positive.tolist()
    assert counts.soft_prediction_sum[1] == expected.soft_prediction_sum[1]
    assert counts.n_histograms == expected.n_histograms == 1


@pytest.mark.parametrize(
    ("values", "asked", "words"),
    [
        pytest.param(
            channels(2), "", "with 3 or 4 channels before, behind or after the depth, got 2x5x6x7: 4 of classes, or 3",
            id="as many as neither",
        ),
        pytest.param(channels(4), "regions", "with 3 channels before", id="of classes, where regions are asked for"),
        pytest.param(channels()[0], "", "got 5x6x7: 4 of classes, or 3 of predictions.regions", id="no channels"),
        pytest.param(channels()[:, :3], "", "got 3x3x6x7: 4 of", id="another size"),
        pytest.param(channels() * 3, "", "probabilities", id="no probabilities"),
        pytest.param(channels() * np.nan, "", "are NaN", id="NaN"),
    ],
)  # fmt: skip
def test_what_is_refused(values: NDArray[Any], asked: Any, words: str) -> None:
    with pytest.raises(DataError) as caught:
        read_prediction(reference(), stored(values), "a.npz", replace(COUNTING, channels=asked))
    assert str(caught.value).startswith("a.npz: ")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("values", "regions", "seen"),
    [
        pytest.param(channels(), REGIONS, True, id="a channel for each region"),
        pytest.param(channels().transpose(1, 2, 3, 0), REGIONS, True, id="behind"),
        pytest.param(channels()[0], REGIONS[:1], True, id="one region"),
        pytest.param(channels(), (), False, id="a set without regions"),
        pytest.param(channels()[:, :4], REGIONS, False, id="another size"),
    ],
)
def test_channels_of_regions_that_nobody_named(values: NDArray[Any], regions: Any, seen: bool) -> None:
    unnamed = Counting(0.5, LabelRule(4), regions=regions)
    with pytest.raises(DataError) as caught:
        read_prediction(reference(), stored(values), "a.npz", unnamed)
    named = "predictions.regions, and the label value that it writes in predictions.regions_class_order"
    assert (named in str(caught.value)) == seen
    assert "4 channels" in str(caught.value)


def test_nan_where_nothing_counts() -> None:
    values = channels()
    values[:, reference() == IGNORED] = np.nan
    found = read_prediction(reference(), stored(values), "a.npz", COUNTING)
    assert found.count(4, REGIONS) == read_prediction(reference(), stored(channels()), "a.npz", COUNTING).count(
        4, REGIONS
    )


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_sum_to_the_volume(axis: int) -> None:
    pair = read_prediction(reference(), stored(channels()), "a.npz", COUNTING).found
    whole, slices = pair.count(4, REGIONS), list(count_slices(pair, axis, 4, REGIONS))
    assert len(slices) == SIZE[axis]
    for name in ("true_positive", "false_positive", "false_negative", "true_negative", "reference_sum"):
        assert sum(getattr(one, name) for one in slices).tolist() == getattr(whole, name).tolist()
    soft = sum(one.soft_intersection for one in slices)
    assert soft == pytest.approx(whole.soft_intersection, nan_ok=True)


def test_keys_of_other_runs_stay_as_they_were() -> None:
    plain = Counting(0.5, LabelRule(4))
    assert not {"regions", "region_channels"}.intersection(plain.as_key())
    turned = replace(COUNTING, region_channels=CHANNELS[::-1])
    assert len({str(one.as_key()) for one in (plain, COUNTING, turned)}) == 3
