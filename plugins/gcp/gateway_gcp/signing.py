"""How Google knows us: a signature with an HMAC key in Amazon's manner, or a token that a service account asked for.

https://cloud.google.com/storage/docs/authentication/hmackeys and https://developers.google.com/identity/protocols/oauth2/service-account
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from botocore.auth import UNSIGNED_PAYLOAD, S3SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]
from google.auth import crypt, jwt
from twisted.internet.defer import DeferredLock

from gateway.api import BackendDenied, BackendDown, BackendError, Outgoing, Refusal, Service, Timing, judge, read_json

_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ASKED = 3600  # seconds that a token shall live; Google gives no more
_SPARE = 60.0  # seconds before its end at which a token is renewed


class HmacKey:
    """Signs with version 4. A payload in memory is signed with its hash, one that streams without."""

    def __init__(self, access_key_id: str, secret: str, region: str) -> None:
        self._signature = _Signature(Credentials(access_key_id, secret), "s3", region)

    def open(self) -> None:
        """Nothing to prepare."""

    async def close(self) -> None:
        """Nothing to end."""

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


class ServiceAccount:
    """Asks for a token with a JWT that it signs itself, and keeps it until shortly before its end.

    ``account`` is the key file's content. Raises ValueError where it is none.
    """

    def __init__(self, account: Mapping[str, Any], timing: Timing) -> None:
        try:
            self._signer = crypt.RSASigner.from_service_account_info(account)  # type: ignore[no-untyped-call]
            self._email = str(account["client_email"])
            self._url = str(account["token_uri"])
        except (KeyError, ValueError, TypeError) as fault:
            raise ValueError("not the key file of a service account") from fault
        if not self._url.startswith(("https://", "http://127.0.0.1:")):  # whoever reads the JWT can have a token
            raise ValueError("the key file's token_uri is not https")
        self._service = Service(self._url, _unsigned, judge=_judge_token, timing=timing)
        self._turn = DeferredLock()
        self._token = ""
        self._until = 0.0

    def open(self) -> None:
        self._service.open()

    async def close(self) -> None:
        await self._service.close()

    def forget(self) -> None:
        """The token was refused, whatever its age."""
        self._until = 0.0

    async def __call__(self, request: Outgoing) -> Mapping[str, str]:
        if time.monotonic() >= self._until:
            await self._turn.acquire()  # the first one asks, the others find what it got
            try:
                if time.monotonic() >= self._until:
                    await self._renew()
            finally:
                self._turn.release()
        return {**request.headers, "authorization": f"Bearer {self._token}"}

    async def _renew(self) -> None:
        now = int(time.time())
        claims = {"iss": self._email, "scope": _SCOPE, "aud": self._url, "iat": now, "exp": now + _ASKED}
        assertion = jwt.encode(self._signer, claims).decode()  # type: ignore[no-untyped-call]
        form = urlencode({"grant_type": _GRANT, "assertion": assertion})
        asked = time.monotonic()
        reply = await self._service.ask(
            "POST", headers={"content-type": "application/x-www-form-urlencoded"}, body=form.encode()
        )
        answer = read_json(reply.content)
        try:
            self._token = str(answer["access_token"])
            life = float(answer["expires_in"])
        except (KeyError, TypeError, ValueError) as fault:
            raise BackendDown("the token service answered without a token") from fault
        if not self._token.isascii() or not self._token.isprintable():
            raise BackendDown("the token service answered with something that is no token")
        self._until = asked + life - min(_SPARE, life / 4)


async def _unsigned(request: Outgoing) -> Mapping[str, str]:
    return request.headers


def _judge_token(refusal: Refusal) -> BackendError:
    """A JWT that is not taken is a 400 (RFC 6749, 5.2). Nothing of the answer is repeated: it may hold a token."""
    if refusal.status in (400, 401, 403):
        why = "the token service refuses the service account: is its key deleted, or the clock wrong?"
        return BackendDenied(why + refusal.clock)
    told = judge(refusal)
    return type(told)(f"the token service answered with {refusal.status}")
