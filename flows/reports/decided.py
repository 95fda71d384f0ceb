"""What the package decides from written reports: the commands gate, strata, plan and calibration as functions."""

from __future__ import annotations

from collections.abc import Mapping

from segscale.flows.config.spoken import settings_spoken
from segscale.flows.reports.calibration import Asking as AskingCalibration
from segscale.flows.reports.calibration import Calibration, calibrate_report
from segscale.flows.reports.gate import Asking, GateResult, gate_reports
from segscale.flows.reports.strata import StrataResult, report_strata
from segscale.flows.reports.study_plan import PlanResult, plan_reports
from segscale.tasks.decisions.strata import StrataAsked
from segscale.tasks.decisions.study_plan import StudyAsked


def gate(
    base: str | None,
    new: str,
    *,
    margin: Mapping[str, float] | None = None,
    floor: Mapping[str, float] | None = None,
    superior: tuple[str, ...] = (),
    aggregations: tuple[str, ...] = ("per_sample",),
    by: tuple[str, ...] = (),
    unit: str | None = None,
    cluster_by: str | None = None,
    head: str | None = None,
) -> GateResult:
    """Whether a run is good enough to replace another one, or to be released; docs/gate.md says how that is decided.

    Args:
        base: folder or URL of the report of the run that would be replaced; None where floors alone are asked.
        new: of the run that would replace it.
        margin: by metric how much worse the new run may be, above 0 and below 1. Where a base is given and neither
            a margin nor a floor, 0.01 of Dice.
        floor: by metric what the new run must reach, from 0 to 1.
        superior: metrics of ``margin`` in which the new run must be better over the whole set.
        aggregations: "per_sample" (the mean over images or units), "pooled", or both.
        by: columns of per_image whose values are strata; ``reference_volume:0,100,1000`` are bins of sizes.
        unit: column whose values are units of evaluation; "" for images. None: as in the run.
        cluster_by: column whose values are independent of each other; "" for images. None: as in the run.
        head: of networks with several outputs, the one that is meant.

    Returns:
        The verdict "pass", "fail" or "cannot tell" with a sentence, and ``strata``, a row per stratum, class, metric
        and question with estimate, interval, margin, verdict and how many predictions are missing. True where it is
        "pass". NaN is undefined.

    Raises:
        ConfigError: a report cannot be read, the two do not match, or nothing, or what cannot be, is asked.

    >>> first = "tests/fixtures/0bb167e/reports/drawn/first"
    >>> gate(first, first, margin={"dice": 0.05}).verdict
    'cannot tell'
    """
    chosen = Asking(dict(margin or {}), dict(floor or {}), superior, aggregations, by, unit, cluster_by, head)
    with settings_spoken({"group_by": "by", "aggregation": "aggregations"}):
        return gate_reports(base, new, chosen)


def strata(
    report: str,
    *,
    by: tuple[str, ...] | None = None,
    metric: str = "dice",
    margin: float = 0.01,
    below: float = 0.5,
    worst: float = 0.05,
    unit: str | None = None,
    cluster_by: str | None = None,
    head: str | None = None,
) -> StrataResult:
    """Which groups of images score lower than the others, how many scores are catastrophic, and how bad the worst are.

    docs/strata.md says how each is found. Missing predictions score 0.

    Args:
        report: folder or URL of a report.
        by: columns of per_image whose values are strata; ``reference_volume:0,100,1000`` are bins of sizes. None: as in
            the run; without any, the whole set alone.
        metric: a score of pixels from 0 to 1 of which more is better.
        margin: a gap that nobody would mind, above 0 and below 1.
        below: scores below are catastrophic, above 0 and at most 1.
        worst: the share of images whose mean is the tail, above 0 and below 1.
        unit: column whose values are units of evaluation; "" for images. None: as in the run.
        cluster_by: column whose values are independent of each other; "" for images. None: as in the run.
        head: of networks with several outputs, the one that is meant.

    Returns:
        ``gaps``, a row per stratum and class with the gap to all others, its interval and what is told ("lower",
        "higher", "alike", "cannot tell"), and ``tails``, a row per stratum, the whole set first, and class, each with
        a sentence. NaN is undefined, or an interval that cannot be given; ``reason`` says why.

    Raises:
        ConfigError: the report cannot be read, or what cannot be is asked.

    >>> strata("tests/fixtures/0bb167e/reports/drawn/first").tails["stratum"].tolist()[:2]
    ['', 'site=north']
    """
    asked = StrataAsked(metric, margin, below, worst)
    with settings_spoken({"group_by": "by"}):
        return report_strata(report, asked, by, unit, cluster_by, head)


def plan(
    report: str,
    second: str | None = None,
    *,
    metric: str = "dice",
    aggregations: tuple[str, ...] = ("per_sample", "pooled"),
    width: float = 0.02,
    margin: float = 0.01,
    difference: float | None = None,
    power: float = 0.8,
    by: tuple[str, ...] = (),
    unit: str | None = None,
    cluster_by: str | None = None,
    head: str | None = None,
) -> PlanResult:
    """How many images or patients a study needs, from the variances and clusters of a report; docs/plan.md says how.

    Args:
        report: folder or URL of a report.
        second: of another run over the same images: then differences are planned, the second minus the first.
        metric: a score of pixels from 0 to 1 of which more is better.
        aggregations: "per_sample" (the mean over images or units), "pooled", or both.
        width: of an interval, from end to end, above 0 and below 1.
        margin: of two, by how much the second may be worse, in truth being as good.
        difference: of two, how far apart they are in truth; None: as measured.
        power: with which a difference or a margin is to be shown, above 0 and below 1.
        by: columns of per_image whose values are strata; ``reference_volume:0,100,1000`` are bins of sizes.
        unit: column whose values are units of evaluation; "" for images. None: as in the run.
        cluster_by: column whose values are independent of each other; "" for images. None: as in the run.
        head: of networks with several outputs, the one that is meant.

    Returns:
        ``sizes``, a row per stratum, class, aggregation and goal with the clusters it needs, between which numbers that
        may lie, and what is told ("enough", "more", "cannot tell"), and ``curves``. NaN is undefined; ``reason`` says
        why.

    Raises:
        ConfigError: a report cannot be read, the two do not match, or what cannot be is asked.

    >>> plan("tests/fixtures/0bb167e/reports/drawn/first").sizes["told"].unique().tolist()
    ['cannot tell']
    """
    asked = StudyAsked(metric, aggregations, width, margin, difference, power)
    with settings_spoken({"group_by": "by", "aggregation": "aggregations"}):
        return plan_reports(report, second, asked, by, unit, cluster_by, head)


def calibration(
    report: str,
    *,
    by: tuple[str, ...] = (),
    unit: str | None = None,
    cluster_by: str | None = None,
    head: str | None = None,
) -> Calibration:
    """Whether probabilities are as frequent as they say, from a report alone; docs/calibration.md defines the numbers.

    Args:
        report: folder or URL of a report of probabilities.
        by: columns of per_image whose values are strata; ``reference_volume:0,100,1000`` are bins of sizes.
        unit: column whose values are units of evaluation; "" for images. None: as in the run.
        cluster_by: column whose values are independent of each other; "" for images. None: as in the run.
        head: of networks with several outputs, one alone; None: all.

    Returns:
        A frozen record of tables: ``errors`` (ECE, ACE, MCE and bias as bounds, with intervals), ``reliability`` (a
        row per bin), ``recalibration`` (what a map made of other images does), ``map`` and ``notes``. NaN is undefined.

    Raises:
        ConfigError: the report cannot be read, has no probabilities, or does not hold what is asked for.

    >>> found = calibration("tests/fixtures/0bb167e/reports/drawn/first")
    >>> found.errors.loc[0, ["metric", "aggregation"]].tolist()
    ['ece', 'pooled']
    """
    with settings_spoken({"group_by": "by"}):
        return calibrate_report(report, AskingCalibration(by, unit, cluster_by, head))
