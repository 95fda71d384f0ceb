"""docs/architecture.md, docs/decisions.md and CONTRIBUTING.md: what they name is there, and no module is left out."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("segscale", "flows", "tasks", "storage")
PAGES = ("docs/architecture.md", "docs/decisions.md", "CONTRIBUTING.md", "README.md")
FOLDERS = ("flows", "tasks", "storage", "segscale", "tests", "docs", "benchmarks", "deploy", "examples")
each_page = pytest.mark.parametrize("page", PAGES)


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def table_of_files() -> list[str]:
    """The patterns of the table of files; a name without a folder lies in that of the room named first in its row."""
    patterns = []
    for row in re.findall(r"^\| (`\S+\.py`.*?) \|", text_of("docs/architecture.md"), re.MULTILINE):
        first, *others = re.findall(r"`([^`]+)`", row)
        folder = first.rpartition("/")[0] if first.count("/") == 1 else first.split("/")[0]
        patterns += [first, *(f"{folder}/{name}" for name in others)]
    return patterns


def modules() -> list[str]:
    found = [path for room in ROOMS[1:] for path in (ROOT / room).rglob("*.py")] + list(ROOT.glob("segscale/*.py"))
    return sorted(path.relative_to(ROOT).as_posix() for path in found if path.read_text().strip())


def is_in(module: str, pattern: str) -> bool:
    """As a shell has it: a star stands for no slash."""
    return module.count("/") == pattern.count("/") and fnmatch(module, pattern)


def test_every_module_stands_in_the_table_of_files() -> None:
    patterns = table_of_files()
    of_packages = {f"{room}/__init__.py" for room in ROOMS} | {"segscale/__main__.py"}
    missing = [name for name in modules() if not any(is_in(name, one) for one in patterns)]
    assert [name for name in missing if name not in of_packages] == []


def test_every_pattern_of_the_table_stands_for_a_module() -> None:
    found = modules()
    assert [one for one in table_of_files() if not any(is_in(name, one) for name in found)] == []


@each_page
def test_files_that_a_page_names_are_there(page: str) -> None:
    named = re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w./*-]+)`", text_of(page))
    assert [path for path in named if not list(ROOT.glob(path.rstrip("/")))] == []


@each_page
def test_links_of_a_page_lead_somewhere(page: str) -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)", text_of(page)) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


@each_page
def test_names_of_modules_on_a_page_are_there(page: str) -> None:
    for name in set(re.findall(r"\bsegscale(?:\.\w+)+", text_of(page))):
        parts = name.split(".")
        there = [n for n in range(1, len(parts) + 1) if module_file(parts[:n])]
        assert there, name
        held = module_file(parts[: there[-1]])
        assert held is not None
        attributes = parts[there[-1] :]
        assert len(attributes) <= 1, f"{name}: no such module"
        assert all(re.search(rf"\b{attribute}\b", held.read_text()) for attribute in attributes), f"{name} is not there"


def module_file(parts: list[str]) -> Path | None:
    path = ROOT.joinpath(*parts)
    return next((one for one in (path.with_suffix(".py"), path / "__init__.py") if one.exists()), None)
