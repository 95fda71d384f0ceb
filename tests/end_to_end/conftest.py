"""Fixtures that more than one file of tests here has."""

from tests.end_to_end.prefect_team import database as database
from tests.end_to_end.prefect_team import team as team
