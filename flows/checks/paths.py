"""Local paths of a configuration that lead nowhere, found with the standard library alone, within a moment."""

from __future__ import annotations

from pathlib import Path

from segscale.flows.cluster.needs import fixed_part, is_local
from segscale.flows.config.evaluation import ConfigError, EvaluationConfig
from segscale.tasks.models.bundled import bundled_path


def check_paths(config: EvaluationConfig) -> None:
    """Raise ConfigError for the first path that no file can lie at; what does lie there is looked at later."""
    dataset = config.dataset
    if is_local(dataset.manifest) and not Path(dataset.manifest).is_file():
        raise ConfigError(f"dataset.manifest: {dataset.manifest}: expected a manifest, found none")
    for key, pattern in (
        ("dataset.images", dataset.images),
        ("dataset.references", dataset.references),
        ("predictions.path", config.predictions.path),
    ):
        folder = Path(fixed_part(pattern))
        if is_local(pattern) and not folder.exists():
            raise ConfigError(f"{key}: {pattern}: expected files, found none: there is no {folder}")
    _check_model(config.model.path)


def _check_model(path: str) -> None:
    if not is_local(path):
        return
    try:
        file = Path(path if "." in path else bundled_path(path))
    except ValueError as error:
        raise ConfigError(f"model.path: expected a .keras file or a bundled model, got {path!r}: {error}") from None
    if not file.is_file():
        raise ConfigError(f"model.path: expected a .keras file or a bundled model, got {path!r}, where no file is")
