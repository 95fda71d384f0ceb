"""Statistics of the BraTS challenge platform: the rows that it wrote under the cases of real submissions."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from segscale.tasks.metrics.statistics import mean, spread

DATA = Path(os.environ.get("SEGSCALE_DATA", Path(__file__).parents[3] / "shared" / "data"))
FOLDER = DATA / "oracles" / "brats_percase"
SUMMARIES = {"mean": "mean", "std": "std", "25quantile": "q25", "median": "median", "75quantile": "q75"}
"""The platform's row, and our column."""

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not FOLDER.is_dir(), reason="needs the BraTS per-case results; set SEGSCALE_DATA"),
]


@pytest.mark.parametrize(
    ("track", "n_submissions", "n_cases", "n_columns"),
    [
        pytest.param("SSA", 3, 35, 21, id="lesion-wise segmentation"),
        pytest.param("INPT", 6, 219, 3, id="inpainting"),
    ],
)
def test_platform_statistics(track: str, n_submissions: int, n_cases: int, n_columns: int) -> None:
    """Means and quantiles to 1e-13 relative, over cases with ties (penalties) and over continuous values."""
    files = sorted((FOLDER / track).glob("*.csv"))
    assert len(files) == n_submissions
    for file in files:
        table = pd.read_csv(file, index_col=0)
        cases = table.drop(index=list(SUMMARIES))
        assert cases.shape == (n_cases, n_columns)
        for column in cases.columns:
            values = cases[column].to_numpy(np.float64)
            ours = {"mean": mean(values), **spread(values)}
            for label, name in SUMMARIES.items():
                expected = table.loc[label, column]
                assert ours[name] == pytest.approx(expected, rel=1e-13, abs=1e-13), (file.name, column, label)
