from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from segscale.tasks.normalize import Recipe
from segscale.tasks.training.sample import Sample, check_samples

UNIT = Recipe(-math.inf, math.inf, 0.0, 255.0)


def make_sample(pixels: Any, reference: Any) -> Sample:
    return Sample("thorax-7", pixels, UNIT, reference)


@pytest.mark.parametrize(
    ("channels", "values"),
    [
        pytest.param(1, (0, 1), id="a grey image fits a network of any channels"),
        pytest.param(3, (0, 1, 2), id="the channels of the network, all classes"),
        pytest.param(3, (0, 255), id="ignored pixels belong to no class"),
    ],
)
def test_fitting_samples_pass(channels: int, values: tuple[int, ...]) -> None:
    reference = np.resize(np.array(values, np.uint8), (4, 5))
    check_samples([make_sample(np.zeros((4, 5, channels), np.uint16), reference)], n_classes=3, channels=3)


@pytest.mark.parametrize(
    ("pixels", "reference", "said"),
    [
        pytest.param(np.zeros((4, 5)), np.zeros((4, 5), np.uint8), r"must be \(H, W, C\)", id="no channel axis"),
        pytest.param(np.zeros((4, 5, 1)), np.zeros((5, 4), np.uint8), r"\(5, 4\) must be", id="sides exchanged"),
        pytest.param(np.zeros((0, 5, 1)), np.zeros((0, 5), np.uint8), r"\(0, 5, 1\)", id="no pixels"),
        pytest.param(np.zeros((4, 5, 2)), np.zeros((4, 5), np.uint8), "2 channels, the network takes 3", id="channels"),
        pytest.param(np.zeros((4, 5, 1)), np.zeros((4, 5)), "uint8 class indices, got float64", id="type"),
        pytest.param(np.zeros((4, 5, 1)), np.full((4, 5), 2, np.uint8), r"values \[2\] are neither", id="class count"),
        pytest.param(np.zeros((4, 5, 1)), np.full((4, 5), 128, np.uint8), r"map the values", id="grey level as class"),
    ],
)
def test_misfits_are_refused_by_name(pixels: Any, reference: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said) as error:
        check_samples([make_sample(pixels, reference)], n_classes=2, channels=3)
    assert "'thorax-7'" in str(error.value)


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one sample, got none"):
        check_samples([], 2, 1)
