"""Drivers that start in a tenth of a second: a process that has imported everything forks one for each request.

Each is a process of its own that can be killed, and runs the command line as it is.

Reads a JSON object a line on stdin: {"start": arguments, "out": path, "err": path} is answered with the process id,
{"wait": pid} with its exit code (negative: the signal), {"poll": pid} likewise, null while it runs.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

# Loaded once, before any fork: what a driver would import by and by.
from segscale.flows import evaluate  # noqa: F401
from segscale.flows.cli import main as cli
from segscale.flows.cluster import client  # noqa: F401
from segscale.flows.maintenance import clean, repair, verify  # noqa: F401
from segscale.flows.shards import stream  # noqa: F401
from segscale.flows.worker import engine_plugin  # noqa: F401
from segscale.tasks.report_html import page  # noqa: F401


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
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
