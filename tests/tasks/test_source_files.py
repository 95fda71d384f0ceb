"""Sources that are several files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from segscale.errors import ListingError
from segscale.storage.source_names import of_channels, of_segment, refuse_taken
from segscale.storage.sources import file_version
from segscale.tasks.readers import read_picture
from segscale.tasks.source_files import read_catalogued_source, read_source, source_version

HEADER = (
    b"ObjectType = Image\nNDims = 3\nDimSize = 5 4 3\nElementType = MET_UCHAR\nElementSpacing = 1 1 1\n"
    b"ElementDataFile = %s\n"
)


def test_the_hash_of_an_image_in_several_files_is_as_the_contract_has_it(tmp_path: Path) -> None:
    files = {"a_0000.png": b"first", "a_0001.png": b"second one"}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    expected = b"segscale bundle 1\n" + b"".join(
        len(name).to_bytes(4, "big") + name.encode() + len(data).to_bytes(8, "big") + data
        for name, data in files.items()
    )
    url = of_channels(f"file://{tmp_path}/a_", ["0000", "0001"], ".png")
    assert read_catalogued_source(url, hashlib.sha256(expected).hexdigest()) == expected
    (tmp_path / "a_0001.png").write_bytes(b"second two")
    with pytest.raises(OSError, match="changed while it was being read"):
        read_catalogued_source(url, hashlib.sha256(expected).hexdigest())


def test_channels_may_be_headers_with_their_voxels_beside_them(tmp_path: Path) -> None:
    """Whose change is one of the image."""
    for number in (0, 1):
        (tmp_path / f"a_000{number}.mhd").write_bytes(HEADER % f"a_000{number}.raw".encode())
        (tmp_path / f"a_000{number}.raw").write_bytes(bytes([number + 1]) * 60)
    name = of_channels("a_", ["0000", "0001"], ".mhd")
    url = f"file://{tmp_path}/{name}"
    pixels = read_picture(read_source(url), name).pixels
    assert pixels.shape == (3, 4, 5, 2)
    assert (pixels == [1, 2]).all()
    before = source_version(url, "v")
    (tmp_path / "a_0001.raw").write_bytes(b"\3" * 61)
    assert source_version(url, "v") != before


def test_a_segment_is_of_the_whole_file(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"all")
    url = f"file://{tmp_path}/a.dcm"
    assert read_source(of_segment(url, 3)) == b"all"
    assert source_version(of_segment(url, 3), file_version(url)) == file_version(url)


@pytest.mark.parametrize("name", ["a.dcm#segment=3", "a_{0000,0001}.nii.gz"])
def test_files_that_are_really_called_so_are_refused(name: str) -> None:
    refuse_taken(["a.dcm", "a#b.dcm", "a_{0000}.nii.gz", "a.dcm#segment=0", "{0000,0001}/a.png"])
    with pytest.raises(ListingError, match="rename it"):
        refuse_taken([name])
