"""OpenSSH's own server on a free port of the loopback, for one user with one key."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from gateway_sftp import SftpBackend

from gateway.api import Values

# Debian's openssh-server, installed; or only unpacked (apt-get download, dpkg -x) into $OPENSSH_ROOT.
ROOTS = (os.environ.get("OPENSSH_ROOT", "/"), "/")
NOBODY = "nobody"


class Missing(Exception):
    """A program that is not installed."""


def program(name: str) -> str:
    places = [f"{root}/usr/{folder}" for root in ROOTS for folder in ("sbin", "bin", "lib/openssh")]
    found = shutil.which(name, path=":".join(places))
    if found is None:
        raise Missing(f"{name} is missing: apt-get install openssh-server, or unpack it and set OPENSSH_ROOT")
    return found


class Sshd:
    """``host``, ``port``, ``user``, ``host_key`` and ``key`` (text); ``home`` is a folder that the user may write to.

    sshd wants a user of its own to drop its rights where it is root; so root starts it as nobody.
    """

    host = "127.0.0.1"

    def __init__(self) -> None:
        self._program = program("sshd")
        root = os.geteuid() == 0
        self.user = NOBODY if root else getpass.getuser()
        self._as = {"user": NOBODY, "group": "nogroup", "extra_groups": []} if root else {}
        self._folder = Path(tempfile.mkdtemp(prefix="sshd-"))
        self.home = self._folder / "home"
        self.home.mkdir()
        libraries = sorted({str(file.parent) for file in Path(ROOTS[0], "usr", "lib").rglob("libwrap.so.*")})
        self._environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)}
        for name in ("host", "user"):
            words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(self._folder / name)]
            subprocess.run(words, check=True)
        self.host_key = (self._folder / "host.pub").read_text().strip()
        self.key = (self._folder / "user").read_text()
        with socket.socket() as probe:
            probe.bind((self.host, 0))
            self.port = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        configuration = {
            "ListenAddress": f"{self.host}:{self.port}",
            "HostKey": self._folder / "host",
            "AuthorizedKeysFile": self._folder / "user.pub",
            "PidFile": "none",
            "StrictModes": "no",
            "UsePAM": "yes",  # else an account without a password counts as locked
            "MaxStartups": "100",
            "Subsystem": "sftp internal-sftp",
            "ForceCommand": f"internal-sftp -d {self.home}",
        }
        file = self._folder / "sshd_config"
        file.write_text("".join(f"{key} {value}\n" for key, value in configuration.items()))
        if self._as:
            for path in (self._folder, *self._folder.rglob("*")):
                shutil.chown(path, NOBODY, "nogroup")
        words = [self._program, "-D", "-e", "-f", str(file)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log, env=self._environment, **self._as)
        for _ in range(500):
            with socket.socket() as probe:
                if probe.connect_ex((self.host, self.port)) == 0:
                    return
            assert self._process.poll() is None, f"sshd ended; it said:\n{self.log()}"
            time.sleep(0.02)
        raise AssertionError(f"sshd does not listen; it said:\n{self.log()}")

    def log(self) -> str:
        return (self._folder / "log").read_text()

    def signal(self, how: signal.Signals) -> None:
        """To the server and to the processes of its connections."""
        assert self._process is not None
        for pid in (self._process.pid, *_children(self._process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, how)

    def stop(self) -> None:
        if self._process is not None:
            self.signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def __enter__(self) -> Sshd:
        self.start()
        return self

    def __exit__(self, *fault: object) -> None:
        self.stop()
        shutil.rmtree(self._folder)


def _children(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield int(child)
            yield from _children(int(child))


def built(sshd: Sshd, key: str = "", **written: object) -> SftpBackend:
    """A backend, not opened, in the home of the server's user."""
    settings = {
        "sftp.host": sshd.host,
        "sftp.port": sshd.port,
        "sftp.host_key": sshd.host_key,
        "sftp.user": sshd.user,
        **{f"sftp.{key}": value for key, value in written.items()},
    }
    return SftpBackend(Values.of(SftpBackend.settings, settings, secrets={"sftp_key": key or sshd.key}))
