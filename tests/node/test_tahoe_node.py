"""The folder of a Tahoe-LAFS node, as `tahoe create-node` makes it, starts the gateway once its page was followed."""

from __future__ import annotations

from pathlib import Path

from gateway.node.read import read_node
from gateway.testing import LiveGateway
from tests.servers.moto import ACCESS_KEY, SECRET_KEY, Moto, make_bucket

# Every section that such a node has; what the page on cloud storage says to add stands in [storage].
NODE = """\
# -*- mode: conf; coding: utf-8 -*-

# This file controls the configuration of the Tahoe node that
# lives in this directory. It is only read at node startup.

[node]
nickname = porch
reveal-IP-address = true
web.port = tcp:3456:interface=127.0.0.1
web.static = public_html
tub.port = tcp:41421
tub.location = tcp:porch.example.com:41421
#log_gatherer.furl =
timeout.keepalive = 240
#timeout.disconnect =

[connections]
tcp = tor

[tor]
enabled = false
launch = false
socks.port = 9050
onion = true
onion.local_port = 41422
onion.external_port = 3457
onion.private_key_file = private/tor_onion.privkey

[i2p]
enabled = false
sam.port = tcp:127.0.0.1:7656
dest = abcdefgh.b32.i2p
dest.port = 3457
dest.private_key_file = private/i2p_dest.privkey

[client]
# Which services should this client connect to?
helper.furl =
shares.needed = 3
shares.happy = 7
shares.total = 10

[storage]
# Shall this node provide storage service?
enabled = true
backend = cloud.s3
s3.access_key_id = {key}
s3.bucket = {bucket}
s3.url = {url}
#readonly =
reserved_space = 1G
expire.enabled = true
expire.mode = age
expire.override_lease_duration = 3 months

[helper]
# Shall this node run a helper service that clients can use?
enabled = false

[sftpd]
enabled = false
port = tcp:8022:interface=127.0.0.1
host_pubkey_file = private/ssh_host_rsa_key.pub
host_privkey_file = private/ssh_host_rsa_key
accounts.file = private/accounts
"""
FILES = {
    "private/node.pem": "-----BEGIN CERTIFICATE-----",
    "private/node.privkey": "priv-v0-abc",
    "private/secret": "abc",
    "private/introducers.yaml": "introducers: {}\n",
    "private/s3usertoken": "dXNlcg==",
    "private/s3producttoken": "cHJvZHVjdA==",
    "private/s3secret": SECRET_KEY,
    "tahoe-client.tac": "# written by tahoe",
    "my_nodeid": "abc",
    "node.url": "http://127.0.0.1:3456/",
}


def test_the_folder_of_a_whole_node_starts_us(tmp_path: Path) -> None:
    (tmp_path / "private").mkdir(mode=0o700)
    for name, text in FILES.items():
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_text(text)
    with Moto() as moto:
        bucket = make_bucket(moto.url, ACCESS_KEY, SECRET_KEY)
        config = NODE.format(key=ACCESS_KEY, bucket=bucket, url=moto.url)
        config += "\n[gateway]\nlisten = tcp:0:interface=127.0.0.1\n"  # 8000 may be somebody's
        (tmp_path / "tahoe.cfg").write_text(config)
        with LiveGateway(tmp_path, "cloud.s3") as live:  # which waits until it is ready
            said = live.log()
    (notice,) = [line for line in said.splitlines() if "left alone, for a Tahoe-LAFS node" in line]
    for key in ("[node] nickname", "[storage] reserved_space", "[sftpd] port", "[tor] onion", "[client] shares.needed"):
        assert key in notice
    for name, text in FILES.items():
        assert (tmp_path / name).read_text() == text
    place = read_node(tmp_path / "tahoe.cfg").places[0]
    assert place.values.secret("s3usertoken") == "dXNlcg=="
