"""Messages between a driver and its processes: bytes, each after its length, over a socket."""

from __future__ import annotations

import pickle
import socket
import struct
from dataclasses import dataclass
from typing import Any

from segscale.errors import PermanentError

_HEAD = struct.Struct("!Q")
_AT_ONCE = 1 << 18


@dataclass(frozen=True, slots=True)
class Ready:
    """The first word of a worker: whatever ends it from now on is what it is at."""


@dataclass(frozen=True, slots=True)
class Done:
    """What the work returned."""

    result: Any


@dataclass(frozen=True, slots=True)
class Raised:
    """What the work raised; of an error that does not survive the way its name and text."""

    error: BaseException | None
    name: str = ""
    text: str = ""
    is_permanent: bool = False

    def as_error(self) -> BaseException:
        """The error, or one that reads the same."""
        if self.error is not None:
            return self.error
        stand_in: type[Exception] = type(self.name, (PermanentError if self.is_permanent else Exception,), {})
        return stand_in(self.text)


def packed(message: Any) -> bytes:
    """A message as bytes. Both ends are processes of one driver, over a socket that has no name: nobody else writes."""
    return pickle.dumps(message)


def unpacked(data: bytes) -> Any:
    """The message in such bytes."""
    return pickle.loads(data)


def pack_error(error: BaseException) -> bytes:
    """`Raised`, as a message; not every class of errors comes back as it was sent."""
    try:
        message = packed(Raised(error))
        unpacked(message)
    except Exception:  # noqa: BLE001  # whatever the class of somebody's error does
        return packed(Raised(None, type(error).__name__, str(error), isinstance(error, PermanentError)))
    return message


def framed(message: bytes) -> bytes:
    """A message as it goes over the socket."""
    return _HEAD.pack(len(message)) + message


class Incoming:
    """Bytes as they come, put together to messages."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def add(self, data: bytes) -> list[bytes]:
        """The messages that these bytes complete."""
        self._bytes += data
        messages = []
        while len(self._bytes) >= _HEAD.size:
            end = _HEAD.size + _HEAD.unpack_from(self._bytes)[0]
            if len(self._bytes) < end:
                break
            messages.append(bytes(self._bytes[_HEAD.size : end]))
            del self._bytes[:end]
        return messages


class Channel:
    """A driver's end of the socket of a worker. It never waits: a worker may stand still for as long as it likes."""

    def __init__(self, own: socket.socket) -> None:
        own.setblocking(False)
        self._socket = own
        self._incoming, self._outgoing = Incoming(), bytearray()
        self.has_ended = False

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def is_behind(self) -> bool:
        """Whether some of what was sent waits for room in the socket."""
        return bool(self._outgoing)

    def send(self, message: bytes) -> None:
        """Hand a message over as far as there is room; `flush` does the rest. What nobody will read is dropped."""
        self._outgoing += framed(message)
        self.flush()

    def flush(self) -> None:
        while self._outgoing:
            try:
                sent = self._socket.send(self._outgoing)
            except BlockingIOError:
                return
            except OSError:
                # Its end is seen where it is read: there may be a last message.
                self._outgoing.clear()
                return
            del self._outgoing[:sent]

    def receive(self) -> list[Any]:
        """The messages that are there; sets `has_ended` where none will come after them."""
        messages: list[bytes] = []
        while not self.has_ended:
            try:
                data = self._socket.recv(_AT_ONCE)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            self.has_ended = not data
            messages += self._incoming.add(data)
        return [unpacked(message) for message in messages]

    def close(self) -> None:
        self._socket.close()
