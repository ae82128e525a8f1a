"""How a worker begins: as a copy of the process that will supervise it, or as a program of its own.

Copies can be made only while nothing runs yet: no event loop, no thread. They are there at once, and what was imported
is in memory once for all of them. Whoever comes later (in the place of one that died, or under twistd, whose event loop
is there before us) is a program that imports for itself, and then does the very same.
"""

from __future__ import annotations

import gc
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from gateway.workers.worker import work

PROGRAM = ("-P", "-m", "gateway.workers")  # what the interpreter runs


@dataclass(frozen=True, slots=True)
class Born:
    """A worker's process, and our ends of two connected sockets: it talks over the one, and prints to the other."""

    pid: int
    channel: int
    output: int


def can_copy() -> bool:
    """Whether nothing runs here that would be half alive in a copy; a plugin may have begun something."""
    return "twisted.internet.reactor" not in sys.modules and len(os.listdir("/proc/self/task")) == 1


def copies(config: Path, workers: int) -> list[Born]:
    """So many, by number; none where that is not possible. In a copy itself this does not return. Raises OSError."""
    if not can_copy():
        return []
    gc.freeze()  # else the collector writes into each object to learn that it stays, and written pages are not shared
    born: list[Born] = []
    for number in range(workers):
        born.append(_copy(config, number, born))
    return born


def _copy(config: Path, number: int, siblings: Sequence[Born]) -> Born:
    channel, its_channel = socket.socketpair()
    output, its_output = socket.socketpair()
    with its_channel, its_output:
        pid = os.fork()
        if not pid:
            for descriptor in (each for born in siblings for each in (born.channel, born.output)):
                os.close(descriptor)  # else nobody would notice the supervisor's death
            channel.close()
            output.close()
            _live(config, number, its_channel.detach(), its_output.detach())
    return Born(pid, channel.detach(), output.detach())


def _live(config: Path, number: int, channel: int, output: int) -> NoReturn:
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    work(config, number, channel)
    sys.exit()


def program(config: Path, number: int) -> Born:
    """One. Raises OSError."""
    channel, its_channel = socket.socketpair()
    output, its_output = socket.socketpair()
    with its_channel, its_output:
        try:
            its_channel.set_inheritable(True)
            words = [sys.executable, *PROGRAM, str(config), str(number), str(its_channel.fileno())]
            descriptors = [
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, its_output.fileno(), 1),
                (os.POSIX_SPAWN_DUP2, its_output.fileno(), 2),
            ]
            pid = os.posix_spawn(sys.executable, words, os.environ, file_actions=descriptors)
        except OSError:
            channel.close()
            output.close()
            raise
    return Born(pid, channel.detach(), output.detach())
