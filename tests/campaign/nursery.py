"""`gateway` commands in processes of their own, forked from one that has imported everything (``launcher.py``)."""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

LAUNCHER = Path(__file__).parent / "launcher.py"


class Nursery:
    """Use the one that ``nursery()`` gives. It ends with this process, and so do all its children."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        command = [sys.executable, "-P", str(LAUNCHER)]
        self._process = subprocess.Popen(  # in a session of its own: Ctrl-C is for us, who then end it
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self._answer()
        atexit.register(self._end)

    def child(self, words: list[str], said: Path, control: str = "") -> Child:
        """`gateway WORDS`, held before its first step; what it prints goes to the file ``said``."""
        return Child(self, self.ask(words=words, said=str(said), control=control or "none"))

    def ask(self, **request: Any) -> int:
        with self._lock:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            return self._answer()

    def _answer(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def _end(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


class Child:
    """A command's process. It is known by its number until ``end`` has buried it."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self.pid = pid
        self._nursery = nursery
        self._descriptor = os.pidfd_open(pid)
        self._code: int | None = None

    def go(self) -> None:
        """Let it begin."""
        self._nursery.ask(go=self.pid)

    def dead(self, seconds: float = 0.0) -> bool:
        """Did it end (waits a moment for it)?"""
        return self._code is not None or bool(select.select([self._descriptor], [], [], seconds)[0])

    def signal(self, number: signal.Signals) -> None:
        if self._code is None:
            os.kill(self.pid, number)

    def end(self, patience: float) -> int:
        """Wait for its end; its exit code, negative where a signal ended it. Raises TimeoutError."""
        if self._code is None:
            if not self.dead(patience):
                raise TimeoutError(f"process {self.pid} still runs after {patience:g} s")
            self._code = self._nursery.ask(bury=self.pid)
            os.close(self._descriptor)
        return self._code


class Twistd:
    """`twistd gateway` in the foreground, an interpreter of its own from its first step; used as a Child is."""

    def __init__(self, configuration: Path, said: Path) -> None:
        twistd = str(Path(sys.executable).with_name("twistd"))
        # If this process is killed, it ends as well.
        command = ["setpriv", "--pdeathsig", "KILL", twistd, "--nodaemon", "--pidfile=", "gateway", "-c"]
        with said.open("wb") as out:
            self._process = subprocess.Popen(
                [*command, str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=configuration.parent,
            )
        self.pid = self._process.pid

    def go(self) -> None:
        """It went already."""

    def dead(self, seconds: float = 0.0) -> bool:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self._process.returncode is not None

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self, patience: float) -> int:
        return self._process.wait(patience)


@cache
def nursery() -> Nursery:
    """The one of this process, made when it is first wanted."""
    return Nursery()
