"""Label maps: files whose numbers are classes or instances, never brightness."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.errors import UnreadableImage
from segscale.tasks.readers.channels import single_channel
from segscale.tasks.readers.formats import reader_for
from segscale.tasks.readers.picture import native_pixels

_INT32 = np.iinfo(np.int32)


def read_label_map(data: bytes, name: str) -> NDArray[np.integer[Any]]:
    """Label values (depth, height, width) in the integer type of the file (1 bit: uint8 of 0 and 1).

    They are those of `Reader.stored_values`: palettes with colours give their indices, small bit depths are not
    stretched. Three equal channels count as one; floats are accepted where all are whole numbers, as int32. Raises
    UnreadableImage for coloured images, for lossy formats and for fractions.
    """
    labels = single_channel(reader_for(name).stored_values(data, name), name)
    if labels.dtype == np.bool_:
        return native_pixels(labels.view(np.uint8))
    if labels.dtype.kind == "f":
        return _whole_numbers(labels, name)
    if labels.dtype.kind not in "iu":
        raise UnreadableImage(f"{name}: values of type {labels.dtype.name}; expected integers")
    return native_pixels(labels)


def _whole_numbers(values: NDArray[Any], name: str) -> NDArray[np.int32]:
    with np.errstate(invalid="ignore"):
        fractions = ~((np.trunc(values) == values) & (values >= _INT32.min) & (values <= _INT32.max))
    if fractions.any():
        raise UnreadableImage(
            f"{name}: {np.count_nonzero(fractions)} of {values.size} values are not whole numbers of 32 bits, "
            f"for example {float(values[fractions][0])}; expected labels (probabilities are read as such)"
        )
    return native_pixels(values.astype(np.int32))
