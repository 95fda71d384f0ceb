"""The gate at a million images: how long, and how much memory.

    python benchmarks/decisions.py [--images 1000000] [--strata 50]

Both runs are drawn in memory, with patients of 1 to 7 images at so many sites: what is measured is everything between
paired counts and verdicts. The whole set and its strata are judged, one foreground class.
Nothing is resampled: benchmarks/interval_coverage.py says why not.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
from made_scores import Made, draw, pairs_of

from segscale.tasks.decisions.answers import answers
from segscale.tasks.decisions.lost import lost_images
from segscale.tasks.decisions.questions import asked
from segscale.tasks.decisions.verdicts import judged, verdict_of
from segscale.tasks.metrics.settings import ScoreSettings


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--strata", type=int, default=50)
    chosen = parser.parse_args(arguments)
    drawn = draw(Made(patients=chosen.images // 4), np.random.default_rng(1))
    sites = np.array([f"s{site:03}" for site in range(chosen.strata)], object)[drawn.patient % chosen.strata]
    pairs = pairs_of([drawn], [sites])
    lost = lost_images(pairs, pairs.panel.images)
    settings = ScoreSettings(group_by=("site",), cluster_by="patient_id", bootstrap=0, batch_sizes=())
    questions = asked({"dice": 0.01}, {}, (), ("per_sample", "pooled"))
    before, start, started = _memory(), time.perf_counter(), time.process_time()
    rows = judged(list(answers(pairs, questions, settings, "last", lost)), settings.confidence)
    seconds, of_processor = time.perf_counter() - start, time.process_time() - started
    print(f"gate: {drawn.base.size} images, {chosen.strata} strata, {len(rows)} questions: {verdict_of(rows)}")
    print(f"seconds {seconds:.2f}, of a processor {of_processor:.2f}")
    print(f"GB at most {_memory():.2f}, of which {before:.2f} were there before")


def _memory() -> float:
    """The most that this process had at once, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    main()
