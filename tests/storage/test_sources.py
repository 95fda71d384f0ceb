import os
import uuid
from itertools import repeat
from pathlib import Path

import fsspec
import pandas as pd
import pytest

from segscale.errors import ListingError
from segscale.storage.objects import ObjectStore
from segscale.storage.sources import (
    FILE_COLUMNS,
    file_name,
    file_version,
    files_by_stem,
    list_files,
    match_by_stem,
    read_file,
    read_manifest,
    stem,
)
from tests.storage.s3_server import Fault, S3Server, running_proxy

HEAD = "image_id,image,reference"


def _make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def _relative(pattern: str | Path) -> list[str]:
    return list(list_files(str(pattern))["relative"])


def _manifest(folder: Path, text: str, name: str = "manifest.csv") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def test_files_come_in_bytewise_order_of_their_path(tmp_path: Path) -> None:
    # As text in some languages, or folder by folder, the order would be another.
    _make(tmp_path, "a/z.png", "a.png", "a-b.png", "B.png", "b.png", "é.png", "a1.png", "a10.png", "a2.png")
    assert _relative(tmp_path) == [
        "B.png", "a-b.png", "a.png", "a/z.png", "a1.png", "a10.png", "a2.png", "b.png", "é.png",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        pytest.param("", ["a.png", "b.tif", "sub/c.png", "sub/deep/d.png"], id="folder, all below it"),
        pytest.param("*.png", ["a.png"], id="glob"),
        pytest.param("**/*.png", ["a.png", "sub/c.png", "sub/deep/d.png"], id="glob at any depth"),
        pytest.param("sub/*.png", ["c.png"], id="relative to where the magic starts"),
        pytest.param("s*/*.png", ["sub/c.png"], id="magic in a folder"),
        pytest.param("[ab].*", ["a.png", "b.tif"], id="set of letters"),
        pytest.param("?.tif", ["b.tif"], id="one letter"),
        pytest.param("sub/c.png", ["c.png"], id="single file"),
    ],
)
def test_patterns(tmp_path: Path, pattern: str, found: list[str]) -> None:
    _make(tmp_path, "a.png", "b.tif", "sub/c.png", "sub/deep/d.png")
    assert _relative(tmp_path / pattern) == found


@pytest.mark.parametrize("pattern", ["memory://{}", "memory://{}/*.png", "memory://{}/**/*.png"])
def test_any_file_system_is_listed(pattern: str) -> None:
    name = uuid.uuid4().hex
    memory = fsspec.filesystem("memory")
    memory.pipe_file(f"/{name}/b.png", b"1")
    memory.pipe_file(f"/{name}/a.png", b"22")
    listing = list_files(pattern.format(name))
    assert list(listing.columns) == list(FILE_COLUMNS)
    assert list(listing["relative"]) == ["a.png", "b.png"]
    assert [read_file(url) for url in listing["url"]] == [b"22", b"1"]


@pytest.mark.parametrize("name", ["a b.png", "a%20b.png", "a#b?.png", "ümlaut.png", "a+b&c.png"])
def test_a_listed_url_leads_back_to_its_file(tmp_path: Path, name: str) -> None:
    listing = list_files(str(_make(tmp_path, name)))
    assert read_file(listing["url"][0]) == name.encode()
    assert file_version(listing["url"][0]) == listing["version"][0]


@pytest.mark.parametrize("folder", ["set [1]", "what?", "a*b"])
def test_a_folder_may_have_magic_letters_in_its_name(tmp_path: Path, folder: str) -> None:
    _make(tmp_path / folder, "a.png")
    assert _relative(tmp_path / folder) == ["a.png"]


def test_linked_files_are_files(tmp_path: Path) -> None:
    # Data sets under version control are folders of links into a cache.
    _make(tmp_path, "cache/0a1b", "set/a.png")
    (tmp_path / "set/b.png").symlink_to(tmp_path / "cache/0a1b")
    assert _relative(tmp_path / "set") == ["a.png", "b.png"]
    assert _relative(tmp_path / "set/*.png") == ["a.png", "b.png"]


def test_hidden_files_are_left_out(tmp_path: Path) -> None:
    _make(tmp_path, "a.png", ".DS_Store", "._a.png", "sub/.b.png")
    assert _relative(tmp_path) == ["a.png"]
    assert _relative(tmp_path / "**/*.png") == ["a.png"]


def test_files_in_hidden_folders_are_left_out(tmp_path: Path) -> None:
    _make(tmp_path, "a.png", ".ipynb_checkpoints/a-checkpoint.png", ".git/b.png")
    assert _relative(tmp_path) == ["a.png"]
    assert _relative(tmp_path / "**/*.png") == ["a.png"]


@pytest.mark.parametrize("pattern", ["", "*.png", "none", "none/*.png", ".hidden"])
def test_nothing_found_is_an_error(tmp_path: Path, pattern: str) -> None:
    _make(tmp_path, ".hidden/.file")
    with pytest.raises(ListingError, match="expected files, found none"):
        list_files(str(tmp_path / pattern))


def test_a_name_that_is_no_text_is_an_error_of_the_listing(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")).write_bytes(b"")
    with pytest.raises(ListingError, match=r"xff|udcff"):
        list_files(str(tmp_path))


def test_the_version_changes_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    versions = []
    for data, time_ns in [(b"1", 10**18), (b"22", 10**18), (b"11", 10**18 + 10**6), (b"11", 10**18 + 10**9)]:
        file.write_bytes(data)
        os.utime(file, ns=(time_ns, time_ns))
        versions.append(list_files(str(tmp_path))["version"][0])
        assert file_version(str(file)) == versions[-1]
    assert len(set(versions)) == 4
    os.utime(file, ns=(5, 10**18 + 10**9))  # read, not changed
    assert file_version(str(file)) == versions[-1]


def test_no_file_has_no_version(tmp_path: Path) -> None:
    assert file_version(str(tmp_path / "none.png")) == ""
    assert file_version("memory://none") == ""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.png", "a"),
        ("sub/a.png", "a"),
        ("a.b.png", "a.b"),
        ("scan.nii.gz", "scan"),
        ("scan.NII.GZ", "scan"),
        ("a", "a"),
        ("x_0001.tiff", "x_0001"),
    ],
)
def test_stem(name: str, expected: str) -> None:
    assert stem(name) == expected


def test_images_meet_their_references_by_stem(tmp_path: Path) -> None:
    _make(tmp_path, "i/b.png", "i/a.tif", "i/c.png", "r/a.png", "r/b.png", "r/extra.png", "p/c.npy")
    listing = match_by_stem(str(tmp_path / "i"), str(tmp_path / "r"), str(tmp_path / "p"))
    assert list(listing["image_id"]) == ["a", "b", "c"]
    assert [url.rsplit("/", 1)[-1] for url in listing["image"]] == ["a.tif", "b.png", "c.png"]
    assert [url.rsplit("/", 1)[-1] for url in listing["reference"]] == ["a.png", "b.png", ""]
    assert [url.rsplit("/", 1)[-1] for url in listing["prediction"]] == ["", "", "c.npy"]
    assert [bool(version) for version in listing["reference_version"]] == [True, True, False]
    assert "prediction" not in match_by_stem(str(tmp_path / "i"), str(tmp_path / "r"))


def test_two_files_of_one_stem_are_refused(tmp_path: Path) -> None:
    _make(tmp_path, "one/a.png", "two/a.tif", "two/b.tif")
    with pytest.raises(ListingError, match=r"one/a\.png and two/a\.tif have the same stem 'a'.*manifest"):
        files_by_stem(str(tmp_path), "image")


def test_no_common_stem_is_refused(tmp_path: Path) -> None:
    _make(tmp_path, "i/a.png", "r/a_mask.png")
    with pytest.raises(ListingError, match="no common stem"):
        match_by_stem(str(tmp_path / "i"), str(tmp_path / "r"))


def test_a_manifest_keeps_its_order_and_its_groups(tmp_path: Path) -> None:
    _make(tmp_path, "images/b.png", "images/a.png", "masks/b.png")
    url = _manifest(tmp_path, f"{HEAD},age\nz,images/b.png,masks/b.png,7\n2,images/a.png,,8\n")
    listing = read_manifest(url)
    assert list(listing["image_id"]) == ["z", "2"]
    assert read_file(listing["image"][0]) == b"images/b.png"
    assert list(listing["reference"])[1] == ""
    assert list(listing["reference_version"])[1] == ""
    assert listing["image_version"][0] == file_version(str(tmp_path / "images/b.png"))
    assert [str(age) for age in listing["age"]] == ["7", "8"]


def test_paths_of_a_manifest(tmp_path: Path) -> None:
    absolute = _make(tmp_path, "x/a.png") / "x/a.png"
    url = _manifest(tmp_path / "x", f"{HEAD}\n1,a.png,{absolute}\n2,../x/a.png,memory://m/a.png\n")
    listing = read_manifest(url, roots=["memory://m"])
    assert read_file(listing["image"][0]) == read_file(listing["reference"][0]) == read_file(listing["image"][1])
    assert listing["reference"][1] == "memory://m/a.png"


@pytest.mark.parametrize("name", ["m.parquet", "m.pq"])
def test_a_parquet_manifest(tmp_path: Path, name: str) -> None:
    table = pd.DataFrame({"image_id": [1, 2], "image": ["a", "b"], "reference": ["a", None], "site": ["x", "y"]})
    table.to_parquet(tmp_path / name)
    listing = read_manifest(str(tmp_path / name))
    assert list(listing["image_id"]) == ["1", "2"]
    assert listing["reference"][1] == ""
    assert list(listing["site"]) == ["x", "y"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("", "CSV or Parquet manifest", id="zero bytes"),
        pytest.param(f"{HEAD}\n", "no rows|no images|empty", id="header only"),
        pytest.param(f"{HEAD},image_version\na,a,a,1\n", "a name that Segscale needs itself", id="a version"),
        pytest.param("image,reference\na,b\n", "image_id is missing", id="no ids"),
        pytest.param("image_id,image\na,b\n", "reference is missing", id="no references"),
        pytest.param("image_id;image;reference\na;b;c\n", "image_id", id="semicolons"),
        pytest.param(f"{HEAD}\n1,a,b\n,c,d\n", "row 2 has no image_id", id="empty id"),
        pytest.param(f"{HEAD}\n1,a,b\n1,c,d\n", "'1' stands in several rows", id="repeated id"),
        pytest.param(f"{HEAD}\n1,a,b\n2,c,d,e,f\n", "CSV or Parquet manifest", id="too many cells"),
    ],
)
def test_manifest_errors(tmp_path: Path, text: str, words: str) -> None:
    url = _manifest(tmp_path, text)
    with pytest.raises(ListingError, match=words) as caught:
        read_manifest(url)
    assert url in str(caught.value)


def test_a_manifest_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ListingError, match="expected a manifest, found none"):
        read_manifest(str(tmp_path / "none.csv"))
    with pytest.raises(ListingError, match=r"expected a .*manifest"):
        read_manifest(str(tmp_path))
    (tmp_path / "m.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(ListingError, match="CSV or Parquet manifest"):
        read_manifest(str(tmp_path / "m.parquet"))


def test_an_empty_id_in_a_parquet_manifest_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"image_id": ["", "a"], "image": ["x", "y"], "reference": ["x", "y"]}).to_parquet(tmp_path / "m.pq")
    with pytest.raises(ListingError, match="row 1 has no image_id"):
        read_manifest(str(tmp_path / "m.pq"))


def test_ids_and_groups_stay_as_they_are_written(tmp_path: Path) -> None:
    url = _manifest(tmp_path, f"{HEAD},patient_id,site\n001,a,b,007,NA\nNA,c,d,010,EU\n")
    listing = read_manifest(url)
    assert list(listing["image_id"]) == ["001", "NA"]
    assert list(listing["patient_id"]) == ["007", "010"]
    assert list(listing["site"]) == ["NA", "EU"]


def test_only_the_rows_of_a_split(tmp_path: Path) -> None:
    url = _manifest(tmp_path, f"{HEAD},split\na,a,a,test\nb,b,b,train\nc,c,c,test\n")
    listing = read_manifest(url, split="test")
    assert list(listing["image_id"]) == ["a", "c"]
    assert list(listing.index) == [0, 1]
    assert len(read_manifest(url)) == 3


@pytest.mark.parametrize(
    ("rows", "split", "words"),
    [
        pytest.param(",split\n1,a,b,test\n", "Test", r"no row has split 'Test'; there are \['test'\]", id="case"),
        pytest.param("\n1,a,b\n", "test", "expected a column named split", id="no such column"),
        pytest.param(",split\n1,a,b,test\n2,a,b,\n", "x", "no row has split 'x'", id="a row without a split"),
    ],
)
def test_split_errors(tmp_path: Path, rows: str, split: str, words: str) -> None:
    with pytest.raises(ListingError, match=words):
        read_manifest(_manifest(tmp_path, HEAD + rows), split=split)


def test_a_numbered_split_where_a_row_has_none(tmp_path: Path) -> None:
    url = _manifest(tmp_path, f"{HEAD},split\n1,a,b,1\n2,c,d,\n")
    assert list(read_manifest(url, split="1")["image_id"]) == ["1"]


@pytest.mark.parametrize(
    ("url", "name"), [("file:///data/x/a.png", "a.png"), ("s3://bucket/a.png", "a.png"), ("a.png", "a.png"), ("", "")]
)
def test_file_name(url: str, name: str) -> None:
    assert file_name(url) == name


def test_only_an_empty_cell_says_nothing(tmp_path: Path) -> None:
    listing = read_manifest(_manifest(tmp_path, f"{HEAD},patient_id\n1,a,a,007\n2,b,b,\n3,c,c,NA\n"))
    assert listing["patient_id"].tolist()[::2] == ["007", "NA"]
    assert listing["patient_id"].isna().tolist() == [False, True, False]


@pytest.mark.parametrize("path", ["a.png/x.png", "x" * 5000], ids=["below a file", "a name too long"])
def test_a_path_that_cannot_be_one_names_no_file(tmp_path: Path, path: str) -> None:
    (tmp_path / "a.png").write_bytes(b"1")
    listing = read_manifest(_manifest(tmp_path, f"{HEAD}\n1,{path},a.png\n"))
    assert listing["image_version"].tolist() == [""]


def test_a_link_that_leads_nowhere_is_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"1")
    (tmp_path / "b.png").symlink_to(tmp_path / "gone.png")
    assert [version != "" for version in list_files(str(tmp_path))["version"]] == [True, False]


def test_a_secret_in_a_manifest_is_refused_by_its_row(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text(
        "image_id,image,reference\na,a.png,a.png\nb,https://host/b.png?token=plantedSecret,b.png\n"
    )
    with pytest.raises(
        ListingError, match=r"column 'image' of image_id 'b': https://host/b.png\?token=\*\*\*"
    ) as caught:
        read_manifest(str(tmp_path / "manifest.csv"))
    assert "plantedSecret" not in str(caught.value)


@pytest.mark.slow
def test_files_in_a_bucket_are_listed_and_asked_for(s3_bucket: str) -> None:
    store = ObjectStore(s3_bucket)
    for name in ("b", "a", ".hidden"):
        store.write(f"images/{name}.png", name.encode())
    listing = list_files(f"{s3_bucket}/images/*.png")
    assert list(listing["relative"]) == ["a.png", "b.png"]
    assert [file_version(url) for url in listing["url"]] == list(listing["version"])
    assert read_file(listing["url"][0]) == b"a"
    store.write("manifest.csv", b"image_id,image,reference\nx,images/a.png,images/none.png\n")
    row = read_manifest(f"{s3_bucket}/manifest.csv").iloc[0]
    assert (row["image"], row["image_version"]) == (f"{s3_bucket}/images/a.png", listing["version"][0])
    assert row["reference_version"] == ""


@pytest.mark.slow
def test_a_file_that_may_not_be_looked_at_is_not_taken_for_missing(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_proxy(s3_server.port) as proxy, s3_server.reachable(monkeypatch, proxy.port):
        proxy.inject(lambda request: request.method == "HEAD", repeat(Fault(answer=(403, "AccessDenied"))))
        with pytest.raises(PermissionError):
            file_version(f"{s3_server.new_bucket()}/images/a.png")
