"""After a restart: everything is read back, the lists agree with it, and the storage agrees with the catalogue."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import apsw

from tests.campaign.actor import Actor, Upload
from tests.campaign.history import History
from tests.campaign.linear import Op
from tests.campaign.signing import Client
from tests.campaign.stories import BUCKET
from tests.localfolder import names

MARKER = "gatewayowner"


def read_back(actor: Actor, uploads: Iterable[Upload]) -> None:
    """Read every key, bucket and upload of the history; what cannot be is a problem of the history."""
    history = actor.history
    registers = [each for each in history.registers if not each.startswith("upload ")]
    there = set()
    for register in registers:
        if "/" not in register:
            actor.head_bucket(register)
        elif actor.get(register) is not None:
            there.add(register.partition("/")[2])
    for upload in uploads:
        gone = not actor.list_parts(upload)
        if gone and _unanswered_complete(history, upload) and actor.get(upload.where) is None:
            history.problem(f"{upload.where}: the upload is gone, and it never became an object")
    listed = list_all(actor.client, history)
    if listed != sorted(listed, key=str.encode) or len(set(listed)) < len(listed):
        history.problem(f"the list is not in order, or has doubles: {listed}")
    if set(listed) != there:
        history.problem(f"listed and not there: {set(listed) - there}; there and not listed: {there - set(listed)}")


def _unanswered_complete(history: History, upload: Upload) -> bool:
    last: list[Op] = history.ops(upload.register)
    return any(op.what == "complete" and len(op.steps) > 1 for op in last)


def list_all(client: Client, history: History, prefix: str = "", page: int = 7, version: int = 2) -> list[str]:
    """Every key of the campaign's bucket below ``prefix``, with ListObjects or ListObjectsV2, page by page."""
    keys: list[str] = []
    more = {"prefix": prefix, "max-keys": str(page)} | ({"list-type": "2"} if version == 2 else {})
    while True:
        answer = client.ask("GET", f"/{BUCKET}", query=more)
        if answer.status != 200:
            history.problem(f"list: {answer.status} {answer.body[:300]!r}")
            return keys
        keys += answer.texts("Key")
        if answer.texts("IsTruncated") != ["true"]:
            return keys
        if version == 2:
            more["continuation-token"] = answer.texts("NextContinuationToken")[0]
        else:
            more["marker"] = keys[-1]


def unsound(folder: Path, *, reaped: bool) -> list[str]:
    """What is wrong between catalogue and storage. ``reaped``: the gateway is stopped and nothing may be left over.

    While the gateway serves, blobs that nobody knows may lie there; versions without their blob never.
    """
    wrong: list[str] = []
    connection = apsw.Connection(str(folder / "data" / "catalogue.sqlite"), flags=apsw.SQLITE_OPEN_READWRITE)
    connection.set_busy_timeout(10_000)
    try:
        check = connection.execute("PRAGMA integrity_check").fetchall()
        if check != [("ok",)]:
            wrong.append(f"integrity_check: {check}")
        wrong += _references(connection)
        live = {str(name) for (name,) in connection.execute("SELECT name FROM blobs WHERE refs > 0")}
        uploads = {str(name) for (name,) in connection.execute("SELECT blob FROM uploads WHERE state <> 'completed'")}
        doomed = connection.execute("SELECT count(*) FROM blobs WHERE doomed IS NOT NULL").fetchall()
    finally:
        connection.close()
    files = names(folder / "storage")
    wrong += [f"{name} is live, and there is no such blob" for name in sorted(live - files)]
    if reaped:
        known = ("gatewaysnapshot", *uploads)
        orphans = {name for name in files - live - {MARKER} if not any(name.startswith(f"{up}/") for up in known)}
        wrong += [f"{name} is an orphan" for name in sorted(orphans)]
        if doomed != [(0,)]:
            wrong.append(f"{doomed} blobs are doomed, and nobody deletes them")
    return wrong


def _references(connection: apsw.Connection) -> list[str]:
    """Counts and pointers of the catalogue that contradict each other."""
    questions = {
        "miscounted": "SELECT name FROM blobs WHERE refs <> (SELECT count(*) FROM pieces WHERE blob = blobs.name)",
        "referred to, not live": "SELECT blob FROM pieces EXCEPT SELECT name FROM blobs WHERE doomed IS NULL",
        "not current": "SELECT id FROM versions EXCEPT SELECT version FROM current_versions",
        "current, not there": "SELECT version FROM current_versions EXCEPT SELECT id FROM versions",
        "of no version": "SELECT version FROM pieces EXCEPT SELECT id FROM versions",
    }
    found = {name: connection.execute(sql).fetchall() for name, sql in questions.items()}
    return [f"{name}: {rows}" for name, rows in found.items() if rows]
