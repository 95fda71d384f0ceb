"""report.html: the tables of a run as one page that needs nothing else."""

import base64
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from segscale.errors import ArgumentError
from segscale.tasks.metrics.findings import Finding, by_severity
from segscale.tasks.metrics.per_image import regions_of
from segscale.tasks.overlays.pictures import Overlays
from segscale.tasks.reasons import reasons_of
from segscale.tasks.report_html import words
from segscale.tasks.report_html.case_cards import case_groups
from segscale.tasks.report_html.cases import cases_of
from segscale.tasks.report_html.class_section import class_sections, gap_of, steps_of
from segscale.tasks.report_html.further_scores import further_rows
from segscale.tasks.report_html.gap_plot import gap_plot
from segscale.tasks.report_html.gap_sentence import sentence, steps_sentence
from segscale.tasks.report_html.headline import Tables, headline_of, rows_of, whole_set
from segscale.tasks.report_html.image_table import image_table
from segscale.tasks.report_html.lead import lead_row
from segscale.tasks.report_html.measured import distance_unit, measured_rows
from segscale.tasks.report_html.strata import MAX_STRATA, strata_rows

TABLES = ("per_image", "per_sample", "batch_summed", "intervals", "gap", "failures")
"""Tables that the page needs; `thresholds` is shown where there is one."""
RUN_KEYS = (
    "run_id", "dataset", "model", "n_images", "n_failed", "n_missing", "catalog_sha256", "weights_sha256", "versions",
    "plan", "config",
)  # fmt: skip
CONFIG_SECTIONS = ("dataset", "predictions", "model", "metrics")
"""What of the configuration is shown: all that says what was evaluated, and not where the work was done."""
PATHS = frozenset({"images", "references", "manifest", "columns", "path"})
"""Keys of these sections that say where something lies: their last part says what it is."""
ONLY_WITH: Mapping[str, tuple[str, ...]] = {
    "surface": ("nsd_tolerances_mm", "missed_distance"),
    "lesions": ("lesion_neighbours", "lesion_rule", "lesion_threshold"),
    "instances": (),
}
"""Keys that mean something where another asks for what they are about."""
MAX_FAILURES = 50
SCRIPTS = ("datatables/dataTables.min.js", "table.js")
"""What runs in the page: DataTables, as it is published, and how it is used. Without scripts the table is all there."""
NO_OVERLAYS = Overlays()
_MISSED = {"worst": "from corner to corner of the image", "inf": "infinite", "nan": "undefined"}
"""What stands for a distance that cannot be measured, in words."""


def render_report(
    tables: Tables, run: Mapping[str, Any], findings: Sequence[Finding] = (), overlays: Overlays = NO_OVERLAYS
) -> bytes:
    """The page in UTF-8. Equal arguments give equal bytes.

    tables: the report's tables by name, those of TABLES and `thresholds` where there are probabilities, `surface` and
    `lesion_counts` where they were measured. run: the
    contents of run.json, of which RUN_KEYS are read; weights_sha256 and plan may be None. overlays: pictures of the
    cases of `cases_of`; a case without one is named. The headline has every head, plots are of the last. ValueError
    names tables and keys that are missing.
    """
    _require("tables", TABLES, tables)
    _require("run", RUN_KEYS, run)
    metrics = run["config"]["metrics"]
    heads = list(dict.fromkeys(tables["per_sample"]["head"]))
    head = heads[-1]
    sections = class_sections(tables, metrics, head)
    regions = regions_of(tables["per_image"])
    gaps = rows_of(whole_set(tables["gap"]), metric="dice", head=head)
    # What is said of the set as a whole is over classes, which regions are none of.
    foreground = gaps[((gaps["class_index"] > 0) & ~gaps["class_index"].isin(regions)).to_numpy(bool)]
    n_classes = len(foreground)
    steps = rows_of(whole_set(tables["gap"], units=True), metric="dice", head=head)
    told = lead_row(gaps, regions)
    steps = rows_of(steps, class_index=told["class_index"], class_name=told["class_name"])
    strata = strata_rows(tables, head)
    table = image_table(tables, head)
    scripts = [Markup(_file(name)) for name in SCRIPTS] if table.rows else []
    failures = tables["failures"]
    reasons = reasons_of(failures)
    page = _template().render(
        run=run,
        style=Markup(_file("page.css")),
        headline=headline_of(tables),
        measured=measured_rows(tables, distance_unit(tables)),
        distance_unit=distance_unit(tables),
        missed_distance=_MISSED[metrics.get("missed_distance", "worst")],
        has_heads=len(heads) > 1,
        last_head=str(head),
        lead=sentence(gap_of(told)),
        lead_plot=gap_plot(gap_of(told)),
        unit_sentence=steps_sentence(steps_of(steps)) if len(steps) else "",
        further=further_rows(tables),
        strata=strata[:MAX_STRATA],
        n_more_strata=max(len(strata) - MAX_STRATA, 0),
        table=table,
        scripts=scripts,
        hashes=[_sha256(script) for script in scripts],
        groups=case_groups(cases_of(tables), overlays),
        overlays=overlays,
        sections=sections,
        n_classes=n_classes,
        n_regions=len(regions),
        confidence=words.share(metrics["confidence"]),
        units=metrics["cluster_by"] or (f"images, or {metrics['unit']}" if metrics["unit"] else "images"),
        folds=metrics["folds"],
        reasons=reasons,
        n_other_reasons=len(failures) - sum(reason.n_images for reason in reasons),
        failures=failures.head(MAX_FAILURES).to_dict("records"),
        n_more_failures=max(len(failures) - MAX_FAILURES, 0),
        findings=by_severity(findings),
        provenance=list(_provenance(run)),
    )
    # Names of files may hold what is no text; the page is to be written all the same.
    return page.encode("utf-8", errors="backslashreplace")


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    for name in ("score", "number", "images", "small"):
        environment.filters[name] = getattr(words, name)
    environment.filters |= {"across": _across, "order": _order}
    return environment.from_string(_file("page.html.jinja"))


@cache
def _file(name: str) -> str:
    """The text of a file beside this one."""
    return files(__package__).joinpath(name).read_text("utf-8")


def _sha256(script: str) -> str:
    """What the policy of the page lets run: this text and no other."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _order(value: float) -> str:
    """A number as rows are sorted by it; nothing for one that is undefined."""
    return "" if math.isnan(value) else f"{value:.9g}"


def _across(value: float, move: float = 0.0) -> str:
    """Where a score from 0 to 1 lies on the lines of dots."""
    return f"{4 + 112 * value + move:.4g}"


def _require(argument: str, names: Sequence[str], given: Mapping[str, Any]) -> None:
    missing = [name for name in names if name not in given]
    if missing:
        raise ArgumentError(f"{argument}: expected {', '.join(names)}, got {sorted(given)}; add {', '.join(missing)}")


def _provenance(run: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Titles with names and values."""
    single = {name: run[name] for name in ("run_id", "dataset", "model", "catalog_sha256", "weights_sha256")}
    yield "run", _facts(single)
    yield "versions", _facts(run["versions"])
    # Why this engine and this precision, with what was measured; older runs do not say it.
    resolved = {"reason": reason} if (reason := (run.get("engine") or {}).get("reason")) else {}
    yield "plan of the prediction", _facts({**(run["plan"] or {}), **resolved})
    for name in CONFIG_SECTIONS:
        section = _asked(run["config"].get(name, {}))
        yield f"[{name}]", _facts({key: _last_part(text) if key in PATHS else text for key, text in section.items()})


def _asked(section: Mapping[str, Any]) -> dict[str, Any]:
    """A section without the keys about what was not measured, which say nothing of the run."""
    idle = {key for asked, keys in ONLY_WITH.items() if not section.get(asked) for key in (asked, *keys)}
    return {key: value for key, value in section.items() if key not in idle}


def _last_part(path: str) -> str:
    return path.rstrip("/").rsplit("/", 1)[-1]


def _facts(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    facts: list[tuple[str, str]] = []
    for name, value in sorted(values.items()):
        if isinstance(value, Mapping):
            facts += _facts(value, f"{prefix}{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            facts.append((f"{prefix}{name}", text or words.UNDEFINED))
    return facts
