"""What every test shares: fixed samples, and commands as an operator calls them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# no deadline: a loaded machine must not fail a test
settings.register_profile("short", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", max_examples=5000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("long" if os.environ.get("GATEWAY_LONG") == "1" else "short")


class Command:
    """Commands in processes of their own, with an environment that says nothing about S3."""

    def __init__(self) -> None:
        self.bin = Path(sys.executable).parent
        self._running: list[subprocess.Popen[str]] = []

    def environment(self, **extra: str) -> dict[str, str]:
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("AWS_", "RCLONE_", "MAKE", "MFLAGS")) and not key.lower().endswith("_proxy")
        }
        return {**kept, "PATH": f"{self.bin}:{kept['PATH']}", **extra}

    def free_port(self) -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    def run(self, *args: str, cwd: Path, code: int | None = 0, **extra: str) -> subprocess.CompletedProcess[str]:
        """Run to the end; the exit code must be ``code`` (None: any), and no operator ever sees a traceback."""
        done = subprocess.run(
            args, cwd=cwd, env=self.environment(**extra), capture_output=True, text=True, timeout=180, check=False
        )
        assert "Traceback" not in done.stdout + done.stderr, done.stderr
        assert code is None or done.returncode == code, (args, done.stdout, done.stderr)
        return done

    def start(self, *args: str, cwd: Path, until: str, **extra: str) -> str:
        """Start what stays in the foreground; gives what it printed up to the line that holds ``until``."""
        process = subprocess.Popen(
            args,
            cwd=cwd,
            env=self.environment(**extra),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        printed = ""
        for line in process.stdout:
            printed += line
            if until in line:
                self._running.append(process)
                return printed
        process.stdout.close()
        raise AssertionError(f"it ended with {process.wait()}: {printed}")

    def stop(self) -> None:
        """SIGTERM to the process group of each that was started; each must end cleanly and without a traceback."""
        while self._running:
            process = self._running.pop()
            os.killpg(process.pid, signal.SIGTERM)
            rest, _ = process.communicate(timeout=60)
            assert "Traceback" not in rest and "critical" not in rest, rest
            fine = (0, 2, -signal.SIGTERM) if "make" in str(process.args) else (0,)  # make dies with its recipe
            assert process.returncode in fine, (process.returncode, rest)


@pytest.fixture
def command() -> Iterator[Command]:
    made = Command()
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def commands() -> Iterator[Command]:
    """The same for what a whole file of tests shares."""
    made = Command()
    try:
        yield made
    finally:
        made.stop()
