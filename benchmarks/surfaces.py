"""Distances between surfaces, beside others: python benchmarks/surfaces.py [--others PYTHON] [--short]

    lesions      512x512x300 voxels of 2.5x0.8x0.8 mm, 40 balls on each side, of which four have none
    overlapping  two rough organs with 1.7 million border voxels each, one over the other
    apart        two such organs of 0.6 million that do not touch: every distance is large
    images       a stack of 2,000 pairs of 256x256, three discs each

Ours computes all that `surface.parquet` holds: six distances by their names, NSD at 1 mm, Boundary IoU, and both
histograms; each of the others one of these, or as many as it gives at once. They run where --others names a Python that
has them (the extra `oracles`, and scipy's KD-tree alone, with two workers, on border voxels that are given to it).
Everyone has a process of its own, in which the masks lie before. Our first call is not timed: it may compile. Printed
are the median of up to five calls (one, if that takes --patience seconds), their least and largest, how many times as
long as ours that is, pairs per second of images, and by how much the largest memory of the process has grown meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SHAPE, SPACING = (300, 512, 512), (2.5, 0.8, 0.8)
CALLS, WORKERS = 5, 2
Masks = Any
Score = Callable[[Masks, Masks, Sequence[float]], object]


def lesions(shape: tuple[int, ...]) -> tuple[Masks, Masks]:
    generator, masks = np.random.default_rng(0), np.zeros((2, *shape), bool)
    for ball in range(40):
        centre, radius = generator.uniform(0.15, 0.85, 3) * shape, generator.uniform(10, 20) * shape[2] / 512
        for side in range(2):
            if (ball % 10, side) not in ((0, 0), (1, 1)):
                _draw(masks[side], centre + side * generator.normal(0, 1, 3) * (1, 3, 3), radius)
    return masks[0], masks[1]


def _draw(mask: Masks, centre: Masks, radius: float) -> None:
    reach = radius / np.array(SPACING) + 1
    low, high = np.maximum(centre - reach, 0).astype(int), (centre + reach).astype(int) + 1
    part = tuple(slice(*ends) for ends in zip(low, high, strict=True))
    grid = np.ogrid[part]
    near = sum(((g - c) * s) ** 2 for g, c, s in zip(grid, centre, SPACING, strict=True)) <= radius**2
    mask[part] |= near[tuple(slice(n) for n in mask[part].shape)]


def _organ(
    shape: tuple[int, ...], centre: Sequence[float], radii: Sequence[float], phase: float, holes: float
) -> Masks:
    """An ellipsoid with a wavy surface, in which voxels are missing at random."""
    z, y, x = np.ogrid[tuple(slice(n) for n in shape)]
    parts = zip((z, y, x), centre, radii, shape, strict=True)
    inside = sum(((g / n - c) / r) ** 2 for g, c, r, n in parts)
    waves = 0.12 * np.sin(x / 5 + phase) * np.sin(y / 6) * np.sin(z / 4 + phase)
    return (inside + waves < 1) & (np.random.default_rng(int(phase * 10)).random(shape, np.float32) >= holes)


def overlapping(shape: tuple[int, ...]) -> tuple[Masks, Masks]:
    radii = (0.4, 0.39, 0.39)
    return _organ(shape, (0.5, 0.5, 0.5), radii, 1.0, 0.011), _organ(shape, (0.506, 0.504, 0.496), radii, 1.2, 0.011)


def apart(shape: tuple[int, ...]) -> tuple[Masks, Masks]:
    radii = (0.4, 0.39, 0.21)
    return _organ(shape, (0.5, 0.5, 0.25), radii, 1.0, 0.006), _organ(shape, (0.5, 0.5, 0.75), radii, 2.0, 0.006)


def images(shape: tuple[int, ...]) -> tuple[Masks, Masks]:
    generator, masks, grid = np.random.default_rng(0), np.zeros((2, *shape), bool), np.ogrid[: shape[1], : shape[2]]
    for image, _ in np.ndindex(shape[0], 3):
        centre, radius = generator.uniform(0.15, 0.85, 2) * shape[1:], generator.uniform(0.06, 0.16) * shape[1]
        for side in range(2):
            centre = centre + side * generator.normal(0, 4, 2)
            masks[side, image] |= (grid[0] - centre[0]) ** 2 + (grid[1] - centre[1]) ** 2 < radius**2
    return masks[0], masks[1]


PAIRS: dict[str, Callable[[tuple[int, ...]], tuple[Masks, Masks]]] = {
    "lesions": lesions, "overlapping": overlapping, "apart": apart, "images": images,
}  # fmt: skip


def ours() -> Score:
    from segscale import stack_surface_scores, surface_distances

    def score(reference: Masks, prediction: Masks, spacing: Sequence[float]) -> object:
        if len(spacing) == 2:
            return stack_surface_scores(reference, prediction, spacing, tolerances_mm=(1.0,), n_threads=WORKERS)
        found = surface_distances(reference, prediction, spacing, n_threads=WORKERS)
        names = ("hd", "hd95", "hd95_pooled", "hd95_mean_directed", "assd", "masd", "boundary_iou")
        return [getattr(found, name) for name in names], found.nsd(1.0), found.histograms()

    return score


def _each(score: Score) -> Score:
    """One image after the other; the first hundred stand for all."""

    def all_of_them(reference: Masks, prediction: Masks, spacing: Sequence[float]) -> object:
        if len(spacing) == 3:
            return score(reference, prediction, spacing)
        return [score(r, p, spacing) for r, p in zip(reference[:100], prediction[:100], strict=True)]

    return all_of_them


def medpy_hd95() -> Score:
    from medpy.metric import binary

    return _each(lambda reference, prediction, spacing: binary.hd95(prediction, reference, spacing))


def medpy_assd() -> Score:
    from medpy.metric import binary

    return _each(lambda reference, prediction, spacing: binary.assd(prediction, reference, spacing))


def _monai(function: str, **settings: Any) -> Score:
    import torch
    from monai import metrics

    torch.set_num_threads(WORKERS)

    def score(reference: Masks, prediction: Masks, spacing: Sequence[float]) -> object:
        given = (torch.from_numpy(mask)[None, None] for mask in (prediction, reference))
        return getattr(metrics, function)(*given, include_background=True, spacing=list(spacing), **settings)

    return _each(score)


def surface_distance_hd95() -> Score:
    import surface_distance

    def score(reference: Masks, prediction: Masks, spacing: Sequence[float]) -> object:
        return surface_distance.compute_robust_hausdorff(
            surface_distance.compute_surface_distances(reference, prediction, spacing), 95
        )

    return _each(score)


def panoptica_hd95() -> Score:
    from panoptica.metrics import hausdorff_distance

    return _each(
        lambda r, p, spacing: hausdorff_distance._compute_hausdorff_distance95(r, p, voxelspacing=tuple(spacing))
    )


def simpleitk_hd() -> Score:
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(WORKERS)

    def score(reference: Masks, prediction: Masks, spacing: Sequence[float]) -> object:
        given = [SimpleITK.GetImageFromArray(mask.view(np.uint8)) for mask in (reference, prediction)]
        for image in given:
            image.SetSpacing(list(spacing)[::-1])
        measures = SimpleITK.HausdorffDistanceImageFilter()
        measures.Execute(*given)
        return measures.GetHausdorffDistance()

    return _each(score)


def kd_tree() -> Score:
    """On border voxels, which are found before time is taken."""
    from scipy.ndimage import binary_erosion
    from scipy.spatial import cKDTree

    known: list[Masks] = []

    def score(reference: Masks, prediction: Masks, spacing: Sequence[float]) -> object:
        if len(spacing) == 2:
            raise ImportError("of volumes only")
        if not known:
            known.extend(np.argwhere(mask & ~binary_erosion(mask)) * spacing for mask in (reference, prediction))
        return [cKDTree(b).query(a, workers=WORKERS) for a, b in (known, known[::-1])]

    return score


CONTESTANTS: dict[str, Callable[[], Score]] = {
    "segscale, all of them": ours,
    "scipy KD-tree, given borders": kd_tree,
    "MONAI HD95": lambda: _monai("compute_hausdorff_distance", percentile=95),
    "MONAI NSD": lambda: _monai("compute_surface_dice", class_thresholds=[1.0]),
    "MONAI ASSD": lambda: _monai("compute_average_surface_distance", symmetric=True),
    "surface-distance HD95": surface_distance_hd95,
    "panoptica HD95": panoptica_hd95,
    "SimpleITK HD": simpleitk_hd,
    "MedPy HD95": medpy_hd95,
    "MedPy ASSD": medpy_assd,
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--others", help="a Python that has the other tools")
    parser.add_argument("--short", action="store_true", help="small masks: shows that it runs")
    parser.add_argument("--only", choices=PAIRS, nargs="+", default=list(PAIRS))
    parser.add_argument("--patience", type=float, default=10.0, help="of a call that is made once, in seconds")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(timed(*options.one, options.patience)))
        return
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    for pair in options.only:
        with tempfile.TemporaryDirectory() as folder:
            shape = (2000, 256, 256) if pair == "images" else SHAPE
            masks = PAIRS[pair](tuple(n // 8 for n in shape) if options.short else shape)
            np.save(Path(folder) / f"{pair}.npy", np.stack(masks))
            print(f"\n{pair}: {', '.join(f'{mask.sum():,}' for mask in masks)} voxels")
            show(pair, Path(folder), options.others, options.patience)


def show(pair: str, folder: Path, others: str | None, patience: float) -> None:
    """A line for each contestant."""
    print(f"{'':<30}  median s     least   largest  times ours" + (" pairs/s" if pair == "images" else " grown MB"))
    first = None
    for name in CONTESTANTS:
        python = sys.executable if name.startswith("segscale") else others
        if python is None:
            continue
        command = [python, __file__, "--one", name, str(folder / f"{pair}.npy"), "--patience", str(patience)]
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        if said.returncode:
            print(f"{name:<30}  {said.stderr.strip().splitlines()[-1][:80]}")
            continue
        result = json.loads(said.stdout.splitlines()[-1])
        median = statistics.median(result["seconds"])
        first = first or median
        numbers = f"{median:10.4f}{min(result['seconds']):10.4f}{max(result['seconds']):10.4f}{median / first:11.1f}x"
        print(f"{name:<30}{numbers}{1 / median if pair == 'images' else result['grown']:9.0f}", flush=True)


def timed(name: str, path: str, patience: float) -> dict[str, Any]:
    """Seconds of each call, for a pair, and megabytes."""
    score, (reference, prediction) = CONTESTANTS[name](), np.load(path)
    is_stack = Path(path).stem == "images"
    spacing, before = SPACING[1:] if is_stack else SPACING, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    n_pairs = 1 if not is_stack else len(reference) if name.startswith("segscale") else min(100, len(reference))
    seconds: list[float] = []
    if name.startswith("segscale"):
        score(reference, prediction, spacing)
    while len(seconds) < CALLS and (not seconds or seconds[0] < patience):
        start = time.perf_counter()
        score(reference, prediction, spacing)
        seconds.append(time.perf_counter() - start)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {"seconds": [one / n_pairs for one in seconds], "grown": grown}


if __name__ == "__main__":
    main()
