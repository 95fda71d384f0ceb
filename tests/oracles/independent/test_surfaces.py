"""Distances between surfaces beside SciPy, MedPy, MONAI, surface-distance, SimpleITK and panoptica, each name with its
tool: to 1e-9 where that computes in float64, to 1e-6 (relative) where it returns float32.

panoptica wants older versions of numpy and pandas than we do, so it has an environment of its own, whose Python
SEGSCALE_PANOPTICA names.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK
import surface_distance
import torch
from medpy.metric import binary
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.surface_dice import compute_surface_dice
from monai.metrics.surface_distance import compute_average_surface_distance
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_erosion
from scipy.spatial import cKDTree

from segscale.tasks.surfaces.distances import SurfaceDistances, surface_distances
from tests.oracles.independent.conftest import DATA

pytestmark = [
    pytest.mark.oracle,
    # surface-distance calls SciPy by names of long ago.
    pytest.mark.filterwarnings("ignore:Please (use|import):DeprecationWarning"),
]

Mask = NDArray[np.bool_]
TOLERANCE = 1.7
"""Of no pair here a distance: in the last digits tools round distances otherwise."""
PROGRAM = """
import json, sys
import numpy as np
from panoptica.metrics import assd, hausdorff_distance, normalized_surface_dice
masks = np.load(sys.argv[1])
given = dict(reference=masks["reference"], prediction=masks["prediction"], voxelspacing=tuple(masks["spacing"]))
print(json.dumps([float(value) for value in (
    hausdorff_distance._compute_hausdorff_distance(**given),
    hausdorff_distance._compute_hausdorff_distance95(**given),
    assd._average_symmetric_surface_distance(**given),
    normalized_surface_dice._compute_normalized_surface_dice(**given, threshold=float(sys.argv[2])),
)]))
"""


@dataclass(frozen=True, slots=True)
class Pair:
    reference: Mask
    prediction: Mask
    spacing: tuple[float, ...]

    @property
    def ours(self) -> SurfaceDistances:
        return surface_distances(self.reference, self.prediction, self.spacing)

    @property
    def batches(self) -> tuple[torch.Tensor, torch.Tensor]:
        """As MONAI takes them: prediction, then reference."""
        return torch.from_numpy(self.prediction)[None, None], torch.from_numpy(self.reference)[None, None]


def random_pair(seed: int, shape: tuple[int, ...], shares: tuple[float, float]) -> Pair:
    generator = np.random.default_rng(seed)
    spacing = tuple(generator.uniform(0.3, 3.0, len(shape)).round(3).tolist())
    return Pair(generator.random(shape) < shares[0], generator.random(shape) < shares[1], spacing)


def blobs(seed: int, shape: tuple[int, ...]) -> Pair:
    """Balls, and the same a little elsewhere; one of them only here, one only there."""
    generator, grid, masks = np.random.default_rng(seed), np.indices(shape), np.zeros((2, *shape), bool)
    for ball in range(5):
        centre, radius = generator.uniform(0, shape), generator.uniform(2, 5)
        for side in range(2):
            moved = (centre + side * generator.normal(0, 1, len(shape))).reshape(-1, *[1] * len(shape))
            if ball != side:
                masks[side] |= ((grid - moved) ** 2).sum(axis=0) < radius**2
    return Pair(masks[0], masks[1], (2.5, 0.8, 0.7)[-len(shape) :])


def single(shape: tuple[int, ...], places: tuple[tuple[int, ...], tuple[int, ...]], spacing: tuple[float, ...]) -> Pair:
    masks = np.zeros((2, *shape), bool)
    for mask, place in zip(masks, places, strict=True):
        mask[place] = True
    return Pair(masks[0], masks[1], spacing)


def checkerboard() -> Pair:
    z, y, x = np.indices((6, 9, 66))
    return Pair((z + y + x) % 2 == 0, (y + x) % 3 == 0, (1.0, 10.0, 1.3))


def plates() -> Pair:
    masks = np.zeros((2, 12, 20, 70), bool)
    masks[0, 3], masks[1, :, :, 64], masks[1, 0, 0] = True, True, True
    return Pair(masks[0], masks[1], (10.0, 1.0, 1.0))


def lesions(patient: str) -> Pair:
    """The lesions of a patient, and what a network might have said: moved, and less of it."""
    paths = sorted((DATA / "ms_lesions" / "masks").glob(f"{patient}_*.png"))
    if not paths:
        pytest.skip("the ms_lesions set is not here; set SEGSCALE_DATA")
    reference = np.stack([np.asarray(Image.open(path), bool) for path in paths])
    return Pair(
        reference, np.roll(reference, (1, 2, -1), (0, 1, 2)) & (np.indices(reference.shape)[2] % 7 > 0), (3.0, 0.9, 1.0)
    )


def spine(label: int | None) -> Pair:
    folder = DATA / "formats" / "panoptica_spine_pairs" / "semantic"
    if not folder.is_dir():
        pytest.skip("panoptica's pairs are not here; set SEGSCALE_DATA")
    volumes = [nibabel.load(folder / f"{name}.nii.gz") for name in ("ref", "pred")]
    reference, prediction = (
        np.asanyarray(volume.dataobj) > 0 if label is None else np.asanyarray(volume.dataobj) == label
        for volume in volumes
    )
    return Pair(reference, prediction, tuple(float(step) for step in volumes[0].header.get_zooms()))


MAKERS: dict[str, Callable[[], Pair]] = {
    "random volume": lambda: random_pair(1, (9, 20, 70), (0.3, 0.4)),
    "sparse volume": lambda: random_pair(2, (9, 20, 130), (0.01, 0.002)),
    "dense volume": lambda: random_pair(3, (7, 12, 64), (0.95, 0.9)),
    "random image": lambda: random_pair(4, (40, 65), (0.3, 0.1)),
    "balls": lambda: blobs(5, (20, 40, 63)),
    "discs": lambda: blobs(6, (60, 129)),
    "one voxel each": lambda: single((5, 6, 7), ((0, 0, 0), (4, 5, 6)), (1.0, 2.0, 0.5)),
    "one pixel each": lambda: single((3, 90), ((0, 0), (2, 89)), (1.0, 10.0)),
    "all of the image": lambda: Pair(np.ones((4, 5, 66), bool), np.ones((4, 5, 66), bool), (10.0, 1.0, 1.0)),
    "checkerboard": checkerboard,
    "plates": plates,
    "lesions of patient 7": lambda: lesions("p07"),
    "lesions of patient 19": lambda: lesions("p19"),
    "spine": lambda: spine(None),
    "one part of the spine": lambda: spine(45),
}
REAL = {"lesions of patient 7", "lesions of patient 19", "spine", "one part of the spine"}


@cache
def made(name: str) -> Pair:
    return MAKERS[name]()


@pytest.fixture(params=[pytest.param(name, marks=[pytest.mark.data] if name in REAL else []) for name in MAKERS])
def pair(request: pytest.FixtureRequest) -> Pair:
    found = made(request.param)
    if not (found.reference.any() and found.prediction.any()):
        pytest.skip("one of the two is empty")
    return found


def test_distances_are_those_of_a_tree_over_border_voxels(pair: Pair) -> None:
    points = [np.argwhere(mask & ~binary_erosion(mask)) * pair.spacing for mask in (pair.reference, pair.prediction)]
    ours = pair.ours
    for own, other, found in zip(points, points[::-1], (ours.from_reference, ours.from_prediction), strict=True):
        np.testing.assert_allclose(np.sort(found), np.sort(cKDTree(other).query(own)[0]), rtol=1e-12, atol=1e-12)


def test_medpy(pair: Pair) -> None:
    masks = pair.prediction, pair.reference, pair.spacing
    assert pair.ours.hd == pytest.approx(binary.hd(*masks), rel=1e-9)
    assert pair.ours.hd95_pooled == pytest.approx(binary.hd95(*masks), rel=1e-9)
    assert pair.ours.assd == pytest.approx(binary.assd(*masks), rel=1e-9)
    assert pair.ours.masd == pytest.approx((binary.asd(*masks) + binary.asd(*masks[1::-1], pair.spacing)) / 2, rel=1e-9)


def test_monai(pair: Pair) -> None:
    given: dict[str, Any] = {"include_background": True, "spacing": list(pair.spacing)}
    hd95 = compute_hausdorff_distance(*pair.batches, percentile=95, **given)
    assert pair.ours.hd95 == pytest.approx(hd95.item(), rel=1e-6)
    assert pair.ours.hd == pytest.approx(compute_hausdorff_distance(*pair.batches, **given).item(), rel=1e-6)
    average = compute_average_surface_distance(*pair.batches, symmetric=True, **given)
    assert pair.ours.assd == pytest.approx(average.item(), rel=1e-6)
    shares = compute_surface_dice(*pair.batches, class_thresholds=[TOLERANCE], **given)
    assert pair.ours.nsd(TOLERANCE) == pytest.approx(shares.item(), rel=1e-6)


def test_surface_distance(pair: Pair) -> None:
    theirs = surface_distance.compute_surface_distances(pair.reference, pair.prediction, pair.spacing)
    for q in (50, 95, 100):
        robust = surface_distance.compute_robust_hausdorff(theirs, q)
        assert pair.ours.percentile(q, "surface_weighted") == pytest.approx(robust, rel=1e-9)
    assert pair.ours.hd95_surface_weighted == pair.ours.percentile(95, "surface_weighted")


def test_panoptica(pair: Pair, tmp_path: Path) -> None:
    python = os.environ.get("SEGSCALE_PANOPTICA")
    if python is None:
        pytest.skip("SEGSCALE_PANOPTICA names no Python that has panoptica")
    np.savez(tmp_path / "pair.npz", reference=pair.reference, prediction=pair.prediction, spacing=pair.spacing)
    command = [python, "-c", PROGRAM, str(tmp_path / "pair.npz"), str(TOLERANCE)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": ""})
    hd, hd95, assd, nsd = json.loads(said.stdout.splitlines()[-1])
    ours = pair.ours
    assert ours.hd == pytest.approx(hd, rel=1e-9)
    assert ours.hd95_pooled == pytest.approx(hd95, rel=1e-9)
    # What panoptica calls ASSD is the mean of the two directed means; its NSD is the mean of the shares of both sides.
    assert ours.masd == pytest.approx(assd, rel=1e-9)
    sides = [np.mean(side <= TOLERANCE) for side in (ours.from_reference, ours.from_prediction)]
    assert np.mean(sides) == pytest.approx(nsd, rel=1e-9)


def test_five_tools_call_three_numbers_hd95() -> None:
    ours = made("balls").ours
    named = [ours.hd95, ours.hd95_pooled, ours.hd95_mean_directed, ours.hd95_surface_weighted]
    assert len({round(value, 3) for value in named}) == 4


def test_differs_from_simpleitk_which_measures_between_sets_of_voxels() -> None:
    """A solid cube and its shell have the same outer border, but voxels inside are far from all of the shell."""
    solid = np.zeros((25, 25, 25), bool)
    solid[2:23, 2:23, 2:23] = True
    shell = solid & ~binary_erosion(solid)
    measures = SimpleITK.HausdorffDistanceImageFilter()
    measures.Execute(*(SimpleITK.GetImageFromArray(mask.view(np.uint8)) for mask in (solid, shell)))
    assert measures.GetHausdorffDistance() == pytest.approx(10)
    # The shell's own inner side is a border too, but thin: its voxels are those of the outer border.
    assert surface_distances(solid, shell, (1, 1, 1)).hd == 0


def test_agrees_with_simpleitk_where_one_lies_outside_of_the_other() -> None:
    found = made("one voxel each")
    images = [SimpleITK.GetImageFromArray(mask.view(np.uint8)) for mask in (found.reference, found.prediction)]
    for image in images:
        image.SetSpacing(found.spacing[::-1])
    measures = SimpleITK.HausdorffDistanceImageFilter()
    measures.Execute(*images)
    assert found.ours.hd == pytest.approx(measures.GetHausdorffDistance(), rel=1e-6)


def test_differs_at_a_tolerance_that_is_a_distance() -> None:
    """Three steps of 0.8 mm are 2.4000000000000004 mm in floating point: ours counts them as within 2.4 mm."""
    found = single((1, 8), ((0, 0), (0, 3)), (1.0, 0.8))
    assert found.ours.hd > 2.4
    assert found.ours.nsd(2.4) == 1.0
    theirs = surface_distance.compute_surface_distances(found.reference, found.prediction, found.spacing)
    assert surface_distance.compute_surface_dice_at_tolerance(theirs, 2.4) < 1.0


def test_differs_where_masks_are_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """MedPy stops; MONAI says infinity of one and NaN of two empty masks, but as the 95th percentile always NaN, since
    that interpolates between infinities; surface-distance says infinity by a name that numpy 2 has no more, unless
    another library puts it back, as torchmetrics does. Ours is what `missing` says of one, and NaN of both.
    """
    nothing, something = np.zeros((4, 5), bool), np.ones((4, 5), bool)
    with pytest.raises(RuntimeError, match="does not contain any binary object"):
        binary.hd95(nothing, something)
    monkeypatch.delattr(np, "Inf", raising=False)
    with pytest.raises(AttributeError, match=r"np.Inf"):
        surface_distance.compute_surface_distances(something, nothing, (1, 1))
    monkeypatch.setattr(np, "Inf", np.inf, raising=False)
    theirs = surface_distance.compute_surface_distances(something, nothing, (1, 1))
    assert surface_distance.compute_robust_hausdorff(theirs, 95) == np.inf
    for prediction, reference, hd in (
        (nothing, something, np.inf),
        (something, nothing, np.inf),
        (nothing, nothing, np.nan),
    ):
        for percentile, theirs in ((None, hd), (95, np.nan)):
            batches = (torch.from_numpy(mask)[None, None] for mask in (prediction, reference))
            with pytest.warns(UserWarning, match="is all 0"):
                said = compute_hausdorff_distance(*batches, include_background=True, percentile=percentile).item()
            assert said == pytest.approx(theirs, nan_ok=True)
    assert surface_distances(something, nothing).hd95 == 5.0
    assert surface_distances(something, nothing, missing="inf").hd95 == np.inf
    assert np.isnan(surface_distances(nothing, nothing, missing="inf").hd95)
