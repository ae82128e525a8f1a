"""The one verification that every route passes: who signed this call, and how its body must prove itself.

Only ``verify`` can build a VerifiedCall, and only a VerifiedCall reaches an operation; a new route cannot forget it.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.catalogue import Catalogue
from gateway.model import Account, Call
from gateway.wire import signature
from gateway.wire.route import Route

_BUILT_BY_THE_VERIFIER = object()


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator allows. ``region``: a signature must name it; None accepts any region."""

    region: str | None = None
    unsigned_over_http: bool = True
    signature_v2: bool = False


@dataclass(frozen=True, slots=True)
class VerifiedCall:
    """A call whose signature was checked. ``account`` is None for a call that nobody signed."""

    call: Call
    route: Route
    account: Account | None
    access_key: str
    payload: signature.Payload
    proof: object

    def __post_init__(self) -> None:
        if self.proof is not _BUILT_BY_THE_VERIFIER:
            raise TypeError("only gateway.verifier.verify builds a VerifiedCall")


async def verify(call: Call, route: Route, catalogue: Catalogue, rules: Rules) -> VerifiedCall:
    """Check the signature against the account's secret. Raises S3Error exactly as S3 refuses.

    An unknown access key costs the same work as a wrong secret, so that time does not tell them apart.
    """
    claim = signature.read_claim(call)
    if claim is None:
        return VerifiedCall(call, route, None, "", signature.anonymous_payload(call), _BUILT_BY_THE_VERIFIER)
    known = await catalogue.accounts.signer(claim.access_key)
    account, secret = known if known is not None else (None, None)
    payload = signature.verify(
        call,
        claim,
        secret,
        now=call.received,
        region=rules.region,
        unsigned_over_http=rules.unsigned_over_http,
        v2=rules.signature_v2,
        bucket_in_host="" if route.bucket is None or call.path.startswith(f"/{route.bucket}") else route.bucket,
    )
    return VerifiedCall(call, route, account, claim.access_key, payload, _BUILT_BY_THE_VERIFIER)
