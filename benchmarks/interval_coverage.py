"""How often an interval of a paired, clustered mean difference misses the truth, on either side, by method.

    python benchmarks/interval_coverage.py [--studies 2000] [--resamples 0] [--patients 20 50 200 1000]

A line per kind of data and number of patients; in it per method the share of studies whose interval lies above the
truth (a gate then passes what is worse) and below it. 2.5 % each is what 95 % promises.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from made_scores import Float64Array, Made, draw, true_difference
from scipy import stats

from segscale.tasks.decisions.estimate import Estimate, untransformed
from segscale.tasks.metrics.bootstrap import UnitSums, influence, resample

CELLS = {
    "an image each, smooth": Made(20, images=1),
    "1 to 7 images, smooth": Made(20),
    "few have most images, smooth": Made(20, heavy=True),
    "an image each, 5 % missing": Made(20, images=1, missing=0.05),
    "1 to 7 images, 5 % missing": Made(20, missing=0.05),
    "few have most images, 5 % missing": Made(20, heavy=True, missing=0.05),
    "an image each, 1 % lost": Made(20, images=1, lost=0.01),
    "1 to 7 images, 1 % lost": Made(20, lost=0.01),
    "few have most images, 1 % lost": Made(20, heavy=True, lost=0.01),
}
METHODS = ("cautious", "t", "Hall", "studentised", "percentile")
CONFIDENCE = 0.95
Ends = tuple[float, float]


def intervals_of(estimate: Estimate, sums: UnitSums, resamples: int, seed: int) -> dict[str, Ends]:
    """By method; the last two where there are resamples."""
    t = float(stats.t.ppf((1 + CONFIDENCE) / 2, estimate.n_effective - 1))
    hall = [untransformed(end, estimate.skewness / np.sqrt(estimate.influence.size)) for end in (t, -t)]
    value, error = estimate.value, estimate.standard_error
    found = {
        "cautious": estimate.interval(CONFIDENCE),
        "t": (value - t * error, value + t * error),
        "Hall": (value - hall[0] * error, value - hall[1] * error),
    }
    if resamples:
        found |= _resampled(value, error, sums, resamples, seed)
    return found


def _resampled(value: float, error: float, sums: UnitSums, resamples: int, seed: int) -> dict[str, Ends]:
    top, bottom = sums.numerator, sums.denominator
    ones = np.ones(top.size)
    columns = [UnitSums(one, ones, 0.0) for one in (top, bottom, top**2, top * bottom, bottom**2)]
    tops, bottoms, squares, products, sizes = (one.replicates for one in resample(columns, resamples, [seed]))
    means = tops / bottoms
    errors = np.sqrt(np.maximum(squares - 2 * means * products + means**2 * sizes, 0) / (top.size - 1)) / bottoms
    roots = np.divide(means - value, errors, out=np.zeros(means.size), where=errors > 0)
    tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    low, high = np.quantile(roots, tails)
    first, last = np.quantile(means, tails)
    return {"studentised": (value - high * error, value - low * error), "percentile": (float(first), float(last))}


def misses(made: Made, truth: float, studies: int, resamples: int, seed: int = 0) -> dict[str, Float64Array]:
    """By method the shares of studies whose interval lies above the truth, and below it."""
    generator = np.random.default_rng([seed, made.patients])
    counts: dict[str, Float64Array] = {}
    for study in range(studies):
        drawn = draw(made, generator)
        sums = UnitSums(
            np.bincount(drawn.patient, drawn.new - drawn.base, made.patients),
            np.bincount(drawn.patient, minlength=made.patients).astype(np.float64),
            0.0,
        )
        estimate = Estimate(float((drawn.new - drawn.base).mean()), influence(sums), sums.denominator)
        for method, (low, high) in intervals_of(estimate, sums, resamples, study).items():
            counts[method] = counts.get(method, np.zeros(2)) + np.array([low > truth, high < truth])
    return {method: found / studies for method, found in counts.items()}


def table(patients: list[int], studies: int, resamples: int) -> Iterator[str]:
    """Lines of Markdown."""
    methods = METHODS if resamples else METHODS[:3]
    yield f"| data | patients | {' | '.join(methods)} |"
    yield f"|---|---:|{'---:|' * len(methods)}"
    for name, cell in CELLS.items():
        truth = true_difference(cell)
        for n in patients:
            found = misses(replace(cell, patients=n), truth, studies, resamples)
            shares = (f"{100 * found[one][0]:.1f} / {100 * found[one][1]:.1f}" for one in methods)
            yield f"| {name} | {n} | {' | '.join(shares)} |"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--resamples", type=int, default=0, help="of the studentised and the percentile bootstrap")
    parser.add_argument("--patients", type=int, nargs="+", default=[20, 50, 200, 1000])
    chosen = parser.parse_args(arguments)
    for line in table(chosen.patients, chosen.studies, chosen.resamples):
        print(line, flush=True)


if __name__ == "__main__":
    main()
