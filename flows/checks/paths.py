"""Local paths of a configuration that lead nowhere, found with the standard library alone, within a moment."""

from __future__ import annotations

from pathlib import Path

from segscale.errors import ArgumentError, ConfigError
from segscale.flows.cluster.needs import fixed_part, is_local
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.storage.nearby import what_is_there
from segscale.tasks.models.bundled import bundled_path


def check_sources(config: EvaluationConfig) -> None:
    """Raise ConfigError for the first path of the data set that no file can lie at; what is there comes later."""
    dataset = config.dataset
    if is_local(dataset.manifest) and not Path(dataset.manifest).is_file():
        raise ConfigError(f"dataset.manifest: {dataset.manifest}: expected a manifest, found none")
    for key, pattern in (
        ("dataset.images", dataset.images),
        ("dataset.references", dataset.references),
        ("predictions.path", config.predictions.path),
    ):
        folder = fixed_part(pattern)
        if is_local(pattern) and not Path(folder).exists():
            raise ConfigError(f"{key}: {pattern}: expected files, found none: {what_is_there(folder)}")


def check_model_path(config: EvaluationConfig) -> None:
    """The same of the network."""
    path = config.model.path
    if not is_local(path):
        return
    try:
        file = Path(path if "." in path else bundled_path(path))
    except ArgumentError as error:
        raise ConfigError(f"model.path: expected a .keras file or a bundled model, got {path!r}: {error}") from None
    if not file.is_file():
        raise ConfigError(f"model.path: expected a .keras file or a bundled model, got {path!r}, where no file is")
