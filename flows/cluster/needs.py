"""What the workers of a run must be able to see."""

from __future__ import annotations

from dataclasses import dataclass

from segscale.flows.config.evaluation import EvaluationConfig
from segscale.storage.patterns import Pattern


@dataclass(frozen=True, slots=True)
class Needs:
    """What workers must be able to see."""

    store: str = ""
    """URL or folder; "" for none."""
    inputs: tuple[str, ...] = ()
    """Local files and folders of the data set and the model."""


def needs_of(config: EvaluationConfig) -> Needs:
    """The store, and the local inputs of a run: folders of globs, the manifest, a model file."""
    named = [config.dataset.images, config.dataset.references, config.dataset.manifest, config.predictions.path]
    if "." in config.model.path:
        named.append(config.model.path)
    return Needs(config.store.path, tuple(dict.fromkeys(fixed_part(path) for path in named if is_local(path))))


def is_local(path: str) -> bool:
    """Whether a place of the configuration is a path that is given."""
    return bool(path) and "://" not in path


def fixed_part(path: str) -> str:
    """The path, or of a pattern the folder in which it begins."""
    return Pattern.of(path).root or "/"
