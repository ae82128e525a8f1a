"""User metadata outside ASCII: encoded words (RFC 2047), as S3 takes and gives them.

Source: "Working with object metadata" (user guide): such a value "is decoded as per RFC 2047 before storing and encoded
as per RFC 2047 before returning".
"""

from __future__ import annotations

import base64
import binascii
import quopri
import re

_WORD = re.compile(r"=\?([A-Za-z0-9_-]{1,32})\?([BbQq])\?([!->@-~]*)\?=")
_BETWEEN_WORDS = re.compile(r"(?<=\?=)[ \t]+(?==\?[A-Za-z0-9_-]{1,32}\?[BbQq]\?)")


def decode(value: str) -> str:
    """The text that a header value means; a word that cannot be read stays as it is."""
    if "=?" not in value:
        return value
    return _WORD.sub(_decoded, _BETWEEN_WORDS.sub("", value))


def _decoded(word: re.Match[str]) -> str:
    charset, kind, text = word.groups()
    try:
        if kind in "Bb":
            raw = base64.b64decode(text, validate=True)
        else:
            raw = quopri.decodestring(text.replace("_", " ").encode("ascii"))
        return raw.decode(charset)
    except (binascii.Error, ValueError, LookupError):
        return word[0]


def encode(text: str) -> str:
    """A header value that means ``text``: itself where it is ASCII, else one encoded word."""
    if text.isascii():
        return text
    return f"=?UTF-8?B?{base64.b64encode(text.encode()).decode('ascii')}?="
