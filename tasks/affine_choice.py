"""The choice between the two affines that a NIfTI file may have, its sform and its qform."""

from __future__ import annotations

from typing import Literal

import numpy.typing as npt

from segscale.errors import UnreadableImage
from segscale.tasks.geometry import Geometry, from_ras_affine
from segscale.tasks.grids import SPACING_ERROR, Grid, Size, described
from segscale.tasks.turns import CENTRES_ERROR, Turn, turn_onto

AffineName = Literal["sform", "qform"]


def chosen_geometry(
    sform: npt.ArrayLike | None, qform: npt.ArrayLike | None, size: Size, choice: AffineName | None, name: str
) -> Geometry | None:
    """The geometry of an array of `size` (D, H, W) whose file has these affines (4, 4), each None where its code is 0.

    None where both are: such a file tells nothing but its spacing. Of two that put all voxels to the same places (as
    `turn_onto` has it) the sform stands; of others that of `choice`, which decides nothing else. Raises UnreadableImage
    with both in words where nothing is chosen, and for an affine that stands and is no grid.
    """
    if qform is None or (choice == "sform" and sform is not None):
        return None if sform is None else from_ras_affine(sform, name)
    if sform is None or choice == "qform":
        return from_ras_affine(qform, name)
    by_sform, by_qform = _read(sform, name), _read(qform, name)
    match by_sform, by_qform:
        case Geometry(), Geometry() if turn_onto(Grid(size, by_sform), Grid(size, by_qform)) == Turn():
            return by_sform
    raise UnreadableImage(
        f"{name}: its two affines disagree. By its sform: {_said(by_sform, size)}. By its qform: "
        f"{_said(by_qform, size)}. Expected the same voxel centres (spacing within {SPACING_ERROR:.1%}, centres within "
        f'{CENTRES_ERROR:g} voxel): look which one is right, and set dataset.affine = "sform" or "qform"'
    )


def _read(affine: npt.ArrayLike, name: str) -> Geometry | str:
    """The geometry, or what is wrong with it."""
    try:
        return from_ras_affine(affine, name)
    except UnreadableImage as error:
        return str(error).removeprefix(f"{name}: ")


def _said(read: Geometry | str, size: Size) -> str:
    return read if isinstance(read, str) else described(Grid(size, read))
