"""What is written of DICOM files: nothing that says who the patient is, in no file and no line."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.flows.layouts.made_dicom import save, series
from tests.tasks.readers.dicom_made import CROOKED, ct_slice, item, segmentation, values

pytestmark = pytest.mark.slow
UIDS = ("1.2.3.1001", "1.2.3.1002")
PLANTED: dict[str, Any] = {
    "PatientName": "Planted^Name",
    "PatientID": "PLANTED-ID-77",
    "PatientBirthDate": "19010203",
    "PatientAddress": "Planted Street 5",
    "OtherPatientIDs": "PLANTED-OTHER",
    "AccessionNumber": "PLANTED-ACC",
    "StudyDate": "19020304",
    "StudyDescription": "planted study of a planted knee",
    "SeriesDescription": "planted series",
    "InstitutionName": "Planted Hospital",
    "ReferringPhysicianName": "Planted^Doctor",
    "OperatorsName": "Planted^Operator",
    "StudyInstanceUID": "1.2.3.7777",
    "DeviceSerialNumber": "PLANTED-SERIAL",
    "ImageComments": "planted comment",
}
SOUGHT = [word.encode() for word in (*PLANTED.values(), "Planted", "planted", "PLANTED", *UIDS, "1.2.3.9")]


def drawn(path: Path, uid: str, height: float = 0.0) -> None:
    frame = (1, (*CROOKED[:2], height), np.ones((5, 6), np.uint8))
    data = segmentation([frame], ReferencedSeriesSequence=[item(SeriesInstanceUID=uid)], **PLANTED)
    save(path, data)


def planted(folder: Path) -> None:
    """Two patients; the prediction of one lies beside its series, and a third patient's series lacks a slice."""
    for place, uid in enumerate(UIDS):
        series(folder / f"tree/p{place}/ct", uid, **{name: PLANTED[name] for name in PLANTED if name != "PatientName"})
        drawn(folder / f"tree/p{place}/seg/1.dcm", uid)
    drawn(folder / "predicted/0.dcm", UIDS[0])
    drawn(folder / "predicted/1.dcm", UIDS[1], height=999.0)
    for place, height in enumerate((0.0, 2.5, 7.5)):
        save(folder / f"broken/{place}.dcm", ct_slice(values(1)[0], height, **PLANTED))


def contents(root: Path) -> Iterator[tuple[str, bytes]]:
    """All files below a folder; of packed ones what they hold as well."""
    for path in sorted(root.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            yield str(path), data
            if path.suffix == ".gz":
                yield str(path), gzip.decompress(data)
            if path.suffix == ".parquet":
                yield str(path), pd.read_parquet(io.BytesIO(data)).to_csv().encode()


def test_nobody_learns_whose_images_these_are(tmp_path: Path, segscale: Any) -> None:
    planted(tmp_path)
    (tmp_path / "out").mkdir()
    config = tmp_path / "out/run.toml"
    config.write_text(
        '[dataset]\nname = "d"\nlayout = "dicom"\nreferences = "../tree"\nlabel_values = [0, 1]\n'
        '[predictions]\npath = "../predicted"\n'
        '[report]\npath = "reports"\nmax_failure_rate = 1.0\n[store]\npath = "store"\n'
    )
    manifest = tmp_path / "out/m.csv"
    manifest.write_text("image_id,image,reference,prediction\nx,../broken/,../tree/p0/seg/1.dcm,../predicted/0.dcm\n")
    other = tmp_path / "out/other.toml"
    other.write_text(
        '[dataset]\nname = "e"\nmanifest = "m.csv"\nroots = [".."]\nlabel_values = [0, 1]\n'
        '[report]\npath = "reports"\nmax_failure_rate = 1.0\n[store]\npath = "store"\n'
    )
    said = []
    for command in (
        ("check", config),
        ("run", config),
        ("run", other),
        ("verify", config),
        ("init", tmp_path / "tree"),
    ):
        outcome = segscale(*command)
        assert "Traceback" not in outcome.err
        said.append(outcome.out + outcome.err)
    tables = [pd.read_parquet(path) for path in sorted((tmp_path / "out/reports").glob("*/*/per_image.parquet"))]
    errors = sorted({error for table in tables for error in table["error"] if error})
    assert len(tables) == 2
    assert "ok" in set(pd.concat(tables)["status"])
    assert any("the voxels of the image" in error for error in errors), errors
    assert any("the gap is" in error for error in errors), errors
    written = [*contents(tmp_path / "out"), *(("what commands said", text.encode()) for text in said)]
    assert len(written) > 20
    found = [(name, word) for name, data in written for word in SOUGHT if word in data]
    assert found == []
