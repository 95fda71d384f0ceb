"""Percentiles and tolerances from the histograms of a report, beside those of the distances themselves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from segscale.errors import ArgumentError
from segscale.storage.side_parts import HISTOGRAMS as KEPT
from segscale.tasks.measuring import Structures, surface_rows
from segscale.tasks.other_distances import HISTOGRAMS, with_other_distances
from segscale.tasks.surfaces.distances import Definition, surface_distances

SPACING = (2.5, 0.8, 0.7)
BOUND = 0.005
DEFINITIONS: dict[str, Definition] = {"": "larger", "_pooled": "pooled", "_mean_directed": "mean_directed"}


def blob(seed: int) -> np.ndarray:
    values = ndimage.gaussian_filter(np.random.default_rng(seed).random((12, 30, 28)), 2)
    return np.asarray(values > np.quantile(values, 0.8), np.uint8)


PAIRS = [(blob(0), blob(1)), (blob(2), blob(2)), (blob(3), np.zeros_like(blob(3)))]


def table() -> pd.DataFrame:
    rows = []
    for number, (one, other) in enumerate(PAIRS):
        rows += surface_rows(f"i{number}", "", Structures(one, other, 2, spacing_mm=SPACING), (1.0,))
    return pd.DataFrame(rows).drop(columns="nsd").assign(nsd_1=[row["nsd"][0] for row in rows])


def test_they_are_those_of_the_distances() -> None:
    found = with_other_distances(table(), (0.8, 2.5, 1.0), (50.0, 95.0, 100.0))
    for number, (one, other) in enumerate(PAIRS[:2]):
        distances = surface_distances(one == 1, other == 1, SPACING)
        row = found.iloc[number]
        for tolerance in (0.8, 2.5):
            assert row[f"nsd_{tolerance:g}"] == distances.nsd(tolerance)
        for q in (50.0, 95.0, 100.0):
            for name, definition in DEFINITIONS.items():
                expected = distances.percentile(q, definition)
                assert row[f"hd{q:g}{name}"] == pytest.approx(expected, rel=BOUND)


def test_what_is_there_stays_as_it_is() -> None:
    before = table()
    found = with_other_distances(before, (1.0,), (95.0,))
    pd.testing.assert_frame_equal(found[list(before)], before)
    assert list(found) == list(before), "all of it was there"


def test_nothing_is_known_without_a_side() -> None:
    found = with_other_distances(table(), (0.8,), (50.0,))
    assert found.iloc[2][["nsd_0.8", "hd50", "hd50_pooled", "hd50_mean_directed"]].isna().all()


@pytest.mark.parametrize(
    ("tolerances", "percentiles", "words"),
    [
        pytest.param((), (101.0,), "percentiles: expected numbers from 0 to 100, got 101", id="no percentile"),
        pytest.param((1.2345,), (), "1.2345", id="more digits than bins tell apart"),
        pytest.param((-1.0,), (), "-1", id="below nothing"),
    ],
)
def test_what_cannot_be_told(tolerances: tuple[float, ...], percentiles: tuple[float, ...], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        with_other_distances(table(), tolerances, percentiles)


def test_the_columns_are_those_that_are_kept() -> None:
    assert HISTOGRAMS == KEPT
