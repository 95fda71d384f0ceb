"""Weights of others: read from HDF5 and `.keras` files into a UNet++, layer by layer, by name.

Names of layers are those of this package (X_0_1_conv_1) or of the official Keras implementation (conv12_1), which
counts depths and columns from 1: https://github.com/MrGiovanni/UNetPlusPlus, keras/helper_functions.py.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from segscale.errors import DataError
from segscale.tasks.models.weights_file import LayerWeights, stored_layers

Shapes = tuple[tuple[int, ...], ...]
_UNIT = re.compile(r"(conv|bn|norm)([1-9])([1-9])_([12])(_bn|_norm)?")
_UP = re.compile(r"up([1-9])([1-9])")
_HEAD = re.compile(r"output_([1-9])")

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
        raise DataError(f"file of weights {path} does not exist")
    wanted = {layer.name: layer.weights for layer in model.layers if layer.weights}
    try:
        with stored_layers(path) as stored:
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
        # DataErrors are the sentences of this module and of weights_file.
        reason = reason if isinstance(error, DataError) else f"it is damaged ({reason})"
        raise DataError(f"{path} cannot be loaded as weights: {reason}") from error
    if strict and report.as_initialised:
        raise DataError(report.describe())
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


def _sources(stored: Mapping[str, LayerWeights], wanted: Mapping[str, Any]) -> dict[str, str]:
    """Place in the model to name in the file."""
    sources: dict[str, str] = {}
    for source in stored:
        place = source if source in wanted else place_of(source)
        if place in sources:
            raise DataError(f"its layers {sources[place]!r} and {source!r} are both {place!r} of the model")
        sources[place] = source
    if not stored:
        raise DataError("it holds no weights")
    if not sources.keys() & wanted.keys():
        some = ", ".join(list(stored)[:3])
        raise DataError(f"none of its {len(stored)} layers ({some}, ...) has the name of one of the model's")
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


def _arranged(weights: LayerWeights, variables: Sequence[Any]) -> list[Any]:
    """The datasets of a layer in the model's order: by name where the names are the model's, else as they stand."""
    names = [variable.name for variable in variables]
    return [weights[name] for name in names] if sorted(names) == sorted(weights) else list(weights.values())


def _floats(dataset: Any, layer: str) -> Any:
    # Called for datasets of the model's own shape only: a file cannot announce more than the model has.
    if dataset.dtype.kind != "f":
        raise DataError(f"its layer {layer!r} holds {dataset.dtype} where weights are floats (quantised models do)")
    with np.errstate(over="ignore"):
        values = np.asarray(dataset[()], np.float32)
    if not np.isfinite(values).all():
        raise DataError(f"its layer {layer!r} holds weights that are not finite, as a diverged training leaves them")
    return values
