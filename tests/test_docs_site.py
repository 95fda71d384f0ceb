"""The pages of docs/ together: all are in the index and in the site, and every link leads somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path.name for path in DOCS.glob("*.md"))
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def links(page: str) -> list[str]:
    text = CODE.sub("", (DOCS / page).read_text(encoding="utf-8"))
    return [link for link in LINK.findall(text) if "://" not in link]


def anchors(path: Path) -> set[str]:
    """Headings as GitHub and mkdocs call them, and anchors that the text sets itself."""
    text = path.read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r'<a id="([^"]+)">', text))


def entries(nav: Any) -> Iterator[str]:
    """The pages of the navigation."""
    if isinstance(nav, str):
        yield nav
    else:
        for inside in nav.values() if isinstance(nav, dict) else nav:
            yield from entries(inside)


@pytest.mark.parametrize("page", PAGES)
def test_links_and_anchors_lead_somewhere(page: str) -> None:
    for link in links(page):
        target, _, anchor = link.partition("#")
        path = (DOCS / target).resolve() if target else DOCS / page
        assert path.exists(), link
        if anchor:
            assert anchor in anchors(path), link


def test_every_page_is_in_the_index_once() -> None:
    named = [link for link in links("index.md") if not link.startswith("..")]
    pages = {path.name for pattern in ("*.md", "*.ipynb") for path in DOCS.glob(pattern)}
    assert sorted(named) == sorted(pages - {"index.md"})


def test_every_page_is_in_the_navigation_of_the_site_once() -> None:
    nav = YAML(typ="safe").load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    notebooks = {path.with_suffix(".md").name for path in DOCS.glob("*.ipynb")}
    assert sorted(entries(nav)) == sorted({*PAGES, *notebooks})


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by the command of `make site`, elsewhere; a link or an anchor that leads nowhere ends it."""
    folder = tmp_path_factory.mktemp("site")
    asked = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(asked, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.nightly(part="docs")
def test_the_site_has_every_page_and_what_they_link_to(site: Path) -> None:
    for page in PAGES:
        found = site / ("index.html" if page == "index.md" else f"{Path(page).stem}/index.html")
        assert found.exists(), page
    assert "data:image/png" in (site / "paper-figure" / "index.html").read_text(encoding="utf-8"), "the figure"
    assert (site / "repository" / "CONTRIBUTING" / "index.html").exists()
    assert (site / "repository" / "deploy" / "prefect.yaml").read_bytes() == (ROOT / "deploy/prefect.yaml").read_bytes()


@pytest.mark.nightly(part="docs")
def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r"<(?:script|img|link rel=.stylesheet)[^>]*(?:src|href)=.https?://", text), page


@pytest.mark.nightly(part="docs")
def test_a_link_that_leads_nowhere_is_noticed(tmp_path: Path) -> None:
    for name in ("mkdocs.yml", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "docs").unlink()
    (tmp_path / "docs" / "scripts").mkdir(parents=True)
    (tmp_path / "docs" / "scripts" / "site_hooks.py").symlink_to(DOCS / "scripts" / "site_hooks.py")
    (tmp_path / "docs" / "index.md").write_text("[nowhere](nowhere.md)")
    asked = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "nowhere.md" in done.stderr
