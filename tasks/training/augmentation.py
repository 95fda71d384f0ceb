"""Seeded random changes of a patch and its reference, alike."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segscale.tasks.training.settings import Augmentation

_SMOOTHNESS = 32
"""Pixels over which elastic displacements agree; patches fold onto themselves only where `elastic` nears half of it."""


def augment(
    image: NDArray[np.float32],
    reference: NDArray[np.uint8],
    settings: Augmentation,
    generator: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """A changed copy of a normalised patch (P, P, C) and its reference (P, P), of the same shapes and types.

    Rotation, enlargement and elastic displacement are one warp: the image is interpolated linearly, the reference takes
    the nearest pixel and so has no value that it had not. What lies beyond the border is mirrored. Everything that is
    random comes from the generator; the arguments are left as they are.
    """
    if (settings.degrees or settings.scaling or settings.elastic) and generator.random() < settings.warped_share:
        image, reference = _warp(image, reference, _draw_sources(len(reference), settings, generator))
    if settings.flips:
        turns, mirrored = int(generator.integers(4)), bool(generator.integers(2))
        image, reference = np.rot90(image, turns), np.rot90(reference, turns)
        if mirrored:
            image, reference = image[:, ::-1], reference[:, ::-1]
    if settings.intensity or settings.shift:
        gain = 1 + generator.uniform(-settings.intensity, settings.intensity)
        image = image * np.float32(gain) + np.float32(generator.uniform(-settings.shift, settings.shift))
    return image, reference


def _draw_sources(side: int, settings: Augmentation, generator: np.random.Generator) -> NDArray[np.float64]:
    """(2, P, P): the row and the column that each pixel of the warped patch is taken from."""
    angle = math.radians(generator.uniform(-settings.degrees, settings.degrees))
    zoom = 1 + generator.uniform(-settings.scaling, settings.scaling)
    centre = (side - 1) / 2
    cosine, sine = ((np.arange(side) - centre) * factor / zoom for factor in (math.cos(angle), math.sin(angle)))
    sources = np.stack([cosine[:, np.newaxis] - sine, sine[:, np.newaxis] + cosine]) + centre
    return sources + _draw_displacements(side, settings.elastic, generator) if settings.elastic else sources


def _draw_displacements(side: int, elastic: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """(2, P, P) smooth displacements, pixels: normal at every pixel, E[dy^2 + dx^2] = elastic^2.

    Independent normal numbers on a coarse grid, blended by a Gaussian along rows and along columns. The weights of a
    pixel have a sum of squares of 1, so what they blend keeps its variance, at the border as well.
    """
    nodes = np.arange(-2, side // _SMOOTHNESS + 4) * _SMOOTHNESS
    weights = np.exp(-0.5 * ((np.arange(side)[:, np.newaxis] - nodes) / _SMOOTHNESS) ** 2)
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    drawn = generator.normal(0.0, elastic / math.sqrt(2), (2, len(nodes), len(nodes)))
    # Not a matrix product: its threads would wait for the cores that the network computes on.
    along_rows = np.einsum("pi,cij->cpj", weights, drawn)
    displacements: NDArray[np.float64] = np.einsum("cpj,jq->cpq", along_rows, np.ascontiguousarray(weights.T))
    return displacements


def _warp(
    image: NDArray[np.float32], reference: NDArray[np.uint8], sources: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    warped = np.empty_like(image)
    for channel in range(image.shape[-1]):
        warped[..., channel] = ndimage.map_coordinates(image[..., channel], sources, order=1, mode="mirror")
    return warped, ndimage.map_coordinates(reference, sources, order=0, mode="mirror")
