"""Weights of others: read from HDF5 and `.keras` files into a UNet++, layer by layer, by name.

Names of layers are those of this package (X_0_1_conv_1) or of the official Keras implementation (conv12_1), which
counts depths and columns from 1: https://github.com/MrGiovanni/UNetPlusPlus, keras/helper_functions.py. Files are read
with h5py alone: nothing is unpickled, no layer is built from a file, no link in a file is followed.
"""

from __future__ import annotations

import io
import itertools
import json
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

Shapes = tuple[tuple[int, ...], ...]
_Weights = dict[str, Any]
"""Datasets of one layer by name (kernel) or, where the file has no names, by position (0), in the file's order."""

_UNIT = re.compile(r"(conv|bn|norm)([1-9])([1-9])_([12])(_bn|_norm)?")
_UP = re.compile(r"up([1-9])([1-9])")
_HEAD = re.compile(r"output_([1-9])")

_ARCHIVED_WEIGHTS = "model.weights.h5"
_KEYS = {"Conv2D": "conv2d", "Conv2DTranspose": "conv2d_transpose", "BatchNormalization": "batch_normalization"}
"""Class of a layer to the key that Keras 3 stores such layers under, numbered from the second on."""
_KERAS_3_CONTAINERS = ("layers", "_layer_checkpoint_dependencies")
"""Group of the layers; Keras 2.13 wrote the same format under the second name."""
_LARGEST_EXPANSION = 100
"""Floats hardly shrink when packed; what unpacks to more than this is made to fill the memory."""
_DAMAGE = (
    OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError, EOFError, zlib.error, zipfile.BadZipFile
)  # fmt: skip
"""What h5py, zipfile and json raise on files that are cut or altered."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """A layer that both sides have, in different shapes."""

    layer: str
    """Its name in the model."""
    source: str
    """Its name in the file."""
    expected: Shapes
    """Shapes of the model's weights: kernel, bias."""
    found: Shapes
    """Shapes of the file's."""

    def describe(self) -> str:
        """What differs, in one line."""
        return f"{self.layer}: {self._difference()} ({self.source} has {self.found}, the model {self.expected})"

    def _difference(self) -> str:
        if len(self.found) != len(self.expected):
            return f"made of {len(self.found)} arrays in the file, of {len(self.expected)} in the model"
        found, expected = self.found[0], self.expected[0]
        if len(found) == len(expected) == 4:
            if self.layer.startswith("head_") and found[3] != expected[3]:
                return f"trained for {found[3]} outputs, the model has {expected[3]}"
            if self.layer == "X_0_0_conv_1" and found[2] != expected[2]:
                return f"trained on images of {found[2]} channels, the model takes {expected[2]}"
        return "of another shape"


@dataclass(frozen=True, slots=True)
class WeightsReport:
    """What a file of weights gave to a model and what it did not. Layers without weights are in no list."""

    path: str
    """The file."""
    loaded: tuple[str, ...]
    """Layers of the model that now have the file's weights, in the model's order."""
    missing: tuple[str, ...]
    """Layers of the model that the file has nothing for."""
    misfits: tuple[Misfit, ...]
    """Layers that the file has in other shapes."""
    unplaced: tuple[str, ...]
    """Layers of the file, by its names, that the model has no place for."""

    @property
    def as_initialised(self) -> tuple[str, ...]:
        """Layers of the model that kept the weights they had: `missing`, then those of `misfits`."""
        return self.missing + tuple(misfit.layer for misfit in self.misfits)

    def describe(self) -> str:
        """The report as text: one line where all fits, else one more for every way of not fitting."""
        n_layers = len(self.loaded) + len(self.as_initialised)
        lines = [f"{self.path}: weights of {len(self.loaded)} of the model's {n_layers} layers loaded"]
        if self.missing:
            lines.append(f"not in the file, left as initialised: {', '.join(self.missing)}")
        lines += [f"does not fit, left as initialised: {misfit.describe()}" for misfit in self.misfits]
        if self.unplaced:
            lines.append(f"in the file, without a place in the model: {', '.join(self.unplaced)}")
        return "\n".join(lines)


def load_weights_by_name(model: keras.Model, path: str | Path, *, strict: bool = False) -> WeightsReport:
    """Give `model` the weights of the layers that a file has under the same or the official name; say what did not fit.

    Takes `.h5` of Keras 2 (weights or whole model), `.weights.h5` and `.keras` of Keras 3, told apart by what is in
    them. Weights become the type of the model's variables.

    Raises ValueError in one sentence, leaving the model as it was, for a file that is missing, damaged or foreign, that
    holds links or weights that are no finite floats, or that shares no layer with the model. With `strict` also, with
    the text of the report, where any layer of the model stayed without weights.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"file of weights {path} does not exist")
    wanted = {layer.name: layer.weights for layer in model.layers if layer.weights}
    try:
        with _stored_layers(path) as stored:
            sources = _sources(stored, wanted)
            found = {
                layer: _arranged(stored[sources[layer]], variables)
                for layer, variables in wanted.items()
                if layer in sources
            }
            report = _compare(str(path), wanted, found, sources)
            values = {layer: [_floats(dataset, sources[layer]) for dataset in found[layer]] for layer in report.loaded}
    except _DAMAGE as error:
        reason = (str(error.args[-1] if error.args else "").splitlines() or [type(error).__name__])[0]
        # Plain ValueErrors are the sentences of this module.
        reason = reason if type(error) is ValueError else f"it is damaged ({reason})"
        raise ValueError(f"{path} cannot be loaded as weights: {reason}") from error
    if strict and report.as_initialised:
        raise ValueError(report.describe())
    for layer in report.loaded:
        for variable, value in zip(wanted[layer], values[layer], strict=True):
            variable.assign(value)
    return report


def place_of(name: str) -> str:
    """The name that a layer of the official implementation has in this package; any other name as it is.

    >>> place_of("conv12_1"), place_of("up31"), place_of("output_4")
    ('X_0_1_conv_1', 'X_2_0_up', 'head_4')
    """
    if unit := _UNIT.fullmatch(name):
        part = "conv" if unit[1] == "conv" and not unit[5] else "norm"
        return f"{_node(unit[2], unit[3])}_{part}_{unit[4]}"
    if up := _UP.fullmatch(name):
        return f"{_node(up[1], up[2])}_up"
    head = _HEAD.fullmatch(name)
    return f"head_{head[1]}" if head else name


def _node(depth: str, column: str) -> str:
    return f"X_{int(depth) - 1}_{int(column) - 1}"


def _sources(stored: Mapping[str, _Weights], wanted: Mapping[str, Any]) -> dict[str, str]:
    """Place in the model to name in the file."""
    sources: dict[str, str] = {}
    for source in stored:
        place = source if source in wanted else place_of(source)
        if place in sources:
            raise ValueError(f"its layers {sources[place]!r} and {source!r} are both {place!r} of the model")
        sources[place] = source
    if not stored:
        raise ValueError("it holds no weights")
    if not sources.keys() & wanted.keys():
        some = ", ".join(list(stored)[:3])
        raise ValueError(f"none of its {len(stored)} layers ({some}, ...) has the name of one of the model's")
    return sources


def _compare(
    path: str, wanted: Mapping[str, Any], found: Mapping[str, list[Any]], sources: Mapping[str, str]
) -> WeightsReport:
    pairs = [(layer, sources[layer], _shapes(wanted[layer]), _shapes(found[layer])) for layer in found]
    return WeightsReport(
        path=path,
        loaded=tuple(layer for layer, _, expected, stored in pairs if expected == stored),
        missing=tuple(layer for layer in wanted if layer not in found),
        misfits=tuple(Misfit(*pair) for pair in pairs if pair[2] != pair[3]),
        unplaced=tuple(source for place, source in sources.items() if place not in wanted),
    )


def _shapes(arrays: Sequence[Any]) -> Shapes:
    return tuple(tuple(array.shape) for array in arrays)


def _arranged(weights: _Weights, variables: Sequence[Any]) -> list[Any]:
    """The datasets of a layer in the model's order: by name where the names are the model's, else as they stand."""
    names = [variable.name for variable in variables]
    return [weights[name] for name in names] if sorted(names) == sorted(weights) else list(weights.values())


def _floats(dataset: Any, layer: str) -> Any:
    # Called for datasets of the model's own shape only: a file cannot announce more than the model has.
    if dataset.dtype.kind != "f":
        raise ValueError(f"its layer {layer!r} holds {dataset.dtype} where weights are floats (quantised models do)")
    with np.errstate(over="ignore"):
        values = np.asarray(dataset[()], np.float32)
    if not np.isfinite(values).all():
        raise ValueError(f"its layer {layer!r} holds weights that are not finite, as a diverged training leaves them")
    return values


@contextmanager
def _stored_layers(path: Path) -> Iterator[dict[str, _Weights]]:
    """Weights by the file's names of layers; datasets are read while the context is open, and not before."""
    if h5py.is_hdf5(path):
        with h5py.File(path, "r") as file:
            yield _layers(file, {})
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if _ARCHIVED_WEIGHTS not in archive.namelist():
                raise ValueError(f"it is an archive without {_ARCHIVED_WEIGHTS}, so no .keras file with HDF5 weights")
            names = _names_in_config(json.loads(_unpacked(archive, "config.json")))
            with h5py.File(io.BytesIO(_unpacked(archive, _ARCHIVED_WEIGHTS)), "r") as file:
                yield _layers(file, names)
    else:
        raise ValueError("it is neither HDF5 (.h5) nor a .keras archive, or is damaged")


def _unpacked(archive: zipfile.ZipFile, name: str) -> bytes:
    member = archive.getinfo(name)
    if member.file_size > _LARGEST_EXPANSION * max(member.compress_size, 1):
        raise ValueError(f"its {name} unpacks to {member.file_size} bytes from {member.compress_size}")
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


def _layers(file: Any, names: Mapping[str, str]) -> dict[str, _Weights]:
    root = _child(file, "model_weights") if "model_weights" in set(file) else file
    if {"layer_names", "layer_names0"} & set(root.attrs):
        return _keras_2_layers(root)
    for container in _KERAS_3_CONTAINERS:
        if container in set(file):
            return _keras_3_layers(_child(file, container), names)
    raise ValueError("it is HDF5, but holds no layers of a Keras model")


def _keras_2_layers(root: Any) -> dict[str, _Weights]:
    if _text(root.attrs.get("backend")) == "theano":
        raise ValueError(
            "it was written under Theano, whose kernels are mirrored; load it into its own model with Keras 2 under "
            "TensorFlow, which turns them, and save that"
        )
    layers: dict[str, _Weights] = {}
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
                raise ValueError(f"its layer {layer!r} has two weights {name!r}")
            weights[name] = _dataset(group, path)
    return layers


def _keras_3_layers(group: Any, names: Mapping[str, str]) -> dict[str, _Weights]:
    layers: dict[str, _Weights] = {}
    for key in group:
        entry = _child(group, key)
        variables: Any = _child(entry, "vars") if "vars" in set(entry) else {}
        if not len(variables):
            continue
        name = _text(variables.attrs.get("name")) or names.get(key)
        if not name:
            raise ValueError(
                "it does not hold the names of its layers, as .weights.h5 of older Keras versions; load it into its "
                "own model and save that as .keras"
            )
        if name in layers:
            raise ValueError(f"it holds two layers {name!r}")
        order = sorted(variables, key=lambda position: (len(position), position))
        layers[name] = {position: _dataset(variables, position) for position in order}
    return layers


def _child(group: Any, path: str) -> Any:
    """The member of a group, reached over hard links alone: any other kind could lead out of the file."""
    for name in path.split("/"):
        if not isinstance(group, h5py.Group) or not group.id.links.exists(name.encode()):
            raise ValueError(f"its {path!r} is not there; the file is damaged")
        if group.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
            raise ValueError(f"its {path!r} is a link to another place, and links are not followed")
        group = group[name]
    return group


def _dataset(group: Any, path: str) -> Any:
    dataset = _child(group, path)
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        raise ValueError(f"its {path!r} is no array; the file is damaged")
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"its {path!r} keeps its numbers in another file, and links are not followed")
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
