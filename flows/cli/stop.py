"""SIGINT, SIGTERM and SIGHUP: the command unwinds and says so in one line; what takes too long about it is ended."""

from __future__ import annotations

import atexit
import os
import select
import signal
import sys
import threading
import time
from contextlib import suppress
from types import FrameType
from typing import NoReturn

WORDS = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "ended by SIGTERM",
    signal.SIGHUP: "ended by SIGHUP",
}
"""What is said, by the signal that asks for the end."""
GRACE_SECONDS = 6.0
"""So long a command has for its own way to the end: jobs and pods are cancelled, Prefect is told."""
TWICE_SECONDS = 1.0
"""A second Ctrl-C after this ends at once. Whoever starts commands may pass on the signal that its group had, too."""


class Stopped(KeyboardInterrupt):
    """Raised where the main thread is when the first signal comes; libraries let it through as they do a Ctrl-C."""


class Stop:
    """Whether this process was asked to end, and its end.

    The signals are heeded by the command alone: whoever imports Segscale keeps their own handlers. A signal that is
    ignored when the command starts stays ignored, as `nohup` and shells without job control want it.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        """The first signal; None while there was none."""
        self.last_words = ""
        """Said after what happened."""
        self._raised = self._said = self._unwound = False
        self._pipe = (-1, -1)

    @property
    def code(self) -> int:
        """The exit code of an end by the signal, as shells have it."""
        return 128 + (self.number or signal.SIGINT)

    def heed(self) -> None:
        """From now on; in the main thread."""
        read, write = self._pipe = os.pipe()
        os.set_blocking(read, False)
        os.set_blocking(write, False)
        # Whatever the main thread is at, and whoever puts another handler in the place of this one for a while (as
        # Prefect does during a flow), the thread hears of the signal at once.
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, name="stop", daemon=True).start()
        for number in WORDS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)
        # Raised in a finalizer or a callback of C, it would be printed and lost; the thread has heard of it anyway.
        before = sys.unraisablehook
        sys.unraisablehook = lambda lost: None if isinstance(lost.exc_value, Stopped) else before(lost)

    def say(self) -> int:
        """Say once what ends the command; returns the exit code."""
        if not self._said:
            self._said = True
            text = f"segscale: {WORDS[signal.Signals(self.code - 128)]}{self.last_words}\n"
            if self.number == signal.SIGINT and os.isatty(2):
                # The terminal shows ^C and stays in that line.
                text = "\n" + text
            _write(text.encode())
            if self._pipe[1] >= 0:
                # It is the last line: what libraries say of servers and workers that are gone is no news.
                os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        return self.code

    def finish(self, code: int) -> NoReturn:
        """End the process, by its signal where one came, else with this code; exit handlers are called.

        What the interpreter would take apart first, a quarter of a second long, the system takes back as it is.
        """
        self._unwound = True
        if self.number is None:
            threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as the interpreter does
        atexit._run_exitfuncs()
        if self.number is not None:
            self._end()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(code)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        os.write(self._pipe[1], bytes([number]))
        if self.number is None:
            self.number = number
        if self._unwound:
            self._end()
        if not self._raised:
            self._raised = True
            raise Stopped

    def _watch(self) -> None:
        """Ends the process at the end of the time of grace, or at a second Ctrl-C."""
        while self.number is None:
            self._hear(None)
        since = time.monotonic()
        while True:
            heard = self._hear(max(0.0, since + GRACE_SECONDS - time.monotonic()))
            after = time.monotonic() - since
            if after >= GRACE_SECONDS or (signal.SIGINT in heard and after > TWICE_SECONDS):
                self._end()

    def _hear(self, seconds: float | None) -> list[int]:
        """The signals of the time until the next one, which is waited for so long."""
        if not select.select([self._pipe[0]], [], [], seconds)[0]:
            return []
        heard = [number for number in os.read(self._pipe[0], 1024) if number in WORDS]
        if heard and self.number is None:
            self.number = heard[0]
        return heard

    def _end(self) -> NoReturn:
        self.say()
        _end_family()
        os._exit(self.code)


STOP = Stop()
"""Of this process, whose signals there are but once."""


def _write(text: bytes) -> None:
    """To stderr, past the buffers that a thread may hold; not where nobody reads."""
    try:
        if select.select([], [2], [], 1.0)[1]:
            os.write(2, text)
    except OSError:
        return


def _end_family() -> None:
    """End the processes that this one, or one of them, has started: workers, servers, flow runs."""
    import psutil

    for process in psutil.Process().children(recursive=True):
        try:
            process.kill()
        except psutil.Error:
            continue
