"""Which series a file belongs to."""

from segscale.tasks.readers.dicom_file import hashed_uid
from segscale.tasks.readers.dicom_identity import Identity, identify
from tests.tasks.readers.dicom_made import FRAME, SERIES, ct_slice, segmentation, values

SLICE = values(1)[0]


def test_an_image_and_what_was_drawn_on_it() -> None:
    series, frame = str(hashed_uid(SERIES)), hashed_uid(FRAME)
    drawn = segmentation([(1, (0, 0, 0), SLICE.astype("uint8") % 2)])
    assert identify(ct_slice(SLICE, 5), "a.dcm") == Identity("CT", series, frame, True, False, ())
    assert identify(drawn, "a.dcm") == Identity("SEG", hashed_uid("1.2.3.77"), frame, True, True, (series,), (1,))


def test_a_report_has_no_pixels() -> None:
    report = ct_slice(
        SLICE, 5, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.22", Modality="SR", PixelData=None, Rows=None, Columns=None
    )
    assert not identify(report, "a.dcm").has_pixels


def test_uids_are_hashed_without_their_padding_and_modalities_are_those_of_a_list() -> None:
    assert hashed_uid("1.2.3.1") == hashed_uid("1.2.3.1\0")
    assert len(hashed_uid("1.2.3.1") or "") == 32
    assert hashed_uid(None) is hashed_uid("") is None
    assert identify(ct_slice(SLICE, 5, Modality="SMITH"), "a.dcm").modality == "unknown"
