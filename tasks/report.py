"""Report: the counts of a run become its tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from segscale.storage import catalog as catalogs
from segscale.storage import parts
from segscale.storage.list_columns import ListColumns
from segscale.storage.reports import encode_report_table
from segscale.storage.sources import file_name
from segscale.tasks.metrics.aggregate import batch_summed, per_sample
from segscale.tasks.metrics.diagnose import diagnose
from segscale.tasks.metrics.equal_files import equal_files
from segscale.tasks.metrics.findings import Finding, by_severity
from segscale.tasks.metrics.gap import gap
from segscale.tasks.metrics.intervals import intervals
from segscale.tasks.metrics.measures import about_measures, with_measures
from segscale.tasks.metrics.panel import panel_of
from segscale.tasks.metrics.per_image import IS_REGION, PREDICTION_MISSING, score_images
from segscale.tasks.metrics.per_unit import per_unit
from segscale.tasks.metrics.reference_signatures import IgnoredBy
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.metrics.units import with_units
from segscale.tasks.metrics.volumes import volume_columns
from segscale.tasks.run_counts import Counted, Layout
from segscale.tasks.run_measures import NOTHING, MeasuredRows
from segscale.tasks.run_slices import per_slice

CODE_VERSION = 10
"""Of the tables and of the statistics in them; raised when equal counts would give other bytes."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What every row of every table says of its run."""

    run_id: str
    dataset: str
    model: str


@dataclass(frozen=True, slots=True)
class ReportTables:
    """The tables of a run, made once: to be written, drawn and told."""

    frames: dict[str, pd.DataFrame]
    """By name. `thresholds` is left out where everything is a label map."""
    findings: list[Finding]
    """What they say against the run."""
    lists: dict[str, ListColumns] = field(default_factory=dict)
    """Columns of lists that come last in a table, by its name: none is needed for a score."""

    def encode(self) -> dict[str, bytes]:
        """The Parquet files of the report, by file name."""
        return {
            f"{name}.parquet": encode_report_table(_encodable(name, frame), self.lists.get(name))
            for name, frame in self.frames.items()
        }


def build_tables(
    counted: Counted,
    catalog: pd.DataFrame,
    layout: Layout,
    settings: ScoreSettings,
    identity: Identity,
    slices: pd.DataFrame | None = None,
    ignored: IgnoredBy = "label",
    measured: MeasuredRows = NOTHING,
) -> ReportTables:
    """All tables of a report; every row begins with the identity of its run.

    slices: what `run_slices.collect_slices` found, where slices were counted. ignored: as `diagnose` has it.
    measured: what `run_measures.collect_measures` found.
    """
    per_image = per_image_table(counted, catalog, layout, settings)
    measures = measured.tables(per_image, catalog, layout, settings)
    aggregates, findings = _aggregated(per_image, measures.frames, settings, ignored)
    frames = {"per_image": per_image, **measures.frames, **aggregates, "failures": _failures(counted, catalog)}
    if slices is not None:
        frames["per_slice"] = per_slice(slices, catalog, layout, settings)
    if counted.has_histogram.any():
        frames["thresholds"] = _thresholds(counted, layout)
    identified = {name: _identified(frame, identity) for name, frame in frames.items()}
    return ReportTables(identified, findings, measures.lists)


def _aggregated(
    per_image: pd.DataFrame, measures: Mapping[str, pd.DataFrame], settings: ScoreSettings, ignored: IgnoredBy
) -> tuple[dict[str, pd.DataFrame], list[Finding]]:
    # A function of its own, so that the panel, large where there are many images, ends before the thresholds begin.
    panel = with_units(panel_of(per_image), settings)
    judged = {
        "per_sample": per_sample(panel, settings),
        "batch_summed": batch_summed(panel, settings),
        "gap": gap(panel, settings),
    }
    found = diagnose(panel, **judged, settings=settings, ignored=ignored)
    findings = by_severity([*found, *equal_files(per_image), *about_measures(measures, settings)])
    of_units = {} if panel.units is None else {"per_unit": per_unit(panel.units, settings)}
    tables = {**judged, "intervals": intervals(panel, settings), **of_units}
    return with_measures(tables, panel, measures, settings), findings


def _encodable(name: str, frame: pd.DataFrame) -> pd.DataFrame | pa.Table:
    # Of an Arrow table the bytes of each number are laid apart: worth it for many columns of counts that hardly differ.
    return pa.Table.from_pandas(frame, preserve_index=False) if name == "thresholds" else frame


def per_image_table(counted: Counted, catalog: pd.DataFrame, layout: Layout, settings: ScoreSettings) -> pd.DataFrame:
    """The table per_image of what was counted, without the identity of a run."""
    repeats, frame = layout.rows_per_image, counted.frame
    of_image = catalog.loc[catalog.index.repeat(repeats)].reset_index(drop=True)
    compared = _compared(frame, layout)
    is_missing = (frame["status"] == "failed") & frame[parts.REFERENCE_PIXELS].notna()
    sizes = {name: of_image[name].astype("Int64").mask(of_image[name] == 0) for name in ("depth", "height", "width")}
    table = pd.DataFrame(
        {
            "image_id": frame["image_id"],
            **{name: of_image[name] for name in catalogs.group_columns(catalog)},
            "class_index": frame["class_index"],
            "class_name": np.array(layout.names, dtype=object)[frame["class_index"]],
            **({IS_REGION: (frame["class_index"] >= len(layout.classes))} if layout.regions else {}),
            "head": frame["head"],
            **sizes,
            **{name: of_image[name] for name in (*catalogs.SPACING, catalogs.SLICE_AXIS)},
            "n_pixels": frame["n_pixels"],
            "n_ignored": frame["n_ignored"],
            "threshold": np.where(compared, layout.threshold, np.nan),
            **{name: frame[name] for name in parts.COUNTS[2:-1]},
            **{name: frame[name] for name in parts.SOFT_SUMS},
            "reference_sum": frame["reference_sum"],
            # A set that names no images has no hashes of them either.
            "image_sha256": of_image["image_sha256"] if (catalog["image"] != "").any() else _no_text(len(of_image)),
            "reference_sha256": of_image["reference_sha256"],
            "prediction_sha256": of_image["prediction_sha256"],
            "status": frame["status"],
            "error": frame["error"],
            PREDICTION_MISSING: is_missing.astype("boolean"),
            parts.REFERENCE_PIXELS: frame[parts.REFERENCE_PIXELS],
            **volume_columns(frame, of_image[list(catalogs.SPACING)]),
        }
    )
    return score_images(table, settings)


def _compared(frame: pd.DataFrame, layout: Layout) -> npt.NDArray[np.bool_]:
    """Whether probabilities were compared with the threshold, for each row.

    A label map was thresholded by whoever made it; what failed would have been compared as the others were.
    """
    known = frame["soft_intersection"].notna().to_numpy().reshape(-1, len(layout.names))
    is_compared = known.any(axis=1)
    if len(layout.classes) > 2:
        # By argmax, but for channels of regions, which alone say nothing of the background.
        is_compared &= ~known[:, 0]
    failed = (frame["status"] == "failed").to_numpy()
    compared: npt.NDArray[np.bool_] = np.repeat(is_compared, len(layout.names)) | (failed & bool(is_compared.any()))
    return compared


def _no_text(n_rows: int) -> pd.Series[str]:
    return pd.Series(None, range(n_rows), dtype="str")


def _failures(counted: Counted, catalog: pd.DataFrame) -> pd.DataFrame:
    frame = counted.frame
    first = frame[(frame["status"] == "failed") & (frame["image_id"] != frame["image_id"].shift())]
    # Where no images are named the reference stands for the image.
    sources = catalog["image"].where(catalog["image"] != "", catalog["reference"])
    source = sources.iloc[pd.Index(catalog["image_id"]).get_indexer(first["image_id"])]
    return pd.DataFrame(
        {
            "image_id": first["image_id"],
            "source": pd.array([file_name(url) for url in source], dtype="str"),
            "stage": first["stage"],
            "error_type": first["error_type"],
            "message": first["error"],
        }
    ).reset_index(drop=True)


def _identified(frame: pd.DataFrame, identity: Identity) -> pd.DataFrame:
    return pd.concat([pd.DataFrame(asdict(identity), index=frame.index, dtype="str"), frame], axis=1)


def _thresholds(counted: Counted, layout: Layout) -> pd.DataFrame:
    """A row per image and class or region that has a histogram (not the background of two classes), a pair of columns a
    threshold.
    """
    first = 1 if len(layout.classes) == 2 else 0
    chosen = (counted.frame["class_index"] >= first).to_numpy()
    frame, missing = counted.frame[chosen].reset_index(drop=True), ~counted.has_histogram[chosen]
    pairs: dict[str, pd.arrays.IntegerArray] = {}
    for k in range(1, layout.threshold_count):
        for name, counts in (("true_positive", counted.true_positive), ("predicted", counted.predicted)):
            pairs[f"{name}_{k:03d}"] = pd.arrays.IntegerArray(counts[chosen, k - 1], missing)
    keys = frame[["image_id", "class_index", "head", "reference_sum"]]
    return pd.concat([keys, pd.DataFrame(pairs)], axis=1)
