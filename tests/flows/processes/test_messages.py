from __future__ import annotations

import pickle
import socket

import pytest

from segscale.errors import ContradictionError, PermanentError
from segscale.flows.processes.messages import Channel, Done, Incoming, framed, pack_error
from segscale.flows.shards.retry import Attempt, Lost, after_error
from tests.flows.stream_work import Deed, OddError


class LastError(PermanentError):
    """Comes back as it was sent no more than `OddError` does."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"{what} at {where}")


@pytest.mark.parametrize("size", [1, 3, 8, 1000], ids=lambda size: f"{size} bytes at a time")
def test_messages_are_whole_however_they_come(size: int) -> None:
    messages = [b"", b"a", b"x" * 300, b"\0" * 9]
    sent = b"".join(map(framed, messages))
    incoming = Incoming()
    found = [message for at in range(0, len(sent), size) for message in incoming.add(sent[at : at + size])]
    assert found == messages


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(OSError(28, "No space left", "a.png"), id="of the system"),
        pytest.param(ContradictionError("a file says otherwise"), id="of Segscale"),
        pytest.param(OddError("it broke", "home"), id="its class cannot be made again"),
        pytest.param(LastError("it broke", "home"), id="nor can that of one that is never tried again"),
        pytest.param(type("Local", (Exception,), {})("text"), id="its class is nowhere"),
    ],
)
def test_an_error_reads_the_same_at_the_other_end(error: Exception) -> None:
    found = pickle.loads(pack_error(error)).as_error()
    assert (type(found).__name__, str(found)) == (type(error).__name__, str(error))
    assert isinstance(found, ContradictionError) == isinstance(error, ContradictionError)
    if not isinstance(error, ContradictionError):
        here, there = (after_error(Attempt(Deed("k"), 1), one) for one in (error, found))
        assert isinstance(there, Lost) == isinstance(error, PermanentError)
        assert there == here


def test_a_driver_waits_for_no_worker_that_reads_nothing() -> None:
    own, its = socket.socketpair()
    channel = Channel(own)
    message = pickle.dumps(Done("x" * 10_000_000))
    channel.send(message)
    assert channel.is_behind
    its.setblocking(False)
    read, incoming = list[bytes](), Incoming()
    while not read:
        read = incoming.add(its.recv(1 << 20))
        channel.flush()
    assert read == [message]
    assert not channel.is_behind


def test_the_last_words_of_a_worker_are_heard_and_what_nobody_reads_is_dropped() -> None:
    own, its = socket.socketpair()
    channel = Channel(own)
    its.sendall(framed(pickle.dumps(Done(1))) + framed(pickle.dumps(Done(2)))[:-1])
    its.close()
    channel.send(b"to nobody")
    assert (channel.receive(), channel.has_ended, channel.is_behind) == ([Done(1)], True, False)
