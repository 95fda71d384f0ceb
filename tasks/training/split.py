"""Which samples a network learns from, and which it is judged by while it learns."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from segscale.errors import ArgumentError
from segscale.tasks.training.sample import Sample


@dataclass(frozen=True, slots=True)
class Split:
    """Two sets of samples that share no patient, each in the order the samples came in."""

    training: tuple[Sample, ...]
    """Learned from."""
    validation: tuple[Sample, ...]
    """Measured on after every epoch, never learned from."""


def split_samples(
    samples: Sequence[Sample],
    *,
    column: str = "",
    training: Collection[str] = (),
    validation: Collection[str] = (),
    fraction: float = 0.0,
    by: str = "",
) -> Split:
    """Split by the values of a group column, or by hashing. Without either, all samples train.

    With `column`: samples whose value is in `validation` validate, those whose value is in `training` train (all the
    others, where `training` is empty; otherwise the rest takes no part).

    With `fraction`, between 0 and 1: a sample validates where the hash of its value of the column `by` falls below it.
    The hash knows no other sample, so nobody changes sides when samples come or go.

    `by` names what must not be torn apart, such as patient_id; "" stands for the image. Raises ValueError where a value
    of it would be on both sides, for an unknown column or value, and where a side stays empty; the message names what
    there is.
    """
    if column and fraction:
        raise ArgumentError(f"split: expected a column or a fraction, got column {column!r} and fraction {fraction}")
    if (training or validation) and not column:
        raise ArgumentError("split: training and validation are values of a column; expected its name, got none")
    if column:
        return _split_by_column(samples, column, frozenset(training), frozenset(validation), by)
    return _split_by_hash(samples, fraction, by) if fraction else Split(tuple(samples), ())


def hash_share(value: str) -> float:
    """A number in [0, 1) that is the value's own: the first 53 bits of its sha256, a fraction without rounding."""
    return (int.from_bytes(hashlib.sha256(value.encode()).digest()[:8]) >> 11) / 2**53


def _split_by_column(
    samples: Sequence[Sample], column: str, training: frozenset[str], validation: frozenset[str], by: str
) -> Split:
    values = [_value(sample, column) for sample in samples]
    known = sorted(set(values))
    unknown = sorted((training | validation) - set(values))
    if unknown:
        raise ArgumentError(f"split: no sample has the values {unknown} in column {column!r}; there are {_some(known)}")
    if training & validation:
        raise ArgumentError(
            f"split: values {sorted(training & validation)} of {column!r} are in training and validation"
        )
    if not validation:
        raise ArgumentError(f"split: expected values of {column!r} for validation, got none; there are {_some(known)}")
    learned = training or frozenset(known) - validation
    if not learned:
        raise ArgumentError(
            f"split: validation takes all values of {column!r} and leaves none to train on: {_some(known)}"
        )
    split = Split(
        tuple(sample for sample, value in zip(samples, values, strict=True) if value in learned),
        tuple(sample for sample, value in zip(samples, values, strict=True) if value in validation),
    )
    _check_apart(split, by)
    return split


def _split_by_hash(samples: Sequence[Sample], fraction: float, by: str) -> Split:
    if not 0 < fraction < 1:
        raise ArgumentError(f"split: expected a fraction between 0 and 1, got {fraction}")
    validates = {value: hash_share(value) < fraction for value in sorted({_value(sample, by) for sample in samples})}
    if len(set(validates.values())) < 2:
        side = "validation" if any(validates.values()) else "training"
        raise ArgumentError(
            f"split: a fraction of {fraction} puts all {len(validates)} values of {by or 'image_id'!r} "
            f"in {side}: {_some(validates)}; choose another fraction, or name values of a column"
        )
    return Split(
        tuple(sample for sample in samples if not validates[_value(sample, by)]),
        tuple(sample for sample in samples if validates[_value(sample, by)]),
    )


def _check_apart(split: Split, by: str) -> None:
    shared = {_value(sample, by) for sample in split.training} & {_value(sample, by) for sample in split.validation}
    if shared:
        raise ArgumentError(
            f"split: {by or 'image_id'!r} {_some(sorted(shared))} would be in training and in validation"
        )


def _value(sample: Sample, column: str) -> str:
    if not column:
        return sample.image_id
    if column not in sample.groups:
        raise ArgumentError(
            f"split: image {sample.image_id!r} has no column {column!r}; its columns are {sorted(sample.groups)}"
        )
    return sample.groups[column]


def _some(values: Iterable[str]) -> str:
    listed = [repr(value) for value in values]
    return ", ".join(listed[:10]) + (f" and {len(listed) - 10} more" if len(listed) > 10 else "")
