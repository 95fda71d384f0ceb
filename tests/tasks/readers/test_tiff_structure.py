import struct

import pytest

from segscale.errors import UnreadableImage
from segscale.tasks.readers.tiff_structure import page_orientations


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
    assert page_orientations(data, "a.tif") == [0] * pages


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True], ids=["classic", "BigTIFF"])
@pytest.mark.parametrize(("kind", "value", "expected"), [(3, 6, 6), (3, 0, 0), (3, 9, 0), (4, 6, 0)])
def test_the_orientation_of_a_page(order: str, big: bool, kind: int, value: int, expected: int) -> None:
    mark = b"II" if order == "<" else b"MM"
    number, count = ("Q", "QHHQH6xQ") if big else ("I", "HHHIH2xI")
    head = struct.pack(f"{order}HHHQ", 43, 8, 0, 16) if big else struct.pack(f"{order}H{number}", 42, 8)
    directory = struct.pack(f"{order}{count}", 1, 274, kind, 1, value, 0)
    assert page_orientations(mark + head + directory, "a.tif") == [expected]


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
        page_orientations(data, "a.tif")
