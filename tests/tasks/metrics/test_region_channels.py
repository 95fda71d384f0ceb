"""Channels of regions count as the binary masks that they are, and classes as the label map that nnU-Net writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from segscale.tasks.counting import encode_counted
from segscale.tasks.labels import IGNORED
from segscale.tasks.metrics.bins import BINS
from segscale.tasks.metrics.overlap import OverlapCounts, count_overlap
from segscale.tasks.metrics.region_channels import RegionChannel, RegionChannels, count_region_channels, written_labels
from segscale.tasks.metrics.regions import Regions

SOFT = ("soft_intersection", "soft_prediction_sum", "soft_prediction_squared_sum")


@dataclass(frozen=True)
class Drawn:
    """An image with K channels of regions, of which some are regions that are counted, and some are classes."""

    n_classes: int
    regions: Regions
    channels: RegionChannels
    threshold: float
    reference: NDArray[np.uint8]
    probabilities: NDArray[np.float32]

    def count(self) -> OverlapCounts:
        return count_region_channels(
            self.reference,
            self.probabilities,
            self.channels,
            n_classes=self.n_classes,
            threshold=self.threshold,
            ignore_index=IGNORED,
            regions=self.regions,
        )

    @property
    def held(self) -> list[tuple[int, ...]]:
        """The classes of each row."""
        return [*((index,) for index in range(self.n_classes)), *self.regions]

    def channel_of(self, row: int) -> int | None:
        """Which channel is of just these classes."""
        return next((n for n, one in enumerate(self.channels) if set(one.classes) == set(self.held[row])), None)


@st.composite
def drawn(draw: st.DrawFn) -> Drawn:
    n_classes = draw(st.integers(2, 6))
    subset = st.sets(st.integers(1, n_classes - 1), min_size=1).map(lambda classes: tuple(sorted(classes)))
    regions = tuple(draw(st.lists(subset, min_size=0, max_size=4, unique=True)))
    others = [(index,) for index in range(1, n_classes)]
    classes = draw(st.lists(st.sampled_from([*regions, *others]), min_size=1, max_size=5, unique=True))
    channels = tuple(RegionChannel(one, draw(st.integers(1, n_classes - 1))) for one in classes)
    shape = draw(st.sampled_from([(7, 9), (3, 5, 6), (1, 1, 1)]))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    reference = generator.integers(0, n_classes, shape).astype(np.uint8)
    reference[generator.random(shape) < draw(st.sampled_from((0.0, 0.3)))] = IGNORED
    # Multiples of 1/8, so that some lie at the threshold.
    probabilities = (generator.integers(0, 9, (len(channels), *shape)) / 8).astype(np.float32)
    threshold = draw(st.sampled_from((0.5, 0.25, 0.3)))
    return Drawn(n_classes, regions, channels, threshold, reference, np.moveaxis(probabilities, 0, -1))


def _four(held: NDArray[np.bool_], found: NDArray[np.bool_]) -> list[int]:
    both = (held & found, ~held & found, held & ~found, ~held & ~found)
    return [int(np.count_nonzero(one)) for one in both]


@given(drawn())
def test_each_row_by_plain_numpy(image: Drawn) -> None:
    counts, counted = image.count(), image.reference != IGNORED
    # As nnU-Net has it in LabelManager.convert_probabilities_to_segmentation.
    label_map = np.zeros(image.reference.shape, np.uint8)
    for place, channel in enumerate(image.channels):
        label_map[image.probabilities[..., place] > np.float32(image.threshold)] = channel.written
    assert counts.n_ignored == np.count_nonzero(~counted)
    for row, classes in enumerate(image.held):
        held, number = np.isin(image.reference, classes)[counted], image.channel_of(row)
        found = np.isin(label_map, classes)[counted]
        if number is None:
            assert all(np.isnan(getattr(counts, name)[row]) for name in SOFT)
        else:
            p = image.probabilities[..., number][counted].astype(np.float64)
            if row >= image.n_classes:
                found = p >= np.float32(image.threshold)
            sums = (p[held].sum(), p.sum(), (p**2).sum())
            assert [getattr(counts, name)[row] for name in SOFT] == pytest.approx(sums, rel=1e-12)
        names = ("true_positive", "false_positive", "false_negative", "true_negative")
        assert [int(getattr(counts, name)[row]) for name in names] == _four(held, found)
        assert counts.reference_sum[row] == np.count_nonzero(held)
        _check_histogram(image, counts, row, number)


def _check_histogram(image: Drawn, counts: OverlapCounts, row: int, number: int | None) -> None:
    place = row - (len(image.held) - counts.n_histograms)
    if place < 0:
        return
    counted, held = image.reference != IGNORED, np.isin(image.reference, image.held[row])
    for histogram, pixels in (
        (counts.histogram_foreground[place], counted & held),
        (counts.histogram_background[place], counted & ~held),
    ):
        values = np.zeros(0) if number is None else image.probabilities[..., number][pixels]
        bins = np.minimum((values * BINS).astype(int), BINS - 1)
        assert histogram.tolist() == np.bincount(bins, minlength=BINS).tolist()


@given(drawn())
def test_a_region_counts_as_the_foreground_of_two_classes(image: Drawn) -> None:
    counts = image.count()
    for row in range(image.n_classes, len(image.held)):
        number = image.channel_of(row)
        if number is None:
            continue
        binary = np.isin(image.reference, image.held[row]).astype(np.uint8)
        binary[image.reference == IGNORED] = IGNORED
        channel = np.ascontiguousarray(image.probabilities[..., number])
        alone = count_overlap(
            binary, n_classes=2, probabilities=channel, threshold=image.threshold, ignore_index=IGNORED
        )
        for name in ("true_positive", "false_positive", "false_negative", "true_negative", *SOFT):
            assert getattr(counts, name)[row] == getattr(alone, name)[1], name


@given(drawn())
def test_they_add_up_with_counts_of_channels_of_classes(image: Drawn) -> None:
    """In one set there may be both, and parts hold as many histograms of each image."""
    generator = np.random.default_rng(1)
    stack = generator.dirichlet(np.ones(image.n_classes), image.reference.shape).astype(np.float32)
    of_classes = count_overlap(
        image.reference,
        n_classes=image.n_classes,
        probabilities=stack,
        ignore_index=IGNORED,
        regions=image.regions,
    )
    both = image.count() + of_classes
    assert both.n_pixels == 2 * image.reference.size
    assert encode_counted(["a", "b"], "", [image.count(), of_classes], len(image.held))


CHANNELS = (RegionChannel((1, 2, 3), 1), RegionChannel((2, 3), 2), RegionChannel((3,), 3))


@pytest.mark.parametrize(
    ("pixel", "label", "reason"),
    [
        ([0.9, 0.9, 0.9], 3, "the last one that is likely"),
        ([0.9, 0.9, 0.1], 2, "in their order"),
        ([0.1, 0.1, 0.9], 3, "nothing says that a core lies in a tumour"),
        ([0.1, 0.4, 0.3], 0, "none: the background"),
        ([0.5, 0.5, 0.5], 0, "half is not above half"),
    ],
)
def test_written_labels(pixel: list[float], label: int, reason: str) -> None:
    assert written_labels(np.array([pixel], np.float32), CHANNELS, 0.5).tolist() == [label], reason


def test_another_order_writes_another_label_map() -> None:
    turned = (CHANNELS[2], CHANNELS[1], CHANNELS[0])
    assert written_labels(np.array([[0.9, 0.9, 0.9]], np.float32), turned, 0.5).tolist() == [1]


def test_unknown_soft_sums_have_no_histogram_in_a_part() -> None:
    import io

    import pyarrow.parquet as pq

    image = np.zeros((2, 4, 4), np.uint8)
    image[0] = 1
    probabilities: NDArray[Any] = np.full((2, 4, 4, 1), 0.75, np.float32)
    counts = count_region_channels(
        image, probabilities, CHANNELS[:1], n_classes=4, threshold=0.5, regions=((1, 2, 3), (2, 3))
    )
    rows = pq.read_table(io.BytesIO(encode_counted(["a"], "", [counts], 6))).to_pylist()
    assert [row["histogram_foreground"] is not None for row in rows] == [False] * 4 + [True, False]
    assert rows[4]["soft_intersection"] == 12
    assert [row["true_positive"] for row in rows] == [0, 16, 0, 0, 16, 0]
