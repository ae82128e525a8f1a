"""Doors: what an endpoint of tahoe.cfg becomes."""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.protocol import Factory

from gateway.node import doors
from gateway.settings import ConfigurationFault
from gateway.workers.sockets import Binding


def room(listening: socket.socket) -> int:
    """How many clients may wait at a socket, as the kernel has it: TCP_INFO's ``sacked`` (linux/tcp_diag)."""
    return int(struct.unpack_from("I", listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 28)[0])


@pytest.mark.parametrize("shared", [False, True], ids=["one process", "supervisor"])
@pytest.mark.parametrize(("more", "expected"), [("", 1024), (":backlog=7", 7)])
@pytest_twisted.ensureDeferred
async def test_a_crowd_may_wait_to_be_accepted(more: str, expected: int, shared: bool) -> None:
    faults: list[ConfigurationFault] = []
    by: Any = Binding(reactor) if shared else reactor
    opened = await doors.listen(by, "tahoe.cfg", [(1, f"tcp:0:interface=127.0.0.1{more}")], Factory(), faults)
    try:
        assert not faults
        (door,) = opened
        port: Any = door.port
        assert room(port.socket) == expected
        assert door.where == f"tcp:0:interface=127.0.0.1{more}", "nothing is told that nobody wrote"
    finally:
        await doors.shut(opened)
