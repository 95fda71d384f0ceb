"""Signatures of broken evaluations in raw arrays: references and predictions as they would enter a formula."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.metrics.findings import Finding

WHITE = 255
SHOWN = 8
FLOAT16_MAX = float(np.finfo(np.float16).max)
FLOAT32_COUNTS_TO = 2**24


@dataclass(frozen=True, slots=True)
class Arrays:
    """A reference and a prediction as they came, and as one grid."""

    reference: NDArray[Any]
    prediction: NDArray[Any]
    labels: NDArray[Any]
    """The reference without a trailing channel axis of 1 where the prediction has, or lacks, channels."""
    n_channels: int
    """Channels of the prediction; 0 where it has the shape of `labels`."""
    values: NDArray[Any]
    """The distinct values of the reference."""


def broadcast_channels(arrays: Arrays) -> Finding | None:
    """A reference of one channel against several: NumPy and TensorFlow stretch it without a word."""
    if arrays.n_channels < 2 or arrays.reference.ndim != arrays.prediction.ndim:
        return None
    foreground, n = float(arrays.reference.sum(dtype=np.float64)), arrays.labels.size
    intersection = float((arrays.reference * arrays.prediction.astype(np.float64)).sum())
    dice = _ratio(2 * intersection, foreground + float(arrays.prediction.sum(dtype=np.float64)))
    return Finding(
        "broadcast-channels",
        "error",
        "a reference of one channel is stretched over the channels of a softmax, whose sum is 1 in every pixel",
        f"reference {arrays.reference.shape} against prediction {arrays.prediction.shape}: whole-tensor Dice is "
        f"{dice:.4f}, and 2F/(F+N) = {_ratio(2 * foreground, foreground + n):.4f} (Tversky F/(F+0.5N) = "
        f"{_ratio(foreground, foreground + n / 2):.4f}) whatever is predicted",
        "drop the last axis of the reference and score the foreground channel, prediction[..., 1]",
    )


def labels_as_numbers(arrays: Arrays) -> Finding | None:
    """Label values, such as 0 and 255, where class indices are meant."""
    of_prediction = np.unique(arrays.prediction) if arrays.n_channels < 2 else np.empty(0)
    is_foreground = arrays.n_channels < 2 and arrays.prediction.dtype.kind == "f" and of_prediction[-1] <= 1
    if _is_grey(arrays.values) or (is_foreground and _indices(arrays.values).max(initial=0) > 1):
        name, array, values = "reference", arrays.labels, arrays.values
    elif _is_grey(of_prediction) and arrays.values.max() <= 1:
        name, array, values = "prediction", arrays.prediction, of_prediction
    else:
        return None
    numbers = array.astype(np.float64)
    own = _ratio(2 * float(numbers.sum()), float(numbers.sum() + (numbers > 0).sum()))
    return Finding(
        "labels-as-numbers",
        "error",
        "label values are taken as numbers instead of being mapped to class indices",
        f"the {name} holds {_listed(values)}; against the same mask in 0 and 1 its Dice is {own:.4f}, and an IoU can "
        f"reach {float(values.max()):g}",
        "map label values to 0..C-1 first: reference == 255, or label_values in the configuration",
    )


def everything_foreground(arrays: Arrays) -> Finding | None:
    """A prediction that is 1 in every pixel."""
    if arrays.n_channels > 1 or not (arrays.prediction == 1).all() or (arrays.labels == 1).all():
        return None
    foreground, n = float((arrays.labels > 0).sum()), arrays.labels.size
    return Finding(
        "everything-foreground",
        "error",
        "softmax over a single channel, which is 1 everywhere",
        f"all {n} predicted values are 1, so Dice is 2F/(F+N) = {_ratio(2 * foreground, foreground + n):.4f} whatever "
        f"the network learnt",
        "give a network of one output channel a sigmoid, or two channels and a softmax",
    )


def nothing_foreground(arrays: Arrays) -> Finding | None:
    """A prediction that is 0 in every pixel, of references that are not."""
    if arrays.prediction.any() or not arrays.labels.any():
        return None
    return Finding(
        "nothing-foreground",
        "error",
        "argmax over a single channel, which is 0 everywhere, or an empty prediction",
        f"all {arrays.prediction.size} predicted values are 0, {int((arrays.labels > 0).sum())} reference pixels are "
        f"not; Dice 0",
        "threshold a network of one channel instead of argmax",
    )


def interpolated_reference(arrays: Arrays) -> Finding | None:
    """A mask that was resized bilinearly, or compressed like a photograph: values between its labels."""
    values = arrays.values
    between = values[values != np.round(values)]
    if not between.size and _between(values).size > SHOWN and WHITE >= values.max() > WHITE / 2:
        between = _between(values)
    if not between.size:
        return None
    mask = arrays.labels.astype(np.float64) / max(float(values.max()), 1.0)
    share = np.isin(arrays.labels, between).mean()
    return Finding(
        "interpolated-mask",
        "error",
        "the mask was resized with interpolation, or stored with loss, so that it holds values between its labels",
        f"{share:.2%} of the reference are {_listed(between)}; the mask against itself has a Dice of "
        f"{_ratio(2 * float((mask**2).sum()), 2 * float(mask.sum())):.4f}",
        "resize masks to the nearest neighbour and store them without loss",
    )


def narrow_sums(arrays: Arrays) -> Finding | None:
    """Number types in which the sums of a formula overflow or stop counting."""
    for name, array in (("prediction", arrays.prediction), ("reference", arrays.reference)):
        exact = float(np.abs(array).sum(dtype=np.float64)) if array.dtype.kind == "f" else 0.0
        # By its size: the sums of p and of 1 - p cannot both stay below.
        if array.dtype == np.float16 and array.size > FLOAT16_MAX:
            with np.errstate(over="ignore"):
                own = float(array.sum(dtype=np.float16))
            return Finding(
                "narrow-sums",
                "warning",
                "sums in float16 overflow to infinity above 65504, and Dice becomes 0 or NaN",
                f"the {name} is float16 with {array.size} values; they sum to {own:g} in float16, "
                f"to {exact:g} in float64",
                "cast to float32 before scoring, or count with count_overlap, which sums in float64",
            )
        if array.dtype == np.float32 and exact > FLOAT32_COUNTS_TO:
            return Finding(
                "narrow-sums",
                "note",
                "float32 stops counting ones at 2^24 = 16777216 where a library adds them one by one",
                f"the {name} is float32 and sums to {exact:.10g}",
                "sum in float64, or count with count_overlap",
            )
    return None


def _indices(values: NDArray[Any]) -> NDArray[Any]:
    """Whole values without 255 beside others, which marks pixels to ignore; none where there are fractions."""
    if not values.size or (values != np.round(values)).any() or _between(values).size > SHOWN:
        return np.empty(0)
    return np.asarray(values[values != WHITE] if values.size > 2 else values)


def _is_grey(values: NDArray[Any]) -> bool:
    indices = _indices(values)
    return WHITE in values and indices.size > 0 and not np.array_equal(indices, np.arange(indices.size))


def _between(values: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(values[(values > values.min()) & (values < values.max())])


def _listed(values: NDArray[Any]) -> str:
    more = f" and {values.size - SHOWN} more" if values.size > SHOWN else ""
    return ", ".join(f"{float(value):g}" for value in values[:SHOWN]) + more


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else float("nan")
