"""The bundled models: weights trained by committed configurations, each with a card of what it is."""

from __future__ import annotations

from pathlib import Path

from segscale.errors import ArgumentError

FOLDER = Path(__file__).parent


def bundled_names() -> list[str]:
    """The names that `model.path` may hold instead of a file."""
    return sorted(path.stem for path in FOLDER.glob("*.keras"))


def bundled_path(name: str) -> str:
    """The path of a bundled model. Raises ValueError for a name that is not one of them."""
    if name not in bundled_names():
        raise ArgumentError(f"there is no bundled model {name!r}; there are {bundled_names()}")
    return str(FOLDER / f"{name}.keras")
