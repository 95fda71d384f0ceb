"""docs/surfaces-and-lesions.md: its example runs, its command is one, and what it names is there."""

from __future__ import annotations

import doctest
import re
import shlex
from pathlib import Path

from segscale.flows.cli.evaluate import evaluate_command
from segscale.flows.config.metrics import Metrics
from segscale.storage.side_parts import DISTANCES
from segscale.tasks.metrics.lesion_metrics import LESION_METRICS

TEXT = (Path(__file__).parents[1] / "docs" / "surfaces-and-lesions.md").read_text(encoding="utf-8")


def test_the_example_runs() -> None:
    test = doctest.DocTestParser().get_doctest(TEXT, {}, "surfaces-and-lesions.md", None, 0)
    assert len(test.examples) > 5
    assert doctest.DocTestRunner().run(test).failed == 0


def test_the_command_is_one() -> None:
    (line,) = re.findall(r"^```sh\n(.*?)\n```$", TEXT, re.MULTILINE | re.DOTALL)
    program, command, *arguments = shlex.split(line)
    assert (program, command) == ("segscale", "evaluate")
    evaluate_command.make_context("evaluate", arguments)


def test_every_metric_and_key_is_named() -> None:
    named = set(re.findall(r"`(\w+)`", TEXT))
    assert {*DISTANCES, "boundary_iou", "nsd_T", *(metric.name for metric in LESION_METRICS)} <= named
    keys = {name for name in Metrics.model_fields if name.startswith("lesion_") or name == "missed_distance"}
    assert all(name in TEXT for name in keys)
