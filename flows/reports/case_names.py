"""Which image of a report each case of nnU-Net's summary.json is, by the names of its files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from segscale.errors import ArgumentError
from segscale.storage.file_names import stem

NOWHERE = -1
"""In place of an image: the report has none of that name."""


def images_of(cases: pd.DataFrame, image_ids: Sequence[str]) -> NDArray[np.int64]:
    """(cases,) the place of each case's image among `image_ids`, or NOWHERE.

    A path belongs to the image whose id it ends with, at a folder's edge: with the ending of the file or without it, so
    that `labelsTs/p1/case_7.nii.gz` is of `case_7` as of `p1/case_7`. One of the two files is enough.

    Raises ArgumentError where that can be read in two ways: a path of two images, files of one case that are of two, or
    two cases of one image.
    """
    place_of = {image_id: place for place, image_id in enumerate(image_ids)}
    found = np.full(len(cases), NOWHERE, np.int64)
    for number, files in enumerate(cases[["prediction_file", "reference_file"]].itertuples(index=False)):
        ids = {image_id: path for path in files if path for image_id in _ids_in(path, place_of)}
        if len(ids) > 1:
            (one, path), (other, beside) = list(ids.items())[:2]
            raise ArgumentError(
                f"case {number + 1}: expected files of one image, got {path} of {one!r} and {beside} of {other!r}: "
                "give the images names of which none ends with another"
            )
        if ids:
            found[number] = place_of[next(iter(ids))]
    known, n_cases = np.unique(found[found != NOWHERE], return_counts=True)
    for place in known[n_cases > 1][:1]:
        paths = cases["prediction_file"].to_numpy()[found == place]
        raise ArgumentError(f"expected one case of image {image_ids[place]!r}, got {paths[0]} and {paths[1]}")
    return found


def _ids_in(path: str, known: Iterable[str]) -> list[str]:
    """The ids that a path ends with."""
    parts = path.replace("\\", "/").split("/")
    folder, name = parts[:-1], parts[-1]
    # Folders are few, so all of the path's ends are looked up rather than all ids compared.
    ends = ["/".join([*folder[start:], last]) for start in range(len(parts)) for last in (name, stem(name))]
    return [end for end in dict.fromkeys(ends) if end in known]
