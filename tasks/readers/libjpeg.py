"""JPEG of every process and precision by libjpeg-turbo alone.

`imagecodecs.jpeg_decode` gives what that library refuses to another decoder, liblj92, which believes what a damaged
stream says of itself and then reads, and writes, beyond its memory: the process ends.
"""

from __future__ import annotations

from types import FunctionType, SimpleNamespace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

IN_TIFF: Final = frozenset({6, 7, 33007, 34892})
"""The numbers of its compression in TIFF."""
_END = b"\xff\xd9"


def decode_jpeg(data: bytes, *, header: bytes | None = None, **options: Any) -> NDArray[Any]:
    """Pixels (rows, columns) or (rows, columns, samples), uint8 or uint16, of a stream.

    header: what goes before it, where a file has the same beginning for all its streams. The options are those of
    `imagecodecs.jpeg_decode`. Raises what imagecodecs does for damage.
    """
    import imagecodecs

    options.pop("bitspersample", None)  # the stream says it
    return np.asarray(imagecodecs.jpeg8_decode(data if header is None else header + data + _END, **options))


def without_other_decoders(series: Any) -> None:
    """Let tifffile decode the pages of a series by `decode_jpeg` where they are JPEG.

    It cannot be told so. What decodes a page is a function that is made once for it, and calls the imagecodecs of its
    module: here it gets another one.
    """
    for page in {id(page.keyframe): page.keyframe for page in series.pages if page is not None}.values():
        if int(page.compression) not in IN_TIFF or not isinstance(page.decode, FunctionType):
            continue
        made = page.decode
        known = {**made.__globals__, "imagecodecs": SimpleNamespace(jpeg_decode=decode_jpeg)}
        page.decode = FunctionType(made.__code__, known, made.__name__, made.__defaults__, made.__closure__)
        page.decode.__kwdefaults__ = made.__kwdefaults__
