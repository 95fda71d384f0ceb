"""Small written reports, without a run."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from segscale.storage.objects import ObjectStore
from segscale.storage.reports import encode_report_table, write_report
from segscale.tasks.metrics.aggregate import batch_summed, per_sample
from segscale.tasks.metrics.gap import gap
from segscale.tasks.metrics.intervals import intervals
from segscale.tasks.metrics.per_image import score_images
from segscale.tasks.metrics.settings import ScoreSettings

N_PIXELS = 400
COUNTS = ("true_positive", "false_positive", "false_negative", "true_negative")


def _per_image(lesions: Sequence[tuple[int, int, int]], failed: Sequence[int], **columns: Any) -> pd.DataFrame:
    rows = []
    for place, (tp, fp, fn) in enumerate(lesions):
        tn = N_PIXELS - tp - fp - fn
        for index, name, counts in ((0, "background", (tn, fn, fp, tp)), (1, "lesion", (tp, fp, fn, tn))):
            rows.append({
                "image_id": f"case{place}", "site": "xy"[place % 2], "class_index": index, "class_name": name,
                "head": "", "n_pixels": N_PIXELS, "threshold": np.nan, **dict(zip(COUNTS, counts, strict=True)),
                "soft_intersection": np.nan, "soft_prediction_sum": np.nan, "soft_prediction_squared_sum": np.nan,
                "reference_sum": counts[0] + counts[2], "image_sha256": f"i{place}", "reference_sha256": f"r{place}",
                "status": "failed" if place in failed else "ok", "error": "",
            })  # fmt: skip
    frame = pd.DataFrame(rows).assign(**columns)
    whole = ["n_pixels", *COUNTS, "reference_sum"]
    frame = frame.astype(dict.fromkeys(whole, "Int64"))
    frame.loc[frame["status"] == "failed", whole] = pd.NA
    return frame


@pytest.fixture
def write_run(tmp_path: Path) -> Callable[..., str]:
    """write_run(name, [(tp, fp, fn), ...], failed=(), settings=..., **columns of per_image): the report's folder."""

    def write(
        name: str,
        lesions: Sequence[tuple[int, int, int]],
        failed: Sequence[int] = (),
        settings: ScoreSettings | None = None,
        **columns: Any,
    ) -> str:
        chosen = settings or ScoreSettings(bootstrap=20, batch_sizes=(1, 2))
        per_image = score_images(_per_image(lesions, failed, **columns), chosen)
        tables = {
            "per_image": per_image,
            "per_sample": per_sample(per_image, chosen),
            "batch_summed": batch_summed(per_image, chosen),
            "intervals": intervals(per_image, chosen),
            "gap": gap(per_image, chosen),
        }
        identity = {"run_id": name, "dataset": "made-up", "model": ""}
        contents = {
            f"{table}.parquet": encode_report_table(pd.concat([pd.DataFrame(identity, index=rows.index), rows], axis=1))
            for table, rows in tables.items()
        }
        store = ObjectStore(str(tmp_path / name))
        metrics = {**chosen.model_dump(), "threshold": 0.5, "threshold_count": 64}
        write_report(store, contents, {**identity, "config": {"metrics": metrics}})
        return store.url

    return write


@pytest.fixture
def overwrite_table(tmp_path: Path) -> Callable[[str, str, pd.DataFrame], None]:
    """Put another table in the place of one, and the hash of it into run.json, as nobody should."""

    def overwrite(report: str, name: str, rows: pd.DataFrame) -> None:
        store = ObjectStore(report)
        run = json.loads(store.read("run.json"))
        contents = {file: store.read(file) for file in run["files"]}
        write_report(store, {**contents, f"{name}.parquet": encode_report_table(rows)}, run)

    assert tmp_path.is_dir()
    return overwrite
