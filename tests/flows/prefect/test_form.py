"""The form of a deployment: every key of the configuration has a title, words, and choices where there are some."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import pytest
from prefect.utilities.callables import parameter_schema_from_entrypoint

from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.prefect.flows import FLOW_OF

FLOWS = sorted(FLOW_OF.values(), key=lambda flow: flow.name)
SECTIONS = {name: field.annotation for name, field in EvaluationConfig.model_fields.items()}


def keys() -> Iterator[tuple[str, str, Any]]:
    for section, kind in SECTIONS.items():
        assert kind is not None
        for key, field in kind.model_fields.items():
            yield kind.__name__, f"{section}.{key}", field


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_forms_are_alike_whoever_makes_them(flow: Any) -> None:
    # `prefect deploy` reads the source, `segscale schedule` and `segscale serve` the flow.
    entrypoint = f"{flow.fn.__module__}.{flow.fn.__name__}"
    assert parameter_schema_from_entrypoint(entrypoint).definitions == flow.parameters.definitions


def test_every_key_has_a_title_and_words() -> None:
    definitions = FLOWS[0].parameters.definitions
    for section, key, _ in keys():
        shown = definitions[section]["properties"][key.partition(".")[2]]
        assert shown["title"], key
        assert shown["description"].endswith("."), key
        assert "\n" not in shown["description"], key
    for name, shown in definitions["EvaluationConfig"]["properties"].items():
        assert shown["description"], name
        assert definitions[shown["$ref"].rpartition("/")[2]]["title"], name


def test_where_there_are_choices_the_form_has_them() -> None:
    definitions = FLOWS[0].parameters.definitions
    chosen = [(section, key, field) for section, key, field in keys() if get_origin(field.annotation) is Literal]
    assert {"dataset.normalize", "model.engine", "store.keep", "cluster.kind", "metrics.empty"} <= {
        key for _, key, _ in chosen
    }
    for section, key, field in chosen:
        shown = definitions[section]["properties"][key.partition(".")[2]]
        assert shown["enum"] == list(get_args(field.annotation)), key
