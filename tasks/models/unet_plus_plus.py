"""UNet++ as a Keras model: built, and pruned to a level.

Architecture: Zhou et al., "UNet++: A Nested U-Net Architecture for Medical Image Segmentation", DLMIA 2018. Node
X[i, j] (depth i, column j) joins the upsampled X[i + 1, j - 1] with X[i, 0] .. X[i, j - 1]; head j is a 1x1 convolution
on X[0, j]. Level L keeps the nodes with i + j <= L, which is what head L needs and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras

from segscale.errors import ArgumentError
from segscale.tasks.model_facts import Activation, check_head
from segscale.tasks.models.choices import check_choice
from segscale.tasks.networks import select_outputs

Normalization = Literal["none", "batch"]

_HEAD_NAME = re.compile(r"head_([1-9]\d*)")


@dataclass(frozen=True, slots=True)
class _Unit:
    """The layers every node repeats: two 3x3 convolutions, as configured for the whole network."""

    normalization: Normalization
    dropout: float
    l2: float

    def __call__(self, tensor: Any, filters: int, node: str) -> Any:
        for position in (1, 2):
            tensor = keras.layers.Conv2D(
                filters,
                3,
                padding="same",
                # A bias before batch normalisation is subtracted again by it.
                use_bias=self.normalization == "none",
                kernel_initializer="he_normal",
                kernel_regularizer=keras.regularizers.L2(self.l2) if self.l2 else None,
                name=f"{node}_conv_{position}",
            )(tensor)
            if self.normalization == "batch":
                # Keras' default of 0.99 needs several hundred steps before inference works like training.
                tensor = keras.layers.BatchNormalization(momentum=0.95, name=f"{node}_norm_{position}")(tensor)
            tensor = keras.layers.Activation("relu", name=f"{node}_relu_{position}")(tensor)
            if self.dropout:
                tensor = keras.layers.Dropout(self.dropout, name=f"{node}_dropout_{position}")(tensor)
        return tensor


def build_unet_plus_plus(
    *,
    channels: int,
    outputs: int,
    filters: Sequence[int] = (32, 64, 128, 256, 512),
    normalization: Normalization = "none",
    dropout: float = 0.5,
    l2: float = 1e-4,
    deep_supervision: bool = True,
    activation: Activation = "sigmoid",
) -> keras.Model:
    """UNet++ for images (B, H, W, channels) of any height and width divisible by 2 ** (len(filters) - 1).

    The defaults are the published plain network. Every head gives float32 probabilities (B, H, W, outputs), also
    under a mixed precision policy. With `deep_supervision` the outputs are head_1 .. head_(len(filters) - 1), else the
    last of them alone. `sigmoid` takes one output, p(class 1); `softmax` takes one output per class. `dropout` 0 and
    `l2` 0 leave these parts out. Layers are named after their node (X_0_1_conv_1), so weights can be matched by name.

    >>> build_unet_plus_plus(channels=1, outputs=1, deep_supervision=False).count_params()
    9041601
    """
    check_choice("activation", activation, Activation)
    check_head(outputs, activation)
    _check_network(channels, filters, normalization, dropout)
    unit = _Unit(normalization, dropout, l2)
    image = keras.Input((None, None, channels), name="image")
    top_row = _top_row(image, filters, unit)
    columns = range(1, len(filters)) if deep_supervision else [len(filters) - 1]
    heads = [_head(top_row[column], outputs, activation, l2, column) for column in columns]
    return keras.Model(image, heads if deep_supervision else heads[0], name="unet_plus_plus")


def prune(model: keras.Model, level: int, heads: Sequence[int] = ()) -> keras.Model:
    """The part of a UNet++ that head `level` needs: a real subgraph, sharing its weights with `model`.

    The result has the one output head_<level>; with `heads`, e.g. (1, 2, 3), it has these outputs, all <= level.
    Raises ValueError where the model has no such head (a model trained without deep supervision has its last only).
    """
    wanted = tuple(heads) or (level,)
    if max(wanted) > level:
        raise ArgumentError(f"heads {wanted} of level {level}: a level holds the heads up to its own number only")
    return select_outputs(model, [f"head_{number}" for number in wanted])


def supervised_levels(model: keras.Model) -> tuple[int, ...]:
    """Levels a UNet++ can be pruned to, ascending; empty for a network of another kind."""
    matches = [_HEAD_NAME.fullmatch(name) for name in model.output_names]
    if None in matches or not any(layer.name == "X_0_0_conv_1" for layer in model.layers):
        return ()
    return tuple(sorted(int(match[1]) for match in matches if match))


def _top_row(image: Any, filters: Sequence[int], unit: _Unit) -> list[Any]:
    """X[0, 0] .. X[0, depth], built diagonal by diagonal (i + j constant)."""
    nodes: dict[tuple[int, int], Any] = {}
    tensor = image
    for diagonal, width in enumerate(filters):
        if diagonal:
            tensor = keras.layers.MaxPooling2D(2, name=f"X_{diagonal}_0_pool")(nodes[diagonal - 1, 0])
        nodes[diagonal, 0] = unit(tensor, width, f"X_{diagonal}_0")
        for column in range(1, diagonal + 1):
            depth = diagonal - column
            name = f"X_{depth}_{column}"
            below = nodes[depth + 1, column - 1]
            raised = keras.layers.Conv2DTranspose(filters[depth], 2, strides=2, name=f"{name}_up")(below)
            row = [nodes[depth, earlier] for earlier in range(column)]
            joined = keras.layers.Concatenate(name=f"{name}_join")([raised, *row])
            nodes[depth, column] = unit(joined, filters[depth], name)
    return [nodes[0, column] for column in range(len(filters))]


def _head(tensor: Any, outputs: int, activation: Activation, l2: float, column: int) -> Any:
    return keras.layers.Conv2D(
        outputs,
        1,
        activation=activation,
        kernel_initializer="he_normal",
        kernel_regularizer=keras.regularizers.L2(l2) if l2 else None,
        # Sums of half-precision probabilities are useless for scores and for the loss.
        dtype="float32",
        name=f"head_{column}",
    )(tensor)


def _check_network(channels: int, filters: Sequence[int], normalization: Normalization, dropout: float) -> None:
    if channels < 1:
        raise ArgumentError(f"channels must be 1 or more, got {channels}")
    if len(filters) < 2 or min(filters) < 1:
        raise ArgumentError(f"filters must name at least two depths, each of 1 or more filters, got {tuple(filters)}")
    check_choice("normalization", normalization, Normalization)
    if not 0 <= dropout < 1:
        raise ArgumentError(f"dropout must be at least 0 and below 1, got {dropout}")
