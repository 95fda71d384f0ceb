"""Two folders of label maps to a report, from the start of the command: python benchmarks/scoring.py [--base DIR]

`segscale evaluate` with what this machine has, in turns with those of --only that are there: an earlier version, whose
checkout is DIR (git worktree add DIR 0bb167e; it wants images, and two workers are asked for), and nnU-Net's
`compute_metrics_on_folder` with two processes: of the package, where --nnunet names a Python that has it, else as
benchmarks/nnunet_formula.py writes it down, which has less to import.

    nuclei            503 pairs of real PNGs; nothing is reported yet, what is compiled lies on disk
    pairs             20,000 of them, the nuclei under many names
    small             100,000 pairs of drawn 64x64 PNGs
    ..., unchanged    the same command again
    stages            where the seconds of the processors go in the first run over either, and the least they could be
    stacks            label maps and codes of probabilities, counted in stacks and one by one, on one thread

Real images are read from SEGSCALE_DATA/nuclei, predictions are these masks, shifted; all is written below a temporary
folder (TMPDIR). Printed are seconds by the clock, and of the processors, of all processes together; pairs per second;
and the memory of the process that was started, without those that it starts.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from made_pairs import FOREGROUND, SIDE, Pairs, nuclei_pairs, small_pairs
from numpy.typing import NDArray
from scoring_stages import show_stages
from start_up import OLD_MAIN, ROOT, Outcome, Version, commit_of

from segscale.tasks.metrics.overlap import count_overlap
from segscale.tasks.metrics.stacks import count_overlaps

DATA = Path(os.environ.get("SEGSCALE_DATA", ROOT.parent / "shared" / "data")) / "nuclei"
CASES = ("nuclei", "pairs", "small", "stages", "stacks")
MAIN = """
import atexit, resource, sys
from segscale.flows.cli.main import main
atexit.register(lambda: print("MEMORY", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr))
main()
"""
NNUNET = """
import sys
from nnunetv2.evaluation.evaluate_predictions import compute_metrics_on_folder
from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
if __name__ == "__main__":
    compute_metrics_on_folder(*sys.argv[1:4], NaturalImage2DIO(), ".png", [LABEL], num_processes=2)
"""
STACK, STACK_SECONDS = 4096, 0.5
MOST_ROUNDS = {"pairs": 3, "small": 3}


@dataclass(slots=True)
class Contestant:
    """Who does it, and what it cost."""

    name: str
    work: Callable[[], Outcome]
    outcomes: list[Outcome] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, help="the checkout of the earlier version")
    parser.add_argument("--nnunet", help="a Python that has the package nnunetv2")
    parser.add_argument("--only", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--share", type=float, default=1.0, help="of the pairs and small ones that are drawn")
    options = parser.parse_args(arguments)
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "nuclei" in options.only:
            nuclei = nuclei_pairs(folder / "nuclei", DATA, 1)
            compare("nuclei", nuclei, with_others(nuclei, folder, options), options.rounds)
        if "pairs" in options.only:
            n_copies = max(1, round(20_000 * options.share / 503))
            with gone_after(nuclei_pairs(folder / "pairs", DATA, n_copies)) as pairs:
                contestants = [*ours(pairs, folder), nnunet(pairs, folder, options.nnunet)]
                compare("pairs", pairs, contestants, min(options.rounds, MOST_ROUNDS["pairs"]))
        if "small" in options.only:
            with gone_after(small_pairs(folder / "small", round(100_000 * options.share))) as small:
                compare("small", small, ours(small, folder), min(options.rounds, MOST_ROUNDS["small"]))
        if "stages" in options.only:
            n_copies = max(1, round(20_000 * options.share / 503))
            with gone_after(nuclei_pairs(folder / "staged-pairs", DATA, n_copies)) as pairs:
                show_stages(pairs, folder, options.rounds)
            with gone_after(small_pairs(folder / "staged-small", round(100_000 * options.share))) as small:
                show_stages(small, folder, options.rounds)
        if "stacks" in options.only:
            count_stacks(options.rounds)
    print(f"load {os.getloadavg()[0]:.1f} at the end")


@contextmanager
def gone_after(pairs: Pairs) -> Iterator[Pairs]:
    """Pairs whose files are removed at the end."""
    yield pairs
    shutil.rmtree(pairs.folder)


def environment_of(checkout: Path) -> dict[str, str]:
    """Nothing that Python or Prefect is told elsewhere."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "PYTHON"))}
    return {**kept, "PYTHONPATH": str(checkout), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}


def ours(pairs: Pairs, folder: Path) -> list[Contestant]:
    """This version, with nothing reported yet and with everything."""
    version = Version("now", ("-c", MAIN), folder, environment_of(ROOT))
    output = folder / f"{pairs.folder.name}-now"

    def evaluate(*, anew: bool) -> Outcome:
        if anew:
            shutil.rmtree(output, ignore_errors=True)
        folders = ("--predictions", str(pairs.predictions), "--references", str(pairs.references))
        return checked(version, version("evaluate", *folders, "--output", str(output), "--quiet"))

    return [
        Contestant("now", partial(evaluate, anew=True)),
        Contestant("now, unchanged", partial(evaluate, anew=False)),
    ]


def with_others(pairs: Pairs, folder: Path, options: argparse.Namespace) -> list[Contestant]:
    return [
        *ours(pairs, folder),
        *([base(pairs, folder, options.base.resolve())] if options.base else []),
        nnunet(pairs, folder, options.nnunet),
    ]


def base(pairs: Pairs, folder: Path, checkout: Path) -> Contestant:
    """An earlier version, which has a configuration, and images in it."""
    work = folder / f"{pairs.folder.name}-base"
    start = ("-m", "segscale") if (checkout / "segscale" / "__main__.py").exists() else ("-c", OLD_MAIN)
    version = Version(commit_of(checkout), start, work, environment_of(checkout))
    text = (
        f'[dataset]\nname = "pairs"\nimages = "{pairs.images}/*.png"\nreferences = "{pairs.references}/*.png"\n'
        f'label_values = [0, {FOREGROUND}]\n[predictions]\npath = "{pairs.predictions}/*.png"\n'
        '[store]\npath = "store"\n[report]\npath = "reports"\n[cluster]\nworkers = 2\n'
    )

    def run() -> Outcome:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        (work / "config.toml").write_text(text)
        return checked(version, version("run", "config.toml"))

    return Contestant(version.name, run)


def nnunet(pairs: Pairs, folder: Path, python: str | None) -> Contestant:
    """Two processes of the package, or of its formula."""
    arguments = (str(pairs.references), str(pairs.predictions), str(folder / "summary.json"))
    if python is None:
        version = Version(
            "nnU-Net's formula", (str(ROOT / "benchmarks" / "nnunet_formula.py"),), folder, environment_of(ROOT)
        )
        return Contestant(version.name, lambda: checked(version, version(*arguments)))
    # Its processes import the program anew, so it has to be a file.
    program = folder / "compute_metrics.py"
    program.write_text(NNUNET.replace("LABEL", str(FOREGROUND)))
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    version = Version("nnunetv2", (str(program),), folder, environment, python)
    return Contestant(version.name, lambda: checked(version, version(*arguments)))


def checked(version: Version, outcome: Outcome) -> Outcome:
    if outcome.code:
        raise RuntimeError(f"{version.name}: exit code {outcome.code}: {outcome.err[-3000:]}")
    return outcome


def compare(case: str, pairs: Pairs, contestants: Sequence[Contestant], rounds: int) -> None:
    """All in turns; each once before, unmeasured."""
    print(f"\n{case}: {pairs.count} pairs, {rounds} rounds", flush=True)
    for number in range(rounds + 1):
        for one in contestants:
            outcome = one.work()
            one.outcomes += [outcome] if number else []
    print(
        f"{'seconds':<22}{'median':>9}{'lowest':>9}{'highest':>9}{'processors':>12}{'pairs/s':>10}{'times':>8}{'MB':>7}"
    )
    first = statistics.median(outcome.wall for outcome in contestants[0].outcomes)
    for one in contestants:
        walls = [outcome.wall for outcome in one.outcomes]
        median = statistics.median(walls)
        processors = statistics.median(outcome.processor for outcome in one.outcomes)
        print(
            f"{one.name:<22}{median:9.2f}{min(walls):9.2f}{max(walls):9.2f}{processors:12.2f}"
            f"{pairs.count / median:10.0f}{median / first:7.2f}x{max(map(memory_of, one.outcomes)):7.0f}",
            flush=True,
        )


def memory_of(outcome: Outcome) -> float:
    """Megabytes, as `MAIN` says them; 0 of others."""
    said = [line.split()[1] for line in outcome.err.splitlines() if line.startswith("MEMORY ")]
    return int(said[-1]) / 1024 if said else 0


def count_stacks(rounds: int) -> None:
    """Gigapixels of references a second, on one thread."""
    generator = np.random.default_rng(0)
    references = np.zeros((STACK, SIDE, SIDE), np.uint8)
    references[:, 20:40, 10:50] = 1
    label_maps = np.roll(references, 2, 1)
    codes = np.where(label_maps > 0, generator.integers(128, 256, references.shape), 3).astype(np.uint8)
    print(f"\nstacks of {STACK} images of {SIDE}x{SIDE}, Gpixel/s{'median':>12}{'lowest':>9}{'highest':>9}")
    for name, given in (("label maps", {"label_maps": label_maps}), ("codes", {"probabilities": codes})):
        show_rates(
            f"{name}, in a stack", rounds, references.size, partial(count_overlaps, references, n_classes=2, **given)
        )
        show_rates(
            f"{name}, one by one", rounds, references.size, partial(count_each, references, name, *given.values())
        )


def count_each(references: NDArray[np.uint8], kind: str, predictions: NDArray[np.uint8]) -> None:
    for reference, prediction in zip(references, predictions, strict=True):
        if kind == "codes":
            count_overlap(reference, n_classes=2, probabilities=prediction)
        else:
            count_overlap(reference, n_classes=2, label_map=prediction)


def show_rates(name: str, rounds: int, n_pixels: int, count: Callable[[], object]) -> None:
    count()
    rates = []
    for _ in range(rounds):
        begin, n_calls = time.perf_counter(), 0
        while time.perf_counter() - begin < STACK_SECONDS:
            count()
            n_calls += 1
        rates.append(n_calls * n_pixels / (time.perf_counter() - begin) / 1e9)
    print(f"{name:<44}{statistics.median(rates):12.2f}{min(rates):9.2f}{max(rates):9.2f}", flush=True)


if __name__ == "__main__":
    main()
