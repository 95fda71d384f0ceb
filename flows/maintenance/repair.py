"""The repair flow: what verify finds broken is set aside, and just that work is done again."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
from prefect import flow

from segscale.flows.checks.evaluation import scores_predictions
from segscale.flows.checks.folders import check_folders
from segscale.flows.checks.model import find_model
from segscale.flows.cluster.connection import Connection
from segscale.flows.cluster.preflight import needs_of
from segscale.flows.config.evaluation import ConfigError, EvaluationConfig
from segscale.flows.dataset import RunCatalog, catalog_name
from segscale.flows.ingest import ingest_catalog, plan_catalog
from segscale.flows.maintenance.verify import inspect
from segscale.flows.predict import PLAN, find_plan, plan_key, plan_predict, run_predict
from segscale.flows.prefect.concurrency import turn
from segscale.flows.report import content_of, plan_report, report_of, reports_folder, run_report
from segscale.flows.score import plan_score, run_score
from segscale.flows.shards.stage import StageSummary
from segscale.storage import verification
from segscale.storage.catalog import read_catalog, rows_by_shard
from segscale.storage.ledger import Ledger
from segscale.storage.objects import ObjectStore
from segscale.storage.quarantine import STAGE as QUARANTINE
from segscale.storage.quarantine import lift
from segscale.storage.reports import ReportError, find_reports
from segscale.storage.set_aside import set_aside, waiting
from segscale.storage.verification import Finding
from segscale.tasks import predict, score, shard_plan
from segscale.tasks.predict import Prediction

logger = logging.getLogger("segscale")
Shards = set[tuple[str, str]]
UNREPAIRED = frozenset({"missing source", "unreadable source", "changed source"})
"""What only the owner of the files can mend."""


@dataclass(frozen=True, slots=True)
class Repair:
    """What was mended and what was not."""

    moved: tuple[str, ...]
    """Paths that were set aside."""
    stages: tuple[StageSummary, ...]
    """What was done again."""
    lifted: tuple[str, ...]
    """Images and files whose quarantine ended: the next run tries them again."""
    elsewhere: int
    """Shards set aside that this configuration does not use: the next run of the one that does makes them again."""
    report: str
    """Of the report that was written again, "" where none had to be."""
    remaining: tuple[Finding, ...]
    """What is still wrong."""


@flow(name="repair-dataset")
def repair_dataset(config: EvaluationConfig) -> Repair:
    """Verify every byte, set aside what is broken, and do just that work again."""
    check_folders(config)
    with turn(config.dataset.name), Connection(config.cluster, needs_of(config)) as connection:
        return run_repair(config, connection)


def run_repair(config: EvaluationConfig, connection: Connection) -> Repair:
    """The body of the flow: verify, set aside, redo on the workers of `connection`, look again.

    The catalog stays as it is where it is sound, so that no change of the data set is taken for a repair. Raises
    WorkLostError where a shard cannot be made again; the next repair tries it again.
    """
    store = config.store.open()
    before = inspect(config, full=True)
    if config.model.path:
        # Before anything is moved: without its model a predicted shard could not be made again.
        find_model(config)
    moved = set_aside(store, before.findings)
    for path in moved:
        logger.info("repair: set aside %s", path)
    # After that, for a quarantine whose record is damaged cannot be read: it ended when it was set aside.
    lifted = tuple(held.name for held in lift(store))
    wanted = waiting(store) | {(item.stage, item.key) for item in before.findings if item.kind == "missing record"}
    catalog = RunCatalog(config, _sound_catalog(config, store, connection))
    stages = _redo(config, catalog, store, connection, wanted)
    report = _rewrite_report(config, catalog, store, stages)
    after = inspect(config, full=False)
    remaining = [*after.findings, *(item for item in before.findings if item.kind in UNREPAIRED)]
    elsewhere = sum(stage != QUARANTINE for stage, _ in waiting(store))
    return Repair(moved, stages, lifted, elsewhere, report, tuple(remaining))


def _sound_catalog(config: EvaluationConfig, store: ObjectStore, connection: Connection) -> pd.DataFrame:
    """The catalog as it is, or where it was damaged and set aside a new one."""
    found = read_catalog(store, catalog_name(config))
    return plan_catalog(config, store, connection) if found is None else found


def _redo(
    config: EvaluationConfig, catalog: RunCatalog, store: ObjectStore, connection: Connection, wanted: Shards
) -> tuple[StageSummary, ...]:
    """Do those of the wanted shards that are this configuration's."""
    counted = _counted_on(config, catalog.get(), store)
    ingested = {key for key in rows_by_shard(catalog.get()) if (shard_plan.STAGE, key) in wanted}
    # What is counted again is counted on an ingested shard, which may be gone as well.
    ingested |= {ingest_key for shard, ingest_key in counted.items() if shard in wanted}
    ingested -= Ledger(store).done(shard_plan.STAGE)
    stages = [ingest_catalog(config, catalog.get(), connection, ingested)] if ingested else []
    if scores_predictions(config, catalog.get()):
        keys = {key for stage, key in counted if (stage, key) in wanted}
        return (*stages, run_score(config, connection, catalog, keys)) if keys else tuple(stages)
    keys = {key for stage, key in counted if (stage, key) in wanted}
    if not counted and (PLAN, plan_key(config, find_model(config))) in wanted:
        # Resolved anew it may be another plan, and then no shard that was counted before is one of this run.
        return (*stages, run_predict(config, connection, catalog))
    return (*stages, run_predict(config, connection, catalog, keys)) if keys else tuple(stages)


def _counted_on(config: EvaluationConfig, catalog: pd.DataFrame, store: ObjectStore) -> dict[tuple[str, str], str]:
    """The shards that count, (stage, key), with the key of the ingested shard that each is made of.

    Empty where images are predicted and the plan record is gone.
    """
    if scores_predictions(config, catalog):
        return {(score.STAGE, key): job.ingest_key for key, job in plan_score(config, catalog).items()}
    plan = find_plan(config, find_model(config), store)
    prediction = plan.prediction if plan else _restore_plan(config, catalog, store)
    if prediction is None:
        return {}
    return {(predict.STAGE, key): job.ingest_key for key, job in plan_predict(catalog, prediction).items()}


def _restore_plan(config: EvaluationConfig, catalog: pd.DataFrame, store: ObjectStore) -> Prediction | None:
    """The plan record out of a report of this data set, committed again; None where no report has it.

    It is the right one if shards are named by it: their keys are hashes of it. Resolved anew, by the clock, it might
    be another, and all would have to be predicted again.
    """
    done = Ledger(store).done(predict.STAGE) | {key for stage, key in waiting(store) if stage == predict.STAGE}
    for report in find_reports(reports_folder(config)):
        try:
            run = report.run()
            prediction = Prediction(**{**run["plan"], "heads": tuple(run["plan"]["heads"])})
        except (ReportError, TypeError, KeyError):
            continue
        if not done.isdisjoint(plan_predict(catalog, prediction)):
            facts = {"prediction": run["plan"], "engine": run["engine"]}
            Ledger(store).record(PLAN, plan_key(config, find_model(config)), facts)
            logger.info("repair: the plan record is restored from %s", report.path)
            return prediction
    return None


def _rewrite_report(
    config: EvaluationConfig, catalog: RunCatalog, store: ObjectStore, stages: Sequence[StageSummary]
) -> str:
    """Write the report again where it is damaged; returns its place, or "" where there is none or it is sound."""
    try:
        plan = plan_report(config, catalog.get(), store)
    except ConfigError:
        # Nothing was predicted yet, so there is no report either.
        return ""
    report = report_of(config, content_of(config, catalog.get(), plan))
    if not verification.check_report(report):
        return ""
    logger.info("repair: the report at %s is written again", report.path)
    return run_report(config, stages, catalog).path


def describe(repair: Repair) -> str:
    """A line for each thing that remains, and what was done."""
    return "\n".join(_lines(repair))


def _lines(repair: Repair) -> Iterator[str]:
    yield from map(str, repair.remaining)
    done = ", ".join(f"{stage.shards} of {stage.stage}" for stage in repair.stages) or "none"
    yield f"set aside {len(repair.moved)} files; shards done again: {done}"
    if repair.lifted:
        yield f"no longer quarantined, the next run tries them again: {', '.join(repair.lifted)}"
    if repair.elsewhere:
        yield (
            f"{repair.elsewhere} shards set aside belong to other data sets or settings: "
            "run their configurations to make them again"
        )
    if repair.report:
        yield f"report written again: {repair.report}"
    yield f"{len(repair.remaining)} findings remain"
