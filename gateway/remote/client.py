"""One request and one reply over treq: deadlines, limits, and nothing but our own errors.

(What Twisted's HTTP client leaves to its caller is told beside each remedy. This module is imported with the first
Service, for it loads the whole client.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any

from treq.client import HTTPClient
from treq.cookies import IndexableCookieJar
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.python.failure import Failure
from twisted.web.client import Agent
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from gateway.errors import BackendDown
from gateway.model import Body
from gateway.remote.connections import Connections
from gateway.remote.download import Download
from gateway.remote.patience import Patience
from gateway.remote.replies import Reply, Unreached
from gateway.remote.timing import Timing
from gateway.remote.upload import Upload

RATE = 16 * 1024  # bytes of a body that must move in each idle time

_STASH = b"x-gateway-content-encoding"


class Client:
    """Sends requests to one service. Its errors are BackendDown, CancelledError, and what a request's body raised."""

    def __init__(self, url: str, timing: Timing, most: int, reactor: Any) -> None:
        self._reactor = reactor
        self._timing = timing
        self._connections = Connections(reactor, url, timing.connect, most)
        agent = Agent.usingEndpointFactory(  # type: ignore[no-untyped-call]
            reactor, self._connections, self._connections.pool
        )
        no_cookies = IndexableCookieJar(DefaultCookiePolicy(allowed_domains=()))
        self._treq = HTTPClient(_Untouched(agent), no_cookies)

    async def close(self) -> None:
        """Cut every connection, and return when they are gone."""
        await self._connections.close()

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: Body | None, *, whole: bool, what: str
    ) -> Reply:
        """The reply as soon as its headers are complete. ``body`` has a known size, and is None for GET and HEAD.

        A cancel ends what the service has not wholly got, and everything that keeps nothing there (a GET, a DELETE);
        else the answer is waited for, so that whoever cancelled a put learns whether the blob is there.
        """
        exchange = _Exchange(self._reactor, self._timing, body, what, keeps=method in ("PUT", "POST"))
        sent = Headers({name: [value] for name, value in headers.items()})
        if not sent.hasHeader("accept-encoding"):
            sent.setRawHeaders("accept-encoding", ["identity"])
        # hyperlink's URL keeps every octet of an encoded one; redirects are the caller's business.
        answer = self._treq.request(
            method, url, headers=sent, data=exchange.upload, allow_redirects=False, unbuffered=True
        )
        response = await exchange.outcome(answer)
        return self._reply(method, response, whole, what)

    def _reply(self, method: str, response: Any, whole: bool, what: str) -> Reply:
        headers = {
            name.decode("latin-1").lower(): b",".join(values).decode("latin-1")
            for name, values in response.headers.getAllRawHeaders()
        }
        headers.pop("content-encoding", None)  # treq's
        if (encoding := headers.pop(_STASH.decode(), None)) is not None:
            headers["content-encoding"] = encoding
        size = None if response.length is UNKNOWN_LENGTH else int(response.length)
        if method != "HEAD" and size is not None:
            headers["content-length"] = str(size)  # Twisted keeps it apart
        body = Download(self._reactor, size, self._timing.idle, 1 if whole else RATE, what)
        response.deliverBody(body)
        return Reply(response.code, headers, body)


class _Answer(Deferred[tuple[Any]]):
    """Fires with a response or a Failure in a tuple. It decides itself what a cancel means."""

    def __init__(self, exchange: _Exchange) -> None:
        super().__init__()
        self._exchange = exchange

    def cancel(self) -> None:
        self._exchange.cancel()


class _Exchange:
    """What happens between sending a request and the headers of its reply. ``keeps``: it leaves something there."""

    def __init__(self, clock: Any, timing: Timing, body: Body | None, what: str, *, keeps: bool) -> None:
        self._clock = clock
        self._timing = timing
        self._what = what
        self._keeps = keeps
        self._request: Deferred[Any] | None = None
        self._timer: Any = None
        self._late = ""
        self._cancelled = False
        self.upload: Upload | None = None
        if body is not None:
            assert body.size is not None, "a request's body has a known size"
            self.upload = Upload(body, body.size, self._stop_timer, self._sent)
            self.upload.patience = Patience(clock, timing.idle, RATE, self._stuck)

    async def outcome(self, request: Deferred[Any]) -> Any:
        """The response, or what went wrong as one of our errors."""
        self._request = request
        if self.upload is None or not self.upload.sent:
            self._start_timer(self._timing.connect + self._timing.reply)
        answer = _Answer(self)
        request.addBoth(lambda outcome: answer.callback((outcome,)))
        (outcome,) = await answer
        self._stop_timer()
        early = self.upload is not None and not self.upload.sent
        if self.upload is not None:
            self.upload.stopProducing()
            await self.upload.ended()
        if isinstance(outcome, Failure):
            raise self._meaning(outcome)
        if early and outcome.code < 300:
            raise BackendDown(f"{self._what}: the service is content ({outcome.code}) before it has the whole body")
        return outcome

    def cancel(self) -> None:
        self._cancelled = True
        wholly_there = self.upload is not None and self.upload.sent
        if self._request is not None and not (self._keeps and wholly_there):
            self._request.cancel()

    def _meaning(self, failure: Failure) -> BaseException:
        if self.upload is not None and self.upload.fault is not None:
            return self.upload.fault
        if self._cancelled:
            return CancelledError()
        if self._late:
            return BackendDown(f"{self._what}: the service {self._late}")
        told = "; ".join(dict.fromkeys(_reasons(failure)))
        if isinstance(failure.value, ConnectError | DNSLookupError):
            return Unreached(f"{self._what}: no connection: {told}")
        return BackendDown(f"{self._what}: the exchange broke off: {told}")

    def _stuck(self) -> None:
        self._give_up("takes no more of the body")

    def _sent(self) -> None:
        self._start_timer(self._timing.reply)

    def _start_timer(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self._clock.callLater(seconds, self._give_up, "does not answer")

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _give_up(self, why: str) -> None:
        self._late = why
        if self._request is not None:
            self._request.cancel()


def _reasons(failure: Failure) -> Iterator[str]:
    """What Twisted wrapped into each other, innermost only."""
    inner = getattr(failure.value, "reasons", None)
    if inner:
        for reason in inner:
            yield from _reasons(reason)
    else:
        yield f"{failure.type.__name__ if failure.type else 'error'}: {failure.getErrorMessage()}"


@implementer(IAgent)
class _Untouched:
    """treq asks for gzip and unpacks it, although what was stored as gzip must come back as gzip: hide it from treq."""

    def __init__(self, agent: Any) -> None:
        self._agent = agent

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,  # noqa: N803
    ) -> Deferred[IResponse]:
        assert headers is not None
        own = headers.copy()
        own.setRawHeaders(b"accept-encoding", own.getRawHeaders(b"accept-encoding", [])[:1])  # treq's is the second
        answer: Deferred[IResponse] = self._agent.request(method, uri, own, bodyProducer)
        return answer.addCallback(_hide)


def _hide(response: Any) -> Any:
    encodings = response.headers.getRawHeaders(b"content-encoding")
    if encodings:
        response.headers.removeHeader(b"content-encoding")
        response.headers.setRawHeaders(_STASH, encodings)
    return response
