"""Every configuration that a reader may start from is one that loads."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from segscale.flows.cli.gate import gate_command
from segscale.flows.config.evaluation import EvaluationConfig, load_config, parse_config

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").rglob("*.toml"))
TOML_BLOCK = re.compile(r"^```toml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str) -> list[str]:
    """The fenced TOML blocks of a page."""
    return TOML_BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))


def test_the_examples_are_found() -> None:
    names = {str(path.relative_to(ROOT / "examples")) for path in EXAMPLES}
    assert {"evaluate.toml", "score.toml", "manifest.toml"} <= names


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_example_loads(path: Path) -> None:
    assert load_config(path).dataset.name


@pytest.mark.parametrize(
    ("name", "source"),
    [
        pytest.param("evaluate.toml", ("images", "model"), id="a model over images matched by stem"),
        pytest.param("score.toml", ("images", "predictions"), id="existing predictions"),
        pytest.param("manifest.toml", ("manifest", "model"), id="a manifest"),
    ],
)
def test_example_shows_what_its_name_says(name: str, source: tuple[str, str]) -> None:
    config = load_config(ROOT / "examples" / name)
    listed, counted = source
    assert getattr(config.dataset, listed)
    assert getattr(config, counted).path


def test_readme_configurations_load(tmp_path: Path) -> None:
    found = blocks("README.md")
    assert found
    for text in found:
        parse_config(tomllib.loads(text), base=tmp_path, source="README.md")


def test_contract_states_every_key_with_its_default() -> None:
    stated: dict[str, dict[str, Any]] = {}
    for text in blocks("docs/contract.md"):
        stated |= tomllib.loads(text)
    needed = {"dataset": {key: stated["dataset"][key] for key in ("name", "images", "references")}}
    defaults = EvaluationConfig.model_validate(needed)
    # Of these there is no default: they stand there as comments.
    unset = {"ignore_label", "volume", "segment", "spacing_mm", "lesion_threshold"}
    keys = {name: set(section) - unset for name, section in defaults.model_dump().items()}
    assert {name: set(section) for name, section in stated.items()} == keys
    assert EvaluationConfig.model_validate(stated) == defaults


def test_the_ci_example_calls_the_gate_as_it_is() -> None:
    job = YAML(typ="safe").load((ROOT / "examples" / "ci" / "gate.gitlab-ci.yml").read_text(encoding="utf-8"))["gate"]
    (line,) = job["script"]
    typed = shlex.split(line)
    assert typed[:2] == ["segscale", "gate"]
    with gate_command.make_context("gate", typed[2:]) as context:
        given = context.params
    assert given["reports"] == ("$BASE", "$NEW")
    assert set(job["variables"]) == {"BASE", "NEW"}
    assert job["artifacts"]["reports"]["junit"] == given["junit"]
    assert job["artifacts"]["paths"] == [given["markdown"]]
