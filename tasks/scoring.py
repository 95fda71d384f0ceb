"""Scoring: what is asked of the files of a set, which of them are counted together, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from segscale.storage.failures import Failure
from segscale.storage.ledger import content_key
from segscale.storage.sources import ROLES, file_name
from segscale.tasks.alignment import AS_THEY_ARE, Volumes
from segscale.tasks.grids import Size
from segscale.tasks.labels import LabelRule
from segscale.tasks.measuring import Measuring
from segscale.tasks.prediction_file import Counting
from segscale.tasks.slice_counts import Slicing

STAGE = "score"
CODE_VERSION = 7
NOWHERE: Size = (0, 0, 0)
"""The size of an image that nobody knows."""


@dataclass(frozen=True, slots=True)
class Scoring:
    """How the files of a set are counted."""

    references: LabelRule
    counting: Counting
    has_images: bool
    """Whether the set names images. Their headers say how large everything is; their pixels are not read."""
    volumes: Volumes = AS_THEY_ARE
    has_masks: bool = False
    """Whether the set names masks: pixels where the mask of an image is 0 count in nothing."""
    slicing: Slicing | None = None
    """How volumes are cut whose slices are counted by themselves too; None where they are not."""
    measuring: Measuring | None = None
    """What is measured of surfaces and lesions; None for nothing."""

    def as_key(self) -> dict[str, Any]:
        """Itself as a part of content keys; of plain pictures that of before there were volumes and masks."""
        plain = {"volumes": AS_THEY_ARE, "has_masks": False, "slicing": None, "measuring": None}
        found = {name: value for name, value in asdict(self).items() if getattr(self, name) != plain.get(name, self)}
        return {**found, "counting": self.counting.as_key()}


class ImageFiles(NamedTuple):
    """The files of one image, (URL, version) each; "" and "" for none. A tuple, as `SourceFacts` is."""

    image_id: str
    image: tuple[str, str]
    reference: tuple[str, str]
    prediction: tuple[str, str]
    mask: tuple[str, str] = ("", "")

    def of(self, role: str) -> tuple[str, str]:
        """The file of a role."""
        found: tuple[str, str] = getattr(self, role)
        return found


@dataclass(frozen=True, slots=True)
class ScoreJob:
    """Images to be scored together."""

    key: str
    images: tuple[ImageFiles, ...]
    is_content: bool
    """Whether `key` is that of the bytes of all files, which were read before; else it is found as they are read."""
    left_out: Mapping[tuple[str, ...], Failure] = field(default_factory=dict)
    """Why images are not even decoded, by their ids and the hashes of their files: workers ended at them."""
    only: tuple[str, ...] = ()
    """Of a trial: the ids of the images that are counted, and nothing is committed."""


class Content(NamedTuple):
    """What decides the counts of one image: the names and hashes of its files, and why it is left out if it is."""

    image_id: str
    names: tuple[str, ...]
    """Of the files of all roles; "" for one that is not named. Messages hold them."""
    hashes: tuple[str, ...]
    """"" for a file that is not there, or could not be read."""
    failure: Failure | None

    @property
    def files(self) -> tuple[str, ...]:
        """Names and hashes; without a mask those of before there were any."""
        n_roles = len(ROLES) if self.names[-1] else len(ROLES) - 1
        return (*self.names[:n_roles], *self.hashes[:n_roles])

    @classmethod
    def of(cls, files: ImageFiles, hashes: Sequence[str], failure: Failure | None) -> Content:
        """That of an image whose files have these hashes."""
        names = tuple(file_name(files.of(role)[0]) for role in ROLES)
        return cls(files.image_id, names, tuple(hashes), failure)


@dataclass(frozen=True, slots=True)
class ScoreDone:
    """The record that comes back from a worker."""

    key: str
    """Under which the shard is committed."""
    n_images: int
    n_failed: int
    contents: tuple[Content, ...]
    """Of its images."""
    files: Mapping[str, Sequence[Any]]
    """What its files told, by the fields of `SourceFacts`."""
    seconds: float = 0.0


def places_in(facts: Mapping[str, Any]) -> list[str]:
    """Where the images of a committed shard lie, as `grids.to_text` has it; from the facts of its record."""
    n_images: int = facts["n_images"]
    return list(facts.get("places", [""] * n_images))


def sizes_in(facts: Mapping[str, Any]) -> list[Size]:
    """How large the images of a committed shard are, `NOWHERE` where nobody knows; from the facts of its record."""
    sides = (map(int, size.split("x")) for size in facts["sizes"].split())
    return [(depth, height, width) for depth, height, width in sides]


def shard_key(contents: Sequence[Content], scoring: Scoring) -> str:
    """The key of a shard: everything that determines its bytes, and no folder."""
    return content_key(
        {
            "stage": STAGE,
            "code_version": CODE_VERSION,
            "scoring": scoring.as_key(),
            "images": [
                [one.image_id, *one.files, *(asdict(one.failure).values() if one.failure else ())] for one in contents
            ],
        }
    )
