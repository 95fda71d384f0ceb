"""What all readers of volumes share, with a format that is nothing but numbers."""

from typing import Any

import numpy as np
import pytest

from segscale.errors import UnreadableImage
from segscale.tasks.readers.picture import Reader
from segscale.tasks.readers.volume import Volume, VolumeReader, exact_bytes, numbers


class Numbers(VolumeReader):
    """Bytes as a volume of one row."""

    suffixes = (".numbers",)

    def __init__(self, dtype: str = "u1", channels: int = 1, **given: Any) -> None:
        self.dtype, self.channels, self.given = np.dtype(dtype), channels, given

    def volume(self, data: bytes, name: str) -> Volume:  # noqa: ARG002  of the protocol
        """As many numbers as there are bytes for."""
        width = len(data) // self.dtype.itemsize // self.channels
        return Volume((1, 1, width, self.channels), self.dtype, lambda: np.frombuffer(data, self.dtype), **self.given)


def test_it_is_a_reader_as_all_others() -> None:
    reader: Reader = Numbers()
    assert reader.header(b"abc", "a").shape == reader.read(b"abc", "a").pixels.shape == (1, 1, 3, 1)
    assert reader.orientation(b"abc", "a") == 0


@pytest.mark.parametrize(
    ("dtype", "slope", "kept", "full_scale"),
    [
        pytest.param("i1", 1.0, "int8", 127, id="signed bytes"),
        pytest.param("u2", 1.0, "uint16", 65535, id="unsigned"),
        pytest.param("f2", 1.0, "float16", 1, id="half"),
        pytest.param("f8", 1.0, "float32", 1, id="double, kept in half of it"),
        pytest.param("u8", 1.0, "float32", 1, id="64 bits, kept as floats"),
        pytest.param("u1", 0.5, "float32", 1, id="scaled"),
    ],
)
def test_types_of_pictures(dtype: str, slope: float, kept: str, full_scale: float) -> None:
    stored = np.arange(1, 5).astype(dtype)
    reader = Numbers(dtype, slope=slope)
    picture = reader.read(stored.tobytes(), "a")
    assert (picture.pixels.dtype.name, picture.full_scale) == (kept, full_scale)
    assert reader.header(stored.tobytes(), "a").dtype == kept
    assert np.array_equal(picture.pixels.ravel(), np.arange(1, 5) * slope)


def test_a_claim_beyond_the_limit_decodes_nothing() -> None:
    class Large(Numbers):
        def volume(self, data: bytes, name: str) -> Volume:  # noqa: ARG002  of the protocol
            def load() -> Any:
                raise AssertionError("decoded")

            return Volume((10_000, 10_000, 10_000, 1), self.dtype, load)

    reader = Large()
    for read in (reader.header, reader.read, reader.stored_values, reader.values):
        with pytest.raises(UnreadableImage, match="claims 1000000000000 decoded bytes"):
            read(b"", "a")


def test_nothing_is_no_volume() -> None:
    with pytest.raises(UnreadableImage, match="no pixels: shape"):
        Numbers().header(b"", "a")


def test_scaled_labels_may_have_pixels_without_a_value() -> None:
    stored = np.array([1.0, np.nan, 2.0])
    values = Numbers("f8", slope=2.0).stored_values(stored.tobytes(), "a")
    assert np.array_equal(values.ravel(), [2, np.nan, 4], equal_nan=True)


def test_channels() -> None:
    assert Numbers(channels=3).header(b"abcdef", "a").shape == (1, 1, 2, 3)
    with pytest.raises(UnreadableImage, match="2 channels"):
        Numbers(channels=2).header(b"abcdef", "a")
    assert Numbers(channels=2).stored_values(b"abcdef", "a").shape == (1, 1, 3, 2)


def test_numbers_need_no_aligned_bytes() -> None:
    raw = exact_bytes(b"?\1\0\2\0", 5, "a")
    found = numbers(raw[1:], np.dtype("<u2"))
    assert found.flags.aligned
    assert found.tolist() == [1, 2]
    assert numbers(raw[1:], np.dtype(">u2")).tolist() == [256, 512]
