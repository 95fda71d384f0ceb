"""A SLURM of its own: munged, slurmctld and one slurmd on the loopback, in a temporary folder, as root."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.ports import free_port

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scancel", "squeue", "sinfo")
CPUS = 4
SYSTEM_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin"


def missing_programs() -> list[str]:
    return [name for name in PROGRAMS if shutil.which(name, path=SYSTEM_PATH) is None]


@dataclass(frozen=True)
class Slurm:
    """A running SLURM; its commands find it by the environment."""

    folder: Path
    environment: dict[str, str]
    work: Path = Path("/")
    """Where commands are given."""

    def __call__(self, *command: str) -> str:
        answer = subprocess.run(
            command, cwd=self.work, env=self.environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert answer.returncode == 0, f"{command}: {answer.stderr}"
        return answer.stdout

    def running(self) -> list[str]:
        """Numbers of the jobs that run now."""
        return self("squeue", "-h", "-t", "RUNNING", "-o", "%i").split()

    def jobs(self) -> list[str]:
        """Numbers of all jobs that have not ended."""
        return self("squeue", "-h", "-o", "%i").split()


@contextmanager
def started_slurm() -> Iterator[Slurm]:
    """Start it, wait until its node is idle, and stop all of it at the end."""
    with ExitStack() as stack:
        # Short: the path of a socket may have 107 characters.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slurm-")))
        slurm = Slurm(folder, _write_configuration(folder))
        key = folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        files = [f"--{name}={folder}/munge.{name.split('-')[0]}" for name in ("socket", "pid-file", "log-file")]
        options = ["--foreground", "--force", f"--key-file={key}", f"--seed-file={folder}/munge.seed", *files]
        _start(stack, slurm, "munged", *options)
        await_true((folder / "munge.socket").exists, lambda: _logs(folder))
        _start(stack, slurm, "slurmctld", "-D")
        _start(stack, slurm, "slurmd", "-D")
        await_true(lambda: "idle" in _ask(slurm, "sinfo", "-h", "-o", "%T"), lambda: _logs(folder))
        stack.callback(lambda: _ask(slurm, "scancel", "--user", "root"))
        yield slurm


def _write_configuration(folder: Path) -> dict[str, str]:
    name = socket.gethostname().split(".")[0]
    for part in ("state", "spool"):
        (folder / part).mkdir()
    (folder / "slurm.conf").write_text(
        f"""
        ClusterName=test
        SlurmctldHost={name}(127.0.0.1)
        SlurmctldPort={free_port()}
        SlurmdPort={free_port()}
        SlurmUser=root
        SlurmdUser=root
        AuthType=auth/munge
        AuthInfo=socket={folder}/munge.socket
        StateSaveLocation={folder}/state
        SlurmdSpoolDir={folder}/spool
        SlurmctldPidFile={folder}/slurmctld.pid
        SlurmdPidFile={folder}/slurmd.pid
        SlurmctldLogFile={folder}/slurmctld.log
        SlurmdLogFile={folder}/slurmd.log
        ProctrackType=proctrack/linuxproc
        TaskPlugin=task/none
        JobAcctGatherType=jobacct_gather/none
        SelectType=select/cons_tres
        SelectTypeParameters=CR_CPU
        SwitchType=switch/none
        MpiDefault=none
        ReturnToService=2
        # More processors than there may be: jobs shall run side by side, not fast.
        SlurmdParameters=config_overrides
        KillWait=2
        NodeName={name} NodeAddr=127.0.0.1 CPUs={CPUS} RealMemory=8000 State=UNKNOWN
        PartitionName=short Nodes={name} Default=YES MaxTime=1-00:00:00 State=UP
        """.replace("\n        ", "\n")
    )
    return {**os.environ, "PATH": SYSTEM_PATH, "SLURM_CONF": str(folder / "slurm.conf")}


def _start(stack: ExitStack, slurm: Slurm, program: str, *options: str) -> None:
    log = stack.enter_context((slurm.folder / f"{program}.out").open("w"))
    process = subprocess.Popen([program, *options], env=slurm.environment, stdout=log, stderr=subprocess.STDOUT)

    def stop() -> None:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    stack.callback(stop)


def _ask(slurm: Slurm, *command: str) -> str:
    return subprocess.run(command, env=slurm.environment, capture_output=True, text=True, check=False).stdout


def _logs(folder: Path) -> str:
    files = [*folder.glob("*.out"), *folder.glob("*.log")]
    return "\n".join(f"{path.name}: {path.read_text(errors='replace')[-1500:]}" for path in files)


def await_true(ready: Callable[[], bool], logs: Callable[[], str] = lambda: "", seconds: float = 90) -> None:
    """Ask until it is so: SLURM tells nobody of what has changed."""
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, f"it did not become so:\n{logs()}"
        time.sleep(0.1)
