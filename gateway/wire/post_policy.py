"""The policy of a form upload: until when it holds, and what each field of the form may say.

Source: "POST Policy" in S3's API Reference (sigv4-HTTPPOSTConstructPolicy.html). The messages are S3's own.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from gateway.errors import S3Error
from gateway.model.record import record

LARGEST = 5 * 1024**3  # S3: one POST carries at most 5 GiB
# Bytes behind the file that nobody minds: what follows it is ignored, so the Content-Length is no proof of its size.
_SPARE = 64 * 1024

_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_AMOUNT = re.compile(r"[0-9]{1,18}")
_EQ, _STARTS, _RANGE = "eq", "starts-with", "content-length-range"
# Fields that no condition has to allow (V2 signs with the last two).
_UNCONDITIONAL = frozenset(("file", "policy", "x-amz-signature", "signature", "awsaccesskeyid"))


@record(frozen=True, slots=True)
class Bounds:
    """How many bytes a file may have, both ends included."""

    least: int = 0
    most: int = LARGEST

    def check_announced(self, most: int) -> None:
        """Refuse what the Content-Length proves to be outside: a file has at most ``most`` bytes, or (where no line
        end follows the form) two more."""
        if most + 2 < self.least:
            raise self.too_small(most)
        if most > self.most + _SPARE:
            raise self.too_large(most)

    def too_small(self, size: int) -> S3Error:
        return S3Error("EntityTooSmall", fields={"ProposedSize": str(size), "MinSizeAllowed": str(self.least)})

    def too_large(self, size: int) -> S3Error:
        return S3Error("EntityTooLarge", fields={"ProposedSize": str(size), "MaxSizeAllowed": str(self.most)})


@record(frozen=True, slots=True)
class Condition:
    """``prefix``: the field begins with ``value``, else it is ``value``. ``text``: as S3 shows it."""

    field: str
    value: str
    prefix: bool
    text: str

    def holds(self, given: str | None) -> bool:
        if given is None:
            return False
        if not self.prefix:
            return given == self.value
        # A Content-Type may be a list, and then each member counts.
        members = given.split(",") if self.field == "content-type" else [given]
        return all((one.strip(" \t") if len(members) > 1 else one).startswith(self.value) for one in members)


@record(frozen=True, slots=True)
class Policy:
    """``expiration``: epoch seconds."""

    expiration: float
    conditions: tuple[Condition, ...]
    bounds: Bounds

    def check(self, fields: Mapping[str, str], bucket: str, now: float) -> None:
        """Raises AccessDenied. ``fields``: lower-case names; the bucket is the one that the call names."""
        if self.expiration <= now:
            raise expired()
        given = {**fields, "bucket": bucket}
        for condition in self.conditions:
            if not condition.holds(given.get(condition.field)):
                raise _denied(f"Policy Condition failed: {condition.text}")
        allowed = {condition.field for condition in self.conditions}
        extra = [
            name
            for name in given
            if name not in allowed and name not in _UNCONDITIONAL and not name.startswith("x-ignore-")
        ]
        if extra:
            raise _denied(f"Extra input fields: {', '.join(sorted(extra))}")


def expired() -> S3Error:
    """S3's answer to a form that came too late."""
    return _denied("Policy expired.")


def _denied(why: str) -> S3Error:
    return S3Error("AccessDenied", f"Invalid according to Policy: {why}")


def _invalid(why: str) -> S3Error:
    return S3Error("InvalidPolicyDocument", f"Invalid Policy: {why}")


def read(encoded: str) -> Policy:
    """A policy from its base64. Raises InvalidPolicyDocument; AccessDenied for a condition that can never hold."""
    text = _decoded(encoded)
    document = _document(text)
    for name in document:
        if name not in ("expiration", "conditions"):
            raise _invalid(f'Unexpected: "{name[:64]}"')
    if "expiration" not in document:
        raise _invalid("Policy missing expiration.")
    if "conditions" not in document:
        raise _invalid("Policy missing conditions.")
    rows = document["conditions"]
    if not isinstance(rows, list):
        raise _invalid("Invalid 'conditions' value: must be a List.")
    expiration = _expiration(document["expiration"])
    conditions, bounds = [], Bounds()
    for row in rows:
        found = _condition(row)
        if isinstance(found, Condition):
            conditions.append(found)
        else:
            bounds = Bounds(max(bounds.least, found.least), min(bounds.most, found.most))
    return Policy(expiration, tuple(conditions), bounds)


def _decoded(encoded: str) -> str:
    encoded = encoded.strip(" \t\r\n")
    if not encoded:
        raise _invalid("Expecting '{' but found End-of-Input")
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True).decode("utf-8")
    except UnicodeDecodeError:
        raise _invalid("Invalid JSON.") from None
    except (binascii.Error, ValueError):
        raise _invalid("invalid Base64 encoding.") from None


def _document(text: str) -> dict[str, Any]:
    r"""The JSON object. S3 knows two escapes beside JSON's own: ``\$`` is a dollar, ``\v`` a vertical tab."""
    escapes = {"$": "$", "v": "\\u000b"}
    try:
        found = json.loads(
            _ESCAPE.sub(lambda escape: escapes.get(escape[1], escape[0]), text),
            object_pairs_hook=_once,
            parse_constant=_refused,
            parse_float=_refused,
        )
    except (ValueError, RecursionError):  # RecursionError: more brackets than a policy has use for
        raise _invalid("Invalid JSON.") from None
    if not isinstance(found, dict):
        raise _invalid("Invalid JSON.")
    return found


def _refused(text: str) -> None:
    raise ValueError(text)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found


def _expiration(value: Any) -> float:
    if not isinstance(value, str):
        raise _invalid("Invalid JSON.")
    try:
        if _ISO.fullmatch(value):
            return datetime.fromisoformat(value).timestamp()
    except (ValueError, OverflowError):
        pass
    raise _invalid(f"Invalid 'expiration' value: '{value[:64]}'")


def _condition(row: Any) -> Condition | Bounds:
    if isinstance(row, dict):
        return _simple(row)
    if not isinstance(row, list):
        raise _invalid("Invalid condition test: must be a List or Object.")
    if not row:
        raise _invalid("Invalid Condition: missing operation identifier.")
    if not isinstance(row[0], str):
        raise _invalid("Invalid JSON.")
    operation = row[0].lower()
    if operation not in (_EQ, _STARTS, _RANGE):
        raise _invalid(f"Invalid Condition: unknown operation '{row[0][:64]}'.")
    if len(row) != 3:
        raise _invalid(f"Invalid {operation}: wrong number of arguments.")
    if operation == _RANGE:
        return Bounds(_amount(row[1]), _amount(row[2]))
    field, value = row[1], row[2]
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(field, str) or not isinstance(value, str):
        raise _invalid("Invalid JSON.")
    shown = _shown(row)
    if field[:1] != "$" or not field[1:]:
        raise _denied(f"Policy Condition failed: {shown}")
    return Condition(field[1:].lower(), value, operation == _STARTS, shown)


def _simple(row: dict[str, Any]) -> Condition:
    if len(row) != 1:
        raise _invalid("Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.")
    [(field, value)] = row.items()
    if not isinstance(value, str):
        raise _invalid("Invalid Simple-Condition: value must be a string.")
    return Condition(field.lower(), value, False, _shown([_EQ, "$" + field, value]))


def _shown(row: list[Any]) -> str:
    """The condition as S3 shows it, whatever its blanks were."""
    return json.dumps(row, ensure_ascii=False)


def _amount(value: Any) -> int:
    """A number of bytes; S3 also takes one in quotes."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _AMOUNT.fullmatch(text):
        raise _invalid("Invalid JSON.")
    return int(text)
