"""Real S3 servers in processes of their own, and a proxy before one that fails when it is told to."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pytest
from s3fs import S3FileSystem

KEY_ID = "AKIAPLANTED"
SECRET = "planted/Secret+AccessKey0123456789abcdef"
TOKEN = "plantedSessionToken0123456789abcdef"

# One request at a time: what is asked for only if absent is then decided in one step, as on S3.
SERVER = """
import os, sys
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server
WSGIRequestHandler.log_request = lambda *arguments: None
WSGIRequestHandler.timeout = 60
server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=False)
print(server.server_port, flush=True)
server.serve_forever()
"""


@dataclass(frozen=True)
class S3Server:
    """Where a server listens, and what it knows."""

    port: int
    conditional: bool = True
    """Whether it heeds If-None-Match; where it does not, a store has a single driver."""

    def environment(self, port: int | None = None) -> dict[str, str]:
        """What a client needs to know, of the server itself or of a proxy before it; with the planted secrets."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port or self.port}",
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_SESSION_TOKEN": TOKEN,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @contextmanager
    def reachable(self, monkeypatch: pytest.MonkeyPatch, port: int | None = None) -> Iterator[None]:
        """This process, and those that it starts, talk to the server, or to the proxy at `port`."""
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        for name, value in self.environment(port).items():
            monkeypatch.setenv(name, value)
        # A file system keeps the client that it made first.
        S3FileSystem.clear_instance_cache()
        yield
        S3FileSystem.clear_instance_cache()

    @cached_property
    def _owner(self) -> S3FileSystem:
        # A client of its own: whoever asks for a bucket need not reach the server as the tests do.
        return S3FileSystem(
            key=KEY_ID,
            secret=SECRET,
            endpoint_url=f"http://127.0.0.1:{self.port}",
            client_kwargs={"region_name": "us-east-1"},
            skip_instance_cache=True,
        )

    def new_bucket(self) -> str:
        """Make a bucket; returns its URL."""
        name = f"bucket-{uuid.uuid4().hex}"
        self._owner.call_s3("create_bucket", Bucket=name)
        return f"s3://{name}"


@contextmanager
def running_server() -> Iterator[S3Server]:
    """Start moto's S3 server; it is ready when this returns, and ends with the block."""
    with _listening([sys.executable, "-c", SERVER], r"^(\d+)$") as port:
        yield S3Server(port)


@contextmanager
def running_rclone(folder: Path) -> Iterator[S3Server]:
    """Start rclone's, which is written in Go, keeps objects as files below a folder and checks every signature."""
    rclone = str(Path(sys.executable).with_name("rclone"))
    # Without the configuration of whoever runs the tests.
    command = [rclone, "--config", os.devnull, "serve", "s3", "--addr", "127.0.0.1:0"]
    with _listening([*command, "--auth-key", f"{KEY_ID},{SECRET}", str(folder)], r"http://127\.0\.0\.1:(\d+)") as port:
        yield S3Server(port, conditional=False)


@contextmanager
def _listening(command: list[str], port: str) -> Iterator[int]:
    """The port that a server names in its output once it listens; the server ends with the block."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RCLONE_"))}
    with (
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as server,
        ThreadPoolExecutor(1) as reader,
    ):
        try:
            assert server.stdout is not None
            found = next(filter(None, (re.search(port, line) for line in server.stdout)), None)
            assert found, f"{command[0]} ended before it listened"
            # A server whose output nobody reads stops once the pipe is full.
            reader.submit(server.stdout.read)
            yield int(found[1])
        finally:
            server.kill()


@dataclass
class Request:
    """A request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Fault:
    """What happens to a request; nothing, where nothing is said."""

    answer: tuple[int, str] | None = None
    """Answered by the proxy with this status and code; the server never sees it."""
    lose_answer: bool = False
    """The server carries it out, and the connection ends without a word."""
    torn_answer: int | None = None
    """After so many bytes of the body the connection ends."""
    cut_upload: int | None = None
    """The server gets so many bytes of the body, then both connections end."""
    without: tuple[str, ...] = ()
    """Headers that the server does not get to see."""
    seconds: float = 0.0
    """Answered so much later."""
    release: threading.Event | None = None
    """Held back until this is set."""
    after: Callable[[], None] | None = None
    """Called once the server has answered, before the client hears of it."""


@dataclass
class FaultProxy:
    """Hands requests on, one connection each, and does to some of them what the rules say."""

    upstream: int
    port: int = 0
    seen: list[str] = field(default_factory=list)
    """``METHOD path`` of every request."""
    done: list[str] = field(default_factory=list)
    """The same for every fault that was injected."""
    rules: list[tuple[Callable[[Request], bool], Iterator[Fault | None]]] = field(default_factory=list)

    def inject(self, matches: Callable[[Request], bool], faults: Iterator[Fault | None]) -> None:
        """The next matching requests meet these faults one after the other; those after the last one meet none."""
        self.rules.append((matches, faults))

    def forget(self) -> None:
        """Neither rules nor what was seen remain."""
        for known in (self.seen, self.done, self.rules):
            known.clear()

    def _fault(self, request: Request) -> Fault | None:
        for matches, faults in self.rules:
            if matches(request):
                fault = next(faults, None)
                if fault is not None:
                    self.done.append(f"{request.method} {request.path}")
                    return fault
        return None

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection: one request."""
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            # The client went away, as clients do that wait no longer.
            pass
        finally:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        if "expect" in headers:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        request = Request(method, path, headers, body)
        self.seen.append(f"{method} {path}")
        fault = self._fault(request) or Fault()
        if fault.release is not None:
            await asyncio.to_thread(fault.release.wait, 60)
        await asyncio.sleep(fault.seconds)
        answer = _refusal(method, *fault.answer) if fault.answer else await self._ask(request, fault)
        if fault.after is not None:
            fault.after()
        if fault.lose_answer or fault.cut_upload is not None:
            return
        if fault.torn_answer is not None:
            start, _, content = answer.partition(b"\r\n\r\n")
            answer = start + b"\r\n\r\n" + content[: fault.torn_answer]
        writer.write(answer)
        await writer.drain()
        writer.write_eof()
        await reader.read()

    async def _ask(self, request: Request, fault: Fault) -> bytes:
        dropped = {"expect", "connection", *fault.without}
        lines = [f"{name}: {value}" for name, value in request.headers.items() if name not in dropped]
        reader, writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        head = "\r\n".join([f"{request.method} {request.path} HTTP/1.1", *lines, "connection: close", "", ""])
        writer.write(head.encode("latin-1") + request.body[: fault.cut_upload])
        if fault.cut_upload is not None:
            await writer.drain()
            writer.transport.abort()
            return b""
        try:
            return await reader.read()
        finally:
            writer.close()


def _refusal(method: str, status: int, code: str) -> bytes:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>injected {code}</Message></Error>"
    body = "" if method == "HEAD" else body
    return (
        f"HTTP/1.1 {status} Injected\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
        f"Connection: close\r\n\r\n{body}"
    ).encode()


async def _end_of(tasks: set[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def running_proxy(upstream: int) -> Iterator[FaultProxy]:
    """A proxy on a port of its own, in a thread of its own, for as long as the block lasts."""
    proxy, loop, ready = FaultProxy(upstream), asyncio.new_event_loop(), threading.Event()

    async def listen() -> None:
        server = await asyncio.start_server(proxy.handle, "127.0.0.1", 0, limit=2**20)
        proxy.port = server.sockets[0].getsockname()[1]
        ready.set()

    def serve() -> None:
        loop.run_until_complete(listen())
        loop.run_forever()
        loop.run_until_complete(_end_of(asyncio.all_tasks(loop)))
        loop.close()

    thread = threading.Thread(target=serve)
    thread.start()
    assert ready.wait(30)
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
