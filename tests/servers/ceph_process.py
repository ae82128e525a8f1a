"""One monitor, one OSD (memstore) and one RADOS Gateway on loopback; no root, no systemd, nothing outside the folder.

Run by ``ceph.py``: ``ceph_process.py '{"folder": ..., "access_key": ..., ...}'``. Writes one line of JSON, ``{"port":
..., "version": ...}``, when the gateway answers requests. SIGTERM ends it and its daemons; so does the end of its
parent. Ceph's own steps: https://docs.ceph.com/en/latest/install/manual-deployment/ (keys, monitor map, mkfs, OSD).
"""

from __future__ import annotations

import ctypes
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any

ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: never outlive the tests

PATIENCE = 100.0  # seconds
# Who may do what. The monitor takes this file as its list of users when it is made.
USERS = {
    "mon.": {"mon": "allow *"},
    "client.admin": {"mon": "allow *", "osd": "allow *", "mgr": "allow *"},
    "client.rgw.a": {"mon": "allow rw", "osd": "allow rwx"},
    "osd.0": {"mon": "allow profile osd", "osd": "allow *"},
}
# One replica on one device, pools of one placement group, and a monitor that does not wait for more to decide.
CONFIGURATION = """
[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{mon},v1:127.0.0.1:{mon_v1}]
public_network = 127.0.0.0/8
cluster_network = 127.0.0.0/8
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_ipv6 = false
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 2000
mon_data_avail_warn = 2
mon_data_avail_crit = 1
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
keyring = {folder}/keyring
run_dir = {folder}/run
admin_socket =
log_file =
log_to_stderr = true
err_to_stderr = true
mon_cluster_log_file = /dev/null
debug_rocksdb = 0
[mon.a]
mon_data = {folder}/mon
[osd.0]
osd_data = {folder}/osd
osd_objectstore = memstore
osd_class_dir = {classes}
memstore_device_bytes = 6442450944
[client.rgw.a]
rgw_frontends = beast endpoint=127.0.0.1:{port}
rgw_swift_account_in_url = true
rgw_enable_usage_log = false
"""


class Cluster:
    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        self.folder = folder
        self.options = options
        self.fsid = str(uuid.uuid4())
        self.mon, self.mon_v1, self.port = free_ports(3)
        self.daemons: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        for name in ("mon", "osd", "run"):
            (self.folder / name).mkdir()
        classes = next(Path("/usr/lib").glob("*/rados-classes"))
        places = {"folder": self.folder, "classes": classes}
        ports = {"mon": self.mon, "mon_v1": self.mon_v1, "port": self.port}
        (self.folder / "ceph.conf").write_text(CONFIGURATION.format(fsid=self.fsid, **places, **ports))
        self._monitor()
        self._store()
        self._account()
        self._daemon("radosgw", "-n", "client.rgw.a")
        self._until(self._answers)

    def check(self) -> None:
        for daemon in self.daemons:
            if daemon.poll() is not None:
                raise SystemExit(f"{daemon.args!r} ended with {daemon.returncode}")

    def stop(self) -> None:
        """At once: nothing of it is to be kept."""
        for daemon in reversed(self.daemons):
            daemon.kill()
            daemon.wait()

    def _monitor(self) -> None:
        keyring, where = self.folder / "keyring", self.folder / "monmap"
        keyring.touch(mode=0o600)
        for user, rights in USERS.items():
            caps = [word for what, right in rights.items() for word in ("--cap", what, right)]
            run("ceph-authtool", str(keyring), "--gen-key", "-n", user, *caps)
        address = f"[v2:127.0.0.1:{self.mon},v1:127.0.0.1:{self.mon_v1}]"
        run("monmaptool", "--create", "--addv", "a", address, "--fsid", self.fsid, str(where))
        self._ceph("ceph-mon", "--mkfs", "-i", "a", "--monmap", str(where), "--keyring", str(keyring))
        self._daemon("ceph-mon", "-i", "a")

    def _store(self) -> None:
        disk = str(uuid.uuid4())
        self._ceph("ceph", "osd", "new", disk)
        self._ceph("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", disk)
        self._daemon("ceph-osd", "-i", "0")
        # Who asks earlier waits for five seconds before asking again.
        self._until(lambda: json.loads(self._ceph("ceph", "osd", "stat", "-f", "json"))["num_up_osds"] == 1)

    def _account(self) -> None:
        account, user = self.options["swift_user"].split(":")[0], self.options["swift_user"]
        keys = ("--access-key", self.options["access_key"], "--secret-key", self.options["secret_key"])
        self._admin("user", "create", "--uid", account, "--display-name", account, "--max-buckets", "0", *keys)
        keys = ("--key-type", "swift", "--secret-key", self.options["swift_key"])
        self._admin("subuser", "create", "--uid", account, "--subuser", user, "--access", "full", *keys)

    def _admin(self, *words: str) -> None:
        self._ceph("radosgw-admin", "-n", "client.rgw.a", *words)

    def _ceph(self, program: str, *words: str) -> bytes:
        return run(program, "-c", str(self.folder / "ceph.conf"), *words)

    def _daemon(self, program: str, *words: str) -> None:
        """In the foreground; it dies with us, however we die."""
        self.daemons.append(
            subprocess.Popen(
                [program, "-c", str(self.folder / "ceph.conf"), *words, "-f"],
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr,
                preexec_fn=lambda: ctypes.CDLL(None).prctl(1, signal.SIGKILL),
            )
        )

    def _answers(self) -> bool:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(f"http://127.0.0.1:{self.port}/", timeout=10) as reply:
                return bool(b"ListAllMyBucketsResult" in reply.read())
        except OSError:
            return False

    def _until(self, true: Any) -> None:
        until = time.monotonic() + PATIENCE
        while not true():
            self.check()
            if time.monotonic() > until:
                raise SystemExit(f"not ready within {PATIENCE:g} s")
            time.sleep(0.05)


def run(*words: str) -> bytes:
    return subprocess.run(words, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=PATIENCE).stdout


def free_ports(count: int) -> list[int]:
    """Ports that nobody has now: Ceph takes them from its configuration, so they cannot be held for it."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def main() -> None:
    options = json.loads(sys.argv[1])
    cluster = Cluster(Path(options["folder"]).absolute(), options)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        cluster.start()
        version = run("radosgw", "--version").decode().split()[2]
        sys.stdout.write(json.dumps({"port": cluster.port, "version": version}) + "\n")
        sys.stdout.flush()
        while True:
            time.sleep(1)
            cluster.check()
    finally:
        cluster.stop()


if __name__ == "__main__":
    main()
