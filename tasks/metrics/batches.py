"""Batch-summed scores of one class: ratios of the sums of consecutive images."""

from dataclasses import dataclass, replace

import numpy as np

from segscale.tasks.metrics.count_columns import CountColumns, Float64Array, Int64Array
from segscale.tasks.metrics.metric_table import Metric
from segscale.tasks.metrics.panel import Sample
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.metrics.statistics import mean, standard_deviation, weighted_mean

SHUFFLES = 20
"""Seeded orders behind shuffle_mean and shuffle_std: enough to see whether a score lives off its order."""


@dataclass(frozen=True, slots=True)
class Batches:
    """Counts of each batch."""

    counts: CountColumns
    n_images: Int64Array
    """Images of each batch; only the last may have fewer."""

    def mean(self, metric: Metric, settings: ScoreSettings) -> float:
        """Mean of the defined batch scores, weighted by images."""
        return weighted_mean(metric.score(self.counts, settings), self.n_images)


@dataclass(frozen=True, slots=True)
class BatchSummary:
    """What the batches of one size say of one class and metric."""

    metric: str
    size: int
    pooled: bool
    """One batch of all images, whatever their number."""
    n_batches: int
    n_undefined: int | None
    mean: float
    mean_equal_weight: float
    std: float
    shuffle_means: Float64Array
    """(orders,) the weighted mean in each shuffled order; one order where order cannot matter."""
    pooled_missing: float = np.nan
    """Of one batch of all images: its score with missing predictions as missed."""
    n_classes_defined: int | None = None
    """Of a mean over classes only."""


def batch(counts: CountColumns, size: int) -> Batches:
    """Consecutive places summed `size` at a time; the last batch may be short; no places, no batches."""
    starts = np.arange(0, counts.size, size, dtype=np.int64)
    return Batches(counts.sum_runs(starts), np.diff(starts, append=counts.size))


def shuffled_orders(n_images: int, seed: list[int]) -> list[Int64Array]:
    """SHUFFLES permutations of the places 0..n-1."""
    generator = np.random.default_rng(seed)
    return [generator.permutation(n_images) for _ in range(SHUFFLES)]


def summarize(
    sample: Sample, metrics: tuple[Metric, ...], orders: list[Int64Array], settings: ScoreSettings
) -> list[BatchSummary]:
    """A summary per metric and batch size, pooled last; `orders` are permutations of the places to shuffle them by."""
    counts, sizes = sample.counts, settings.batch_sizes
    moving = [size for size in sizes if 1 < size < counts.size]
    shuffled: dict[tuple[str, int], list[float]] = {}
    for order in orders if moving else []:
        permuted = counts.take(order)
        for size in moving:
            batches = batch(permuted, size)
            for metric in metrics:
                shuffled.setdefault((metric.name, size), []).append(batches.mean(metric, settings))
    fixed = [(size, batch(counts, size)) for size in sizes]
    everything = batch(counts, max(counts.size, 1))
    summaries = []
    for metric in metrics:
        for size, batches in fixed:
            summaries.append(_summary(metric, size, batches, shuffled.get((metric.name, size)), settings))
        pooled = _summary(metric, counts.size, everything, None, settings)
        # Where none is missing, and that is known, it is the pooled score.
        missing = metric.pooled(sample.with_missing, settings) if sample.has_missing else pooled.mean
        summaries.append(replace(pooled, pooled=True, pooled_missing=np.nan if sample.missed is None else missing))
    return summaries


def mean_over_classes(summaries: list[BatchSummary]) -> BatchSummary:
    """The mean of the defined class values of one metric and size, order by order."""
    first = summaries[0]
    n_orders = max(summary.shuffle_means.size for summary in summaries)
    by_class = [np.broadcast_to(summary.shuffle_means, n_orders) for summary in summaries]
    return BatchSummary(
        metric=first.metric,
        size=first.size,
        pooled=first.pooled,
        n_batches=first.n_batches,
        n_undefined=None,
        mean=mean([summary.mean for summary in summaries]),
        mean_equal_weight=mean([summary.mean_equal_weight for summary in summaries]),
        std=np.nan,
        pooled_missing=mean([summary.pooled_missing for summary in summaries]),
        shuffle_means=np.array([mean(list(of_order)) for of_order in zip(*by_class, strict=True)]),
        n_classes_defined=sum(not np.isnan(summary.mean) for summary in summaries),
    )


def _summary(
    metric: Metric, size: int, batches: Batches, shuffled: list[float] | None, settings: ScoreSettings
) -> BatchSummary:
    scores = metric.score(batches.counts, settings)
    weighted = weighted_mean(scores, batches.n_images)
    return BatchSummary(
        metric=metric.name,
        size=size,
        pooled=False,
        n_batches=scores.size,
        n_undefined=int(np.isnan(scores).sum()),
        mean=weighted,
        mean_equal_weight=mean(scores),
        std=standard_deviation(scores),
        shuffle_means=np.array(shuffled or [weighted]),
    )
