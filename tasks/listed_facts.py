"""Listed facts: what a look at the files of a listing told, image by image, and which images cannot be used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from segscale.errors import MissingFile
from segscale.storage.failures import REASON
from segscale.storage.quarantine import Held
from segscale.storage.source_memory import places_among, source_keys
from segscale.storage.sources import MASK, ROLES, file_name

CONTENT: Final = ("image_sha256", "reference_sha256", "prediction_sha256")
"""The columns of the catalog that say whether an image is what it was."""
SIDES: Final = ("depth", "height", "width")
_SIZE: Final = (*SIDES, "channels")
_FACTS = ("sha256", *_SIZE, "dtype", "stated_maximum", "orientation", "place", *REASON)


def orientations(listing: pd.DataFrame, files: pd.DataFrame) -> dict[str, npt.NDArray[np.int64]]:
    """For each role of a listing, what the file of every image says of how it is turned; -1 where there is none."""
    return {
        role: facts_of(files, role, listing)["orientation"].fillna(-1).to_numpy(np.int64)
        for role in ROLES
        if role in listing
    }


def with_facts(listing: pd.DataFrame, files: pd.DataFrame, held: Mapping[tuple[str, ...], Held]) -> pd.DataFrame:
    planned = listing.copy()
    for role in ROLES:
        if role not in planned:
            planned[role], planned[f"{role}_version"] = "", ""
    for name in REASON:
        planned[name] = ""
    of_roles = {role: facts_of(files, role, planned) for role in ("prediction", MASK, "reference", "image")}
    has_masks = bool((planned[MASK] != "").any())
    for role, facts in of_roles.items():
        planned[f"{role}_sha256"] = facts["sha256"].fillna("").to_numpy()
        if role == "image":
            for name in _SIZE:
                planned[name] = facts[name].fillna(0).astype(np.int64).to_numpy()
            for name in ("dtype", "place"):
                planned[name] = facts[name].fillna("").to_numpy()
            _lay_over(planned, of_roles["reference"])
        if role != "prediction" and (role != MASK or has_masks):
            _note_errors(planned, role, facts)
    if held:
        _note_held(planned, held)
    unusable = (planned["error"] != "").to_numpy()
    # What cannot be read has no size; such images share shards without arrays.
    planned.loc[unusable, list(_SIZE)] = 0
    planned.loc[unusable, ["dtype", "place"]] = ""
    return planned


def _lay_over(planned: pd.DataFrame, references: pd.DataFrame) -> None:
    """Where the reference of an image says where it lies, the image is as large as that, and lies there."""
    says = references["depth"].fillna(0).to_numpy() > 0
    if says.any():
        for name in SIDES:
            planned.loc[says, name] = references[name].to_numpy()[says].astype(np.int64)
        planned.loc[says, "place"] = references["place"].to_numpy()[says]


def _note_held(planned: pd.DataFrame, held: Mapping[tuple[str, ...], Held]) -> None:
    """Images at which workers ended are treated as those that cannot be read: the others leave their shard."""
    for place, key in enumerate(planned[["image_id", *CONTENT]].itertuples(index=False, name=None)):
        if key in held:
            planned.loc[planned.index[place], list(REASON)] = [held[key].error_type, held[key].error]


def facts_of(files: pd.DataFrame, role: str, planned: pd.DataFrame) -> pd.DataFrame:
    """The facts of the files of one role, a row for each image; nulls where a file was not looked at."""
    of_role = np.flatnonzero((files["role"] == role).to_numpy())
    keys = source_keys(files["url"].take(of_role), files["version"].take(of_role))
    wanted = source_keys(planned[role], planned[f"{role}_version"])
    places = places_among(wanted, keys)
    facts = files[list(_FACTS)].reset_index(drop=True)
    # No row is called -1, which is the last of these as well.
    return facts.reindex(np.append(of_role, -1)[places])


def _note_errors(planned: pd.DataFrame, role: str, facts: pd.DataFrame) -> None:
    broken = facts["error"].fillna("").to_numpy() != ""
    for name in REASON:
        planned.loc[broken, name] = facts[name].to_numpy()[broken]
    absent = (planned[f"{role}_sha256"] == "").to_numpy() & ~broken
    planned.loc[absent, "error_type"] = MissingFile.recorded_as
    planned.loc[absent, "error"] = [
        f"{role}: expected {file_name(url) if url else f'a file for image {image_id}'}, found none"
        for url, image_id in zip(planned.loc[absent, role], planned.loc[absent, "image_id"], strict=True)
    ]
