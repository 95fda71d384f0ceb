"""The end of a run on the terminal: scores, what failed and why, what is wrong, the worst images, what to do next."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from segscale.flows.cli.style import Style
from segscale.flows.cli.text_table import TextTable, places
from segscale.flows.report import RunResult
from segscale.flows.reports.summary import Part, Summary, WorstImage, summary_of
from segscale.storage.reports import RUN, open_report
from segscale.tasks import reasons
from segscale.tasks.metrics import findings
from segscale.tasks.report_html.headline import Estimate

UNDEFINED = "undefined"


def describe_result(result: RunResult, style: Style = Style(), hints: bool = True) -> str:  # noqa: B008  # frozen
    """What a run came to, read from its report, whether it was written now or before.

    The scores of both aggregations with intervals, of strata and units too, images that failed by their reason, errors
    and warnings, the worst images, where `hints` are wanted the commands that may come next; then the page, and last
    the report.
    """
    summary = summary_of(open_report(result.path))
    counts = reasons.counts_in_words(result.n_images, result.n_failed, result.n_missing)
    blocks = [
        *_tables(summary, style),
        [
            *style.wrapped(counts + ("; nothing had changed, the report was there" if result.reused else "")),
            *(line for one in reasons.in_words(result.reasons, result.n_failed) for line in style.wrapped(one)),
        ],
        *(_finding(one, style) for one in result.findings),
        _worst(summary.worst, style),
        _next(result, summary, style) if hints else [],
        [f"page: {result.page}", f"report: {result.path}"],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _finding(finding: findings.Finding, style: Style) -> list[str]:
    cause, *others = findings.in_words(finding).splitlines()
    said = [style.alarming(line, finding.severity) for line in style.wrapped(cause)]
    return [*said, *(line for one in others for line in style.wrapped(one))]


def _tables(summary: Summary, style: Style) -> Iterator[list[str]]:
    whole = [row for part in summary.whole for row in _whole_rows(part, summary)]
    without = dict.fromkeys(reason for part in summary.whole for reason in part.reasons)
    yield [*_lines(_header_of_whole(summary), whole, 4, style), *(f"without interval: {one}" for one in without)]
    if summary.batch_sizes:
        yield _lines(_header_of_batches(summary), list(_batch_rows(summary.whole)), 4, style)
    if summary.measured:
        yield _lines(_header_of_measured(summary), list(_measured_rows(summary)), 3, style)
    if summary.strata:
        rows = [row for part in summary.strata for row in _stratum_rows(part, summary)]
        left_out = summary.n_strata - len(summary.strata)
        more = [f"and {left_out} more strata, in per_sample.parquet and batch_summed.parquet"] if left_out else []
        yield [*_lines(_header_of_strata(summary), rows, 3, style), *more]


def _lines(header: tuple[str, ...], rows: Sequence[tuple[str, ...]], n_keys: int, style: Style) -> list[str]:
    return TextTable(header, tuple(rows), n_keys).without_empty_columns().lines(style.width, style.strong)


def _header_of_whole(summary: Summary) -> tuple[str, ...]:
    interval = _interval_name(summary)
    n_folds = max(part.n_folds for part in summary.whole)
    return (
        "class", "metric", "head", "unit", "per-sample", interval, f"mean of {n_folds} folds", "failed as 0",
        "missing as 0", "pooled", interval, "pooled, missed", "undefined",
    )  # fmt: skip


def _whole_rows(part: Part, summary: Summary) -> Iterator[tuple[str, ...]]:
    # A unit that counts as sound may hold images that failed.
    has_failed = any(part.n_failed for part in summary.whole)
    has_missing = any(part.n_missing for part in summary.whole)
    for row in part.rows:
        yield (
            row.class_name,
            row.metric,
            row.head,
            part.unit if len(summary.whole) > 1 else "",
            score(row.per_sample.value),
            interval(row.per_sample),
            score(row.of_folds) if part.n_folds and row.of_folds is not None else "",
            score(row.failed_as_zero) if has_failed else "",
            score(row.missing_as_zero.value) if has_missing else "",
            score(row.pooled.value),
            interval(row.pooled),
            score(row.pooled_missing.value) if has_missing else "",
            _unless_zero(row.n_undefined),
        )


def _header_of_batches(summary: Summary) -> tuple[str, ...]:
    return "batch-summed", "metric", "head", "unit", *(f"batch {size}" for size in summary.batch_sizes)


def _batch_rows(whole: tuple[Part, ...]) -> Iterator[tuple[str, ...]]:
    for part in whole:
        for row in part.rows:
            means = ("" if batch is None else score(batch.mean) for batch in row.batches)
            yield row.class_name, row.metric, row.head, part.unit if len(whole) > 1 else "", *means


def _header_of_measured(summary: Summary) -> tuple[str, ...]:
    interval = _interval_name(summary)
    return (
        "surfaces, lesions", "metric", "head", "per-sample", interval, "per unit", "missing as worst", "all lesions",
        "undefined",
    )  # fmt: skip


def _measured_rows(summary: Summary) -> Iterator[tuple[str, ...]]:
    has_missing = any(part.n_missing for part in summary.whole)
    for row in summary.measured:
        yield (
            row.class_name,
            row.metric,
            row.head,
            score(row.per_sample.value),
            interval(row.per_sample),
            "" if row.per_unit is None else score(row.per_unit.value),
            score(row.missing_as_worst.value) if has_missing else "",
            "" if row.pooled is None else score(row.pooled.value),
            _unless_zero(row.n_undefined),
        )


def _header_of_strata(summary: Summary) -> tuple[str, ...]:
    interval = _interval_name(summary)
    return (
        "stratum", "class", "head", "images", "failed", "missing", "undefined", "per-sample Dice", interval,
        "pooled Dice", interval,
    )  # fmt: skip


def _stratum_rows(part: Part, summary: Summary) -> Iterator[tuple[str, ...]]:
    one_class = len({row.class_name for row in summary.whole[0].rows}) == 1
    for row in part.rows:
        yield (
            reasons.one_line(part.stratum),
            "" if one_class else row.class_name,
            row.head,
            str(part.n_images),
            _unless_zero(part.n_failed),
            _unless_zero(part.n_missing),
            _unless_zero(row.n_undefined),
            score(row.per_sample.value),
            interval(row.per_sample),
            score(row.pooled.value),
            interval(row.pooled),
        )


def _interval_name(summary: Summary) -> str:
    return f"{100 * summary.confidence:.4g} % interval"


def _worst(worst: tuple[WorstImage, ...], style: Style) -> list[str]:
    if not worst:
        return []
    several = len({one.class_name for one in worst}) > 1
    rows = [
        (
            reasons.one_line(one.image_id),
            one.class_name if several else "",
            score(one.dice),
            f"{one.reference_pixels:,}",
            f"{one.predicted_pixels:,}",
        )
        for one in worst
    ]
    return _lines(("worst images", "class", "Dice", "reference pixels", "predicted pixels"), rows, 2, style)


def _next(result: RunResult, summary: Summary, style: Style) -> list[str]:
    """Commands that may come next, ready to be typed."""
    report = shlex.quote(result.path)
    opens = "open" if sys.platform == "darwin" else "xdg-open"
    other = shlex.quote(beside) if (beside := _beside(result.path)) else "OTHER_REPORT"
    rescored = "--threshold 0.25" if summary.keeps_thresholds else "--empty one"
    commands = {
        "look at the page": f"{opens} {shlex.quote(result.page)}",
        "compare with another run": f"segscale compare {other} {report}",
        "score otherwise": f"segscale rescore {report} {rescored}",
        "look for mistakes": f"segscale diagnose {report}",
    }
    if "://" in result.path:
        del commands["look at the page"]
    width = max(map(places, commands))
    return [style.strong("next"), *(f"  {what.ljust(width)}  {command}" for what, command in commands.items())]


def _beside(path: str) -> str:
    """The report of the same data set that was finished last before this one; "" where there is none to be seen."""
    if "://" in path:
        return ""
    others = [run for run in Path(path).parent.glob(f"*/{RUN}") if run.parent != Path(path)]
    return str(max(others, key=lambda run: run.stat().st_mtime).parent) if others else ""


def score(value: float) -> str:
    """Four decimals, or that it is undefined."""
    return UNDEFINED if math.isnan(value) else f"{value:.4f}"


def interval(estimate: Estimate) -> str:
    """From low to high; "" where there is none."""
    return f"{estimate.low:.4f} - {estimate.high:.4f}" if estimate.method else ""


def _unless_zero(count: int | None) -> str:
    return str(count) if count else ""
