"""Small per_image tables whose Dice is what a test says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

PIXELS = 1000


def _rows(scores: np.ndarray, index: int, name: str, head: str) -> pd.DataFrame:
    """Of a reference of PIXELS as many found as the score says, as many false ones as lost; below 0: none at all."""
    is_empty = scores < 0
    tp = np.round(np.where(is_empty, 0, scores) * PIXELS).astype(np.int64)
    rest = np.where(is_empty, 0, PIXELS - tp)
    reference = np.where(is_empty, 0, PIXELS)
    return pd.DataFrame({
        "image_id": [f"i{place}" for place in range(scores.size)], "class_index": index, "class_name": name,
        "head": head, "true_positive": tp, "false_positive": rest, "false_negative": rest, "true_negative": 0,
        **dict.fromkeys(("soft_intersection", "soft_prediction_sum", "soft_prediction_squared_sum"), np.nan),
        "reference_sum": reference, "reference_pixels": reference,
    })  # fmt: skip


@pytest.fixture(scope="session")
def run_of() -> Callable[..., pd.DataFrame]:
    """run_of({class: scores}, missing=places, failed=places, false_alarms=places, heads=names, **columns).

    A score of -1: neither reference nor prediction. false_alarms: of those that are predicted something. failed: for
    another reason than a missing prediction.
    """

    def build(
        scores: Mapping[str, Sequence[float]] | Sequence[float] | np.ndarray,
        missing: Sequence[int] = (),
        failed: Sequence[int] = (),
        false_alarms: Sequence[int] = (),
        heads: Sequence[str] = ("last",),
        **columns: Any,
    ) -> pd.DataFrame:
        of_class = scores if isinstance(scores, Mapping) else {"lesion": scores}
        n = len(next(iter(of_class.values())))
        tables = [_rows(np.full(n, 0.99), 0, "background", head) for head in heads] + [
            _rows(np.asarray(one, np.float64), index, name, head)
            for head in heads
            for index, (name, one) in enumerate(of_class.items(), 1)
        ]
        frame = pd.concat([table.assign(**columns) for table in tables]).sort_index(kind="stable")
        place = frame.pop("image_id").str[1:].astype(int)
        frame.insert(0, "image_id", "i" + place.astype("str"))
        frame["image_sha256"], frame["reference_sha256"] = "p" + place.astype("str"), "r" + place.astype("str")
        frame.loc[place.isin(false_alarms) & (frame["class_index"] > 0), "false_positive"] = 7
        frame["true_negative"] = 4 * PIXELS - frame[["true_positive", "false_positive", "false_negative"]].sum(axis=1)
        lost = place.isin(missing) | place.isin(failed)
        counts = ["true_positive", "false_positive", "false_negative", "true_negative", "reference_sum"]
        frame = frame.astype(dict.fromkeys([*counts, "reference_pixels"], "Int64"))
        frame.loc[lost, counts] = pd.NA
        frame.loc[place.isin(failed), "reference_pixels"] = pd.NA
        status = np.where(lost, "failed", "ok")
        return frame.assign(status=status, prediction_missing=place.isin(missing)).reset_index(drop=True)

    return build
