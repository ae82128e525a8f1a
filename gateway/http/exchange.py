"""One call and its reply on one connection: run the answer, write what it gives, count, and report."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.errors import BackendError, ClientGone, S3Error
from gateway.http.head import Head
from gateway.http.limits import Traffic
from gateway.http.outlet import WrongSize
from gateway.http.reply_writer import BODILESS, framing, head
from gateway.http.request_body import RequestBody
from gateway.model import Body, Call, Facts, Reply, Stretched
from gateway.wire.refusal import refusal

if TYPE_CHECKING:
    from gateway.http.connection import Connection
    from gateway.http.front import Front

log = Logger()

JOINED = 64 * 1024  # a body up to this size goes out in one write with its head
GONE = Reply(499, facts=Facts(code="ClientGone", cause="the client left before the reply"))


class Exchange:
    """Lives from the complete head of a call to the last byte of its reply."""

    __slots__ = (
        "_call",
        "_first",
        "_front",
        "_head",
        "_line",
        "_over",
        "_reply",
        "_running",
        "_started",
        "_whole",
        "body",
        "keep",
        "sent",
    )

    def __init__(self, front: Front, line: Connection, head: Head, call: Call, body: RequestBody) -> None:
        self._front = front
        self._line = line
        self._head = head
        self._call = call
        self.body = body
        self._reply: Reply | None = None
        self._running: Deferred[None] | None = None
        self._started = front.clock.seconds()
        self._first = 0.0
        self._over = False
        self._whole = False  # the last byte of the reply was written
        self.sent = 0
        self.keep = False

    def start(self) -> None:
        self._front.running += 1
        running = Deferred.fromCoroutine(self._run())
        if not self._over:
            self._running = running
            running.addErrback(self._failed).addErrback(self._broken)

    def refuse(self, error: S3Error, status: int | None = None) -> None:
        """Answer a fault below the gate; nothing runs."""
        self._front.running += 1
        self._send_whole(self._refusal(error, status))
        self._done()

    def _refusal(self, error: S3Error, status: int | None = None) -> Reply:
        """The connection ends with a fault below the gate."""
        reply = refusal(self._call, error, Facts())
        return replace(reply, status=status or reply.status, close=True)

    def leave(self) -> None:
        """The client is gone. A reader of its body hears it from the body, so that its clean-up is not cancelled."""
        if not self.body.fail(ClientGone()) and self._running is not None:
            self._running.cancel()

    # -- the way of a reply

    async def _run(self) -> None:
        await self._respond()
        self._done()

    async def _respond(self) -> None:
        reply = await self._front.answer(self._call)
        body = reply.body
        if isinstance(body, bytes):
            self._send_whole(reply)
            return
        try:
            if self._line.lost:
                self._reply = reply
            elif self._head.method == "HEAD" or reply.status in BODILESS:
                self._send(self._opening(reply, body.size))
                self._whole = True
            elif body.size is not None and body.size > JOINED and self._line.plain is not None:
                await self._pour(reply, body, body.size)
            else:
                await self._stream(reply, body)
        finally:
            body.close()

    def _opening(self, reply: Reply, size: int | None) -> bytes:
        self._reply = reply
        self.keep = self._head.keep and not reply.close and self.body.ended and self._line.stays
        if size is None and self._head.old:
            self.keep = False  # only the end of the connection ends this reply
        lines = framing(reply, size, self._head, self.keep)
        return head(reply, self._call.id, self._front.stamp, lines)

    def _send_whole(self, reply: Reply) -> None:
        data = reply.body
        assert isinstance(data, bytes)
        opening = self._opening(reply, len(data))
        if self._head.method == "HEAD" or reply.status in BODILESS:
            self._send(opening)
        elif len(data) <= JOINED:
            self._send(opening + data)
        else:
            self._send(opening)
            self._send(data)
        self._whole = True

    async def _stream(self, reply: Reply, body: Body) -> None:
        """Write the body as the client takes it. The head waits for the first chunk: until then 500 is possible."""
        opening = self._opening(reply, body.size)
        chunked = body.size is None and not self._head.old
        left = body.size
        async for chunk in body:
            if left is not None:
                left -= len(chunk)
                if left < 0:
                    raise WrongSize(f"a body of {body.size} bytes gave more")
            if chunked:
                chunk = b"%x\r\n%b\r\n" % (len(chunk), chunk)
            if opening:
                chunk, opening = (opening + chunk, b"") if len(chunk) <= JOINED else (chunk, self._send(opening))
            self._send(chunk)
            if self._line.stalled:
                await self._line.drained()
        if left:
            raise WrongSize(f"a body of {body.size} bytes gave {left} fewer")
        self._send(opening + (b"0\r\n\r\n" if chunked else b""))
        self._whole = True

    async def _pour(self, reply: Reply, body: Body, size: int) -> None:
        """The same for a large body, past the transport's buffer, from wherever its bytes lie."""
        outlet = self._line.outlet(self._opening(reply, size), size, self._took)
        try:
            async for stretch in body.stretches() if isinstance(body, Stretched) else body:
                await outlet.send(stretch)
            outlet.end()
        finally:
            outlet.close()
            self._line.outlet_closed()
        self._whole = True

    def _send(self, data: bytes) -> bytes:
        if data and not self._line.lost:
            self._took(len(data))
            self._line.send(data)
        return b""

    def _took(self, count: int) -> None:
        if not self.sent:
            self._first = self._front.clock.seconds()
        self.sent += count

    # -- the end of it

    def _failed(self, failure: Failure) -> None:
        """The answer or its body raised. Before the first byte that can be said; after it, only cutting off is true."""
        error = failure.value
        if self._line.lost or isinstance(error, ClientGone):
            self._line.abort()  # nobody to tell; what the answer had to clean up, it did
        elif self.sent:
            self._cut_off(failure)
        else:
            if not isinstance(error, S3Error):
                log.failure("request {request_id} failed", failure, request_id=self._call.id)
                error = S3Error("InternalError", cause=f"{type(error).__name__} outside the gate")
            self._send_whole(self._refusal(error))
        self._done()

    def _cut_off(self, failure: Failure) -> None:
        """A storage's fault in the middle of a body is told in one line; anything else is ours, with its story."""
        error, reply = failure.value, self._reply
        if isinstance(error, BackendError) and reply is not None:
            cause = f"cut off by {type(error).__name__}: {error}"
            key = reply.facts.key.decode(errors="replace")
            log.error("{bucket}/{key!r}: {cause}", bucket=reply.facts.bucket, key=key, cause=cause)
            self._reply = replace(reply, facts=replace(reply.facts, cause=cause))
        else:
            log.failure("the reply to {request_id} was cut off", failure, request_id=self._call.id)
        self._line.abort()

    def _broken(self, failure: Failure) -> None:
        log.failure("request {request_id} could not be ended", failure, request_id=self._call.id)
        self._line.abort()
        if not self._over:
            self._done()

    def _done(self) -> None:
        self._over = True
        self._running = None
        self.body.close()
        front = self._front
        front.running -= 1
        now = front.clock.seconds()
        traffic = Traffic(
            self._head.size + self.body.received,
            self.sent,
            now - self._started,
            self._first - self._started if self.sent else 0.0,
            self._whole and not self._line.lost,
        )
        self._line.exchanged(self)
        front.observe(self._call, self._reply or GONE, traffic)
