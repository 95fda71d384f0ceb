"""The head of a JPEG XL stream, read far enough to tell its size and whether it is lossless.

Specification: ISO/IEC 18181-1.
"""

_HEAD_BYTES = 256
_SIZES = ((1, 9), (1, 13), (1, 18), (1, 30))
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
"""Columns to rows."""
_ENUM = ((0, 0), (1, 0), (2, 4), (18, 6))
_GREY, _XYB = 1, 2
_CUSTOM = 2


class _Bits:
    """The bits of the head, lowest first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data[:_HEAD_BYTES], "little")
        self._place, self._end = 0, 8 * min(len(data), _HEAD_BYTES)
        self.is_known = True
        """False once the head ended early or had a part that is not read here; what is read then means nothing."""

    def take(self, count: int) -> int:
        self.is_known &= self._place + count <= self._end
        found = self._value >> self._place & ((1 << count) - 1)
        self._place += count
        return found

    def choose(self, *choices: tuple[int, int]) -> int:
        """One of four ranges, given as its first number and its bits."""
        first, bits = choices[self.take(2)]
        return first + self.take(bits)

    def expect(self, is_read_here: bool) -> None:
        """Note where a part follows that is not."""
        self.is_known &= is_read_here

    def align(self) -> None:
        self._place = -(-self._place // 8) * 8


def is_lossless_jpeg_xl(stream: bytes) -> bool:
    """Whether the pixels are coded as they are: in their own colours, not in XYB, and in the modular mode.

    False also for heads with parts that are not read here: colour profiles, previews, animation, extra channels.
    """
    bits = _Bits(stream)
    bits.take(16)
    _size(bits)
    is_xyb = _is_xyb(bits)
    bits.expect(bits.take(1) == 1)  # the default transform
    bits.align()
    is_default_frame = bits.take(1) == 1
    bits.take(2)  # the kind of frame
    is_modular = bits.take(1) == 1
    return bits.is_known and not is_xyb and not is_default_frame and is_modular


def jpeg_xl_size(stream: bytes) -> tuple[int, int] | None:
    """(rows, columns) that a stream claims; None for one in a container."""
    bits = _Bits(stream)
    bits.take(16)
    size = _size(bits)
    return size if bits.is_known and stream.startswith(b"\xff\x0a") else None


def _size(bits: _Bits) -> tuple[int, int]:
    """Rows and columns."""
    is_small = bits.take(1)
    rows = 8 * (1 + bits.take(5)) if is_small else bits.choose(*_SIZES)
    ratio = bits.take(3)
    if ratio:
        columns, of_rows = _RATIOS[ratio - 1]
        return rows, rows * columns // of_rows
    return rows, 8 * (1 + bits.take(5)) if is_small else bits.choose(*_SIZES)


def _is_xyb(bits: _Bits) -> bool:
    if bits.take(1):  # all defaults
        return True
    has_extra_fields = bits.take(1)
    if has_extra_fields:
        bits.take(3)  # orientation
        if bits.take(1):
            _size(bits)
        bits.expect(not bits.take(2))  # preview, animation
    if bits.take(1):  # floats
        bits.choose((32, 0), (16, 0), (24, 0), (1, 6))
        bits.take(4)
    else:
        bits.choose((8, 0), (10, 0), (12, 0), (1, 6))
    bits.take(1)  # whether buffers of 16 bits do
    bits.expect(not bits.choose((0, 0), (1, 0), (2, 4), (1, 12)))  # extra channels
    is_xyb = bool(bits.take(1))
    _pass_colours(bits)
    if has_extra_fields and not bits.take(1):  # tone mapping
        bits.take(49)
    bits.expect(not bits.take(2))  # extensions
    return is_xyb


def _pass_colours(bits: _Bits) -> None:
    if bits.take(1):  # sRGB
        return
    bits.expect(not bits.take(1))  # a profile
    space = bits.choose(*_ENUM)
    custom = space == _XYB or bits.choose(*_ENUM) == _CUSTOM
    if not custom and space != _GREY:
        custom = bits.choose(*_ENUM) == _CUSTOM
    bits.expect(not custom)
    if bits.take(1):  # gamma
        bits.take(24)
    else:
        bits.choose(*_ENUM)
    bits.choose(*_ENUM)  # rendering intent
