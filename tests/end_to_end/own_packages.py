"""A user's own packages, named as the rooms of Segscale are in its repository."""

from __future__ import annotations

from pathlib import Path

SAID = "the package of a user was taken for one of Segscale"


def make_own_packages(folder: Path) -> Path:
    """flows/, tasks/, storage/ and tasks.py, none of which may be imported."""
    for name in ("flows", "tasks", "storage"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"raise ImportError({SAID!r})\n")
    (folder / "tasks.py").write_text(f"raise ImportError({SAID!r})\n")
    return folder
