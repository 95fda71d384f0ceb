"""As much of a Kubernetes API as Prefect's worker talks to: one namespace it may use, and jobs that are kept."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

KINDS = {"api/v1": [("pods", "Pod"), ("events", "Event")], "apis/batch/v1": [("jobs", "Job")]}
GROUP = {"groupVersion": "batch/v1", "version": "v1"}
DISCOVERY: dict[str, dict[str, Any]] = {
    "version": {"major": "1", "minor": "32", "gitVersion": "v1.32.0"},
    "api": {"kind": "APIVersions", "versions": ["v1"]},
    "apis": {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [{"name": "batch", "versions": [GROUP], "preferredVersion": GROUP}],
    },
    **{
        place: {
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": place.partition("/")[2],
            "resources": [
                {"name": plural, "singularName": kind.lower(), "kind": kind, "namespaced": True,
                 "verbs": ["get", "list", "watch", "create", "patch", "delete"]}
                for plural, kind in kinds
            ],
        }
        for place, kinds in KINDS.items()
    },
}  # fmt: skip


@dataclass
class KubernetesApi:
    """What was asked of it."""

    namespace: str
    url: str = ""
    jobs: list[dict[str, Any]] = field(default_factory=list)
    """As they came in."""
    job_came: threading.Event = field(default_factory=threading.Event)
    refused: list[str] = field(default_factory=list)
    """Paths out of the namespace, for which an account of the namespace has no right."""

    def write_kubeconfig(self, path: Path) -> None:
        """What a client needs to know."""
        context = {"name": "test", "context": {"cluster": "test", "user": "test"}}
        document = {
            "apiVersion": "v1", "kind": "Config", "current-context": "test", "contexts": [context],
            "clusters": [{"name": "test", "cluster": {"server": self.url}}],
            "users": [{"name": "test", "user": {"token": "planted"}}],
        }  # fmt: skip
        with path.open("w") as file:
            YAML().dump(document, file)


@contextmanager
def kubernetes_api(namespace: str) -> Iterator[KubernetesApi]:
    """Listens on the loopback until the block ends."""
    api, ended = KubernetesApi(namespace), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path, _, question = self.path.strip("/").partition("?")
            if path in DISCOVERY:
                self.answer(200, DISCOVERY[path])
            elif f"/namespaces/{api.namespace}/" in self.path:
                if "watch=" in question:
                    # Nothing happens here: a watch stays open until its end.
                    ended.wait(5)
                self.answer(
                    200, {"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []}
                )
            else:
                api.refused.append(self.path)
                self.answer(403, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden"})

        def do_POST(self) -> None:
            made = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path.split("?")[0] != f"/apis/batch/v1/namespaces/{api.namespace}/jobs":
                api.refused.append(self.path)
                self.answer(403, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden"})
                return
            api.jobs.append(made)
            self.answer(201, {**made, "metadata": {**made["metadata"], "name": "job-1", "uid": "1"}})
            api.job_came.set()

        def answer(self, code: int, document: dict[str, Any]) -> None:
            body = json.dumps(document).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield api
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
