"""How a command meets its terminal: exit codes, what is logged where, and a quiet Prefect."""

from __future__ import annotations

import logging
import os
import sys

DONE, FAILURES, WRONG, LOST, UNTOLD = 0, 1, 2, 3, 4
LOOPBACK = ("localhost", "127.0.0.1", "::1")
logger = logging.getLogger("segscale")


def prepare_process(quiet: bool) -> None:
    """Set up logging, and keep Prefect from phoning home and from filling the terminal."""
    for name, value in {
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
        # The server keeps every traceback of a flow; people get the one line that ends the command.
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        # A first start makes its database, which takes longer than the default 20 s on a busy machine.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }.items():
        os.environ.setdefault(name, value)
    _pass_proxies()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.handlers[:] = [handler]
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    logger.propagate = False


def _pass_proxies() -> None:
    """Servers on this machine are asked without the proxy that the environment names for others."""
    for name in ("no_proxy", "NO_PROXY"):
        given = os.environ.get(name) or os.environ.get(name.swapcase(), "")
        hosts = [host.strip() for host in given.split(",") if host.strip()]
        if "*" not in hosts:
            os.environ[name] = ",".join(dict.fromkeys([*hosts, *LOOPBACK]))
