"""What may have happened to a signed request on its way: one changed thing at a time, and the words for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice
from urllib.parse import quote, unquote

from gateway.model import Call
from gateway.wire import canonical
from gateway.wire.signature_payload import (
    STREAMING_SIGNED,
    STREAMING_SIGNED_TRAILER,
    STREAMING_UNSIGNED_TRAILER,
    UNSIGNED,
)
from gateway.wire.signature_v4 import Signed

_PORTS = ("80", "443", "8000", "8080", "8443", "9000")
METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE")
_REGIONS = ("us-east-1", "", "us-west-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-1", "auto", "default")
_SERVICES = ("s3express", "s3-object-lambda", "execute-api", "sts", "iam", "S3")
_EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_PAYLOADS = (UNSIGNED, _EMPTY_SHA256, STREAMING_SIGNED, STREAMING_SIGNED_TRAILER, STREAMING_UNSIGNED_TRAILER)
_PARAMETERS = ("x-id=GetObject", "x-id=PutObject", "list-type=2", "delimiter=%2F", "prefix=", "uploads=", "acl=")
_PREFIXES = ("/s3", "/storage", "/minio", "/api", "/files")
# What clients send and proxies love to rewrite.
_USUAL = {
    "accept-encoding": ("identity", "gzip", "gzip, deflate", "gzip, deflate, br", "gzip;q=1.0,deflate;q=0.6", "*"),
    "connection": ("keep-alive", "close", "Keep-Alive"),
    "expect": ("100-continue",),
    "content-length": ("0",),
    "accept": ("*/*",),
    "te": ("trailers",),
    "transfer-encoding": ("chunked",),
}

Guess = tuple[str, Signed]


def guesses(call: Call, seen: Signed, region: str | None, known_hosts: tuple[str, ...]) -> Iterator[Guess]:
    """What the client may have signed instead of what was ``seen``, with the words that explain it; likeliest first."""
    hosts = list(_hosts(call, seen, known_hosts))
    yield from chain(
        hosts,
        _payloads(seen),
        _paths(call, seen),
        _headers(call, seen),
        _methods(seen),
        _queries(call, seen),
        _stamps(call, seen),
        _scopes(seen, region),
        _styles(seen),
    )
    # A proxy that changes the Host often changes the path as well.
    for why, guess in hosts[:4]:
        for also, path in islice(_paths(call, seen), 12):
            yield f"{why}; and {also}", replace(guess, path=path.path)
    yield from _slashes(seen)


# ---------------------------------------------------------------- Host


def _with_header(seen: Signed, name: str, value: str) -> Signed:
    return replace(seen, headers=tuple((n, value if n == name else v) for n, v in seen.headers))


def _hosts(call: Call, seen: Signed, known_hosts: tuple[str, ...]) -> Iterator[Guess]:
    arrived = dict(seen.headers).get("host", "")
    name, _, port = arrived.rpartition(":") if ":" in arrived and not arrived.endswith("]") else (arrived, "", "")
    tried = {arrived}
    for host in chain(_forwarded(call), known_hosts, (arrived.lower(), arrived.rstrip("."))):
        bare = host.rpartition(":")[0] or host
        if host in tried:
            continue
        tried.add(host)
        yield _host_words(host, arrived, bare.lower() == name.lower()), _with_header(seen, "host", host)
    ports = [call.headers.get("x-forwarded-port", ""), *(host.rpartition(":")[2] for host in known_hosts)]
    for other in ["", *ports, *_PORTS]:
        host = f"{name}:{other}" if other else name
        if host not in tried and other != port and (not other or other.isdigit()):
            tried.add(host)
            yield _host_words(host, arrived, True), _with_header(seen, "host", host)
    for local in ("localhost", "127.0.0.1"):
        host = f"{local}:{port}" if port else local
        if host not in tried:
            yield _host_words(host, arrived, False), _with_header(seen, "host", host)


def _forwarded(call: Call) -> list[str]:
    """The Hosts that proxies say they were asked for, with and without the port they name."""
    headers = call.headers
    found = []
    for name in ("x-forwarded-host", "x-original-host", "x-forwarded-server"):
        found += [host.strip() for host in headers.get(name, "").split(",")]
    for piece in headers.get("forwarded", "").replace(",", ";").split(";"):
        word, _, value = piece.strip().partition("=")
        if word.lower() == "host":
            found.append(value.strip('"'))
    found = [host for host in found if host]
    port = headers.get("x-forwarded-port", "")
    return found + ([f"{host}:{port}" for host in found] if port else [])


def _host_words(signed: str, arrived: str, same_name: bool) -> str:
    if not same_name:
        return f"Host: the client signed {signed!r}, {arrived!r} arrived; a proxy changed Host (let it pass Host on)"
    change = "added the port" if len(arrived) > len(signed) else "dropped the port"
    if (":" in arrived) == (":" in signed):
        change = "changed the port or the letters"
    return f"Host: the client signed {signed!r}, {arrived!r} arrived; a proxy {change}"


# ---------------------------------------------------------------- path


def _path_guess(seen: Signed, path: str, who: str) -> Guess:
    return f"path: the client signed {path!r}, {seen.path!r} arrived; {who}", replace(seen, path=path)


def _paths(call: Call, seen: Signed) -> Iterator[Guess]:
    path = seen.path
    if "%" in path:
        yield _path_guess(
            seen, quote(path, safe="/"), "a proxy decoded it once more, or the client's signer encodes it twice"
        )
        yield _path_guess(seen, unquote(path, errors="surrogateescape"), "the client signs it without encoding it")
        yield _path_guess(seen, canonical.path(unquote(path)), "a proxy encoded it once more")
        yield _path_guess(seen, path.replace("%20", "+"), 'a proxy or the client\'s signer takes "+" for a space')
        yield _path_guess(seen, path.replace("%20", "%2B"), 'a proxy took "+" for a space')
        yield _path_guess(seen, path.replace("%2B", "%20"), 'a proxy or the client\'s signer takes "+" for a space')
    bucket, _, key = path[1:].partition("/")
    if "/" in key:
        yield _path_guess(seen, f"/{bucket}/{key.replace('/', '%2F')}", "a proxy decoded %2F")
        yield _path_guess(seen, f"/{bucket}/{key.replace('/', '%252F')}", "a proxy decoded it twice")
    if path.endswith("/"):
        yield _path_guess(seen, path[:-1], "a proxy or the client added the last slash")
    else:
        yield _path_guess(seen, path + "/", "a proxy or the client removed the last slash")
    for prefix in (call.headers.get("x-forwarded-prefix", "").rstrip("/"), *_PREFIXES):
        if prefix:
            yield _path_guess(seen, prefix + path, "a proxy removed the prefix; clients need an endpoint without one")
    if key:
        yield _path_guess(seen, f"/{key}", "a proxy put a prefix in front of it")


def _slashes(seen: Signed) -> Iterator[Guess]:
    """A proxy that merges slashes or resolves dots leaves no trace of where they were: try each place."""
    places = [at for at, letter in enumerate(seen.path) if letter == "/"]
    for extra in ("/", "/."):
        for at in places:
            yield _path_guess(seen, seen.path[:at] + extra + seen.path[at:], "a proxy normalised it")


def _styles(seen: Signed) -> Iterator[Guess]:
    """A bucket that a proxy moved between the Host and the path."""
    host = dict(seen.headers).get("host", "")
    bucket, slash, key = seen.path[1:].partition("/")
    if bucket:
        moved = _with_header(seen, "host", f"{bucket}.{host}")
        why = f"Host: the client signed {f'{bucket}.{host}'!r} and no bucket in the path; a proxy moved it there"
        yield why, replace(moved, path=slash + key or "/")
    first, dot, rest = host.partition(".")
    if dot:
        moved = _with_header(seen, "host", rest)
        why = f"Host: the client signed {rest!r} with the bucket {first!r} in the path; a proxy moved it to the Host"
        yield why, replace(moved, path=f"/{first}{seen.path}")


# ---------------------------------------------------------------- the rest


def _headers(call: Call, seen: Signed) -> Iterator[Guess]:
    for name, value in seen.headers:
        if name in ("host", "x-amz-date", "x-amz-content-sha256"):
            continue
        arrived = call.headers.get(name)
        guesses = [*_USUAL.get(name, ()), "", (arrived or "").strip(), value.lower(), value.replace(", ", ",")]
        guesses += [value.partition(";")[0].strip(), f"{value}; charset=utf-8", f"{value};charset=UTF-8"]
        guesses += [value.partition(",")[0].strip(), value.rpartition(",")[0].strip()]
        for guess in dict.fromkeys(guesses):
            if guess != value or arrived is None:
                what = "nothing" if arrived is None else repr(value)
                why = f"header {name}: the client signed {guess!r}, {what} arrived; a proxy changed it"
                yield why, _with_header(seen, name, guess)
        left = tuple(pair for pair in seen.headers if pair[0] != name)
        yield f"header {name}: SignedHeaders names it, but the client did not sign it", replace(seen, headers=left)
    names = [name for name, _ in seen.headers]
    for name in call.headers:
        if name not in names and name not in ("authorization", "user-agent", "connection"):
            more = tuple(sorted([*seen.headers, (name, canonical.header_value(call.headers[name]))]))
            yield (
                f"header {name}: the client signed it, but SignedHeaders does not name it",
                replace(seen, headers=more),
            )


def _payloads(seen: Signed) -> Iterator[Guess]:
    for word in (*_PAYLOADS, seen.payload.lower()):
        if word != seen.payload:
            why = f"body hash: the client signed {word!r}, x-amz-content-sha256 arrived as {seen.payload!r}"
            guess = replace(seen, payload=word)
            yield why, guess
            yield why, _with_header(guess, "x-amz-content-sha256", word)


def _methods(seen: Signed) -> Iterator[Guess]:
    for method in METHODS:
        if method != seen.method:
            yield f"method: the client signed {method}, {seen.method} arrived", replace(seen, method=method)


def _queries(call: Call, seen: Signed) -> Iterator[Guess]:
    pieces = seen.query.split("&") if seen.query else []
    for at, piece in enumerate(pieces):
        name = piece.partition("=")[0]
        if not name.lower().startswith("x-amz-"):
            rest = "&".join(pieces[:at] + pieces[at + 1 :])
            yield f"query: the client did not sign the parameter {name}; it was added", replace(seen, query=rest)
    for piece in _PARAMETERS:
        if piece not in pieces:
            more = "&".join(sorted([*pieces, piece]))
            yield f"query: the client signed {piece!r}, and it did not arrive", replace(seen, query=more)
    if pieces:
        twice = "&".join(sorted("=".join(quote(word, safe="") for word in piece.split("=")) for piece in pieces))
        yield "query: decoded twice, or the client's signer encodes it twice", replace(seen, query=twice)
        plain = canonical.query(canonical.query_pairs(unquote(seen.query.replace("%26", "%2526"))))
        yield "query: a proxy encoded it once more", replace(seen, query=plain)
        yield 'query: the client signs "+" for a space', replace(seen, query=seen.query.replace("%20", "+"))
        yield 'query: a proxy took "+" for a space', replace(seen, query=seen.query.replace("%20", "%2B"))
        yield "query: the client signs it as it sends it, unsorted or unencoded", replace(seen, query=call.query)
        yield "query: the client does not sign the query", replace(seen, query="")


def _stamps(call: Call, seen: Signed) -> Iterator[Guess]:
    time = canonical.http_time(call.headers.get("date", ""))
    if time is not None:
        stamp = canonical.iso_basic(time)
        why = f"clock: the client signed the time {stamp}, x-amz-date arrived as {seen.stamp}"
        yield why, replace(seen, stamp=stamp)
        yield why, _with_header(replace(seen, stamp=stamp, day=stamp[:8]), "x-amz-date", stamp)


def _scopes(seen: Signed, region: str | None) -> Iterator[Guess]:
    for other in dict.fromkeys((region or "", *_REGIONS, seen.region.lower())):
        if other != seen.region:
            why = f"region: the client signed for {other!r}, its credential says {seen.region!r}"
            yield why, replace(seen, region=other)
    for service in _SERVICES:
        yield f"service: the client signed for {service!r}, not for s3", replace(seen, service=service)
