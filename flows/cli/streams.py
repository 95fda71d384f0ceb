"""stdout and stderr that outlive their readers: after `| head` nothing is printed any more, and the command goes on."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

_GONE = {errno.EPIPE, errno.ESHUTDOWN, errno.ECONNRESET}


class _Left(io.FileIO):
    """A descriptor whose reader may leave: what nobody can read any more is dropped."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self._terminal = os.isatty(descriptor)

    def write(self, data: Buffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            # EIO is the word of a terminal that is gone, and of a disk that is broken.
            if error.errno not in _GONE and not (error.errno == errno.EIO and self._terminal):
                raise
            return len(memoryview(data).cast("B"))


def outlive_readers() -> None:
    """For this process, before anything is printed: no error comes of a pipe that is closed, or of a closed stream.

    A character that the terminal's encoding lacks is written as its number: a report in another alphabet is no reason
    to fail.
    """
    for descriptor in range(3):
        # The next file that is opened would get the number of a closed stream, and what libraries print.
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdout = _outliving(sys.stdout, 1)
    sys.stderr = _outliving(sys.stderr, 2)


def _outliving(stream: TextIO | None, descriptor: int) -> TextIO:
    encoding, errors = "utf-8", "backslashreplace"
    if stream is not None:
        stream.flush()
        encoding = stream.encoding
        # In the locale C names of files are printed as they are.
        errors = "surrogateescape" if stream.errors == "surrogateescape" else errors
    written = io.BufferedWriter(_Left(descriptor))
    by_line = descriptor == 2 or os.isatty(descriptor)
    return io.TextIOWrapper(written, encoding=encoding, errors=errors, line_buffering=by_line)
