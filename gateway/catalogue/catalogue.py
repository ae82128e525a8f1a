"""The catalogue as the other rooms see it: opened once and closed once per process."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

import apsw
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger

from gateway.catalogue.accounts import Accounts
from gateway.catalogue.blobs import Blobs, Pending
from gateway.catalogue.buckets import Buckets
from gateway.catalogue.database import (
    Database,
    Exclusive,
    connect,
    connect_reader,
    first_row,
    migrate,
    prepare,
    use_wal,
)
from gateway.catalogue.listing import Listing
from gateway.catalogue.owners import Owner
from gateway.catalogue.uploads import Uploads
from gateway.catalogue.versions import Versions
from gateway.catalogue.writer import CatalogueFault, Writer
from gateway.errors import S3Error
from gateway.seal import Seal, SealBroken

log = Logger()

_PROOF = b"catalogue"


class Catalogue:
    """Everything that is known about objects except their bytes; ``id`` was born with the database file.

    Made by ``open_catalogue``. Every function is one transaction; a write is durable when it returned.
    """

    def __init__(self, id_: str, database: Database, writer: Writer, owner: Owner, seal: Seal) -> None:
        self.id = id_
        self._database = database
        self._writer = writer
        self._owner = owner
        pending = Pending()
        self.accounts = Accounts(database, seal)
        self.buckets = Buckets(database)
        self.versions = Versions(database, pending)
        self.listing = Listing(database)
        self.uploads = Uploads(database, owner, pending, self.versions)
        self.blobs = Blobs(database, owner, pending)

    def close(self) -> Deferred[None]:
        """Write what waits, hand back the leases, and let go of the files. Fires when all is done."""
        return ensureDeferred(self._close())

    async def _close(self) -> None:
        try:
            await self.blobs.hand_back()
            await self._database.run("DELETE FROM owners WHERE id = ?", [(self._owner.id,)])
        except S3Error as fault:  # a full disk: whoever starts next sweeps up after us as after a process that died
            log.warn("the catalogue closes without handing back its leases: {cause}", cause=fault.cause or fault.code)
        await self._writer.stop()
        self._database.reader.close()
        self._owner.release()


def open_catalogue(
    folder: Path,
    seal: Seal,
    *,
    clock: Callable[[], float] = time.time,
    reactor: IReactorFromThreads | None = None,
) -> Catalogue:
    """Open (or make) ``folder/catalogue.sqlite`` and bring its schema up to date.

    ``reactor``: the running one, on whose thread everything is called and answered; None means Twisted's global one.
    Raises CatalogueFault: a newer or foreign file, another sealing key, no rights, a broken disk.
    """
    owner = Owner(folder)
    try:
        path = prepare(folder)
        connection = connect(path)
        try:
            use_wal(connection)
            migrate(connection)
            owner.claim()
            with Exclusive(connection):
                id_ = _identity(connection, seal)
                owner.register(connection)
        finally:
            connection.close()
        reader = connect_reader(path)
    except (apsw.Error, OSError) as fault:
        owner.release()
        raise CatalogueFault(f"{folder}: {type(fault).__name__}: {fault}") from fault
    except BaseException:
        owner.release()
        raise
    writer = Writer(partial(connect, path), reactor or _global_reactor())
    return Catalogue(id_, Database(reader, writer, clock), writer, owner, seal)


def _identity(connection: apsw.Connection, seal: Seal) -> str:
    """The catalogue's id, drawn at its birth. CatalogueFault where its secrets were sealed under another key."""
    row = first_row(connection, "SELECT id, proof FROM about")
    if row is None:
        id_ = secrets.token_hex(16)
        connection.execute(
            "INSERT INTO about (one, id, proof, generation, epoch, live, doomed) VALUES (1, ?, ?, 0, 0, 0, 0)",
            (id_, seal.close(id_.encode(), _PROOF)),
        )
        return id_
    try:
        seal.open(row[1], _PROOF)
    except SealBroken as fault:
        raise CatalogueFault(f"{connection.filename}: made under another sealing key") from fault
    return str(row[0])


def _global_reactor() -> IReactorFromThreads:
    from twisted.internet import reactor  # importing it installs it, so not before it is wanted

    return cast("IReactorFromThreads", reactor)
