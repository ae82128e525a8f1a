"""How Azure knows us: by a signature made with the account's key, or by a token that somebody signed for us.

https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key and .../create-service-sas
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl

# The standard headers that a signature covers, in Azure's order; of the others only those that begin with x-ms-.
_SIGNED = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)


def string_to_sign(
    account: str, method: str, path: str, params: Iterable[tuple[str, str]], headers: Mapping[str, str]
) -> str:
    """What is signed. ``path`` as on the wire, ``params`` not encoded, header names in lower case."""
    signed = [headers.get(name, "") for name in _SIGNED]
    if headers.get("content-length") == "0":
        signed[2] = ""  # so since version 2015-02-21
    own = [f"{name}:{value.strip()}" for name, value in sorted(headers.items()) if name.startswith("x-ms-")]
    query = [f"{name.lower()}:{value}" for name, value in sorted(params)]
    return "\n".join([method, *signed, *own, f"/{account}{path}", *query])


class SharedKey:
    """Signs with the account's key. Raises ValueError where the key cannot be one."""

    def __init__(self, account: str, key: str) -> None:
        self._account = account
        try:
            self._key = base64.b64decode(key.strip(), validate=True)
        except binascii.Error as fault:
            raise ValueError("the account key is not base64") from fault
        if not self._key:
            raise ValueError("the account key is empty")

    def authorization(
        self, method: str, path: str, params: Iterable[tuple[str, str]], headers: Mapping[str, str]
    ) -> str:
        text = string_to_sign(self._account, method, path, params, headers)
        digest = hmac.new(self._key, text.encode(), hashlib.sha256).digest()
        return f"SharedKey {self._account}:{base64.b64encode(digest).decode()}"


def token_params(sas: str) -> dict[str, str]:
    """The query parameters of a SAS token. Raises ValueError where it is none."""
    params = dict(parse_qsl(sas.strip().removeprefix("?"), keep_blank_values=True))
    if not {"sig", "sv", "se"} <= params.keys() and not {"sig", "si"} <= params.keys():
        raise ValueError("not a SAS token: sv, se (or si) and sig are expected in it")
    return params
