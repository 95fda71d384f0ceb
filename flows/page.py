"""Page: what draws a report and what resamples it, loaded where they are needed and nowhere else."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from segscale.tasks.metrics import bootstrap
from segscale.tasks.overlays.pictures import Overlays
from segscale.tasks.report import ReportTables

if TYPE_CHECKING:
    from segscale.tasks.report_html.cases import Case


def warm_up(n_images: int) -> None:
    """Load what makes a report of so many images, for half a second and more, in a thread.

    Worth it where the driver waits for workers anyhow.
    """
    threading.Thread(target=_load, args=(n_images,), name="report", daemon=True).start()


def cases(tables: ReportTables) -> tuple[Case, ...]:
    """The images that the page shows, or names where there are no pictures of them."""
    from segscale.tasks.report_html.cases import cases_of

    return cases_of(tables.frames)


def render(tables: ReportTables, run: Mapping[str, Any], overlays: Overlays) -> bytes:
    """The page of a report; only who writes one pays for matplotlib."""
    rendered: bytes = _drawing().render_report(tables.frames, run, tables.findings, overlays)
    return rendered


def _load(n_images: int) -> None:
    _drawing()
    bootstrap.warm_up(n_images)


def _drawing() -> ModuleType:
    from segscale.tasks.report_html import page

    return page
