"""The account that holds the container: reached with a token that is cached, and renewed once for all who need it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping

from twisted.internet.defer import DeferredLock

from gateway.api import BackendBusy, BackendError, Outgoing, Reply, Service, Timing, Values
from gateway_openstack.answers import TokenRefused, judge_swift
from gateway_openstack.identity import Identity, Token

_MARGIN = 60.0  # seconds before its end that a token is renewed, or a fifth of its life


class Account:
    """``clock`` counts the seconds of the tokens' lives."""

    def __init__(self, values: Values, clock: Callable[[], float] = time.monotonic) -> None:
        self._timing = Timing.read(values, "openstack")
        self._identity = Identity(values)
        self._door = Service(self._identity.url, _unsigned, timing=self._timing)
        self._accounts: dict[str, Service] = {}
        self._clock = clock
        self._token: Token | None = None
        self._due: float | None = None
        self._lock = DeferredLock()
        self._failures = 0
        self._fault: BackendError | None = None

    def open(self) -> None:
        self._door.open()

    async def close(self) -> None:
        self._token = None
        await self._door.close()
        while self._accounts:
            await self._accounts.popitem()[1].close()

    async def with_token(self, go: Callable[[Service], Awaitable[Reply]], again: bool = True) -> Reply:
        """Ask with the current token, and once more with another one where it is refused."""
        token = await self._current()
        try:
            return await go(self._accounts[token.url])
        except TokenRefused as refused:
            token = await self._current(refused=token)
            if not again:  # the body is gone; the next attempt of whoever sent it will find the new token
                raise BackendBusy(f"the token ended while a body was sent ({refused})", after=1) from refused
        return await go(self._accounts[token.url])

    async def _current(self, refused: Token | None = None) -> Token:
        """A token that is good for a while and is not ``refused``; one renewal serves all who wait for it."""
        token = self._good(refused)
        if token is not None:
            return token
        failures = self._failures
        await self._lock.acquire()
        try:
            token = self._good(refused)
            if token is not None:
                return token
            if self._fault is not None and self._failures != failures:
                raise self._fault  # what was tried while we waited counts for us as well
            try:
                return await self._renew()
            except BackendError as fault:
                self._failures += 1
                self._fault = fault
                raise
        finally:
            self._lock.release()

    def _good(self, refused: Token | None) -> Token | None:
        due = self._due is not None and self._clock() >= self._due
        return None if due or self._token is refused else self._token

    async def _renew(self) -> Token:
        identity = self._identity
        reply = await self._door.ask(
            identity.method,
            identity.path,
            headers=identity.headers(),
            body=identity.body(),
            expect=(200, 201, 203, 204),
        )
        token = identity.read(reply)
        if token.url not in self._accounts:
            self._accounts[token.url] = account = Service(token.url, self._sign, judge=judge_swift, timing=self._timing)
            account.open()
        self._token = token
        self._due = None if token.life is None else self._clock() + token.life - min(_MARGIN, token.life / 5)
        return token

    async def _sign(self, request: Outgoing) -> Mapping[str, str]:
        return {**request.headers, "X-Auth-Token": self._token.text if self._token else ""}


async def _unsigned(request: Outgoing) -> Mapping[str, str]:
    return request.headers
