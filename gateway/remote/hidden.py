"""A service that refuses us may tell back what we sent, credentials and all; that must not reach a log."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote, urlsplit

# What proves who we are, whoever signs; everything else that a request says may be told.
_PROOFS = re.compile(r"authorization|auth-?(key|token|user)|token|secret|signature|password", re.IGNORECASE)
_PARAMETERS = re.compile(r"(?:^|&)(?:sig|signature|x-amz-signature|x-amz-security-token|[^=&]*token)=([^&]*)", re.I)
_SHORTEST = 8  # of what is taken out: shorter words are no secrets, and would tear the text
_MARK = b"[hidden]"


def hide(content: bytes, headers: Mapping[str, str], url: str) -> bytes:
    """``content`` without the credentials of the request that had these headers and this URL."""
    for word in sorted(set(_words(headers, url)), key=len, reverse=True):
        content = content.replace(word.encode(), _MARK)
    return content


def _words(headers: Mapping[str, str], url: str) -> Iterator[str]:
    for name, value in headers.items():
        if _PROOFS.search(name):
            # the whole, each of several tokens, a bearer's, what follows "Signature=" and what follows "account:";
            # never the words for them, which a service uses as well (<Code>SignatureDoesNotMatch</Code>)
            tokens = (token.strip() for token in value.split(","))
            parts = (value, *tokens, *value.split()[-1:], value.rpartition("=")[2], value.rpartition(":")[2])
            yield from (part for part in parts if len(part) >= _SHORTEST)
    for value in _PARAMETERS.findall(urlsplit(url).query):
        yield from (form for form in (value, unquote(value)) if len(form) >= _SHORTEST)
