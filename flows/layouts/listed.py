"""What a listing is made of, however the files lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pandas as pd

from segscale.errors import ConfigError, ListingError, UrlError
from segscale.storage.enumeration import printable
from segscale.storage.given_tables import refuse_confusable
from segscale.storage.listing import Note
from segscale.storage.locations import located
from segscale.storage.pairing import RoleSummary, pair
from segscale.storage.role_files import Calls, RoleFiles


@dataclass(frozen=True, slots=True)
class DatasetListing:
    """What a configuration names."""

    images: pd.DataFrame
    """A row per image: image_id, then of each role (image, reference, prediction where there are any) the URL and the
    version, and groups. A missing file has the version "", one that is not named the URL "" too: where no images are
    named, as existing predictions are scored without them, the set is the references, and all URLs of images are ""."""
    notes: tuple[Note, ...] = ()
    """What was left out, and what was taken for the same."""
    roles: tuple[RoleSummary, ...] = ()
    """What was paired and what was left over: image (where named), reference and prediction, in this order."""


@dataclass(frozen=True, slots=True)
class Found:
    """The files of a layout."""

    roles: tuple[RoleFiles, ...]
    """Of images where the set is made of them, of references, and of predictions where there are any."""
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class OneFile:
    """A file that is known by what it belongs to."""

    image_id: str
    url: str
    version: str
    relative: str
    """Below the folder that was named."""
    fields: dict[str, str] = field(default_factory=dict)


def identified(role: str, source: str, files: Sequence[OneFile], notes: Sequence[Note] = ()) -> RoleFiles:
    """Files of a role whose ids are known. Raises ListingError for ids that repeat or that nobody can tell apart."""
    first: dict[str, OneFile] = {}
    for one in files:
        other = first.setdefault(one.image_id, one)
        if other is not one:
            raise ListingError(
                f"{source}: {other.relative} and {one.relative} are both {role}s of {one.image_id!r}: expected one; "
                "put one of them elsewhere"
            )
    ids = tuple(first)
    refuse_confusable(source, ids, "names")
    columns = {role: [one.url for one in files], f"{role}_version": [one.version for one in files]}
    return RoleFiles(
        role,
        source,
        pd.DataFrame(columns, dtype="str"),
        (Calls("id", ids),),
        pd.DataFrame([one.fields for one in files], dtype="str"),
        tuple(notes),
        tuple(one.relative for one in files),
    )


@contextmanager
def named(key: str) -> Iterator[None]:
    """What goes wrong with the files of a key, in one line that begins with it."""
    try:
        yield
    except (ListingError, UrlError, OSError, ImportError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"{key}: {printable(said)}") from None


def url_of(place: str) -> str:
    """As listings call a path."""
    filesystem, path = located(place)
    return str(filesystem.unstrip_protocol(path))


def of_first(first: RoleFiles) -> DatasetListing:
    """The listing of the files that the others are paired with, which may be called in several ways yet."""
    rows = pd.concat([first.files, first.fields], axis=1)
    return DatasetListing(rows, first.notes, (RoleSummary(first.role, first.source, len(rows)),))


def with_images(listed: DatasetListing) -> DatasetListing:
    """The listing with empty columns of images where none are named."""
    if "image" not in listed.images:
        for place, name in enumerate(("image", "image_version"), start=1):
            listed.images.insert(place, name, "")
    return listed


def paired(
    listed: DatasetListing, partners: RoleFiles, key: str, of: str, calls: Sequence[Calls], paths: Sequence[str]
) -> tuple[DatasetListing, tuple[str, ...]]:
    """The listing with the files of a role, and where the files of its rows lie, as `pair` takes it."""
    with named(key):
        found = pair(listed.images, partners, of, calls, paths)
    first, *others = listed.roles
    summary = replace(first, naming=found.naming) if found.naming else first
    notes = (*listed.notes, *partners.notes, *found.notes)
    return DatasetListing(found.images, notes, (summary, *others, found.summary)), found.paths
