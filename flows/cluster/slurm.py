"""Workers as SLURM jobs, one in each, through dask-jobqueue; the scheduler runs in the driver."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from segscale.errors import ClusterLostError, ConfigError
from segscale.flows.config.cluster import Cluster
from segscale.flows.config.cluster_keys import THREADS, lifetime_seconds, longest_shard_seconds

if TYPE_CHECKING:
    from distributed.security import Security

ROLES = ("client", "scheduler", "worker")


def check_slurm(config: Cluster) -> None:
    """Raise ConfigError where jobs cannot be submitted from here."""
    if find_spec("dask_jobqueue") is None:
        raise ConfigError('cluster.kind: "slurm" needs dask-jobqueue; install the extra slurm (docs/clusters.md)')
    if shutil.which("sbatch") is None:
        raise ConfigError(
            'cluster.kind: "slurm" submits jobs with sbatch, which is not on the PATH; run it where it is'
        )
    longest = longest_shard_seconds(config.kind, config.walltime)
    if config.shard_seconds > longest:
        raise ConfigError(
            f"cluster.shard_seconds: expected at most {longest:.0f} with walltime "
            f"{config.walltime}, half the life of a worker, got {config.shard_seconds:g}: a shard that takes longer is "
            "handed on and started again for ever; set a longer walltime"
        )
    if config.job_folder and not Path(config.job_folder).is_dir():
        raise ConfigError(f"cluster.job_folder: expected a folder that all machines share, got {config.job_folder}")


def lifetime_options(walltime: str) -> list[str]:
    """Options that end a worker before SLURM does, so that it hands its work back; not all workers at once."""
    lifetime, stagger = lifetime_seconds(walltime)
    return ["--lifetime", f"{lifetime}s", "--lifetime-stagger", f"{stagger}s"]


def job_options(config: Cluster) -> dict[str, Any]:
    """The arguments of dask-jobqueue's SLURMCluster, as far as the configuration says."""
    folder = str(Path(config.job_folder or ".").resolve())
    return {
        "queue": config.queue or None,
        "account": config.account or None,
        "walltime": config.walltime,
        # One thread of Dask, which takes shards; the network uses the cores of the job.
        "cores": 1,
        "processes": 1,
        "job_cpu": config.cores,
        "memory": config.memory,
        "interface": config.interface or None,
        "job_name": "segscale",
        "log_directory": folder,
        "job_extra_directives": [f"-D {folder}", *config.directives],
        "job_script_prologue": [f"export {THREADS}={config.cores}", *config.prologue],
        "worker_extra_args": [*lifetime_options(config.walltime), "--no-dashboard"],
        # Nothing in the folder of the jobs may stand in for a module.
        "python": f"{sys.executable} -P",
    }


@contextmanager
def slurm_cluster(config: Cluster) -> Iterator[Any]:
    """A cluster with a scheduler in this process and jobs that are submitted; those that end early are submitted again.

    The connections are encrypted with keys of this run, which lie in `job_folder` while it lasts: whoever reaches an
    open port of Dask may run code in its name, and the nodes of a SLURM cluster are shared. Raises ConfigError for a
    job that SLURM would never run, ClusterLostError where SLURM does not answer.
    """
    from dask_jobqueue import SLURMCluster

    options = job_options(config)
    with TemporaryDirectory(prefix=".segscale-keys-", dir=options["log_directory"]) as keys:
        scheduler = {"dashboard_address": "127.0.0.1:0"}
        with SLURMCluster(**options, security=_written_security(Path(keys)), scheduler_options=scheduler) as cluster:
            _try_submitting(cluster.job_script())
            # With equal limits this is a fixed number in which every lost job is replaced.
            fewest = 1 if config.adaptive else config.workers
            cluster.adapt(minimum_jobs=fewest, maximum_jobs=config.workers, interval="2s")
            yield cluster


def _written_security(folder: Path) -> Security:
    """New keys for scheduler, workers and client, in files that jobs can be told of."""
    from distributed.security import Security

    made = Security.temporary()
    files = {"ca.pem": made.tls_ca_file, "cert.pem": made.tls_worker_cert, "key.pem": made.tls_worker_key}
    for name, text in files.items():
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(text)
    ca, cert, key = (str(folder / name) for name in files)
    pairs = {f"tls_{role}_{part}": path for role in ROLES for part, path in (("cert", cert), ("key", key))}
    return Security(tls_ca_file=ca, require_encryption=True, **pairs)


def _try_submitting(script: str) -> None:
    """Ask SLURM whether it would take a job, without submitting one."""
    try:
        answer = subprocess.run(
            ["sbatch", "--test-only"], input=script, capture_output=True, text=True, check=False, timeout=60
        )
    except subprocess.TimeoutExpired:
        raise ClusterLostError("cluster.kind: SLURM did not answer sbatch within 60 s") from None
    if answer.returncode == 0:
        return
    said = " ".join(answer.stderr.split()) or f"exit code {answer.returncode}"
    if "contact slurm controller" in said:
        raise ClusterLostError(f"cluster.kind: SLURM is not there: {said}")
    raise ConfigError(f"cluster: SLURM refuses such a job: {said}")


def describe_jobs(cluster: Any) -> str:
    """What SLURM says of the jobs of a cluster, e.g. "1 RUNNING None, 3 PENDING Resources"; "" for nothing."""
    numbers = [job.job_id for job in cluster.workers.values() if getattr(job, "job_id", None)]
    if not numbers:
        return "no job was submitted"
    try:
        command = ["squeue", "-h", "-o", "job %i %T (%r)", "-j", ",".join(numbers)]
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ", ".join(answer.stdout.split("\n")[:3]).strip(", ") or f"jobs {', '.join(numbers[:3])} have ended"
