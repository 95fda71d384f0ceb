"""Networks whose weights leave nothing at its default, so that no layer can be lost unnoticed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from segscale.tasks.models.unet_plus_plus import build_unet_plus_plus


@pytest.fixture(scope="session")
def unet() -> Callable[..., keras.Model]:
    """unet(**arguments of build_unet_plus_plus), small unless asked otherwise, with random biases and statistics."""

    def build(**arguments: Any) -> keras.Model:
        model = build_unet_plus_plus(**{"channels": 1, "outputs": 1, "filters": (4, 6, 8), **arguments})
        random = np.random.default_rng(0)
        for variable in model.variables:
            if variable.name in ("gamma", "moving_variance"):
                variable.assign(random.uniform(0.5, 1.5, variable.shape))
            elif variable.name != "seed_generator_state":
                variable.assign(random.normal(0, 0.3, variable.shape))
        return model

    return build
