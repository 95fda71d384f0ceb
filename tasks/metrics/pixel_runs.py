"""Runs of neighbouring pixels as the compiled passes take them: contiguous, and probabilities as float32."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.compiled import before_compiling, compiled
from segscale.tasks.metrics.bins import BINS

IntegerArray = NDArray[np.integer[Any]]
Int64Array = NDArray[np.int64]
Uint16Array = NDArray[np.uint16]
Uint32Array = NDArray[np.uint32]
Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]

ZERO = np.float32(0)
TWO_AS_BITS = np.uint32(0x40000000)
SMALLEST_NORMAL_HALF = np.float32(2.0**-14)
ONLY_COMPILED = "only compiled code calls this"


def _known_contiguous(run: Any) -> Any:  # noqa: ARG001 - the overload below reads it
    """The same array (n,) under the type of contiguous ones, for which vector instructions are compiled."""
    raise AssertionError(ONLY_COMPILED)


def as_float32(run: Any, buffer: Float32Array) -> Any:  # noqa: ARG001 - the overload below reads both
    """Probabilities of a run as contiguous float32: the run itself, or the buffer with its decoded values."""
    raise AssertionError(ONLY_COMPILED)


@before_compiling
def _tell_numba() -> None:
    """What stands for the two functions above in compiled code."""
    from numba import types
    from numba.core.imputils import impl_ret_borrowed
    from numba.extending import intrinsic, overload

    def retype(_: Any, array: Any) -> Any:
        known = array.copy(layout="C")

        def same(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
            return impl_ret_borrowed(context, builder, known, arguments[0])

        return known(array), same

    retyped = intrinsic(retype)

    def compile_known_contiguous(run: Any) -> Callable[..., Any]:  # noqa: ARG001 - numba matches the name
        return lambda run: retyped(run)

    def compile_as_float32(run: Any, buffer: Any) -> Callable[..., Any]:  # noqa: ARG001 - numba matches both names
        if run.dtype == types.float32:
            return lambda run, buffer: contiguous(run, buffer)
        if run.dtype == types.uint16:
            return lambda run, buffer: _decode_halves(run, buffer)
        if run.dtype == types.uint8:
            return lambda run, buffer: _decode_codes(run, buffer)
        return lambda run, buffer: _cast(run, buffer)

    overload(_known_contiguous, strict=False)(compile_known_contiguous)
    overload(as_float32, strict=False)(compile_as_float32)


@compiled
def contiguous(run: Any, buffer: Any) -> Any:
    """The run itself where its pixels are neighbours in memory, else gathered into the buffer."""
    if run.strides[0] == run.itemsize:
        return _known_contiguous(run)
    gathered = buffer[: run.size]
    for i in range(run.size):
        gathered[i] = run[i]
    return gathered


@compiled
def _cast(run: Any, buffer: Float32Array) -> Float32Array:
    values = buffer[: run.size]
    for i in range(run.size):
        values[i] = np.float32(run[i])
    return values


@compiled
def _decode_codes(run: NDArray[np.uint8], buffer: Float32Array) -> Float32Array:
    values = buffer[: run.size]
    for i in range(run.size):
        values[i] = np.float32(run[i]) / np.float32(BINS)
    return values


@compiled
def _decode_halves(run: Uint16Array, buffer: Float32Array) -> Float32Array:
    """float16 given as bits; arithmetic on the bits takes vectors, a table of 65,536 values does not."""
    values = buffer[: run.size]
    bits = values.view(np.uint32)
    for i in range(run.size):
        half = np.uint32(run[i])
        # Exponents are 112 apart. Below 2**-14 halves have no leading 1: give them one, and take it away again.
        word = (half << np.uint32(13)) + (np.uint32(113 << 23) if half < 1024 else np.uint32(112 << 23))
        word = TWO_AS_BITS if half > 0x8000 else word
        bits[i] = np.uint32(0) if half == 0x8000 else word
    for i in range(run.size):
        values[i] -= SMALLEST_NORMAL_HALF if run[i] < 1024 else ZERO
    return values
