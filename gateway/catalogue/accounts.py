"""Accounts and their access keys. Secrets lie sealed; opened ones are kept in memory until anything changes."""

from __future__ import annotations

import secrets
from typing import Any

import apsw

from gateway.catalogue.database import Database, Kept, move_on
from gateway.catalogue.faults import CatalogueFault
from gateway.model import AccessKey, Account
from gateway.seal import Seal

_ACCOUNT = "a.id, a.name, a.display_name, a.email"


class Taken(Exception):
    """The name or id is in use already."""


class Accounts:
    """Who may sign requests.

    ``signer`` is asked with every request, so it answers from memory; the catalogue's generation, which each change
    of an account or key moves on, is looked at anew each time, so a revoked key is refused at once by every process.
    """

    def __init__(self, database: Database, seal: Seal) -> None:
        self._database = database
        self._seal = seal
        self._signers = Kept(database, self._signer)

    async def add(
        self, name: str, *, canonical_id: str | None = None, display_name: str | None = None, email: str | None = None
    ) -> Account:
        """A new account; without ``canonical_id`` 64 random hex digits. Raises Taken."""
        account = Account(canonical_id or secrets.token_hex(32), name, display_name or name, email)
        now = self._database.now()

        def change(connection: apsw.Connection) -> None:
            move_on(connection)
            connection.execute(
                "INSERT INTO accounts (id, name, display_name, email, created) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                (account.id, account.name, account.display_name, account.email, now),
            )
            if not connection.changes():
                raise Taken(f"an account of the name {name!r} or with its id exists already")

        await self._database.change(change)
        return account

    async def find(self, name: str) -> Account | None:
        """The account of that name."""
        return _account(self._database.row(f"SELECT {_ACCOUNT} FROM accounts a WHERE a.name = ?", (name,)))

    async def by_id(self, account_id: str) -> Account | None:
        """The account of that canonical id."""
        return _account(self._database.row(f"SELECT {_ACCOUNT} FROM accounts a WHERE a.id = ?", (account_id,)))

    async def all(self) -> list[Account]:
        """Every account, by name."""
        return [Account(*row) for row in self._database.rows(f"SELECT {_ACCOUNT} FROM accounts a ORDER BY a.name")]

    async def add_key(self, account_id: str, access_key: str, secret: str) -> AccessKey:
        """A key pair for an account. Raises Taken, CatalogueFault where there is no such account."""
        now = self._database.now()
        sealed = self._seal.close(secret.encode(), _purpose(access_key))

        def change(connection: apsw.Connection) -> None:
            move_on(connection)
            if not connection.execute("SELECT 1 FROM accounts WHERE id = ?", (account_id,)).fetchall():
                raise CatalogueFault(f"there is no account with the id {account_id}")
            connection.execute(
                "INSERT INTO access_keys (access_key, account, secret, created) VALUES (?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                (access_key, account_id, sealed, now),
            )
            if not connection.changes():
                raise Taken(f"the access key {access_key!r} is in use already")

        await self._database.change(change)
        return AccessKey(access_key, account_id, now / 1000)

    async def remove_key(self, access_key: str) -> bool:
        """Revoke a key pair; False where there was none."""

        def change(connection: apsw.Connection) -> bool:
            move_on(connection)
            connection.execute("DELETE FROM access_keys WHERE access_key = ?", (access_key,))
            return connection.changes() > 0

        return await self._database.change(change)

    async def keys(self, account_id: str | None = None) -> list[AccessKey]:
        """The access keys of an account, or all; oldest first."""
        rows = self._database.rows(
            "SELECT access_key, account, created FROM access_keys WHERE ?1 IS NULL OR account = ?1"
            " ORDER BY created, access_key",
            (account_id,),
        )
        return [AccessKey(access_key, account, created / 1000) for access_key, account, created in rows]

    async def signer(self, access_key: str) -> tuple[Account, str] | None:
        """Account and secret of an access key. Raises SealBroken where the stored secret was changed."""
        self._database.look()
        return self._signers.get(access_key)

    def _signer(self, access_key: str) -> tuple[Account, str] | None:
        row = self._database.row(
            f"SELECT {_ACCOUNT}, k.secret FROM access_keys k JOIN accounts a ON a.id = k.account"
            " WHERE k.access_key = ?",
            (access_key,),
        )
        return row and (Account(*row[:4]), self._seal.open(row[4], _purpose(access_key)).decode())


def _account(row: Any | None) -> Account | None:
    return None if row is None else Account(*row)


def _purpose(access_key: str) -> bytes:
    return b"key:" + access_key.encode()
