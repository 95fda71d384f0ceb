"""Errors about keys of a configuration, in the words of a command that has none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from segscale.errors import ConfigError, FirstImagesError

OPTIONS = {
    "dataset.references": "--references",
    "dataset.columns": "--by",
    "dataset.classes": "--classes",
    "predictions.path": "--predictions",
    "metrics.unit": "--unit",
    "metrics.group_by": "--group-by",
    "store.path": "--output",
    "report.path": "--output",
}
"""All other keys are set with --set."""
_VALUE = r"\[[^\]]*\]|\"[^\"]*\"|-?\d[\d.]*"
_KEY = re.compile(
    rf"\b((?:dataset|predictions|metrics|store|cluster|report|model)\.[a-z_]+)(?P<value> = (?:{_VALUE}))?"
)


@contextmanager
def option_words() -> Iterator[None]:
    """What a run raises about keys is raised about options."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(*(in_options(str(one)) for one in error.args)) from error
    except FirstImagesError as error:
        raise FirstImagesError(in_options(str(error))) from error


def in_options(text: str) -> str:
    """A message about keys of a configuration in the words of `segscale evaluate`.

    >>> print(in_options('dataset.references: 0, 7; set dataset.foreground = "any"'))
    --references: 0, 7; set --set 'dataset.foreground = "any"'
    """
    return _KEY.sub(
        lambda match: f"--set '{match[0]}'" if match["value"] else OPTIONS.get(match[1], match[1]),
        text.removeprefix("evaluate: "),
    )
