"""The section of the configuration that says where the workers are."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from segscale.flows.config.cluster_keys import unused_key, walltime_seconds
from segscale.flows.config.values import NonNegative, Positive, spelled
from segscale.storage.locations import redacted
from segscale.tasks.refusal import as_toml
from segscale.tasks.section import Section

# A worker ends before its job does, and needs time to start.
MIN_WALLTIME_SECONDS = 120


def _shown_address(address: object) -> object:
    return (
        re.sub(r"^(\w+://)?.*@", r"\1***@", redacted(address), flags=re.DOTALL) if isinstance(address, str) else address
    )


def _without_secrets(address: str) -> str:
    if "@" in address or "?" in address:
        raise ValueError(
            f"expected tcp://HOST:PORT or tls://HOST:PORT without user, password or query, got {as_toml(address)}; "
            "addresses are logged, and Dask asks for none: leave it out, and use tls_ca, tls_cert and tls_key"
        )
    return address


def _with_scheme(address: str) -> str:
    """As Dask reads it: what names a machine and a port alone is reached by tcp."""
    return f"tcp://{address}" if re.fullmatch(r"([^\s/?#:\[\]]+|\[[0-9A-Fa-f:.]+\]):\d+", address) else address


# As with places: shown without its secrets by whoever refuses it.
Address = Annotated[
    str, AfterValidator(_without_secrets), AfterValidator(_with_scheme), BeforeValidator(_shown_address)
]


def _shown_lines(lines: object) -> object:
    is_lines = isinstance(lines, list | tuple) and all(isinstance(line, str) for line in lines)
    return lines if is_lines else "***"


# What jobs are told may hold a token: what is no such line is refused without being shown.
Lines = Annotated[tuple[str, ...], Field(strict=False), BeforeValidator(_shown_lines)]
Directive = Annotated[
    str,
    spelled(r"-[^\n]+", 'an option of sbatch that begins with a dash, such as "--gres=gpu:1"'),
    BeforeValidator(lambda line: line if re.fullmatch(r"-[^\n]+", line) else "***"),
]
Directives = Annotated[tuple[Directive, ...], Field(strict=False), BeforeValidator(_shown_lines)]


class Cluster(Section):
    """The workers. Which kind uses which key: `segscale.flows.config.cluster_keys`."""

    kind: Literal["local", "gpus", "address", "slurm", "kubernetes"] = "local"
    """Processes of this machine, a worker for each GPU, a scheduler of your own, SLURM jobs, or Kubernetes pods."""
    workers: Annotated[int, Field(ge=0)] = 0
    """How many; 0 of this machine: one per core, as far as the memory goes."""
    adaptive: bool = False
    """From one worker to `workers`, as there is work."""
    wait_seconds: Positive = 300.0
    """How long workers may take to come, and to answer."""
    address: Address = ""
    """HOST:PORT or tls://HOST:PORT of a Dask scheduler."""
    shard_seconds: NonNegative = 0.0
    """After which a shard is given up by its worker; 0: by its pixels."""
    resources: dict[str, NonNegative] = {}  # noqa: RUF012 - pydantic copies it
    """What each worker must offer at least, as `dask worker --resources` gives it."""
    tls_ca: str = ""
    """A PEM file for tls://, of the authority."""
    tls_cert: str = ""
    """Likewise, of this side."""
    tls_key: str = ""
    """Likewise, its key."""
    cores: Annotated[int, Field(ge=1)] = 1
    """Of each worker."""
    memory: Annotated[str, spelled(r"[1-9][0-9]*(\.[0-9]+)? ?[kMGT]i?B", 'a size such as "4GB" or "500 MiB"')] = "4GB"
    """Of each worker."""
    queue: str = ""
    """The partition of SLURM; empty: the default one."""
    account: str = ""
    """Of SLURM."""
    walltime: str = "01:00:00"
    """Of each SLURM job: minutes, HH:MM:SS or D-HH:MM:SS."""
    interface: str = ""
    """The network between the nodes, such as "ib0"."""
    directives: Directives = ()
    """Further options of sbatch."""
    prologue: Lines = ()
    """Shell commands of a job before its worker starts."""
    job_folder: str = ""
    """A folder that all machines share, for the logs of jobs and the keys of their connection."""
    image: str = ""
    """Of Kubernetes workers and their scheduler."""
    namespace: str = ""
    """Of Kubernetes."""
    spec: str = ""
    """A file with a DaskCluster resource."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        # By value: a configuration that went through a scheduler comes with every key written out.
        given = [name for name, field in type(self).model_fields.items() if getattr(self, name) != field.default]
        if unused := unused_key(self.kind, given):
            raise ValueError(unused)
        if self.kind == "address":
            self._check_address()
        if self.kind in ("slurm", "kubernetes") and not self.workers and not self.spec:
            raise ValueError(f'workers: expected how many at most, 1 or more, with kind = "{self.kind}", got 0')
        if self.kind == "slurm" and walltime_seconds(self.walltime) < MIN_WALLTIME_SECONDS:
            raise ValueError(f"walltime: expected {MIN_WALLTIME_SECONDS} seconds or more, got {as_toml(self.walltime)}")
        if self.kind == "kubernetes" and bool(self.image) == bool(self.spec):
            raise ValueError("image, spec: expected the image of the workers, or a file with a DaskCluster")
        if self.spec and {"cores", "memory"}.intersection(given):
            raise ValueError("cores, memory: stand in the file that spec names; leave them out")
        return self

    def _check_address(self) -> None:
        if not re.fullmatch(r"(tcp|tls|ucx|ws|wss)://[^\s/?#]+:\d+", self.address):
            raise ValueError(
                f'address: expected HOST:PORT, or one like tls://HOST:PORT, with kind = "address", got '
                f"{as_toml(self.address)}"
            )
        tls = (self.tls_ca, self.tls_cert, self.tls_key)
        if any(tls) and not all(tls):
            raise ValueError("tls_ca, tls_cert, tls_key: expected all three or none")
        if any(tls) and not self.address.startswith(("tls://", "wss://")):
            raise ValueError(f"address: expected tls://HOST:PORT with tls_ca, got {as_toml(self.address)}")
