"""One SSH connection with one SFTP session on it: made when it is first needed, and again after it was lost."""

from __future__ import annotations

import struct
from collections.abc import Awaitable
from typing import Any

from twisted.conch.ssh.channel import SSHChannel
from twisted.conch.ssh.common import NS
from twisted.conch.ssh.connection import SSHConnection
from twisted.conch.ssh.filetransfer import (
    FX_NO_SUCH_FILE,
    FX_PERMISSION_DENIED,
    ClientFile,
    FileTransferClient,
    SFTPError,
)
from twisted.conch.ssh.keys import Key
from twisted.conch.ssh.transport import SSHClientTransport
from twisted.conch.ssh.userauth import SSHUserAuthClient
from twisted.internet.defer import Deferred, DeferredLock, DeferredSemaphore, ensureDeferred, fail, succeed
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectError, ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from gateway import api

PIECE = 32 * 1024  # what every SFTP server takes and gives at once
PIECES = 32  # of all reads and writes under way: together they fit into OpenSSH's window of 2 MiB
REPLACE, SYNC, SPACE = b"posix-rename@openssh.com", b"fsync@openssh.com", b"statvfs@openssh.com"


class Finished(Deferred[Any]):
    """The outcome of ``work``, whatever happens to the one who waits: what was sent cannot be called back."""

    def __init__(self, work: Awaitable[Any]) -> None:
        super().__init__()
        ensureDeferred(work).chainDeferred(self)

    def cancel(self) -> None:
        pass


class Session(FileTransferClient):
    """conch's client with OpenSSH's extensions, a limit and a time-out; SFTP's errors come out as the gateway's."""

    def __init__(self, reactor: Any, seconds: float, ready: Deferred[Session], abort: Any) -> None:
        super().__init__()
        self.pieces = DeferredSemaphore(PIECES)
        self._reactor, self._seconds, self._ready, self._abort = reactor, seconds, ready, abort

    def gotServerVersion(self, version: int, extensions: dict[bytes, bytes]) -> None:
        missing = [name.decode() for name in (REPLACE, SYNC, SPACE) if name not in extensions]
        if missing:
            why = f"the SFTP server lacks {', '.join(missing)}"
            self._ready.errback(api.BackendUnfit(why, key="sftp.host", fix="use OpenSSH's sftp-server"))
        else:
            self._ready.callback(self)

    async def ask(self, request: Deferred[Any], what: str) -> Any:
        """The answer to one request. A server that does not answer in time loses the connection."""
        timer = self._reactor.callLater(self._seconds, self._abort)
        try:
            return await Finished(request)
        except SFTPError as refused:
            if refused.code == FX_NO_SUCH_FILE:
                raise api.BlobMissing(what) from refused
            if refused.code == FX_PERMISSION_DENIED:
                raise api.BackendDenied(f"{what}: permission denied") from refused
            raise api.BackendDown(f"{what}: {refused.message or 'failure'}") from refused
        except (ConnectionLost, ConnectionDone) as lost:
            raise api.BackendDown(f"{what}: the connection was lost") from lost
        finally:
            if timer.active():
                timer.cancel()

    def replace(self, old: str, new: str) -> Deferred[Any]:
        return self.extendedRequest(REPLACE, NS(old.encode()) + NS(new.encode()))

    def sync(self, file: ClientFile) -> Deferred[Any]:
        return self.extendedRequest(SYNC, file.handle)

    async def free(self, path: str) -> int:
        """Bytes that we may still write below ``path``."""
        answer = await self.ask(self.extendedRequest(SPACE, NS(path.encode())), path)
        _, unit, _, _, available = struct.unpack_from("!5Q", answer)
        return int(unit * available)

    async def read(self, file: ClientFile, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes; none at the end of the file."""
        await self.pieces.acquire()
        try:
            return bytes(await self.ask(file.readChunk(offset, length), "read"))
        except EOFError:
            return b""
        finally:
            self.pieces.release()


class Line:
    """``session()`` gives the session of now; ``close()`` ends it. Many may ask at once."""

    def __init__(self, reactor: Any, host: str, port: int, login: Login, seconds: float) -> None:
        self._endpoint = HostnameEndpoint(reactor, host, port, timeout=seconds)
        self._reactor, self._login, self._seconds = reactor, login, seconds
        self._where = f"{host}:{port}"
        self._lock = DeferredLock()
        self._session: Session | None = None
        self._transport: _Transport | None = None

    async def session(self) -> Session:
        await self._lock.acquire()
        try:
            if self._session is None or not self._session.connected:
                await Finished(self._connect())
            assert self._session is not None
            return self._session
        finally:
            self._lock.release()

    async def _connect(self) -> None:
        await self.close()
        ready: Deferred[Session] = Deferred()
        factory = Factory.forProtocol(lambda: _Transport(self._reactor, self._login, self._seconds, ready))
        try:
            self._transport = await self._endpoint.connect(factory)
            self._session = await ready.addTimeout(self._seconds, self._reactor)
        except api.BackendError:
            await self.close()
            raise
        except (ConnectError, ConnectionLost, ConnectionDone, TimeoutError) as reason:
            await self.close()
            raise api.BackendDown(f"{self._where}: {reason or type(reason).__name__}") from reason

    async def close(self) -> None:
        transport, self._transport, self._session = self._transport, None, None
        if transport is not None:
            transport.loseConnection()
            timer = self._reactor.callLater(self._seconds, transport.abort)
            await Finished(transport.gone)
            if timer.active():
                timer.cancel()


class Login:
    """Who we are, and who the server must be."""

    def __init__(self, user: str, key: Key, host_key: Key) -> None:
        self.user, self.key, self.host_key = user.encode(), key, host_key


class _Transport(SSHClientTransport):
    def __init__(self, reactor: Any, login: Login, seconds: float, ready: Deferred[Session]) -> None:
        self.login, self.ready = login, ready
        self.gone: Deferred[None] = Deferred()
        self._client = Session(reactor, seconds, ready, self.abort)

    def verifyHostKey(self, shown: bytes, fingerprint: bytes) -> Deferred[int]:
        if shown == self.login.host_key.blob():
            return succeed(1)
        text = Key.fromString(shown).public().toString("OPENSSH").decode()
        why = f"the server shows another key than sftp.host_key: {text}"
        self._refuse(api.BackendUnfit(why, key="sftp.host_key", fix="find out who answers there, then correct it"))
        return fail(ConnectionLost(why))

    def connectionSecure(self) -> None:
        self.requestService(_Auth(self.login, self._refuse, _Connection(self._client, self._refuse)))

    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)
        self._refuse(ConnectionLost("the server closed the connection"))
        self.gone.callback(None)

    def abort(self) -> None:
        self.transport.abortConnection()

    def _refuse(self, fault: Exception) -> None:
        if not self.ready.called:
            self.ready.errback(fault)


class _Auth(SSHUserAuthClient):
    def __init__(self, login: Login, refuse: Any, connection: _Connection) -> None:
        super().__init__(login.user, connection)
        self._login, self._refuse, self._asked = login, refuse, False

    def getPublicKey(self) -> Key | None:
        if self._asked:  # our only key was refused
            self._refuse(api.BackendDenied(f"the server refuses the key of {self._login.user.decode()}"))
            return None
        self._asked = True
        return self._login.key.public()

    def getPrivateKey(self) -> Deferred[Key]:
        return succeed(self._login.key)

    def getPassword(self, prompt: Any = None) -> None:
        return None


class _Connection(SSHConnection):
    def __init__(self, client: Session, refuse: Any) -> None:
        super().__init__()
        self._client, self._refuse = client, refuse

    def serviceStarted(self) -> None:
        super().serviceStarted()
        self.openChannel(_Channel(self._client, self._refuse, conn=self))


class _Channel(SSHChannel):
    name = b"session"

    def __init__(self, client: Session, refuse: Any, conn: _Connection) -> None:
        super().__init__(localWindow=2 * 1024 * 1024, conn=conn)
        self._client, self._refuse = client, refuse

    def openFailed(self, reason: Any) -> None:
        self._refuse(api.BackendDown("the server opens no session"))

    def channelOpen(self, data: bytes) -> None:
        asked = self.conn.sendRequest(self, b"subsystem", NS(b"sftp"), wantReply=True)
        asked.addCallbacks(self._begin, lambda reason: self._refuse(api.BackendDown("the server offers no SFTP")))

    def _begin(self, _: object) -> None:
        self._client.makeConnection(self)

    def dataReceived(self, data: bytes) -> None:
        self._client.dataReceived(data)

    def closed(self) -> None:
        self._client.connectionLost(Failure(ConnectionLost("the SFTP session ended")))
