"""Slopes and intercepts in integer arithmetic."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segscale.tasks.readers.dicom_pixels import PixelLayout
from segscale.tasks.readers.dicom_rescale import Rescale, common_dtype, rescaled


def layout(bits: int, stored: int, is_signed: bool, photometric: str = "MONOCHROME2") -> PixelLayout:
    return PixelLayout(1, 2, 2, bits, stored, stored - 1, is_signed, photometric)


@given(
    st.sampled_from([layout(8, 8, False), layout(16, 12, False), layout(16, 16, True), layout(32, 32, False)]),
    st.integers(-(2**20), 2**20).filter(bool),
    st.integers(-(2**40), 2**40),
)
def test_whole_numbers_are_exact_up_to_the_ends(own: PixelLayout, slope: int, intercept: int) -> None:
    rescale = Rescale(float(slope), float(intercept))
    dtype = common_dtype([(own, rescale)])
    lowest, highest = own.limits
    stored = np.array([[lowest, highest], [lowest + 1, highest // 2]]).astype(own.dtype)
    exact = [[int(value) * slope + intercept for value in row] for row in stored.tolist()]
    values = rescaled(stored, rescale, own, np.dtype(dtype))
    if dtype != "float32":
        assert values.tolist() == exact
    else:
        assert np.allclose(values, np.array(exact, float), rtol=1e-6)


@pytest.mark.parametrize(
    ("slices", "dtype", "reason"),
    [
        ([(layout(16, 16, False), Rescale(1, 0))], "uint16", "as stored"),
        ([(layout(16, 12, False), Rescale(1, -1024))], "int16", "-1024 to 3071"),
        ([(layout(16, 16, False), Rescale(1, -1024))], "int32", "-1024 to 64511"),
        ([(layout(8, 8, False), Rescale(1, 0)), (layout(16, 16, True), Rescale(1, 0))], "int16", "two types"),
        ([(layout(32, 32, False), Rescale(2, 0))], "float32", "beyond 32 bits"),
        ([(layout(16, 12, False), Rescale(1, 0)), (layout(16, 12, False), Rescale(0.5, 0))], "float32", "fractions"),
    ],
)  # fmt: skip
def test_the_type_of_a_series(slices: list[tuple[PixelLayout, Rescale]], dtype: str, reason: str) -> None:
    assert common_dtype(slices) == dtype, reason


def test_inverting_keeps_the_range_of_the_stored_bits() -> None:
    own = layout(16, 12, True, "MONOCHROME1")
    stored = np.array([[-2048, 2047], [0, -1]], "int16")
    assert rescaled(stored, Rescale(1, 0), own, np.dtype("int16")).tolist() == [[2047, -2048], [-1, 0]]
