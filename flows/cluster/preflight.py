"""Whether workers can do a run, asked before its first job: they are there, alike, and see what they have to read."""

from __future__ import annotations

import asyncio
import hashlib
import platform
import socket
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from distributed import Client

from segscale.errors import ClusterLostError, ConfigError, StoreUnusableError
from segscale.flows.cluster.needs import Needs
from segscale.flows.cluster.scheduler import workers_of
from segscale.flows.config.cluster import Cluster
from segscale.storage.objects import ObjectStore

PACKAGES = ("dask", "distributed", "numpy", "numba", "pandas", "pyarrow", "zarr", "segscale")
"""Those that carry the work or decide bytes; what an engine needs is compared with the plan record."""
SCHEDULER_PACKAGES = ("dask", "distributed")
SHOWN = 3
"""Differences told apart in one message."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker says of itself."""

    host: str
    versions: dict[str, str]
    complaint: str
    """What it cannot see, as the end of a sentence; "" for nothing."""


def check_workers(client: Client, config: Cluster, needs: Needs, describe: Callable[[], str] = lambda: "") -> None:
    """Wait for the workers and ask each of them what it is and sees; nothing waits longer than `wait_seconds`.

    With `kind = "address"` as many must be there as `workers` says. Of jobs and pods one is enough; the others come to
    work as they start. `describe` says what is known of workers that are not there. Raises
    ClusterLostError for workers that do not come or do not answer, ConfigError for those that cannot do the work.
    """
    check_present(client, config, describe)
    answers = _ask(client, config, needs)
    ours = own_versions()
    complaints = []
    for address, answer in sorted(answers.items()):
        difference = describe_difference(answer.versions, ours)
        if said := " and ".join(filter(None, [difference, answer.complaint])):
            complaints.append(f"{address} on {answer.host} {said}")
    if complaints:
        more = f" (and {len(complaints) - SHOWN} more)" if len(complaints) > SHOWN else ""
        raise ConfigError(
            f"cluster: {len(complaints)} of {len(answers)} workers cannot do this run: "
            f"{'; '.join(complaints[:SHOWN])}{more}"
        )


def check_present(client: Client, config: Cluster, describe: Callable[[], str] = lambda: "") -> None:
    """The same as far as the scheduler knows it: enough workers, its versions, their threads and resources."""
    _await_workers(client, config, describe)
    _check_scheduler(client, config)
    workers = workers_of(client)
    _check_threads(workers)
    _check_resources(workers, config)


def _await_workers(client: Client, config: Cluster, describe: Callable[[], str]) -> None:
    wanted = max(1, config.workers) if config.kind == "address" else 1
    try:
        client.wait_for_workers(wanted, timeout=config.wait_seconds)
    except TimeoutError:
        found = len(workers_of(client))
        said = describe()
        raise ClusterLostError(
            f"cluster.workers: expected {wanted} or more workers within {config.wait_seconds:g} s (wait_seconds), "
            f"found {found}" + (f": {said}" if said else "")
        ) from None


def _check_scheduler(client: Client, config: Cluster) -> None:
    try:
        # Of the scheduler alone: the client's own question goes on to the workers and waits for all of them.
        found = client.sync(client.scheduler.versions, callback_timeout=config.wait_seconds)["packages"]
    except TimeoutError:
        raise ClusterLostError(f"cluster: the scheduler {client.scheduler.address} did not answer") from None
    ours = own_versions()
    for name in SCHEDULER_PACKAGES:
        if found.get(name) != ours[name]:
            raise ConfigError(
                f"cluster: the scheduler {client.scheduler.address} has {name} {found.get(name)}, the driver "
                f"{ours[name]}; start it from the same environment"
            )


def _check_threads(workers: Mapping[str, Mapping[str, Any]]) -> None:
    # A time limit ends its whole process, and there is one dump of what hangs in it: a shard beside it would end too.
    for address, worker in sorted(workers.items()):
        if worker["nthreads"] != 1:
            raise ConfigError(
                f"cluster: expected workers of one thread, for what ends a shard ends its process, {address} has "
                f"{worker['nthreads']}; start it with --nthreads 1, and more of them with --nworkers"
            )


def _check_resources(workers: Mapping[str, Mapping[str, Any]], config: Cluster) -> None:
    for address, worker in sorted(workers.items()):
        offered: Mapping[str, float] = worker.get("resources", {})
        for name, amount in config.resources.items():
            if offered.get(name, 0) < amount:
                raise ConfigError(
                    f"cluster.resources: expected {name}={amount:g} of every worker, {address} offers "
                    f"{offered.get(name, 0):g}; start it with --resources {name}={amount:g}"
                )


def _ask(client: Client, config: Cluster, needs: Needs) -> dict[str, Answer]:
    """The answer of every worker, asked side by side, also of those that are busy."""
    token = uuid.uuid4().hex
    store = ObjectStore(needs.store) if needs.store else None
    if store is not None:
        store.write(probe_name(token), token.encode())
    try:
        given = client.sync(_ask_each, client, token, needs, config.wait_seconds)
    finally:
        if store is not None:
            store.remove(probe_name(token))
    answers = {}
    for address, answer in given.items():
        if isinstance(answer, Answer):
            answers[address] = answer
            continue
        if isinstance(answer, StoreUnusableError):
            raise ConfigError(f"cluster: {address} {answer}")
        if isinstance(answer, (OSError, TimeoutError)):
            raise ClusterLostError(f"cluster: {address} did not answer: {type(answer).__name__}: {answer}")
        # Of the errors that are left Dask does not keep the kind.
        said = " ".join(str(answer).split()) or type(answer).__name__
        raise ConfigError(f"cluster: {address} cannot load Segscale: {said}; install segscale {_installed()} there")
    return answers


async def _ask_each(client: Client, token: str, needs: Needs, seconds: float) -> dict[str, Any]:
    async def ask(address: str) -> Any:
        try:
            answers = await asyncio.wait_for(
                client.run(answer_probe, token, needs, workers=[address], on_error="return"), seconds
            )
        except TimeoutError:
            return TimeoutError(f"nothing within {seconds:g} s")
        except (OSError, ValueError) as error:
            return error
        return answers.get(address, OSError("it has left"))

    addresses = list((await client.scheduler.identity(n_workers=-1))["workers"])
    return dict(zip(addresses, await asyncio.gather(*map(ask, addresses)), strict=True))


def probe_name(token: str) -> str:
    """The hidden object of a probe, or of a worker's answer to it."""
    return f".probe-{token}"


def answer_probe(token: str, needs: Needs) -> Answer:
    """Runs on a worker: what it is, and whether it sees what the driver sees."""
    return Answer(socket.gethostname(), own_versions(), _complaint(token, needs))


def _complaint(token: str, needs: Needs) -> str:
    for path in needs.inputs:
        if not Path(path).exists():
            return f"does not see {path} (its folder is {Path.cwd()}); use a place that all machines share, or a URL"
    return _store_complaint(token, ObjectStore(needs.store)) if needs.store else ""


def _store_complaint(token: str, store: ObjectStore) -> str:
    """Read what the driver wrote, then create and remove an object, as commits do."""
    own = probe_name(f"{token}-{uuid.uuid4().hex}")
    try:
        if store.read(probe_name(token)) != token.encode():
            return f"reads something else in the store {store.url} than was written"
        if not store.create_exclusive(own, b"") or store.create_exclusive(own, b""):
            return f"cannot commit to the store {store.url}: an object was created twice"
        store.remove(own)
    except FileNotFoundError:
        return (
            f"sees another store at {store.url}: what the driver has just written is not there (its folder is "
            f"{Path.cwd()}); use a place that all machines share, or a URL"
        )
    except Exception as error:
        # Every kind of store has errors of its own kind for the same few mistakes.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise StoreUnusableError(f"cannot use the store {store.url}: {reason}") from error
    return ""


@lru_cache(maxsize=1)
def own_versions() -> dict[str, str]:
    """Of this process: Python, the packages that matter, and Segscale's own code."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    return {**found, **{name: _installed(name) for name in PACKAGES}, "segscale code": _code_sha256()[:12]}


def _installed(name: str = "segscale") -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _code_sha256() -> str:
    """Of all sources: two checkouts of one version can differ."""
    root = Path(__file__).parents[2]
    digest = hashlib.sha256()
    rooms = (path for room in ("flows", "tasks", "storage") for path in (root / room).rglob("*.py"))
    for path in sorted([*root.glob("*.py"), *rooms]):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def describe_difference(theirs: Mapping[str, str], ours: Mapping[str, str]) -> str:
    """In which versions a worker differs from the driver, e.g. "has numpy 2.4.5 (the driver 2.4.6)"; "" for none."""
    differing = [name for name in {**ours, **theirs} if theirs.get(name) != ours.get(name)]
    if not differing:
        return ""
    return "has " + ", ".join(
        f"{name} {theirs.get(name, 'missing')} (the driver {ours.get(name, 'missing')})" for name in differing
    )
