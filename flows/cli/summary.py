"""The end of a run on the terminal: the headline table, what failed and why, what is wrong, where the report lies."""

from __future__ import annotations

from segscale.flows.report import RunResult
from segscale.tasks import reasons
from segscale.tasks.metrics import findings


def describe_result(result: RunResult) -> str:
    """What each aggregation says, failed images by their reason, errors and warnings, the page; last the report."""
    idle = {
        "failed as 0": not result.n_failed,
        "missing as 0": not result.n_missing,
        "pooled, missed": not result.n_missing,
    }
    table = result.headline.drop(columns=[column for column, is_idle in idle.items() if is_idle])
    counts = reasons.counts_in_words(result.n_images, result.n_failed, result.n_missing)
    lines = [
        table.to_string(index=False, float_format=lambda value: f"{value:.4f}", na_rep="undefined"),
        "",
        counts + ("; nothing had changed, the report was there" if result.reused else ""),
        *reasons.in_words(result.reasons, result.n_failed),
        *(f"\n{findings.in_words(finding)}" for finding in result.findings),
        *([""] if result.findings else []),
        f"page: {result.page}",
        f"report: {result.path}",
    ]
    return "\n".join(lines)
