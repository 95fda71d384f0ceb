import io
import zipfile
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segscale.errors import UnreadableImage
from segscale.tasks.readers.archives import NpzReader, read_member, read_member_header

READER = NpzReader()
VOLUME = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)


def npz(*, compressed: bool = True, **arrays: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def archive(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(f"{name}.npy", data)
    return stream.getvalue()


def npy(shape: str, data: bytes, dtype: str = "|u1") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text.encode() + data


@pytest.mark.parametrize("compressed", [True, False])
def test_one_array(compressed: bool) -> None:
    data = npz(compressed=compressed, anything=VOLUME)
    header, picture = READER.header(data, "a.npz"), READER.read(data, "a.npz")
    assert (header.shape, header.dtype, header.geometry) == ((3, 4, 5, 1), "uint8", None)
    assert np.array_equal(picture.pixels[..., 0], VOLUME)
    assert np.array_equal(READER.stored_values(data, "a.npz")[..., 0], VOLUME)
    assert READER.orientation(data, "a.npz") == 0


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.uint64])
def test_probabilities_keep_their_axes_and_type(dtype: type[np.generic]) -> None:
    stored = np.arange(120).reshape(2, 3, 4, 5).astype(dtype)
    data = npz(probabilities=stored)
    header = read_member_header(data, "a.npz")
    assert (header.shape, header.dtype.name) == ((2, 3, 4, 5), dtype.__name__)
    values = read_member(data, "a.npz")
    assert values.dtype == dtype
    assert np.array_equal(values, stored)


def test_one_of_several() -> None:
    data = npz(labels=VOLUME, softmax=VOLUME / 60)
    with pytest.raises(UnreadableImage, match="2 arrays, 'labels', 'softmax'; expected one"):
        READER.header(data, "a.npz")
    assert np.array_equal(NpzReader("labels").stored_values(data, "a.npz")[..., 0], VOLUME)
    with pytest.raises(UnreadableImage, match="no arrays of the name 'other'; it has 'labels', 'softmax'"):
        NpzReader("other").header(data, "a.npz")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "the file is empty", id="nothing"),
        pytest.param(npy("(1,)", b"\0"), "not a .npz archive of numpy, whatever its name says", id=".npy"),
        pytest.param(npz(a=VOLUME)[:-30], "damaged or unsupported .npz archive", id="cut off"),
        pytest.param(npz(), "an archive without arrays", id="empty"),
        pytest.param(archive(a=npy("(9, 9)", bytes(80))), "208 bytes; expected 209", id="a pixel less"),
        pytest.param(archive(a=npy("(9, 9)", bytes(82))), "210 bytes; expected 209", id="a byte more"),
        pytest.param(
            archive(a=npy("(10000, 10000, 10000)", b"")), "expected 1000000000128 of shape", id="10^12 voxels"
        ),
        pytest.param(archive(a=b"not an array"), "damaged or unsupported .npy file", id="text"),
        pytest.param(
            archive(a=npy("(3, 4)", bytes(96), "|O")), "holds Python objects; expected numbers", id="Python objects"
        ),
        pytest.param(npz(a=np.zeros((5, 6, 3))), "with a width above 4", id="colours or a thin volume"),
    ],
)
def test_refused(data: bytes, message: str) -> None:
    with pytest.raises(UnreadableImage, match=message):
        READER.read(data, "a.npz")


def test_a_bomb_is_not_inflated() -> None:
    data = archive(a=npy("(4, 10000, 1000)", bytes(40_000_000)))
    lying = data.replace((40_000_128).to_bytes(4, "little"), (2_000_000_128).to_bytes(4, "little"))
    with pytest.raises(UnreadableImage, match="has 2000000128 bytes; expected 40000128"):
        READER.read(lying, "a.npz")
    lying = archive(a=npy("(4, 10000, 50000)", b"")).replace(
        (128).to_bytes(4, "little"), (2_000_000_128).to_bytes(4, "little")
    )
    with pytest.raises(UnreadableImage, match="cannot hold the 2000000128 that its array claims"):
        READER.read(lying, "a.npz")


def test_every_cut_is_noticed() -> None:
    data = npz(a=VOLUME)
    for length in range(len(data)):
        with pytest.raises(UnreadableImage):
            READER.read(data[:length], "a.npz")
