"""When scheduled runs are due, held against what Prefect itself makes of the same expression."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest
from prefect.server.schemas.schedules import CronSchedule

from segscale.errors import ConfigError
from segscale.flows.prefect.due import Due, due

NOW = dt.datetime(2026, 10, 23, 12, 30, tzinfo=dt.UTC)


@pytest.mark.parametrize("timezone", ["UTC", "Europe/Vienna", "America/New_York"])
@pytest.mark.parametrize(
    "cron", ["0 2 * * *", "30 6 * * mon", "*/20 * * * *", "0 2 1 * *", "15 2 * * 1-5", "0 9 * * 7"]
)
def test_times_are_those_of_prefect_also_where_clocks_are_set_back(cron: str, timezone: str) -> None:
    told = asyncio.run(CronSchedule(cron=cron, timezone=timezone).get_dates(n=6, start=NOW))
    # Of an hour that comes twice Prefect takes the first, which no clock on a wall tells from the second.
    ours = [time.replace(tzinfo=None) for time in Due(cron, timezone).times(NOW, 6)]
    assert ours == [dt.datetime(*time.timetuple()[:6]) for time in told]  # of the wall


@pytest.mark.parametrize(
    ("cron", "daily"),
    [
        pytest.param("0 2 * * *", True, id="every night"),
        pytest.param("0 */6 * * *", True, id="more often"),
        pytest.param("0 2 * * 1-5", False, id="not at weekends"),
        pytest.param("0 2 * * sun", False, id="once a week"),
    ],
)
def test_a_nightly_schedule_is_known_also_across_a_change_of_clocks(cron: str, daily: bool) -> None:
    assert Due(cron, "Europe/Vienna").is_daily(NOW) is daily


@pytest.mark.parametrize(
    ("cron", "why"),
    [
        pytest.param("at night", "2 fields", id="words"),
        pytest.param("0 2 * *", "4 fields", id="a field short"),
        pytest.param("0 0 2 * * *", "6 fields", id="of six, whose seconds stand first or last"),
        pytest.param("61 2 * * *", "bad minute", id="no such minute"),
        pytest.param("0 2 31 2 *", "bad day-of-month", id="no such day"),
        pytest.param("H 2 * * *", "bad minute", id="another dialect"),
        pytest.param("@daily", "1 fields", id="a name"),
    ],
)
def test_what_is_no_expression_is_said_with_one_that_is(cron: str, why: str) -> None:
    with pytest.raises(ConfigError, match=f'such as "0 2 .*got "{"".join(cron.split(" ")[:1])}.*{why}'):
        due(cron)


def test_it_is_the_clock_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tzlocal.get_localzone_name", lambda: "Europe/Vienna")
    assert due(" 0  2 * * *") == Due("0 2 * * *", "Europe/Vienna")
    monkeypatch.setattr("tzlocal.get_localzone_name", lambda: None)
    assert due("0 2 * * *").timezone == "UTC"
