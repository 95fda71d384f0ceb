"""Names of segments by their codes: those of DICOM's own dictionary, never the texts of a file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from segscale.tasks.readers.dicom_file import Buffer, opened


def read_segment_names(data: Buffer, name: str) -> dict[int, str | None]:
    """Of each segment number the dictionary's name of its type, with modifiers: "Kidney, Left"; None where it has none.

    A file's own labels and code meanings are free text, in which a patient may be named; they are not read.
    """
    with opened(data, name) as file:
        segments = file.header.get("SegmentSequence") or ()
        return {
            int(segment.get("SegmentNumber")): _name(segment) for segment in segments if segment.get("SegmentNumber")
        }


def _name(segment: Any) -> str | None:
    kinds = segment.get("SegmentedPropertyTypeCodeSequence")
    if not kinds:
        return None
    meaning = _meaning(kinds[0])
    modifiers = [_meaning(code) for code in kinds[0].get("SegmentedPropertyTypeModifierCodeSequence") or ()]
    return ", ".join([meaning, *(word for word in modifiers if word)]) if meaning else None


def _meaning(code: Any) -> str | None:
    scheme, value = str(code.get("CodingSchemeDesignator") or ""), str(code.get("CodeValue") or "")
    return _dictionary().get((scheme, value))


@cache
def _dictionary() -> Mapping[tuple[str, str], str]:
    from pydicom.sr._concepts_dict import concepts
    from pydicom.sr._snomed_dict import mapping

    meanings: dict[tuple[str, str], str] = {}
    for scheme, keywords in concepts.items():
        for codes in keywords.values():
            for value, (meaning, *_) in codes.items():
                # A code has a name in each list that it is part of: "Liver", "Liver structure (body structure)".
                known = meanings.get((scheme, value), meaning)
                meanings[(scheme, value)] = min(known, meaning, key=lambda text: (len(text), text))
    # Files of before 2018 have SNOMED's older codes: T-62000 for 10200004, Liver.
    older = {("SRT", old): meanings[("SCT", new)] for old, new in mapping["SRT"].items() if ("SCT", new) in meanings}
    return {**meanings, **older}
