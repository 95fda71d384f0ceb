"""Frames in every encoding that is kept, and what damaged or lying ones come to."""

import struct
import tracemalloc
import zlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.pixels import encoders

from segscale.errors import UnreadableImage
from segscale.tasks.readers.dicom_codecs import codec_of
from segscale.tasks.readers.dicom_segmentation import read_segmentation
from segscale.tasks.readers.dicom_segments import label_map
from segscale.tasks.readers.dicom_series import read_series
from tests.tasks.readers.dicom_made import ct_series, ct_slice, multi_frame, segmentation, values

GREYS = np.random.default_rng(3).integers(0, 4096, (48, 40)).astype("uint16")
RLE, DEFLATED_FRAME = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.8.1"
J2K, JPEG_LS = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.80"


def rle(pixels: NDArray[Any]) -> bytes:
    """DICOM's run lengths: a plane for each byte, the highest first."""
    planes = pixels.astype(pixels.dtype.newbyteorder(">")).view("uint8").reshape(-1, pixels.itemsize).T
    packed = [bytes(imagecodecs.packbits_encode(np.ascontiguousarray(plane).tobytes())) for plane in planes]
    packed = [part + b"\0" * (len(part) % 2) for part in packed]
    offsets = np.cumsum([64, *map(len, packed)])[: len(packed)].tolist()
    return struct.pack("<16I", len(packed), *offsets, *[0] * (15 - len(packed))) + b"".join(packed)


def deflate(pixels: NDArray[Any]) -> bytes:
    squeezed = zlib.compressobj(wbits=-15)
    return squeezed.compress(pixels.tobytes()) + squeezed.flush()


def even(data: bytes) -> bytes:
    return data + b"\0" * (len(data) % 2)


@pytest.mark.parametrize(
    ("syntax", "encode", "what"),
    [
        (RLE, rle, "run lengths"),
        (DEFLATED_FRAME, deflate, "deflated frames"),
        (J2K, lambda a: imagecodecs.jpeg2k_encode(a, level=0, codecformat="j2k"), "JPEG 2000, its codestream alone"),
        ("1.2.840.10008.1.2.4.91", lambda a: imagecodecs.jpeg2k_encode(a, level=0), "JPEG 2000 in a JP2 container"),
        ("1.2.840.10008.1.2.4.201", imagecodecs.htj2k_encode, "high-throughput JPEG 2000"),
        (JPEG_LS, imagecodecs.jpegls_encode, "JPEG-LS"),
        ("1.2.840.10008.1.2.4.70", lambda a: imagecodecs.ljpeg_encode(a, bitspersample=12), "lossless JPEG"),
    ],
)
def test_compressed_slices_give_back_what_went_in(
    syntax: str, encode: Callable[[NDArray[Any]], bytes], what: str
) -> None:
    data = ct_slice(GREYS, 5, syntax, compressed=even(bytes(encode(GREYS))), BitsStored=12, HighBit=11)
    series = read_series({"a.dcm": data}, "case")
    assert np.array_equal(series.values[0], GREYS), what
    assert any("may have changed values" in note for note in series.header.notes) == syntax.endswith(".91")


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"])
def test_uncompressed_slices_of_every_order(syntax: str) -> None:
    volume = values()
    assert np.array_equal(read_series(ct_series(volume, syntax=syntax), "case").values, volume)


def test_signed_values_through_a_codec_that_knows_no_sign() -> None:
    signed = GREYS.astype("int16") - 2048
    coded = even(bytes(imagecodecs.jpegls_encode((signed & 0xFFF).astype("uint16"))))
    data = ct_slice(signed, 5, JPEG_LS, compressed=coded, BitsStored=12, HighBit=11)
    assert np.array_equal(read_series({"a.dcm": data}, "case").values[0], signed)


def test_bits_above_the_stored_ones_are_no_part_of_the_number() -> None:
    signed = GREYS.astype("int16") - 2048
    overlay = ((signed & 0xFFF) | 0x5000).astype("int16")
    data = ct_slice(overlay, 5, BitsStored=12, HighBit=11)
    assert np.array_equal(read_series({"a.dcm": data}, "case").values[0], signed)


def test_a_lossy_slice_is_read_and_said() -> None:
    grey = (GREYS >> 4).astype("uint8")
    coded = even(bytes(imagecodecs.jpeg8_encode(grey, level=95)))
    series = read_series({"a.dcm": ct_slice(grey, 5, "1.2.840.10008.1.2.4.50", compressed=coded)}, "case")
    assert np.array_equal(series.values[0], imagecodecs.jpeg8_decode(coded))
    assert "compressed with JPEG, which may have changed values" in series.header.notes


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("syntax", [RLE, DEFLATED_FRAME])
def test_single_bits_packed_or_a_byte_each(syntax: str, packed: bool) -> None:
    drawn = (GREYS[:9, :11] % 2).astype("uint8")
    stored = np.packbits(drawn.ravel(), bitorder="little") if packed else drawn
    coded = even(rle(stored) if syntax == RLE else deflate(stored))
    from pydicom.encaps import encapsulate

    data = segmentation([(1, (0, 0, 0), drawn)], syntax=syntax, PixelData=encapsulate([coded]))
    assert np.array_equal(label_map(read_segmentation(data, "a.dcm"))[0], drawn)


def test_twelve_bits_of_lossy_jpeg() -> None:
    smooth = (np.add.outer(np.arange(48), np.arange(40)) * 40).astype("uint16")
    coded = even(bytes(imagecodecs.jpeg8_encode(smooth, level=98, bitspersample=12)))
    data = ct_slice(smooth, 5, "1.2.840.10008.1.2.4.51", compressed=coded, BitsStored=12, HighBit=11)
    assert np.abs(read_series({"a.dcm": data}, "case").values[0].astype(int) - smooth).max() < 16


def test_a_lossy_segmentation_is_refused() -> None:
    drawn = np.zeros((48, 40), "uint8")
    from pydicom.encaps import encapsulate

    coded = encapsulate([even(bytes(imagecodecs.jpeg8_encode(drawn)))])
    data = segmentation([(1, (0, 0, 0), drawn)], packed=False, syntax="1.2.840.10008.1.2.4.50", PixelData=coded)
    with pytest.raises(UnreadableImage, match="compressed with JPEG, which may change values; expected a lossless"):
        read_segmentation(data, "a.dcm")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            ct_slice(GREYS[:40], 5, JPEG_LS, compressed=even(bytes(imagecodecs.jpegls_encode(GREYS)))),
            "a frame holds 48 x 40 pixels; expected 40 x 40 as the header says",
        ),
        (
            ct_slice(GREYS[:40], 5, J2K, compressed=even(bytes(imagecodecs.jpeg2k_encode(GREYS, level=0)))),
            "a frame holds 48 x 40 pixels; expected 40 x 40 as the header says",
        ),
        (
            ct_slice(GREYS, 5, J2K, compressed=even(bytes(imagecodecs.jpeg2k_encode(np.dstack([GREYS] * 3), level=0)))),
            r"a damaged frame of lossless JPEG 2000 \(DataError\)",
        ),
        (ct_slice(GREYS, 5, RLE, compressed=even(rle(GREYS[:20]))), r"a damaged frame of RLE \(DataError\)"),
        (
            ct_slice(GREYS, 5, JPEG_LS, compressed=even(bytes(imagecodecs.jpegls_encode(GREYS))[:2000])),
            "a frame of lossless JPEG-LS is cut off: no end marker in its 2000 bytes",
        ),
        (ct_slice(GREYS, 5, JPEG_LS, compressed=b"\xff\xd8" + b"\0" * 40), "a damaged frame of lossless JPEG-LS"),
        (ct_slice(GREYS, 5, DEFLATED_FRAME, compressed=b"\xff" * 40), r"a damaged frame of Deflate \(error\)"),
        (ct_slice(GREYS, 5, DEFLATED_FRAME, compressed=even(deflate(np.zeros(10**7)))), "decodes to 3842 bytes"),
        (ct_slice(GREYS, 5, "1.2.840.10008.1.2.4.102", compressed=b"\0\0"), "syntax MPEG-4 AVC/H.264.*transcode"),
        (ct_slice(GREYS, 5, "1.2.840.10008.1.2.99.9", compressed=b"\0\0"), "a transfer syntax that DICOM"),
    ],
)  # fmt: skip
def test_refused_frames(data: bytes, sentence: str) -> None:
    with pytest.raises(UnreadableImage, match=sentence):
        read_series({"a.dcm": data}, "case")


@pytest.mark.parametrize("place", [0, 3, 4, 8, 9])
@pytest.mark.parametrize("entry", [0, 1, 63, 2**31, 2**32 - 1])
def test_run_lengths_whose_table_lies(place: int, entry: int) -> None:
    coded = bytearray(even(rle(GREYS)))
    coded[place : place + 4] = struct.pack("<I", entry)
    with pytest.raises(UnreadableImage, match="damaged frame of RLE"):
        read_series({"a.dcm": ct_slice(GREYS, 5, RLE, compressed=bytes(coded))}, "case")


def test_run_lengths_are_those_of_pydicom() -> None:
    for greys in (GREYS, GREYS.astype("int16") - 2048, (GREYS >> 4).astype("uint8")):
        bits = 8 * greys.itemsize
        coded = encoders.RLELosslessEncoder.encode(
            greys, rows=48, columns=40, samples_per_pixel=1, bits_allocated=bits, bits_stored=bits, number_of_frames=1,
            pixel_representation=int(greys.dtype.kind == "i"), photometric_interpretation="MONOCHROME2",
        )  # fmt: skip
        data = ct_slice(greys, 5, RLE, compressed=even(coded))
        assert np.array_equal(read_series({"a.dcm": data}, "case").values[0], greys)


def test_fewer_frames_than_the_header_claims() -> None:
    data = multi_frame(values(3), [0, 1, 2], PixelData=values(2).tobytes())
    with pytest.raises(
        UnreadableImage, match="120 bytes of pixels; expected 180 for 3 frames of 5 x 6 pixels of 16 bits"
    ):
        read_series({"a.dcm": data}, "case")


def test_a_missing_codec_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagecodecs, "JPEG2K", SimpleNamespace(available=False))
    with pytest.raises(
        UnreadableImage, match="lossless JPEG 2000, which nothing here decodes: pip install imagecodecs"
    ):
        codec_of(J2K, "a.dcm")


def test_a_deflated_file_inflates_to_what_its_header_claims_and_no_further() -> None:
    bomb = ct_slice(np.zeros((64, 64), "uint8"), 5, "1.2.840.10008.1.2.1.99", PixelData=bytes(2**28))
    assert len(bomb) < 2**20
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableImage, match=r"8\d{3} bytes of pixels; expected 4096"):
            read_series({"a.dcm": bomb}, "case")
        assert tracemalloc.get_traced_memory()[1] < 2**28
    finally:
        tracemalloc.stop()
