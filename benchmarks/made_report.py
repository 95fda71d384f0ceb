"""A report with made-up counts, of any size: no images, no model, every number drawn from a seed."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from segscale.storage.catalog import COLUMNS, SPACING
from segscale.storage.list_columns import ListColumns
from segscale.storage.objects import ObjectStore
from segscale.storage.reports import Report, write_report
from segscale.storage.side_parts import DISTANCES, HISTOGRAMS, LESIONS
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.report import Identity, build_tables
from segscale.tasks.run_counts import Counted, Layout
from segscale.tasks.run_measures import NOTHING, MeasuredRows

SIDE = 256
LARGEST_SHARE = 0.3
ARGMAX_PLACE = 0.4375
"""What argmax decides is made up as the counts at this threshold: close to one half, and not the same."""

Counts = npt.NDArray[np.int32]


def write_made_report(
    folder: Path,
    n_images: int,
    *,
    n_classes: int = 2,
    heads: tuple[str, ...] = ("last",),
    settings: ScoreSettings = ScoreSettings(),  # noqa: B008 (frozen)
    threshold_count: int = 64,
    failed_every: int = 0,
    missing_every: int = 0,
    run_id: str = "made",
    dataset: str = "made",
    seed: int = 0,
    label_maps: bool = False,
    slices: bool = False,
    measures: bool = False,
) -> Report:
    """Write the tables and run.json into the folder. Every `failed_every`-th image failed; 0: none.

    Of the others every `missing_every`-th has no prediction, and failed for that.
    """
    classes = ("background", *(f"class_{number}" for number in range(1, n_classes)))
    layout = Layout(classes, heads, 0.5, threshold_count)
    identity = Identity(run_id, dataset, "made")
    catalog = made_catalog(n_images)
    failed = _every(n_images, failed_every)
    missing = ~failed & _every(n_images, missing_every)
    counted = made_counts(catalog, layout, failed, seed, label_maps, missing)
    metrics = {"threshold": layout.threshold, "threshold_count": threshold_count, **settings.model_dump()}
    run = {
        **asdict(identity),
        "config": {"dataset": {"classes": classes}, "metrics": metrics},
        "n_images": n_images,
        "n_failed": int((failed | missing).sum()),
        "n_missing": int(missing.sum()),
    }
    # Pictures are one slice each.
    sound = counted.frame[counted.frame["status"] == "ok"]
    of_slices = sound.assign(slice_index=0).reset_index(drop=True) if slices else None
    measured = made_measures(counted.frame, seed) if measures else NOTHING
    tables = build_tables(counted, catalog, layout, settings, identity, of_slices, measured=measured)
    return write_report(ObjectStore(str(folder)), tables.encode(), run)


def made_measures(frame: pd.DataFrame, seed: int) -> MeasuredRows:
    """A distance for each sound row of a structure, and some lesions; of missing predictions what is known of them."""
    generator = np.random.default_rng([seed, 1])
    known = frame["reference_pixels"].notna() & (frame["class_index"] > 0)
    keys = frame.loc[known, ["image_id", "head", "class_index", "status"]].reset_index(drop=True)
    ok = (keys.pop("status") == "ok").to_numpy()
    counted = frame[known].reset_index(drop=True)
    borders = {
        "reference_border": counted["reference_sum"].gt(0),
        "prediction_border": (counted["true_positive"] + counted["false_positive"]).gt(0),
    }
    both = ok & np.logical_and(*(one.fillna(False).to_numpy(bool) for one in borders.values()))
    distance = np.where(both, generator.exponential(3.0, len(keys)), np.nan)
    shares = {name: np.exp(-distance) for name in ("nsd_2", "boundary_iou")}
    lists = pa.record_batch({name: pa.array([[1]] * len(keys)) for name in HISTOGRAMS})
    histograms = ListColumns(lists.schema, [lists], np.arange(len(keys)))
    surfaces = keys.assign(
        distance_unit="px", worst_distance=float(np.hypot(SIDE - 1, SIDE - 1)),
        **{name: one.astype("Int64").where(ok) for name, one in borders.items()},
        **dict.fromkeys(DISTANCES, distance), **shares,
    )  # fmt: skip
    return MeasuredRows(surfaces, _made_lesions(keys, ok, generator), histograms)


def _made_lesions(keys: pd.DataFrame, ok: npt.NDArray[np.bool_], generator: np.random.Generator) -> pd.DataFrame:
    """Three of the reference for each row, of which some are found, and one that is none."""
    rows = keys.loc[keys.index.repeat(4)].reset_index(drop=True)
    number, sound = np.arange(len(rows)) % 4, np.repeat(ok, 4)
    matched = (generator.random(len(rows)) < 0.6) & (number < 3) & sound
    overlap = np.where(matched, generator.random(len(rows)), 0.0)
    lesions = rows.assign(
        side=np.where(number < 3, "reference", "prediction"), label=number + 1, distance_unit="px",
        voxels=generator.integers(1, 500, len(rows)), matched=matched, matched_with=matched.astype(np.int64),
        n_overlapping=matched.astype(np.int64), dice=overlap, iou=overlap / (2 - overlap),
        **dict.fromkeys(("volume_mm3", "area_mm2", "centroid_d"), np.nan),
        **dict.fromkeys(("centroid_h", "centroid_w"), 0.0), distance=np.where(matched, 1.0, np.nan),
    )  # fmt: skip
    columns = [field.name for field in LESIONS.schema]
    return lesions.loc[sound | (number < 3), columns].reset_index(drop=True)


def _every(n_images: int, step: int) -> npt.NDArray[np.bool_]:
    return np.arange(n_images) % step == step - 1 if step else np.zeros(n_images, np.bool_)


def made_catalog(n_images: int) -> pd.DataFrame:
    """Images i0000000, i0000001, ... four of each patient, at three sites."""
    number = np.arange(n_images)
    named = pd.DataFrame({**dict.fromkeys(COLUMNS, ""), **dict.fromkeys(SPACING, np.nan)}, index=number)
    return named.assign(
        image_id=[f"i{place:07d}" for place in number],
        image=[f"i{place:07d}.png" for place in number],
        image_sha256=[f"{place:064x}" for place in number],
        reference_sha256=[f"{place + 1:064x}" for place in number],
        depth=1,
        height=SIDE,
        width=SIDE,
        patient_id=[f"p{place // 4}" for place in number],
        site=np.array(["north", "south", "west"], dtype=object)[number // 4 % 3],
    )


def made_counts(
    catalog: pd.DataFrame,
    layout: Layout,
    failed: npt.NDArray[np.bool_],
    seed: int,
    label_maps: bool,
    missing: npt.NDArray[np.bool_] | None = None,
) -> Counted:
    """Counts of every row: lesions of all sizes, one in twenty absent, found the better the larger."""
    generator = np.random.default_rng(seed)
    n_rows, n_classes = len(catalog) * layout.rows_per_image, len(layout.classes)
    class_index = np.tile(np.arange(n_classes), n_rows // n_classes)
    size = np.minimum(generator.lognormal(5, 1.5, n_rows), LARGEST_SHARE * SIDE**2)
    reference = np.where(generator.random(n_rows) < 0.05, 0, size).astype(np.int64)
    sharpness, noise = generator.uniform(1, 6, n_rows), generator.exponential(200, n_rows)

    def overlap_at(threshold: float) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        found = (reference * (1 - threshold**sharpness)).astype(np.int64)
        return found, found + (noise * (1 - threshold) ** 2).astype(np.int64)

    missing = np.zeros_like(failed) if missing is None else missing
    has_histogram = (class_index > 0) | (n_classes > 2)
    has_histogram &= ~np.repeat(failed | missing, layout.rows_per_image) & (not label_maps)
    true_positive, predicted = (np.zeros((layout.threshold_count - 1, n_rows), np.int32).T for _ in range(2))
    for k in range(1, layout.threshold_count):
        true_positive[:, k - 1], predicted[:, k - 1] = overlap_at(k / layout.threshold_count)
    decided = overlap_at(layout.threshold if n_classes == 2 else ARGMAX_PLACE)
    frame = _frame(catalog, layout, class_index, reference, decided, generator, label_maps)
    return Counted(_failed(frame, failed, missing, layout), true_positive, predicted, has_histogram)


def _frame(
    catalog: pd.DataFrame,
    layout: Layout,
    class_index: npt.NDArray[np.int64],
    reference: npt.NDArray[np.int64],
    decided: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    generator: np.random.Generator,
    label_maps: bool,
) -> pd.DataFrame:
    true_positive, predicted = decided
    false_positive, false_negative = predicted - true_positive, reference - true_positive
    counts: dict[str, npt.NDArray[Any]] = {
        "n_pixels": np.full(reference.size, SIDE**2),
        "n_ignored": np.zeros(reference.size, np.int64),
        "true_positive": true_positive,
        "false_positive": false_positive,
        "false_negative": false_negative,
        "true_negative": SIDE**2 - true_positive - false_positive - false_negative,
        "reference_sum": reference,
    }
    if len(layout.classes) == 2:
        # The background is what is not foreground: the counts of the row behind it, the other way round.
        turned = {"true_positive": "true_negative", "false_positive": "false_negative"}
        turned |= {other: name for name, other in turned.items()}
        before = {name: values.copy() for name, values in counts.items()}
        for name, other in turned.items():
            counts[name][::2] = before[other][1::2]
        counts["reference_sum"][::2] = SIDE**2 - before["reference_sum"][1::2]
    # One p for all pixels found, one for all falsely found, and 0 elsewhere: sums that pixels can have.
    found, false = generator.uniform(0.8, 1.0, (2, reference.size))
    intersection = true_positive * found
    total = intersection + false_positive * false
    squares = true_positive * found**2 + false_positive * false**2
    if len(layout.classes) == 2:
        # Of 1 - p, as p is that of the row behind it.
        intersection[::2] = counts["reference_sum"][::2] - (total[1::2] - intersection[1::2])
        squares[::2] = SIDE**2 - 2 * total[1::2] + squares[1::2]
        total[::2] = SIDE**2 - total[1::2]
    sums = {"soft_intersection": intersection, "soft_prediction_sum": total, "soft_prediction_squared_sum": squares}
    heads = np.repeat(np.array(layout.heads, dtype=object), len(layout.classes))
    return pd.DataFrame(
        {
            "image_id": np.repeat(catalog["image_id"].to_numpy(), layout.rows_per_image),
            "class_index": class_index,
            "head": np.tile(heads, len(catalog)),
            **{name: pd.array(values, dtype="Int64") for name, values in counts.items()},
            **{name: np.full(reference.size, np.nan) if label_maps else values for name, values in sums.items()},
            "status": "ok",
            "stage": "",
            "error_type": "",
            "error": "",
            "reference_pixels": pd.array(counts["reference_sum"], dtype="Int64"),
        }
    )


def _failed(
    frame: pd.DataFrame, failed: npt.NDArray[np.bool_], missing: npt.NDArray[np.bool_], layout: Layout
) -> pd.DataFrame:
    broken, lacking = (np.repeat(chosen, layout.rows_per_image) for chosen in (failed, missing))
    for name in frame.columns[3:13]:
        frame[name] = frame[name].mask(broken | lacking)
    frame["reference_pixels"] = frame["reference_pixels"].mask(broken)
    texts = {"status": "failed", "stage": "ingest", "error_type": "ValueError", "error": "made to fail"}
    absent = {**texts, "stage": "score", "error_type": "MissingFile", "error": "no prediction was made"}
    for rows, said in ((broken, texts), (lacking, absent)):
        frame = frame.assign(**{name: frame[name].mask(rows, text) for name, text in said.items()})
    return frame
