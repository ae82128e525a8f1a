"""Who we are, and the signature that proves it: botocore's signer as a pure function, and nothing else of botocore."""

from __future__ import annotations

import configparser
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from botocore.auth import UNSIGNED_PAYLOAD, S3SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]

from gateway.api import BackendUnfit, Outgoing, Values


@dataclass(frozen=True, slots=True)
class Credentials:
    """``token`` goes out as x-amz-security-token: of a session, or DevPay's user and product token."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


def given(values: Values) -> Credentials:
    """From the settings and private/. Raises BackendUnfit for what is missing."""
    access_key: str | None = values["s3.access_key_id"]
    secret_key = values.secret("s3secret")
    if access_key is None:
        fix = "write s3.access_key_id = ..., or s3.profile = ..."
        raise BackendUnfit("no s3.access_key_id", key="s3.access_key_id", fix=fix)
    if secret_key is None:
        file = "s3secret" if values.location == "storage" else f"{values.location}.s3secret"
        fix = f"write the secret key into private/{file} and chmod 600 it"
        raise BackendUnfit("no secret key for s3.access_key_id", key="s3.access_key_id", fix=fix)
    tokens = [values.secret("s3usertoken"), values.secret("s3producttoken")]
    present = [token for token in tokens if token is not None]
    if len(present) == 1:
        raise BackendUnfit(
            "DevPay needs s3usertoken and s3producttoken, and only one of them is in private/",
            key="s3.access_key_id",
            fix="write the other one, or remove this one",
        )
    return Credentials(access_key, secret_key, ",".join(present) or None)


def from_profile(profile: str) -> Credentials:
    """A profile of the AWS credentials file, ``AWS_SHARED_CREDENTIALS_FILE`` or ~/.aws/credentials.

    Raises BackendUnfit. (docs.aws.amazon.com/sdkref/latest/guide/file-format.html)
    """
    path = Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")).expanduser()
    file = configparser.ConfigParser(interpolation=None)
    try:
        with path.open(encoding="utf-8") as text:
            file.read_file(text)
        section = file[profile]
        token = section.get("aws_session_token")
        return Credentials(section["aws_access_key_id"], section["aws_secret_access_key"], token)
    except (OSError, UnicodeDecodeError) as fault:
        raise BackendUnfit(f"cannot read {path}: {fault}", key="s3.profile", fix=f"make {path} readable") from None
    except KeyError as fault:
        message = f"{path} has no {fault.args[0]} for the profile {profile!r}"
        raise BackendUnfit(message, key="s3.profile", fix="aws configure --profile " + profile) from None
    except configparser.Error:  # its text may show a secret
        raise BackendUnfit(f"{path} is not an INI file", key="s3.profile", fix=f"mend {path}") from None


class Signer:
    """Signs with version 4 for one region.

    A payload in memory is signed with its hash; one that streams is signed without (over TLS nobody can change it).
    """

    def __init__(self, credentials: Credentials, region: str) -> None:
        self._signature = _Signature(credentials, "s3", region)

    async def __call__(self, request: Outgoing) -> Mapping[str, str]:
        signed = AWSRequest(request.method, request.url, dict(request.headers))
        payload = request.payload
        signed.context["payload"] = UNSIGNED_PAYLOAD if payload is None else hashlib.sha256(payload).hexdigest()
        self._signature.add_auth(signed)
        return dict(signed.headers.items())


class _Signature(S3SigV4Auth):  # type: ignore[misc]
    def payload(self, request: AWSRequest) -> str:
        """botocore would sign the hash of an empty body over plain http, whatever goes out."""
        return str(request.context["payload"])
