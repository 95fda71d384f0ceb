"""What runs and tasks are called at the server: by their data set, and by when they were due."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect.runtime import flow_run


def name_of_run() -> str:
    """The name of the flow run that is under way, such as "lesions 2026-12-01 02:00 UTC".

    The time is the one that it was due at, on the clock of the machine that it runs on.
    """
    config: Any = flow_run.parameters["config"]
    # Named before Prefect has made a configuration of what the deployment holds.
    dataset = config["dataset"]["name"] if isinstance(config, Mapping) else config.dataset.name
    return name_of(str(dataset))


def name_of(dataset: str, stage: str = "") -> str:
    """The same, and that of a stage of the run: "score lesions 2026-12-01 02:00 UTC"."""
    due = flow_run.scheduled_start_time.astimezone()
    return f"{stage} {dataset} {due:%Y-%m-%d %H:%M %Z}".strip()
