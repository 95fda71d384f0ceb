"""Masks as rows of bits, one for each voxel: 64 voxels meet in one operation on a word.

A mask (depth, height, width) becomes uint64 (depth, height, words): voxel x of a row is bit x % 64 of word x // 64.
Behind the width bits are zero. A stack of 2-D masks is packed in the same way, its masks along the first axis.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.compiled import before_compiling, compiled

BitRows = NDArray[np.uint64]
"""(depth, height, words), or without leading axes."""

WORD = 64
NONE, ALL = np.uint64(0), np.uint64(2**64 - 1)
ONLY_COMPILED = "only compiled code calls this"


def bit_rows(mask: NDArray[Any], label: int = 1) -> BitRows:
    """Where a mask (..., width) has this label: uint64 (..., words). Of a boolean mask label 1 is what is true.

    >>> bit_rows(np.array([[True, False, True]]))
    array([[5]], dtype=uint64)
    """
    values = as_integers(mask)
    rows = np.empty((*mask.shape[:-1], n_words(mask.shape[-1])), np.uint64)
    # A boolean from elsewhere (a bitmap of Pillow's) is true as 255 too: it is packed as what is not 0.
    flipped = mask.dtype == np.bool_ and label == 1
    if not holds(values.dtype, label):
        rows[...] = 0
    elif rows.size:
        wanted = values.dtype.type(0 if flipped else label)
        pack(values.reshape(-1), mask.shape[-1], wanted, flipped, rows.reshape(-1, rows.shape[-1]))
    return rows


def mask_of(rows: BitRows, width: int) -> NDArray[np.bool_]:
    """The boolean mask (..., width) of rows of bits."""
    little = np.ascontiguousarray(rows).astype("<u8", copy=False).view(np.uint8)
    return np.unpackbits(little, axis=-1, count=width, bitorder="little").view(np.bool_)


def n_words(width: int) -> int:
    """Words of a row of so many voxels."""
    return -(-width // WORD)


def as_integers(mask: NDArray[Any]) -> NDArray[Any]:
    """The mask for `pack`: contiguous integers in the byte order of this machine."""
    values = mask.view(np.uint8) if mask.dtype == np.bool_ else mask
    return np.ascontiguousarray(values, values.dtype.newbyteorder("="))


def holds(dtype: np.dtype[Any], label: int) -> bool:
    """Whether a label can be a value of this type of integers."""
    limits = np.iinfo(dtype)
    return bool(limits.min <= label <= limits.max)


def equal_bits(values: Any, start: int, label: Any) -> Any:  # noqa: ARG001 - the overload below reads them
    """The word that says which of the 64 values (n,) from `start` on are the label."""
    raise AssertionError(ONLY_COMPILED)


def lowest_bit(word: Any) -> Any:  # noqa: ARG001 - the overload below reads it
    """Place of the lowest bit that is set, 64 where none is."""
    raise AssertionError(ONLY_COMPILED)


def highest_bit(word: Any) -> Any:  # noqa: ARG001 - the overload below reads it
    """Place of the highest bit that is set, -1 where none is."""
    raise AssertionError(ONLY_COMPILED)


def n_bits(word: Any) -> Any:  # noqa: ARG001 - the overload below reads it
    """How many bits are set."""
    raise AssertionError(ONLY_COMPILED)


@before_compiling
def _tell_numba() -> None:
    """What stands for the four functions above in compiled code: single instructions."""
    from llvmlite import ir
    from numba import types
    from numba.core.cgutils import get_item_pointer
    from numba.extending import intrinsic, overload

    bit, lane = ir.IntType(1), ir.IntType(32)

    def of_word(function: Callable[..., Any], build: Callable[[Any, Any], Any]) -> None:
        def typed(_: Any, word: Any) -> Any:  # noqa: ARG001 - numba matches the name
            return types.int64(types.uint64), lambda *given: build(given[1], given[3][0])

        called = intrinsic(typed)
        overload(function, strict=False)(lambda word: lambda word: called(word))  # noqa: ARG005 - numba matches the name

    def compare(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind, (values, start, label) = signature.args[0], arguments
        first = get_item_pointer(context, builder, kind, context.make_array(kind)(context, builder, values), [start])
        vector = ir.VectorType(label.type, WORD)
        found = builder.load(builder.bitcast(first, vector.as_pointer()), align=kind.dtype.bitwidth // 8)
        one = builder.insert_element(ir.Constant(vector, ir.Undefined), label, lane(0))
        wanted = builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(lane, WORD), [0] * WORD))
        return builder.bitcast(builder.icmp_unsigned("==", found, wanted), ir.IntType(WORD))

    def typed(_: Any, values: Any, start: Any, label: Any) -> Any:  # noqa: ARG001 - numba matches the names
        return types.uint64(values, types.intp, values.dtype), compare

    compared = intrinsic(typed)

    def call(values: Any, start: Any, label: Any) -> Callable[..., Any]:  # noqa: ARG001 - numba matches the names
        return lambda values, start, label: compared(values, start, label)

    overload(equal_bits, strict=False)(call)
    of_word(lowest_bit, lambda builder, word: builder.cttz(word, bit(0)))
    of_word(highest_bit, lambda builder, word: builder.sub(word.type(63), builder.ctlz(word, bit(0))))
    of_word(n_bits, lambda builder, word: builder.ctpop(word))


@compiled
def pack(values: Any, width: int, label: Any, flipped: bool, rows: BitRows) -> None:
    """Fill rows (n, words) from the values (n * width,) of a mask: where the label is, or flipped, where it is not."""
    words, part = rows.shape[1], width % 64
    mask_of_last = (np.uint64(1) << np.uint64(part)) - np.uint64(1) if part else ALL
    for r in range(rows.shape[0]):
        for w in range(words):
            start = r * width + w * 64
            if start + 64 <= values.size:
                word = equal_bits(values, start, label)
            else:
                # The end of the last row: no 64 values are left to be read.
                word = NONE
                for i in range(values.size - start):
                    word |= np.uint64(values[start + i] == label) << np.uint64(i)
            word ^= ALL if flipped else NONE
            rows[r, w] = word & mask_of_last if w == words - 1 else word
