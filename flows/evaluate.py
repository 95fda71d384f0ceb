"""The main job: ingest, predict (or score), report, over one set of workers."""

from __future__ import annotations

from functools import partial

from segscale.errors import SegscaleError
from segscale.flows import page
from segscale.flows.checks.cluster import find_cluster
from segscale.flows.checks.folders import check_folders
from segscale.flows.checks.model import check_facts, check_model
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.dataset import scores_predictions
from segscale.flows.ingest import ingest_images
from segscale.flows.observer import UNOBSERVED, Observer
from segscale.flows.plan import find_plan
from segscale.flows.predict import predict_images
from segscale.flows.report import RunResult, write_tables
from segscale.flows.run import Run
from segscale.flows.score import score_files
from segscale.tasks.engine_plan import EnginePlan


def run(config: EvaluationConfig, observer: Observer = UNOBSERVED, listed: Run | None = None) -> RunResult:
    """Evaluate a data set end to end; work that the store holds already is not done again.

    `listed` is a run over the same files that may have listed them; this one takes that over.

    Raises ConfigError before anything starts, ClusterLostError where the workers are gone: what was committed stays,
    and the next call does the rest.
    """
    with Run(config, observer, listed=listed) as job:
        _check(job)
        job.when_busy = partial(page.warm_up, len(job.listing()))
        with observer.turn():
            if job.scored:
                stages = [observer.stage("score", lambda: score_files(job))]
            else:
                stages = [observer.stage("ingest", lambda: ingest_images(job))]
                stages.append(observer.stage("predict", lambda: predict_images(job)))
            job.close_workers()
            return observer.stage("report", lambda: write_tables(job, stages), retries=2)


def check(config: EvaluationConfig, listed: Run | None = None) -> None:
    """What can be wrong before a run starts, in one line of a ConfigError: data set, model, cluster, folders."""
    _check(Run(config, listed=listed))


def _check(run: Run) -> None:
    config = run.config
    find_cluster(config.cluster)
    listing = run.listing()
    if not scores_predictions(config, listing):
        known = _known_plan(run)
        if known is None:
            check_model(config)
        else:
            # The number of channels asked for is no part of the plan record.
            check_facts(config, known.prediction.n_classes, known.facts.channels, known.facts.rescales)
    run.look()
    check_folders(config)


def _known_plan(run: Run) -> EnginePlan | None:
    """The plan record of a run before this one, which has loaded this very model, so that it need not be loaded."""
    try:
        return find_plan(run.config, run.model, run.store)
    except (OSError, ImportError, SegscaleError):
        # Whatever is wrong with the store is said by the check of the store.
        return None
