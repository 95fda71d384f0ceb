import io
import struct

import numpy as np
import pytest
import tifffile

from segscale.errors import UnreadableImage
from segscale.tasks.readers.tiff_structure import Page, chain_of_pages


def chain(*next_offsets: int) -> bytes:
    """A little-endian TIFF of page directories without entries, 6 bytes each, from byte 8 on."""
    return b"II*\0" + struct.pack("<I", 8) + b"".join(struct.pack("<HI", 0, offset) for offset in next_offsets)


@pytest.mark.parametrize(
    ("data", "pages"),
    [
        pytest.param(chain(0), 1, id="one page"),
        pytest.param(chain(14, 20, 0), 3, id="three pages"),
        pytest.param(b"MM\0*" + struct.pack(">IHI", 8, 0, 0), 1, id="big-endian"),
        pytest.param(b"II+\0" + struct.pack("<HHQQQ", 8, 0, 16, 0, 0), 1, id="BigTIFF"),
    ],
)
def test_pages_are_counted(data: bytes, pages: int) -> None:
    assert chain_of_pages(data, "a.tif") == [Page()] * pages


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True], ids=["classic", "BigTIFF"])
@pytest.mark.parametrize(
    ("kind", "value", "expected"), [(3, 6, 6), (3, 0, 0), (3, 9, 0), (4, 6, 6), (4, 65542, 0), (1, 6, 0)]
)
def test_the_orientation_of_a_page(order: str, big: bool, kind: int, value: int, expected: int) -> None:
    mark = b"II" if order == "<" else b"MM"
    field = "I" if kind == 4 else "H2x"
    number, count = ("Q", f"QHHQ{field}4xQ") if big else ("I", f"HHHI{field}I")
    head = struct.pack(f"{order}HHHQ", 43, 8, 0, 16) if big else struct.pack(f"{order}H{number}", 42, 8)
    directory = struct.pack(f"{order}{count}", 1, 274, kind, 1, value, 0)
    assert chain_of_pages(mark + head + directory, "a.tif") == [Page(expected)]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True], ids=["classic", "BigTIFF"])
def test_the_palette_of_a_page(order: str, big: bool) -> None:
    stream = io.BytesIO()
    colours = np.arange(3 * 256, dtype=np.uint16).reshape(3, 256)
    pixels = np.zeros((2, 3, 4), np.uint8)
    tifffile.imwrite(stream, pixels, byteorder=order, bigtiff=big, photometric="palette", colormap=colours)
    stored = colours.astype(f"{order}u2").tobytes()
    assert [page.palette for page in chain_of_pages(stream.getvalue(), "a.tif")] == [stored] * 2


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(chain(14, 8), "page 2 leads back to byte 8", id="circle"),
        pytest.param(chain(14), "page directory 2 lies beyond the 14 bytes", id="second page cut off"),
        pytest.param(chain(0)[:-1], "page directory 1 lies beyond", id="last byte cut off"),
        pytest.param(
            b"II+\0" + struct.pack("<HHQ", 8, 0, 2**63), "page directory 1 lies beyond", id="offset of 64 bits"
        ),
        pytest.param(b"II*\0" + struct.pack("<I", 0), "without pages", id="no page"),
        pytest.param(b"\x89PNG", "not a TIFF image", id="another format"),
    ],
)
def test_broken_chains(data: bytes, message: str) -> None:
    with pytest.raises(UnreadableImage, match=message):
        chain_of_pages(data, "a.tif")
