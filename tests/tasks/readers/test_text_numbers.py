import numpy as np
import pytest

from segscale.errors import UnreadableImage
from segscale.tasks.readers.text_numbers import decimal_numbers, hexadecimal_bytes


@pytest.mark.parametrize(
    ("text", "dtype", "expected"),
    [
        (b"1 2 3", "u1", [1, 2, 3]),
        (b" -1,2\n\t3 ", "i2", [-1, 2, 3]),
        (b"18446744073709551615 0 1", "u8", [2**64 - 1, 0, 1]),
        (b"nan 1e3 -inf", "f4", [np.nan, 1000, -np.inf]),
    ],
)
def test_decimal_numbers(text: bytes, dtype: str, expected: list[float]) -> None:
    found = decimal_numbers(memoryview(text), 3, np.dtype(dtype), "a")
    assert np.array_equal(found, np.array(expected, dtype), equal_nan=dtype.startswith("f"))


@pytest.mark.parametrize("text", [b"1 2", b"1 2 3 4", b"1 2 x", b"1 2 300", b"1 2 -1", b"1 2 0.5", b""])
def test_refused(text: bytes) -> None:
    with pytest.raises(UnreadableImage, match="a: "):
        decimal_numbers(memoryview(text), 3, np.dtype("u1"), "a")


def test_hexadecimal_bytes() -> None:
    assert hexadecimal_bytes(memoryview(b"00 ff\n7F"), "a") == b"\x00\xff\x7f"
    for text in (b"0", b"xx", b"\xff\xff"):
        with pytest.raises(UnreadableImage, match="no pairs of hexadecimal digits"):
            hexadecimal_bytes(memoryview(text), "a")
