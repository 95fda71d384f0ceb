"""The section of the configuration that says how a network is trained."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from segscale.flows.config.values import Place
from segscale.tasks.training.settings import Augmentation, Recipe, SplitRule


class Train(Recipe, Augmentation, SplitRule):
    """How UNet++ is trained on the images of the data set (`dataset.split` chooses among those of a manifest)."""

    output: Place = "model.keras"
    """The .keras file; checkpoint and history lie beside it."""
    initial_weights: Place = ""
    """A file whose weights are taken over by the names of layers before the first step."""
    patch: Annotated[int, Field(ge=32, multiple_of=32)] = 256
    """Side of the random patches in pixels, a multiple of 32."""
