"""The only room that knows HTTP framing: bytes from clients become calls, replies become bytes."""

from gateway.http.front import Front
from gateway.http.limits import Limits, Traffic

__all__ = ["Front", "Limits", "Traffic"]
