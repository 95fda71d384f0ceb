"""Messages about keys of a configuration, for somebody who has written none."""

from __future__ import annotations

import pytest

from segscale.errors import ConfigError, ContradictionError, FirstImagesError
from segscale.flows.cli.evaluate import evaluate_command
from segscale.flows.cli.option_words import OPTIONS, in_options, option_words


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("predictions.path: found none", "--predictions: found none"),
        ('set predictions.kind = "labels"', "set --set 'predictions.kind = \"labels\"'"),
        ("dataset.label_values = [0, 7], or", "--set 'dataset.label_values = [0, 7]', or"),
        ("dataset.ignore_label = -1 if", "--set 'dataset.ignore_label = -1' if"),
        ("metrics.threshold: unknown", "metrics.threshold: unknown"),
        ("evaluate: dataset.classes: one", "--classes: one"),
        ("report.html of the mydataset.references", "report.html of the mydataset.references"),
    ],
)
def test_keys_are_called_by_their_options(message: str, expected: str) -> None:
    assert in_options(message) == expected


def test_errors_stay_what_they_are_for_the_exit_code() -> None:
    with pytest.raises(ConfigError, match=r"^--output: full$"), option_words():
        raise ContradictionError("store.path: full")
    with pytest.raises(FirstImagesError, match=r"^--classes: 3$"), option_words():
        raise FirstImagesError("dataset.classes: 3")


def test_every_option_is_one_of_the_command() -> None:
    known = {name for option in evaluate_command.params for name in option.opts}
    assert set(OPTIONS.values()) | {"--set"} <= known
