"""A data set of any size that has no files: what listing and looking at it would have found, made up."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd

from segscale.storage.source_memory import MEMORY_COLUMNS
from segscale.tasks.scan import CODE_VERSION

SIDE = 256
ROLES = ("image", "reference", "prediction")
SCAN_CODE = CODE_VERSION


def made_listing(n_images: int) -> pd.DataFrame:
    """As `flows.dataset.list_dataset` gives it: an id, and for each role a URL and a version; two group columns."""
    names = [f"image_{number:07d}" for number in range(n_images)]
    listing = pd.DataFrame({"image_id": names})
    for role in ROLES:
        listing[role] = [f"file:///data/{role}s/{name}.png" for name in names]
        listing[f"{role}_version"] = [f"{30_000 + number % 5000}:17000000{number:010d}" for number in range(n_images)]
    number = np.arange(n_images)
    listing["patient_id"] = [f"p{place}" for place in (number // 4).tolist()]
    listing["site"] = np.array(["north", "south", "west"], dtype=object)[number % 3]
    return listing


def made_files(listing: pd.DataFrame) -> pd.DataFrame:
    """As `segscale.flows.ingest.scan_files` gives them: a row for each role and file, `MEMORY_COLUMNS`."""
    frames = []
    for role in ROLES:
        is_image = role == "image"
        frames.append(
            pd.DataFrame(
                {
                    "role": role,
                    "url": listing[role],
                    "version": listing[f"{role}_version"],
                    "sha256": [hashlib.sha256(url.encode()).hexdigest() for url in listing[role]],
                    "depth": 1 if is_image else 0,
                    "height": SIDE if is_image else 0,
                    "width": SIDE if is_image else 0,
                    "channels": 1 if is_image else 0,
                    "dtype": "uint8" if is_image else "",
                    "orientation": 0,
                    "stated_maximum": 0,
                    "place": "",
                    "error_type": "",
                    "error": "",
                }
            )
        )
    return pd.concat(frames, ignore_index=True)[list(MEMORY_COLUMNS)]
