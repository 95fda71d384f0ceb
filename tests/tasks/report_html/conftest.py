"""The tables of made-up runs, counted from made-up histograms of probabilities."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from segscale.tasks.metrics.aggregate import batch_summed, per_sample
from segscale.tasks.metrics.gap import gap
from segscale.tasks.metrics.intervals import intervals
from segscale.tasks.metrics.per_image import score_images
from segscale.tasks.metrics.settings import ScoreSettings

THRESHOLD_COUNT = 8
N_PIXELS = 400
SETTINGS = ScoreSettings(bootstrap=20, batch_sizes=(1, 2))
Tables = dict[str, pd.DataFrame]


def _class_counts(n_images: int, generator: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Counts at the middle threshold, and at every one, of one class."""
    reference = generator.integers(0, N_PIXELS // 2, n_images)
    skill = generator.uniform(0.1, 0.9, n_images)
    spread = [generator.dirichlet(np.ones(THRESHOLD_COUNT), n_images) for _ in range(2)]
    foreground = np.array([generator.multinomial(r, p) for r, p in zip(reference, spread[0], strict=True)])
    background = np.array(
        [generator.multinomial(int(r * s), p) for r, s, p in zip(reference, skill, spread[1], strict=True)]
    )
    true_positive, false_positive = (
        np.flip(np.cumsum(np.flip(histogram, 1), 1), 1)[:, 1:] for histogram in (foreground, background)
    )
    curve: dict[str, Any] = {"reference_sum": reference}
    for k in range(1, THRESHOLD_COUNT):
        curve[f"true_positive_{k:03d}"] = true_positive[:, k - 1]
        curve[f"predicted_{k:03d}"] = true_positive[:, k - 1] + false_positive[:, k - 1]
    tp, fp = true_positive[:, THRESHOLD_COUNT // 2 - 1], false_positive[:, THRESHOLD_COUNT // 2 - 1]
    hard = {
        "true_positive": tp,
        "false_positive": fp,
        "false_negative": reference - tp,
        "true_negative": N_PIXELS - reference - fp,
        "soft_intersection": 0.75 * tp,
        "soft_prediction_sum": 0.75 * (tp + fp),
        "soft_prediction_squared_sum": 0.5 * (tp + fp),
        "reference_sum": reference,
    }
    return pd.DataFrame(hard), pd.DataFrame(curve)


def _failures(image_ids: Sequence[str], failed: Sequence[int], message: str) -> pd.DataFrame:
    lost = [image_ids[place] for place in failed]
    columns = {"image_id": lost, "source": [f"{name}.png" for name in lost]}
    return pd.DataFrame(columns, dtype="str").assign(stage="ingest", error_type="ValueError", message=message)


@pytest.fixture(scope="session")
def make_tables() -> Callable[..., Tables]:
    """make_tables(n_images, classes=(...), failed=(places), missing=(places), heads=(...), probabilities=True, ...)."""

    def make(
        n_images: int,
        *,
        classes: Sequence[str] = ("background", "lesion"),
        failed: Sequence[int] = (),
        missing: Sequence[int] = (),
        heads: Sequence[str] = ("last",),
        probabilities: bool = True,
        image_ids: Sequence[str] | None = None,
        message: str = "damaged",
        settings: ScoreSettings = SETTINGS,
        groups: dict[str, Sequence[Any]] | None = None,
    ) -> Tables:
        generator = np.random.default_rng(7)
        names = list(image_ids or [f"image{place}" for place in range(n_images)])
        lost = np.isin(np.arange(n_images), [*failed, *missing])
        lacking = np.isin(np.arange(n_images), missing)
        counted, curves = [], []
        for head in heads:
            for index, class_name in enumerate(classes):
                hard, curve = _class_counts(n_images, generator)
                keys: dict[str, Any] = {
                    **(groups or {}),
                    "image_id": names,
                    "class_index": index,
                    "class_name": class_name,
                    "head": head,
                }
                counts = hard.columns
                hard = hard.astype({name: "float64" if name.startswith("soft") else "Int64" for name in counts})
                pixels = hard["reference_sum"].mask(lost & ~lacking)
                hard.loc[lost, counts] = pd.NA
                hard = hard.assign(prediction_missing=pd.array(lacking, "boolean"), reference_pixels=pixels)
                curve = curve.astype("Int64")
                curve.loc[lost] = pd.NA
                threshold = 0.5 if probabilities and len(classes) == 2 else np.nan
                status = np.where(lost, "failed", "ok")
                counted.append(hard.assign(**keys, n_pixels=N_PIXELS, threshold=threshold, status=status))
                if len(classes) > 2 or index == 1:
                    curves.append(curve.assign(**keys))
        frame = pd.concat(counted).sort_index(kind="stable").reset_index(drop=True)
        if not probabilities:
            frame[[name for name in map(str, frame) if name.startswith("soft")]] = np.nan
        per_image = score_images(frame, settings)
        tables = {
            "per_image": per_image,
            "per_sample": per_sample(per_image, settings),
            "batch_summed": batch_summed(per_image, settings),
            "intervals": intervals(per_image, settings),
            "gap": gap(per_image, settings),
            "failures": _failures(names, [*failed, *missing], message),
        }
        return {**tables, "thresholds": pd.concat(curves, ignore_index=True)} if probabilities else tables

    return make


@pytest.fixture(scope="session")
def make_run() -> Callable[..., dict[str, Any]]:
    """make_run(n_images, n_failed=0, n_missing=0, **changes): the record of a run as run.json has it."""

    def make(n_images: int, n_failed: int = 0, n_missing: int = 0, **changes: Any) -> dict[str, Any]:
        metrics = {**SETTINGS.model_dump(), "threshold": 0.5, "threshold_count": THRESHOLD_COUNT}
        return {
            "run_id": "0a1b2c",
            "dataset": "phantoms",
            "model": "unet",
            "n_images": n_images,
            "n_failed": n_failed,
            "n_missing": n_missing,
            "catalog_sha256": "c" * 64,
            "weights_sha256": "d" * 64,
            "versions": {"numpy": "2.4.6"},
            "plan": {"engine": "keras", "heads": ["last"], "versions": {"device": "cpu:0"}},
            "config": {"dataset": {"name": "phantoms"}, "metrics": metrics, "store": {"path": "place-of-work"}},
            **changes,
        }

    return make
