"""Compare two written reports: read both, compare their images, show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from segscale.flows.reports.measured import measured_by_both
from segscale.flows.reports.tables import IDENTITY, readable_reports, recorded_settings, whole_table
from segscale.storage.enumeration import counted
from segscale.storage.reports import Report, open_report
from segscale.tasks.metrics.compare import Comparison, compare
from segscale.tasks.metrics.pairing import IMAGE_HASH
from segscale.tasks.metrics.per_image import PREDICTION_MISSING, with_missing_columns

SHOWN_METRICS = ("dice", "tversky", "hd95", "lesion_f1")
SHOWN_IMAGES = 5


@dataclass(frozen=True, slots=True)
class ReportComparison:
    """Two reports and what they differ in."""

    runs: pd.DataFrame
    """A row per run: side, path, run_id, dataset, model, n_images, n_failed, n_missing, threshold."""
    comparison: Comparison
    n_by_reference: int = 0
    """Images that a run does not name, so that their references alone tell that both are over the same."""
    left_out: tuple[str, ...] = ()
    """What was measured and is not compared, a sentence each."""

    @property
    def has_missing(self) -> bool:
        """Whether a run lacks usable predictions of images that can be compared."""
        return bool((self.comparison.differences["aggregation"] == "pooled_missing").any())

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """What `segscale compare --json` prints."""
        found = self.comparison
        return {
            "runs": self.runs, "differences": found.differences, "images": found.images, "unpaired": found.unpaired,
            "left_out": pd.DataFrame({"reason": self.left_out}, dtype="str"),
        }  # fmt: skip


def compare_reports(path_a: str, path_b: str, by: tuple[str, ...] = ()) -> ReportComparison:
    """Compare the reports in two folders. Raises ConfigError, one line, where one is unusable or they do not match."""
    with readable_reports():
        a, b = open_report(path_a), open_report(path_b)
        settings_a, settings_b = recorded_settings(a), recorded_settings(b)
        images_a, images_b = whole_table(a, "per_image"), whole_table(b, "per_image")
        beside = measured_by_both((a, settings_a), (b, settings_b), by)
        comparison = compare(images_a, images_b, settings_a, settings_b, by, beside.panels)
        rows = [_run_row("a", a, images_a), _run_row("b", b, images_b)]
    # Of objects, for a whole number beside an unknown one would become a fraction.
    n_missing = pd.Series([row["n_missing"] for row in rows], dtype=object)
    compared = pd.DataFrame(rows).assign(n_missing=n_missing)
    return ReportComparison(compared, comparison, len(_unnamed(images_a) | _unnamed(images_b)), beside.left_out)


def _unnamed(per_image: pd.DataFrame) -> set[object]:
    """The sound images whose own file the run does not know."""
    return set(per_image.loc[(per_image["status"] == "ok") & (per_image[IMAGE_HASH].fillna("") == ""), "image_id"])


def describe(found: ReportComparison) -> str:
    """Dice and Tversky of both runs with intervals and adjusted p-values, the images that changed most, the caveats."""
    differences = found.comparison.differences
    chosen = differences[differences["metric"].isin(SHOWN_METRICS) & (differences["class_index"] != 0)]
    table = pd.DataFrame(
        {
            "unit": chosen["unit"],
            "stratum": chosen["stratum"],
            "class": chosen["class_name"],
            "head": chosen["head_b"],
            "metric": chosen["metric"],
            "aggregation": chosen["aggregation"],
            "a": chosen["value_a"],
            "b": chosen["value_b"],
            "b - a": chosen["difference"],
            "low": chosen["low"],
            "high": chosen["high"],
            "Wilcoxon p": chosen["wilcoxon_holm"],
            "permutation p": chosen["permutation_holm"],
        }
    )
    has_units = len(table["unit"].unique()) > 1
    family = "unit, stratum" if has_units else "stratum"
    idle = [name for name in ("unit", "stratum", "head") if len(table[name].unique()) == 1]
    images = found.comparison.images
    changed = images[(images["metric"] == "dice") & (images["class_index"] > 0) & (images["rank"] <= SHOWN_IMAGES)]
    columns = ["class_name", "head_b", "image_id", "score_a", "score_b", "difference", "pooled_effect"]
    lines = [
        *(_run_in_words(run) for run in found.runs.itertuples()),
        "",
        _text(table.drop(columns=idle)),
        f"p-values are adjusted by Holm over all classes, heads and metrics of a {family} and aggregation",
        "",
        "Dice changed most:" if len(changed) else "no image changed its Dice",
        *([_text(changed[columns])] if len(changed) else []),
    ]
    return "\n".join([*lines, *_caveats(found)])


def _run_in_words(run: Any) -> str:
    missing = (
        f", {run.n_missing} of them without a usable prediction" if run.n_missing is not None and run.n_missing else ""
    )
    return f"{run.side}: {run.path} ({counted(run.n_images, 'image')}, {run.n_failed} failed{missing})"


def _caveats(found: ReportComparison) -> list[str]:
    """What makes the two runs less alike than the table looks, a line each."""
    heads = found.comparison.differences[["head_a", "head_b"]].drop_duplicates()
    paired = zip(heads["head_a"].tolist(), heads["head_b"].tolist(), strict=True)
    lines = list(found.left_out)
    lines += [f"head {a!r} of a is compared with head {b!r} of b" for a, b in paired if a != b]
    thresholds = found.runs["threshold"].astype(object).where(found.runs["threshold"].notna(), None).tolist()
    if thresholds[0] != thresholds[1]:
        lines.append(f"threshold {thresholds[0]} in a, {thresholds[1]} in b (None: label maps, or classes by argmax)")
    if found.n_by_reference:
        lines.append(
            f"{counted(found.n_by_reference, 'image')} without image_sha256 in a run: the same by their references"
        )
    if len(found.comparison.unpaired):
        without = "" if found.has_missing else " and enter no difference"
        lines.append(f"{counted(len(found.comparison.unpaired), 'image')} failed in a run{without}")
    if found.has_missing:
        lines.append(
            "per_sample and pooled leave all of them out; per_sample_missing takes those without a usable prediction, "
            "in either run, as 0, and pooled_missing takes their references as missed"
        )
    lines += [
        f"which failed images of {run.side} lack a usable prediction is not known, for an older version wrote it"
        for run in found.runs.itertuples()
        if run.n_missing is None
    ]
    return lines


def _run_row(side: str, report: Report, per_image: pd.DataFrame) -> dict[str, object]:
    run = report.run()
    statuses = per_image.drop_duplicates("image_id")["status"]
    missing = with_missing_columns(per_image).drop_duplicates("image_id")[PREDICTION_MISSING]
    thresholds = per_image["threshold"].dropna()
    return {
        "side": side,
        "path": report.path,
        **{name: run[name] for name in IDENTITY},
        "n_images": len(statuses),
        "n_failed": int((statuses == "failed").sum()),
        "n_missing": None if missing.isna().any() else int(missing.sum()),
        "threshold": float(thresholds.iloc[0]) if len(thresholds) else None,
    }


def _text(table: pd.DataFrame) -> str:
    return table.to_string(index=False, float_format=lambda value: f"{value:.4f}", na_rep="-")
