"""The public names: `import segscale` costs nothing, all of them are there, and the page describes each."""

from __future__ import annotations

import ast
import runpy
import subprocess
import sys
from pathlib import Path

import segscale

ROOT = Path(__file__).parents[1]
API = runpy.run_path(str(ROOT / "docs" / "scripts" / "api.py"))


def test_every_public_name_is_there_and_documented() -> None:
    assert dir(segscale) == sorted(segscale.__all__)
    for name in segscale.__all__:
        assert getattr(segscale, name).__doc__, name


def test_a_name_that_is_none_is_refused() -> None:
    assert not hasattr(segscale, "evaluate_everything")


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse((ROOT / "segscale" / "__init__.py").read_text())
    (guarded,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        (f"{node.module}", alias.name)
        for node in guarded.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == {(f"segscale.{home}", name) for name, home in segscale._HOME_OF.items()}
    assert {name for _, name in seen} == set(segscale.__all__)


def test_the_page_is_made_of_todays_docstrings() -> None:
    assert (ROOT / "docs" / "api.md").read_text(encoding="utf-8") == API["page"](), "run: python docs/scripts/api.py"


def test_the_page_has_every_public_name() -> None:
    assert sorted(name for names in API["SECTIONS"].values() for name in names) == sorted(segscale.__all__)


def test_importing_the_package_loads_nothing_of_it() -> None:
    code = "import sys, segscale; print([name for name in sys.modules if name.startswith(('segscale.', 'numpy'))])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
