"""Lesions of a pair of masks, beside others: python benchmarks/lesions.py [--others PYTHON] [--only CASE] [--short]

    lesions     40 balls of 4 to 20 voxels' radius in 300x512x512
    components  10,000 balls of 1 to 3 voxels' radius, likewise
    image       20 discs in 256x256

In the prediction each ball lies up to 3 voxels elsewhere, and one of ten is missing. Milliseconds of ours: masks to
rows of bits; components of both, pairs, matching by overlap, scores and rows from those bits; all of it from masks; and
the same one to one by IoU. PYTHON has cc3d, SimpleITK, scipy and panoptica: it labels both masks by 26 neighbours (8),
by cc3d with numpy's table of the pairs too, and by panoptica with everything it needs for panoptic quality (one repeat,
and of 10,000 components not at all: it goes through the masks once a lesion).

All take turns, each once before, unmeasured. Printed are the median, the lowest and the highest, the median of the time
of the processor, and how many times as long as ours from masks it is.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import segscale
from segscale.tasks.bit_rows import bit_rows
from segscale.tasks.lesions.components import components
from segscale.tasks.lesions.lesions import match_lesions

Mask = NDArray[np.bool_]
SPACING = (2.5, 0.8, 0.8)
SLOW = "panoptica"
PROGRAM = """
import json, sys, time
import numpy as np
pair = np.load(sys.argv[1])
masks = [pair["reference"].view(np.uint8), pair["prediction"].view(np.uint8)]
axes = masks[0].ndim

def cc3d():
    import cc3d
    return [cc3d.connected_components(mask, connectivity=26 if axes == 3 else 8) for mask in masks]

def cc3d_with_pairs():
    reference, prediction = cc3d()
    both = (reference > 0) & (prediction > 0)
    return np.unique(np.stack([reference[both], prediction[both]]), axis=1, return_counts=True)

def scipy():
    from scipy import ndimage
    return [ndimage.label(mask, np.ones((3,) * axes)) for mask in masks]

def simpleitk():
    import SimpleITK
    images = [SimpleITK.GetImageFromArray(mask) for mask in masks]
    return [SimpleITK.GetArrayViewFromImage(SimpleITK.ConnectedComponent(image, True)) for image in images]

def panoptica():
    from panoptica import ConnectedComponentsInstanceApproximator, InputType, Panoptica_Evaluator
    from panoptica.instance_matcher import MaxBipartiteMatching
    from panoptica.metrics import Metric
    evaluator = Panoptica_Evaluator(
        InputType.SEMANTIC, ConnectedComponentsInstanceApproximator(), MaxBipartiteMatching(),
        instance_metrics=[Metric.DSC, Metric.IOU], global_metrics=[],
    )
    return evaluator.evaluate(masks[1], masks[0], verbose=False)

for line in sys.stdin:
    name, calls = line.split()
    try:
        wall, processor = time.perf_counter(), time.process_time()
        for _ in range(int(calls)):
            globals()[name]()
        taken = [(time.perf_counter() - wall) / int(calls), (time.process_time() - processor) / int(calls)]
    except ImportError:
        taken = None
    print("TAKEN", json.dumps(taken), flush=True)
"""
OTHERS = ("cc3d", "cc3d_with_pairs", "simpleitk", "scipy", SLOW)
FROM_MASKS = "segscale, from masks"

Taken = tuple[float, float]
"""Seconds by the clock, and of the processor."""


@dataclass(frozen=True, slots=True)
class Case:
    """A pair of masks that is drawn."""

    shape: tuple[int, ...]
    number: int
    radii: tuple[int, int]
    others: tuple[str, ...] = OTHERS
    calls: int = 1
    """Of a turn: short ones one after the other."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """Somebody who takes turns."""

    name: str
    work: Callable[[], Taken | None]
    """Does it once; None where it is not installed."""
    repeats: int
    turns: list[Taken] = field(default_factory=list)


FULL = {
    "lesions": Case((300, 512, 512), 40, (4, 20)),
    "components": Case((300, 512, 512), 10_000, (1, 3), OTHERS[:-1]),
    "image": Case((256, 256), 20, (2, 9), calls=50),
}
SHORT = {
    "lesions": Case((40, 64, 64), 10, (2, 6)),
    "components": Case((40, 64, 64), 200, (1, 2), OTHERS[:-1]),
    "image": Case((64, 64), 8, (2, 4), calls=5),
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--others", help="a Python that has cc3d, SimpleITK, scipy and panoptica")
    parser.add_argument("--only", nargs="+", choices=FULL, default=list(FULL))
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--short", action="store_true", help="small masks and 2 repeats: shows that it runs")
    options = parser.parse_args(arguments)
    repeats = 2 if options.short else options.repeats
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors, medians of {repeats}")
    for name in options.only:
        case = (SHORT if options.short else FULL)[name]
        pair = made_pair(case)
        found = segscale.lesions(*pair, SPACING[-len(case.shape) :])
        counts = f"TP {found.true_positive}, FP {found.false_positive}, FN {found.false_negative}"
        print(f"\n{name}: {case.number} in {'x'.join(map(str, case.shape))}, {counts}", flush=True)
        with beside(options.others, pair, case, repeats) as others:
            show(measured([*ours(pair, case.calls, repeats), *others]))
    print(f"\nload {os.getloadavg()[0]:.1f} at the end")


def made_pair(case: Case) -> tuple[Mask, Mask]:
    """A ball in each of as many cells as there are balls, so that most are a component of their own."""
    generator = np.random.default_rng(case.number)
    reference, prediction = np.zeros(case.shape, np.bool_), np.zeros(case.shape, np.bool_)
    side = int((np.prod(case.shape) / case.number) ** (1 / len(case.shape)))
    while np.prod(np.array(case.shape) // side) < case.number:
        side -= 1
    cells = np.stack(np.meshgrid(*(np.arange(0, n - side + 1, side) for n in case.shape)), axis=-1)
    corners = cells.reshape(-1, len(case.shape))
    for corner in generator.permutation(corners)[: case.number]:
        radius = int(min(generator.integers(case.radii[0], case.radii[1] + 1), side // 2 - 1))
        centre = corner + generator.integers(radius, side - radius, len(case.shape))
        add_ball(reference, centre, radius)
        if generator.random() > 0.1:
            add_ball(prediction, centre + generator.integers(-3, 4, len(case.shape)), radius)
    return reference, prediction


def add_ball(mask: Mask, centre: NDArray[Any], radius: int) -> None:
    lows = [max(0, c - radius) for c in centre.tolist()]
    window = tuple(slice(low, max(0, c + radius + 1)) for low, c in zip(lows, centre.tolist(), strict=True))
    places = np.indices(mask[window].shape)
    offsets = (centre - lows).reshape(-1, *(1,) * mask.ndim)
    mask[window] |= ((places - offsets) ** 2).sum(axis=0) <= radius**2


def ours(pair: tuple[Mask, Mask], calls: int, repeats: int) -> Iterator[Contestant]:
    axes, width = pair[0].ndim, pair[0].shape[-1]
    spacing, neighbours = SPACING[-axes:], 26 if axes == 3 else 8
    volumes = [mask.reshape(-1, *mask.shape[-2:]) for mask in pair]
    rows = [bit_rows(volume) for volume in volumes]

    def from_bits() -> object:
        both = [components(bits, width, neighbours) for bits in rows]
        return match_lesions(*both, spacing_mm=spacing, axes=axes, rule="overlap", threshold=0.0)

    for name, work in (
        ("segscale, masks to bits", lambda: [bit_rows(volume) for volume in volumes]),
        ("segscale, from bits", from_bits),
        (FROM_MASKS, lambda: segscale.lesions(*pair, spacing)),
        ("segscale, one to one", lambda: segscale.lesions(*pair, spacing, rule="iou")),
    ):
        yield Contestant(name, lambda work=work: timed(work, calls), repeats)  # type: ignore[misc]


def timed(work: Callable[[], object], calls: int) -> Taken:
    """Of one call."""
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(calls):
        work()
    return (time.perf_counter() - wall) / calls, (time.process_time() - processor) / calls


@contextmanager
def beside(python: str | None, pair: tuple[Mask, Mask], case: Case, repeats: int) -> Iterator[list[Contestant]]:
    """The others, in a process of theirs that has read the masks."""
    if python is None:
        yield []
        return
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pair.npz"
        np.savez(path, reference=pair[0], prediction=pair[1])
        command, pipe = [python, "-c", PROGRAM, path], subprocess.PIPE
        with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) as process:

            def ask(name: str) -> Taken | None:
                assert process.stdin is not None
                assert process.stdout is not None
                print(name, case.calls, file=process.stdin, flush=True)
                # panoptica also prints how it wants to be cited.
                answer = next(line for line in process.stdout if line.startswith("TAKEN "))
                taken = json.loads(answer.removeprefix("TAKEN "))
                return None if taken is None else (taken[0], taken[1])

            yield [
                Contestant(name, lambda name=name: ask(name), 1 if name == SLOW else repeats)  # type: ignore[misc]
                for name in case.others
            ]


def measured(contestants: Sequence[Contestant]) -> Sequence[Contestant]:
    """All in turns, each once before, unmeasured."""
    present = [one for one in contestants if one.work() is not None]
    for number in range(max(one.repeats for one in present)):
        for one in present:
            if number < one.repeats:
                taken = one.work()
                assert taken is not None
                one.turns.append(taken)
    return contestants


def show(contestants: Sequence[Contestant]) -> None:
    """One line per contestant."""
    medians = {one.name: statistics.median(wall for wall, _ in one.turns) for one in contestants if one.turns}
    print(
        f"{'milliseconds':<26}" + "".join(f"{name:>12}" for name in ("median", "lowest", "highest", "processor", "is"))
    )
    for one in contestants:
        if not one.turns:
            print(f"{one.name:<26} not installed")
            continue
        walls = [wall for wall, _ in one.turns]
        processor = statistics.median(processor for _, processor in one.turns)
        figures = [1000 * seconds for seconds in (medians[one.name], min(walls), max(walls), processor)]
        times = f"{medians[one.name] / medians[FROM_MASKS]:11.1f}x"
        print(f"{one.name:<26}" + "".join(f"{figure:12.2f}" for figure in figures) + times, flush=True)


if __name__ == "__main__":
    main()
