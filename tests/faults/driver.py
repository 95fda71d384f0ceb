"""Drivers that start in a tenth of a second: a process that has imported everything forks one for each request.

Each is a process of its own that can be killed, and runs the command line as it is, but without Prefect's server around
the stages: what Prefect does is tested elsewhere, and it would cost every fault ten seconds.

Reads a JSON object a line on stdin: {"start": arguments, "out": path, "err": path} is answered with the process id,
{"wait": pid} with its exit code (negative: the signal), {"poll": pid} likewise, null while it runs.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import segscale.flows.evaluate
from segscale.flows.checks.evaluation import check, scores_predictions
from segscale.flows.cli import main as cli
from segscale.flows.cluster.connection import Connection
from segscale.flows.config.evaluation import EvaluationConfig
from segscale.flows.dataset import RunCatalog
from segscale.flows.ingest import run_ingest
from segscale.flows.predict import run_predict
from segscale.flows.report import RunResult, run_report
from segscale.flows.score import run_score
from segscale.tasks.report_html import page  # noqa: F401  # loaded once, before any fork


def evaluate(config: EvaluationConfig) -> RunResult:
    """`segscale.flows.evaluate.evaluate_dataset` with its stages as plain functions."""
    check(config)
    catalog = RunCatalog(config)
    with Connection(config.cluster) as connection:
        stages = [run_ingest(config, connection, catalog)]
        scores = scores_predictions(config, catalog.get())
        stages.append((run_score if scores else run_predict)(config, connection, catalog))
    return run_report(config, tuple(stages), catalog)


def repair(config: EvaluationConfig) -> Any:
    """`segscale.flows.maintenance.repair.repair_dataset` likewise."""
    from segscale.flows.maintenance.repair import run_repair

    with Connection(config.cluster) as connection:
        return run_repair(config, connection)


def start(arguments: list[str], out: str, err: str) -> int:
    """Fork a driver; returns its process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        for path, descriptor in ((out, 1), (err, 2)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdin, sys.stdout, sys.stderr = (
            open(0, closefd=False),  # noqa: SIM115
            open(1, "w", closefd=False),  # noqa: SIM115
            open(2, "w", closefd=False),  # noqa: SIM115
        )
        Path(os.environ["SEGSCALE_FAULTS"], "driver.pid").write_text(str(os.getpid()))
        code = cli.run(arguments)
    except BaseException:  # noqa: BLE001  # nothing may come back into the loop of the parent
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def answer(request: dict[str, Any]) -> int | None:
    if "start" in request:
        return start(request["start"], request["out"], request["err"])
    key, options = ("wait", 0) if "wait" in request else ("poll", os.WNOHANG)
    pid, status = os.waitpid(request[key], options)
    return os.waitstatus_to_exitcode(status) if pid else None


def main() -> None:
    segscale.flows.evaluate.evaluate_dataset = evaluate  # type: ignore[assignment]
    if find_spec("segscale.flows.maintenance.repair") is not None:
        import_module("segscale.flows.maintenance.repair").repair_dataset = repair  # type: ignore[attr-defined]
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
