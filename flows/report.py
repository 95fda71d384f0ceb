"""The report flow: the tables of a run, from the counts that the store holds."""

from __future__ import annotations

import logging
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
from prefect import flow

from segscale.flows.checks.folders import check_folders
from segscale.flows.checks.model import find_model
from segscale.flows.config.evaluation import ConfigError, EvaluationConfig
from segscale.flows.dataset import RunCatalog
from segscale.flows.predict import find_plan, plan_predict
from segscale.flows.prefect.artifacts import is_watched, publish_link, publish_table
from segscale.flows.prefect.concurrency import turn
from segscale.flows.progress import timed
from segscale.flows.score import plan_score
from segscale.flows.shards.stage import StageSummary
from segscale.flows.versions import installed_version
from segscale.storage.catalog import catalog_sha256
from segscale.storage.ledger import Entry, Ledger, content_key
from segscale.storage.objects import ObjectStore
from segscale.storage.reports import Report, write_report
from segscale.storage.sources import file_name
from segscale.storage.tables import decode_frame
from segscale.tasks import predict, score, shard_plan
from segscale.tasks import report as report_tables
from segscale.tasks.metrics.diagnose import diagnose
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.predict import Prediction
from segscale.tasks.report import Identity, Layout, build_tables, collect, headline, score_settings

logger = logging.getLogger("segscale")
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

    @property
    def failure_rate(self) -> float:
        return self.n_failed / self.n_images


@dataclass(frozen=True, slots=True)
class ReportPlan:
    """What a report is made of."""

    stage: str
    """The one that counted: predict or score."""
    keys: tuple[str, ...]
    heads: tuple[str, ...]
    model: str
    prediction: Prediction | None
    engine: dict[str, Any] | None
    """How the engine was resolved."""


@flow(name="report-dataset")
def report_dataset(config: EvaluationConfig) -> RunResult:
    """Write the report of a data set whose predictions are counted."""
    check_folders(config)
    with turn(config.dataset.name):
        return run_report(config, ())


def run_report(config: EvaluationConfig, stages: Sequence[StageSummary], known: RunCatalog | None = None) -> RunResult:
    """The body of the flow. `stages` is what was done before in the same run; it goes into run.json."""
    store, catalog = config.store.open(), (known or RunCatalog(config)).get()
    plan = plan_report(config, catalog, store)
    content = content_of(config, catalog, plan)
    identity = Identity(config.report.run_id or content[:12], config.dataset.name, plan.model)
    report = report_of(config, content)
    if report.is_whole() and report.run().get("content_sha256") == content:
        logger.info("report: unchanged, already at %s", report.path)
        run = report.run()
        result = RunResult(report.path, identity.run_id, run["n_images"], run["n_failed"], True)
        return _announce(report, result, identity.dataset, stages)
    with timed() as seconds:
        entries = _entries(config, store, plan)
        metrics = config.metrics
        layout = Layout(config.dataset.classes, plan.heads, metrics.threshold, metrics.threshold_count)
        counted = collect(store, entries, catalog, layout)
        settings = score_settings(metrics.model_dump())
        contents = build_tables(counted, catalog, layout, settings, identity)
    n_failed = int((counted.frame["status"] == "failed").sum()) // layout.rows_per_image
    record = _run_record(config, catalog, plan, identity, stages, entries, seconds[0])
    run = {**record, "content_sha256": content, "n_images": len(catalog), "n_failed": n_failed}
    contents["report.html"] = _render(contents, run, settings)
    write_report(report.store, contents, run)
    result = RunResult(report.path, identity.run_id, len(catalog), n_failed, False)
    return _announce(report, result, identity.dataset, stages)


def plan_report(config: EvaluationConfig, catalog: pd.DataFrame, store: ObjectStore) -> ReportPlan:
    """What the report of this run is made of. Raises ConfigError where nothing was predicted with this model yet."""
    if config.predictions.path or not config.model.path:
        return ReportPlan(score.STAGE, tuple(plan_score(config, catalog)), ("",), "", None, None)
    known = find_plan(config, find_model(config), store)
    if known is None:
        raise ConfigError(f"store.path: {store.url} holds no predictions of this model; run predict first")
    name = file_name(config.model.path).removesuffix(".keras")
    keys = tuple(plan_predict(catalog, known.prediction))
    return ReportPlan(predict.STAGE, keys, known.prediction.heads, name, known.prediction, known.engine)


def content_of(config: EvaluationConfig, catalog: pd.DataFrame, plan: ReportPlan) -> str:
    """The sha256 of everything that affects a number or a text of the report; its first 12 digits name the run."""
    content = {
        "dataset": config.dataset.model_dump(mode="json", exclude={"images", "references", "manifest", "roots"}),
        "metrics": config.metrics.model_dump(mode="json"),
        "catalog": catalog_sha256(catalog),
        "stage": plan.stage,
        "model": plan.model,
        "code": [
            shard_plan.CODE_VERSION,
            predict.CODE_VERSION if plan.prediction else score.CODE_VERSION,
            report_tables.CODE_VERSION,
        ],
        "prediction": _deciding(plan.prediction) if plan.prediction else None,
    }
    return content_key(content)


def report_of(config: EvaluationConfig, content: str) -> Report:
    """Where the report of a run lies, or will lie, whose `content_of` is given."""
    return Report(ObjectStore(f"{reports_folder(config)}/{config.report.run_id or content[:12]}"))


def reports_folder(config: EvaluationConfig) -> str:
    """The folder or URL of all reports of a data set."""
    return f"{config.report.path.rstrip('/')}/{config.dataset.name}"


def _deciding(prediction: Prediction) -> dict[str, Any]:
    """What of the plan record affects a number: not the batch, which is found by the clock and changes no bit."""
    return {name: value for name, value in asdict(prediction).items() if name != "batch_pixels"}


def _entries(config: EvaluationConfig, store: ObjectStore, plan: ReportPlan) -> list[Entry]:
    ledger = Ledger(store)
    missing = sorted(set(plan.keys) - ledger.done(plan.stage))
    if missing:
        raise ConfigError(
            f"store.path: {store.url} holds {len(plan.keys) - len(missing)} of {len(plan.keys)} counted shards of "
            f"{config.dataset.name!r}; run {plan.stage} first"
        )
    return [ledger.read(plan.stage, key) for key in plan.keys]


def recorded(config: EvaluationConfig) -> dict[str, Any]:
    """The configuration for run.json, which travels further than it does.

    Of [cluster] the kind and the number of workers alone: it affects no number, and commands and options of jobs may
    hold tokens.
    """
    cluster = config.cluster.model_dump(mode="json", include={"kind", "workers"})
    return {**config.model_dump(mode="json", exclude={"cluster"}), "cluster": cluster}


def _run_record(
    config: EvaluationConfig,
    catalog: pd.DataFrame,
    plan: ReportPlan,
    identity: Identity,
    stages: Sequence[StageSummary],
    entries: Sequence[Entry],
    seconds: float,
) -> dict[str, Any]:
    done = {stage.stage: asdict(stage) for stage in stages}
    for record in done.values():
        record["images_per_second"] = record["images"] / record["seconds"] if record["seconds"] else None
    return {
        **asdict(identity),
        "config": recorded(config),
        "versions": {"python": platform.python_version(), **{name: installed_version(name) for name in PACKAGES}},
        "catalog_sha256": catalog_sha256(catalog),
        "weights_sha256": plan.prediction.weights_sha256 if plan.prediction else None,
        "plan": asdict(plan.prediction) if plan.prediction else None,
        "engine": plan.engine,
        "n_shards": len(entries),
        "stages": {**done, "report": {"seconds": seconds}},
    }


def _render(contents: Mapping[str, bytes], run: Mapping[str, Any], settings: ScoreSettings) -> bytes:
    # matplotlib takes a while to load: only who writes a page pays for it.
    from segscale.tasks.report_html.page import render_report

    tables = {name.removesuffix(".parquet"): decode_frame(data) for name, data in contents.items()}
    judged = {name: tables[name] for name in ("per_image", "per_sample", "batch_summed", "gap")}
    return render_report(tables, run, diagnose(**judged, settings=settings))


def _announce(report: Report, result: RunResult, dataset: str, stages: Sequence[StageSummary]) -> RunResult:
    """Publish headline, stages, failures and the place of the report where Prefect is watching."""
    if is_watched():
        said = f"{result.n_failed} of {result.n_images} images failed"
        publish_table(headline_of(report), said, dataset)
        publish_table(
            pd.DataFrame([asdict(stage) for stage in stages]), "What was done now, and what before", dataset, "stages"
        )
        if result.n_failed:
            failures = report.table("failures")[["image_id", "stage", "error_type", "message"]]
            publish_table(failures, said, dataset, "failures")
        publish_link(report.path, "The Parquet tables of this run", dataset, "report")
    return result


def headline_of(report: Report) -> pd.DataFrame:
    """The headline table of a written report; of several heads each, with its name in front."""
    per_sample, batch_summed = report.table("per_sample"), report.table("batch_summed")
    heads = list(dict.fromkeys(per_sample["head"].astype(str)))
    tables = [headline(per_sample, batch_summed, head) for head in heads]
    if len(heads) == 1:
        return tables[0]
    return pd.concat([table.assign(head=head) for table, head in zip(tables, heads, strict=True)], ignore_index=True)[
        ["head", *tables[0].columns]
    ]
