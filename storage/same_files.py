"""Same files: one file in two places of a data set, where a mistake is likelier than a wish."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd

from segscale.errors import ListingError
from segscale.storage.enumeration import counted, first_of
from segscale.storage.listing import Note
from segscale.storage.local_files import is_local, is_same_file
from segscale.storage.sources import ROLES, file_name

REMEDY = "set dataset.same_files = true if that is meant"


def refuse_same_files(listing: pd.DataFrame) -> None:
    """Raise ListingError where an image is its own reference or prediction, a prediction its reference, or an image
    that of two rows; links are followed."""
    for first, second in combinations([role for role in ROLES if role in listing], 2):
        versions = listing[f"{first}_version"], listing[f"{second}_version"]
        same = ((listing[first] == listing[second]) | (versions[0] == versions[1])) & (versions[0] != "")
        for place in np.flatnonzero(same.to_numpy()):
            one, other = listing[first].iloc[place], listing[second].iloc[place]
            if _is_same(one, other):
                raise ListingError(
                    f"{first} and {second} of {listing['image_id'].iloc[place]!r} are the same file, "
                    f"{_names(one, other)}{_as_well(int(same.sum()))}: expected different files; keep {first}s and "
                    f"{second}s in two folders, or name the pairs in a manifest, or {REMEDY}"
                )
    for places in _repeated(listing, "image"):
        one, other = (listing["image"].iloc[place] for place in places)
        ids = " and ".join(repr(listing["image_id"].iloc[place]) for place in places)
        raise ListingError(
            f"the images {ids} are the same file, {_names(one, other)}, which would count twice: remove one, or "
            f"{REMEDY}"
        )


def shared_files(listing: pd.DataFrame) -> Iterator[Note]:
    """References and predictions that belong to several images."""
    for role in ("reference", "prediction"):
        if role not in listing:
            continue
        pairs = list(_repeated(listing, role))
        if pairs:
            names = [" and ".join(listing["image_id"].iloc[place] for place in places) for places in pairs]
            yield Note(f"{role}s: {counted(len(pairs), 'image')} with the same file as another one: {first_of(names)}")


def _repeated(listing: pd.DataFrame, role: str) -> Iterator[tuple[int, int]]:
    """Of files that stand in several rows each later row, with the one before it."""
    urls, versions = listing[role], listing[f"{role}_version"]
    known = (versions != "").to_numpy()
    # One inode has one version; names that lead to it may be many.
    suspects = np.flatnonzero((urls.duplicated(keep=False) | versions.duplicated(keep=False)).to_numpy() & known)
    before: dict[str, int] = {}
    for place in suspects:
        for name in (urls.iloc[place], versions.iloc[place]):
            if name in before and _is_same(urls.iloc[before[name]], urls.iloc[place]):
                yield before[name], int(place)
                break
        before[urls.iloc[place]] = before[versions.iloc[place]] = int(place)


def _is_same(one: str, other: str) -> bool:
    if not one or one == other:
        return bool(one)
    return is_local(one) and is_local(other) and is_same_file(_path(one), _path(other))


def _path(url: str) -> str:
    return url.removeprefix("file://")


def _names(one: str, other: str) -> str:
    names = [file_name(one), file_name(other)]
    return names[0] if one == other else f"{names[0]} and {names[1]} (links followed)"


def _as_well(count: int) -> str:
    return f", and so are those of {counted(count - 1, 'other image')}" if count > 1 else ""
