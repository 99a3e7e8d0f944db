"""No network while a block runs, and a word about who tried."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from penjing.testing.checks import ConformanceError


@contextmanager
def no_network() -> Iterator[list[str]]:
    """Refuse connections and look-ups of names; the value lists what was tried, also where the caller caught it."""
    tried: list[str] = []
    kept = {
        (owner, name): getattr(owner, name)
        for owner, name in (
            (socket.socket, "connect"),
            (socket.socket, "connect_ex"),
            (socket.socket, "sendto"),
            (socket, "create_connection"),
            (socket, "getaddrinfo"),
            (socket, "gethostbyname"),
        )
    }

    def refusing(name: str) -> Any:
        def refuse(*arguments: Any, **_: Any) -> NoReturn:
            tried.append(f"{name}{arguments[-1:] if name != 'getaddrinfo' else arguments[:2]}")
            raise OSError(f"no network here: {tried[-1]}")

        return refuse

    # A local socket (AF_UNIX) is no network; worker processes talk over such.
    original_connect = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if self.family == getattr(socket, "AF_UNIX", object()):
            original_connect(self, address)
            return
        refusing("connect")(address)

    try:
        for owner, name in kept:
            setattr(owner, name, connect if name == "connect" else refusing(name))
        yield tried
    finally:
        for (owner, name), value in kept.items():
            setattr(owner, name, value)


def require_no_attempt(tried: list[str], what: str) -> None:
    """Fail where the network was tried."""
    if tried:
        raise ConformanceError(f"{what} wants the network: {'; '.join(dict.fromkeys(tried))}")
