"""Names of segments."""

import numpy as np

from segscale.tasks.readers.dicom_codes import read_segment_names
from tests.tasks.readers.dicom_made import item, segment, segmentation

DRAWN = np.eye(5, 6, dtype="uint8")


def test_types_of_segments_are_named_by_the_dictionary_alone() -> None:
    left = item(CodeValue="7771000", CodingSchemeDesignator="SCT", CodeMeaning="x")
    kidney = segment(2, "64033007", meaning="Mr Smith")
    kidney.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [left]
    described = [segment(1, "T-62000", "SRT"), kidney, segment(3, "1", "99HOUSE", "Mr Smith")]
    data = segmentation([(number, (0, 0, 0), DRAWN) for number in (1, 2, 3)], SegmentSequence=described)
    assert read_segment_names(data, "a.dcm") == {1: "Liver", 2: "Kidney, Left", 3: None}
