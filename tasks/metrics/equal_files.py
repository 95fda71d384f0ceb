"""Equal files: bytes that stand under several names in a run, where a mistake is likelier than chance."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from segscale.tasks.metrics.findings import Finding
from segscale.tasks.metrics.per_image import regions_of

HASHES = ("image_sha256", "reference_sha256", "prediction_sha256")
_SHOWN = 3
_SEGMENT = r"/segment-\d+$"
"""The end of an id that stands for one segment of an image: all of them have its file."""


def equal_files(per_image: pd.DataFrame) -> list[Finding]:
    """What the hashes of a per-image table say: an image or a prediction that is its reference, an image twice.

    An empty prediction that equals an empty reference is as it should be. Tables from before a hash was kept say
    nothing of it.
    """
    names = ["image_id", *(name for name in HASHES if name in per_image)]
    of_regions = per_image["class_index"].isin(regions_of(per_image)).to_numpy(bool)
    sound = per_image.loc[(per_image["status"] == "ok") & ~of_regions, [*names, "class_index", "reference_sum"]]
    place, _ = pd.factorize(sound["image_id"])
    is_foreground = (sound["class_index"] > 0) & (sound["reference_sum"].fillna(0) > 0)
    images = sound.loc[~pd.Series(place, sound.index).duplicated(), names].reset_index(drop=True)
    images = images.fillna({name: "" for name in HASHES if name in images})
    has_foreground = np.zeros(len(images), np.bool_)
    has_foreground[place[is_foreground.to_numpy(bool)]] = True
    return list(_findings(images, pd.Series(has_foreground)))


def _findings(images: pd.DataFrame, has_foreground: pd.Series) -> Iterator[Finding]:
    if not set(HASHES[:2]) <= set(images):
        return
    known = images["image_sha256"] != ""
    yield from _finding(
        "image-is-reference", images, known & (images["image_sha256"] == images["reference_sha256"]),
        "images are equal to their own references, byte for byte: the labels are evaluated in place of the images",
        "look at dataset.images and dataset.references: do both find the same files under two names?",
    )  # fmt: skip
    yield from _finding(
        "image-twice", images, known & images["image_sha256"].isin(_repeated(images[known])),
        "images are equal to others of the set, byte for byte: they count more than once",
        "remove the copies, and look whether training and test images were mixed",
    )  # fmt: skip
    if "prediction_sha256" in images:
        is_equal = images["prediction_sha256"] == images["reference_sha256"]
        yield from _finding(
            "prediction-is-reference", images, has_foreground & (images["reference_sha256"] != "") & is_equal,
            "predictions with foreground are equal to their references, byte for byte: no model is as good as that",
            "look at predictions.path: does it lead to copies of the references?",
        )  # fmt: skip


def _repeated(images: pd.DataFrame) -> pd.Series:
    """The hashes that several images have."""
    ids = images["image_id"].astype(str).str.replace(_SEGMENT, "", regex=True)
    once = images["image_sha256"][~pd.DataFrame({"id": ids, "sha256": images["image_sha256"]}).duplicated()]
    return once[once.duplicated()]


def _finding(signature: str, images: pd.DataFrame, concerned: pd.Series, cause: str, remedy: str) -> Iterator[Finding]:
    names = images["image_id"][concerned].astype(str).tolist()
    if names:
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        evidence = f"{len(names)} of {len(images)} images: {', '.join(names[:_SHOWN])}{more}"
        yield Finding(signature, "warning", cause, evidence, remedy)
