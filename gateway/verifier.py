"""The one verification that every route passes: who signed this call, and how its body must prove itself.

Only the Verifier can build a VerifiedCall, and only a VerifiedCall reaches an operation; a new route cannot forget it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gateway.catalogue import Catalogue
from gateway.errors import S3Error
from gateway.model import Account, Call
from gateway.model.bodies import no_pairs
from gateway.wire import form, post_policy, signature
from gateway.wire.names import check_key
from gateway.wire.route import Route

_BUILT_BY_THE_VERIFIER = object()
_BETWEEN_EXPLANATIONS = 0.2  # seconds


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator allows. ``region``: a signature must name it; None accepts any region."""

    region: str | None = None
    unsigned_over_http: bool = True
    signature_v2: bool = False


@dataclass(frozen=True, slots=True)
class VerifiedCall:
    """A call whose signature was checked. ``account`` is None for a call that nobody signed.

    ``form``: the fields of a form upload, else empty; then ``call`` has the form's file as its body, and ``route`` the
    key and the headers that the form's fields stand for.
    """

    call: Call
    route: Route
    account: Account | None
    access_key: str
    payload: signature.Payload
    proof: object
    form: Mapping[str, str] = field(default_factory=no_pairs)

    def __post_init__(self) -> None:
        if self.proof is not _BUILT_BY_THE_VERIFIER:
            raise TypeError("only the Verifier builds a VerifiedCall")


class Verifier:
    """Checks signatures. ``known_hosts``: names that clients may have signed; only a diagnosis reads them.

    Explaining a failure to the log costs milliseconds and access key ids are no secret; so it is done a few times a
    second and no more.
    """

    def __init__(self, catalogue: Catalogue, rules: Rules, known_hosts: tuple[str, ...] = ()) -> None:
        self._catalogue = catalogue
        self._rules = rules
        self._known_hosts = known_hosts
        self._explained = 0.0

    async def verify(self, call: Call, route: Route) -> VerifiedCall:
        """Check the signature against the account's secret. Raises S3Error exactly as S3 refuses.

        An unknown access key costs the same work as a wrong secret, so that time does not tell them apart.
        """
        if route.operation == "PostObject":
            return await self._verify_form(call, route)
        claim = signature.read_claim(call)
        if claim is None:
            self._catalogue.look()
            return VerifiedCall(call, route, None, "", signature.anonymous_payload(call), _BUILT_BY_THE_VERIFIER)
        account, payload = await self._prove(call, route, claim)
        return VerifiedCall(call, route, account, claim.access_key, payload, _BUILT_BY_THE_VERIFIER)

    async def _verify_form(self, call: Call, route: Route) -> VerifiedCall:
        """The same for a form, whose signature is among its fields and covers a policy, which rules all others.

        Only what comes before the file is read, and no byte of the file where anything is wrong with it.
        """
        signature.refuse_head_of_form(call)
        read = await form.read(call)
        claim = signature.read_form_claim(read.fields)
        account, access_key, payload, bounds = None, "", signature.Payload(), post_policy.Bounds()
        if claim is None:
            self._catalogue.look()
        else:
            account, payload = await self._prove(call, route, claim)
            access_key = claim.access_key
            policy = post_policy.read(claim.payload)
            policy.check(read.fields, route.bucket or "", call.received)
            bounds = policy.bounds
        check_key(read.key)
        headers = form.headers_of(read, call)
        return VerifiedCall(
            replace(call, body=read.file(bounds)),
            replace(route, key=read.key, headers=headers),
            account,
            access_key,
            payload,
            _BUILT_BY_THE_VERIFIER,
            read.fields,
        )

    async def _prove(
        self, call: Call, route: Route, claim: signature.Claim
    ) -> tuple[Account | None, signature.Payload]:
        """Whose the claim is, and how the body must prove itself. Raises S3Error."""
        known = await self._catalogue.accounts.signer(claim.access_key)
        account, secret = known if known is not None else (None, None)
        try:
            return account, signature.verify(
                call,
                claim,
                secret,
                now=call.received,
                region=self._rules.region,
                unsigned_over_http=self._rules.unsigned_over_http,
                v2=self._rules.signature_v2,
                bucket_in_host=(route.bucket or "") if route.in_host else "",
                known_hosts=self._known_hosts,
                explain=call.received - self._explained > _BETWEEN_EXPLANATIONS,
            )
        except S3Error as refusal:
            if refusal.code == "SignatureDoesNotMatch" and refusal.cause:
                self._explained = call.received
            raise
