"""Small per_image tables, written as the counts of the lesion."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

N_PIXELS = 100


def _columns(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, tn: np.ndarray, certainty: float) -> dict[str, Any]:
    """Soft sums as if every predicted pixel had p = certainty and every other p = 0."""
    return {
        "true_positive": tp,
        "false_positive": fp,
        "false_negative": fn,
        "true_negative": tn,
        "soft_intersection": certainty * tp,
        "soft_prediction_sum": certainty * (tp + fp),
        "soft_prediction_squared_sum": certainty**2 * (tp + fp),
        "reference_sum": tp + fn,
    }


@pytest.fixture(scope="session")
def frame_of() -> Callable[..., pd.DataFrame]:
    """Build a table of images of 100 pixels from (tp, fp, fn) of the lesion; `failed` are places in that list."""

    def build(
        counts: Sequence[tuple[int, int, int]], failed: Sequence[int] = (), heads: Sequence[Any] = (0,), **columns: Any
    ) -> pd.DataFrame:
        tp, fp, fn = np.array(counts, np.int64).reshape(-1, 3).T
        tn = N_PIXELS - tp - fp - fn
        tables = []
        for head in heads:
            for index, name, by_class in (
                (0, "background", _columns(tn, fn, fp, tp, 0.75)),
                (1, "lesion", _columns(tp, fp, fn, tn, 0.75)),
            ):
                table = pd.DataFrame({"image_id": [f"image{i}" for i in range(len(tp))], **columns})
                table = table.assign(class_index=index, class_name=name, head=head, n_pixels=N_PIXELS, **by_class)
                tables.append(table.assign(status="ok"))
        frame = pd.concat(tables).sort_index(kind="stable").reset_index(drop=True)
        names = list(_columns(tp, fp, fn, tn, 1.0))
        frame = frame.astype({name: "float64" if name.startswith("soft") else "Int64" for name in names})
        lost = frame["image_id"].isin([f"image{place}" for place in failed])
        frame.loc[lost, names] = pd.NA
        frame.loc[lost, "status"] = "failed"
        return frame

    return build


@pytest.fixture(scope="session")
def row_of() -> Callable[..., pd.Series]:
    """The one row of a table that has these values."""

    def find(table: pd.DataFrame, **values: Any) -> pd.Series:
        chosen = pd.Series(True, index=table.index)
        for column, value in values.items():
            chosen &= table[column] == value
        assert chosen.sum() == 1, f"{values} in {chosen.sum()} rows"
        return table[chosen].iloc[0]

    return find
