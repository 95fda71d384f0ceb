"""Left over: what of two sides has no partner, and what may have been meant by it."""

from __future__ import annotations

from dataclasses import dataclass

from segscale.storage.enumeration import SHOWN, counted, first_of, have
from segscale.storage.listing import Note
from segscale.storage.nearby import Nearness
from segscale.storage.role_files import RoleFiles


@dataclass(frozen=True, slots=True)
class LeftOver:
    """What had no partner."""

    absent: list[str]
    """Ids without a file."""
    names: list[str]
    """Of files without an image, as they are called."""
    files: list[str]
    """The same as they are on the disk."""

    def notes(self, partners: RoleFiles, of: str) -> list[Note]:
        """A line for each side that has some."""
        notes = []
        if self.absent:
            near, files = Nearness(self.names), dict(zip(self.names, self.files, strict=True))
            shown = [f"{name} (there is {files[found]})" if (found := near.to(name)) else name
                     for name in self.absent[:SHOWN]]  # fmt: skip
            n, verb = len(self.absent), have(len(self.absent))
            notes.append(Note(f"{partners.names}: {counted(n, of)} {verb} none: {first_of(shown, n)}"))
        if self.names:
            n, verb = len(self.names), have(len(self.names))
            notes.append(Note(f"{partners.names}: {n} {verb} no {of}: {first_of(self.files[:SHOWN], n)}"))
        return notes
