"""How often the intervals of a report, of strata and of plans hold the truth: simulated studies.

    python benchmarks/report_intervals.py [--studies 2000] [--units 10 20 ...] [--report REPORT ...] [--csv FILE]

A line per kind of data, what is a unit and how many there are; in it the share of studies, in per cent, whose 95 %
interval held the truth: of the mean by percentile, bca, delta (tables of a report) and t (`Estimate`: gate, strata,
plan); the same of the pooled score; of the share of scores below 0.5, and of the mean of the worst 5 %. A dash: no
interval, in more than half of the studies. In brackets how many units tell as much, in the pooled score (Kish).

--report: images of that report are drawn with replacement, so that its own scores are the truth.
"""

from __future__ import annotations

import argparse
import csv
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from segscale.storage.reports import open_report
from segscale.tasks.decisions.estimate import Estimate
from segscale.tasks.decisions.tails import share_below, worst_mean
from segscale.tasks.metrics.bootstrap import UnitSums, influence, resample
from segscale.tasks.metrics.intervals import by_method
from segscale.tasks.metrics.paired_estimates import Units
from segscale.tasks.metrics.settings import ScoreSettings

Float64Array = npt.NDArray[np.float64]
Generator = np.random.Generator
UNITS = (10, 20, 50, 100, 200, 500, 1000, 5000)
POPULATION = 400_000
CONFIDENCE, LIMIT, WORST = 0.95, 0.5, 0.05
METHODS = ("percentile", "bca", "delta", "t")
KINDS = (*(f"mean {one}" for one in METHODS), *(f"pooled {one}" for one in METHODS), "share below", "worst mean")


@dataclass(frozen=True, slots=True)
class Study:
    """Images (n,) of U units."""

    scores: Float64Array
    sizes: Float64Array
    """Denominators of Dice."""
    unit: npt.NDArray[np.int64]


Draw = Callable[[Generator, int], Study]


def _of(
    draw: Callable[[Generator, Float64Array], tuple[Float64Array, Float64Array]],
) -> dict[str, Draw]:
    """An image each, and patients of 1 to 7 images that are alike."""

    def alone(generator: Generator, n: int) -> Study:
        unit = np.arange(n)
        return Study(*draw(generator, generator.normal(size=n)), unit)

    def patients(generator: Generator, n: int) -> Study:
        unit = np.repeat(np.arange(n), generator.integers(1, 8, n))
        alike = np.sqrt(0.5) * (generator.normal(size=n)[unit] + generator.normal(size=unit.size))
        return Study(*draw(generator, alike), unit)

    return {"images": alone, "patients of 1 to 7": patients}


def _score(level: Float64Array) -> Float64Array:
    return 1 / (1 + np.exp(-level))


def bounded(generator: Generator, z: Float64Array) -> tuple[Float64Array, Float64Array]:
    return _score(1.7 + z), np.exp(generator.normal(8, 0.5, z.size))


def bimodal(generator: Generator, z: Float64Array) -> tuple[Float64Array, Float64Array]:
    return np.where(z < -0.84, 0.1, 0.9) * generator.uniform(0.9, 1.1, z.size), np.exp(generator.normal(8, 0.5, z.size))


def zeros(generator: Generator, z: Float64Array) -> tuple[Float64Array, Float64Array]:
    return np.where(z < -1.645, 0.0, _score(1.7 + z)), np.exp(generator.normal(8, 1.0, z.size))


def heavy(generator: Generator, z: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Few images have most of the pixels, and larger lesions are found better."""
    sizes = np.minimum(1 + generator.pareto(1.2, z.size), 1e4)
    return _score(0.5 + 0.5 * np.log(sizes) + z), sizes


MADE = {"bounded": bounded, "bimodal": bimodal, "5 % zeros": zeros, "heavy-tailed sizes": heavy}


def of_report(path: str) -> dict[str, Draw]:
    """Its first foreground class: images with a score, drawn with replacement."""
    names = ["class_index", "status", "dice", "true_positive", "false_positive", "false_negative"]
    rows = open_report(path).table("per_image", names)
    rows = rows[(rows["class_index"] == 1) & (rows["status"] == "ok") & rows["dice"].notna()]
    scores = rows["dice"].to_numpy(np.float64)
    sizes = (2 * rows["true_positive"] + rows["false_positive"] + rows["false_negative"]).to_numpy(np.float64)

    def draw(generator: Generator, n: int) -> Study:
        places = np.arange(scores.size) if n == POPULATION else generator.integers(0, scores.size, n)
        return Study(scores[places], sizes[places], np.arange(places.size))

    return {"images": draw}


def numbers(study: Study) -> Float64Array:
    """(4,) mean, pooled score, share below the limit, mean of the worst."""
    unit = Units(study.unit, int(study.unit[-1]) + 1)
    tails = share_below(study.scores, unit, LIMIT, CONFIDENCE), worst_mean(study.scores, unit, WORST, CONFIDENCE)
    pooled = (study.scores * study.sizes).sum() / study.sizes.sum()
    return np.array([study.scores.mean(), pooled, *(one.value for one in tails)])


def intervals_of(study: Study, seed: int) -> tuple[dict[str, tuple[float, float]], float]:
    """Both ends by kind, and how many units tell as much in the pooled score."""
    count = int(study.unit[-1]) + 1

    def summed(values: Float64Array) -> Float64Array:
        return np.bincount(study.unit, values, count)

    sums = [
        UnitSums(summed(study.scores), summed(np.ones(study.scores.size)), 0.0),
        UnitSums(summed(study.scores * study.sizes), summed(study.sizes), 0.0),
    ]
    settings, found = ScoreSettings(confidence=CONFIDENCE), {}
    for name, resampled, one in zip(("mean", "pooled"), resample(sums, settings.bootstrap, [seed]), sums, strict=True):
        found |= {f"{name} {row['method']}": (row["low"], row["high"]) for row in by_method(resampled, settings)}
        estimate = Estimate(resampled.estimate, influence(one), one.denominator)
        found[f"{name} t"] = estimate.interval(CONFIDENCE)
    unit = Units(study.unit, count)
    share, worst = share_below(study.scores, unit, LIMIT, CONFIDENCE), worst_mean(study.scores, unit, WORST, CONFIDENCE)
    found |= {"share below": (share.low, share.high), "worst mean": (worst.low, worst.high)}
    return found, float(sums[1].denominator.sum() ** 2 / (sums[1].denominator ** 2).sum())


def coverage(draw: Draw, name: str, n: int, studies: int) -> tuple[dict[str, float], float]:
    """By kind the share of studies with an interval that hold the truth, NaN where most have none; and the units."""
    seed = zlib.crc32(name.encode())
    truth = numbers(draw(np.random.default_rng([seed, 1]), POPULATION))
    truths = dict(zip(KINDS, (*[truth[0]] * 4, *[truth[1]] * 4, truth[2], truth[3]), strict=True))
    generator = np.random.default_rng([seed, n])
    held, given, effective = dict.fromkeys(KINDS, 0), dict.fromkeys(KINDS, 0), []
    for study in range(studies):
        found, telling = intervals_of(draw(generator, n), study)
        effective.append(telling)
        for kind, (low, high) in found.items():
            if not np.isnan(low):
                given[kind] += 1
                held[kind] += bool(low <= truths[kind] <= high)
    shares = {kind: held[kind] / given[kind] if given[kind] > studies / 2 else float("nan") for kind in KINDS}
    return shares, float(np.median(effective))


def cells(reports: list[str]) -> Iterator[tuple[str, str, Draw]]:
    made = {name: _of(one) for name, one in MADE.items()}
    for name, draws in {**made, **{Path(path).parent.name: of_report(path) for path in reports}}.items():
        for what, draw in draws.items():
            yield name, what, draw


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--units", type=int, nargs="+", default=UNITS)
    parser.add_argument("--report", nargs="*", default=[])
    parser.add_argument("--csv", type=Path, help="write the shares there, too")
    chosen = parser.parse_args(arguments)
    rows = []
    print(f"| data | a unit | units | {' | '.join(KINDS)} |")
    print(f"|---|---|---:|{'---:|' * len(KINDS)}", flush=True)
    for n in chosen.units:
        for name, what, draw in cells(chosen.report):
            shares, effective = coverage(draw, f"{name}, {what}", n, chosen.studies)
            shown = ("-" if np.isnan(one) else f"{100 * one:.1f}" for one in shares.values())
            print(f"| {name} | {what} | {n} ({effective:.0f}) | {' | '.join(shown)} |", flush=True)
            rows.append({"data": name, "unit": what, "units": n, "effective": effective, **shares})
    if chosen.csv:
        with chosen.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
