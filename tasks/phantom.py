"""The generated demo set: grey images with lesions of very different sizes, drawn from an index and a seed.

A few large lesions hold most of the foreground while most lesions are small and faint, as in real lesion sets. So a
network that misses the small ones scores well on summed counts and poorly on average over images.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from segscale.errors import ArgumentError

SITES = ("north", "south")
SIZES = ((96, 96), (128, 128), (160, 128), (192, 192), (256, 192))
"""Height and width, pixels."""

_EMPTY_EVERY = 4
_SMALLEST_RADIUS = 1.6
_LARGEST_RADIUS = 34.0


@dataclass(frozen=True, slots=True, eq=False)
class Phantom:
    """One drawn image with its reference."""

    image_id: str
    """phantom_0000 and so on."""
    site: str
    """Where it pretends to come from; south is noisier."""
    image: NDArray[np.uint8]
    """(H, W) grey values."""
    reference: NDArray[np.uint8]
    """(H, W), 255 on lesions, 0 elsewhere."""
    lesion_radii_pixels: tuple[float, ...]
    """Mean radius of every lesion drawn, empty for every fourth image."""


def draw_phantom(index: int, seed: int) -> Phantom:
    """Phantom `index` of the set `seed`: the same whatever else is drawn, and in whatever order.

    Images whose index leaves 3 when divided by 4 have no lesion.
    """
    if index < 0 or seed < 0:
        raise ArgumentError(f"index and seed must be 0 or more, got {index} and {seed}")
    generator = np.random.default_rng((seed, index))
    height, width = SIZES[generator.integers(len(SIZES))]
    site = SITES[generator.integers(len(SITES))]
    brightness = draw_background(generator, height, width)
    reference = np.zeros((height, width), dtype=bool)
    radii = () if index % _EMPTY_EVERY == _EMPTY_EVERY - 1 else draw_radii(generator, min(height, width))
    for radius in radii:
        coverage = _draw_blob(generator, height, width, radius)
        brightness += contrast(radius) * ndimage.gaussian_filter(coverage.astype(float), 0.8)
        reference |= coverage
    noise = 0.035 if site == "north" else 0.05
    brightness += generator.normal(0.0, noise, (height, width))
    return Phantom(
        image_id=f"phantom_{index:04d}",
        site=site,
        image=np.rint(255.0 * np.clip(brightness, 0.0, 1.0)).astype(np.uint8),
        reference=np.where(reference, 255, 0).astype(np.uint8),
        lesion_radii_pixels=radii,
    )


def write_phantoms(folder: Path, count: int, seed: int) -> Path:
    """Write `count` phantoms under `folder`: images/*.png, masks/*.png and manifest.csv, whose path is returned.

    The manifest has the columns image_id, image, reference (relative to it) and site.
    """
    if count < 1:
        raise ArgumentError(f"count must be 1 or more, got {count}")
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    manifest, unfinished = folder / "manifest.csv", folder / ".manifest.csv.partial"
    with unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("image_id", "image", "reference", "site"))
        for index in range(count):
            phantom = draw_phantom(index, seed)
            image, reference = f"images/{phantom.image_id}.png", f"masks/{phantom.image_id}.png"
            Image.fromarray(phantom.image).save(folder / image)
            Image.fromarray(phantom.reference).save(folder / reference)
            writer.writerow((phantom.image_id, image, reference, phantom.site))
    # A manifest says that its images are all there.
    return unfinished.replace(manifest)


def draw_background(generator: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    """Tissue of three scales on a slope, with bright vessels that resemble small lesions where they are cut across."""
    tissue = np.full((height, width), generator.uniform(0.28, 0.4))
    for scale, amplitude in ((24.0, 0.05), (7.0, 0.03), (2.0, 0.02)):
        tissue += amplitude * _smooth_noise(generator, height, width, scale)
    rows, columns = np.mgrid[0:height, 0:width]
    angle = generator.uniform(0.0, 2.0 * np.pi)
    tissue += 0.06 * (np.cos(angle) * (rows / height - 0.5) + np.sin(angle) * (columns / width - 0.5))
    # Where a smooth field crosses zero it traces long thin curves; a second field cuts them into pieces.
    field = _smooth_noise(generator, height, width, generator.uniform(12.0, 20.0))
    slope = np.hypot(*np.gradient(field)) + 1e-6
    vessels = np.exp(-((field / slope) ** 2) / 2.0) * (_smooth_noise(generator, height, width, 9.0) > 0.2)
    return tissue + 0.14 * ndimage.gaussian_filter(vessels, 0.6)


def _smooth_noise(generator: np.random.Generator, height: int, width: int, scale: float) -> NDArray[np.float64]:
    """Noise of mean 0 and standard deviation 1 whose structures are about `scale` pixels wide."""
    noise: NDArray[np.float64] = ndimage.gaussian_filter(generator.normal(size=(height, width)), scale, mode="reflect")
    noise -= noise.mean()
    noise /= noise.std()
    return noise


def draw_radii(generator: np.random.Generator, smaller_side: int) -> tuple[float, ...]:
    """Radii in pixels, one to four of them, with a Pareto tail: most are near the smallest, a few are large."""
    radii = _SMALLEST_RADIUS * (1.0 + generator.pareto(0.9, size=generator.integers(1, 5)))
    largest = min(_LARGEST_RADIUS, 0.3 * smaller_side)
    return tuple(float(radius) for radius in np.minimum(radii, largest))


def contrast(radius: float) -> float:
    """Brightness above the tissue: faint for small lesions, clear for large ones."""
    return 0.09 + 0.16 * (1.0 - float(np.exp(-(radius - _SMALLEST_RADIUS) / 6.0)))


@dataclass(frozen=True, slots=True)
class Blob:
    """An irregular ellipse, of any radius."""

    centre: NDArray[np.float64]
    stretch: float
    tilt: float
    waves: NDArray[np.float64]
    phases: NDArray[np.float64]

    def mask(self, height: int, width: int, radius: float) -> NDArray[np.bool_]:
        """Where it is, (H, W)."""
        rows, columns = np.mgrid[0:height, 0:width]
        down, right = rows - self.centre[0], columns - self.centre[1]
        along = down * np.cos(self.tilt) + right * np.sin(self.tilt)
        across = right * np.cos(self.tilt) - down * np.sin(self.tilt)
        angles = np.arctan2(across, along)
        waves = zip((2, 3, 5), self.waves, self.phases, strict=True)
        outline = radius * (1.0 + sum(w * np.cos(k * angles + p) for k, w, p in waves))
        inside: NDArray[np.bool_] = np.hypot(along / self.stretch, across * self.stretch) <= outline
        return inside


def blob_at_random(generator: np.random.Generator, height: int, width: int, radius: float) -> Blob:
    """Wholly or partly inside the image, its centre always inside."""
    margin = min(radius, 0.25 * min(height, width))
    centre = generator.uniform(margin, (height - 1 - margin, width - 1 - margin))
    stretch, tilt = np.sqrt(generator.uniform(1.0, 2.0)), generator.uniform(0.0, np.pi)
    return Blob(centre, stretch, tilt, generator.normal(0.0, 0.08, size=3), generator.uniform(0.0, 2.0 * np.pi, size=3))


def _draw_blob(generator: np.random.Generator, height: int, width: int, radius: float) -> NDArray[np.bool_]:
    return blob_at_random(generator, height, width, radius).mask(height, width, radius)
