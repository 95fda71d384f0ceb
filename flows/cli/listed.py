"""What a run found, in its first line: which folder is which, how many belong together, and what is left over."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from segscale.storage.enumeration import counted
from segscale.storage.pairing import RoleSummary


def in_words(roles: Sequence[RoleSummary]) -> str:
    """One line of all roles, those first that make the set; "" for none."""
    return "; ".join(_role_in_words(role, roles[0].role) for role in roles)


def _role_in_words(role: RoleSummary, of: str) -> str:
    said = [f"{role.n_paired} paired"] if role.role != of else [counted(role.n_paired, "file")]
    said += [f"{role.n_absent} missing"] if role.n_absent else []
    said += [f"{role.n_unused} left over"] if role.n_unused else []
    return f"{role.role}s: {shown_place(role.source)}, {', '.join(said)}"


def shown_place(path: str) -> str:
    """A path as somebody here would type it: relative where it lies below the working folder."""
    here = str(Path.cwd())
    if "://" in path or not path.startswith(f"{here}/"):
        return path
    return os.path.relpath(path, here)
