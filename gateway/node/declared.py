"""Every section and key of tahoe.cfg that is ours, and the fixed list of those that a Tahoe-LAFS node has as well."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gateway.settings import Setting

GATEWAY = (
    Setting(
        "listen",
        "lines",
        "Where clients connect: Twisted server endpoints, one a line (`tcp:8000`, `ssl:8443:privateKey=key.pem:...`).",
        default="tcp:8000:interface=127.0.0.1",
    ),
    Setting(
        "domain",
        "lines",
        "Host suffixes for virtual-host style, one a line; `*.localhost` always works, any other Host is path style.",
        default=None,
    ),
    Setting("region", "text", "The region that the gateway calls its own.", default="us-east-1"),
    Setting("strict_region", "boolean", "Refuse signatures that name another region.", default="no"),
    Setting("data", "path", "The catalogue and the gateway's state.", default="data"),
    Setting("log", "path", "Folder of the access log and, in the foreground, the gateway's own log.", default="log"),
    Setting(
        "workers",
        "integer",
        "Processes that serve; by default one per core, at most 8. Where a storage exists in one process only "
        "(`memory`), one serves.",
        default=None,
        low=1,
        high=64,
    ),
    Setting("signature_v2", "boolean", "Accept the old signature version 2 as well.", default="no"),
    Setting(
        "unsigned_over_http",
        "boolean",
        "Accept bodies that their signature does not cover (UNSIGNED-PAYLOAD) without TLS, as S3 does.",
        default="yes",
    ),
    Setting(
        "metrics",
        "text",
        "A further endpoint that shows /_/metrics to whoever reaches it; the S3 port shows it to loopback only.",
        default=None,
    ),
    Setting(
        "connections",
        "integer",
        "How many clients may be connected at once; each worker takes an equal part.",
        default="10000",
        low=1,
    ),
    Setting("head_timeout", "seconds", "How long a request's headers may take.", default="30s", low=0.01),
    Setting("idle_timeout", "seconds", "How long a connection may rest between requests.", default="75s", low=0.01),
    Setting("body_timeout", "seconds", "A body must bring 1 KiB within this time.", default="30s", low=0.01),
    Setting("stall_timeout", "seconds", "How long a client may refuse to take its reply.", default="60s", low=0.01),
    Setting(
        "drain_notice",
        "seconds",
        "How long a stop goes on to serve while /_/ready says no, so that a load balancer takes notice.",
        default="0s",
        low=0,
    ),
    Setting("drain_timeout", "seconds", "How long a stop waits for running replies.", default="30s", low=0),
    Setting("reap_interval", "seconds", "How often what nobody refers to is deleted.", default="60s", low=0.01),
    Setting(
        "snapshot_interval",
        "seconds",
        "How often the catalogue is kept as sealed blobs in every location, where it changed; 0: never.",
        default="1h",
        low=0,
    ),
    Setting(
        "verify",
        "choice",
        "Whether every block is compared with its checksum before it is sent (`always`), or files go out unread, while"
        " everything that is stored is checked in the background (`scrub`).",
        default="always",
        choices=("always", "scrub"),
    ),
    Setting(
        "scrub_interval",
        "seconds",
        "How long it may take to read and check everything that is stored, once and then again. Without it: 30 days"
        " with `verify = scrub`, never with `verify = always`.",
        default=None,
        low=0.1,
    ),
    Setting("probe_interval", "seconds", "How often each location's health is tried.", default="30s", low=0.1),
)

# The keys of [storage] and [location NAME] that every backend has; the rest is the plugin's own.
PLACE = (
    Setting("backend", "text", "The type of the backend, as `gateway plugins` lists them."),
    Setting(
        "concurrency", "integer", "How many operations the storage gets at once, from all workers.", default="64", low=1
    ),
    Setting("wrappers", "lines", "Wrappers around the storage, one a line; the first one is outermost.", default=None),
)

ENDPOINT = (Setting("location", "text", "Buckets made through this host are kept in this location."),)

# docs/configuration.rst of Tahoe-LAFS 1.20: a node's own file is accepted, what is not ours in it is left alone.
TAHOE: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "node": frozenset(
            "nickname log_gatherer.furl reveal-ip-address tempdir timeout.disconnect timeout.keepalive tub.location "
            "tub.port web.port web.static web.reveal_storage_furls".split()
        ),
        "connections": frozenset({"tcp"}),
        "tor": frozenset(
            "enabled launch tor.executable socks.port control.port onion onion.local_port onion.external_port "
            "onion.private_key_file".split()
        ),
        "i2p": frozenset(
            "enabled launch i2p.configdir i2p.executable sam.port dest dest.port dest.private_key_file".split()
        ),
        "client": frozenset(
            "introducer.furl helper.furl key_generator.furl stats_gatherer.furl mutable.format peers.preferred "
            "shares.needed shares.happy shares.total shares._max_immutable_segment_size_for_testing "
            "storage.plugins force_foolscap".split()
        ),
        "storage": frozenset(
            "enabled anonymous readonly reserved_space storage_dir debug_discard plugins force_foolscap "
            "grid_management expire.enabled expire.mode expire.override_lease_duration expire.cutoff_date "
            "expire.immutable expire.mutable".split()
        ),
        "helper": frozenset({"enabled"}),
        "ftpd": frozenset("enabled port accounts.file accounts.url".split()),
        "sftpd": frozenset("enabled port accounts.file accounts.url host_pubkey_file host_privkey_file".split()),
        "drop_upload": frozenset("enabled local.directory upload.dircap".split()),
        "magic_folder": frozenset("enabled local.directory poll_interval download.umask".split()),
    }
)
# Sections whose keys a Tahoe node's own plugins or grid name freely.
TAHOE_OPEN = ("grid_managers", "grid_manager_certificates", "storageclient.plugins.", "storageserver.plugins.")


def is_open(section: str) -> bool:
    """Whether a section of a Tahoe node may have keys of any name."""
    return any(section == name or (name.endswith(".") and section.startswith(name)) for name in TAHOE_OPEN)
