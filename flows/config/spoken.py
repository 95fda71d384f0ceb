"""Errors about keys of a configuration, in the words of somebody who has written none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from segscale.errors import ConfigError, FirstImagesError

_VALUE = r"\[[^\]]*\]|\"[^\"]*\"|-?\d[\d.]*"
_KEY = re.compile(
    r"\b((?:dataset|predictions|metrics|store|cluster|report|model)\.[a-z_]+)"
    rf"(?P<assigned> = (?P<value>{_VALUE}))?"
)


@contextmanager
def settings_spoken(name_of: Mapping[str, str]) -> Iterator[None]:
    """What is raised about settings of scores, which stand at the beginning of what is said, is raised about these."""
    known = "|".join(name_of)
    head = re.compile(rf"(^|; )((?:{known})(?:, (?:{known}))*)(?=(?:, value \d+)?: )")
    own = re.compile(rf"\bmetrics\.({known})\b")

    def said(text: str) -> str:
        text = head.sub(lambda match: match[1] + ", ".join(name_of[one] for one in match[2].split(", ")), text)
        return own.sub(lambda match: name_of[match[1]], text)

    try:
        yield
    except ConfigError as error:
        raise ConfigError(*(said(str(one)) for one in error.args)) from error


@dataclass(frozen=True, slots=True)
class Words:
    """What keys are called where there is no configuration."""

    name_of: Mapping[str, str]
    """By key; the others keep their own name."""
    assigned: Callable[[str, str], str]
    """A key with a value, as it is to be written."""

    def say(self, text: str) -> str:
        """A message about keys in these words."""
        return _KEY.sub(
            lambda match: (
                self.assigned(match[1], match["value"]) if match["assigned"] else self.name_of.get(match[1], match[1])
            ),
            text.removeprefix("evaluate: "),
        )

    @contextmanager
    def spoken(self) -> Iterator[None]:
        """What is raised about keys is raised in these words."""
        try:
            yield
        except ConfigError as error:
            raise ConfigError(*(self.say(str(one)) for one in error.args)) from error
        except FirstImagesError as error:
            raise FirstImagesError(self.say(str(error))) from error
