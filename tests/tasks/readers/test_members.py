import pytest

from segscale.errors import UnreadableImage
from segscale.storage.bundles import pack
from segscale.tasks.readers.members import check_file_names, counted_names, found_files, header_with_files


def test_a_file_alone_is_its_own_header() -> None:
    header, files = header_with_files(b"bytes", "a")
    assert (bytes(header), files) == (b"bytes", {})


def test_a_bundle_is_its_first_file_and_the_others() -> None:
    header, files = header_with_files(pack({"a.mhd": b"header", "a.raw": b"1", "b.raw": b""}), "a.mhd")
    assert bytes(header) == b"header"
    assert [bytes(file) for file in found_files(("b.raw", "a.raw"), files, "a.mhd")] == [b"", b"1"]
    with pytest.raises(UnreadableImage, match=r"a.mhd: its voxels are in c.raw and 1 more, which is not there"):
        found_files(("a.raw", "c.raw", "d.raw"), files, "a.mhd")


@pytest.mark.parametrize("members", [b"", b"\0\0\0\2\xff\xff" + bytes(8)])
def test_damaged_bundles(members: bytes) -> None:
    with pytest.raises(UnreadableImage, match="a damaged bundle"):
        header_with_files(pack({}) + members, "a.mhd")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc/a.raw",
        "../a.raw",
        "a/../../b.raw",
        "C:\\a.raw",
        "s3://bucket/a.raw",
        "~/a.raw",
        "\\\\host\\a.raw",
        "a\0b.raw",
        "a\x1b[2J.raw",
        "a" * 256,
    ],
)
def test_files_are_beside_their_header(name: str) -> None:
    with pytest.raises(UnreadableImage, match="expected a file beside the header"):
        check_file_names([name], "a.mhd")
    assert check_file_names(["a.raw", "voxels/b.raw"], "a.mhd") == ("a.raw", "voxels/b.raw")


def test_no_files() -> None:
    with pytest.raises(UnreadableImage, match="lists the files of its voxels and names none"):
        check_file_names([], "a.mhd")


@pytest.mark.parametrize(
    ("pattern", "numbers", "names"),
    [
        ("s%d.raw", ("1", "3"), ("s1.raw", "s2.raw", "s3.raw")),
        ("s%03d.raw", ("9", "11", "2"), ("s009.raw", "s011.raw")),
        ("%2d", ("3", "1", "-1"), (" 3", " 2", " 1")),
    ],
)
def test_patterns(pattern: str, numbers: tuple[str, ...], names: tuple[str, ...]) -> None:
    assert counted_names(pattern, numbers, "a") == names


@pytest.mark.parametrize(
    ("pattern", "numbers", "message"),
    [
        pytest.param("%s.raw", ("1", "2"), "expected a pattern with one number", id="text"),
        pytest.param("%d%d.raw", ("1", "2"), "expected a pattern with one number", id="two numbers"),
        pytest.param("%999999999d", ("1", "2"), "expected a pattern with one number", id="a name of a gigabyte"),
        pytest.param("%d", ("one", "2"), "expected a pattern with one number", id="words"),
        pytest.param("%d", ("1", "2", "0"), "expected a pattern with one number", id="no step"),
        pytest.param("%d", ("1",), "expected a pattern with one number", id="no last"),
        pytest.param("%d", ("1", "1000000000000"), "1000000000000 files; expected at most 65536", id="many"),
        pytest.param("%d", ("2", "1"), "names none", id="the wrong way"),
        pytest.param("../%d", ("1", "2"), "beside the header", id="elsewhere"),
    ],
)
def test_refused_patterns(pattern: str, numbers: tuple[str, ...], message: str) -> None:
    with pytest.raises(UnreadableImage, match=message):
        counted_names(pattern, numbers, "a")
