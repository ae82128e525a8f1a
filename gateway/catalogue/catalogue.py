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
from gateway.catalogue.copying import PROOF
from gateway.catalogue.damage import Damage
from gateway.catalogue.database import (
    FILE,
    Database,
    connect,
    connect_reader,
    first_row,
    migrate,
    prepare,
    use_wal,
)
from gateway.catalogue.examination import Examination, examine
from gateway.catalogue.faults import CatalogueDamaged, CatalogueFault, CatalogueForgot, Condition
from gateway.catalogue.inventory import Inventory
from gateway.catalogue.listing import Listing
from gateway.catalogue.owners import Owner
from gateway.catalogue.starts import Slots, Starts
from gateway.catalogue.uploads import Uploads
from gateway.catalogue.versions import Versions
from gateway.catalogue.witness import FILE as WITNESS
from gateway.catalogue.witness import Witness, committed, compare, forgive
from gateway.catalogue.writer import Writer
from gateway.errors import S3Error
from gateway.seal import Seal, SealBroken
from gateway.sqlitefile import Exclusive, reserve

log = Logger()


class Catalogue:
    """Everything that is known about objects except their bytes; ``id`` was born with the database file.

    Made by ``open_catalogue``. Every function is one transaction; a write is durable when it returned.
    """

    def __init__(
        self,
        id_: str,
        database: Database,
        writer: Writer,
        owner: Owner,
        seal: Seal,
        witness: Witness,
        condition: Condition,
        examination: Examination,
        found: int,
        slots: Slots | None,
    ) -> None:
        self.id = id_
        self.found = found  # how many changes it had when it was opened
        self.condition = condition
        self._database = database
        self.writer = writer
        self._owner = owner
        self._witness = witness
        self._examination = examination
        pending = Pending()
        self.accounts = Accounts(database, seal)
        self.buckets = Buckets(database)
        self.versions = Versions(database, pending)
        self.listing = Listing(database)
        self.uploads = Uploads(database, owner, pending, self.versions)
        self.blobs = Blobs(database, owner, pending)
        self.starts = Starts(database, slots)
        self.inventory = Inventory(database)
        self.damage = Damage(database)

    @property
    def changes(self) -> int:
        """How many changes were ever committed, by whatever process; where that cannot be read, those that we saw."""
        try:
            ((changes,),) = self._database.rows("SELECT changes FROM about")
        except S3Error:
            return self._witness.changes
        return int(changes)

    def heard(self, changes: int) -> None:
        """A location knows of so many changes. Unless somebody accepts the loss, no later start takes less either."""
        self._witness.heard(changes)

    def look(self) -> None:
        """See what has moved on since the last request: see ``Database.look``. ``accounts.signer`` does it as well."""
        self._database.look()

    async def examine(self) -> None:
        """Read every page, beside serving; what is found is in ``condition`` then."""
        await self._examination.run()

    async def try_to_change(self) -> None:
        """Commit something that says nothing: whether it could be shows in ``condition``. Raises what changes raise."""
        await self._database.run("UPDATE about SET changes = changes", [()], counts=False)

    def close(self) -> Deferred[None]:
        """Write what waits, hand back the leases, and let go of the files. Fires when all is done."""
        return ensureDeferred(self._close())

    async def _close(self) -> None:
        try:
            await self.blobs.hand_back()
            await self._database.run("DELETE FROM owners WHERE id = ?", [(self._owner.id,)], counts=False)
        except S3Error as fault:  # a full disk: whoever starts next sweeps up after us as after a process that died
            log.warn("the catalogue closes without handing back its leases: {cause}", cause=fault.cause or fault.code)
        await self._examination.stop()
        await self.writer.stop()
        self._database.reader.close()
        self._witness.close()
        self._owner.release()


def open_catalogue(
    folder: Path,
    seal: Seal,
    *,
    clock: Callable[[], float] = time.time,
    reactor: IReactorFromThreads | None = None,
    accept_loss: bool = False,
    slots: Slots | None = None,
) -> Catalogue:
    """Open (or make) ``folder/catalogue.sqlite`` and bring its schema up to date.

    ``reactor``: the running one, on whose thread everything is called and answered; None means Twisted's global one.
    ``slots``: where the processes of a gateway tell each other which writes are under way; None: only we write.
    ``accept_loss``: go on with a catalogue that forgot changes; what lies in a location and is not known is kept then.
    Raises CatalogueFault: a newer or foreign file, another sealing key, no rights, a broken disk; CatalogueForgot.
    """
    owner, path = Owner(folder), folder / FILE
    witness: Witness | None = None
    try:
        if (folder / WITNESS).exists() and not path.exists():
            raise CatalogueForgot(f"{path} is gone, and {folder / WITNESS} tells that it was here")
        prepare(folder)
        witness = Witness(folder)
        id_, found = _begin(path, seal, owner, witness, accept_loss=accept_loss)
        reader = connect_reader(path)
    except BaseException as fault:
        owner.release()
        if witness is not None:
            witness.close()
        if isinstance(fault, apsw.IOError) and getattr(fault, "extendedresult", 0) == apsw.SQLITE_IOERR_DATA:
            raise CatalogueDamaged(f"{path} is damaged: a page is not what was written") from fault
        if isinstance(fault, (apsw.Error, OSError)):
            raise CatalogueFault(f"{folder}: {type(fault).__name__}: {fault}") from fault
        raise
    reactor = reactor or _global_reactor()
    condition = Condition()
    writer = Writer(
        partial(connect, path),
        reactor,
        witness=witness,
        condition=condition,
        examine=partial(examine, path=path, witness=witness),
    )
    database = Database(reader, writer, clock, condition)
    examination = Examination(partial(connect, path), partial(examine, path=path, witness=witness), condition, reactor)
    return Catalogue(id_, database, writer, owner, seal, witness, condition, examination, found, slots)


def _begin(path: Path, seal: Seal, owner: Owner, witness: Witness, *, accept_loss: bool) -> tuple[str, int]:
    """What is done once, before the writer runs; gives the catalogue's id, and how many changes it came with."""
    connection = connect(path)
    try:
        reserve(connection)
        use_wal(connection)
        migrate(connection)
        owner.claim()
        with Exclusive(connection):
            said = witness.said()
            if not accept_loss:
                compare(str(path), first_row(connection, "SELECT id, changes FROM about"), said)
            id_ = _identity(connection, seal)
            owner.register(connection)
            if accept_loss:
                forgive(connection, at_least=said[1] if said else 0)
            changes = committed(connection)
        witness.begin(id_, changes)
    finally:
        connection.close()
    return id_, changes


def _identity(connection: apsw.Connection, seal: Seal) -> str:
    """The catalogue's id, drawn at its birth. CatalogueFault where its secrets were sealed under another key."""
    row = first_row(connection, "SELECT id, proof FROM about")
    if row is None:
        id_ = secrets.token_hex(16)
        connection.execute(
            "INSERT INTO about (one, id, proof, generation, epoch, live, doomed) VALUES (1, ?, ?, 0, 0, 0, 0)",
            (id_, seal.close(id_.encode(), PROOF)),
        )
        return id_
    try:
        seal.open(row[1], PROOF)
    except SealBroken as fault:
        raise CatalogueFault(f"{connection.filename}: made under another sealing key") from fault
    return str(row[0])


def _global_reactor() -> IReactorFromThreads:
    from twisted.internet import reactor  # importing it installs it, so not before it is wanted

    return cast("IReactorFromThreads", reactor)
