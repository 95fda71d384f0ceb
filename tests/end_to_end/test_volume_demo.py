"""The demo of volumes: drawn, written as nnU-Net has them, read, predicted slice by slice, and reported by volume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.slow
COUNTS = ["true_positive", "false_positive", "false_negative", "true_negative"]


def test_volumes_through_the_bundled_network(tmp_path: Path, segscale: Any) -> None:
    outcome = segscale("demo", "--volumes", "--images", "8", "--output", tmp_path)
    assert outcome.code == 0, outcome.err
    (report,) = (tmp_path / "reports/phantom-volumes").iterdir()
    images = pd.read_parquet(report / "per_image.parquet").set_index(["image_id", "class_index"])
    slices = pd.read_parquet(report / "per_slice.parquet")
    summed = slices.groupby(["image_id", "class_index"])[COUNTS].sum()
    pd.testing.assert_frame_equal(images[COUNTS].sort_index(), summed.sort_index(), check_dtype=False)
    lesions = images.xs(1, level="class_index")
    assert set(lesions["slice_axis"]) == {"d", "w"}
    for case, row in lesions.iterrows():
        label = nibabel.load(tmp_path / f"data/Dataset001_Phantom/labelsTr/{case}.nii.gz")
        assert (row["width"], row["height"], row["depth"]) == label.shape
        # Cut across its coarsest axis, of which there are as many slices as that is long.
        assert slices["slice_index"][slices["image_id"] == case].nunique() == min(label.shape)
        voxel_ml = float(np.prod(label.header.get_zooms())) / 1000
        assert row["reference_volume_ml"] == pytest.approx(np.count_nonzero(label.dataobj) * voxel_ml)
    pooled = 2 * lesions["true_positive"].sum() / (
        2 * lesions["true_positive"] + lesions["false_positive"] + lesions["false_negative"]
    ).sum()  # fmt: skip
    assert pooled > 0.9 > lesions["dice"].mean() + 0.2, "large lesions are found, small ones are not"
