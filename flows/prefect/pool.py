"""A work pool of the Prefect server, asked for without importing Prefect, which takes a second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from segscale.errors import ConfigError
from segscale.flows.prefect.server import ANSWER_SECONDS, Server


@dataclass(frozen=True, slots=True)
class Pool:
    """Where a worker takes runs from."""

    name: str
    has_workers: bool
    """Whether one has been heard of lately, as far as the server says so."""


def find_pool(server: Server, name: str) -> Pool | None:
    """The pool of this name; None where the server wants a login, or a certificate, that Prefect alone knows.

    Raises ConfigError where there is no such pool, or one whose runs would find no Segscale.
    """
    import httpx

    with httpx.Client(base_url=server.url.rstrip("/"), timeout=ANSWER_SECONDS) as client:
        try:
            answer = client.get(f"/work_pools/{quote(name, safe='')}")
            if answer.status_code == 404:
                others = client.post("/work_pools/filter", json={}).json()
                raise no_pool(name, [str(one["name"]) for one in others])
        except httpx.HTTPError:
            return None
    return pool_of(answer.json()) if answer.status_code == 200 else None


def pool_of(found: Mapping[str, Any]) -> Pool:
    """What the server says of a pool. Raises ConfigError where its runs would find no Segscale."""
    _refuse_strange_image(found)
    return Pool(found["name"], has_workers=found.get("status") != "NOT_READY")


def no_pool(name: str, others: list[str]) -> ConfigError:
    """What is raised where the server has other pools, or none."""
    there = f"there are {', '.join(sorted(others))}" if others else "there is none"
    return ConfigError(
        f"--pool: expected a work pool of the server, got {name!r}; {there}; make it with `prefect work-pool create "
        f"{quote(name)} --type process`, and start a worker with `prefect worker start --pool {quote(name)}`"
    )


def _refuse_strange_image(pool: Mapping[str, Any]) -> None:
    """In a container of Prefect's own image there is no Segscale, and the first night would tell."""
    known = pool.get("base_job_template", {}).get("variables", {}).get("properties", {})
    if "image" in known and not known["image"].get("default"):
        raise ConfigError(
            f"--pool: {pool['name']} starts containers, of an image that nobody has named; name one with Segscale as "
            "`image` in the pool's base job template, or deploy with deploy/prefect.yaml, which does"
        )
