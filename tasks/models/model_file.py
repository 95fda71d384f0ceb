"""Model files: what a segmentation network takes and gives, saved and loaded as `.keras`."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras

from segscale.errors import DataError
from segscale.tasks.model_facts import AS_IT_IS, Activation, Ending, ModelFacts, ModelReading, check_head
from segscale.tasks.networks import fixed_size, last_layer, stride
from segscale.tasks.networks.endings import as_read, layer_activation
from segscale.tasks.networks.input_scaling import own_scaling
from segscale.tasks.tried_values import check_image, no_probabilities


def inspect_model(model: keras.Model, ending: Ending = "") -> ModelFacts:
    """The facts of a segmentation model, built here or elsewhere.

    With the `ending` "none" outputs that end in anything are taken for probabilities. Raises ValueError where it has
    not one image input (B, H, W, C), of a free or of one fixed size, or where an output is not
    (B, H, W, outputs) probabilities of one common kind with a name of its own, or whose weights are quantized.
    """
    channels = _image_channels(model)
    _check_names(model)
    _check_quantized(model)
    for name, tensor in zip(model.output_names, model.outputs, strict=True):
        if len(tensor.shape) != 4 or tensor.shape[-1] is None:
            raise DataError(f"output {name!r} of model {model.name!r} must be (B, H, W, outputs), got {tensor.shape}")
    kinds = {(int(tensor.shape[-1]), _activation_of(tensor, ending)) for tensor in model.outputs}
    if len(kinds) != 1:
        raise DataError(f"the outputs of model {model.name!r} differ in (outputs, activation): {sorted(kinds)}")
    outputs, activation = kinds.pop()
    check_head(outputs, activation)
    return ModelFacts(
        channels=channels,
        n_classes=2 if activation == "sigmoid" else outputs,
        outputs=outputs,
        activation=activation,
        heads=tuple(model.output_names),
        stride=stride(model),
        parameters=model.count_params(),
        rescales=own_scaling(model),
        fixed_size=fixed_size(model),
    )


def save_model(model: keras.Model, path: str | Path) -> None:
    """Write the network and its weights, without optimizer or loss, to a `.keras` file."""
    path = _keras_path(path)
    outputs = model.outputs if len(model.outputs) > 1 else model.outputs[0]
    keras.Model(model.input, outputs, name=model.name).save(path)


def load_model(path: str | Path, reading: ModelReading = AS_IT_IS) -> keras.Model:
    """A segmentation model from a `.keras` file made of standard Keras layers; no code from the file is run.

    Of the outputs those are kept that `reading` asks for, and each ends in a layer that gives probabilities.

    Raises ValueError in one sentence for a file that is missing, foreign, damaged, holds a Lambda or custom layer, or
    holds no segmentation model (see `inspect_model`).
    """
    path = _keras_path(path)
    if not path.is_file():
        raise DataError(f"model file {path} does not exist")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_standard(json.loads(archive.read("config.json")), path)
    except (zipfile.BadZipFile, KeyError, EOFError, OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path} is not a Keras 3 model file, or is damaged; save the model again") from error
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, AttributeError, OSError, RuntimeError, zipfile.BadZipFile) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path} cannot be read as a Keras model ({reason})") from error
    if isinstance(model, keras.Sequential):
        if not model.built:
            raise DataError(f"{path} holds a model that was never built; call it on an image and save it again")
        # A Sequential model has no named outputs to choose from.
        model = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    model = as_read(model, reading)
    facts = inspect_model(model, reading.activation)
    if reading.activation == "none":
        _check_values(model, facts)
    return model


def _image_channels(model: keras.Model) -> int:
    shapes = [tuple(tensor.shape) for tensor in model.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][-1] is None:
        raise DataError(f"model {model.name!r} must have one input (B, H, W, channels), got {shapes}")
    if (shapes[0][1] is None) != (shapes[0][2] is None):
        raise DataError(
            f"model {model.name!r} takes images of {shapes[0][1]}x{shapes[0][2]}, one side fixed and the other free; "
            "build it for any height and width (None, None), or for both fixed, and load the same weights"
        )
    if shapes[0][0] is not None:
        raise DataError(
            f"model {model.name!r} takes batches of {shapes[0][0]} images only; build it for any number (None) and "
            "load the same weights"
        )
    return int(shapes[0][-1])


def _check_names(model: keras.Model) -> None:
    """A layer that gives two outputs names both: by its name only the last of them could be had."""
    names = list(model.output_names)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"model {model.name!r} has several outputs named {twice[0]!r}; end each in a layer of its own, "
            "e.g. keras.layers.Activation with a name"
        )


def _check_quantized(model: keras.Model) -> None:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            _check_quantized(layer)
        elif isinstance(getattr(layer, "dtype_policy", None), keras.dtype_policies.QuantizedDTypePolicy):
            raise DataError(
                f"layer {layer.name!r} of model {model.name!r} holds quantized weights ({layer.dtype_policy.name}), "
                "which no engine here computes with; save the model before it is quantized"
            )


def _check_values(model: keras.Model, facts: ModelFacts) -> None:
    """Noise through the model: what is said to be probabilities may be some."""
    height, width = facts.fixed_size or (2 * facts.stride, 3 * facts.stride)
    for values in keras.tree.flatten(model(check_image(height, width, facts.channels), training=False)):
        if said := no_probabilities(keras.ops.convert_to_numpy(values)):
            raise DataError(f"model {model.name!r} {said}")


def _activation_of(tensor: Any, ending: Ending) -> Activation:
    """The activation that ends an output."""
    operation = tensor._keras_history.operation
    layer = last_layer(operation)
    found = layer_activation(layer)
    if found is not None:
        return found
    outputs = int(tensor.shape[-1])
    if ending == "none":
        return "sigmoid" if outputs == 1 else "softmax"
    function = getattr(layer, "activation", None)
    raise DataError(
        f"output {operation.name!r} must end in sigmoid or softmax so that it gives probabilities, it ends in "
        f"{getattr(function, '__name__', type(layer).__name__)}; write model.activation = "
        f'"{"sigmoid" if outputs == 1 else "softmax"}" if its values are logits (raw scores), or '
        'model.activation = "none" if they are probabilities already'
    )


def _keras_path(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix != ".keras":
        raise DataError(f"a model file must end in .keras, got {path.name!r}; write it with model.save('name.keras')")
    return path


def _check_standard(config: object, path: Path) -> None:
    for part in _dictionaries(config):
        kind, module = part.get("class_name"), part.get("module")
        if kind in ("Lambda", "__lambda__"):
            raise DataError(f"{path} holds a Lambda layer, that is code, which is not run; use standard Keras layers")
        # Keras names what is registered by others with their package in front.
        registered = str(part.get("registered_name") or "")
        if ">" in registered:
            raise DataError(f"{path} holds the custom {registered!r}; only standard Keras layers are loaded")
        if isinstance(module, str) and module not in ("builtins", "keras") and not module.startswith("keras."):
            raise DataError(f"{path} holds {kind!r} of {module!r}; only standard Keras layers are loaded")


def _dictionaries(config: object) -> Iterator[dict[str, object]]:
    if isinstance(config, dict):
        yield config
        children: Sequence[object] = list(config.values())
    else:
        children = config if isinstance(config, list) else []
    for child in children:
        yield from _dictionaries(child)
