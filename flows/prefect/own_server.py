"""The server that Prefect starts for one run: it hears no Ctrl-C, and ends with the run, however that ends."""

from __future__ import annotations

import atexit
import subprocess

from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_EPHEMERAL_ENABLED

from segscale.flows.cluster.apart import deaf

_GUARD = 'read -r _; kill -9 "$0"'
"""Its input ends when this process does, by whatever signal."""


def start_own_server() -> None:
    """Start what Prefect would start itself at its first request; nothing where a server is named after all."""
    if PREFECT_API_URL.value() or not PREFECT_SERVER_EPHEMERAL_ENABLED:
        return
    server = SubprocessASGIServer()
    with deaf():
        server.start()
    assert server.server_process is not None
    guard = subprocess.Popen(
        ["/bin/sh", "-c", _GUARD, str(server.server_process.pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    atexit.register(_end, server, guard)


def _end(server: SubprocessASGIServer, guard: subprocess.Popen[bytes]) -> None:
    server.stop()
    guard.communicate()
