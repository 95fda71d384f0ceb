"""Equal bytes under several names."""

from __future__ import annotations

import pandas as pd
import pytest

from segscale.tasks.metrics.equal_files import HASHES, equal_files


def _table(*images: tuple[str, str, str, int], status: str = "ok") -> pd.DataFrame:
    """Rows of two classes: the three hashes of each image, and the pixels of its lesion."""
    rows = [
        {"image_id": f"i{place}", "class_index": index, "status": status, "reference_sum": lesion if index else 9,
         **dict(zip(HASHES, hashes, strict=True))}
        for place, (*hashes, lesion) in enumerate(images)
        for index in (0, 1)
    ]  # fmt: skip
    return pd.DataFrame(rows).astype({"reference_sum": "Int64"})


SOUND = [("a0", "b0", "c0", 5), ("a1", "b1", "c1", 5), ("a2", "b2", "b2", 0), ("a3", "b2", "", 0)]


@pytest.mark.parametrize(
    ("image", "signature", "evidence"),
    [
        (("x", "x", "y", 5), "image-is-reference", "1 of 5 images: i4"),
        (("x", "y", "y", 5), "prediction-is-reference", "1 of 5 images: i4"),
        (("a1", "y", "z", 5), "image-twice", "2 of 5 images: i1, i4"),
    ],
)
def test_what_is_found(image: tuple[str, str, str, int], signature: str, evidence: str) -> None:
    (found,) = equal_files(_table(*SOUND, image))
    assert (found.signature, found.severity, found.evidence) == (signature, "warning", evidence)


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(_table(*SOUND), id="empty masks may be equal"),
        pytest.param(_table(("x", "x", "x", 5), ("x", "x", "x", 5), status="failed"), id="failed images have no score"),
        pytest.param(_table(("x", "x", "x", 5)).drop(columns=list(HASHES)), id="no hashes at all"),
        pytest.param(_table(("x", "y", "y", 5)).drop(columns="prediction_sha256"), id="a report from before"),
        pytest.param(_table(("", "", "", 5), ("", "", "", 5)), id="nothing to compare"),
        pytest.param(
            _table(("x", "y", "z", 5), ("x", "y", "z", 5)).replace({"i0": "c/segment-1", "i1": "c/segment-2"}),
            id="segments of one image",
        ),
    ],
)
def test_what_is_not(table: pd.DataFrame) -> None:
    assert equal_files(table) == []
