"""The generated demo set of volumes: slices of the demo images, thick ones, written as an nnU-Net raw folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segscale.errors import ArgumentError
from segscale.tasks.geometry import Geometry, ras_affine
from segscale.tasks.phantom import blob_at_random, contrast, draw_background, draw_radii

DATASET = "Dataset001_Phantom"
"""The folder of the set, as nnU-Net calls one."""
SPACINGS = ((3.0, 0.8, 0.8), (4.5, 0.7, 0.7), (2.5, 1.0, 1.0))
"""Millimetres along slices, rows and columns."""
_IN_PLANE, _DEPTHS = (96, 128), (12, 20)
_AXIAL = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))


@dataclass(frozen=True, slots=True, eq=False)
class PhantomVolume:
    """One drawn volume with its reference, both (D, H, W), their slices along D."""

    case: str
    """phantom_000 and so on."""
    image: NDArray[np.uint8]
    reference: NDArray[np.uint8]
    """1 on lesions, 0 elsewhere."""
    geometry: Geometry


def draw_phantom_volume(index: int, seed: int) -> PhantomVolume:
    """Volume `index` of the set `seed`: the same whatever else is drawn. Every fourth one has no lesion."""
    if index < 0 or seed < 0:
        raise ArgumentError(f"index and seed must be 0 or more, got {index} and {seed}")
    generator = np.random.default_rng((seed, index, 3))
    depth, (height, width) = int(generator.integers(*_DEPTHS)), generator.choice(_IN_PLANE, 2).tolist()
    spacing = SPACINGS[generator.integers(len(SPACINGS))]
    # Tissue changes slowly from slice to slice.
    first, last = (draw_background(generator, height, width) for _ in range(2))
    along = np.linspace(0.0, 1.0, depth)[:, None, None]
    brightness = (1.0 - along) * first + along * last
    reference = np.zeros((depth, height, width), np.bool_)
    for radius in () if index % 4 == 3 else draw_radii(generator, min(height, width)):
        blob = blob_at_random(generator, height, width, radius)
        middle = generator.uniform(0, depth - 1)
        # A ball in millimetres: thick slices cut it a few times alone.
        distances = (np.arange(depth) - middle) * spacing[0] / spacing[1]
        across = np.sqrt(np.maximum(radius**2 - distances**2, 0.0))
        for plane in np.flatnonzero(across >= 1.0):
            coverage = blob.mask(height, width, float(across[plane]))
            brightness[plane] += contrast(radius) * ndimage.gaussian_filter(coverage.astype(float), 0.8)
            reference[plane] |= coverage
    brightness += generator.normal(0.0, 0.035, brightness.shape)
    image = np.rint(255.0 * np.clip(brightness, 0.0, 1.0)).astype(np.uint8)
    origin = tuple(generator.uniform(-100, 100, 3).round(1).tolist())
    return PhantomVolume(f"phantom_{index:03d}", image, reference.astype(np.uint8), Geometry(spacing, _AXIAL, origin))


def write_phantom_volumes(folder: Path, count: int, seed: int) -> Path:
    """Write `count` volumes below `folder` as an nnU-Net raw data set, whose folder is returned.

    Every third volume is stored as a sagittal scanner does, its thick slices along another axis.
    """
    import nibabel

    if count < 1:
        raise ArgumentError(f"count must be 1 or more, got {count}")
    root = folder / DATASET
    for name in ("imagesTr", "labelsTr"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for index in range(count):
        volume = draw_phantom_volume(index, seed)
        for values, name in (
            (volume.image, f"imagesTr/{volume.case}_0000"),
            (volume.reference, f"labelsTr/{volume.case}"),
        ):
            stored, affine = values.T, ras_affine(volume.geometry)
            if index % 3 == 2:
                stored, affine = np.moveaxis(stored, 2, 0), affine[:, [2, 0, 1, 3]]
            image = nibabel.Nifti1Image(np.ascontiguousarray(stored), affine)
            image.header.set_xyzt_units("mm")
            nibabel.save(image, root / f"{name}.nii.gz")
    about = {
        "channel_names": {"0": "drawn"},
        "labels": {"background": 0, "lesion": 1},
        "numTraining": count,
        "file_ending": ".nii.gz",
    }
    # It says that all volumes are there.
    (root / "dataset.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    return root
