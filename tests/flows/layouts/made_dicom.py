"""Series and segmentations of a made patient, whose name must get nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.tasks.readers.dicom_made import CROOKED, SERIES, ct_series, item, segmentation, values

SECRET = "Planted^Name"


def save(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def series(folder: Path, uid: str = SERIES, **elements: Any) -> None:
    for name, data in ct_series(values(3), SeriesInstanceUID=uid, PatientName=SECRET, **elements).items():
        save(folder / name, data)


def seg(path: Path, uid: str = SERIES, **elements: Any) -> None:
    frame = (1, (*CROOKED[:2], 0.0), np.ones((5, 6), np.uint8))
    referred = {"ReferencedSeriesSequence": [item(SeriesInstanceUID=uid)]} | elements
    save(path, segmentation([frame], PatientName=SECRET, **referred))
