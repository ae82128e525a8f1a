"""Names that the folder takes: opaque names, none of which a file system can misread."""

from __future__ import annotations

import re

from gateway.api import BackendDenied
from gateway_local.folder import DEPTH, SEGMENT, Name

_LONGEST = 80
_NAME = re.compile(f"{SEGMENT.pattern}(?:/{SEGMENT.pattern}){{0,{DEPTH - 1}}}")


def refuses(name: str) -> str | None:
    """Why ``name`` cannot be kept: it is not ``[a-z0-9]{1,40}(/[a-z0-9]{1,40}){0,2}`` of at most 80 characters."""
    if len(name) > _LONGEST or not _NAME.fullmatch(name):
        return f"{name[:100]!r} is not one to three segments of a-z and 0-9, at most 80 characters"
    return None


def segments(name: str) -> Name:
    """The name's parts. Raises BackendDenied."""
    if reason := refuses(name):
        raise BackendDenied(reason)
    return tuple(name.split("/"))
