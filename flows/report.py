"""Report: the tables of a run, from the counts that the store holds."""

from __future__ import annotations

import logging
import platform
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import pandas as pd

from segscale.errors import ConfigError
from segscale.flows import page
from segscale.flows.checks.folders import check_folders
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.dataset import is_scored, list_dataset, require_catalog
from segscale.flows.measured import measuring
from segscale.flows.observer import UNOBSERVED, Observer
from segscale.flows.overlays import draw_overlays
from segscale.flows.plan import find_plan
from segscale.flows.predict import counted_by, jobs_of
from segscale.flows.progress import timed
from segscale.flows.run import Counted, Run
from segscale.flows.stage import StageSummary
from segscale.flows.survey import check_as_counted
from segscale.flows.versions import installed_version
from segscale.storage.catalog import rows_by_shard
from segscale.storage.ledger import Entry, Ledger, content_key
from segscale.storage.objects import ObjectStore
from segscale.storage.reports import Report, write_report
from segscale.tasks import predict, scoring, shard_plan
from segscale.tasks import report as report_tables
from segscale.tasks.metrics.findings import Finding
from segscale.tasks.metrics.headline import headline
from segscale.tasks.metrics.reference_signatures import ignored_by
from segscale.tasks.metrics.regions import without_none
from segscale.tasks.prediction import Prediction
from segscale.tasks.reasons import Reason, reasons_of
from segscale.tasks.report import Identity, ReportTables, build_tables
from segscale.tasks.run_counts import Layout, collect
from segscale.tasks.run_measures import NOTHING, collect_measures
from segscale.tasks.run_slices import collect_slices

logger = logging.getLogger("segscale")
PAGE = "report.html"
_FETCHED_AT_ONCE = 8
_PLACES = {"images", "references", "masks", "manifest", "roots", "columns", "same_files", "rescan"}
"""Of [dataset], what says where files are and when they are looked at: the images themselves are in the catalog."""
_UNASKED = {
    "volume": None, "affine": "", "spacing_mm": None, "resample": False, "slice_axis": "auto", "slices": False,
    "instances": "", "surface": False, "nsd_tolerances_mm": [2.0], "missed_distance": "worst", "lesions": False,
    "lesion_neighbours": 26, "lesion_rule": "overlap", "lesion_threshold": None,
}  # fmt: skip
PACKAGES = ("segscale", "tensorflow", "keras", "numpy", "numba", "pandas", "pyarrow", "zarr", "dask", "prefect")


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run came to."""

    path: str
    """The folder of the report."""
    run_id: str
    n_images: int
    n_failed: int
    reused: bool
    """Whether the report was there already, whole."""
    headline: pd.DataFrame = field(compare=False, repr=False)
    """What each aggregation says, as `headline_of` has it."""
    n_missing: int = 0
    """Of the failed images, those whose image and reference are sound and whose prediction is missing or unusable."""
    reasons: tuple[Reason, ...] = ()
    """Why images failed, with an example of each reason."""
    findings: tuple[Finding, ...] = ()
    """The errors and warnings of `diagnose`."""

    @property
    def page(self) -> str:
        """The report to look at."""
        return f"{self.path}/{PAGE}"


def run(config: EvaluationConfig, observer: Observer = UNOBSERVED) -> RunResult:
    """Write the report of a data set whose predictions are counted."""
    check(config)
    with Run(config, observer) as job, observer.turn():
        return observer.stage("report", lambda: write_tables(job, ()))


def check(config: EvaluationConfig) -> None:
    """What can be wrong before anything starts. Raises ConfigError."""
    store, scored = config.store.open(), is_scored(config)
    require_catalog(config, store, scored=scored)
    try:
        listing = list_dataset(config).images
    except ConfigError as error:
        # What was counted is in the store; its files may have been moved away since.
        logger.warning("report: of what the store holds, whose files were not looked at: %s", error)
    else:
        check_as_counted(config, store, listing, scored=scored)
    check_folders(config)


def write_tables(run: Run, stages: Sequence[StageSummary]) -> RunResult:
    """The report of what the run counted, written unless it is there. `stages` were done before; run.json names them.

    Raises ConfigError where shards are not counted yet.
    """
    config, store, catalog = run.config, run.store, run.catalog
    # The pictures of the page are of what was counted, also where a run before this one did it.
    counted = run.counted = run.counted or find_counted(run)
    content = content_of(run, counted)
    identity = Identity(config.report.run_id or content[:12], config.dataset.name, counted.model)
    report = report_of(config, content)
    if report.is_whole() and report.run().get("content_sha256") == content:
        logger.info("report: unchanged, already at %s", report.path)
        tables = {name: report.table(name) for name in ("per_sample", "batch_summed")}
        result = _result(report, tables, reused=True)
        run.observer.reported(result, stages)
        return result
    with timed() as seconds:
        entries = _entries(config, store, counted)
        dataset, metrics, regions = config.dataset, config.metrics, tuple(config.dataset.regions)
        layout = Layout(dataset.classes, counted.heads, metrics.threshold, metrics.threshold_count, regions)
        counts = collect(store, entries, catalog, layout)
        slices = collect_slices(store, entries, catalog, layout) if metrics.slices else None
        measured = measuring(config)
        measures = collect_measures(store, entries, catalog, layout, measured) if measured else NOTHING
        ignored = ignored_by(dataset.ignore_label, dataset.masks)
        built = build_tables(counts, catalog, layout, metrics, identity, slices, ignored, measures)
        contents = built.encode()
    record = _run_record(run, counted, identity, stages, entries, seconds[0])
    record |= {"content_sha256": content, "n_images": len(catalog), **_known(built, layout)}
    contents[PAGE] = page.render(built, record, draw_overlays(run, page.cases(built)))
    result = _result(write_report(report.store, contents, record), built.frames, reused=False)
    run.observer.reported(result, stages)
    return result


def _known(built: ReportTables, layout: Layout) -> dict[str, Any]:
    """What run.json keeps of what a run says at its end, so that one with nothing to do says the same."""
    per_image = built.frames["per_image"]
    return {
        "n_failed": int((per_image["status"] == "failed").sum()) // layout.rows_per_image,
        "n_missing": int(per_image["prediction_missing"].sum()) // layout.rows_per_image,
        "reasons": [asdict(reason) for reason in reasons_of(built.frames["failures"])],
        "findings": [asdict(finding) for finding in built.findings],
    }


def _result(report: Report, tables: Mapping[str, pd.DataFrame], *, reused: bool) -> RunResult:
    record = report.run()
    findings = tuple(Finding(**finding) for finding in record["findings"])
    return RunResult(
        path=report.path,
        run_id=record["run_id"],
        n_images=record["n_images"],
        n_failed=record["n_failed"],
        reused=reused,
        headline=headline_of(tables),
        n_missing=record["n_missing"],
        reasons=tuple(Reason(**reason) for reason in record["reasons"]),
        findings=tuple(finding for finding in findings if finding.severity != "note"),
    )


def find_counted(run: Run) -> Counted:
    """What was counted before this run. Raises ConfigError where nothing was predicted with this model yet."""
    config = run.config
    if run.scored:
        return Counted(scoring.STAGE, tuple(rows_by_shard(run.catalog)), config.predictions.label)
    known = find_plan(config, run.model, run.store)
    if known is None:
        raise ConfigError(f"store.path: {run.store.url} holds no predictions of this model; run predict first")
    return counted_by(config, known, jobs_of(config, run.catalog, known.prediction))


def content_of(run: Run, counted: Counted) -> str:
    """The sha256 of everything that affects a number or a text of the report; its first 12 digits name the run."""
    config = run.config
    content = {
        "dataset": _asked(without_none(config.dataset.model_dump(mode="json", exclude=_PLACES))),
        "metrics": _asked(config.metrics.model_dump(mode="json")),
        "catalog": run.catalog_sha256,
        "stage": counted.stage,
        "model": counted.model,
        "code": [
            shard_plan.CODE_VERSION,
            predict.CODE_VERSION if counted.plan else scoring.CODE_VERSION,
            report_tables.CODE_VERSION,
        ],
        "prediction": _deciding(counted.plan.prediction) if counted.plan else None,
        "preparation": run.preparation.as_key(),
        "counting": None if counted.plan else run.counting.as_key(),
        # Another page under the name of one that is there would never be written.
        **({"overlays": config.report.overlays} if config.report.overlays != "labels" else {}),
    }
    return content_key(content)


def _asked(section: Mapping[str, Any]) -> dict[str, Any]:
    """A section without the keys about volumes that ask for nothing, as before there were any."""
    return {name: value for name, value in section.items() if name not in _UNASKED or value != _UNASKED[name]}


def report_of(config: EvaluationConfig, content: str) -> Report:
    """Where the report of a run lies, or will lie, whose `content_of` is given."""
    return Report(ObjectStore(f"{reports_folder(config)}/{config.report.run_id or content[:12]}"))


def reports_folder(config: EvaluationConfig) -> str:
    """The folder or URL of all reports of a data set."""
    return f"{config.report.path.rstrip('/')}/{config.dataset.name}"


def _deciding(prediction: Prediction) -> dict[str, Any]:
    """What of the plan record affects a number: not the batch, which is found by the clock and changes no bit."""
    return {name: value for name, value in prediction.record().items() if name != "batch_pixels"}


def _entries(config: EvaluationConfig, store: ObjectStore, counted: Counted) -> list[Entry]:
    ledger = Ledger(store)
    missing = sorted(set(counted.keys) - ledger.done(counted.stage))
    if missing:
        raise ConfigError(
            f"store.path: {store.url} holds {len(counted.keys) - len(missing)} of {len(counted.keys)} counted shards "
            f"of {config.dataset.name!r}; run {counted.stage} first"
        )
    # Of an object store each record takes a while to come.
    with ThreadPoolExecutor(_FETCHED_AT_ONCE) as pool:
        return list(pool.map(partial(ledger.read, counted.stage), counted.keys))


def recorded(config: EvaluationConfig) -> dict[str, Any]:
    """The configuration for run.json, which travels further than it does.

    Of [cluster] the kind and the number of workers alone: it affects no number, and commands and options of jobs may
    hold tokens.
    """
    cluster = config.cluster.model_dump(mode="json", include={"kind", "workers"})
    return {**config.model_dump(mode="json", exclude={"cluster"}), "cluster": cluster}


def _run_record(
    run: Run,
    counted: Counted,
    identity: Identity,
    stages: Sequence[StageSummary],
    entries: Sequence[Entry],
    seconds: float,
) -> dict[str, Any]:
    done = {stage.stage: asdict(stage) for stage in stages}
    for record in done.values():
        record["images_per_second"] = record["images"] / record["seconds"] if record["seconds"] else None
    planned = counted.plan.record() if counted.plan else {"prediction": None, "engine": None}
    return {
        **asdict(identity),
        "config": recorded(run.config),
        "versions": {"python": platform.python_version(), **{name: installed_version(name) for name in PACKAGES}},
        "catalog_sha256": run.catalog_sha256,
        "weights_sha256": counted.plan.prediction.weights_sha256 if counted.plan else None,
        "plan": planned["prediction"],
        "engine": planned["engine"],
        "n_shards": len(entries),
        "stages": {**done, "report": {"seconds": seconds}},
    }


def headline_of(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The headline of the tables per_sample and batch_summed; of several heads each, with its name in front."""
    per_sample, batch_summed = tables["per_sample"], tables["batch_summed"]
    heads = list(dict.fromkeys(per_sample["head"].astype(str)))
    by_head = [headline(per_sample, batch_summed, head) for head in heads]
    if len(heads) == 1:
        return by_head[0]
    return pd.concat([table.assign(head=head) for table, head in zip(by_head, heads, strict=True)], ignore_index=True)[
        ["head", *by_head[0].columns]
    ]
