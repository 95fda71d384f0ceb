"""UNet++ as a Keras model: built, pruned to a level, inspected, saved and loaded.

Architecture: Zhou et al., "UNet++: A Nested U-Net Architecture for Medical Image Segmentation", DLMIA 2018. Node
X[i, j] (depth i, column j) joins the upsampled X[i + 1, j - 1] with X[i, 0] .. X[i, j - 1]; head j is a 1x1 convolution
on X[0, j]. Level L keeps the nodes with i + j <= L, which is what head L needs and nothing else.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import keras

Activation = Literal["sigmoid", "softmax"]
Normalization = Literal["none", "batch"]

_LARGEST_STRIDE = 256
_HEAD_NAME = re.compile(r"head_([1-9]\d*)")


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a segmentation model takes and gives."""

    channels: int
    """Channels of the input image."""
    n_classes: int
    """Classes told apart; 2 for one sigmoid output."""
    outputs: int
    """Channels of every head: 1 for sigmoid, n_classes for softmax."""
    activation: Activation
    """Function that makes the outputs probabilities."""
    heads: tuple[str, ...]
    """Names of the outputs, shallowest first."""
    stride: int
    """Height and width must be multiples of this."""
    parameters: int
    """Weights, trained or not."""


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
    _check_head(outputs, activation)
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
        raise ValueError(f"heads {wanted} of level {level}: a level holds the heads up to its own number only")
    return select_outputs(model, [f"head_{number}" for number in wanted])


def select_outputs(model: keras.Model, names: Sequence[str]) -> keras.Model:
    """The subgraph of a model that its named outputs need, in the order of `names`; weights are shared."""
    present = dict(zip(model.output_names, model.outputs, strict=True))
    missing = [name for name in names if name not in present]
    if missing or not names:
        raise ValueError(f"model {model.name!r} has no output {missing}; its outputs are {sorted(present)}")
    tensors = [present[name] for name in names]
    return keras.Model(model.input, tensors if len(tensors) > 1 else tensors[0], name=model.name)


def supervised_levels(model: keras.Model) -> tuple[int, ...]:
    """Levels a UNet++ can be pruned to, ascending; empty for a network of another kind."""
    matches = [_HEAD_NAME.fullmatch(name) for name in model.output_names]
    if None in matches or not any(layer.name == "X_0_0_conv_1" for layer in model.layers):
        return ()
    return tuple(sorted(int(match[1]) for match in matches if match))


def stride(model: keras.Model) -> int:
    """Smallest power of two such that every height and width divisible by it comes back unchanged.

    Found by tracing shapes, so it holds for any network. Raises ValueError where nothing up to 256 does.
    """
    candidate = 1
    while candidate <= _LARGEST_STRIDE:
        if _keeps_size(model, 3 * candidate, 5 * candidate):
            return candidate
        candidate *= 2
    raise ValueError(
        f"model {model.name!r} gives no outputs of the size of its input, tried multiples of 1 to {_LARGEST_STRIDE}"
    )


def inspect_model(model: keras.Model) -> ModelFacts:
    """The facts of a segmentation model, built here or elsewhere.

    Raises ValueError where it has not one image input (B, H, W, C) of free size, or where an output is not
    (B, H, W, outputs) probabilities of one common kind.
    """
    channels = _image_channels(model)
    for name, tensor in zip(model.output_names, model.outputs, strict=True):
        if len(tensor.shape) != 4 or tensor.shape[-1] is None:
            raise ValueError(f"output {name!r} of model {model.name!r} must be (B, H, W, outputs), got {tensor.shape}")
    kinds = {
        (int(tensor.shape[-1]), _activation_of(model.get_layer(name)))
        for name, tensor in zip(model.output_names, model.outputs, strict=True)
    }
    if len(kinds) != 1:
        raise ValueError(f"the outputs of model {model.name!r} differ in (outputs, activation): {sorted(kinds)}")
    outputs, activation = kinds.pop()
    _check_head(outputs, activation)
    return ModelFacts(
        channels=channels,
        n_classes=2 if activation == "sigmoid" else outputs,
        outputs=outputs,
        activation=activation,
        heads=tuple(model.output_names),
        stride=stride(model),
        parameters=model.count_params(),
    )


def save_model(model: keras.Model, path: str | Path) -> None:
    """Write the network and its weights, without optimizer or loss, to a `.keras` file."""
    path = _keras_path(path)
    outputs = model.outputs if len(model.outputs) > 1 else model.outputs[0]
    keras.Model(model.input, outputs, name=model.name).save(path)


def load_model(path: str | Path) -> keras.Model:
    """A segmentation model from a `.keras` file made of standard Keras layers; no code from the file is run.

    Raises ValueError in one sentence for a file that is missing, foreign, damaged, holds a Lambda or custom layer, or
    holds no segmentation model (see `inspect_model`).
    """
    path = _keras_path(path)
    if not path.is_file():
        raise ValueError(f"model file {path} does not exist")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_standard(json.loads(archive.read("config.json")), path)
    except (zipfile.BadZipFile, KeyError, EOFError, OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a Keras 3 model file, or is damaged; save the model again") from error
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, AttributeError, OSError, RuntimeError, zipfile.BadZipFile) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path} cannot be read as a Keras model ({reason})") from error
    if isinstance(model, keras.Sequential):
        # A Sequential model has no named outputs to choose from.
        model = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    inspect_model(model)
    return model


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


def _check_head(outputs: int, activation: Activation) -> None:
    if activation not in get_args(Activation):
        raise ValueError(f"activation must be one of {get_args(Activation)}, got {activation!r}")
    if activation == "softmax" and outputs < 2:
        raise ValueError(
            f"softmax over {outputs} output is 1 everywhere, whatever the image; use sigmoid, or an output per class"
        )
    if activation == "sigmoid" and outputs != 1:
        raise ValueError(
            f"a sigmoid head has 1 output, p(class 1), got {outputs}; for exclusive classes use softmax "
            "(overlapping classes are not supported)"
        )


def _check_network(channels: int, filters: Sequence[int], normalization: Normalization, dropout: float) -> None:
    if channels < 1:
        raise ValueError(f"channels must be 1 or more, got {channels}")
    if len(filters) < 2 or min(filters) < 1:
        raise ValueError(f"filters must name at least two depths, each of 1 or more filters, got {tuple(filters)}")
    if normalization not in get_args(Normalization):
        raise ValueError(f"normalization must be one of {get_args(Normalization)}, got {normalization!r}")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be at least 0 and below 1, got {dropout}")


def _image_channels(model: keras.Model) -> int:
    shapes = [tuple(tensor.shape) for tensor in model.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][-1] is None:
        raise ValueError(f"model {model.name!r} must have one input (B, H, W, channels), got {shapes}")
    if shapes[0][1:3] != (None, None):
        raise ValueError(
            f"model {model.name!r} takes images of {shapes[0][1]}x{shapes[0][2]} only; build it for any height and "
            "width (None, None) and load the same weights"
        )
    return int(shapes[0][-1])


def _keeps_size(model: keras.Model, height: int, width: int) -> bool:
    image = keras.KerasTensor((1, height, width, model.inputs[0].shape[-1]))
    try:
        result = model(image)
    except ValueError:
        return False
    outputs = result if isinstance(result, list | tuple) else [result]
    return all(tuple(output.shape[1:3]) == (height, width) for output in outputs)


def _activation_of(layer: Any) -> Activation:
    """The activation that ends an output; a nested model is followed to its own last layer."""
    if isinstance(layer, keras.Sequential):
        return _activation_of(layer.layers[-1])
    if isinstance(layer, keras.Model):
        return _activation_of(layer.get_layer(layer.output_names[0]))
    if isinstance(layer, keras.layers.Softmax):
        return "softmax"
    function = getattr(layer, "activation", None)
    if function is keras.activations.sigmoid:
        return "sigmoid"
    if function is keras.activations.softmax:
        return "softmax"
    raise ValueError(
        f"output {layer.name!r} must end in sigmoid or softmax so that it gives probabilities, it ends in "
        f"{getattr(function, '__name__', type(layer).__name__)}"
    )


def _keras_path(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix != ".keras":
        raise ValueError(f"a model file must end in .keras, got {path.name!r}; write it with model.save('name.keras')")
    return path


def _check_standard(config: object, path: Path) -> None:
    for part in _dictionaries(config):
        kind, module = part.get("class_name"), part.get("module")
        if kind in ("Lambda", "__lambda__"):
            raise ValueError(f"{path} holds a Lambda layer, that is code, which is not run; use standard Keras layers")
        if isinstance(module, str) and module not in ("builtins", "keras") and not module.startswith("keras."):
            raise ValueError(f"{path} holds {kind!r} of {module!r}; only standard Keras layers are loaded")


def _dictionaries(config: object) -> Iterator[dict[str, object]]:
    if isinstance(config, dict):
        yield config
        children: Sequence[object] = list(config.values())
    else:
        children = config if isinstance(config, list) else []
    for child in children:
        yield from _dictionaries(child)
