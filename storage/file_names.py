"""Names of files: what stands for an image in one, and which are easily taken for the same, or belong together."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from segscale.storage.patterns import composed

_PACKED = frozenset({"gz", "bz2", "zst"})
# Of files that hold an array, whether or not there is a reader for them; in lower case.
_ARRAYS = frozenset(
    {
        "png", "jpg", "jpeg", "jp2", "tif", "tiff", "bmp", "gif", "webp", "pgm", "pbm", "ppm", "npy", "npz", "nii",
        "nrrd", "nhdr", "mha", "mhd", "hdr", "img", "raw", "zraw", "dcm", "dicom", "ima", "mat", "h5", "hdf5", "pt",
        *_PACKED,
    }
)  # fmt: skip
# Of volumes whose header and voxels lie in two files of one stem.
_HEADERS = frozenset({"mhd", "nhdr", "hdr"})
_VOXELS = frozenset({"raw", "zraw", "img"})
# Before which Slicer and ITK-SNAP write .seg for what is a segmentation.
_WITH_KIND = frozenset({"nrrd", "nhdr"})
# Blanks of all kinds, and letters without width that nobody sees.
_BLANKS = re.compile(r"[\s\u200b\u200c\u200d\u2060\ufeff]+")
# Left in folders by file managers and disks; in lower case.
_LITTER = frozenset(
    {
        "thumbs.db", "thumbs.db:encryptable", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r", "__macosx",
        "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found",
    }
)  # fmt: skip


def stem(name: str) -> str:
    """A file's name without its folder and suffix; of ``.nii.gz``, ``.seg.nrrd`` and the like both suffixes go.

    Of a folder, whose path ends with a slash, the whole name: ``1.2.840/`` has no suffix.
    """
    if name.endswith("/"):
        return name[:-1].rsplit("/", 1)[-1]
    bare, ending = _unpacked(name.rsplit("/", 1)[-1])
    if ending not in _WITH_KIND:
        return bare
    kept, kind = _cut(bare)
    return kept if kind.lower() == "seg" else bare


def may_hold_an_array(name: str) -> bool:
    """Whether the ending is one of files with an image, a label map or probabilities, and not of a summary of them."""
    return name.rpartition(".")[2].lower() in _ARRAYS


def beside_headers(paths: Sequence[str]) -> list[bool]:
    """Whether each path is the voxels of a header among them: of one folder and stem, as ``a.raw`` beside ``a.mhd``."""
    endings = {path.rpartition(".")[2] for path in paths}
    if not any(ending.lower() in _VOXELS | _PACKED for ending in endings):
        return [False] * len(paths)
    parts = [_unpacked(path) for path in paths]
    headers = {bare for bare, ending in parts if ending in _HEADERS}
    return [ending in _VOXELS and bare in headers for bare, ending in parts]


def _unpacked(name: str) -> tuple[str, str]:
    """A name and its suffix in lower case, without that of what it is packed by."""
    bare, ending = _cut(name)
    if ending.lower() in _PACKED:
        bare, ending = _cut(bare)
    return bare, ending.lower()


def _cut(name: str) -> tuple[str, str]:
    bare, _, ending = name.rpartition(".")
    return (bare, ending) if bare and ending else (name, "")


def without_blanks(name: str) -> str:
    """Without blanks at its ends, and with a single space for those within."""
    return _BLANKS.sub(" ", name).strip()


def confusable(names: Iterable[str]) -> tuple[str, str] | None:
    """The first two different names that nobody can tell apart: by blanks, or the form of their Unicode."""
    seen: dict[str, str] = {}
    for name in names:
        is_plain = name.isascii() and name.isprintable() and " " not in name
        plain = name if is_plain else composed(without_blanks(name))
        other = seen.setdefault(plain, name)
        if other != name:
            return other, name
    return None


def differing_by_case(names: Iterable[str]) -> list[str]:
    """Those of the names that are those of others but for upper and lower case."""
    names = list(names)
    folded = [composed(name).casefold() for name in names]
    if len(set(folded)) == len(names):
        return []
    counts = Counter(folded)
    return sorted((name for name, fold in zip(names, folded, strict=True) if counts[fold] > 1), key=str.casefold)


def is_hidden(name: str) -> bool:
    """Whether file managers do not show it: checkouts, caches of editors, and what macOS adds to files."""
    return name.startswith(".")


def is_litter(name: str) -> bool:
    """Whether a file or folder of this name is left by an operating system, and nobody's image."""
    return name.lower() in _LITTER
