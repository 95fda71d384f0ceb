"""The end of a run on the terminal: the headline table and where the report lies."""

from __future__ import annotations

from segscale.flows.report import RunResult


def describe_result(result: RunResult) -> str:
    """A few lines: what each aggregation says, how many images failed, and the path of the report."""
    table = result.headline
    if result.n_failed == 0:
        table = table.drop(columns="failed as 0")
    lines = [
        table.to_string(index=False, float_format=lambda value: f"{value:.4f}", na_rep="undefined"),
        "",
        f"{result.n_images} images, {result.n_failed} failed"
        + (" (see failures.parquet)" if result.n_failed else "")
        + ("; nothing had changed, the report was there" if result.reused else ""),
        f"report: {result.path}",
    ]
    return "\n".join(lines)
