"""Artifacts: what Prefect shows of a run. No run fails for the want of one."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import httpx
import pandas as pd
from prefect.artifacts import (
    create_link_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.exceptions import PrefectException

logger = logging.getLogger("segscale")
TABLE_ROWS = 100
"""A table artifact is one field of a database and one page of a browser."""


def artifact_key(*parts: str) -> str:
    """The key of an artifact: lower case letters, digits and dashes, as Prefect wants them."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(("segscale", *parts)).lower()).strip("-")


def publish_table(rows: pd.DataFrame, description: str, *parts: str) -> None:
    """A table artifact of the first `TABLE_ROWS` rows, saying how many more there are; NaN becomes null."""
    if len(rows) > TABLE_ROWS:
        description = f"{description} (the first {TABLE_ROWS} of {len(rows)} rows)"
    with or_without("table"):
        create_table_artifact(table=_plain(rows.head(TABLE_ROWS)), key=artifact_key(*parts), description=description)


def publish_link(path: str, description: str, *parts: str) -> None:
    """A link artifact to a folder or URL."""
    url = path if "://" in path else f"file://{path}"
    with or_without("link"):
        create_link_artifact(link=url, key=artifact_key(*parts), description=description)


def start_progress(dataset: str, stage: str) -> UUID | None:
    """A progress artifact at 0 %, under the data set's name; None where it was not taken."""
    created: object = None
    with or_without("progress"):
        created = create_progress_artifact(progress=0.0, key=artifact_key(dataset, stage), description=stage)
    return created if isinstance(created, UUID) else None


def set_progress(artifact: UUID | None, percent: float) -> None:
    """Move a progress artifact to a percentage."""
    if artifact is not None:
        with or_without("progress"):
            update_progress_artifact(artifact, progress=percent)


@contextmanager
def or_without(kind: str) -> Iterator[None]:
    # Hours of work must not end because a server was restarted while it was told how far they are.
    try:
        yield
    except (httpx.HTTPError, PrefectException) as error:
        logger.warning("prefect: a %s artifact was not taken (%s); the run goes on", kind, type(error).__name__)


def _plain(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(name): None if pd.isna(value) else value for name, value in row.items()} for row in rows.to_dict("records")
    ]
