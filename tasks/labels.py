"""Labels: what the values of label files mean, and the class indices that they become."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.errors import ArgumentError, ContradictionError, DataError
from segscale.tasks.axes import laid_over

IGNORED = 255
"""Class index of reference pixels that count in nothing."""
FULL_8_BITS = 255
"""White, as 8-bit files have it; wider types often hold what came from 8 bits."""
NO_CLASS = 254
"""What stands for a value that is refused, in tables; of more classes than this no table is made."""
_SHOWN = 5
_PLANES_BYTES = 2**24
"""Of a large volume so many are looked at at once."""


@dataclass(frozen=True, slots=True)
class LabelRule:
    """Which class each value of a label file stands for, and which value counts in nothing."""

    n_classes: int
    values: tuple[int, ...] = ()
    """The value of each class. Empty: 0 to C-1, and of two classes 0 against something else."""
    ignored: int | None = None
    """The value of pixels that are not to be scored; it wins over a listed one. None: there is none."""
    found: bool = False
    """Of two classes that nobody gave values: files of the set were looked at, and hold 0 and one other value, the one
    in `values`, or where that is empty 1 or full scale. What contradicts it is no bad file but another kind of set."""


def to_class_indices(labels: NDArray[Any], rule: LabelRule, name: str = "labels") -> NDArray[np.uint8]:
    """Class indices (uint8, shape of `labels`) of label values, integers or bool; the ignored one becomes `IGNORED`.

    Of two classes without `values`, anything but 0 is class 1 (instances). True stands for 1, or for 255 where 255 is
    listed and 1 is not. Raises DataError for a value that is neither listed nor ignored, most frequent values first,
    and ContradictionError where the rule was found in other files.

    >>> to_class_indices(np.array([0, 255, 7]), LabelRule(2, (0, 255), ignored=7)).tolist()
    [0, 1, 255]
    """
    indices = _indices_of_bytes(labels, rule)
    return _to_indices(labels, rule, name) if indices is None else indices


def _indices_of_bytes(labels: NDArray[Any], rule: LabelRule) -> NDArray[np.uint8] | None:
    """The same of labels of 8 bits, looked up; None for others, and where one of them has to be refused.

    Wider ones are taken for such where all would fit: each class would cost a look at all of them.
    """
    is_listed = bool(rule.values) or rule.n_classes > 2
    wider = labels.dtype.kind in "iu" and labels.dtype != np.uint8
    if wider and is_listed and labels.size and labels.min() >= 0 and labels.max() <= FULL_8_BITS:
        labels = labels.astype(np.uint8)
    if labels.dtype not in (np.uint8, np.bool_) or rule.n_classes > NO_CLASS:
        return None
    stored = bytearray(labels.view(np.uint8))
    if rule.found and not rule.values and 1 in stored and FULL_8_BITS in stored:
        return None
    indices = stored.translate(index_of_each_byte(rule, labels.dtype == np.bool_))
    return None if NO_CLASS in indices else np.frombuffer(indices, np.uint8).reshape(labels.shape)


@cache
def index_of_each_byte(rule: LabelRule, is_bool: bool) -> bytes:
    """What the rule makes of each value by itself, `NO_CLASS` where it refuses it."""
    table = bytearray([NO_CLASS]) * 256
    for value in range(2 if is_bool else 256):
        with suppress(DataError, ContradictionError):
            table[value] = _to_indices(np.array([value], np.bool_ if is_bool else np.uint8), rule, "")[0]
    return bytes(table)


def _to_indices(labels: NDArray[Any], rule: LabelRule, name: str) -> NDArray[np.uint8]:
    if not 2 <= rule.n_classes <= IGNORED:
        raise ArgumentError(f"{rule.n_classes} classes; expected 2 to {IGNORED}")
    if rule.values and (len(rule.values) != rule.n_classes or len(set(rule.values)) != rule.n_classes):
        raise ArgumentError(f"label_values {list(rule.values)}: expected {rule.n_classes} different values")
    stored = _numbers(labels, rule)
    ignored = stored == rule.ignored if rule.ignored is not None else np.zeros(stored.shape, np.bool_)
    if rule.values or rule.n_classes > 2:
        indices = _listed_indices(stored, rule, ignored, name)
    else:
        foreground = (stored != 0) & ~ignored
        if rule.found:
            _check_full_scale(labels, foreground, ~ignored, name)
        elif (stored[foreground] < 0).any():
            raise _no_class(stored[foreground & (stored < 0)], "0 and above", name)
        indices = foreground.view(np.uint8)
    indices[ignored] = IGNORED
    return indices


def class_indices(
    labels: NDArray[Any], size: Sequence[int], rule: LabelRule, name: str, under: str = "image"
) -> NDArray[np.uint8]:
    """The class indices (D, H, W) of a label file, laid over an image (or what `under` names) of `size` (D, H, W).

    Its axes of length 1 may stand anywhere; a stack with a plane for each class, of which exactly one is set at every
    pixel, is read as well. Raises DataError and ContradictionError as `to_class_indices`.
    """
    laid = laid_over(labels, size, {0, rule.n_classes}, name, under)
    return to_class_indices(laid, rule, name) if laid.ndim == len(size) else _of_planes(laid, name)


def write_class_indices(
    target: NDArray[np.uint8],
    labels: NDArray[Any],
    size: Sequence[int],
    rule: LabelRule,
    name: str,
    planes_bytes: int = _PLANES_BYTES,
) -> None:
    """`class_indices` written into an array (D, H, W), some planes at a time where labels are such planes."""
    planes = range(0, len(labels), max(1, planes_bytes // max(1, int(labels[0].nbytes))))
    is_done = tuple(labels.shape) == tuple(size) and len(planes) > 1 and _write_planes(target, labels, rule, planes)
    if not is_done:
        target[...] = class_indices(labels, size, rule, name)


def _write_planes(target: NDArray[np.uint8], labels: NDArray[Any], rule: LabelRule, planes: range) -> bool:
    """False where something has to be said of the labels as a whole."""
    values = set()
    for top in planes:
        block = labels[top : top + planes.step]
        try:
            indices = to_class_indices(block, rule)
        except (DataError, ContradictionError):
            return False
        target[top : top + planes.step] = indices
        if rule.found and not rule.values:
            # Of a block all foreground has one value: of all of them it must be the same.
            place = int((indices == 1).argmax())
            values |= {block.reshape(-1)[place].item()} if indices.reshape(-1)[place] == 1 else set()
    return len(values) <= 1


def _of_planes(planes: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Class indices of one-hot planes (D, H, W, C), class 0 first."""
    is_set = planes != 0
    odd = int(np.count_nonzero(np.count_nonzero(is_set, axis=-1) != 1))
    if odd or len(np.unique(planes[is_set])) != 1:
        raise DataError(
            f"{name}: a stack of {planes.shape[-1]} planes, one for each class, of which at {odd} pixels not exactly "
            "one is set, or not by one value; expected one-hot planes, or the class of each pixel as a number"
        )
    indices: NDArray[np.uint8] = is_set.argmax(axis=-1).astype(np.uint8)
    return indices


def is_full_scale(value: int, dtype: np.dtype[Any]) -> bool:
    """Whether a value of a label file says "yes" as 1 does: white in 8 bits, or the largest number of its type."""
    largest = int(np.iinfo(dtype).max) if dtype.kind in "iu" else 1
    return value in (1, FULL_8_BITS, largest)


def two_values_expected(values: Iterable[int], of_all: Iterable[int] = ()) -> str:
    """What files may mean that hold other values than the two that two classes need, and what to do about each.

    `values` are those of one file, `of_all` of all files looked at, where these hold more.
    """
    own = sorted({int(value) for value in values})
    # What is to be written has to do for every file.
    found = sorted({int(value) for value in of_all}.union(own))
    shown = _first(found)
    said = shown if shown == _first(own) else f"{_first(own)}, and {shown} in all files looked at"
    named = f"dataset.label_values = [{shown}]"
    readings = [
        f"the two classes ({named})" if len(found) == 2 else f"classes (name them in dataset.classes, and {named})",
        'instances (dataset.foreground = "any")',
        'probabilities (predictions.kind = "probabilities")',
        "grey values of a mask that was interpolated or saved as JPEG (threshold it and save 0 and 255)",
    ]
    if found[0] < 0:
        readings.insert(
            0, f"pixels that are not to be counted (dataset.ignore_label = {found[0]}), or 255 cast to int8"
        )
    elif FULL_8_BITS in found and len(found) > 2:
        readings.insert(0, f"pixels that are not to be counted (dataset.ignore_label = {FULL_8_BITS})")
    return (
        "expected 0 and one other value for two classes, where 1 and full scale count as one, found the values "
        f"{said}. They may be {', '.join(readings[:-1])}, or {readings[-1]}"
    )


def _first(values: Sequence[int]) -> str:
    return ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")


def _numbers(labels: NDArray[Any], rule: LabelRule) -> NDArray[Any]:
    if labels.dtype != np.bool_:
        return labels
    stored = labels.view(np.uint8)
    return stored * np.uint8(255) if FULL_8_BITS in rule.values and 1 not in rule.values else stored


def _listed_indices(labels: NDArray[Any], rule: LabelRule, ignored: NDArray[np.bool_], name: str) -> NDArray[np.uint8]:
    listed = rule.values or tuple(range(rule.n_classes))
    indices = np.full(labels.shape, IGNORED, np.uint8)
    for index, value in enumerate(listed):
        np.copyto(indices, np.uint8(index), where=labels == value)
    unlisted = labels[(indices == IGNORED) & ~ignored]
    if not unlisted.size:
        return indices
    if rule.found:
        raise _contradiction(name, np.unique(labels[~ignored]), f"0 and {listed[1]}")
    shown = ", ".join(str(value) for value in listed[:10]) + (", ..." if len(listed) > 10 else "")
    raise _no_class(unlisted, shown, name)


def _no_class(unlisted: NDArray[Any], expected: str, name: str) -> DataError:
    values, counts = np.unique(unlisted, return_counts=True)
    order = np.lexsort((values, -counts))[:_SHOWN]
    found = ", ".join(f"{int(values[i])} ({int(counts[i])} pixels)" for i in order)
    more = f" and {len(values) - _SHOWN} more values" if len(values) > _SHOWN else ""
    unsaid = "ignore_label = -1 if these are not to be counted" if -1 in values else "ignore_label"
    return DataError(
        f"{name}: label values {found}{more} are no class; expected {expected}: "
        f"set label_values or {unsaid}, or check whether the mask was resized with interpolation"
    )


def _check_full_scale(
    labels: NDArray[Any], foreground: NDArray[np.bool_], counted: NDArray[np.bool_], name: str
) -> None:
    """Raise ContradictionError unless all foreground pixels hold one and the same value, 1 or full scale."""
    place = int(foreground.argmax())
    if labels.dtype == np.bool_ or not foreground.reshape(-1)[place]:
        return
    value = int(labels.reshape(-1)[place])
    if not is_full_scale(value, labels.dtype) or (foreground & (labels != value)).any():
        raise _contradiction(name, np.unique(labels[counted]), "0 and 1, or 0 and full scale")


def _contradiction(name: str, values: NDArray[Any], others: str) -> ContradictionError:
    return ContradictionError(
        f"{name}: {two_values_expected(values.tolist())}. The files looked at before hold {others} alone: "
        "if this one should as well, save it anew"
    )
