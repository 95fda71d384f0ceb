"""The picture of a history: drawn for whatever a history may lack, and the same bytes each time."""

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from segscale.tasks.training import curves
from segscale.tasks.training.curves import HEADS, REGULARIZATION, draw_curves

N_EPOCHS = 12


def _history(n_heads: int = 4, n_epochs: int = N_EPOCHS) -> pd.DataFrame:
    epoch = np.arange(1, n_epochs + 1)
    frames = []
    for split in ("training", "validation"):
        rows = pd.DataFrame({"epoch": epoch, "split": split, "regularization": 0.5})
        for head in range(1, n_heads + 1):
            rows[f"head_{head}_loss"], rows[f"head_{head}_weight"] = 1 / epoch, 1.0
        rows["loss"] = 0.5 + n_heads / epoch
        for place, name in enumerate(("per_sample", "batch_summed", "pooled")):
            rows[f"dice_{name}"] = 1 - 0.9 / epoch - 0.05 * place
        rows["learning_rate"] = 1e-3 / epoch
        frames.append(rows)
    return pd.concat(frames, ignore_index=True)


def _share_of(picture: bytes, colour: str) -> float:
    """Share of the pixels that have this colour."""
    pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))
    wanted = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    return float((pixels == wanted).all(axis=-1).mean())


def test_the_parts_are_stacked_in_their_colours() -> None:
    picture = draw_curves(_history())
    assert picture.startswith(b"\x89PNG")
    # 0.5 of at most 4.5 over the whole width of both losses; the heads fall like 1/epoch above it.
    assert _share_of(picture, REGULARIZATION) > 0.02
    assert _share_of(picture, HEADS[0]) > 0.01
    assert _share_of(draw_curves(_history().drop(columns="regularization")), REGULARIZATION) == 0


def test_the_same_history_gives_the_same_bytes() -> None:
    assert draw_curves(_history(n_epochs=3)) == draw_curves(_history(n_epochs=3))


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(_history()[:N_EPOCHS], id="no validation"),
        pytest.param(_history(n_epochs=1), id="one epoch"),
        pytest.param(_history()[["epoch", "split", "loss"]], id="nothing but losses"),
        pytest.param(_history().assign(loss=np.nan, head_1_loss=np.nan, dice_pooled=np.nan), id="all undefined"),
        pytest.param(
            _history(n_heads=1).assign(loss=[-1.0, np.inf] * N_EPOCHS, head_1_loss=-0.5),
            id="negative losses, which cannot be stacked, and infinite ones",
        ),
        pytest.param(_history().convert_dtypes(), id="nullable columns"),
    ],
)
def test_whatever_a_history_lacks_it_is_drawn(changed: pd.DataFrame) -> None:
    picture = Image.open(io.BytesIO(draw_curves(changed)))
    assert picture.height == 672
    assert picture.width == (1176 if (changed["split"] == "validation").any() else 864)


@pytest.mark.parametrize(
    ("losses", "limits"),
    [
        pytest.param([4.0, 1.0], (0.0, 4.2), id="from 0"),
        pytest.param([-1.0, -0.5, np.nan], (-1.05, 0.0), id="negative"),
    ],
)
def test_both_losses_share_a_scale(losses: list[float], limits: tuple[float, float]) -> None:
    class _Axes:
        limits: Any = None

        def set_ylim(self, *limits: float) -> None:
            self.limits = limits

    axes: Any = _Axes()
    curves._limit(axes, np.array(losses))
    assert axes.limits == pytest.approx(limits)
