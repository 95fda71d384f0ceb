"""The source files of a data set: found by folder, glob or manifest, listed as one row per image."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import Any

import pandas as pd

from segscale.errors import ListingError, SecretInUrlError
from segscale.storage.locations import S3_PROTOCOLS, located, os_errors, read_whole, refuse_secrets
from segscale.storage.roots import DataRoots

MANIFEST_COLUMNS = ("image_id", "image", "reference", "prediction")
FILE_COLUMNS = ("url", "relative", "version")
ROLES = ("image", "reference", "prediction")
# What a glob may contain; fsspec knows no braces.
_MAGIC = frozenset("*?[")
# Files of a manifest that are asked for at once where each question travels.
_QUESTIONS = 16
# The first of these that a file system reports tells whether a file is still the same.
_CHANGE_KEYS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "created")


def list_files(pattern: str) -> pd.DataFrame:
    """The files that a glob, a folder or a single path names, local or any fsspec URL.

    Returns a row per file with `FILE_COLUMNS`, in bytewise order of `relative`, the POSIX path below the folder that
    the pattern starts in. `version` changes when the file does: its size with its time of change, or its ETag. Hidden
    files, and those in hidden folders, are left out; links are followed, and one that leads nowhere has the version "".
    Raises ListingError where nothing matches, SecretInUrlError, OSError.
    """
    filesystem, path = located(pattern)
    with os_errors(pattern):
        if _MAGIC.isdisjoint(path) or filesystem.exists(path):
            found = filesystem.find(path, detail=True)
            root = path
        else:
            found = filesystem.glob(path, detail=True)
            root = path[: min(path.index(letter) for letter in _MAGIC if letter in path)].rpartition("/")[0]
    rows = []
    while found:
        # Taken out as they are read: what a file system tells of a file is ten times what is kept of it.
        name, listed = found.popitem()
        relative = PurePosixPath(name).relative_to(root) if name != root else PurePosixPath(PurePosixPath(name).name)
        if any(part.startswith(".") for part in relative.parts):
            continue
        # A listing describes the link, not the file that it leads to.
        details = _followed(filesystem, name) if listed.get("islink") else listed
        if details is None:
            rows.append((filesystem.unstrip_protocol(name), str(relative), ""))
        elif details["type"] == "file":
            rows.append((filesystem.unstrip_protocol(name), str(relative), _version(details)))
    if not rows:
        raise ListingError(f"{pattern}: expected files, found none")
    try:
        rows.sort(key=lambda row: row[1].encode())
    except UnicodeEncodeError as error:
        raise ListingError(f"{pattern}: expected file names in UTF-8, got {error.object!a}; rename that file") from None
    return pd.DataFrame(rows, columns=list(FILE_COLUMNS))


def _followed(filesystem: Any, name: str) -> dict[str, Any] | None:
    """What a link leads to; None where that is not there."""
    try:
        details: dict[str, Any] = filesystem.info(name)
    except OSError:
        return None
    return details


def file_version(url: str) -> str:
    """The size and time of change (or ETag) of a single file, as text; empty where there is no such file.

    Raises OSError where an object store does not say whether there is one: refused, or no answer.
    """
    filesystem, path = located(url)
    try:
        with os_errors(url):
            return _version(filesystem.info(path))
    except (OSError, ValueError) as error:
        if url.startswith(S3_PROTOCOLS) and not isinstance(error, FileNotFoundError):
            raise
        # A path that cannot be one names no file either.
        return ""


def _file_versions(urls: Iterable[str]) -> list[str]:
    urls = list(urls)
    if not any(url.startswith(S3_PROTOCOLS) for url in urls):
        return [file_version(url) if url else "" for url in urls]
    with ThreadPoolExecutor(_QUESTIONS) as pool:
        return list(pool.map(lambda url: file_version(url) if url else "", urls))


def read_file(url: str) -> bytes:
    """The bytes of a source file."""
    filesystem, path = located(url)
    with os_errors(url):
        return read_whole(filesystem, path)


def read_catalogued(url: str, sha256: str) -> bytes:
    """The bytes of a source file, if they are still those that were catalogued.

    Raises OSError where they are not: it is no fact about the image, and another scan will see the file as it is now.
    """
    data = read_file(url)
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise OSError(f"{url} changed while it was being read: catalogued sha256 {sha256[:12]}, now {found[:12]}")
    return data


def file_name(url: str) -> str:
    """The last part of a URL: what messages call a file, so that they do not change with the folder it lies in."""
    return url.rsplit("/", 1)[-1]


def stem(name: str) -> str:
    """A file's name without its folder and suffix; of ``.nii.gz`` and the like both suffixes go."""
    path = PurePosixPath(name)
    return path.with_suffix("").stem if path.suffix.lower() in {".gz", ".bz2", ".zst"} else path.stem


def match_by_stem(images: str, references: str, predictions: str = "") -> pd.DataFrame:
    """One row per image: image_id (the stem), then for image, reference and, where asked, prediction the URL and the
    version (a column each, `image` and `image_version`).

    A missing partner has the URL and the version "". Raises ListingError for two files of one stem on one side, since
    either could be meant.
    """
    listing = files_by_stem(images, "image")
    for role, pattern in (("reference", references), ("prediction", predictions)):
        if pattern:
            listing = listing.join(files_by_stem(pattern, role), how="left")
        if pattern and listing[role].isna().all():
            raise ListingError(f"{pattern}: expected files with the stems of {images}, found no common stem")
    listing = listing.fillna("")
    return listing.rename_axis("image_id").reset_index()


def read_manifest(url: str, *, split: str = "", roots: Sequence[str] = ()) -> pd.DataFrame:
    """The rows of a CSV or Parquet manifest, in its order, with paths made absolute and versions as in `match_by_stem`.

    Needs image_id, image and reference; prediction is optional; all other columns are kept as groups. Only the rows of
    `split` are returned where one is named. Raises ListingError for missing columns, repeated or empty ids, an unknown
    split, and a file that lies neither in the manifest's folder nor in one of `roots`.
    """
    try:
        data = read_file(url)
    except FileNotFoundError:
        raise ListingError(f"{url}: expected a manifest, found none") from None
    except OSError as error:
        raise ListingError(f"{url}: expected a manifest that can be read: {error.strerror or error}") from None
    manifest = _parse_manifest(url, data)
    _check_manifest(url, manifest)
    manifest = manifest.astype({"image_id": str})
    if split:
        manifest = _of_split(url, manifest, split)
    base = url.rpartition("/")[0]
    for role in ROLES:
        if role in manifest:
            paths = manifest[role].fillna("").astype(str)
            _refuse_secrets(url, role, manifest["image_id"], paths)
            manifest[role] = [_absolute(path, base) for path in paths]
            _check_roots(url, manifest, role, DataRoots((base or ".", *roots)))
            manifest[f"{role}_version"] = _file_versions(manifest[role])
    return manifest.reset_index(drop=True)


def _parse_manifest(url: str, data: bytes) -> pd.DataFrame:
    try:
        if url.lower().endswith((".parquet", ".pq")):
            return pd.read_parquet(io.BytesIO(data))
        # As written: an id 007 is not the number 7, and a site NA is a site. Only an empty cell says nothing.
        return pd.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False, na_values=[""])
    except (ValueError, OSError) as error:
        raise ListingError(f"{url}: expected a CSV or Parquet manifest: {error}") from None


def _check_manifest(url: str, manifest: pd.DataFrame) -> None:
    missing = [name for name in MANIFEST_COLUMNS[:3] if name not in manifest.columns]
    if missing:
        raise ListingError(f"{url}: expected the columns image_id, image, reference; {missing[0]} is missing")
    taken = [f"{role}_version" for role in ROLES if f"{role}_version" in manifest.columns]
    if taken:
        raise ListingError(f"{url}: column {taken[0]!r} is a name that Segscale needs itself; rename it")
    if manifest.empty:
        raise ListingError(f"{url}: expected a row for each image, found no rows")
    identifiers = manifest["image_id"]
    absent = identifiers.isna() | (identifiers.astype(str).str.strip() == "")
    if absent.any():
        raise ListingError(f"{url}: row {int(absent.to_numpy().argmax()) + 1} has no image_id")
    repeated = identifiers[identifiers.astype(str).duplicated()]
    if len(repeated):
        raise ListingError(f"{url}: image_id {str(repeated.iloc[0])!r} stands in several rows")


def _refuse_secrets(url: str, role: str, identifiers: Iterable[str], paths: Iterable[str]) -> None:
    for identifier, path in zip(identifiers, paths, strict=True):
        try:
            refuse_secrets(path)
        except SecretInUrlError as error:
            raise ListingError(f"{url}: column {role!r} of image_id {identifier!r}: {error}") from None


def _check_roots(url: str, manifest: pd.DataFrame, role: str, roots: DataRoots) -> None:
    for identifier, path in zip(manifest["image_id"], manifest[role], strict=True):
        if path and not roots.hold(path):
            raise ListingError(
                f"{url}: the {role} of {identifier!r} leads out of the data roots {list(roots.urls)}: {path}; put it "
                "there, or name its folder in dataset.roots"
            )


def _of_split(url: str, manifest: pd.DataFrame, split: str) -> pd.DataFrame:
    if "split" not in manifest:
        raise ListingError(
            f"{url}: expected a column named split, for split = {split!r}; found {list(manifest.columns)}"
        )
    splits = manifest["split"].map(str, na_action="ignore").fillna("")
    if split not in set(splits):
        raise ListingError(f"{url}: no row has split {split!r}; there are {sorted(set(splits) - {''})}")
    return manifest[splits == split].copy()


def _absolute(path: str, base: str) -> str:
    if not path or "://" in path:
        return path
    filesystem, root = located(base or ".")
    return str(filesystem.unstrip_protocol(path if path.startswith("/") else f"{root}/{path}"))


def files_by_stem(pattern: str, role: str) -> pd.DataFrame:
    """The files of a pattern by their stem: the columns `role` (URL) and `role`_version.

    Raises ListingError where there are none, or two of one stem.
    """
    files = list_files(pattern)
    stems = files["relative"].map(stem)
    if stems.duplicated().any():
        twice = stems[stems.duplicated()].iloc[0]
        first, second = files["relative"][stems == twice].iloc[:2]
        raise ListingError(
            f"{pattern}: {first} and {second} have the same stem {twice!r}; rename one or use a manifest"
        )
    return files.assign(stem=stems).set_index("stem")[["url", "version"]].set_axis([role, f"{role}_version"], axis=1)


def _version(details: dict[str, Any]) -> str:
    changed = next((details[key] for key in _CHANGE_KEYS if details.get(key) is not None), "")
    return f"{details['size']}:{round(changed * 1e9) if isinstance(changed, float) else changed}"
