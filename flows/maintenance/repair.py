"""Repair: what verify finds broken is set aside, and just that work is done again."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from segscale.errors import ConfigError, ReportError
from segscale.flows.checks.cluster import find_cluster
from segscale.flows.checks.folders import check_folders
from segscale.flows.checks.model import find_model
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.ingest import ingest_catalog, plan_catalog
from segscale.flows.maintenance.verify import inspect, kept_run
from segscale.flows.observer import UNOBSERVED, Observer
from segscale.flows.plan import PLAN, find_plan, plan_key
from segscale.flows.predict import jobs_of, predict_images
from segscale.flows.report import content_of, find_counted, report_of, reports_folder, write_tables
from segscale.flows.run import Run
from segscale.flows.score import score_catalog, score_files
from segscale.flows.stage import StageSummary
from segscale.storage import verification
from segscale.storage.catalog import read_catalog, rows_by_shard
from segscale.storage.enumeration import counted
from segscale.storage.ledger import Ledger
from segscale.storage.quarantine import STAGE as QUARANTINE
from segscale.storage.quarantine import lift
from segscale.storage.reports import find_reports
from segscale.storage.set_aside import set_aside, waiting
from segscale.storage.source_memory import SourceMemory
from segscale.storage.verification import Finding
from segscale.tasks import predict, scan, scoring, shard_plan
from segscale.tasks.prediction import Prediction, prediction_of

logger = logging.getLogger("segscale")
Shards = set[tuple[str, str]]
CHANGED_SOURCE = "changed source"
UNREPAIRED = frozenset({"missing source", "unreadable source", CHANGED_SOURCE})
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
    forgotten: tuple[str, ...]
    """Source files with other bytes than catalogued, which the next run looks at again."""
    elsewhere: int
    """Shards set aside that this configuration does not use: the next run of the one that does makes them again."""
    report: str
    """Of the report that was written again, "" where none had to be."""
    remaining: tuple[Finding, ...]
    """What is still wrong."""


def run(config: EvaluationConfig, observer: Observer = UNOBSERVED) -> Repair:
    """Verify every byte, set aside what is broken, and do just that work again."""
    check(config)
    with Run(config, observer, scored=kept_run(config).scored) as job, observer.turn():
        return observer.stage("repair", lambda: repair_store(job))


def check(config: EvaluationConfig) -> None:
    """What can be wrong before anything starts. Raises ConfigError."""
    find_cluster(config.cluster)
    check_folders(config)


def repair_store(run: Run) -> Repair:
    """Verify, set aside, redo on the workers of the run, look again.

    The catalog stays as it is where it is sound, so that no change of the data set is taken for a repair. Raises
    WorkLostError where a shard cannot be made again; the next repair tries it again.
    """
    config, store = run.config, run.store
    before = inspect(config, full=True)
    if config.model.path:
        # Before anything is moved: without its model a predicted shard could not be made again.
        find_model(config)
    moved = set_aside(store, before.findings)
    for path in moved:
        logger.info("repair: set aside %s", path)
    forgotten = tuple(item.place for item in before.findings if item.kind == CHANGED_SOURCE)
    SourceMemory(store, scan.CODE_VERSION).forget(forgotten)
    # After that, for a quarantine whose record is damaged cannot be read: it ended when it was set aside.
    lifted = tuple(held.name for held in lift(store))
    wanted = waiting(store) | {(item.stage, item.key) for item in before.findings if item.kind == "missing record"}
    stages = _redo(run, wanted)
    report = _rewrite_report(run, stages)
    after = inspect(config, full=False)
    remaining = [*after.findings, *(item for item in before.findings if item.kind in UNREPAIRED)]
    elsewhere = sum(stage != QUARANTINE for stage, _ in waiting(store))
    return Repair(moved, stages, lifted, forgotten, elsewhere, report, tuple(remaining))


def _redo(run: Run, wanted: Shards) -> tuple[StageSummary, ...]:
    """Do those of the wanted shards that are this configuration's, by the catalog as it is where it is sound."""
    found = read_catalog(run.store, run.catalog_name)
    if not run.scored:
        run.renew_catalog(lambda: plan_catalog(run) if found is None else found)
        return _redo_predicted(run, wanted)
    if found is None:
        return (score_files(run),)
    run.renew_catalog(lambda: found)
    keys = {key for key in rows_by_shard(found) if (scoring.STAGE, key) in wanted}
    return (score_catalog(run, keys),) if keys else ()


def _redo_predicted(run: Run, wanted: Shards) -> tuple[StageSummary, ...]:
    counted = _counted_on(run)
    ingested = {key for key in rows_by_shard(run.catalog) if (shard_plan.STAGE, key) in wanted}
    # What is counted again is counted on an ingested shard, which may be gone as well.
    ingested |= {ingest_key for shard, ingest_key in counted.items() if shard in wanted}
    ingested -= Ledger(run.store).done(shard_plan.STAGE)
    stages = [ingest_catalog(run, run.catalog, ingested)] if ingested else []
    keys = {key for stage, key in counted if (stage, key) in wanted}
    if not counted and (PLAN, plan_key(run.config, run.model)) in wanted:
        # Resolved anew it may be another plan, and then no shard that was counted before is one of this run.
        return (*stages, predict_images(run))
    return (*stages, predict_images(run, keys)) if keys else tuple(stages)


def _counted_on(run: Run) -> dict[tuple[str, str], str]:
    """The predicted shards, (stage, key), with the key of the ingested shard that each is made of.

    Empty where the plan record is gone.
    """
    plan = find_plan(run.config, run.model, run.store)
    prediction = plan.prediction if plan else _restore_plan(run)
    if prediction is None:
        return {}
    return {(predict.STAGE, key): job.ingest_key for key, job in jobs_of(run.config, run.catalog, prediction).items()}


def _restore_plan(run: Run) -> Prediction | None:
    """The plan record out of a report of this data set, committed again; None where no report has it.

    It is the right one if shards are named by it: their keys are hashes of it. Resolved anew, by the clock, it might
    be another, and all would have to be predicted again.
    """
    ledger = Ledger(run.store)
    done = ledger.done(predict.STAGE) | {key for stage, key in waiting(run.store) if stage == predict.STAGE}
    for report in find_reports(reports_folder(run.config)):
        try:
            record = report.run()
            prediction = prediction_of(record["plan"])
        except (ReportError, TypeError, KeyError):
            continue
        if not done.isdisjoint(jobs_of(run.config, run.catalog, prediction)):
            facts = {"prediction": record["plan"], "engine": record["engine"]}
            ledger.record(PLAN, plan_key(run.config, run.model), facts)
            logger.info("repair: the plan record is restored from %s", report.path)
            return prediction
    return None


def _rewrite_report(run: Run, stages: Sequence[StageSummary]) -> str:
    """Write the report again where it is damaged; returns its place, or "" where there is none or it is sound."""
    try:
        counted = find_counted(run)
    except ConfigError:
        # Nothing was predicted yet, so there is no report either.
        return ""
    report = report_of(run.config, content_of(run, counted))
    if not verification.check_report(report):
        return ""
    logger.info("repair: the report at %s is written again", report.path)
    return write_tables(run, stages).path


def describe(repair: Repair) -> str:
    """A line for each thing that remains, and what was done."""
    return "\n".join(_lines(repair))


def _lines(repair: Repair) -> Iterator[str]:
    yield from map(str, repair.remaining)
    done = ", ".join(f"{stage.shards} of {stage.stage}" for stage in repair.stages) or "none"
    yield f"set aside {counted(len(repair.moved), 'file')}; shards done again: {done}"
    if repair.lifted:
        yield f"no longer quarantined, the next run tries them again: {', '.join(repair.lifted)}"
    if repair.forgotten:
        yield f"{counted(len(repair.forgotten), 'changed source file')}: the next run takes them as they are now"
    if repair.elsewhere:
        yield (
            f"{counted(repair.elsewhere, 'shard')} set aside, of other data sets or settings: "
            "run their configurations to make them again"
        )
    if repair.report:
        yield f"report written again: {repair.report}"
    yield f"{counted(len(repair.remaining), 'finding')} left"
