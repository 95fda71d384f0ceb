"""Two folders of volumes to a report, from the start of the command: python benchmarks/volumes.py [--nnunet PYTHON]

`segscale evaluate` with what this machine has, in turns with nnU-Net's `compute_metrics_on_folder` with two processes,
which is what nnUNetv2_evaluate_folder runs, where --nnunet names a Python that has the package.

    organs            100 pairs of drawn label maps of 192x512x512 uint8, .nii.gz of 0.45 MB each
    organs, unchanged the same command again
    int16, float64    20 of them in wider types, as others write label maps
    noisy             20 of them with one voxel of fifty at random
    probabilities     10 of two classes, float32 with noise, against label maps
    long              one pair of 1000x512x512
    small             10,000 pairs of 16x32x32: the rate of the first and of the last thousand

All is written below a temporary folder (TMPDIR: 3 GB). Printed are seconds by the clock, and of the processors, of all
processes together; seconds of the stage that reads and counts, of nnU-Net those of its function without the imports of
its first process; pairs per second; how many times as long as ours the others take, whole and stage; and the memory of
the process that was started and of the largest that it started.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path

from made_volumes import SIDES, Draw, Sides, VolumePairs, noisy_organs, organs, probabilities, volume_pairs
from scoring import Contestant, checked, environment_of
from start_up import ROOT, Outcome, Version

CASES = ("organs", "int16", "float64", "noisy", "probabilities", "long", "small")
CLASSES = "background,kidney,tumour,cyst"
THOUSAND = 1000
MAIN = """
import atexit, resource, sys, time
from segscale.flows.cli.main import main
from segscale.flows import progress
begun, done, advance = [], [], progress.StageProgress.advance
enter = progress.StageProgress.__enter__
progress.StageProgress.__enter__ = lambda self: begun.append(time.monotonic()) or enter(self)
progress.StageProgress.advance = lambda self, n: (done.append((time.monotonic(), n)), advance(self, n))[1]
def say():
    largest = [resource.getrusage(who).ru_maxrss // 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print("MEMORY", *largest, file=sys.stderr)
    if done:
        print("STAGE", done[-1][0] - begun[0], file=sys.stderr)
        print("DONE", *(f"{at - begun[0]:.3f}:{n}" for at, n in done), file=sys.stderr)
atexit.register(say)
main()
"""
NNUNET = """
import resource, sys, time
from nnunetv2.evaluation.evaluate_predictions import compute_metrics_on_folder
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
if __name__ == "__main__":
    begin = time.monotonic()
    compute_metrics_on_folder(*sys.argv[1:4], SimpleITKIO(), ".nii.gz", [1, 2, 3], num_processes=2)
    print("STAGE", time.monotonic() - begin, file=sys.stderr)
    largest = [resource.getrusage(who).ru_maxrss // 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print("MEMORY", *largest, file=sys.stderr)
"""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nnunet", help="a Python that has the package nnunetv2")
    parser.add_argument("--only", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0, help="of the pairs that are drawn")
    parser.add_argument("--short", action="store_true", help="volumes of 8x64x64: shows that it runs")
    options = parser.parse_args(arguments)
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors")
    sides: Sides = (8, 64, 64) if options.short else SIDES
    drawn: dict[str, tuple[int, Sides, Draw]] = {
        "organs": (100, sides, organs),
        "int16": (20, sides, partial(organs, dtype="int16")),
        "float64": (20, sides, partial(organs, dtype="float64")),
        "noisy": (20, sides, noisy_organs),
        "probabilities": (10, sides, probabilities),
        "long": (1, (40, 64, 64) if options.short else (1000, 512, 512), organs),
        "small": (10_000, (16, 32, 32), organs),
    }
    with tempfile.TemporaryDirectory() as name:
        for case in options.only:
            count, of_case, draw = drawn[case]
            count = max(1, round(count * options.share))
            with gone_after(volume_pairs(Path(name) / case, count, of_case, draw)) as pairs:
                compare(case, pairs, list(contestants(case, pairs, options.nnunet)), options.rounds)
    print(f"load {os.getloadavg()[0]:.1f} at the end")


@contextmanager
def gone_after(pairs: VolumePairs) -> Iterator[VolumePairs]:
    """Pairs whose files, and all that was made of them, are removed at the end."""
    yield pairs
    shutil.rmtree(pairs.folder)


def contestants(case: str, pairs: VolumePairs, nnunet: str | None) -> Iterator[Contestant]:
    """This version, with nothing reported yet and, of the organs, with everything; and the others."""
    evaluate = evaluation(pairs, "background,organ" if case == "probabilities" else CLASSES)
    yield Contestant("now", partial(evaluate, anew=True))
    if case == "organs":
        yield Contestant("now, unchanged", partial(evaluate, anew=False))
    # It knows no probabilities, and of many small volumes it would measure nothing but its processes.
    if nnunet and case not in ("probabilities", "small"):
        yield beside(pairs, nnunet)


def evaluation(pairs: VolumePairs, classes: str) -> Callable[..., Outcome]:
    version = Version("now", ("-c", MAIN), pairs.folder, environment_of(ROOT))
    output = pairs.folder / "output"
    folders = ("--references", str(pairs.references), "--predictions", str(pairs.predictions))

    def evaluate(*, anew: bool) -> Outcome:
        if anew:
            shutil.rmtree(output, ignore_errors=True)
        return checked(version, version("evaluate", *folders, "--classes", classes, "--output", str(output), "--quiet"))

    return evaluate


def beside(pairs: VolumePairs, python: str) -> Contestant:
    """Two processes of nnU-Net."""
    # Its processes import the program anew, so it has to be a file.
    program = pairs.folder / "compute_metrics.py"
    program.write_text(NNUNET)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    version = Version("nnunetv2", (str(program),), pairs.folder, environment, python)
    arguments = (str(pairs.references), str(pairs.predictions), str(pairs.folder / "summary.json"))
    return Contestant(version.name, lambda: checked(version, version(*arguments)))


def compare(case: str, pairs: VolumePairs, who: Sequence[Contestant], rounds: int) -> None:
    """All in turns; each once before, unmeasured."""
    size = sum(path.stat().st_size for path in pairs.references.iterdir()) / pairs.count / 1e6
    print(f"\n{case}: {pairs.count} pairs, references of {size:.2f} MB each, {rounds} rounds", flush=True)
    for number in range(rounds + 1):
        for one in who:
            outcome = one.work()
            one.outcomes += [outcome] if number else []
    names = ("median", "lowest", "highest", "processors", "stage", "pairs/s", "times", "stage", "MB", "MB, largest")
    print(f"{'seconds':<22}" + "".join(f"{name:>12}" for name in names))
    first = [median_of(who[0], wall), median_of(who[0], stage)]
    for one in who:
        walls = [outcome.wall for outcome in one.outcomes]
        whole, counted = statistics.median(walls), median_of(one, stage)
        processors = statistics.median(outcome.processor for outcome in one.outcomes)
        memory = [max(of_one) for of_one in zip(*map(memory_of, one.outcomes), strict=True)]
        figures = (whole, min(walls), max(walls), processors, counted, pairs.count / whole, whole / first[0])
        print(
            f"{one.name:<22}"
            + "".join(f"{figure:12.2f}" for figure in (*figures, counted / first[1]))
            + "".join(f"{figure:12d}" for figure in memory),
            flush=True,
        )
    if case == "small":
        show_thousands(who[0].outcomes[-1], pairs.count)


def median_of(one: Contestant, figure: Callable[[Outcome], float]) -> float:
    return statistics.median(map(figure, one.outcomes))


def wall(outcome: Outcome) -> float:
    return outcome.wall


def stage(outcome: Outcome) -> float:
    """Seconds of reading and counting; 0 where nothing was to be done."""
    return float(said(outcome, "STAGE", "0")[0])


def memory_of(outcome: Outcome) -> list[int]:
    """Megabytes of the process, and of the largest that it started."""
    return [int(one) for one in said(outcome, "MEMORY", "0 0")]


def said(outcome: Outcome, word: str, nothing: str) -> list[str]:
    """What the program said behind a word."""
    lines = [line.split()[1:] for line in outcome.err.splitlines() if line.startswith(f"{word} ")]
    return lines[-1] if lines else nothing.split()


def show_thousands(outcome: Outcome, count: int) -> None:
    """Images per second of each part of a thousand, the first and the last beside all."""
    done, at = 0, [(0.0, 0)]
    for moment, n_images in (one.split(":") for one in said(outcome, "DONE", "")):
        done += int(n_images)
        if done - at[-1][1] >= min(THOUSAND, count / 10):
            at.append((float(moment), done))
    rates = [(images - before) / (end - begin) for (begin, before), (end, images) in pairwise(at) if end > begin]
    if len(rates) > 2:
        first, second, *_, last = rates
        print(f"images/s of the first thousand {first:.0f}, the second {second:.0f}, the last {last:.0f}")


if __name__ == "__main__":
    main()
