"""What lies in the data roots of a manifest, and what only says so."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from segscale.errors import ListingError
from segscale.storage.manifests import read_manifest
from segscale.storage.roots import DataRoots
from segscale.storage.sources import file_version, read_file
from segscale.storage.verification import check_source


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """data/ with images, a link into itself and links that leave it; beside it other/ and data-2/."""
    for name in ("data/images", "other", "data-2"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("data/images/a.png", "other/secret.png", "data-2/b.png"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "data" / "within").symlink_to("images")
    (tmp_path / "data" / "away").symlink_to(tmp_path / "other")
    (tmp_path / "data" / "images" / "link.png").symlink_to(tmp_path / "other" / "secret.png")
    (tmp_path / "door").symlink_to(tmp_path / "data")
    return tmp_path


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("{tmp}/data/images/a.png", True, id="in the root"),
        pytest.param("file://{tmp}/data/images/a.png", True, id="as a URL"),
        pytest.param("{tmp}/data/images/missing.png", True, id="a file that is missing is a failed image, no escape"),
        pytest.param("{tmp}/data/images/../images/a.png", True, id="out and back in"),
        pytest.param("{tmp}/data/within/a.png", True, id="a link inside"),
        pytest.param("{tmp}/door/images/a.png", True, id="another way to the root"),
        pytest.param("{tmp}/data/../other/secret.png", False, id="dots"),
        pytest.param("file://{tmp}/data/../other/secret.png", False, id="dots in a URL"),
        pytest.param("{tmp}/data/away/secret.png", False, id="through a linked folder"),
        pytest.param("{tmp}/data/away/../data/images/a.png", True, id="dots after a link go up from where it leads"),
        pytest.param("{tmp}/data/images/link.png", False, id="a linked file"),
        pytest.param("{tmp}/data-2/b.png", False, id="a name that begins like the root"),
        pytest.param("{tmp}/data", False, id="the root itself"),
        pytest.param("/etc/passwd", False, id="absolute"),
        pytest.param("memory://data/a.png", False, id="another file system"),
        pytest.param("http://127.0.0.1:1/a.png", False, id="the network, which is not asked"),
        pytest.param("simplecache::file://{tmp}/data/images/a.png", False, id="a chain of file systems"),
        pytest.param("nope://x/a.png", False, id="no file system at all"),
        pytest.param("{tmp}/data/%2e%2e/other/50%25.png", True, id="on a disk a percent sign is a letter like others"),
        pytest.param("{tmp}/data/a%2fb;1#2.png", True, id="likewise what would mean something in a URL"),
    ],
)  # fmt: skip
def test_local_roots(folders: Path, url: str, expected: bool) -> None:
    assert DataRoots((str(folders / "data"),)).hold(url.format(tmp=folders)) is expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("memory://bucket/set/a.png", True, id="in the prefix"),
        pytest.param("memory://bucket/set/../other/a.png", False, id="dots"),
        pytest.param("memory://bucket/set-2/a.png", False, id="a prefix of the name alone"),
        pytest.param("memory://elsewhere/a.png", False, id="another bucket"),
        pytest.param("file:///bucket/set/a.png", False, id="the local disk"),
        pytest.param("/bucket/set/a.png", False, id="likewise, without a protocol"),
        pytest.param("memory://bucket/set/%2e%2e/50%25.png", True, id="object stores take names letter by letter"),
    ],
)
def test_roots_elsewhere(url: str, expected: bool) -> None:
    assert DataRoots(("memory://bucket/set",)).hold(url) is expected


def test_names_on_s3_are_taken_letter_by_letter() -> None:
    pytest.importorskip("s3fs")
    roots = DataRoots(("s3://bucket/set",))
    assert roots.hold("s3://bucket/set/%2e%2e/50%25.png")
    assert not roots.hold("s3://bucket/set/../other/a.png")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("http://host/set/a.png", True, id="in the root"),
        pytest.param("http://host/set/b/a%20b%C3%A9.png", True, id="a space and a letter, encoded"),
        pytest.param("http://host/set/50%25.png", True, id="a percent sign, encoded"),
        pytest.param("http://host/set/50%.png", True, id="a percent sign, as it is"),
        pytest.param("http://host/set/a..b/..c/d...png", True, id="dots in names"),
        pytest.param("http://host/set/%2e%2e/s.png", False, id="dots encoded"),
        pytest.param("http://host/set/.%2E/s.png", False, id="one of them, in capitals"),
        pytest.param("http://host/set/%252e%252e/s.png", False, id="twice: a proxy may decode as well"),
        pytest.param("http://host/set/%%32%65./s.png", False, id="twice, in pieces"),
        pytest.param(f"http://host/set/%{'25' * 1000}2e./s.png", False, id="more often than anybody decodes"),
        pytest.param("http://host/set/..%2fs.png", False, id="the slash encoded"),
        pytest.param("http://host/set/a%2fb.png", False, id="a slash that does not show, wherever it leads"),
        pytest.param("http://host/set/..%5cs.png", False, id="a backslash encoded, which is a slash on Windows"),
        pytest.param("http://host/set/..\\s.png", False, id="a backslash"),
        pytest.param("http://host/set/.\t./s.png", False, id="a tab, which the client drops out of the middle"),
        pytest.param("http://host/set/.\n./s.png", False, id="a line's end, likewise"),
        pytest.param("http://host/set/a.png%00.txt", False, id="a null byte, where some servers end the name"),
        pytest.param("http://host/set/..;a=b/s.png", False, id="parameters, which Java's servers take off first"),
        pytest.param("http://host/set/..#/s.png", False, id="dots at the end, before a fragment"),
        pytest.param("http://host/set/..?/s.png", False, id="likewise before a query"),
        pytest.param("http://host/set/..%20/s.png", False, id="a space after them, which Windows takes off"),
        pytest.param("http://host@other/set/a.png", False, id="the host as a user of another"),
        pytest.param("http://host:80/set/a.png", False, id="the port written out: compared as it is written"),
        pytest.param("http://host.other/set/a.png", False, id="a host that begins alike"),
        pytest.param("http://host\\@other/set/a.png", False, id="a host that ends at a backslash for some"),
        pytest.param("https://host/set/a.png", False, id="another scheme"),
        pytest.param("HTTP://host/set/a.png", False, id="a scheme in capitals, which nothing here reads"),
        pytest.param("http:///set/a.png", False, id="no host"),
    ],
)  # fmt: skip
def test_roots_on_a_web_server(url: str, expected: bool) -> None:
    pytest.importorskip("aiohttp")
    assert DataRoots(("http://host/set",)).hold(url) is expected


class Site(SimpleHTTPRequestHandler):
    """A folder as a web site with two redirects, that remembers what it was asked."""

    def __init__(self, *given: Any, asked: list[str], redirects: dict[str, str], **settings: Any) -> None:
        self.asked, self.redirects = asked, redirects
        super().__init__(*given, **settings)

    def send_head(self) -> Any:
        self.asked.append(self.path)
        if self.path not in self.redirects:
            return super().send_head()
        self.send_response(302)
        self.send_header("Location", self.redirects[self.path])
        self.send_header("Content-Length", "0")
        self.end_headers()
        return None

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def site(folder: Path, asked: list[str], redirects: dict[str, str]) -> Iterator[str]:
    handler = partial(Site, directory=str(folder), asked=asked, redirects=redirects)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@pytest.fixture
def web(tmp_path: Path) -> Path:
    """set/ and secret/ of a web site, each with a file."""
    pytest.importorskip("aiohttp")
    for name in ("set/a.png", "secret/s.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


@pytest.mark.parametrize("cell", ["%2e%2e/secret/s.png", "{site}/set/%2e%2e/secret/s.png", ".\t./secret/s.png"])
def test_a_manifest_on_a_web_server_does_not_leave_its_folder(web: Path, cell: str) -> None:
    asked: list[str] = []
    with site(web, asked, {}) as url:
        given, manifest = cell.format(site=url), web / "set" / "m.csv"
        manifest.write_text(f'image_id,image,reference\na,a.png,"{given}"\n')
        with pytest.raises(ListingError, match="the reference of 'a' leads out of the data roots"):
            read_manifest(f"{url}/set/m.csv")
        assert not [path for path in asked if "secret" in path]
        leads = given if given.startswith(url) else f"{url}/set/{given}"
        assert read_file(leads) == b"secret/s.png", "what cannot be read does not show that it was refused"
        manifest.write_text("image_id,image,reference\na,a.png,a.png\n")
        assert read_file(read_manifest(f"{url}/set/m.csv").images["image"][0]) == b"set/a.png"


def test_a_web_server_sends_nobody_on_to_another(web: Path) -> None:
    asked_there: list[str] = []
    with site(web, asked_there, {}) as there:
        redirects = {"/set/away.png": f"{there}/secret/s.png?signature=x", "/set/near.png": "/set/a.png"}
        with site(web, [], redirects) as url:
            assert read_file(f"{url}/set/near.png") == b"set/a.png"
            with pytest.raises(PermissionError, match=r"away\.png: .*sent on to another server.*name the") as caught:
                read_file(f"{url}/set/away.png")
            assert "signature" not in str(caught.value)
            assert file_version(f"{url}/set/away.png") == ""
            found = check_source(f"{url}/set/away.png", "ab" * 32)
    assert found is not None
    assert "source" in found.kind
    assert asked_there == []


def test_a_manifest_that_leads_out_is_refused_with_its_row_and_the_remedy(folders: Path) -> None:
    manifest = folders / "data" / "m.csv"
    manifest.write_text("image_id,image,reference\na,images/a.png,images/a.png\nb,images/a.png,../other/secret.png\n")
    with pytest.raises(ListingError, match=r"the reference of 'b' leads out of the data roots.*dataset\.roots"):
        read_manifest(str(manifest))
    assert len(read_manifest(str(manifest), roots=[str(folders / "other")]).images) == 2


def test_relative_manifests_have_the_working_folder_as_root(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folders / "data")
    Path("m.csv").write_text("image_id,image,reference\na,images/a.png,images/a.png\n")
    assert len(read_manifest("m.csv").images) == 1
    Path("m.csv").write_text(f"image_id,image,reference\na,{os.path.relpath('/etc/passwd')},images/a.png\n")
    with pytest.raises(ListingError, match="leads out"):
        read_manifest("m.csv")
