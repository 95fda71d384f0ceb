from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segscale.tasks.normalize import Recipe
from segscale.tasks.training.sample import Sample
from segscale.tasks.training.split import Split, hash_share, split_samples

PIXELS, REFERENCE = np.zeros((2, 2, 1), np.uint8), np.zeros((2, 2), np.uint8)
RECIPE = Recipe(-math.inf, math.inf, 0.0, 1.0)


def make_sample(image_id: str, **groups: str) -> Sample:
    return Sample(image_id, PIXELS, RECIPE, REFERENCE, groups)


SET = (
    make_sample("a1", patient_id="a", site="north"),
    make_sample("a2", patient_id="a", site="north"),
    make_sample("b1", patient_id="b", site="south"),
    make_sample("c1", patient_id="c", site="west"),
    make_sample("c2", patient_id="c", site="west"),
)


def names(split: Split) -> tuple[list[str], list[str]]:
    training, validation = ([sample.image_id for sample in side] for side in (split.training, split.validation))
    return training, validation


@pytest.mark.parametrize(
    ("asked", "training", "validation"),
    [
        pytest.param({}, ["a1", "a2", "b1", "c1", "c2"], [], id="nothing asked: all train"),
        pytest.param(
            {"column": "site", "validation": ["south"]}, ["a1", "a2", "c1", "c2"], ["b1"], id="training: the others"
        ),
        pytest.param(
            {"column": "site", "validation": ["west"], "training": ["north"]},
            ["a1", "a2"],
            ["c1", "c2"],
            id="a value of neither takes no part",
        ),
        pytest.param(
            {"column": "site", "validation": ["south"], "by": "patient_id"},
            ["a1", "a2", "c1", "c2"],
            ["b1"],
            id="patients stay together",
        ),
    ],
)
def test_split_by_column(asked: Any, training: list[str], validation: list[str]) -> None:
    assert names(split_samples(SET, **asked)) == (training, validation)


def test_share_is_the_start_of_the_hash() -> None:
    digest = sha256(b"patient-1").hexdigest()
    assert hash_share("patient-1") == pytest.approx(int(digest, 16) / 16**64, abs=1e-15)
    assert all(0 <= hash_share(str(number)) < 1 for number in range(100))


patients = st.lists(st.integers(0, 10**6).map(str), min_size=40, max_size=60, unique=True)


@given(patients=patients, removed=st.sets(st.integers(0, 39), max_size=10), slices=st.integers(1, 3))
def test_nobody_changes_sides_when_others_come_or_go(patients: list[str], removed: set[int], slices: int) -> None:
    def split(some: Sequence[str]) -> tuple[set[str], set[str]]:
        samples = [make_sample(f"{one}-{number}", patient=one) for number in range(slices) for one in some]
        made = split_samples(samples, fraction=0.5, by="patient")
        assert len(made.training) + len(made.validation) == len(samples)
        training, validation = (
            {sample.groups["patient"] for sample in side} for side in (made.training, made.validation)
        )
        return training, validation

    training, validation = split(patients)
    assert not training & validation
    fewer_training, fewer_validation = split([one for place, one in enumerate(patients) if place not in removed])
    assert fewer_training <= training
    assert fewer_validation <= validation


def test_fraction_is_that_of_the_patients() -> None:
    samples = [make_sample(f"image-{number}") for number in range(2000)]
    share = len(split_samples(samples, fraction=0.2).validation) / 2000
    assert share == pytest.approx(0.2, abs=4 * math.sqrt(0.2 * 0.8 / 2000))


def test_slices_of_one_image_stay_together() -> None:
    samples = [make_sample(f"volume-{number % 9}") for number in range(90)]
    split = split_samples(samples, fraction=0.5)
    assert not {sample.image_id for sample in split.training} & {sample.image_id for sample in split.validation}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        pytest.param({"column": "hospital", "validation": ["x"]}, r"'hospital'.*patient_id', 'site", id="column"),
        pytest.param({"fraction": 0.5, "by": "person"}, r"'person'.*patient_id', 'site", id="column to hash"),
        pytest.param({"column": "site", "validation": ["east"]}, r"\['east'\].*'north', 'south', 'west'", id="value"),
        pytest.param({"column": "site", "training": ["north"]}, "for validation, got none", id="no validation values"),
        pytest.param(
            {"column": "site", "validation": ["north", "south", "west"]}, "leaves none to train on", id="no training"
        ),
        pytest.param(
            {"column": "site", "training": ["west"], "validation": ["west"]}, r"\['west'\]", id="value on both sides"
        ),
        pytest.param({"column": "site", "validation": ["west"], "fraction": 0.2}, "column or a fraction", id="both"),
        pytest.param({"validation": ["west"]}, "expected its name", id="values of no column"),
        pytest.param({"fraction": 1.5}, "between 0 and 1, got 1.5", id="fraction"),
        pytest.param({"fraction": 1e-9}, r"all 5 values of 'image_id' in training", id="hash leaves a side empty"),
        pytest.param(
            {"fraction": 1 - 1e-9, "by": "patient_id"},
            r"all 3 values of 'patient_id' in validation: 'a'",
            id="other side",
        ),
    ],
)
def test_impossible_splits_are_refused(asked: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        split_samples(SET, **asked)


def test_patient_on_both_sides_is_refused() -> None:
    torn = (*SET, make_sample("a3", patient_id="a", site="south"))
    assert names(split_samples(torn, column="site", validation=["south"]))[1] == ["b1", "a3"]
    with pytest.raises(ValueError, match="'patient_id' 'a' would be in training and in validation"):
        split_samples(torn, column="site", validation=["south"], by="patient_id")
