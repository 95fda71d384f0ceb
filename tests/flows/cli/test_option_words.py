"""Messages about keys of a configuration, for somebody who has written none."""

from __future__ import annotations

import pytest

from segscale.errors import ConfigError, ContradictionError, FirstImagesError
from segscale.flows.cli.evaluate import evaluate_command
from segscale.flows.cli.option_words import OPTIONS, RESCORE, in_options, option_words
from segscale.flows.cli.reports import rescore_command
from segscale.flows.config.spoken import settings_spoken


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


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("group_by: expected a group column", "--by: expected a group column"),
        ("batch_sizes, value 1: expected a number", "--batch-size, value 1: expected a number"),
        ("tversky_alpha, tversky_beta: expected one above 0", "--alpha, --beta: expected one above 0"),
        ("smooth: a number; empty: a policy", "--smooth: a number; --empty: a policy"),
        ("unit: of a site in one patient_id (metrics.folds)", "--unit: of a site in one patient_id (--folds)"),
        ("r/run.json: metrics: unit: unknown", "r/run.json: metrics: unit: unknown"),
    ],
)
def test_settings_are_called_by_the_options_of_rescore(message: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught, settings_spoken(RESCORE):
        raise ConfigError(message)
    assert str(caught.value) == expected
    assert set(RESCORE.values()) <= {name for option in rescore_command.params for name in option.opts}
