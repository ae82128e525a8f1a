"""Why does a signature not match? We hold the secret, so we can try what the client may have signed instead.

One line for the operator's log: the part that differs, what was signed and what arrived, and who usually does that.
Run on failures only, and bounded: at most MOST_GUESSES signatures (about 10 us each) are computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from urllib.parse import quote, unquote

from gateway.model import Call
from gateway.wire import canonical, signature_form, signature_v2
from gateway.wire.claim import Claim
from gateway.wire.diagnosis_guesses import METHODS, guesses
from gateway.wire.signature_v4 import same, signed_of

MOST_GUESSES = 200

_PROXY_SIGNS = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "cdn-loop")


def explain(
    call: Call, claim: Claim, secret: str, *, region: str | None = None, known_hosts: tuple[str, ...] = ()
) -> str:
    """The likely reason why a V4 claim does not match, as one line that starts with the part at fault."""
    seen = signed_of(call, claim)
    damage = _damage(seen.signature(secret), claim.signature)
    if damage:
        return damage
    for why, guess in islice(guesses(call, seen, region, known_hosts), MOST_GUESSES):
        if same(guess.signature(secret), claim.signature):
            return why
    for why, other in _other_secrets(secret, claim.access_key):
        if same(seen.signature(other), claim.signature):
            return why
    return _unexplained(call, claim)


def _damage(expected: str, given: str) -> str:
    """A signature that is nearly right, or none at all."""
    if len(given) != 64 or given.strip("0123456789abcdef"):
        return f"signature: it is not 64 lower-case hex digits but {len(given)} characters; it was cut or changed"
    wrong = sum(a != b for a, b in zip(expected, given, strict=True))
    if wrong <= 8:
        return f"signature: {wrong} of its 64 digits are wrong, all else is right; it was changed on its way"
    return ""


def _unexplained(call: Call, claim: Claim) -> str:
    missing = [name for name in claim.signed_headers if name not in call.headers]
    if missing:
        return f"header {missing[0]}: it was signed and did not arrive; a proxy removed it"
    signs = [name for name in _PROXY_SIGNS if name in call.headers]
    if signs:
        return (
            f"Host, path or a signed header: a proxy is in between ({', '.join(signs)}) and changed something that we "
            f"cannot guess; Host arrived as {call.headers.get('host', '')!r}. If not, the secret of "
            f"{claim.access_key} is another one at the client"
        )
    return f"secret: no single change explains it; the client holds another secret for {claim.access_key}"


def _other_secrets(secret: str, access_key: str) -> Iterator[tuple[str, str]]:
    for other in (f"{secret}\n", f"{secret}\r\n", f"{secret} ", f" {secret}", f"{secret}\r", f'"{secret}"'):
        yield "secret: the client's copy has a blank, a line end or quotes around it", other
    yield "secret: the client's copy lost the blanks around it", secret.strip()
    yield "secret: the client's copy is URL-encoded", quote(secret, safe="")
    yield "secret: the client's copy is URL-decoded", unquote(secret)
    yield "secret: the client signs with the access key", access_key
    yield "secret: the client signs with an empty secret", ""


# ---------------------------------------------------------------- Signature Version 2


def explain_v2(call: Call, claim: Claim, secret: str, bucket_in_host: str) -> str:
    """The likely reason why a V2 claim does not match."""
    for why, guess, bucket in _guesses_v2(call, bucket_in_host):
        text = signature_v2.string_to_sign(guess, claim, bucket)
        if same(signature_v2.sign(secret, text), claim.signature):
            return why
    for why, other in _other_secrets(secret, claim.access_key):
        text = signature_v2.string_to_sign(call, claim, bucket_in_host)
        if same(signature_v2.sign(other, text), claim.signature):
            return why
    return _unexplained(call, claim)


def _guesses_v2(call: Call, bucket: str) -> Iterator[tuple[str, Call, str]]:
    first = call.headers.get("host", "").partition(".")[0]
    yield f"Host: the client signed the bucket {first!r} of its Host; is domain set?", call, first
    yield "Host: the client did not sign the bucket of its Host", call, ""
    for path in (
        canonical.path(call.path),
        unquote(call.path),
        quote(canonical.octets(call.path), safe="/"),
        call.path.rstrip("/"),
    ):
        why = f"path: the client signed {path!r}, {call.path!r} arrived; a proxy decoded, encoded or normalised it"
        yield why, replace(call, path=path), bucket
    for name in call.headers:
        if name in ("content-type", "content-md5") or name.startswith("x-amz-"):
            left = {other: value for other, value in call.headers.items() if other != name}
            yield f"header {name}: the client did not sign it; a proxy added it", replace(call, headers=left), bucket
    kind = call.headers.get("content-type", "").partition(";")[0]
    changed = replace(call, headers={**call.headers, "content-type": kind})
    yield f"header content-type: the client signed {kind!r}; a proxy changed it", changed, bucket
    for method in METHODS:
        why = f"method: the client signed {method}, {call.method} arrived"
        yield why, replace(call, method=method), bucket


# ---------------------------------------------------------------- forms


def explain_form(claim: Claim, secret: str) -> str:
    """The likely reason why the signature of a form's policy does not match."""
    for why, other in _other_secrets(secret, claim.access_key):
        if signature_form.prove(replace(claim, time=0.0), other, now=0.0, region=None):
            return why
    return f"secret or policy: the client holds another secret for {claim.access_key}, or signed another policy"
