"""What the package offers of written reports: the commands that read them as functions."""

from __future__ import annotations

from typing import Any

import pandas as pd

from segscale.flows.config.spoken import settings_spoken
from segscale.flows.reports.compare import compare_reports
from segscale.flows.reports.diagnose import diagnose_path
from segscale.flows.reports.export import summary_of
from segscale.flows.reports.reconcile import Reconciliation, reconcile_reports
from segscale.flows.reports.rescore import open_rescoring, tables_of
from segscale.flows.reports.tables import readable_reports
from segscale.storage.reports import open_report
from segscale.tasks.metrics.findings import Finding
from segscale.tasks.metrics.settings import EmptyPolicy, MissedDistance
from segscale.tasks.rescore import Changes


def rescore(
    report: str,
    *,
    threshold: float | None = None,
    tversky_alpha: float | None = None,
    tversky_beta: float | None = None,
    smooth: float | None = None,
    batch_sizes: tuple[int, ...] | None = None,
    empty: EmptyPolicy | None = None,
    group_by: tuple[str, ...] | None = None,
    unit: str | None = None,
    folds: str | None = None,
    missed_distance: MissedDistance | None = None,
    nsd_tolerances: tuple[float, ...] = (),
    percentiles: tuple[float, ...] = (),
) -> dict[str, pd.DataFrame]:
    """Other scores of a run from its report alone: no image, no network. What is None stays as in the run.

    Args:
        report: folder or URL of a report.
        threshold: a kept one, k/threshold_count. Several classes are then each scored against the rest, not by argmax.
        tversky_alpha: weight of false positives.
        tversky_beta: weight of false negatives.
        smooth: pixels, added to numerator and denominator of Dice, IoU and Tversky.
        batch_sizes: images per batch of the batch-summed scores; the whole set (pooled) is always there.
        empty: the score where reference and prediction are both empty.
        group_by: columns of per_image whose values are strata; ``reference_volume:0,100,1000`` are bins of sizes.
        unit: column of per_image whose values are units of evaluation; "" for images alone. Strata of the run that cut
            one apart are left out.
        folds: column of per_image whose values are folds; "" for none.
        missed_distance: of surfaces, where one side alone has the structure: "worst" (the diagonal of the image),
            "inf" or "nan".
        nsd_tolerances: of the normalised surface distance, beside those of the run: in mm, or pixels without a spacing;
            of three digits at most, and exact.
        percentiles: of the distances, beside the 95th: ``hd90``, ``hd90_pooled``, ``hd90_mean_directed`` of 90; to
            0.5 % of themselves.

    Returns:
        The tables ``per_sample``, ``batch_summed`` and ``gap``, and of units ``per_unit``, as docs/reports.md describes
        them; NaN is undefined. Of surfaces and lesions that the run measured the rows follow those of the pixels,
        except at another threshold, at which nothing was measured.

    Raises:
        ConfigError: the report cannot be read, or does not hold what is asked for.

    >>> tables = rescore("tests/fixtures/0bb167e/reports/drawn/first", batch_sizes=(2,))
    >>> sorted(tables)
    ['batch_summed', 'gap', 'per_sample']
    """
    changes = Changes(
        threshold, tversky_alpha, tversky_beta, smooth, batch_sizes, empty, group_by, unit, folds, missed_distance,
        tuple(nsd_tolerances), tuple(percentiles),
    )  # fmt: skip
    return tables_of(open_rescoring(report, changes))


def compare(report_a: str, report_b: str, *, by: tuple[str, ...] = ()) -> dict[str, pd.DataFrame]:
    """Two runs over the same images, image by image; differences are b - a.

    Args:
        report_a: folder or URL of a report.
        report_b: of the other.
        by: columns of per_image whose values are strata; ``reference_volume:0,100,1000`` are bins of sizes.

    Returns:
        The tables ``runs``, ``differences`` (with intervals and p values), ``images`` (those that changed most),
        ``unpaired`` and ``left_out`` as docs/compare-and-diagnose.md describes them.

    Raises:
        ConfigError: a report cannot be read, or the two do not match.
    """
    with settings_spoken({"group_by": "by"}):
        return compare_reports(report_a, report_b, by).tables


def nnunet_summary(report: str, *, head: str | None = None) -> dict[str, Any]:
    """The counts of a run in the shape of nnU-Net's summary.json, from its report alone.

    Args:
        report: folder or URL of a report.
        head: of a network with several outputs, the one that is meant.

    Returns:
        ``metric_per_case``, ``mean`` and ``foreground_mean`` as docs/reports.md describes them. Failed images are no
        cases; ``reference_file`` and ``prediction_file`` are the image's id. NaN is undefined.

    Raises:
        ConfigError: the report cannot be read, or one of several heads has to be named.

    >>> summary = nnunet_summary("tests/fixtures/0bb167e/reports/drawn/first")
    >>> summary["metric_per_case"][0]["metrics"]["255"]["n_ref"]
    149
    """
    with readable_reports():
        return summary_of(open_report(report), head)[0]


def reconcile(report: str, summary: str, *, head: str | None = None) -> Reconciliation:
    """Why nnU-Net's summary.json and a report state other numbers for the same predictions: a step for each cause.

    Args:
        report: folder or URL of a report.
        summary: path or URL of a summary.json, as nnU-Net's version 2 or version 1 writes it.
        head: of a network with several outputs, the one that is meant.

    Returns:
        A frozen record: the tables ``totals``, ``steps``, ``cases`` and ``alone``, whose columns docs/reconcile.md
        describes, and ``notes``. Differences are ours - theirs; NaN is undefined. The steps of a total begin at
        nnU-Net's number and end at ours, each where the one before it ended.

    Raises:
        ConfigError: one of both cannot be read, they have no case or no label in common, a case can be two images, or
            one of several heads has to be named.
    """
    return reconcile_reports(report, summary, head)


def diagnose(path: str) -> list[Finding]:
    """What in a report, or in the history of a training, says that something is wrong: errors first.

    Args:
        path: folder or URL of a report, folder of a training, or a history file of Keras.

    Raises:
        ConfigError: it is none of these.
    """
    return diagnose_path(path)
