"""Prediction name: what stands for a set of predictions in reports, where nothing was said."""

from __future__ import annotations

import re

_FILE = re.compile(r"\.(png|jpe?g|jp2|tiff?|npy|npz|bmp|gif|webp|nii|gz|nrrd|mha|dcm)$", re.IGNORECASE)
# As a path is written beside a pattern: each of these letters, meant as it is, stands in brackets.
_ESCAPED = re.compile(r"\[([*?[{])\]")
_FIELD = re.compile(r"\{\w+\}")


def folder_label(pattern: str) -> str:
    """The name of the folder that a folder, a file, a pattern or a URL leads to; "" for none.

    It depends on nothing but the text. Parts that stand for many folders name none of them.

    >>> folder_label("/data/preds/*.png"), folder_label("s3://bucket/run-7/"), folder_label("/unet/{site}/{id}_p.npy")
    ('preds', 'run-7', 'unet')
    """
    *folders, last = pattern.rsplit("://", 1)[-1].rstrip("/").split("/")
    parts = folders if _is_many(last) or _FILE.search(last) else [*folders, last]
    named = [part for part in parts if part and not _is_many(part)]
    # A name that is no text must not keep a table from being written.
    return _ESCAPED.sub(r"\1", named[-1]).encode(errors="backslashreplace").decode() if named else ""


def _is_many(part: str) -> bool:
    bare = _ESCAPED.sub("", part)
    return any(letter in bare for letter in "*?") or _FIELD.search(bare) is not None
