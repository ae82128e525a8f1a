"""OpenStack Swift in one process: account, container, object and proxy server; no root, no memcached, one replica.

Run by ``swift.py`` with the Python of the servers' venv: ``swift_process.py '{"folder": ..., "token_life": ...}'``.
Writes one line of JSON, ``{"port": ...}``, when it listens. Swift's own layout: https://docs.openstack.org/swift/
(deployment guide, tempauth and keystoneauth middleware).
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from pathlib import Path

ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: never outlive the tests

from swift.common.utils import monkey_patch  # noqa: E402

monkey_patch()

import eventlet  # noqa: E402
from eventlet import hubs  # noqa: E402
from swift.common import utils, wsgi  # noqa: E402
from swift.common.ring import RingBuilder  # noqa: E402

STORES = ("account", "container", "object")
# As in a distribution's proxy-server.conf, without what needs memcached.
PIPELINE = (
    "catch_errors gatekeeper healthcheck listing_formats bulk tempurl {s3api} {auth} copy slo dlo versioned_writes "
    "symlink proxy-server"
)
FILTERS = {
    "bulk": "delete_concurrency = 4",
    "slo": "min_segment_size = 1\nrate_limit_after_segment = 100000",
    "versioned_writes": "allow_versioned_writes = true\nallow_object_versioning = true",
    "s3api": "s3_acl = no\nlocation = us-east-1\nmin_segment_size = 5242880",
    "keystoneauth": "operator_roles = admin, member",
}


def tempauth(token_life: int) -> str:
    """Tokens that are sealed instead of remembered; they really end after ``token_life`` seconds."""
    return f"""
use = egg:swift#tempauth
user_admin_admin = admin .admin .reseller_admin
user_test_tester = testing .admin
user_test_tester2 = testing2 .admin
user_test2_tester2 = testing2 .admin
user_test_nobody = nothing
token_life = {token_life}
active_fernet_key_id = k1
fernet_key_k1 = MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=
"""


def authtoken(keystone: dict[str, str]) -> str:
    return f"""
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
www_authenticate_uri = {keystone["url"]}
auth_url = {keystone["url"]}
auth_type = password
username = {keystone["username"]}
password = {keystone["password"]}
project_name = {keystone["project"]}
user_domain_id = default
project_domain_id = default
delay_auth_decision = true
"""


def write_store(etc: Path, devices: Path, name: str, port: int) -> None:
    """One of the three storage servers, and the ring with it as its only device."""
    (etc / f"{name}-server.conf").write_text(
        f"[DEFAULT]\nswift_dir = {etc}\ndevices = {devices}\nmount_check = false\nbind_ip = 127.0.0.1\n"
        f"bind_port = {port}\ndisable_fallocate = true\nfallocate_reserve = 0\nworkers = 0\nlog_level = WARNING\n"
        f"container_update_timeout = 20\n[pipeline:main]\npipeline = {name}-server\n"
        f"[app:{name}-server]\nuse = egg:swift#{name}\n"
    )
    builder = RingBuilder(2, 1, 1)
    place = {"region": 1, "zone": 1, "ip": "127.0.0.1", "port": port, "device": "d1", "weight": 1.0, "meta": ""}
    builder.add_dev({**place, "id": 0, "replication_ip": "127.0.0.1", "replication_port": port})
    builder.rebalance()
    builder.get_ring().save(str(etc / f"{name}.ring.gz"))


def write_proxy(etc: Path, port: int, options: dict[str, object]) -> None:
    keystone = options.get("keystone")
    filters = dict(FILTERS)
    lines = []
    if isinstance(keystone, dict):
        pipeline = PIPELINE.format(s3api="", auth="authtoken keystoneauth")
        lines.append(f"[filter:authtoken]\n{authtoken(keystone)}")
    else:
        pipeline = PIPELINE.format(s3api="s3api", auth="tempauth")
        lines.append(f"[filter:tempauth]\n{tempauth(int(str(options.get('token_life', 86400))))}")
    for name in pipeline.split():
        if name not in ("authtoken", "tempauth", "proxy-server"):
            lines.append(f"[filter:{name}]\nuse = egg:swift#{name}\n{filters.get(name, '')}")
    (etc / "proxy-server.conf").write_text(
        f"[DEFAULT]\nswift_dir = {etc}\nbind_ip = 127.0.0.1\nbind_port = {port}\nworkers = 0\nlog_level = WARNING\n"
        f"[pipeline:main]\npipeline = {pipeline}\n" + "\n".join(lines) + "\n[app:proxy-server]\n"
        "use = egg:swift#proxy\nallow_account_management = true\naccount_autocreate = true\n"
        "node_timeout = 30\nconn_timeout = 5\nrecoverable_node_timeout = 30\n"
    )


def keep_the_hub() -> None:
    """run_server chooses the hub anew each time and would drop the one that runs; threads of the pool need one."""
    use_hub = hubs.use_hub

    def once(*args: object) -> None:
        if getattr(hubs._threadlocal, "hub", None) is None:
            use_hub(*args)

    hubs.use_hub = once


def main() -> None:
    options = json.loads(sys.argv[1])
    folder = Path(options["folder"]).absolute()
    etc, devices = folder / "etc", folder / "devices"
    etc.mkdir(parents=True, exist_ok=True)
    (devices / "d1").mkdir(parents=True, exist_ok=True)
    (etc / "swift.conf").write_text(
        "[swift-hash]\nswift_hash_path_prefix = a\nswift_hash_path_suffix = b\n"
        "[storage-policy:0]\nname = one\ndefault = yes\n"
    )
    utils.set_swift_dir(str(etc))
    sockets = {name: eventlet.listen(("127.0.0.1", 0), backlog=1024) for name in STORES}
    sockets["proxy"] = eventlet.listen(("127.0.0.1", int(options.get("port", 0))), backlog=1024)
    for name in STORES:
        write_store(etc, devices, name, sockets[name].getsockname()[1])
    write_proxy(etc, sockets["proxy"].getsockname()[1], options)
    keep_the_hub()
    waiting = [*STORES, "proxy"]
    for name, sock in sockets.items():
        conf_file = str(etc / f"{name}-server.conf")
        conf, logger, _ = wsgi._initrp(conf_file, f"{name}-server", verbose=True)
        eventlet.spawn(wsgi.run_server, conf, logger, sock, ready_callback=lambda each=name: waiting.remove(each))
    while waiting:
        eventlet.sleep(0.01)
    os.write(1, json.dumps({"port": sockets["proxy"].getsockname()[1]}).encode() + b"\n")
    while True:
        eventlet.sleep(3600)


if __name__ == "__main__":
    main()
