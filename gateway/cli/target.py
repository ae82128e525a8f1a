"""Whom the file commands ask, and as whom: a gateway's own tahoe.cfg, or what the AWS tools would take.

Source: "Environment variables" and "Configuration and credential file settings", AWS CLI User Guide.
"""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from gateway.cli.exits import Misconfigured
from gateway.cli.keys import CREDENTIALS, read_credentials

if TYPE_CHECKING:
    from gateway.node.read import NodeSettings

DEFAULT = Path("tahoe.cfg")
REGION = "us-east-1"
_OURS = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")  # any of them: AWS is meant

target = click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path, readable=False),
    help="A gateway's tahoe.cfg; without it the AWS environment, then ./tahoe.cfg.",
)


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to ask, and as whom. ``bundle``: a PEM file of what is trusted besides; "" for none."""

    url: str
    region: str
    access_key: str
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)
    bundle: str = ""


def find_target(config: Path | None) -> Target:
    """The gateway of ``config``, else that of the AWS environment, else that of ./tahoe.cfg.

    Raises click.UsageError, Misconfigured.
    """
    environment = os.environ
    if config is None and any(environment.get(name) for name in _OURS):
        return of_environment(environment)
    if config is None and not DEFAULT.exists():
        raise click.UsageError("which gateway? Give -c tahoe.cfg, or set AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL")
    return of_gateway(config or DEFAULT)


def of_gateway(config: Path) -> Target:
    """The gateway of a configuration, as the account that `gateway init` made."""
    from gateway.cli.offline import settings_of

    settings = settings_of(config)
    path = settings.folder / "private" / CREDENTIALS
    try:
        access, secret = read_credentials(path)
    except (OSError, KeyError, configparser.Error) as fault:
        fix = "make a key with `gateway key add` and set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL"
        raise Misconfigured(
            f"{path}: seen no key pair ({fault}); expected that of `gateway init`; fix: {fix}"
        ) from fault
    url, bundle = _door(settings)
    return Target(url, settings.gateway["region"], access, secret, bundle=bundle)


def _door(settings: NodeSettings) -> tuple[str, str]:
    """Where the first TCP endpoint is reached from this host, and the certificate that it shows."""
    for _, text in settings.listen:
        kind, _, rest = text.partition(":")
        if kind not in ("tcp", "tcp6", "ssl", "tls"):
            continue
        pieces = [piece.replace("\\:", ":") for piece in re.split(r"(?<!\\):", rest)]
        words = dict(piece.partition("=")[::2] for piece in pieces if "=" in piece)
        port = words.get("port") or pieces[0]
        host = words.get("interface", "127.0.0.1").strip("[]")
        host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        host = f"[{host}]" if ":" in host else host
        secure = kind in ("ssl", "tls")
        return f"{'https' if secure else 'http'}://{host}:{port}", _certificate(settings, words) if secure else ""
    raise click.UsageError("the gateway listens on no TCP port: set AWS_ENDPOINT_URL and the keys instead")


def _certificate(settings: NodeSettings, words: Mapping[str, str]) -> str:
    """The gateway's own certificate: who has its tahoe.cfg may trust exactly that."""
    name = words.get("certKey") or words.get("privateKey") or ""
    beside = settings.folder / name
    return str(beside) if name and beside.exists() else name


def of_environment(environment: Mapping[str, str]) -> Target:
    """What the AWS tools would take from their variables, and from the profile that AWS_PROFILE names."""
    profile = _profile(environment)
    url = (
        environment.get("AWS_ENDPOINT_URL_S3")
        or environment.get("AWS_ENDPOINT_URL")
        or profile.get("s3 endpoint_url")
        or profile.get("endpoint_url")
    )
    access = environment.get("AWS_ACCESS_KEY_ID") or ""
    pair = environment if access else {key.upper(): value for key, value in profile.items()}
    if not url:
        have = "AWS_ACCESS_KEY_ID is set" if access else "keys are there"
        raise click.UsageError(f"{have}, AWS_ENDPOINT_URL is not: where is the gateway?")
    if not pair.get("AWS_ACCESS_KEY_ID"):
        raise click.UsageError("AWS_ENDPOINT_URL is set, AWS_ACCESS_KEY_ID is not: as whom?")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise click.UsageError(f"AWS_ENDPOINT_URL is {url!r}; http://HOST:PORT or https://HOST:PORT is expected")
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or profile.get("region") or REGION
    return Target(
        url.rstrip("/"),
        region,
        pair["AWS_ACCESS_KEY_ID"],
        pair.get("AWS_SECRET_ACCESS_KEY", ""),
        pair.get("AWS_SESSION_TOKEN", ""),
        environment.get("AWS_CA_BUNDLE") or profile.get("ca_bundle") or "",
    )


def _profile(environment: Mapping[str, str]) -> dict[str, str]:
    """The profile's keys from both files of the AWS tools; ``s3 endpoint_url`` is that of its services section.

    Raises Misconfigured where AWS_PROFILE names one that is in neither, or where a file cannot be read.
    """
    named = environment.get("AWS_PROFILE") or ""
    name = named or "default"
    home = Path("~/.aws").expanduser()
    keys = Path(environment.get("AWS_SHARED_CREDENTIALS_FILE") or home / "credentials").expanduser()
    settings = Path(environment.get("AWS_CONFIG_FILE") or home / "config").expanduser()
    credentials, config = _ini(keys), _ini(settings)
    section = "default" if name == "default" else f"profile {name}"
    if named and not (credentials.has_section(name) or config.has_section(section)):
        raise Misconfigured(
            f"AWS_PROFILE: seen {name}; expected a profile of {settings} or {keys}; fix: aws configure --profile {name}"
        )
    found: dict[str, str] = {}
    for ini, part in ((config, section), (credentials, name)):
        if ini.has_section(part):
            found |= ini[part]
    services = f"services {found.get('services', '')}"
    if config.has_section(services):
        url = re.search(r"^\s*endpoint_url\s*=\s*(\S+)", config[services].get("s3", ""), re.MULTILINE)
        if url:
            found["s3 endpoint_url"] = url[1]
    return found


def _ini(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False, default_section="")
    try:
        parser.read(path)
    except (configparser.Error, OSError, UnicodeDecodeError) as fault:
        told = " ".join(str(fault).split())
        raise Misconfigured(f"{path}: seen {told}; expected a file of the AWS tools; fix: mend it") from fault
    return parser
