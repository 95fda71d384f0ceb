"""What leaves a header, and what damaged files do: nothing but UnreadableImage."""

import io
import logging
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segscale.errors import UnreadableImage
from segscale.tasks.readers.dicom_file import is_dicom, opened
from segscale.tasks.readers.dicom_identity import identify
from segscale.tasks.readers.dicom_segmentation import read_segmentation
from segscale.tasks.readers.dicom_segments import label_map, overlaps
from segscale.tasks.readers.dicom_series import read_series
from tests.tasks.readers.dicom_made import ct_series, ct_slice, multi_frame, segmentation, values

SECRETS = ("Quasimodo", "19310412", "Saint-Hilaire")
SLICE = ct_slice(values(1)[0], 5)
DRAWN = np.eye(5, 6, dtype="uint8")
MASKS = segmentation([(1, (0, 0, 0), DRAWN), (2, (0, 0, 2.5), DRAWN), (2, (0, 0, 0), DRAWN)])
ADDED = """
    PatientName PatientID PatientBirthDate InstitutionName StationName Manufacturer StudyInstanceUID StudyDescription
    SeriesDescription ProtocolName ContentLabel ImageComments ImageType SpecificCharacterSet
"""
TEXTS = "AE AS CS DA DT LO LT PN SH ST TM UC UI UR UT"
SPARED = {"MediaStorageSOPClassUID", "TransferSyntaxUID", "SOPClassUID"}


def planted(data: bytes, keep: frozenset[str] = frozenset()) -> bytes:
    """A file with the secrets in each text element but `keep`, nested ones, UIDs and those it did not have included."""
    header = pydicom.dcmread(io.BytesIO(data))
    for keyword in ADDED.split():
        setattr(header, keyword, "")
    _plant(header, keep)
    stream = io.BytesIO()
    header.save_as(stream)
    return stream.getvalue()


def _plant(header: Any, keep: frozenset[str]) -> None:
    for element in header:
        if element.VR == "SQ":
            for nested in element.value:
                _plant(nested, keep)
        elif element.VR in TEXTS.split() and element.keyword not in keep | SPARED:
            header[element.tag] = pydicom.DataElement(element.tag, "LO", "^".join(SECRETS))


def everything_said(data: bytes, name: str) -> str:
    """All records, notes and messages that reading a file in every way leads to."""
    said = []
    ways: tuple[Callable[[], object], ...] = (
        lambda: identify(data, name),
        lambda: read_series({name: data, "b.dcm": SLICE}, "case"),
        lambda: read_series({name: data}, "case"),
        lambda: read_segmentation(data, name),
        lambda: overlaps(read_segmentation(data, name)),
        lambda: label_map(read_segmentation(data, name)),
    )
    for way in ways:
        try:
            said.append(repr(way()))
        except UnreadableImage as error:
            said.append(f"{error} {error.__cause__!r}")
    return "\n".join(said)


@pytest.mark.parametrize("data", [SLICE, MASKS, multi_frame(values(2), [0, 1])], ids=["slice", "masks", "frames"])
@pytest.mark.parametrize(
    "keep",
    [
        frozenset(),
        frozenset({"SegmentationType"}),
        frozenset({"PhotometricInterpretation"}),
        frozenset({"PhotometricInterpretation", "SegmentationType"}),
        frozenset({"PhotometricInterpretation", "SegmentationType", "SpecificCharacterSet", "Modality"}),
    ],
    ids=len,
)
def test_nothing_of_a_patient_gets_into_messages_records_warnings_and_logs(
    data: bytes, keep: frozenset[str], caplog: pytest.LogCaptureFixture
) -> None:
    secret = planted(data, keep)
    assert all(text.encode() in secret for text in SECRETS)
    caplog.clear()  # pydicom has told of what it was made to write
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        said = everything_said(secret, "a.dcm") + caplog.text + "".join(str(warning.message) for warning in warned)
    assert not [text for text in SECRETS if text in said]


def test_pydicom_by_itself_would_tell(caplog: pytest.LogCaptureFixture) -> None:
    """That the test above can fail."""
    secret = planted(SLICE)
    caplog.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pydicom.dcmread(io.BytesIO(secret))
    assert SECRETS[0] in caplog.text


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "PixelSpacing", "RescaleSlope", "SliceThickness"])
def test_a_name_where_a_number_belongs_is_not_quoted(keyword: str) -> None:
    data = ct_slice(values(1)[0], 5, RescaleSlope=1, RescaleIntercept=0)
    header = pydicom.dcmread(io.BytesIO(data))
    header[keyword] = pydicom.DataElement(header.data_element(keyword).tag, "LO", "Quasimodo")
    stream = io.BytesIO()
    header.save_as(
        stream, implicit_vr=True, enforce_file_format=True, force_encoding=True
    ) if False else header.save_as(stream)
    with pytest.raises(UnreadableImage) as refusal:
        read_series({"a.dcm": stream.getvalue()}, "case")
    assert "Quasimodo" not in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_old_files_without_a_preamble() -> None:
    assert is_dicom(SLICE)
    assert not is_dicom(b"P5 4 4 255 " + bytes(200))
    header = pydicom.dcmread(io.BytesIO(SLICE))
    for implicit in (True, False):
        stream = io.BytesIO()
        del header.file_meta
        header.file_meta = pydicom.dataset.FileMetaDataset()
        pydicom.dcmwrite(stream, pydicom.Dataset(header), implicit_vr=implicit, little_endian=True)
        assert np.array_equal(read_series({"a": stream.getvalue()}, "case").values[0], values(1)[0])


def test_the_log_and_the_warnings_of_pydicom_are_as_they_were() -> None:
    log = pydicom.config.logger
    filters = list(warnings.filters)
    for data in (SLICE, SLICE[:300]):
        with pytest.raises(UnreadableImage), opened(data, "a.dcm"):
            raise ValueError("Quasimodo")
        assert not log.disabled
        assert list(warnings.filters) == filters


FILES = {
    "slice": SLICE,
    "masks": MASKS,
    "frames": multi_frame(values(2), [0, 1]),
    "deflated": ct_slice(values(1)[0], 5, "1.2.840.10008.1.2.1.99"),
    "implicit": ct_slice(values(1)[0], 5, "1.2.840.10008.1.2"),
    "label map": segmentation([(0, (0, 0, 0), DRAWN)], "LABELMAP"),
}


def read_in_every_way(data: bytes) -> None:
    for way in (
        lambda: read_series({"a.dcm": data}, "case"),
        lambda: label_map(read_segmentation(data, "a.dcm")),
        lambda: identify(data, "a.dcm"),
    ):
        with suppress(UnreadableImage):
            way()


@pytest.mark.parametrize("kind", FILES)
def test_a_file_cut_off_anywhere(kind: str) -> None:
    data = FILES[kind]
    for stop in range(0, len(data), 7):
        read_in_every_way(data[:stop])
    with pytest.raises(UnreadableImage):
        read_series({"a.dcm": data[: len(data) // 2]}, "case")


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(FILES)), st.lists(st.tuples(st.integers(128, 3000), st.integers(0, 255)), max_size=4))
def test_damaged_bytes_are_refused_or_read(kind: str, damage: list[tuple[int, int]]) -> None:
    data = bytearray(FILES[kind])
    for place, value in damage:
        data[place % len(data)] = value
    read_in_every_way(bytes(data))


def test_the_files_of_this_table_are_sound() -> None:
    assert read_series(ct_series(values(2)), "case").values.shape == (2, 5, 6)
    for kind in ("slice", "frames", "deflated", "implicit"):
        assert read_series({"a.dcm": FILES[kind]}, "case").values.shape[1:] == (5, 6)
