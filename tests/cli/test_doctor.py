"""`gateway doctor`: faults are planted one by one into real installations; each is named, with what mends it."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from middle import Middle

from tests import localfolder

DAY = 86400


@pytest.fixture(scope="module")
def sound(porch: Any) -> Iterator[Path]:
    """An installation in which an object was stored; each test gets a copy. Not in /tmp, which may be in memory."""
    (porch.here / "f").write_text("f")
    with porch.client() as client:
        client.ask("PUT", "/attic").read()
    porch.run("put", "f", "attic/f", cwd=porch.here)
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="gateway-doctor-") as folder:
        yield Path(folder)


@dataclass
class Ward:
    """One installation to plant a fault into, and how the doctor is to be called then."""

    folder: Path
    porch: Any
    closing: contextlib.ExitStack
    endpoint: str = ""
    limits: dict[int, int] = field(default_factory=dict)
    before: str = ""  # shell words that run in mount namespace of their own, with the doctor after them
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.folder / "tahoe.cfg"

    def write(self, old: str, new: str) -> None:
        text = self.config.read_text()
        assert old in text
        self.config.write_text(text.replace(old, new, 1))

    def cloud(self, url: str, access: str, secret: str, bucket: str = "attic") -> None:
        """A further location, in a bucket of S3."""
        with self.config.open("a") as config:
            config.write(f"\n[location cold]\nbackend = cloud.s3\ns3.url = {url}\ns3.bucket = {bucket}\n")
            config.write(f"s3.access_key_id = {access}\ns3.region = us-east-1\n")
        path = self.folder / "private" / "cold.s3secret"
        path.touch(0o600)
        path.write_text(secret)

    def sql(self, text: str) -> None:
        with contextlib.closing(sqlite3.connect(self.folder / "data" / "catalogue.sqlite")) as base:
            base.execute(text)
            base.commit()

    def call(self, *args: str) -> list[dict[str, str]]:
        """What the doctor finds."""
        argv = ["gateway", "doctor", "-c", str(self.config), "--json", *args]
        if self.endpoint:
            argv += ["--endpoint", self.endpoint]
        if self.before:
            argv = ["unshare", "-m", "sh", "-c", f'set -e; {self.before}; exec "$@"', "sh", *argv]

        def limit() -> None:
            for which, value in self.limits.items():
                resource.setrlimit(which, (value, value))

        done = subprocess.run(
            argv, cwd=self.folder, env=self.porch.commands.environment(**self.extra), capture_output=True, text=True,
            preexec_fn=limit, timeout=180, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stdout + done.stderr and "unexpected fault" not in done.stderr, done.stderr
        found: list[dict[str, str]] = json.loads(done.stdout)
        assert done.returncode == (3 if any(one["state"] == "fault" for one in found) else 0), done.stderr
        return found


@pytest.fixture
def ward(sound: Path, porch: Any) -> Iterator[Ward]:
    folder = sound / "porch"
    shutil.copytree(porch.config.parent, folder, ignore=shutil.ignore_patterns("owners", "*-shm", "gateway.lock"))
    listen = f"tcp:{porch.port}:interface=127.0.0.1"
    with contextlib.ExitStack() as closing:
        made = Ward(folder, porch, closing)
        made.write(listen, f"tcp:{porch.commands.free_port()}:interface=127.0.0.1")
        yield made
    shutil.rmtree(folder)


PLANTS: dict[str, tuple[Callable[[Ward], None], str, str, str]] = {}  # name -> plant, check, seen, fix


def plant(check: str, seen: str, fix: str) -> Callable[[Callable[[Ward], None]], Callable[[Ward], None]]:
    """Register a fault: which check must name it, with which words, and with which command that mends it."""

    def register(how: Callable[[Ward], None]) -> Callable[[Ward], None]:
        PLANTS[how.__name__] = (how, check, seen, fix)
        return how

    return register


# ---------------------------------------------------------------- the clock


@plant("clock", "the newest object was stored at", "timedatectl set-ntp true")
def clock_set_back(ward: Ward) -> None:
    ward.sql(f"UPDATE versions SET modified = {round(time.time() + 2 * DAY) * 1000}")


@plant("clock", "s ahead of that of http", "timedatectl set-ntp true")
def clock_ahead_of_the_cloud(ward: Ward) -> None:
    class Late(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response_only(200)
            self.send_header("Date", formatdate(time.time() - 3600, usegmt=True))
            self.end_headers()

        def log_message(self, *args: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Late)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ward.closing.callback(server.server_close)
    ward.closing.callback(server.shutdown)
    ward.cloud(f"http://127.0.0.1:{server.server_port}", "AK", "secret")


# ---------------------------------------------------------------- disks


@plant("disk full", "MiB are free", "make room: du -xh")
def full_disk(ward: Ward) -> None:
    log = ward.folder / "log"
    ward.before = f"mount -t tmpfs -o size=20m tmpfs {log}; head -c 21m /dev/zero >{log}/x 2>/dev/null || true"


@plant("disk nearly full", "MiB are free", "make room: du -xh")
def nearly_full_disk(ward: Ward) -> None:
    log = ward.folder / "log"
    ward.before = f"mount -t tmpfs -o size=100m tmpfs {log}; head -c 97m /dev/zero >{log}/x"


@plant("folder unwritable", "Read-only file system", "mount -o remount,rw")
def read_only_disk(ward: Ward) -> None:
    data = ward.folder / "data"
    ward.before = f"mount --bind {data} {data}; mount -o remount,bind,ro {data}"


@plant("memory disk", "gone after the next boot", "cp -a")
def data_in_memory(ward: Ward) -> None:
    ward.before = f"mount -t tmpfs tmpfs {ward.folder}/data"


@plant("network disk", "nfs4", "cp -a")
def data_on_nfs(ward: Ward) -> None:
    mounts = ward.folder / "mounts"
    line = f"999 1 0:99 / {ward.folder}/data rw,relatime - nfs4 filer:/export rw,vers=4.2\\n"
    ward.before = f"cat /proc/self/mountinfo >{mounts}; printf '{line}' >>{mounts}"
    ward.before += f"; mount --bind {mounts} /proc/$$/mountinfo"


@plant("network disk", "small.sqlite is on a network disk", "cp -a")
def small_blobs_on_nfs(ward: Ward) -> None:
    mounts = ward.folder / "mounts"
    line = f"999 1 0:99 / {ward.folder}/storage rw,relatime - nfs4 filer:/export rw,vers=4.2\\n"
    ward.before = f"cat /proc/self/mountinfo >{mounts}; printf '{line}' >>{mounts}"
    ward.before += f"; mount --bind {mounts} /proc/$$/mountinfo"


@plant("folder unwritable", "Not a directory", "mkdir -m 700")
def log_is_no_folder(ward: Ward) -> None:
    shutil.rmtree(ward.folder / "log")
    (ward.folder / "log").write_text("")


# ---------------------------------------------------------------- owners and modes


@plant("owner", "belong to 4321", "chown -R")
def wrong_owner(ward: Ward) -> None:
    if os.geteuid():
        missing("giving files away needs root")
    os.chown(ward.folder / "data" / "catalogue.sqlite", 4321, 4321)


@plant("mode", "data is open to others (mode 0755)", "chmod 700 ")
def open_data(ward: Ward) -> None:
    (ward.folder / "data").chmod(0o755)


@plant("mode", "catalogue.sqlite is open to others", "chmod 600 ")
def open_catalogue(ward: Ward) -> None:
    (ward.folder / "data" / "catalogue.sqlite").chmod(0o644)


@plant("mode", "tahoe.cfg is open to others", "chmod go-w ")
def everybodys_configuration(ward: Ward) -> None:
    ward.config.chmod(0o666)


@plant("configuration", "private open to others", "chmod 700 ")
def open_private(ward: Ward) -> None:
    (ward.folder / "private").chmod(0o755)


@plant("configuration", "seal", "chmod 600 ")
def readable_secret(ward: Ward) -> None:
    (ward.folder / "private" / "seal").chmod(0o644)


# ---------------------------------------------------------------- certificates


def certify(ward: Ward, days: int = 365, since: int = 0) -> Path:
    """A certificate for ``days``, beginning ``since`` days ago, and the endpoint that shows it."""
    begin = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() - since * DAY))
    end = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + days * DAY))
    subprocess.run(
        ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=porch"],
        cwd=ward.folder, check=True, capture_output=True,
    )  # fmt: skip
    (ward.folder / "ca.cnf").write_text(
        "[ca]\ndefault_ca=d\n[d]\ndatabase=index\nnew_certs_dir=.\ndefault_md=sha256\nrand_serial=yes\npolicy=p\n"
        "email_in_dn=no\n[p]\ncommonName=supplied\n"
    )
    (ward.folder / "index").write_text("")
    subprocess.run(
        ["openssl", "ca", "-config", "ca.cnf", "-batch", "-selfsign", "-keyfile", "key.pem", "-in", "request.pem",
         "-out", "cert.pem", "-startdate", begin, "-enddate", end, "-notext"],
        cwd=ward.folder, check=True, capture_output=True,
    )  # fmt: skip
    (ward.folder / "key.pem").chmod(0o600)
    port = ward.porch.commands.free_port()
    text = ward.config.read_text().partition("listen = ")
    rest = text[2].partition("\n")[2]
    ward.config.write_text(f"{text[0]}listen = ssl:{port}:privateKey=key.pem:certKey=cert.pem\n{rest}")
    return ward.folder / "key.pem"


@plant("certificate", "cert.pem expired on", "certbot renew")
def expired_certificate(ward: Ward) -> None:
    certify(ward, days=-1, since=30)


@plant("certificate", "cert.pem expires on", "certbot renew")
def expiring_certificate(ward: Ward) -> None:
    certify(ward, days=5)


@plant("certificate", "is not valid before", "timedatectl")
def early_certificate(ward: Ward) -> None:
    certify(ward, since=-3)


@plant("certificate", "key.pem is not the key of", "openssl pkey -in")
def foreign_key(ward: Ward) -> None:
    key = certify(ward)
    subprocess.run(["openssl", "ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", str(key)], check=True)


@plant("certificate", "can be read by everybody", "chmod o-rwx ")
def readable_key(ward: Ward) -> None:
    certify(ward).chmod(0o644)


# ---------------------------------------------------------------- the cloud: here, a gateway that serves


def pair(ward: Ward, account: str) -> tuple[str, str]:
    at = ("-c", str(ward.porch.config))
    run = ward.porch.commands.run
    if account not in run("gateway", "account", "list", *at, cwd=ward.folder).stdout:
        run("gateway", "account", "add", account, *at, cwd=ward.folder)
    key = json.loads(run("gateway", "key", "add", "--json", "--account", account, *at, cwd=ward.folder).stdout)
    return key["access_key_id"], key["secret_access_key"]


@plant("location cold", "InvalidAccessKeyId", "install -m 600 NEW-SECRET ")
def revoked_cloud_key(ward: Ward) -> None:
    access, secret = pair(ward, "admin")
    ward.porch.commands.run("gateway", "key", "revoke", access, "-c", str(ward.porch.config), cwd=ward.folder)
    ward.cloud(ward.porch.keys["AWS_ENDPOINT_URL"], access, secret)


@plant("location cold", "AccessDenied", "let this access key list the bucket, and read, write and delete")
def missing_right(ward: Ward) -> None:
    ward.cloud(ward.porch.keys["AWS_ENDPOINT_URL"], *pair(ward, "stranger"))


@plant("location cold", "no-such-host.invalid", "getent hosts no-such-host.invalid")
def unknown_host(ward: Ward) -> None:
    ward.cloud("http://no-such-host.invalid", "AK", "secret")


@plant("location cold", "does not answer (Connection refused)", "curl -v http://127.0.0.1:")
def silent_host(ward: Ward) -> None:
    ward.cloud(f"http://127.0.0.1:{ward.porch.commands.free_port()}", "AK", "secret")


@plant("location storage", "belongs to another gateway", "a storage of its own")
def foreign_storage(ward: Ward) -> None:
    ward.sql("UPDATE about SET id = '00000000000000000000000000000000'")


# ---------------------------------------------------------------- the process


@plant("descriptors", "256 open files are allowed", "LimitNOFILE=65536")
def few_descriptors(ward: Ward) -> None:
    ward.limits[resource.RLIMIT_NOFILE] = 256


@plant("memory", "1536 MiB of addresses", "ulimit -v unlimited")
def little_memory(ward: Ward) -> None:
    ward.limits[resource.RLIMIT_AS] = 1536 << 20


@plant("port", "Address already in use", "ss -ltnp 'sport = :")
def taken_port(ward: Ward) -> None:
    taken = ward.closing.enter_context(socket.create_server(("127.0.0.1", 0)))
    text = ward.config.read_text().partition("listen = tcp:")
    rest = text[2].partition(":")[2]
    ward.config.write_text(f"{text[0]}listen = tcp:{taken.getsockname()[1]}:{rest}")


@plant("pid file", "which does not serve this", "rm ")
def somebodys_pid(ward: Ward) -> None:
    (ward.folder / "twistd.pid").write_text(str(os.getpid()))


@plant("pid file", "left over", "rm ")
def dead_pid(ward: Ward) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    (ward.folder / "twistd.pid").write_text(str(gone.pid))


# ---------------------------------------------------------------- catalogue, seal, plugins, names


@plant("catalogue", "malformed", "restore")
def damaged_catalogue(ward: Ward) -> None:
    ward.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    base = ward.folder / "data" / "catalogue.sqlite"
    with contextlib.closing(sqlite3.connect(base)) as read:
        (page,) = read.execute("SELECT rootpage FROM sqlite_master WHERE name = 'versions'").fetchone()
        (size,) = read.execute("PRAGMA page_size").fetchone()
    with base.open("r+b") as file:
        file.seek((page - 1) * size + 3)
        file.write(b"\xff\xff\x7f" * 20)


@plant("catalogue", "not a database", "restore")
def no_catalogue_at_all(ward: Ward) -> None:
    for path in (ward.folder / "data").glob("catalogue.sqlite-*"):
        path.unlink()
    (ward.folder / "data" / "catalogue.sqlite").write_bytes(b"not a database" * 1000)


@plant("configuration", "private/seal", "from your backup")
def lost_seal(ward: Ward) -> None:
    (ward.folder / "private" / "seal").unlink()


@plant("seal", "made under another private/seal", "cp BACKUP/private/seal")
def wrong_seal(ward: Ward) -> None:
    (ward.folder / "private" / "seal").write_text("ab" * 32 + "\n")


@plant("configuration", "backend = locl", "did you mean local?")
def missing_plugin(ward: Ward) -> None:
    ward.write("backend = local", "backend = locl")


@plant("configuration", "RuntimeError: smoke", "reinstall")
def broken_plugin(ward: Ward) -> None:
    info = ward.folder / "site" / "smoke-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: smoke\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[gateway.backends]\nsmoking = smoke:Any\n")
    (ward.folder / "site" / "smoke.py").write_text("raise RuntimeError('smoke')\n")
    ward.extra["PYTHONPATH"] = str(ward.folder / "site")
    ward.write("backend = local", "backend = smoking")


@plant("domain", "gateway-doctor.no-such-domain.invalid", "*.no-such-domain.invalid")
def unknown_domain(ward: Ward) -> None:
    ward.write("#domain = s3.example.com", "domain = no-such-domain.invalid")


# ---------------------------------------------------------------- what stands in front


def front(ward: Ward, old: bytes, new: bytes) -> None:
    """Somebody between clients and the gateway that serves; the doctor asks about that one."""
    middle = Middle(ward.porch.port, up=lambda data, before: data.replace(old, new))
    ward.closing.callback(middle.close)
    ward.endpoint = middle.url
    ward.folder = ward.porch.config.parent


@plant("proxy", "a proxy changed Host", "proxy_set_header Host")
def proxy_that_rewrites_host(ward: Ward) -> None:
    front(ward, b"host: 127.0.0.1:", b"host: inside.example.com:")


@plant("proxy", "path: the client signed", "merge_slashes off")
def proxy_that_merges_slashes(ward: Ward) -> None:
    front(ward, b"/a//b/", b"/a/b/")


@plant("endpoint", "nobody answers", "curl -v http://127.0.0.1:1/_/live")
def proxy_that_is_down(ward: Ward) -> None:
    ward.endpoint = "http://127.0.0.1:1"


# ---------------------------------------------------------------- the round


def missing(what: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_fault_is_named_with_what_mends_it(ward: Ward, name: str) -> None:
    how, check, seen, fix = PLANTS[name]
    folder = ward.folder
    how(ward)
    try:
        if ward.before and subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
            missing("mounting needs root")
        found = ward.call()
    finally:
        ward.folder = folder
    named = [one for one in found if one["check"] == check and seen in one["seen"] and one["state"] != "fine"]
    assert named and all(fix in one["fix"] for one in named), json.dumps(found, indent=1)
    assert all(one["fix"] for one in found if one["state"] != "fine")


def test_enough_is_planted() -> None:
    assert len(PLANTS) >= 20


def test_a_sound_installation_is_fine_and_stays_as_it_was(ward: Ward) -> None:
    def state() -> dict[str, tuple[int, bytes]]:
        blobs = {blob.name: (0, blob.read_bytes()) for blob in localfolder.blobs(ward.folder / "storage")}
        return blobs | {  # whoever closes a database last brings its log into it
            str(path): (path.stat().st_mode, path.read_bytes() if path.is_file() else b"")
            for path in ward.folder.rglob("*")
            if not path.name.endswith(("-shm", "-wal")) and path.name != "small.sqlite"
        }

    before = state()
    found = ward.call()
    assert {one["state"] for one in found} == {"fine"}, found
    assert state() == before
    call = ["gateway", "doctor", "-c", str(ward.config)]
    shown = ward.porch.commands.run(*call, cwd=ward.folder)
    assert len(shown.stdout.splitlines()) == len(found) and "\x1b" not in shown.stdout and shown.stderr == ""


def test_it_works_beside_a_gateway_that_serves(porch: Any) -> None:
    url = porch.keys["AWS_ENDPOINT_URL"]
    done = porch.commands.run(
        "gateway", "doctor", "-c", str(porch.config), "--endpoint", url, "--json", cwd=porch.here, code=None
    )
    found = {one["check"]: one for one in json.loads(done.stdout)}
    assert "served by process" in found["running"]["seen"]
    assert found["endpoint"] == {"check": "endpoint", "state": "fine", "seen": f"{url}: signatures pass", "fix": ""}
    assert found["clock"]["seen"] == f"agrees with {url}"
    faults = {name for name, one in found.items() if one["state"] == "fault"}
    assert faults <= {"memory disk"}  # where pytest's own folder is in memory
    assert done.returncode == (3 if faults else 0)


def test_a_clock_that_is_set_while_we_look_is_told() -> None:
    from gateway.doctor.machine import jumped

    assert jumped(-0.01, 0.25).state == "fine"
    told = jumped(2.5, 0.25)
    assert told.state == "warning" and "+2.5 s" in told.seen and "timedatectl" in told.fix


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/a b/data", "cifs"),
        ("/srv/a bc", "ext4"),
        ("/home/x/y", "fuse.sshfs"),
        ("/home", "ext4"),
        ("/dev/shm/x", "tmpfs"),
    ],
)
def test_the_kind_of_disk_is_read_as_the_kernel_writes_it(path: str, kind: str) -> None:
    from gateway.sqlitefile import kind_of_disk

    mounts = (
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        "23 22 0:21 / /dev/shm rw shared:2 master:1 - tmpfs tmpfs rw\n"
        "30 22 0:45 / /srv/a\\040b rw - ext4 /dev/sdb rw\n"
        "31 30 0:46 / /srv/a\\040b rw - cifs //nas/share rw\n"
        "32 22 0:47 / /home/x rw - fuse.sshfs me@host: rw\n"
    )
    assert kind_of_disk(Path(path), mounts)[0] == kind
