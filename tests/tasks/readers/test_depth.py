import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from segscale.tasks.readers.depth import UNDECIDED, is_all_ones, stated_maximum


@pytest.mark.parametrize(
    ("samples", "bits", "expected"),
    [
        pytest.param([0, 17, 4095], 12, 4095, id="12 bits as they are"),
        pytest.param([3, 1000], 10, 1023, id="10 bits, the brightest not in use"),
        pytest.param([5], 12, 4095, id="one dark pixel that scaling up cannot give"),
        pytest.param([0, 4096], 12, 0, id="brighter than 12 bits: scaled up"),
        pytest.param([0, 65520], 12, 0, id="shifted"),
        pytest.param([0, 65535], 14, 0, id="white"),
        pytest.param([0, 16, 4080], 12, UNDECIDED, id="dark, and all multiples of 16: either"),
        pytest.param([0, 0], 12, UNDECIDED, id="black"),
        pytest.param([], 12, 0, id="no pixels"),
    ],
)
def test_of_16_bits(samples: list[int], bits: int, expected: int) -> None:
    assert stated_maximum(np.array(samples, np.uint16), bits, 16) == expected


def test_of_8_bits() -> None:
    assert stated_maximum(np.array([0, 1, 31], np.uint8), 5, 8) == 31
    assert stated_maximum(np.array([0, 8, 255], np.uint8), 5, 8) == 0


def scaled(originals: NDArray[np.int64], bits: int, way: str) -> NDArray[np.uint16]:
    if way == "shifted":
        return (originals << (16 - bits)).astype(np.uint16)
    if way == "multiplied":
        multiplied: NDArray[np.uint16] = np.round(originals * 65535 / (2**bits - 1)).astype(np.uint16)
        return multiplied
    repeated = [int((format(int(value), f"0{bits}b") * 16)[:16], 2) for value in originals]
    return np.array(repeated, np.uint16)


@given(
    st.lists(st.integers(0, 2**16 - 1), min_size=1),
    st.integers(5, 15),
    st.sampled_from(["shifted", "multiplied", "repeated"]),
)
def test_scaled_up_samples_are_never_taken_for_small_ones(numbers: list[int], bits: int, way: str) -> None:
    originals = np.array(numbers, np.int64) % 2**bits
    assert stated_maximum(scaled(originals, bits, way), bits, 16) in (0, UNDECIDED)


@given(st.integers(5, 15), st.integers(0, 2**32 - 1))
def test_noise_as_it_is_ends_where_the_chunk_says(bits: int, seed: int) -> None:
    samples = np.random.default_rng(seed).integers(0, 2**bits, 500).astype(np.uint16)
    assert stated_maximum(samples, bits, 16) == 2**bits - 1


@pytest.mark.parametrize("value", [1, 3, 255, 1023, 4095, 16383, 65535])
def test_full_scales(value: int) -> None:
    assert is_all_ones(value)


@pytest.mark.parametrize("value", [-1, 0, 2, 254, 4094, 4096, 3280])
def test_other_numbers(value: int) -> None:
    assert not is_all_ones(value)
