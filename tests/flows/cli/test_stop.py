"""A command that is asked to end does, whatever its main thread is at; whoever imports Segscale keeps its signals."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass

import psutil
import pytest

pytestmark = pytest.mark.slow

COMMAND = """
import os, signal, subprocess, sys, threading, time
from segscale.flows.cli import main as cli, stop
stop.GRACE_SECONDS = {grace}
{before}
def body(**named):
    print("ready", flush=True)
    {body}
cli.commands.main = body
cli.main()
"""


@dataclass(frozen=True)
class Command:
    """A stand-in for a command: what it is at when the signal comes."""

    reason: str
    body: str
    before: str = ""
    grace: float = 0.3


FOREVER = "\n        while True: time.sleep(1)"
STUBBORN = [
    Command("it unwinds", "time.sleep(600)", grace=60),
    Command(
        "it waits for another thread",
        "threading.Event().wait()",
        "threading.Thread(target=lambda: time.sleep(600), daemon=True).start()",
        grace=60,
    ),
    Command("it swallows every error and goes on", f"try: time.sleep(600)\n    except BaseException: {FOREVER}"),
    Command("it cleans up for ever", f"try: time.sleep(600)\n    finally: {FOREVER}"),
    Command("a finalizer gets the error, and loses it", f"x = X(); del x\n    if True: {FOREVER}",
            "class X:\n    def __del__(self): time.sleep(0.5)"),
    Command("a thread of it never ends", "time.sleep(600)",
            "threading.Thread(target=lambda: time.sleep(600)).start()", grace=60),
    Command("an exit handler hangs", "time.sleep(600)", f"import atexit\n@atexit.register\ndef hang():{FOREVER}"),
    Command("it fails on the way", "try: time.sleep(600)\n    finally: raise OSError('gone')", grace=60),
    Command("a library takes the signal for its own", "try: time.sleep(600)\n    except KeyboardInterrupt: return 0",
            grace=60),
]  # fmt: skip
SAID = {
    signal.SIGINT: "segscale: interrupted",
    signal.SIGTERM: "segscale: ended by SIGTERM",
    signal.SIGHUP: "segscale: ended by SIGHUP",
}


def start(command: Command, *arguments: str, **changes: object) -> subprocess.Popen[str]:
    program = COMMAND.format(body=command.body, before=command.before, grace=command.grace)
    # Whoever runs the tests may have been started with signals ignored, by nohup say.
    changes.setdefault("preexec_fn", lambda: [signal.signal(number, signal.SIG_DFL) for number in SAID])
    started = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        **changes,  # type: ignore[call-overload]
    )  # fmt: skip
    assert started.stdout.readline() == "ready\n", started.communicate()[1]
    return started  # type: ignore[no-any-return]


SAID_LAST = [signal.SIGTERM]
CASES = [(command, number) for command in STUBBORN for number in (SAID if command is STUBBORN[0] else SAID_LAST)]


@pytest.mark.parametrize(("command", "number"), CASES, ids=lambda value: getattr(value, "reason", None))
def test_it_ends_with_one_line_and_the_code_of_the_signal(command: Command, number: signal.Signals) -> None:
    process = start(command, "run")
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert err == f"{SAID[number]}; what was committed stays, run again to resume\n"


def test_a_command_that_only_reads_says_nothing_of_a_resume() -> None:
    process = start(STUBBORN[0], "diagnose")
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[1] == "segscale: interrupted\n"


def test_a_second_ctrl_c_ends_it_at_once() -> None:
    # Unbuffered: a signal in the middle of a print leaves the line to be printed once more.
    stubborn = (
        "try: os.write(1, b'within\\n'); time.sleep(600)\n"
        "    except BaseException:\n        print('on', flush=True)\n        time.sleep(600)"
    )
    process = start(Command("it swallows it", stubborn, "stop.TWICE_SECONDS = 0", grace=600))
    assert process.stdout is not None
    assert process.stdout.readline() == "within\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "on\n"
    # One that comes before the first is heard of is the same.
    code = None
    while code is None:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = process.wait(timeout=0.2)
    assert code == 130


def test_what_it_has_started_ends_with_it() -> None:
    body = (
        "child = subprocess.Popen([sys.executable, '-c', 'import subprocess, sys, time; "
        'print(subprocess.Popen(["sleep", "600"]).pid, flush=True); time.sleep(600)\'])\n'
        f"    try: time.sleep(600)\n    except BaseException: {FOREVER}"
    )
    process = start(Command("its child has a child", body))
    assert process.stdout is not None
    grandchild = psutil.Process(int(process.stdout.readline()))
    (child,) = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=60)
    psutil.wait_procs([child, grandchild], timeout=60)
    assert [one for one in (child, grandchild) if one.is_running() and one.status() != psutil.STATUS_ZOMBIE] == []


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_that_is_ignored_stays_ignored(number: signal.Signals) -> None:
    # As under nohup, and of a command that a script has put into the background.
    waits = Command("it reads", "sys.stdin.readline(); return 0")
    process = start(
        waits, stdin=subprocess.PIPE, preexec_fn=lambda: signal.signal(number, signal.SIG_IGN)
    )  # fmt: skip
    process.send_signal(number)
    out, err = process.communicate("go on\n", timeout=60)
    assert (process.returncode, out, err) == (0, "", "")


def test_whoever_imports_segscale_keeps_the_handlers() -> None:
    program = (
        "import signal\nnumbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)\n"
        "before = [signal.getsignal(number) for number in numbers]\n"
        "import segscale, segscale.flows.evaluate, segscale.flows.cluster.client, segscale.flows.cli.main\n"
        "assert before == [signal.getsignal(number) for number in numbers]\n"
        "assert signal.set_wakeup_fd(-1) == -1"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env=os.environ)
