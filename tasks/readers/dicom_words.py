"""Code strings of a DICOM header that may be shown: those of a list, for any other may be a text about the patient."""

from __future__ import annotations

from typing import Final

_MODALITIES: Final = "CT MR PT NM US CR DX MG XA RF SM SEG OT SR PR KO REG RTSTRUCT RTDOSE RTPLAN RTIMAGE"
_GREYS_AND_COLOURS: Final = (
    "MONOCHROME1 MONOCHROME2 RGB PALETTE_COLOR YBR_FULL YBR_FULL_422 YBR_PARTIAL_422 YBR_PARTIAL_420 YBR_ICT YBR_RCT"
)


def modality_word(value: object) -> str:
    """A modality as DICOM abbreviates it, "CT" say; "unknown" for what is none."""
    return _listed(value, _MODALITIES)


def photometric_word(value: object) -> str:
    """A photometric interpretation, "MONOCHROME2" say, in one word; "unknown" for what is none."""
    return _listed(str(value or "").strip(" \0").replace(" ", "_"), _GREYS_AND_COLOURS)


def _listed(value: object, words: str) -> str:
    word = str(value or "").strip(" \0")
    return word if word in words.split() else "unknown"


def millimetres(values: tuple[float, ...]) -> str:
    """Numbers as a message shows them: "(-235.2, -226.8, -126.69)"."""
    return "(" + ", ".join(f"{value:.6g}" for value in values) + ")"


def some_of(numbers: list[float]) -> str:
    """Numbers in their order, the first and last few of many: "-128.69, -127.69, -126.69"."""
    shown = [f"{number:.6g}" for number in numbers]
    return ", ".join(shown if len(shown) <= 12 else [*shown[:6], "...", *shown[-6:]])
