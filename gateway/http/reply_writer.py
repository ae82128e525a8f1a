"""Heads of replies, and the replies to what is not even a call."""

from __future__ import annotations

import base64
import os
import time
from email.utils import formatdate
from http import HTTPStatus

from gateway.http.head import Head
from gateway.model import Reply

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
BODILESS = frozenset((204, 304))


class Stamp:
    """The header lines that are the same in every reply of one second: Server, Date and x-amz-id-2."""

    __slots__ = ("_second", "_text", "host_id")

    def __init__(self) -> None:
        self.host_id = base64.b64encode(os.urandom(24)).decode()  # which process answered, and nothing else
        self._second = 0
        self._text = ""

    def text(self) -> str:
        second = int(time.time())
        if second != self._second:
            self._second = second
            date = formatdate(second, usegmt=True)
            self._text = f"Server: txgateway\r\nDate: {date}\r\nx-amz-id-2: {self.host_id}\r\nx-amz-request-id: "
        return self._text


def head(reply: Reply, request_id: str, stamp: Stamp, framing: str) -> bytes:
    """The head of ``reply``; ``framing`` are whole header lines. Raises ValueError where a header would break it."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in reply.headers])
    count = len(reply.headers)
    if lines.count("\r") != count or lines.count("\n") != count or "\0" in lines:
        raise ValueError("a reply header holds a line end")
    status = STATUS_LINES.get(reply.status) or f"HTTP/1.1 {reply.status} Unknown\r\n"
    return f"{status}{stamp.text()}{request_id}\r\n{lines}{framing}\r\n".encode()


def framing(reply: Reply, size: int | None, head: Head, keep: bool) -> str:
    """The header lines that tell where the reply ends. ``size``: the body's, None where only the end tells."""
    end = "" if keep else "Connection: close\r\n"
    if reply.status == 204:
        return end
    if reply.length is not None and (head.method == "HEAD" or reply.status == 304):
        size = reply.length
    elif reply.status == 304:
        return end
    if size is not None:
        return f"Content-Length: {size}\r\n{end}"
    return end if head.old or head.method == "HEAD" else f"Transfer-Encoding: chunked\r\n{end}"
