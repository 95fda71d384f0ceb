"""DICOM files made for tests: slices, multi-frame images and segmentations, small and without a patient."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, JPEGLSLossless, UID_dictionary

from segscale.tasks.geometry import Geometry
from segscale.tasks.grids import Grid

CT, SEG = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.66.4"
AXIAL = [1, 0, 0, 0, 1, 0]
SERIES, FRAME = "1.2.3.1", "1.2.3.9"
CROOKED = (-10.5, 20.25, 0.0)
"""Where the first pixels of slices lie, but for their height."""


def values(depth: int = 4, height: int = 5, width: int = 6, dtype: str = "int16") -> NDArray[Any]:
    return np.random.default_rng(7).integers(-1000, 1000, (depth, height, width)).astype(dtype)


def as_bytes(header: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    header.file_meta = FileMetaDataset()
    # What pydicom does not know it does not write: a syntax of as many characters stands in for it.
    is_known = syntax in UID_dictionary
    header.file_meta.TransferSyntaxUID = syntax if is_known else JPEGLSLossless
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    stream = io.BytesIO()
    header.save_as(stream, enforce_file_format=True)
    written = stream.getvalue()
    return written if is_known else written.replace(JPEGLSLossless.encode(), syntax.encode().ljust(22, b"\0"), 1)


def with_pixels(header: Dataset, pixels: NDArray[Any], big_endian: bool = False) -> Dataset:
    bits = 8 * pixels.dtype.itemsize
    header.Rows, header.Columns = pixels.shape[-2:]
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit = bits, bits, bits - 1
    header.PixelRepresentation = int(pixels.dtype.kind == "i")
    data = pixels.astype(pixels.dtype.newbyteorder(">" if big_endian else "<")).tobytes()
    header.add_new("PixelData", "OW" if bits > 8 else "OB", data + b"\0" * (len(data) % 2))
    return header


def ct_slice(
    pixels: NDArray[Any],
    z: float,
    syntax: str = ExplicitVRLittleEndian,
    position: Sequence[float] | None = None,
    compressed: bytes | None = None,
    **elements: Any,
) -> bytes:
    """One slice at height z; `elements` by their keywords, None to leave one out."""
    header = Dataset()
    header.SOPClassUID, header.SOPInstanceUID = CT, f"1.2.3.2.{int(z * 1000) % 10**6}"
    header.Modality, header.SeriesInstanceUID, header.FrameOfReferenceUID = "CT", SERIES, FRAME
    header.ImagePositionPatient = list(position or (*CROOKED[:2], z))
    header.ImageOrientationPatient, header.PixelSpacing = AXIAL, [0.5, 0.75]
    header.SliceThickness = 3
    with_pixels(header, pixels, syntax == ExplicitVRBigEndian)
    for keyword, value in elements.items():
        if value is None:
            delattr(header, keyword)
        else:
            setattr(header, keyword, value)
    if compressed is not None:
        header.PixelData = encapsulate([compressed])
        header["PixelData"].VR = "OB"
    return as_bytes(header, syntax)


def ct_series(pixels: NDArray[Any], gap: float = 2.5, **elements: Any) -> dict[str, bytes]:
    """Slices upward from 0 mm."""
    return {f"{index}.dcm": ct_slice(plane, index * gap, **elements) for index, plane in enumerate(pixels)}


def placed(grid: Grid) -> Geometry:
    """Where a grid lies, of one that says so."""
    assert grid.geometry is not None
    return grid.geometry


def item(**elements: Any) -> Dataset:
    header = Dataset()
    for keyword, value in elements.items():
        setattr(header, keyword, value)
    return header


def multi_frame(pixels: NDArray[Any], heights: Sequence[float], **elements: Any) -> bytes:
    """An enhanced CT with a frame at each height."""
    header = _framed(
        "1.2.840.10008.5.1.4.1.1.2.1",
        pixels,
        [item(PlanePositionSequence=[item(ImagePositionPatient=[*CROOKED[:2], z])]) for z in heights],
    )
    header.Modality = "CT"
    shared = header.SharedFunctionalGroupsSequence[0]
    shared.PixelValueTransformationSequence = [item(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU")]
    for keyword, value in elements.items():
        setattr(header, keyword, value)
    return as_bytes(header)


def segmentation(
    frames: Sequence[tuple[int, Sequence[float], NDArray[Any]]],
    kind: str = "BINARY",
    orientation: Sequence[float] = AXIAL,
    syntax: str = ExplicitVRLittleEndian,
    gap: float | None = 2.5,
    packed: bool = True,
    spacing: Sequence[float] = (0.5, 0.75),
    **elements: Any,
) -> bytes:
    """A SEG of frames (segment number, position, pixels)."""
    pixels = np.stack([frame for _, _, frame in frames])
    groups = []
    for number, position, _ in frames:
        of_frame = item(PlanePositionSequence=[item(ImagePositionPatient=[float(value) for value in position])])
        if kind != "LABELMAP":
            of_frame.SegmentIdentificationSequence = [item(ReferencedSegmentNumber=number)]
        groups.append(of_frame)
    header = _framed(SEG, pixels, groups, orientation, gap, spacing)
    header.Modality, header.SegmentationType = "SEG", kind
    header.ReferencedSeriesSequence = [item(SeriesInstanceUID=SERIES)]
    header.SeriesInstanceUID = "1.2.3.77"
    present = np.unique(pixels).tolist() if kind == "LABELMAP" else [number for number, _, _ in frames]
    header.SegmentSequence = [segment(number) for number in sorted(set(present) - {0})]
    if kind == "BINARY" and packed:
        header.BitsAllocated = header.BitsStored = 1
        header.HighBit = 0
        bits = np.packbits(pixels.ravel(), bitorder="little").tobytes()
        header.PixelData = bits + b"\0" * (len(bits) % 2)
    if kind == "FRACTIONAL":
        header.SegmentationFractionalType, header.MaximumFractionalValue = "PROBABILITY", 200
    for keyword, value in elements.items():
        setattr(header, keyword, value)
    return as_bytes(header, syntax)


def segment(number: int, value: str = "10200004", scheme: str = "SCT", meaning: str = "Liver") -> Dataset:
    code = item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)
    return item(
        SegmentNumber=number,
        SegmentLabel=f"drawn {number}",
        SegmentAlgorithmType="MANUAL",
        SegmentedPropertyCategoryCodeSequence=[code],
        SegmentedPropertyTypeCodeSequence=[code],
    )


def _framed(
    kind: str,
    pixels: NDArray[Any],
    groups: Sequence[Dataset],
    orientation: Sequence[float] = AXIAL,
    gap: float | None = None,
    spacing: Sequence[float] = (0.5, 0.75),
) -> Dataset:
    header = with_pixels(Dataset(), pixels)
    header.SOPClassUID, header.SOPInstanceUID = kind, "1.2.3.4"
    header.SeriesInstanceUID, header.FrameOfReferenceUID = SERIES, FRAME
    header.NumberOfFrames = len(pixels)
    measures = item(PixelSpacing=list(spacing), SliceThickness=3)
    if gap is not None:
        measures.SpacingBetweenSlices = gap
    header.SharedFunctionalGroupsSequence = [
        item(
            PixelMeasuresSequence=[measures],
            PlaneOrientationSequence=[item(ImageOrientationPatient=[float(value) for value in orientation])],
        )
    ]
    header.PerFrameFunctionalGroupsSequence = list(groups)
    return header
