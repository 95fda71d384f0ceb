"""Files of weights as other programs leave them: the arrays of each layer, by the file's own names.

They are read with h5py alone: nothing is unpickled, no layer is built from a file, no link in a file is followed.
"""

from __future__ import annotations

import io
import itertools
import json
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from segscale.errors import DataError

LayerWeights = dict[str, Any]
"""Datasets of one layer by name (kernel) or, where the file has no names, by position (0), in the file's order."""

_ARCHIVED_WEIGHTS = "model.weights.h5"
_KEYS = {"Conv2D": "conv2d", "Conv2DTranspose": "conv2d_transpose", "BatchNormalization": "batch_normalization"}
"""Class of a layer to the key that Keras 3 stores such layers under, numbered from the second on."""
_KERAS_3_CONTAINERS = ("layers", "_layer_checkpoint_dependencies")
"""Group of the layers; Keras 2.13 wrote the same format under the second name."""
_LARGEST_EXPANSION = 100
"""Floats hardly shrink when packed; what unpacks to more than this is made to fill the memory."""


@contextmanager
def stored_layers(path: Path) -> Iterator[dict[str, LayerWeights]]:
    """Weights by the file's names of layers; datasets are read while the context is open, and not before.

    Raises ValueError in a sentence about "it", the file, for what is no file of weights; and whatever h5py, zipfile and
    json raise on one that is cut or altered.
    """
    if h5py.is_hdf5(path):
        with h5py.File(path, "r") as file:
            yield _layers(file, {})
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if _ARCHIVED_WEIGHTS not in archive.namelist():
                raise DataError(f"it is an archive without {_ARCHIVED_WEIGHTS}, so no .keras file with HDF5 weights")
            names = _names_in_config(json.loads(_unpacked(archive, "config.json")))
            with h5py.File(io.BytesIO(_unpacked(archive, _ARCHIVED_WEIGHTS)), "r") as file:
                yield _layers(file, names)
    else:
        raise DataError("it is neither HDF5 (.h5) nor a .keras archive, or is damaged")


def _unpacked(archive: zipfile.ZipFile, name: str) -> bytes:
    member = archive.getinfo(name)
    if member.file_size > _LARGEST_EXPANSION * max(member.compress_size, 1):
        raise DataError(f"its {name} unpacks to {member.file_size} bytes from {member.compress_size}")
    return archive.read(member)


def _names_in_config(config: Any) -> dict[str, str]:
    """Key in the weights to name of the layer. Older files have the names here only; Keras counts as is done below."""
    names: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for layer in config["config"].get("layers", ()):
        key = _KEYS.get(layer["class_name"])
        if key:
            names[f"{key}_{counts[key]}" if counts[key] else key] = layer["config"]["name"]
            counts[key] += 1
    return names


def _layers(file: Any, names: Mapping[str, str]) -> dict[str, LayerWeights]:
    root = _child(file, "model_weights") if "model_weights" in set(file) else file
    if {"layer_names", "layer_names0"} & set(root.attrs):
        return _keras_2_layers(root)
    for container in _KERAS_3_CONTAINERS:
        if container in set(file):
            return _keras_3_layers(_child(file, container), names)
    raise DataError("it is HDF5, but holds no layers of a Keras model")


def _keras_2_layers(root: Any) -> dict[str, LayerWeights]:
    if _text(root.attrs.get("backend")) == "theano":
        raise DataError(
            "it was written under Theano, whose kernels are mirrored; load it into its own model with Keras 2 under "
            "TensorFlow, which turns them, and save that"
        )
    layers: dict[str, LayerWeights] = {}
    for layer in _texts(root, "layer_names"):
        group = _child(root, layer)
        paths = _texts(group, "weight_names")
        # A model inside the model (as training on several GPUs leaves) has all its layers in one group.
        nested = len({path.rpartition("/")[0] for path in paths}) > 1
        for path in paths:
            scope, _, weight = path.rpartition("/")
            weights = layers.setdefault(scope.rpartition("/")[2] if nested else layer, {})
            name = weight.partition(":")[0]
            if name in weights:
                raise DataError(f"its layer {layer!r} has two weights {name!r}")
            weights[name] = _dataset(group, path)
    return layers


def _keras_3_layers(group: Any, names: Mapping[str, str]) -> dict[str, LayerWeights]:
    layers: dict[str, LayerWeights] = {}
    for key in group:
        entry = _child(group, key)
        variables: Any = _child(entry, "vars") if "vars" in set(entry) else {}
        if not len(variables):
            continue
        name = _text(variables.attrs.get("name")) or names.get(key)
        if not name:
            raise DataError(
                "it does not hold the names of its layers, as .weights.h5 of older Keras versions; load it into its "
                "own model and save that as .keras"
            )
        if name in layers:
            raise DataError(f"it holds two layers {name!r}")
        order = sorted(variables, key=lambda position: (len(position), position))
        layers[name] = {position: _dataset(variables, position) for position in order}
    return layers


def _child(group: Any, path: str) -> Any:
    """The member of a group, reached over hard links alone: any other kind could lead out of the file."""
    for name in path.split("/"):
        if not isinstance(group, h5py.Group) or not group.id.links.exists(name.encode()):
            raise DataError(f"its {path!r} is not there; the file is damaged")
        if group.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
            raise DataError(f"its {path!r} is a link to another place, and links are not followed")
        group = group[name]
    return group


def _dataset(group: Any, path: str) -> Any:
    dataset = _child(group, path)
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        raise DataError(f"its {path!r} is no array; the file is damaged")
    if dataset.external or dataset.is_virtual:
        raise DataError(f"its {path!r} keeps its numbers in another file, and links are not followed")
    return dataset


def _texts(group: Any, name: str) -> list[str]:
    """A list in the attributes; Keras cuts long ones into name0, name1, ..."""
    if name in group.attrs:
        return [_text(text) for text in np.ravel(group.attrs[name])]
    numbered = itertools.takewhile(group.attrs.__contains__, (f"{name}{number}" for number in itertools.count()))
    return [_text(text) for part in numbered for text in np.ravel(group.attrs[part])]


def _text(value: object) -> str:
    """Strings come as bytes from files that Python 2 or h5py 2 wrote."""
    return value.decode() if isinstance(value, bytes) else str(value or "")
