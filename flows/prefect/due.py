"""When a scheduled run is due, found out without importing Prefect, which takes a second."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import tzlocal
from cronsim import CronSim, CronSimError

from segscale.errors import ConfigError

LOOKED_AT = 8
"""Times that tell whether a schedule is one of every day: more than a week of days."""
A_DAY = dt.timedelta(hours=25)
"""A day on the clock of the wall, and the hour by which clocks are moved."""


@dataclass(frozen=True, slots=True)
class Due:
    """A cron expression of five fields on the clock of a time zone."""

    cron: str
    timezone: str

    def times(self, now: dt.datetime, count: int) -> list[dt.datetime]:
        """The next `count` times after `now`, in the zone."""
        return list(islice(CronSim(self.cron, now.astimezone(ZoneInfo(self.timezone))), count))

    def is_daily(self, now: dt.datetime) -> bool:
        """Whether no day goes by without a run."""
        return all(later - sooner <= A_DAY for sooner, later in pairwise(self.times(now, LOOKED_AT)))


def due(cron: str) -> Due:
    """A schedule on the clock of this machine. Raises ConfigError for what is no cron expression of five fields.

    >>> due("0 2 * * *").cron
    '0 2 * * *'
    """
    try:
        if len(cron.split()) != 5:
            raise CronSimError(f"{len(cron.split())} fields")
        CronSim(cron, dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    except CronSimError as error:
        raise ConfigError(
            f"--cron: expected five fields, minute, hour, day of the month, month, day of the week, such as "
            f'"0 2 * * *" for two o\'clock every night, got "{cron}": {str(error).lower()}'
        ) from None
    # Without a zone of this machine (a container) its clock is that of UTC.
    return Due(" ".join(cron.split()), tzlocal.get_localzone_name() or "UTC")
