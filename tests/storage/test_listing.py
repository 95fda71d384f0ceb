"""Which files a pattern names, and what is said of the others."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from segscale.errors import ListingError
from segscale.storage import trees
from segscale.storage.listing import FILE_COLUMNS, list_files, names_in
from segscale.storage.manifests import read_manifest
from segscale.storage.objects import ObjectStore
from segscale.storage.sources import file_version, read_file
from tests.storage.made_files import make


def _relative(pattern: str | Path) -> list[str]:
    return list(list_files(str(pattern)).files["relative"])


def _notes(pattern: str | Path) -> list[str]:
    return [note.text for note in list_files(str(pattern)).notes]


def test_files_come_in_bytewise_order_of_their_path(tmp_path: Path) -> None:
    # As text in some languages, or folder by folder, the order would be another.
    make(tmp_path, "a/z.png", "a.png", "a-b.png", "B.png", "b.png", "é.png", "a1.png", "a10.png", "a2.png")
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
    make(tmp_path, "a.png", "b.tif", "sub/c.png", "sub/deep/d.png")
    assert _relative(tmp_path / pattern) == found


@pytest.mark.parametrize("pattern", ["memory://{}", "memory://{}/*.png", "memory://{}/**/*.png"])
def test_any_file_system_is_listed(pattern: str) -> None:
    name = uuid.uuid4().hex
    memory = fsspec.filesystem("memory")
    memory.pipe_file(f"/{name}/b.png", b"1")
    memory.pipe_file(f"/{name}/a.png", b"22")
    listing = list_files(pattern.format(name)).files
    assert list(listing.columns) == list(FILE_COLUMNS)
    assert list(listing["relative"]) == ["a.png", "b.png"]
    assert [read_file(url) for url in listing["url"]] == [b"22", b"1"]


@pytest.mark.parametrize("name", ["a b.png", "a%20b.png", "a#b?.png", "ümlaut.png", "a+b&c.png"])
def test_a_listed_url_leads_back_to_its_file(tmp_path: Path, name: str) -> None:
    listing = list_files(str(make(tmp_path, name))).files
    assert read_file(listing["url"][0]) == name.encode()
    assert file_version(listing["url"][0]) == listing["version"][0]


def test_linked_files_are_files(tmp_path: Path) -> None:
    # Data sets under version control are folders of links into a cache.
    make(tmp_path, "cache/0a1b", "set/a.png")
    (tmp_path / "set/b.png").symlink_to(tmp_path / "cache/0a1b")
    assert _relative(tmp_path / "set") == ["a.png", "b.png"]
    assert _relative(tmp_path / "set/*.png") == ["a.png", "b.png"]


@pytest.mark.parametrize("pattern", ["", "**/*.png"])
@pytest.mark.parametrize(
    "hidden",
    [
        pytest.param([".DS_Store", "._a.png", "sub/.b.png"], id="files"),
        pytest.param([".ipynb_checkpoints/a-checkpoint.png", ".git/b.png"], id="files in hidden folders"),
    ],
)
def test_what_is_hidden_is_left_out(tmp_path: Path, hidden: list[str], pattern: str) -> None:
    make(tmp_path, "a.png", *hidden)
    assert _relative(tmp_path / pattern) == ["a.png"]


@pytest.mark.parametrize("pattern", ["", "*.png", "none", "none/*.png", ".hidden"])
def test_nothing_found_is_an_error(tmp_path: Path, pattern: str) -> None:
    make(tmp_path, ".hidden/.file")
    with pytest.raises(ListingError, match="expected files, found none"):
        list_files(str(tmp_path / pattern))


def test_a_name_that_is_no_text_is_an_error_of_the_listing(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")).write_bytes(b"")
    with pytest.raises(ListingError, match=r"xff|udcff"):
        list_files(str(tmp_path))


def test_a_link_that_leads_nowhere_is_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"1")
    (tmp_path / "b.png").symlink_to(tmp_path / "gone.png")
    assert [version != "" for version in list_files(str(tmp_path)).files["version"]] == [True, False]


@pytest.mark.slow
def test_files_in_a_bucket_are_listed_and_asked_for(s3_bucket: str) -> None:
    store = ObjectStore(s3_bucket)
    for name in ("b", "a", ".hidden"):
        store.write(f"images/{name}.png", name.encode())
    listing = list_files(f"{s3_bucket}/images/*.png").files
    assert list(listing["relative"]) == ["a.png", "b.png"]
    assert [file_version(url) for url in listing["url"]] == list(listing["version"])
    assert read_file(listing["url"][0]) == b"a"
    store.write("manifest.csv", b"image_id,image,reference\nx,images/a.png,images/none.png\n")
    row = read_manifest(f"{s3_bucket}/manifest.csv").images.iloc[0]
    assert (row["image"], row["image_version"]) == (f"{s3_bucket}/images/a.png", listing["version"][0])
    assert row["reference_version"] == ""


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        pytest.param("fold[2]/*.png", ["of_2.png"], id="a set of one letter is a name"),
        pytest.param("fold[3]/*.png", None, id="and stands for no other folder"),
        pytest.param("run[ab]/*.png", ["run[ab]/of_ab.png"], id="a folder of the literal name"),
        pytest.param("run[[]ab]/*.png", ["of_ab.png"], id="escaped"),
        pytest.param("run[ab]", ["run[ab]/of_ab.png"], id="as a folder"),
        pytest.param("set [1]", ["a.png"], id="a set of one letter in the name of a folder"),
        pytest.param("what?", ["what?/a.png"], id="a question mark in it"),
        pytest.param("x*y", ["x*y/a.png"], id="a star in it"),
        pytest.param("*/of_2.png", ["fold[2]/of_2.png"], id="below a star"),
        pytest.param("a::b/c#d/*", ["e%20f.png"], id="what means something in URLs"),
        pytest.param("a::b", ["c#d/e%20f.png"], id="in a folder"),
    ],
)
def test_names_that_look_like_patterns(tmp_path: Path, pattern: str, found: list[str] | None) -> None:
    make(tmp_path, "fold[2]/of_2.png", "fold2/old.png", "fold3/old.png", "run[ab]/of_ab.png", "a::b/c#d/e%20f.png")
    make(tmp_path, "set [1]/a.png", "what?/a.png", "x*y/a.png")
    if found is None:
        with pytest.raises(ListingError, match=r"there is no .*fold.3.; .* holds .*fold3"):
            list_files(str(tmp_path / pattern))
    else:
        assert _relative(tmp_path / pattern) == found


@pytest.mark.parametrize(
    ("names", "pattern", "both"),
    [
        (("run[12]/a.png", "run1/a.png"), "run[12]/*.png", ("run[12]", "run1")),
        (("run[12]/a.png", "run2/a.png"), "run[12]", ("run[12]", "run2")),
        (("im?.png", "im1.png"), "im?.png", ("im?.png", "im1.png")),
        (("x/b[0-9]/a.png", "x/b7/a.png"), "*/b[0-9]/a.png", ("b[0-9]", "b7")),
    ],
)
def test_where_a_name_and_a_pattern_match_both_are_named(
    tmp_path: Path, names: tuple[str, ...], pattern: str, both: tuple[str, str]
) -> None:
    with pytest.raises(ListingError) as caught:
        list_files(str(make(tmp_path, *names) / pattern))
    assert repr(both[0]) in str(caught.value)
    assert both[1] in str(caught.value).replace(both[0], "")


def test_the_same_elsewhere_than_on_a_disk() -> None:
    name, memory = uuid.uuid4().hex, fsspec.filesystem("memory")
    for path in ("run[12]/a.PNG", "fold[2]/b.png", "fold2/c.png", "sub/d.png"):
        memory.pipe_file(f"/{name}/{path}", b"1")
    assert _relative(f"memory://{name}/run[12]/*.png") == ["run[12]/a.PNG"]
    assert _relative(f"memory://{name}/fold[2]/*.png") == ["b.png"]
    assert _relative(f"memory://{name}/run[12]") == ["run[12]/a.PNG"]
    memory.pipe_file(f"/{name}/run1/e.png", b"1")
    with pytest.raises(ListingError, match=r"'run\[12\]' is the name .* run1 too"):
        list_files(f"memory://{name}/run[12]/*.png")


@pytest.mark.parametrize("pattern", ["", "**/*.tif", "**", "site_*/*.tif"])
def test_linked_folders_are_followed(tmp_path: Path, pattern: str) -> None:
    make(tmp_path, "set/site_0/a.tif", "disk_2/b.tif", "disk_2/deep/c.tif")
    (tmp_path / "set/site_1").symlink_to(tmp_path / "disk_2", target_is_directory=True)
    (tmp_path / "set/site_2").symlink_to("../disk_2/deep")
    expected = ["site_0/a.tif", "site_1/b.tif", "site_1/deep/c.tif", "site_2/c.tif"]
    assert _relative(tmp_path / "set" / pattern) == [
        name for name in expected if pattern[0:1] != "s" or "deep" not in name
    ]


@pytest.mark.parametrize("link", ["set/sub/up", "set/self"])
def test_a_folder_that_is_linked_into_itself_is_refused(tmp_path: Path, link: str) -> None:
    make(tmp_path, "set/sub/a.png")
    (tmp_path / link).symlink_to(tmp_path / "set")
    for pattern in ("set", "set/**/*.png"):
        with pytest.raises(ListingError, match="a link to a folder that holds it"):
            list_files(str(tmp_path / pattern))
    assert _relative(tmp_path / "set/sub/*.png") == ["a.png"], "a pattern that does not go there is not in danger"


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.tif", ["a.tif", "b.TIF", "c.Tif"]),
        ("*_L.nii.gz", ["x_L.NII.gz", "y_L.nii.gz"]),
        ("a.TIF", None),
        ("?.[tT]if", ["a.tif", "c.Tif"]),
    ],
)
def test_endings_in_other_case(tmp_path: Path, pattern: str, found: list[str] | None) -> None:
    make(tmp_path, "a.tif", "b.TIF", "c.Tif", "d.png", "x_L.NII.gz", "x_l.nii.gz", "y_L.nii.gz")
    if found is None:
        with pytest.raises(ListingError, match=r"there is no .*a\.TIF; .* holds a\.tif"):
            list_files(str(tmp_path / pattern))
    else:
        assert _relative(tmp_path / pattern) == found


@pytest.mark.parametrize(
    ("names", "pattern", "note"),
    [
        (["Thumbs.db", "sub/desktop.ini"], "", "2 names of the operating system left out: Thumbs.db, sub/desktop.ini"),
        (["__MACOSX/._a.png", "@eaDir/a.png/x.jpg"], "**/*.png", "2 names of the operating system left out"),
        ([".b.png", ".c.png"], "*.png", "2 hidden names left out: .b.png, .c.png"),
        (["site/b.png", "other/c.png"], "*", "2 folders not looked into: other, site; end the pattern with \\*\\*/\\*"),
    ],
)
def test_what_is_left_out_is_said(tmp_path: Path, names: list[str], pattern: str, note: str) -> None:
    make(tmp_path, "a.png", *names)
    assert _relative(tmp_path / pattern) == ["a.png"]
    (said,) = _notes(tmp_path / pattern)
    assert re.match(note, said)


@pytest.mark.parametrize("pattern", ["*", "*.png"])
def test_a_linked_folder_that_is_not_looked_into_is_said_to_be_one(tmp_path: Path, pattern: str) -> None:
    make(tmp_path, "set/a.png", "elsewhere/b.png")
    (tmp_path / "set/more").symlink_to("../elsewhere")
    (note,) = list_files(str(tmp_path / "set" / pattern)).notes
    assert note.text.startswith("1 folder (1 of them linked) not looked into: more")
    assert note.warns


def test_a_folder_beside_the_files_is_worth_a_note(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "old/b.png", ".git/c.png")
    (note,) = list_files(str(tmp_path / "*.png")).notes
    assert (note.text.split(";")[0], note.warns) == ("1 folder not looked into: old", False)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("images/*.tif", r"images holds 3 files \(2 \.png, 1 \.jpg\), for example"),
        ("image/*.png", r"there is no .*/image; .* holds images"),
        ("empty/*.png", r"empty is empty$"),
        ("litter", r"litter is empty but for hidden files and those of the operating system"),
        ("deep/*.png", r"deep holds no files, but the folders one, two"),
        ("dee*", r"1 folder not looked into: deep; end the pattern with"),
        ("images/a.png/*.png", r"a\.png is no folder"),
        ("M\u00fcnchen/*.png", r"'Mu\u0308nchen' is of that name in another Unicode form"),
    ],
)
def test_where_nothing_is_found_what_is_there_is_said(tmp_path: Path, pattern: str, words: str) -> None:
    make(
        tmp_path, "images/a.png", "images/b.png", "images/c.jpg", "litter/Thumbs.db", "deep/one/a.png", "deep/two/b.png"
    )
    (tmp_path / "empty").mkdir()
    (tmp_path / "Mu\u0308nchen").mkdir()
    with pytest.raises(ListingError, match=words):
        list_files(str(tmp_path / pattern))


def test_a_folder_that_may_not_be_read_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a.png", "closed/b.png")
    scandir = os.scandir

    def closed(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(PermissionError):
        list_files(str(tmp_path))


def test_two_stars_stand_between_slashes(tmp_path: Path) -> None:
    with pytest.raises(ListingError, match=r"expected \*\* between slashes"):
        list_files(str(make(tmp_path, "a.png") / "**.png"))


def test_a_pattern_finds_names_in_either_unicode_form(tmp_path: Path) -> None:
    make(tmp_path, "Ma\u0308rz_1.png", "M\u00e4rz_2.png")
    assert len(_relative(tmp_path / "M\u00e4rz_*.png")) == len(_relative(tmp_path / "Ma\u0308rz_?.png")) == 2


@pytest.mark.parametrize(
    ("target", "what"),
    [
        ("itself.png", "a link that leads nowhere"),
        ("p.png/below", "a link that leads nowhere"),
        ("nothing", "a link that leads nowhere"),
        ("", "no regular file"),
    ],
    ids=["into itself", "below a file", "nowhere", "a pipe"],
)
@pytest.mark.parametrize(("pattern", "asked"), [("*.png", True), ("*.tif", False), ("**/*.tif", False), ("", True)])
def test_a_name_without_a_file_is_missing_where_it_is_asked_for(
    tmp_path: Path, target: str, what: str, pattern: str, asked: bool
) -> None:
    odd = make(tmp_path, "p.png", "q.tif") / "itself.png"
    if target:
        odd.symlink_to(target)
    else:
        os.mkfifo(odd)
    found = list_files(str(tmp_path / pattern))
    versions = dict(zip(found.files["relative"], found.files["version"], strict=True))
    assert (versions.get("itself.png") == "", "itself.png" in versions) == (asked, asked)
    said = [note.text for note in found.notes]
    assert said == ([f"1 name is {what}, and the file taken for missing: itself.png"] if asked else [])


@pytest.mark.parametrize(
    ("pattern", "found"), [("*.png", ["a.png", "x.png"]), ("*.tif", ["b.tif"]), ("**/*.tif", None)]
)
def test_a_link_that_may_not_be_followed(
    tmp_path: Path, pattern: str, found: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (make(tmp_path, "a.png", "b.tif") / "x.png").symlink_to("closed/x.png")
    # Whoever runs the tests as root may follow every link.
    monkeypatch.setattr(trees, "_may_be_folder", lambda entry: entry.name == "x.png")
    if found is None:
        with pytest.raises(OSError, match=r"x\.png"):
            list_files(str(tmp_path / pattern))
    else:
        assert _relative(tmp_path / pattern) == found


@pytest.mark.parametrize("path", ["/set/caf\udce9/*.png", "/caf\udce9/m.csv"])
@pytest.mark.parametrize("read", [list_files, read_manifest])
def test_a_folder_above_that_is_no_utf_8_is_named(path: str, read: Callable[[str], object]) -> None:
    with pytest.raises(ListingError, match=r"names of files and folders in UTF-8, got 'caf.udce9'; rename it"):
        read(path)


@pytest.mark.parametrize("name", ["Gr\u00fcn.png", "\u5f71.png"])
def test_names_in_utf_8_that_this_session_does_not_read_as_such(tmp_path: Path, name: str) -> None:
    make(tmp_path, name)
    code = "import sys; from segscale.storage.listing import list_files; list_files(sys.argv[1])"
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-c", code, str(tmp_path)]
    said = subprocess.run(command, env={**os.environ, **locale}, capture_output=True, text=True, check=False).stderr
    assert "is UTF-8, but this session reads names as" in said
    assert "set PYTHONUTF8=1" in said


def test_names_in_a_folder(tmp_path: Path) -> None:
    make(tmp_path, "b", "a.png", "é", ".hidden", "Thumbs.db", "sub/c.png")
    assert names_in(str(tmp_path)) == ["a.png", "b", "é"]
    with pytest.raises(ListingError, match=r"nowhere: expected a folder, found none"):
        names_in(f"{tmp_path}/nowhere")
    root = uuid.uuid4().hex
    for name in ("b", "sub/c.png"):
        fsspec.filesystem("memory").pipe_file(f"/{root}/{name}", b"1")
    assert names_in(f"memory://{root}") == ["b"]


SERIES = (
    "ct/p1/1.dcm",
    "ct/p1/2.dcm",
    "ct/p1/.DS_Store",
    "ct/p1/Thumbs.db",
    "ct/p1/more/3.dcm",
    "ct/p.2/1",
    "ct/a.dcm",
)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        pytest.param("ct/*/", ["p.2/", "p1/"], id="folders; a file beside them is none"),
        pytest.param("ct/{id}/", ["p.2/", "p1/"], id="a field"),
        pytest.param("ct/**/", ["p.2/", "p1/", "p1/more/"], id="at any depth"),
        pytest.param("c*/p1/", ["ct/p1/"], id="spelled at its end"),
        pytest.param("*/p1/*/", ["ct/p1/more/"], id="deeper"),
        pytest.param("ct/", ["a.dcm", "p.2/1", "p1/1.dcm", "p1/2.dcm", "p1/more/3.dcm"], id="no pattern: files"),
    ],
)
@pytest.mark.parametrize("place", ["local", "memory"])
def test_a_pattern_with_a_slash_at_its_end_names_folders(
    tmp_path: Path, place: str, pattern: str, found: list[str]
) -> None:
    root = str(tmp_path)
    if place == "local":
        make(tmp_path, *SERIES)
    else:
        root = f"memory://{uuid.uuid4().hex}"
        for name in SERIES:
            fsspec.filesystem("memory").pipe_file(f"/{root.removeprefix('memory://')}/{name}", name.encode())
    listing = list_files(f"{root}/{pattern}").files
    assert list(listing["relative"]) == found
    assert [url.endswith("/") for url in listing["url"]] == [name.endswith("/") for name in found]
    assert all(listing["version"])


@pytest.mark.parametrize(
    ("changed", "differs"),
    [
        pytest.param("ct/p1/3.dcm", True, id="one more"),
        pytest.param("ct/p1/1.dcm", True, id="another content"),
        pytest.param("ct/p1/more/4.dcm", False, id="below it"),
        pytest.param("ct/p1/._1.dcm", False, id="hidden"),
        pytest.param("ct/p1/desktop.ini", False, id="of an operating system"),
    ],
)
def test_the_version_of_a_folder_is_that_of_the_files_in_it(tmp_path: Path, changed: str, differs: bool) -> None:
    make(tmp_path, *SERIES)
    before = list_files(f"{tmp_path}/ct/p*1/").files["version"][0]
    (tmp_path / changed).write_text("something else")
    assert (list_files(f"{tmp_path}/ct/p*1/").files["version"][0] != before) is differs


def test_folders_without_files_are_said(tmp_path: Path) -> None:
    make(tmp_path, "ct/p1/1.dcm", "ct/p2/deep/1.dcm")
    (tmp_path / "ct/p3").mkdir()
    assert _notes(f"{tmp_path}/ct/*/") == ["2 folders without files directly in them left out: p2/, p3/"]
    with pytest.raises(ListingError, match=r"ct/p3\*/: expected folders with files, found none"):
        list_files(f"{tmp_path}/ct/p3*/")
