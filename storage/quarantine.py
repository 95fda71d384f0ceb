"""Quarantine: what ended the workers that touched it, kept in the ledger so that later runs leave it alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from segscale.storage.ledger import Ledger, content_key
from segscale.storage.objects import ObjectStore

STAGE = "quarantine"
"""Of its records in the ledger."""


@dataclass(frozen=True, slots=True)
class Held:
    """An image, or a file that could not even be looked at, as it was when workers ended at it."""

    name: str
    """The id of the image, or the URL of the file."""
    content: tuple[str, ...]
    """What must be equal for it to be the same thing: hashes of the files of an image, role and version of a file."""
    stage: str
    """Where the workers ended."""
    error_type: str
    """WorkerDied or TimeLimit."""

    @property
    def error(self) -> str:
        """The text of its failed row; the same for every run."""
        what = {"TimeLimit": "it was not finished in time", "WorkerDied": "a worker died at it"}[self.error_type]
        return (
            f"{self.name}: {what} in {self.stage}, twice, with nothing else under way; it is left out until its files "
            "change, or until `segscale repair` lets it be tried again"
        )


def quarantine(store: ObjectStore, held: Held) -> None:
    """Leave it out from now on."""
    Ledger(store).record(STAGE, content_key({"name": held.name, "content": list(held.content)}), asdict(held))


def quarantined(store: ObjectStore) -> dict[tuple[str, ...], Held]:
    """All that is left out, by (name, *content)."""
    ledger = Ledger(store)
    found = (ledger.read(STAGE, key).facts for key in sorted(ledger.done(STAGE)))
    held = (Held(**{**facts, "content": tuple(facts["content"])}) for facts in found)
    return {(one.name, *one.content): one for one in held}


def lift(store: ObjectStore) -> list[Held]:
    """Let everything be tried again by the next run; returns what was left out."""
    found = list(quarantined(store).values())
    for key in Ledger(store).done(STAGE):
        store.remove(f"ledger/{STAGE}/{key}.json")
    return found
