"""Surfaces as elements between voxels, each with its area: percentiles of distances that are weighted by it.

An element lies in the middle of 2x2x2 neighbouring voxels (2x2 pixels) of which some are in the mask and some are not,
beyond the image none. Its area is that of the surface which marching cubes draws there, with vertices halfway between
voxels: each group of its voxels that touch with faces is cut off by itself, and more than half of the voxels as those
that are missing. After Nikolov et al., "Deep learning to achieve clinically applicable segmentation of head and neck
anatomy for radiotherapy" (2018), whose definition of a robust Hausdorff distance this is.
"""

from itertools import product

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.bit_rows import BitRows, bit_rows, mask_of
from segscale.tasks.surfaces.borders import Border
from segscale.tasks.surfaces.masks import MaskPair
from segscale.tasks.surfaces.nearest import nearest

Corner = tuple[int, ...]


def weighted_percentile(pair: MaskPair, q: float, n_threads: int = 1) -> float:
    """The larger of the two directed percentiles: the least distance within which lies at least that share of the area.

    Both masks have voxels.
    """
    shapes = [element_shapes(rows[0], pair.solid) for rows in (pair.reference, pair.prediction)]
    borders = [_border(found, pair.solid) for found in shapes]
    areas = element_areas(pair.steps if pair.solid else pair.steps[1:])
    directed = []
    for own, other, found in zip(borders, borders[::-1], shapes, strict=True):
        distances, weights = nearest(own, other, pair.steps, n_threads), areas[found[_is_element(found, pair.solid)]]
        order = np.lexsort((weights, distances))
        shares = np.cumsum(weights[order]) / weights.sum()
        last = min(int(np.searchsorted(shares, q / 100)), len(order) - 1)
        directed.append(float(distances[order[last]]))
    return max(directed)


def element_shapes(rows: BitRows, solid: bool) -> NDArray[np.uint8]:
    """Which voxels around each point between voxels are in the mask, as bits in the order of `element_areas`.

    `rows` (depth, height, words); returns (depth + 1, height + 1, width + 1), without the first 1 of images.
    """
    mask = np.pad(mask_of(rows, rows.shape[-1] * 64), [(int(solid), int(solid)), (1, 1), (1, 1)]).view(np.uint8)
    shapes = np.zeros((mask.shape[0] - solid, mask.shape[1] - 1, mask.shape[2] - 1), np.uint8)
    for place, corner in enumerate(_corners(3 if solid else 2)):
        z, y, x = corner if solid else (0, *corner)
        shapes |= mask[z : z + shapes.shape[0], y : y + shapes.shape[1], x : x + shapes.shape[2]] << np.uint8(place)
    return shapes


def element_areas(spacing: NDArray[np.float64]) -> NDArray[np.float64]:
    """The area, or length, of an element by the bits of its voxels: (256,) of three steps from voxel to voxel, (16,) of
    two.
    """
    corners = _corners(len(spacing))
    areas = np.zeros(1 << len(corners))
    for shape in range(1, len(areas) - 1):
        inside = {corner for place, corner in enumerate(corners) if shape >> place & 1}
        if len(inside) > len(corners) // 2:
            inside = set(corners) - inside
        areas[shape] = sum(_cut(group, spacing) for group in _groups(inside))
    return areas


def _corners(n_axes: int) -> list[Corner]:
    return list(product((0, 1), repeat=n_axes))


def _is_element(shapes: NDArray[np.uint8], solid: bool) -> NDArray[np.bool_]:
    return np.asarray((shapes != 0) & (shapes != (255 if solid else 15)))


def _border(shapes: NDArray[np.uint8], solid: bool) -> Border:
    rows = bit_rows(_is_element(shapes, solid))
    flat = rows.reshape(-1, rows.shape[-1])
    starts = np.concatenate([[0], np.cumsum(np.bitwise_count(flat).sum(axis=1, dtype=np.int64))])
    return Border(flat, starts, (1, *rows.shape[:2]))


def _groups(corners: set[Corner]) -> list[list[Corner]]:
    """Corners that are joined by edges."""
    left, groups = set(corners), []
    while left:
        group = [left.pop()]
        for corner in group:
            joined = [other for other in left if _are_joined(corner, other)]
            left.difference_update(joined)
            group.extend(joined)
        groups.append(group)
    return groups


def _are_joined(corner: Corner, other: Corner) -> bool:
    return bool(np.count_nonzero(np.not_equal(corner, other)) == 1)


def _cut(group: list[Corner], spacing: NDArray[np.float64]) -> float:
    """Area of the surface that cuts these corners off from all others of a cell, or its length."""
    differs = np.ptp(np.array(group), axis=0).astype(bool)
    if len(spacing) == 2:
        return float(np.linalg.norm(spacing) / 2) if len(group) == 1 else float(spacing[differs][0])
    faces = np.prod(spacing) / spacing
    corner = np.linalg.norm(faces) / 8
    if len(group) == 1:
        return float(corner)
    if len(group) == 2:
        return float(np.linalg.norm(faces[~differs]) / 2)
    if differs.all():
        # A hexagon around a corner with all of its neighbours, or around four corners in a line.
        inner = [one for one in group if sum(_are_joined(one, other) for other in group) > 1]
        if len(inner) == 1:
            return float(6 * corner)
        middle = np.not_equal(inner[0], inner[1])
        return float(4 * corner + np.hypot(faces[middle], faces[~middle]).sum() / 4)
    across = faces[~differs][0]
    return float(across) if len(group) == 4 else float(across / 2 + 3 * corner)
